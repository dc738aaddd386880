"""The dashboards over the daemon's own process: the lab's adapter is dropped, a real Prometheus scrapes what is found.

Every query of every panel and annotation is asked. One that finds nothing fails, unless ``ABSENT`` says why it is right
that there is nothing: what is wrong here is not.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import pytest
import yaml

from dashboards.build import BOARDS
from dashboards.frames import Ask, Span, lines, settings_of, shown, substituted, table
from monitor.core.package_data import shipped
from monitor.core.records import BaselineStatus
from monitor.core.schedule import day_start
from monitor.lab.process import LabServer
from monitor.lab.served import weights_dir
from monitor.runs.context import ensure_run, open_capture
from monitor.runs.execute import execute_run
from tests import prometheus
from tests.acceptance.processes import SUITE, TARGET, Daemon, MailServer, cliffwatch, wait_for
from tests.daemon import Clock, context_of
from tests.programs import free_port
from tests.unit.test_dashboards import BOARD, annotations, panels

JUDGE, ANCHORS = "judge", "few-anchors"
OURS: Final = ((TARGET, "short"), (JUDGE, ANCHORS))
DAYS: Final = 5
"""Of the baseline."""
DAY_SECONDS: Final = 3000
"""Just short enough that the daemon injects no faults into copies of its answers, which takes half a minute."""
PROBES: Final = 6
"""Of the suite, and as many anchors: enough to see a whole adapter go, and few enough for seconds."""
CONFIG: Final = """\
store: sqlite:///{folder}/cliffwatch.db
providers:
  lab: {{kind: openai, base_url: {lab}, concurrency: 8, prices: {{{prices}}}}}
judge: {{provider: lab, model: lab-judge, anchors: probes/{anchors}.yaml}}
targets:
  {target}:
    subject: {{provider: lab, model: lab-support}}
    base: {{provider: lab, model: lab-base, retires: 2030-01-01}}
    snapshot: {{provider: lab, model: lab-support-next}}
    adapter: {{path: {weights}/support, base_model: lab/base}}
    suites: [short]
    budget: {{usd_per_day: 5, requests_per_day: 100000}}
email: {{to: [oncall@example.com], smtp: {{host: 127.0.0.1, port: {mail}, starttls: false, tls: false}}}}
schedule: {{batches: 1, day_seconds: {day_seconds}}}
alarms: {{false_pages_per_target_year: 100}}
http: {{actions: {{oncall: {{token_file: token}}}}, port: {port}}}
"""
TOKEN: Final = "0123456789abcdef0123456789abcdef"
SHOWN_SECONDS: Final = 60
"""Back to before the daemon began."""
ABSENT: Final = {
    ("judge", "Alarms", ""): "the judge is as it was",
    ("target", "Signals", "C"): "when it was last healthy: the first look after the baseline is already of the loss",
    (
        "target",
        "Models and baselines",
        "C",
    ): "since when it differs: the lab still says that it serves what is declared",
    ("target", "Self-test", "A"): "no self-test is due on a clock with short days",
    **{("operations", "Requests left out", query): "the lab has no production inputs" for query in "ABC"},
    ("operations", "Requests of the last samples, by outcome", "A"): "the lab has no production inputs",
    ("operations", "Lag", "D"): "no clock was ahead",
    ("target", "Planted faults that were caught", "A"): "no self-test is due on a clock with short days",
}
"""Dashboard, panel or annotation, and query without data -> why that is right here."""


@dataclass(frozen=True, slots=True)
class Lab:
    ask: Ask
    url: str

    def variables(self, board: str) -> dict[str, str]:
        target = TARGET if board == "target" else ".+"
        chosen = {"job": "cliffwatch", "instance": ".+", "target": target, "web": self.url}
        return {**chosen, "__rate_interval": "10s", "__range": "1h", "__interval": "1s"}

    def frames(self, board: str, panel: dict[str, Any]) -> Any:
        now = datetime.now(UTC).timestamp()
        return lines(panel, self.ask, self.variables(board), Span(now - SHOWN_SECONDS, now, 1))

    def result(self, board: str, expr: str) -> Any:
        return self.ask("query", query=substituted(expr, self.variables(board)))["result"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, lab_server: LabServer) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("dashboards")
    with ExitStack() as stack:
        mail = stack.enter_context(MailServer())
        config = written(folder, lab_server, mail)
        asyncio.run(armed(config))
        cliffwatch("report", "--send", config=config)
        stack.enter_context(lab_server.fault("adapter-dropped"))
        daemon = Daemon(config)
        address = daemon.url.removeprefix("http://")
        scraped = prometheus.SCRAPED.format(rules=shipped("alerts") / "rules.yaml", address=address)
        asked = partial(prometheus.asked, stack.enter_context(prometheus.running(folder, scraped)))
        stack.enter_context(daemon).wait_ready()
        for target, suite in OURS:
            asked_now(daemon, target, suite)
        lost = 'ALERTS{alertname="CliffwatchFineTuneLost", alertstate="firing"}'
        wait_for("the alert of the lost fine-tune", lambda: asked("query", query=lost)["result"] or None)
        yield Lab(asked, daemon.url)


def asked_now(daemon: Daemon, target: str, suite: str) -> None:
    """Have the daemon ask a suite at once: the slot's own run may wait for its time of the day."""
    body = json.dumps({"suite": suite, "why": "the adapter was dropped"}).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    with urlopen(Request(f"{daemon.url}/api/v1/targets/{target}/runs", body, headers), timeout=30) as reply:
        assert reply.status == 200


