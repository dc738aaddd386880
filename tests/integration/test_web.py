"""The HTTP side as it runs in the daemon: uvicorn in our own loop, a real store, a real client, a real browser."""

import asyncio
import contextlib
import http.client
import itertools
import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy import text as sql

from monitor.core.records import (
    JUDGE_TARGET,
    Alarm,
    AlarmState,
    Answer,
    Arm,
    BaselineStatus,
    Exchange,
    Exhibit,
    Finding,
    FindingState,
    IdentityCheck,
    Match,
    Message,
    Question,
    Recorded,
    Run,
    RunOutcome,
    Sampling,
    Score,
    SelfTest,
)
from monitor.core.settings import Judge, Settings
from monitor.detect.evidence import expected_spread
from monitor.report.metrics import Internals
from monitor.report.web import create_app, models
from monitor.report.web.factory import HEADERS
from monitor.report.web.server import Server
from monitor.store import Store, open_store
from tests import fleet
from tests.postgres import Postgres

EVIDENCE = "/targets/support-bot/adapter_loss"
OUT_OF_DATE, UNDETECTED = "findings below are out of date", "could go undetected"


@dataclass
class Reply:
    status: int
    text: str
    headers: Mapping[str, str]
    url: str


@dataclass
class Site:
    """A served store; ``health`` and ``problem`` are what the daemon would say."""

    store: Store
    health: dict[str, object] = field(default_factory=lambda: {"ok": True, "last_tick_age_seconds": 1.0})
    problem: str | None = None
    reloads: int = 0
    url: str = ""
    now: datetime = fleet.NOW
    settings: Settings = field(default_factory=fleet.settings)

    async def reload(self) -> str | None:
        self.reloads += 1
        return self.problem

    async def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        return await asyncio.to_thread(self._get, path, method, headers)

    def _get(self, path: str, method: str, headers: Mapping[str, str]) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, method=method, headers=named)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return Reply(reply.status, reply.read().decode(), dict(reply.headers), reply.url)
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.read().decode(), dict(error.headers), error.url)


@pytest.fixture
async def site(fleet_file: Path) -> AsyncIterator[Site]:
    store = open_store(f"sqlite:///{fleet_file}")
    made = Site(store)
    app = create_app(store, lambda: made.settings, Internals(), lambda: made.health, made.reload, lambda: made.now)
    server = Server(app, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{await server.start()}"
    yield made
    await server.stop()
    store.close()


PAGES = [
    "/", "/?q=bot&state=page", "/targets/support-bot", EVIDENCE, f"{EVIDENCE}?show=all&sort=probe", "/baselines/1",
    "/findings", "/findings?alarming=true&target=support-bot", "/runs/10", "/runs/15?show=lost",
    "/runs/10/exchange?arm=subject&probe=probe-0", "/runbooks/", "/runbooks/CliffwatchDown",
]  # fmt: skip


@pytest.mark.parametrize(
    "path", [*PAGES, "/runbooks/CliffwatchDown", "/style.css", "/metrics", "/api/v1/status", "/nope"]
)
async def test_every_reply_forbids_scripts_and_foreign_content(site: Site, path: str) -> None:
    reply = await site.get(path)
    assert reply.status == (404 if path == "/nope" else 200)
    assert reply.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert reply.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/nope", *PAGES])
async def test_head_is_answered_as_get_is_without_the_body(site: Site, path: str) -> None:
    def ask() -> None:
        with contextlib.closing(http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=30)) as kept:
            told = {}
            for method in ("HEAD", "GET"):  # on one connection: a body after the first would be the second's reply
                kept.request(method, path)
                reply = kept.getresponse()
                body = reply.read()
                told[method] = reply.status, reply.headers["content-type"]
            assert told["HEAD"] == told["GET"]
            assert body or reply.status == 303

    await asyncio.to_thread(ask)


@pytest.mark.parametrize("path", PAGES)
async def test_pages_load_nothing_but_the_stylesheet(site: Site, path: str) -> None:
    html = (await site.get(path)).text
    style, beside = re.findall(r"<link[^>]*>", html)
    assert style == '<link rel="stylesheet" href="/style.css">'
    assert beside.startswith('<link rel="alternate" type="application/json" href="/api/v1/')
    for tag in re.findall(r"<[^>]*>", html):
        assert not re.match(r"<(script|img|iframe|object|style)\b|<.*\s(on\w+|style|src)=|<.*https?://", tag), tag


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_has_landmarks_one_h1_and_headings_in_order(site: Site, path: str) -> None:
    html = (await site.get(path)).text
    levels = [int(level) for level in re.findall(r"<h([1-6])\b", html)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
    assert [html.count(f"<{tag}") for tag in ("main", "header", "footer")] == [1, 1, 1]
    assert html.index('href="#main"') < html.index("<header")
    names = re.findall(r'\bid="([^"]*)"', html)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:aria-labelledby|for)="([^"]*)"', html)) <= set(names)
    assert not re.findall(r"<th(?![^>]*scope=)[ >]", html), "each header says what it is the header of"
    assert not re.findall(r"<svg(?![^>]*(?:aria-label|aria-hidden)=)[^>]*>", html), "a picture has words, or is none"


@pytest.mark.parametrize("path", PAGES)
async def test_beside_every_page_stands_its_json(site: Site, path: str) -> None:
    html = (await site.get(path)).text
    (beside,) = re.findall(r'<link rel="alternate" type="application/json" href="([^"]*)">', html)
    assert html.count(f'href="{beside}"') == 2, "programs find it, and people too"
    reply = await site.get(unescape(beside))
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    json.loads(reply.text)


