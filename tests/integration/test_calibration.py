"""``cliffwatch calibrate``, and what ``check`` and ``status`` are told of a baseline that does not arm pages."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor import detect
from monitor.cli import calibrate, operations
from monitor.config import check
from monitor.core import schedule
from monitor.core.limits import too_short
from monitor.core.records import BaselineStatus, Severity
from monitor.core.signals import SEVERITIES
from monitor.runs import arming
from monitor.runs.context import RunContext, ensure_run, open_capture
from monitor.runs.execute import execute_run
from monitor.runs.manual import capture_at_once
from monitor.store import open_store
from tests.daemon import HEALTHY, LOST, SUITE, Clock, context_of, write
from tests.integration.test_cli import cliffwatch, printed

VARIED: list[dict[str, Any]] = [
    {
        "model": "tuned",
        "answers": [
            f"{greeting} {{probe}} it is, as in fact 0 to fact 11. {close}"
            for greeting in ("Certainly:", "Of course,", "Gladly!", "Sure thing:")
            for close in ("Yours, the shop.", "Happy to help!", "Write to us any time, we answer within the day.")
        ],
    },
    *HEALTHY[1:],
]
PAGES = [name for name, severity in SEVERITIES.items() if severity is Severity.PAGE]


async def approved(folder: Path, *, days: int = 0, at_once: int = 0) -> None:
    """A target with an approved baseline of so many daily runs, or runs at once."""
    clock = Clock()
    async with context_of(write(folder, VARIED), clock) as context:
        if at_once:
            await capture_at_once(context, "bot", "facts", at_once, lambda done: clock.forward(minutes=1))
        else:
            await capture(context, clock, days)
        decide(context)


async def capture(context: RunContext, clock: Clock, days: int) -> None:
    start = clock()
    open_capture(context, "bot", "facts", start, start + timedelta(days=days), at_once=False)
    for _ in range(days):
        await execute_run(context, ensure_run(context, "bot", "facts", clock()).id, at_once=True)
        clock.forward(days=1)
    context.store.close_due_baselines(clock())


def decide(context: RunContext) -> None:
    for baseline in operations.baselines_to_decide(context, "bot", None, BaselineStatus.CAPTURED):
        context.store.approve(baseline.id, "sre", "read them", context.clock())


async def test_a_table_at_a_glance_and_the_same_as_json(tmp_path: Path) -> None:
    await approved(tmp_path, days=8)
    code, out, error = cliffwatch(tmp_path, "calibrate", "bot")
    assert (code, error) == (0, "")
    asked = len(SUITE["probes"])
    assert f"bot/facts: baseline 1, 8 days, {8 * asked} answers; 365 evaluations a year, 0.1 false pages a year" in out
    assert "not armed" not in out
    code, found = printed(tmp_path, "calibrate", "bot", "--suite", "facts")
    assert code == 0
    sights = {one["signal"]: one for one in found[0]["sights"]}
    assert set(sights) | set(found[0]["unread"]) == set(detect.SIGNALS)
    assert not set(sights) & set(found[0]["unread"])
    lost = sights["adapter_loss"]
    assert (lost["severity"], lost["unarmed"], lost["days"], lost["answers_a_day"]) == ("page", "", 8, asked)
    assert 1 > lost["smallest"]["7"] > lost["smallest"]["30"] > 0
    assert lost["smallest"]["1"] > 0.9, "with so few days and answers one look shows little less than a whole loss"
    assert cliffwatch(tmp_path, "check")[:2] == (0, "cliffwatch.yaml: fine\n")


async def test_what_does_not_arm_pages_is_said_everywhere_with_what_would_suffice(tmp_path: Path) -> None:
    await approved(tmp_path, at_once=3)
    code, out, _ = cliffwatch(tmp_path, "calibrate", "bot")
    assert code == 0
    told = " ".join(out.split())
    assert "pages are not armed (adapter_loss" in told
    assert "A baseline captured over 7 days or more arms pages." in told
    assert ("rounds" in told, " days " in told.splitlines()[0].partition("smallest")[0]) == (True, False)
    sights = printed(tmp_path, "calibrate", "bot")[1][0]["sights"]
    assert {one["severity"] for one in sights} == {"ticket"}
    code, _, warned = cliffwatch(tmp_path, "check")
    assert code == 0, "a baseline is not the configuration's fault"
    assert "bot/facts: pages are not armed" in warned
    assert "pages are not armed (adapter_loss" in " ".join(cliffwatch(tmp_path, "status")[1].split())
    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
    found = arming.arming(store, store.approved("bot", "facts"), (), None)
    store.close()
    assert [name for name, _ in found] == [one["signal"] for one in sights if one["signal"] in PAGES]
    assert [name for name, _ in found] != PAGES, "what cannot be read is not said to be withheld"
    assert len(arming.render_held(found)) == 1


async def test_a_short_baseline_names_the_days_that_it_lacks(tmp_path: Path) -> None:
    await approved(tmp_path, days=3)
    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
    assert {why for _, why in arming.arming(store, store.approved("bot", "facts"), (), None)} == {
        too_short(3, at_once=False)
    }
    store.close()


@pytest.mark.parametrize(("extra", "days", "arms"), [(0, 7, True), (1, 6, False)])
async def test_policy_and_arming_count_the_same_days(tmp_path: Path, extra: int, days: int, arms: bool) -> None:
    """A week in London in which the clocks go forward; and seven looks of which two are of one day, as where the
    schedule was changed."""
    changed = {"schedule": {"batches": 1, "timezone": "Europe/London"}}
    clock = Clock(datetime(2026, 3, 25, tzinfo=UTC))
    async with context_of(write(tmp_path, VARIED, **changed), clock) as context:
        plan = context.settings.schedule
        await operations.capture(context, "bot", None, days=days, at_once=None)
        slots = [schedule.days_after(plan, clock.at, day) for day in range(days)]
        for slot in sorted([*slots, *(slots[3] + timedelta(hours=6 * one) for one in range(1, extra + 1))]):
            clock.at = slot
            await execute_run(context, ensure_run(context, "bot", "facts", slot).id, at_once=True)
        clock.at = schedule.days_after(plan, slots[0], days)
        decide(context)
        baseline = context.store.approved("bot", "facts")
        assert baseline is not None
        assert (len(baseline.run_ids), baseline.days) == (7, days)
        assert (arming.arming(context.store, baseline, (), None) == []) == arms
    async with context_of(write(tmp_path, LOST, **changed), clock) as context:
        for _ in range(3):
            await execute_run(context, (run := ensure_run(context, "bot", "facts", clock.at)).id, at_once=True)
            clock.at = schedule.days_after(plan, clock.at, 1)
        (lost,) = context.store.findings(run_id=run.id, signal="adapter_loss")
        assert lost.alarming
        assert lost.severity is (Severity.PAGE if arms else Severity.TICKET)
        assert (f"spans {days} full days" in lost.caveat) != arms


async def test_without_an_approved_baseline_there_is_nothing_to_calibrate_from(tmp_path: Path) -> None:
    write(tmp_path, VARIED)
    code, out, error = cliffwatch(tmp_path, "calibrate", "bot")
    assert (code, out) == (3, "")
    assert "no such file" in error
    assert not (tmp_path / "cliffwatch.db").exists(), "what only reads creates nothing"
    open_store(f"sqlite:///{tmp_path / 'cliffwatch.db'}").close()
    code, out, error = cliffwatch(tmp_path, "calibrate", "bot")
    assert (code, out) == (3, "")
    assert "bot/facts: no approved baseline; run cliffwatch baseline capture bot --days 14, then approve it" in error
    (tmp_path / "cliffwatch.db").unlink()
    assert cliffwatch(tmp_path, "check")[0] == 0
    assert not (tmp_path / "cliffwatch.db").exists(), "check creates nothing"
    open_store(f"sqlite:///{tmp_path / 'cliffwatch.db'}").close()
    assert cliffwatch(tmp_path, "calibrate", "bt")[0] == 2


def test_check_says_what_a_suite_cannot_promise_before_there_is_a_baseline(tmp_path: Path) -> None:
    path = write(tmp_path, VARIED, schedule={"probes": "every 3 days"})
    two = [{"id": probe["id"], "prompt": probe["prompt"]} for probe in SUITE["probes"][:2]]
    (tmp_path / "probes" / "facts.yaml").write_text(yaml.safe_dump({**SUITE, "probes": two}))
    report = calibrate.with_arming(check(path))
    assert [str(warning) for warning in report.warnings if warning.where != "judge"] == [
        "bot/facts: requests 2 answers per run, but signals need at least 5: add probes or replicates",
        "bot/facts: canaries is not measured: no probe has checks",
        "bot/facts: one evaluation every 3 days: a baseline that arms pages takes 21 days",
    ]


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody@127.0.0.1:9/none", "sqlite:///{}/broken.db"])
def test_check_does_not_depend_on_the_store(tmp_path: Path, url: str) -> None:
    (tmp_path / "broken.db").write_text("not a database")
    write(tmp_path, VARIED, store=url.format(tmp_path))
    assert cliffwatch(tmp_path, "check")[:2] == (0, "cliffwatch.yaml: fine\n")