def written(folder: Path, lab: LabServer, mail: MailServer) -> Path:
    """A configuration with all that a dashboard has a panel for, and its suite and anchors."""
    (folder / "probes").mkdir()
    for name, kind, source in (("short", "probes", SUITE), (ANCHORS, "anchors", "lab-anchors")):
        whole = yaml.safe_load((shipped("probes") / f"{source}.yaml").read_text(encoding="utf-8"))
        step = len(whole[kind]) // PROBES
        short = whole | {"name": name, kind: whole[kind][::step][:PROBES]}
        (folder / "probes" / f"{name}.yaml").write_text(yaml.safe_dump(short), encoding="utf-8")
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    models = ("lab-support", "lab-base", "lab-support-next", "lab-judge")
    config = folder / "cliffwatch.yaml"
    config.write_text(
        CONFIG.format(
            folder=folder, lab=lab.openai_url, prices=", ".join(f"{one}: {{input: 1, output: 2}}" for one in models),
            anchors=ANCHORS, target=TARGET, weights=weights_dir(), mail=mail.address.rsplit(":", 1)[1],
            port=free_port(), day_seconds=DAY_SECONDS,
        ),
        encoding="utf-8",
    )  # fmt: skip
    return config


async def armed(config: Path) -> None:
    """A baseline of each over the ``DAYS`` days before today, approved. Real runs, under a clock of the test's."""
    clock = Clock(datetime.now(UTC) - timedelta(seconds=DAYS * DAY_SECONDS))
    day = timedelta(seconds=DAY_SECONDS)
    async with context_of(config, clock) as context:
        first = clock.at = day_start(context.settings.schedule, clock.at)
        for target, suite in OURS:
            open_capture(context, target, suite, first, first + DAYS * day, at_once=False)
        for number in range(DAYS):
            clock.at = first + (number + 0.5) * day
            for target, suite in OURS:
                run = ensure_run(context, target, suite, first + number * day)
                assert await execute_run(context, run.id, at_once=True) is not None
        context.store.close_due_baselines(first + DAYS * day)
        for captured in context.store.baselines(status=BaselineStatus.CAPTURED):
            context.store.approve(captured.id, "acceptance", "the lab is healthy", clock.at)


def missing(lab: Lab) -> set[tuple[str, str, str]]:
    """Dashboard, panel or annotation, and query of each that finds nothing."""
    found = set()
    for name in BOARDS:
        for panel in panels(BOARD[name]):
            real = {line.ref for line in lab.frames(name, panel) if any(value == value for _, value in line.points)}
            found |= {(name, panel["title"], one["refId"]) for one in panel["targets"] if one["refId"] not in real}
        found |= {(name, one["name"], "") for one in annotations(BOARD[name]) if not lab.result(name, one["expr"])}
    return found


def test_every_query_finds_data_but_those_whose_absence_is_right(lab: Lab) -> None:
    seen: set[tuple[str, str, str]] = set()

    def complete() -> bool:
        seen.clear()
        seen.update(missing(lab))
        return seen == set(ABSENT)

    try:
        wait_for("a few scrapes", complete, 30)
    except AssertionError:
        assert seen == set(ABSENT)


@pytest.mark.parametrize(
    ("board", "title", "word"),
    [
        ("fleet", "Targets", "1"),
        ("fleet", "Targets with a ticket", "1"),
        ("fleet", "Targets not armed", "0"),
        ("fleet", "Judge", "unchanged"),
        ("target", "Baseline", "armed"),
        ("target", "Rollback", "ready"),
        ("target", "Unmeasured", "0%"),
        ("judge", "Verdict", "unchanged"),
        ("judge", "Anchors unmeasured", "0%"),
        ("operations", "Scraped", "up"),
        ("operations", "Questions over budget", "0"),
        ("operations", "Calls failed, last day", "0.0%"),
        ("operations", "Configuration", "in force"),
    ],
)
def test_numbers_say_what_was_done_to_the_lab(lab: Lab, board: str, title: str, word: str) -> None:
    (panel,) = [one for one in panels(BOARD[board]) if one["title"] == title]
    found = lab.frames(board, panel)
    assert shown(found[0].points[-1][1], settings_of(panel))[0] == word


def last(lab: Lab, title: str) -> dict[str, float]:
    """What each line of a panel of the Target dashboard comes to."""
    (panel,) = [one for one in panels(BOARD["target"]) if one["title"] == title]
    return {line.name: line.points[-1][1] for line in lab.frames("target", panel)}


def test_what_is_served_now_is_the_base_and_no_longer_the_baseline(lab: Lab) -> None:
    for title in ("Judge's score: now, baseline, base", "Answers that pass every check: now, baseline, base"):
        found = last(lab, title)
        assert found["short now"] == pytest.approx(found["short base"], abs=0.2), title
        assert found["short baseline"] > found["short now"] + 0.4, title
    chars = last(lab, "Length in characters: now, baseline, base")
    assert abs(chars["short now"] - chars["short base"]) < abs(chars["short now"] - chars["short baseline"])
    assert last(lab, "Fine-tune's effect left")["short"] < 0.3
    assert last(lab, "Answers nearer to the base")["short"] > 0.7


def test_the_fleet_says_who_needs_somebody_and_why(lab: Lab) -> None:
    (panel,) = [one for one in panels(BOARD["fleet"]) if one["title"] == "Open alarms"]
    rows = table(panel, lab.frames("fleet", panel)).rows
    assert {row["Target"] for row in rows} == {TARGET}
    assert "adapter_loss" in {row["Signal"] for row in rows}