async def test_every_link_of_every_page_leads_somewhere(site: Site) -> None:
    seen, waiting = set[str](), ["/"]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        reply = await site.get(path)
        assert reply.status == 200, path
        if reply.headers["content-type"].startswith("text/html"):
            links = {unescape(link).partition("#")[0] for link in re.findall(r'href="(/[^"]*)"', reply.text)}
            waiting += sorted(links - seen - set(waiting))
    assert {
        "/targets/extractor", "/baselines/1", "/metrics", "/runbooks/CliffwatchNotArmed", "/runs/10",
        "/runs/10/exchange?arm=subject&probe=probe-0&replicate=0", "/?state=quiet&",
    } <= seen  # fmt: skip


async def test_the_overview_says_first_what_is_wrong(site: Site) -> None:
    html = (await site.get("/")).text
    assert "1 page raised, 1 ticket" in html
    assert html.index("support-bot") < html.index("summariser"), "the target with a raised page comes first"
    assert "50% of the last run unmeasured" in html
    table = html[html.index("<table") :]
    assert [table.index(one) for one in ("support-bot<", "extractor<", "summariser<")] == sorted(
        table.index(one) for one in ("support-bot<", "extractor<", "summariser<")
    ), "what needs somebody stands first"
    assert "alarming at 1, first 2026-11-22 11:40 UTC; now 10,000,000 to 1, still alarming." in table
    assert table.count("<polyline") == 2, "extractor has no findings yet"
    assert "capturing #3" in (await site.get("/targets/extractor")).text


async def test_the_list_is_filtered_by_name_and_by_state(site: Site) -> None:
    def targets(html: str) -> list[str]:
        return re.findall(r'<th scope="row" data-label="Target"><a href="/targets/([^"]*)"', html)

    assert targets((await site.get("/?q=BOT")).text) == ["support-bot"]
    assert targets((await site.get("/?q=-lora&state=quiet")).text) == ["summariser"]
    nothing = (await site.get("/?q=%3Cb%3E&state=page")).text
    assert targets(nothing) == []
    assert "No target has “&lt;b&gt;” in its name or model and is in state “page”." in nothing
    assert 'value="&lt;b&gt;"' in nothing
    assert (await site.get("/?state=nonsense")).status == 422
    listed = json.loads((await site.get("/api/v1/targets?q=bot")).text)
    assert (listed["total"], listed["states"]) == (1, {"page": 1, "partly": 1, "quiet": 1})
    assert listed["targets"][0]["loudest"]["signal"] == "adapter_loss"


async def test_a_long_list_is_leafed_through(site: Site) -> None:
    one = fleet.settings()
    many = {**one.targets, **{f"bot-{n:03}": one.targets["summariser"] for n in range(150)}}
    site.settings = one.model_copy(update={"targets": many})
    first, second = [(await site.get(f"/?page={page}")).text for page in (1, 2)]
    assert "1 to 100 of 153 targets" in first
    assert 'rel="next" href="/?page=2"' in first
    assert 'rel="prev" href="/?page=1"' in second
    assert "bot-149" in second
    assert "Open alarms" not in second
    assert "101 to 153" in (await site.get("/?page=99")).text
    rest = json.loads((await site.get("/api/v1/targets?offset=150&state=not-armed")).text)
    assert (rest["total"], rest["targets"]) == (150, [])


def claimed(site: Site, target: str, digest: str = fleet.DIGEST, slot: datetime = fleet.NOW) -> Run:
    """A run of today's afternoon, taken up."""
    made = site.store.ensure_run(target, fleet.SUITE, slot, 7, digest, slot)
    run = site.store.claim(made.id, slot, 3600)
    assert run is not None
    return run


def answer(site: Site, run: Run, text: str, probe: str = "p", replicate: int = 0) -> None:
    question = Question(
        run.id, run.target, run.suite, Arm.SUBJECT, probe, replicate, "vllm", "m", (Message("user", "?"),), Sampling()
    )  # fmt: skip
    told = Answer(text, "stop", False, "m", None, None, 1, 1, 0.1, fleet.NOW, Exchange({}, {}, 200))
    assert site.store.record([Recorded(question, told, run.fence, fleet.NOW + timedelta(hours=1))]) == [True]


def finish(
    site: Site, run: Run, outcome: RunOutcome, found: Sequence[Finding] = (), moves: Sequence[Alarm] = ()
) -> None:
    assert site.store.finish(run.id, run.fence, outcome, found, fleet.NOW + timedelta(hours=1), moves=moves)


def recover(site: Site) -> tuple[int, int]:
    """A quiet run of support-bot, which clears its alarms; the alarming run and the quiet one."""
    at = fleet.NOW + timedelta(hours=1)
    before = {one.signal: one for one in site.store.latest_findings("support-bot")}
    run = claimed(site, "support-bot")
    answer(site, run, "as ever")
    quiet = [replace(one, run_id=run.id, state=FindingState.QUIET) for one in before.values()]
    moves = [
        replace(one, state=AlarmState.CLEARED, cleared_at=at, cleared_run_id=run.id)
        for one in site.store.alarms("support-bot", raised=True)
    ]
    finish(site, run, RunOutcome.MEASURED, quiet, moves)
    return before["adapter_loss"].run_id, run.id


async def test_an_outage_is_never_all_quiet_and_its_findings_are_of_before(site: Site) -> None:
    recover(site)
    finish(site, claimed(site, "summariser"), RunOutcome.UNMEASURED)
    html = (await site.get("/")).text
    assert '<h1 class="verdict warn">No alarm raised; 1 not measured; 1 partly measured; 1 of 3 not armed</h1>' in html
    assert OUT_OF_DATE in (await site.get("/targets/summariser")).text
    assert OUT_OF_DATE not in (await site.get("/targets/support-bot")).text


