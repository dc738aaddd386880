"""What was never measured is called so by every surface, in every state: never quiet, never healthy."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dashboards.states import ALARMS, STATES, judged, state
from monitor.cli import output
from monitor.cli.demo import round_words
from monitor.core.measured import Standing, capture_words, standing
from monitor.core.records import Arm, BaselineStatus, RunOutcome
from monitor.report.email import message, render
from monitor.report.email.compose import compose
from monitor.report.metrics import Internals
from monitor.report.status.fleet import status
from monitor.report.web import create_app
from monitor.runs.readonly import ReadOnlyContext, reading
from monitor.store import open_store
from tests import prometheus
from tests.daemon import HEALTHY, NOON, write
from tests.store_records import answer, context, finding, recorded, unmeasured

DAY: Final = timedelta(days=1)
SUITE: Final = "facts"
JOB: Final = 'job="cliffwatch"'


@dataclass(frozen=True)
class Said:
    """What each surface says of a target."""

    standing: Standing
    needs: str | None
    page: str
    mail: str
    """The label of its card; of one that needs nobody, the beginning of its line."""
    dashboard: str
    alarms: bool = False
    """Whether it has series of ``alarm``: something was compared once."""


SAID: Final[Mapping[str, Said]] = {
    "never-run": Said(Standing.NO_BASELINE, "unarmed", "not-armed", "Not armed", "not armed"),
    "no-baseline": Said(Standing.NO_BASELINE, "unarmed", "not-armed", "Not armed", "not armed"),
    "capturing": Said(Standing.CAPTURING, None, "capturing", "facts: baseline being captured: day 0 of 3",
                      "not armed"),
    "captured": Said(Standing.TO_APPROVE, "unarmed", "to-approve", "Not armed", "not armed"),
    "approved": Said(Standing.NOT_MEASURED_YET, None, "not-measured-yet", "facts: not measured yet",
                     "not measured yet"),
    "retired": Said(Standing.NO_BASELINE, "unarmed", "not-armed", "Not armed", "not armed", True),
    "outdated": Said(Standing.SUITE_CHANGED, "unarmed", "suite-changed", "Not armed", "not armed", True),
    "approved-anew": Said(Standing.NOT_MEASURED_YET, None, "not-measured-yet", "facts: not measured yet",
                          "not measured yet", True),
    "all-lost": Said(Standing.NOT_MEASURED_YET, "unmeasured", "unmeasured", "Not measured", "unmeasured"),
}  # fmt: skip
"""Every state in which silence says nothing."""
HEALTHY_ONE: Final = "healthy"
REMOVED: Final = "removed"


class Story:
    """Writes the life of a target through the store's own methods."""

    def __init__(self, kept: ReadOnlyContext) -> None:
        self.kept, self.store = kept, kept.store

    def capture(self, target: str, days_ago: float, days: float = 1, digest: str | None = None) -> int:
        digest, begins = digest or self.kept.digest(target, SUITE), NOON - days_ago * DAY
        return self.store.open_baseline(target, SUITE, digest, "tuned", "plain", begins, begins + days * DAY).id

    def run(
        self, target: str, days_ago: float, baseline: int | None = None, *, lost: bool = False, digest: str = ""
    ) -> None:
        at = NOON - days_ago * DAY
        digest = digest or self.kept.digest(target, SUITE)
        made = self.store.ensure_run(target, SUITE, at, seed=1, suite_digest=digest, next_at=at)
        run = self.store.claim(made.id, at, 60)
        assert run is not None
        assert all(self.store.record([recorded(run, unmeasured() if lost else answer(), arm=Arm.SUBJECT)]))
        found = [finding(run, alarming=False, baseline_id=baseline)] if baseline else []
        told = context(run, baseline) if baseline else None
        outcome = RunOutcome.UNMEASURED if lost else RunOutcome.MEASURED
        assert self.store.finish(run.id, run.fence, outcome, found, at, context=told)

    def approved(self, target: str, days_ago: float = 9, *, digest: str | None = None) -> int:
        """A baseline of one day and one run that is approved when it ends."""
        number = self.capture(target, days_ago, digest=digest)
        self.run(target, days_ago - 0.5, digest=digest or "")
        self.store.close_due_baselines(NOON - (days_ago - 1) * DAY)
        self.store.approve(number, "jo", "as shipped", NOON - (days_ago - 1) * DAY)
        return number

    def told(self) -> None:
        self.capture("capturing", 0.1, 3)
        self.run("no-baseline", 0.2)
        self.capture("captured", 1.9)
        self.run("captured", 1.4)
        self.store.close_due_baselines(NOON)
        self.approved("approved", 1.2)
        self.run("retired", 0.2, first := self.approved("retired"))
        self.store.retire(first, "jo", "another model", NOON - 0.1 * DAY)
        self.run("approved-anew", 1.5, self.approved("approved-anew"))
        self.approved("approved-anew", 1.2)
        self.run("outdated", 1.1, self.approved("outdated", digest="old"), digest="old")
        self.run("outdated", 0.2)
        self.approved("all-lost")
        self.run("all-lost", 0.2, lost=True)
        for name in (HEALTHY_ONE, REMOVED):
            self.run(name, 0.2, self.approved(name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("states")
    bot = {
        "subject": {"provider": "script", "model": "tuned"},
        "base": {"provider": "script", "model": "plain"},
        "suites": [SUITE],
    }
    names = [*SAID, HEALTHY_ONE, REMOVED]
    config = write(path, HEALTHY, targets=dict.fromkeys(names, bot), store="sqlite:///cliffwatch.db")
    open_store(f"sqlite:///{path}/cliffwatch.db").close()
    with reading(config) as kept:
        Story(kept).told()
    return path


@pytest.fixture
def kept(folder: Path, tmp_path: Path) -> Iterator[ReadOnlyContext]:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with reading(tmp_path / "cliffwatch.yaml") as found:
        known = {name: one for name, one in found.settings.targets.items() if name != REMOVED}
        yield ReadOnlyContext(
            found.settings.model_copy(update={"targets": known}), found.suites, found.store, lambda: NOON
        )


def alone(kept: ReadOnlyContext, target: str) -> ReadOnlyContext:
    """The same store, with one target configured."""
    settings = kept.settings.model_copy(update={"targets": {target: kept.settings.targets[target]}})
    return ReadOnlyContext(settings, kept.suites, kept.store, kept.clock)


def fetched(kept: ReadOnlyContext, *paths: str) -> list[httpx.Response]:
    """What the daemon's pages answer over the store."""
    app = create_app(
        kept.store, lambda: kept.settings, Internals(), lambda: {"ok": True}, nothing_to_reload, kept.clock
    )

    async def get() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(get())


async def nothing_to_reload() -> str | None:
    return None


@pytest.mark.parametrize("target", SAID)
def test_status_calls_it_what_it_is(kept: ReadOnlyContext, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = status(alone(kept, target))
    (row,) = found.watches
    assert (row.standing, row.needs) == (SAID[target].standing, SAID[target].needs)
    assert found.quiet == 0
    output.status(found, as_json=False)
    text = capsys.readouterr().out
    assert "\x1b[32m" not in text
    assert ("unarmed" in text) == (row.standing not in (Standing.COMPARED, Standing.NOT_MEASURED_YET))
    assert ("not measured yet" in text) == (row.standing is Standing.NOT_MEASURED_YET)
    assert not row.findings or "nothing is compared now" in text
    output.status(found, as_json=True)
    assert json.loads(capsys.readouterr().out)["watches"][0]["standing"] == SAID[target].standing


@pytest.mark.parametrize("target", SAID)
def test_pages_and_their_json_call_it_what_it_is(kept: ReadOnlyContext, target: str) -> None:
    said, seen = SAID[target], alone(kept, target)
    overview, page_of_it, fleet, detail = fetched(
        seen, "/", f"/targets/{target}", "/api/v1/targets", f"/api/v1/targets/{target}"
    )
    for html in (overview.text, page_of_it.text):
        assert html.count('class="verdict warn"') == 1, "the headline is not green"
        assert "All quiet" not in html
        assert not re.search(r'class="(state|severity) good">\s*quiet', html)
    assert fleet.json()["tone"] == "warn"
    assert fleet.json()["states"] == {said.page: 1}
    (watch,) = detail.json()["watches"]
    assert watch["standing"] == said.standing
    assert watch["stale"] is True


@pytest.mark.parametrize("target", SAID)
def test_the_mail_calls_it_what_it_is(kept: ReadOnlyContext, target: str) -> None:
    said, seen = SAID[target], alone(kept, target)
    made = compose(seen, NOON)
    mail, pictures = made.report, made.pictures
    assert (mail.quiet_count, mail.quiet, mail.quiet_names) == (0, (), ())
    assert mail.tone in ("warn", "none")
    labels = [item.label for card in mail.cards for item in card.items] + [one.text for one in mail.waiting.items]
    assert labels[0].startswith(said.mail), labels
    for text in (mail.subject, mail.headline, render.text(mail), message.preview(mail, pictures), mail.preheader):
        assert "quiet" not in text.lower()
        assert "no change" not in text
        assert "enough for every target" not in text or target not in ("never-run", "capturing")


def test_the_mail_of_a_fleet_counts_what_was_compared_alone(kept: ReadOnlyContext) -> None:
    mail = compose(kept, NOON).report
    assert [one.name for one in mail.quiet] == [HEALTHY_ONE]
    counted = {label: value for value, label in mail.numbers}
    waiting = sum(one.needs is None for one in SAID.values())
    assert (counted["quiet"], counted["not measured yet"]) == ("1", str(waiting))
    assert REMOVED not in render.text(mail)


def test_a_target_that_was_not_measured_in_the_period_is_not_quiet_in_it(kept: ReadOnlyContext) -> None:
    settings = kept.settings.model_copy(
        update={"schedule": kept.settings.schedule.model_copy(update={"probes": "every 21 days"})}
    )
    seen = alone(ReadOnlyContext(settings, kept.suites, kept.store, kept.clock), HEALTHY_ONE)
    mail = compose(seen, NOON + 8 * DAY).report
    assert mail.headline.startswith("The only target is not measured yet: healthy, Nothing was measured"), mail.headline
    assert (mail.quiet_count, mail.tone) == (0, "none")


def test_the_demo_calls_no_round_quiet_that_was_not_compared(kept: ReadOnlyContext) -> None:
    words = {
        run.id: (bool(found), round_words(run, found).plain)
        for target in (*SAID, HEALTHY_ONE)
        for run in kept.store.runs(target, SUITE)
        for found in [kept.store.findings(run_id=run.id)]
    }
    assert {compared for compared, _ in words.values()} == {True, False}
    for compared, told in words.values():
        assert told.endswith(", quiet" if compared else ", not compared")
    (lost,) = kept.store.runs("all-lost", SUITE, limit=1)
    assert words[lost.id] == (False, f"round {lost.id}: unmeasured, not compared")


def exposed(kept: ReadOnlyContext) -> str:
    return Internals().exposition(kept.store, kept.settings, NOON)[0].decode()


@pytest.mark.parametrize("target", SAID)
def test_metrics_tell_nothing_or_why_nothing_is_known(kept: ReadOnlyContext, target: str) -> None:
    series = [one for family in text_string_to_metric_families(exposed(kept)) for one in family.samples
              if one.labels.get("target") == target]  # fmt: skip
    found = {(one.name.removeprefix("cliffwatch_"), one.labels.get("status", "")): one.value for one in series}
    assert ("alarm" in {name for name, _ in found}) == SAID[target].alarms
    approved_at, success = (
        found.get((f"{name}_timestamp_seconds", "")) for name in ("baseline_approved", "run_last_success")
    )
    compared = approved_at is not None and success is not None and success >= approved_at
    assert not (compared and found["baselines", BaselineStatus.APPROVED.value] == 1)


@pytest.fixture(scope="module")
def queried(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The store's metrics of ``NOON`` in a Prometheus: what a query gives, by target or signal."""
    place = tmp_path_factory.mktemp("prometheus")
    with reading(folder / "cliffwatch.yaml") as found:
        families = text_string_to_metric_families(exposed(found))
    lines = []
    for family in families:
        for one in family.samples:
            labels = ",".join(f"{key}={json.dumps(value)}" for key, value in one.labels.items())
            lines.append(
                f'{one.name}{{{labels}{"," * bool(labels)}{JOB},instance="it"}} {one.value} {NOON.timestamp()}'
            )
    (place / "metrics.txt").write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", "metrics.txt", "data"]
    subprocess.run(blocks, cwd=place, check=True, capture_output=True)
    with prometheus.running(place, "", "--storage.tsdb.retention.time=100y") as url:

        def ask(query: str, by: str) -> dict[str, float]:
            query = query.replace("$job", "cliffwatch")
            result = prometheus.asked(url, "query", query=query, time=NOON.timestamp())["result"]
            return {one["metric"][by]: float(one["value"][1]) for one in result}

        yield ask


def test_dashboards_call_it_what_it_is(queried: Any) -> None:
    found = {target: STATES[int(value)] for target, value in queried(state(JOB), "target").items()}
    assert {target: found[target][0] for target in SAID} == {target: one.dashboard for target, one in SAID.items()}
    assert found[HEALTHY_ONE][0] == "quiet"
    green = STATES[0][1]
    assert {target for target, (_, color) in found.items() if color == green} == {HEALTHY_ONE, REMOVED}


@pytest.mark.parametrize("target", [*SAID, HEALTHY_ONE])
def test_no_signal_is_quiet_on_a_dashboard_that_is_not_compared(queried: Any, target: str) -> None:
    found = queried(judged(f'{JOB}, target="{target}"'), "signal")
    assert {ALARMS[int(value)][0] for value in found.values()} == ({"quiet"} if target == HEALTHY_ONE else set())


@pytest.mark.parametrize(
    ("status", "approved", "success", "outdated", "expected"),
    [
        (None, None, 1, False, Standing.NO_BASELINE),
        ("retired", 0, 1, False, Standing.NO_BASELINE),
        ("capturing", None, 1, False, Standing.CAPTURING),
        ("captured", None, 1, False, Standing.TO_APPROVE),
        ("approved", 0, 1, True, Standing.SUITE_CHANGED),
        ("approved", 1, 0, False, Standing.NOT_MEASURED_YET),
        ("approved", 1, None, False, Standing.NOT_MEASURED_YET),
        ("approved", 0, 1, False, Standing.COMPARED),
    ],
)
def test_the_rule(
    status: str | None, approved: int | None, success: int | None, outdated: bool, expected: Standing
) -> None:
    def at(days: int | None) -> datetime | None:
        return None if days is None else NOON + days * DAY

    assert standing(status, at(approved), at(success), outdated=outdated) is expected


def test_a_capture_is_told_by_its_days() -> None:
    start, end = NOON, NOON + timedelta(days=3, hours=2)
    assert capture_words(0, start, end, 86_400) == "baseline being captured: day 0 of 3"
    assert capture_words(9, start, end, 86_400) == "baseline being captured: day 3 of 3"


def test_from_init_to_the_mail_without_a_daemon(tmp_path: Path) -> None:
    """As a newcomer types it: a capture is open, nothing was ever asked, and nothing is called quiet."""

    def typed(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "monitor", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120,
            check=False, env=os.environ | {"LLM_API_KEY": "sk-not-used"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    typed("init")
    (target,) = yaml.safe_load((tmp_path / "cliffwatch.yaml").read_text(encoding="utf-8"))["targets"]
    typed("baseline", "capture", target, "--days", "3")
    text = typed("report")
    assert "quiet" not in text.lower()
    assert "baseline being captured: day 0 of 3" in " ".join(text.split())
    assert "none of 0 questions answered" in " ".join(text.split())
    assert "Not measured yet: 1 of 1 target" in json.loads(typed("report", "--json"))["subject"]
    assert json.loads(typed("status", "--json"))["watches"][0]["standing"] == "baseline being captured"