def declare(site: Site, target: str, *, matches: bool, found: str = "meta-llama/Llama-3.1-8B-Instruct") -> None:
    check = IdentityCheck(target, Arm.SUBJECT, "root", Match.of(matches), f"{target}-lora", found, site.now, site.now)
    site.store.save_identity_checks([check])


async def test_a_target_that_serves_something_else_is_not_quiet(site: Site) -> None:
    recover(site)
    site.settings = site.settings.model_copy(update={
        "targets": {name: site.settings.targets[name] for name in ("summariser", "support-bot")}
    })  # fmt: skip
    assert '<h1 class="verdict good">All quiet</h1>' in (await site.get("/")).text
    declare(site, "summariser", matches=False, found=fleet.HOSTILE)
    html = (await site.get("/")).text
    assert '<h1 class="verdict bad">summariser serves something other than declared</h1>' in html
    assert '<span class="state bad">not as declared</span>' in html
    assert html.index('"/targets/summariser"') < html.index('"/targets/support-bot"')
    assert "subject: The server loads the base model itself under this name</span>" in html
    assert "/targets/support-bot" not in (await site.get("/?state=identity")).text
    listed = json.loads((await site.get("/api/v1/targets?state=identity")).text)
    assert (listed["tone"], listed["states"]) == ("bad", {"identity": 1, "quiet": 1})
    assert [(one["target"], one["mismatched"][0]["check"]) for one in listed["targets"]] == [("summariser", "root")]
    target = (await site.get("/targets/summariser")).text
    assert '<p class="verdict bad">summariser serves something other than declared</p>' in target
    told = target.index("under this name. Declared: summariser-lora; found: &lt;script&gt;")
    assert told < target.index("<section"), "above everything else"
    assert "<script" not in target
    declare(site, "summariser", matches=True)
    assert '<h1 class="verdict good">All quiet</h1>' in (await site.get("/")).text


async def test_a_judge_without_anchors_that_serves_something_else_is_told_of(site: Site) -> None:
    declare(site, JUDGE_TARGET, matches=False)
    assert "judge serves" not in (await site.get("/")).text, "no judge is configured"
    site.settings = site.settings.model_copy(update={"judge": Judge(provider="vllm", model="judge-lora")})
    html = (await site.get("/")).text
    assert "1 page raised, 1 ticket; judge serves something other than declared" in html
    assert "Declared: judge-lora; found: meta-llama/Llama-3.1-8B-Instruct." in html


async def test_a_missed_self_test_is_on_its_alert_s_evidence_page(site: Site) -> None:
    """``CliffwatchSelfTestFailed`` links there: which loss, how often it was caught, what to do."""
    site.store.save_self_tests(
        [
            SelfTest("summariser", fleet.SUITE, fault, caught, 20, fleet.NOW)
            for fault, caught in (("base-answers", 0), ("truncation", 18))
        ]
    )
    page = " ".join((await site.get("/targets/summariser")).text.split())
    told = re.findall(r"<li>(.*?)</li>", page[page.index(f"Self-test: a loss {UNDETECTED} today") :])
    assert [unescape(re.sub(r"<[^>]*>", "", one)) for one in told[:3]] == [
        f"base-answers (the base's answers instead of its own): caught in 0 of 20 trials {UNDETECTED}",
        "truncation (answers cut to a third): caught in 18 of 20 trials",
        "no fault planted: 0 of 20 trials raised an alarm",
    ]
    assert 'href="/runbooks/CliffwatchSelfTestFailed"' in page
    assert "cliffwatch calibrate summariser" in page
    assert "All quiet" not in page, "silence of which nothing follows"
    told = json.loads((await site.get("/api/v1/targets/summariser")).text)["self_tests"]
    assert [(one["fault"], one["caught"], one["trials"], one["missed"]) for one in told] == [
        ("base-answers", 0, 20, True), ("truncation", 18, 20, False), ("healthy", 0, 20, False),
    ]  # fmt: skip


async def test_a_self_test_that_caught_all_is_one_line_and_none_is_nothing(site: Site) -> None:
    page = " ".join((await site.get("/targets/summariser")).text.split())
    assert "planted faults caught: base-answers 20 of 20, truncation 19 of 20</p>" in page
    assert "All quiet" in page
    assert UNDETECTED not in page
    assert "elf-test" not in (await site.get("/targets/extractor")).text, "it has no baseline to test on"


async def test_health_that_alarms_in_the_self_test_is_told(site: Site) -> None:
    site.store.save_self_tests([SelfTest("summariser", fleet.SUITE, "healthy", 5, 20, fleet.NOW)])
    assert "5 of 20 healthy trials alarm" in (await site.get("/targets/summariser")).text


async def test_a_changed_suite_is_not_quiet(site: Site) -> None:
    run = claimed(site, "summariser", "1" * 64)
    answer(site, run, "as ever")
    finish(site, run, RunOutcome.MEASURED)
    html = (await site.get("/")).text
    assert "1 not armed: suite changed since its baseline" in html
    assert "suite changed</span>" in html
    assert OUT_OF_DATE in (await site.get("/targets/summariser")).text


async def test_all_answers_of_a_run_stand_beside_the_baseline_s(site: Site) -> None:
    def told(html: str) -> dict[str, str]:
        found = re.findall(r'<h3 id="pair-\d+">(.*?) <span class="dim">contribution ([\d.]+)</span>', html)
        return {probe: weight for probe, weight in found if probe in fleet.PROBES}

    newest = {(one.target, one.signal): one.run_id for one in site.store.latest_findings()}
    lost = f"/findings/{newest['support-bot', 'length']}/length?show=all"
    page = (await site.get(lost)).text
    assert told(page) == dict.fromkeys(fleet.PROBES, "1.00"), "no word of the baseline's"
    assert page.count("same as base") >= 4
    held = f"/findings/{newest['summariser', 'length']}/length?show=all&sort=probe"
    page = (await site.get(held)).text
    assert told(page) == dict.fromkeys(fleet.PROBES, "0.00")
    assert page.count("same as baseline") == 4
    assert list(told(page)) == sorted(fleet.PROBES)


async def test_who_has_no_baseline_that_fits_is_told_to_capture_one_that_arms_pages(site: Site) -> None:
    finish(site, claimed(site, "summariser", "1" * 64), RunOutcome.UNMEASURED)
    assert (
        "cliffwatch baseline capture summariser --suite support --days 14</code>"
        in (await site.get("/targets/summariser")).text
    )
    (approved,) = site.store.baselines("support-bot", status=BaselineStatus.APPROVED)
    site.store.retire(approved.id, "jo", "captured on a bad day", site.now)
    assert (
        "cliffwatch baseline capture support-bot --suite support --days 14</code>"
        in (await site.get("/targets/support-bot")).text
    )


async def test_what_did_not_succeed_for_two_intervals_is_late(site: Site) -> None:
    site.now = fleet.NOW + timedelta(days=2, hours=1)
    html = (await site.get("/")).text
    assert "3 late: no success in two intervals" in html
    assert html.count('<span class="state warn">late</span>') >= 3


async def test_the_alert_s_link_still_leads_to_the_alarm_after_it_cleared(site: Site) -> None:
    alarming, quiet = recover(site)
    reply = await site.get(EVIDENCE)
    assert reply.url == f"{site.url}/findings/{alarming}/adapter_loss"
    assert "This alarm was cleared" in reply.text
    assert "raised 2026-11-22 11:40 UTC, cleared 2026-11-22 13:00 UTC" in reply.text
    assert f'href="/findings/{quiet}/adapter_loss">quiet' in reply.text
    assert "by this run" in (await site.get(f"/findings/{quiet}/adapter_loss")).text
    site.now = fleet.NOW + timedelta(days=8)
    assert (await site.get(EVIDENCE)).url == f"{site.url}/findings/{quiet}/adapter_loss"


async def test_after_a_recovery_no_page_tells_of_an_alarm(site: Site) -> None:
    """The look that clears may still have evidence over the line: it is of the looks before."""
    before = {one.signal: one for one in site.store.latest_findings("support-bot")}
    run = claimed(site, "support-bot")
    answer(site, run, "as ever")
    back = [replace(one, run_id=run.id, effect=0.99, evidence_log10=64.0, recovered=one.alarming)
            for one in before.values()]  # fmt: skip
    moves = [
        replace(one, state=AlarmState.CLEARED, cleared_at=fleet.NOW + timedelta(hours=1), cleared_run_id=run.id)
        for one in site.store.alarms("support-bot", raised=True)
    ]
    finish(site, run, RunOutcome.MEASURED, back, moves)
    page = f"/findings/{run.id}/adapter_loss"
    badge = '<span class="severity none">cleared</span>'
    target = unescape((await site.get("/targets/support-bot")).text)
    signals = target[target.index('<ul class="signals') : target.index('id="about"')]
    assert badge in signals
    assert '<span class="severity bad">' not in signals
    assert '<li class="bad">' not in signals
    assert "evidence <strong>10^64 to 1</strong>, until the alarm was cleared" in signals
    told = unescape((await site.get(page)).text)
    assert f"{badge} support-bot has recovered (Fine-tune's effect)</h1>" in re.sub(r"\s+", " ", told)
    assert "Likely at fault" not in told
    assert "<dd>Nothing to do: cleared automatically, 2026-11-22 13:00." in told
    assert "This evaluation cleared the alarm" in told
    listed = (await site.get("/findings?target=support-bot")).text
    assert badge in listed
    assert '<span class="severity bad">page</span>' not in listed, "nor of the looks before, whose alarm is over"
    assert '<span class="value">cleared</span>' in (await site.get(f"/runs/{run.id}")).text
    api = json.loads((await site.get(f"/api/v1{page}")).text)
    assert (api["claim"]["state"], api["alarming"], api["evidence_log10"]) == ("cleared", True, 64.0)


async def test_a_run_whose_time_has_come_is_due(site: Site) -> None:
    before = fleet.NOW - timedelta(seconds=2)
    made = site.store.ensure_run("support-bot", fleet.SUITE, fleet.NOW, 7, fleet.DIGEST, before)
    html = (await site.get("/targets/support-bot")).text
    assert "</a> is due now" in html
    assert "continues" not in html
    assert '<span class="dim">due now</span>' in (await site.get(f"/runs/{made.id}")).text
    site.now = fleet.NOW - timedelta(minutes=5)
    assert "</a> continues in 5 min" in (await site.get("/targets/support-bot")).text


async def test_marks_are_explained_where_there_are_any(site: Site) -> None:
    legend = "<mark>Marked</mark> words"
    run = claimed(site, "support-bot")
    alike = Exhibit("p", "?", "Refunds take 5 working days.", "Refunds take 9 working days.", None, 0.9)
    apart = replace(alike, probe="q", now="Hello!", weight=0.2)
    (head,) = [one for one in site.store.latest_findings("support-bot") if one.signal == "adapter_loss"]
    finish(site, run, RunOutcome.MEASURED, [replace(head, run_id=run.id, exhibits=(alike, apart))])
    html = (await site.get(f"/findings/{run.id}/adapter_loss")).text
    assert html.count(legend) == 1
    assert html.index('<h2 id="telling"') < html.index(legend) < html.index("<mark>5</mark>")
    assert legend in (await site.get(f"/findings/{run.id}/adapter_loss?sort=probe#answers")).text
    again = claimed(site, "support-bot", slot=fleet.NOW + timedelta(hours=2))
    finish(site, again, RunOutcome.MEASURED, [replace(head, run_id=again.id, exhibits=(apart,))])
    bare = (await site.get(f"/findings/{again.id}/adapter_loss")).text
    assert "Hello!" in bare
    assert "<mark>" not in bare
    assert "Answers are shown as text" in bare


def lose_again(site: Site) -> int:
    """A run of support-bot after its recovery that raises both alarms again, an hour later; the run."""
    at = fleet.NOW + timedelta(hours=2)
    before = [one for one in site.store.latest_findings("support-bot") if one.signal in ("adapter_loss", "length")]
    run = claimed(site, "support-bot", slot=at)
    answer(site, run, "I'd be happy to help!")
    found = [replace(one, run_id=run.id, state=FindingState.ALARMING, evidence_log10=5.0) for one in before]
    moves = [
        Alarm(one.target, one.suite, one.signal, one.severity, AlarmState.CONFIRMED, at, run.id, at, run.id)
        for one in found
    ]
    finish(site, run, RunOutcome.MEASURED, found, moves)
    return run.id


async def test_what_was_cleared_and_raised_again_leads_to_where_it_is_now_and_back(site: Site) -> None:
    first, quiet = recover(site)
    assert "raised again" not in (await site.get(f"/findings/{first}/adapter_loss")).text
    second = lose_again(site)
    site.now = fleet.NOW + timedelta(hours=4)
    forward = f'<a href="/findings/{second}/adapter_loss">see the open alarm</a>'
    back = f'<a href="/findings/{first}/adapter_loss">The alarm of 2026-11-22 11:40 UTC</a>'
    old = (await site.get(f"/findings/{first}/adapter_loss")).text
    assert f"It was <strong>raised again</strong> at 2026-11-22 14:00 UTC, 2 h ago: {forward}" in old
    assert "See the alarm that was raised again at 2026-11-22 14:00 UTC. This one was cleared automatically" in old
    assert back not in old
    over = (await site.get(f"/findings/{quiet}/adapter_loss")).text
    assert "The alarm was <strong>raised again</strong>" in over
    assert forward in over
    now = (await site.get(f"/findings/{second}/adapter_loss")).text
    assert (
        f"<dt>Raised before</dt><dd>{back}, cleared 2026-11-22 13:00 UTC. Cleared automatically: the answers up to run"
        in now
    )
    assert "raised again" not in now
    assert "raised again" not in (await site.get(f"/findings/{first}/judge_score")).text, "another signal"
    for run, before, again in ((first, None, second), (second, first, None)):
        beside = json.loads((await site.get(f"/api/v1/findings/{run}/adapter_loss")).text)
        found = [beside[name] and beside[name]["raised_run_id"] for name in ("raised_before", "raised_again")]
        assert found == [before, again]


async def test_a_finding_says_that_others_are_open_too(site: Site) -> None:
    told = '<a href="/targets/support-bot#open">support-bot has 1 other open alarm</a>.'
    assert told in (await site.get(EVIDENCE)).text
    assert 'id="open"' in (await site.get("/targets/support-bot")).text
    first, _ = recover(site)
    assert "open, too" not in (await site.get(f"/findings/{first}/adapter_loss")).text


async def test_a_target_says_what_it_borrowed_from_other_suites(site: Site) -> None:
    (mine,) = json.loads((await site.get("/api/v1/targets/support-bot")).text)["borrowed"]
    here, alone = expected_spread(fleet.BORROWED["adapter_loss"]), expected_spread()
    assert here < alone
    assert mine == {"suite": fleet.SUITE, "signal": "adapter_loss", "spread": here, "alone": alone}
    page = (await site.get("/targets/support-bot")).text
    assert f"{here:.2f} ({alone:.2f} without other suites)" in " ".join(page.split())


async def test_a_target_s_page_begins_with_the_claim_of_its_most_urgent_alarm(site: Site) -> None:
    async def lead() -> Any:
        return json.loads((await site.get("/api/v1/targets/support-bot")).text)["lead"]

    first = await lead()
    found = json.loads((await site.get(f"/api/v1/findings/{first['finding']['run_id']}/adapter_loss")).text)
    assert (first["finding"]["signal"], first["claim"]) == ("adapter_loss", found["claim"])
    html = unescape((await site.get("/targets/support-bot")).text)
    words = {**first["claim"], "since": first["claim"]["since"].removesuffix(")")}  # the age is inside the brackets
    told = [html.find(words[part]) for part in ("headline", "bad", "since", "sure", "now", "suspect", "why")]
    assert -1 < told[0] < min(told[1:]), "the news first, and none of it left out"
    assert max(told) < html.index("2 open alarms") < html.index("Suite ")
    run = claimed(site, "support-bot")
    better = [
        replace(one, run_id=run.id, state=FindingState.QUIET) for one in site.store.latest_findings("support-bot")
    ]
    finish(site, run, RunOutcome.MEASURED, better)
    assert await lead() is None, "a look that does not alarm is no news of a loss"
    assert "2 open alarms" in (await site.get("/targets/support-bot")).text


async def test_a_finding_says_what_its_alarm_was_at_its_run(site: Site) -> None:
    lost, before = [one.run_id for one in site.store.findings("support-bot", signal="adapter_loss")][:2]
    assert "still open" in (await site.get(f"/findings/{lost}/adapter_loss")).text
    assert "not raised by this run" in (await site.get(f"/findings/{before}/adapter_loss")).text


async def test_a_later_finding_says_with_which_numbers_its_alarm_was_raised(site: Site) -> None:
    """A notification has those; the page that its link leads to is of the newest run."""
    (page,) = [one for one in site.store.alarms("support-bot", raised=True) if one.signal == "adapter_loss"]
    raising = (
        f'<a href="/findings/{page.raised_run_id}/adapter_loss">Run {page.raised_run_id}</a> raised the alarm, with '
    )
    first = await site.get(EVIDENCE)
    assert raising not in first.text, "it is this one"
    run = claimed(site, "support-bot")
    worse = [replace(one, run_id=run.id, effect=0.2) for one in site.store.latest_findings("support-bot")]
    finish(site, run, RunOutcome.MEASURED, worse)
    now = await site.get(EVIDENCE)
    assert f"numbers are from run {run.id}, " in now.text
    (then,) = re.findall(r"<strong>(\d+%)</strong> of the approved fine-tune", unescape(first.text))
    assert f"{raising}{then} of the approved fine-tune's effect." in unescape(now.text)


async def test_an_open_alarm_says_where_it_stands(site: Site) -> None:
    store = site.store
    (page,) = [one for one in store.alarms("support-bot", raised=True) if one.signal == "adapter_loss"]
    run = claimed(site, "support-bot")
    finish(site, run, RunOutcome.UNMEASURED, (), [replace(page, state=AlarmState.RAISED)])
    for path in ("/", "/targets/support-bot", EVIDENCE):
        assert "for a fresh sample, which the daemon requests." in (await site.get(path)).text, path
    assert "1 page raised (1 being confirmed)" in (await site.get("/")).text
    cleared = replace(
        page, state=AlarmState.CLEARED, cleared_at=fleet.NOW, cleared_by="jo <b>", cleared_why="unloaded on purpose"
    )
    assert store.clear_alarm(cleared)
    html = (await site.get("/targets/support-bot")).text
    assert "Cleared by jo &lt;b&gt;: unloaded on purpose" in html
    listed = json.loads((await site.get("/api/v1/alarms?target=support-bot")).text)["alarms"]
    assert {(one["signal"], one["state"], one["cleared_by"]) for one in listed} == {
        ("adapter_loss", "cleared", "jo <b>"), ("length", "confirmed", None),
    }  # fmt: skip
    assert len(json.loads((await site.get("/api/v1/alarms?open=true")).text)["alarms"]) == 1


async def test_the_fine_tune_s_loss_stands_before_what_follows_from_it(site: Site) -> None:
    html = (await site.get("/targets/support-bot")).text
    assert re.findall(r'<h3><a href="/findings/[^"]*">([^<]*)<', html) == [
        "Fine-tune&#39;s effect", "Negative flips", "Judge&#39;s score", "Length of answers", "Contract",
    ]  # fmt: skip


async def test_a_baseline_can_be_read_before_it_is_approved(site: Site) -> None:
    probes = [{"id": probe, "messages": [{"role": "user", "content": f"What of {probe}?"}]} for probe in fleet.PROBES]
    site.store.save_suite(fleet.DIGEST, fleet.SUITE, json.dumps({"probes": probes}))
    html = (await site.get("/baselines/1")).text
    assert html.count('<article class="exhibit">') == len(fleet.PROBES)
    for shown in ("What of probe-0?", "Refunds take 5 days. Ticket: #RF-21.", "I&#39;d be happy to help!", "3×",
                  "judge 0.9", "over 3 days, 3 runs, 4 probes", "approved"):  # fmt: skip
        assert shown in html, shown
    assert 'href="/baselines/1"' in (await site.get("/targets/summariser")).text


async def test_a_baseline_s_hostile_answers_are_text_and_cut(site: Site) -> None:
    run, start = claimed(site, "summariser", "2" * 64), fleet.NOW
    texts = [fleet.HOSTILE, "x" * 50_000, *(f"answer {n}" for n in range(5))]
    for number, text in enumerate(texts):
        answer(site, run, text, "<b>p</b>", number)
    site.store.add_scores(run.id, run.fence, [Score(Arm.SUBJECT, "<b>p</b>", 0, "judge", 0.5)])
    opened = site.store.open_baseline(
        run.target, run.suite, "2" * 64, "m", None, start, start + timedelta(seconds=37), at_once=True
    )
    finish(site, run, RunOutcome.MEASURED)
    html = (await site.get(f"/baselines/{opened.id}?page=9")).text
    assert "<script" not in html
    assert "<b>" not in html
    assert not set(html) & {"\u202e", "\u200b", "\x1b"}
    assert "… (+46000 characters)" in html
    assert "and 2 further distinct answers" in html
    assert "The prompt was not stored." in html
    assert "captured at once, 1 run, 1 probe" in html
    assert "captured at once" in (await site.get("/targets/summariser")).text


async def test_the_evidence_page_has_the_numbers_and_the_answers(site: Site) -> None:
    reply = await site.get(EVIDENCE)
    assert re.fullmatch(rf"{site.url}/findings/\d+/adapter_loss", reply.url), "a stable link leads to the finding"
    for shown in (
        "<strong>4%</strong> of the approved fine-tune&#39;s effect, 95% interval 0% to 10%",
        "10,000,000 to 1<",
        "2 evaluations so far; this one alone: 10,000,000 to 1",
        "40 now",
        "against 120",
        "as approved",
    ):
        assert shown in reply.text
    for answer in (
        "Refunds take 5 working days",
        "I&#39;d be happy to help!",
        "How long does a refund take",
        "same as base",
    ):
        assert answer in reply.text


async def test_hostile_answers_are_text(site: Site) -> None:
    html = (await site.get(EVIDENCE)).text
    assert "<script" not in html
    assert "<img" not in html
    assert "{{ 7 * 7 }}" in html
    assert "\\u{202e}gnp.exe" in html
    assert "\\u{1b}[31mred" in html
    assert not set(html) & {"\u202e", "\u202c", "\u200b", "\x1b"}


async def test_a_real_browser_shows_hostile_answers_as_text(site: Site, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    flags += "--disable-component-update --disable-sync"
    picture = tmp_path / "evidence.png"
    command = [chromium, *flags.split(), f"--user-data-dir={tmp_path}/profile", "--window-size=420,1600"]
    process = await asyncio.create_subprocess_exec(
        *command, "--dump-dom", f"--screenshot={picture}", site.url + EVIDENCE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    dom = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
    assert "<title>support-bot answers like its base model · Cliffwatch</title>" in dom, "no script of an answer ran"
    assert "&lt;script&gt;document.title='owned'&lt;/script&gt;" in dom
    assert "<script" not in dom
    assert "<img" not in dom
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/targets/nobody", 404),
        ("/targets/support-bot/nothing", 404),
        ("/findings/1/nothing", 404),
        (f"/findings/{2**70}/length", 404),
        ("/findings/x/length", 422),
        ("/api/v1/audit?target=%00", 422),
        ("/baselines/99", 404),
        (f"/baselines/{2**70}", 404),
        ("/runbooks/..%2Falertmanager", 404),
        (f"/targets/{quote('<script>')}", 404),
    ],
)
async def test_what_is_not_there(site: Site, path: str, status: int) -> None:
    reply = await site.get(path)
    assert reply.status == status
    assert "<script>" not in reply.text


async def test_the_api_says_the_same(site: Site) -> None:
    status = json.loads((await site.get("/api/v1/status")).text)
    by_target = {row["target"]: row for row in status["watches"]}
    assert by_target["support-bot"]["armed"] is True
    assert by_target["extractor"]["state"] == "capturing"
    found = json.loads((await site.get("/api/v1/findings?target=support-bot&alarming=true&limit=1000")).text)[
        "findings"
    ]
    assert {one["signal"] for one in found} == {"adapter_loss", "length"}
    one = json.loads((await site.get(f"/api/v1/findings/{found[0]['run_id']}/adapter_loss")).text)
    assert {"evidence_log10", "evaluation_log10", "threshold_log10", "evaluations", "scores", "confirming"} <= set(one)
    assert one["exhibits"][2]["now"] == fleet.HOSTILE, "JSON has the answer as it is"
    missing = await site.get("/api/v1/findings/1/nothing")
    assert (missing.status, "error" in json.loads(missing.text)) == (404, True)


async def test_metrics_in_either_format_and_gzipped(site: Site) -> None:
    plain = await site.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'cliffwatch_alarm{target="support-bot",signal="adapter_loss",severity="page"} 1.0' in plain.text
    other = await site.get("/metrics", accept="application/openmetrics-text;version=1.0.0")
    assert other.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")


async def test_ready_after_the_first_tick_and_alive_before(site: Site) -> None:
    site.health = {"ok": False, "last_tick_age_seconds": None}
    assert ((await site.get("/healthz")).status, (await site.get("/readyz")).status) == (200, 503)
    site.health = {"ok": True, "last_tick_age_seconds": 2.0}
    assert ((await site.get("/healthz")).status, (await site.get("/readyz")).status) == (200, 200)
    site.health = {"ok": False, "last_tick_age_seconds": 900.0}
    assert ((await site.get("/healthz")).status, (await site.get("/readyz")).status) == (503, 503)


THREADS = 40
"""In which the server answers whatever reads the store."""


async def test_it_is_alive_while_every_thread_waits_for_the_store(postgres_server: Postgres) -> None:
    """Else a store that hangs would have the daemon restarted, which does not bring it back."""
    url = postgres_server.fresh()
    made = Site(open_store(url))
    app = create_app(made.store, lambda: made.settings, Internals(), lambda: made.health, made.reload, lambda: made.now)
    server = Server(app, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{await server.start()}"
    with create_engine(url, poolclass=NullPool).connect() as other:
        other.execute(sql("LOCK TABLE state IN ACCESS EXCLUSIVE MODE"))
        with ThreadPoolExecutor(THREADS) as pool:
            waiting = [pool.submit(made._get, "/readyz", "GET", {}) for _ in range(THREADS)]
            while not _all_locked_out(other, THREADS):
                await asyncio.sleep(0.05)
            assert (await made.get("/healthz")).status == 200
            assert not any(one.done() for one in waiting)
            other.rollback()
            await asyncio.gather(*map(asyncio.wrap_future, waiting))
    await server.stop()
    made.store.close()


def _all_locked_out(connection: Connection, count: int) -> bool:
    held = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'state'::regclass"
    return int(connection.execute(sql(held)).scalar_one()) >= count


async def test_a_store_that_cannot_be_read_is_said_in_words(site: Site) -> None:
    with site.store._database.write() as connection:
        connection.exec_driver_sql("DROP TABLE latest_finding")
        connection.exec_driver_sql("DROP TABLE state")
    page, scrape, ready = [await site.get(path) for path in ("/", "/metrics", "/readyz")]
    assert (page.status, scrape.status, ready.status) == (503, 503, 503)
    assert "no such table" in page.text
    assert json.loads(ready.text)["ready"] is False


async def test_reload_tells_how_it_went(site: Site) -> None:
    good = await site.get("/-/reload", "POST")
    site.problem = "cliffwatch.yaml:3: unknown key"
    bad = await site.get("/-/reload", "POST")
    assert (good.status, bad.status, bad.text) == (200, 400, "cliffwatch.yaml:3: unknown key\n")
    assert (await site.get("/-/reload")).status == 405
    assert (await site.get("/-/reload", "POST", sec_fetch_site="cross-site")).status == 403
    assert site.reloads == 2


async def test_another_site_s_page_reloads_nothing_even_where_a_browser_says_no_more_than_its_origin(
    site: Site,
) -> None:
    for origin in ("http://evil.example", "null", "http://[", "file://", f"{site.url}.evil.example"):
        assert (await site.get("/-/reload", "POST", origin=origin)).status == 403, origin
    assert (await site.get("/-/reload", "POST", origin=site.url, sec_fetch_site="same-site")).status == 403
    assert site.reloads == 0
    assert (await site.get("/-/reload", "POST", origin=site.url)).status == 200
    http = site.settings.http.model_copy(update={"url": "https://watch.example.com/"})
    site.settings = site.settings.model_copy(update={"http": http})
    assert (await site.get("/-/reload", "POST", origin="https://watch.example.com")).status == 200
    assert (await site.get("/-/reload", "POST", origin="http://watch.example.com")).status == 403
    assert site.reloads == 2


async def test_a_reply_is_sent_at_once_on_a_connection_that_is_kept(site: Site) -> None:
    app = create_app(site.store, fleet.settings, Internals(), lambda: site.health, site.reload)
    server = Server(app, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    (kept,) = server._server.server_state.connections
    sends = kept.transport.get_extra_info("socket")
    assert sends.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    writer.close()
    await server.stop()


async def test_a_port_that_is_taken_is_an_error_at_start(site: Site) -> None:
    app = create_app(site.store, fleet.settings, Internals(), lambda: site.health, site.reload)
    port = int(site.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
        await Server(app, "127.0.0.1", port).start()


async def test_the_port_is_free_after_stop_and_signals_stay_ours(tmp_path: Path) -> None:
    import signal

    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    site = Site(store)
    server = Server(create_app(store, fleet.settings, Internals(), lambda: site.health, site.reload), "127.0.0.1", 0)
    port = await server.start()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    await server.stop()
    await server.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    store.close()


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/api/v1/status?target=support-bot", models.Status),
        ("/api/v1/targets", models.Fleet),
        ("/api/v1/targets/support-bot", models.TargetDetail),
        ("/api/v1/findings", models.Findings),
        ("/api/v1/findings/10/adapter_loss", models.FindingDetail),
        ("/api/v1/alarms", models.Alarms),
        ("/api/v1/runs", models.Runs),
        ("/api/v1/runs/15?show=lost", models.RunDetail),
        ("/api/v1/runs/10/exchange?arm=base&probe=probe-1", models.Exchanged),
        ("/api/v1/baselines", models.Baselines),
        ("/api/v1/baselines/1", models.BaselineDetail),
        ("/api/v1/runbooks", models.Runbooks),
        ("/api/v1/runbooks/CliffwatchDown", models.Runbook),
        ("/api/v1/runs/99", models.Problem),
        ("/api/v1/runs/10/exchange?arm=base&probe=none", models.Problem),
        ("/api/v1/findings?limit=0", models.Problem),
        ("/api/v1/targets/nobody", models.Problem),
    ],
)
async def test_the_json_is_as_it_is_described(site: Site, path: str, shape: type[BaseModel]) -> None:
    reply = await site.get(path)
    assert reply.status == (200 if shape is not models.Problem else 422 if "limit" in path else 404)
    assert not re.search(r"\bNaN\b", reply.text)
    shape.model_validate_json(reply.text)


async def test_a_finding_says_at_once_what_changed_since_when_and_what_to_do(site: Site) -> None:
    html = (await site.get(EVIDENCE)).text
    told = html[: html.index("How bad")]
    for shown in (
        "support-bot answers like its base model</h1>",
        "<p>4% of the fine-tune&#39;s effect is left (95% interval 0% to 10%). 39 of 40 answers are nearer to the base",
        "<p>Began between 2026-11-21 20:00 (last healthy evaluation) and 2026-11-22 11:40 UTC (first seen, ",
        "<p>Confirmed by a fresh sample at ",
        "Check which adapter the endpoint serves and whether it is applied. If it is lost, restore the server, "
        "image, route or adapter that served at the last healthy evaluation, 2026-11-21 20:00 UTC.",
        '<a href="#answer">Read the answers</a>',
        "I&#39;d be happy to help! Refund times vary",
        'href="/runbooks/CliffwatchFineTuneLost"',
        "<strong>the served model</strong>",
        "all sampled traffic",
    ):
        assert shown in told, shown


async def test_an_exchange_is_shown_without_credentials(site: Site) -> None:
    run = claimed(site, "support-bot")
    question = Question(
        run.id, run.target, run.suite, Arm.SUBJECT, "p", 0, "vllm", "m", (Message("user", "?"),), Sampling()
    )  # fmt: skip
    raw = Exchange(
        {"model": "m", "headers": {"Authorization": "Bearer planted-key"}, "max_tokens": 9},
        {"x": [{"api_key": "planted-key"}], "text": "\u202eboo"}, 200, {"set-cookie": "planted-key", "date": "today"},
    )  # fmt: skip
    told = Answer("hi", "stop", False, "m", None, None, 1, 1, 0.1, fleet.NOW, raw)
    assert site.store.record([Recorded(question, told, run.fence, fleet.NOW + timedelta(hours=1))]) == [True]
    for path in ("/runs", "/api/v1/runs"):
        reply = await site.get(f"{path}/{run.id}/exchange?arm=subject&probe=p")
        assert "planted-key" not in reply.text
        assert "[hidden]" in reply.text
        assert "max_tokens" in reply.text
    page = (await site.get(f"/runs/{run.id}/exchange?arm=subject&probe=p")).text
    assert "\u202e" not in page
    assert (
        f'href="/runs/{run.id}/exchange?arm=subject&amp;probe=p&amp;replicate=0"'
        in (await site.get(f"/runs/{run.id}")).text
    )
