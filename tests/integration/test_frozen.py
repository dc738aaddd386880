"""The frozen sample: taken once, captured with the fresh ones in fourteen days, then asked every week."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from math import log10
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs
from typer.testing import CliRunner

from monitor.cli import app, operations
from monitor.core import schedule
from monitor.core.errors import CouldNotMeasure
from monitor.core.records import FROZEN_SUITE, PRODUCTION_SUITE, Arm, BaselineStatus, Finding, Run, RunOutcome, Severity
from monitor.runs import frozen
from monitor.runs.context import RunContext, declare, ensure_run
from monitor.runs.execute import execute_run
from monitor.runs.recompute import recompute
from tests.daemon import HEALTHY, LOST, Clock, context_of, write

ITEMS, DAYS = 20, 14
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
A_DAY = 30
"""Requests logged on each day."""
BOTH = {PRODUCTION_SUITE, FROZEN_SUITE}


def logged(day: int, number: int) -> dict[str, Any]:
    at = MONDAY + timedelta(days=day, minutes=40 * number)
    text = f"Where is order {number} of day {day}? Write to jo{number}@example.org."
    return {"at": at.isoformat(), "messages": [{"role": "user", "content": text}]}


def configured(folder: Path, rules: list[dict[str, Any]], *, store: str | None = None, days: int = 60) -> Path:
    lines = [logged(day, number) for day in range(-days, days) for number in range(A_DAY)]
    (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = {"kind": "jsonl", "path": "requests.jsonl", "time": "at"}
    production = {"source": source, "sample": ITEMS, "frozen": ITEMS, "rubric": "Pass if the reply is right."}
    target = {
        "subject": {"provider": "script", "model": "tuned"},
        "base": {"provider": "script", "model": "plain"},
        "production": production,
    }
    changes = {} if store is None else {"store": store}
    return write(folder, rules, targets={"bot": target}, **changes)


@asynccontextmanager
async def ticking(path: Path, clock: Clock) -> AsyncIterator[RunContext]:
    async with context_of(path, clock) as context:
        declare(context)
        yield context


async def tick(context: RunContext) -> list[tuple[Run, tuple[Finding, ...]]]:
    """What the daemon does at this moment: the runs that are due, to their verdicts."""
    now, store = context.clock(), context.store
    slots = store.latest_slots()
    latest = {("bot", suite): slots.get(("bot", suite)) for suite in context.settings.targets["bot"].run_suites}
    done = []
    for target, suite, slot in schedule.due(context.settings, now, latest, store.capturing(now)):
        run = ensure_run(context, target, suite, slot)
        findings = await execute_run(context, run.id)
        assert findings is not None, "production inputs are asked at once"
        done.append((store.get_run(run.id), findings))
    store.close_due_baselines(now)
    return done


async def capture(path: Path, clock: Clock, *, anew: bool = False) -> list[str]:
    async with ticking(path, clock) as context:
        return await operations.capture(context, "bot", PRODUCTION_SUITE, days=DAYS, at_once=None, anew=anew)


async def captured(path: Path, clock: Clock) -> None:
    """Both baselines, captured in ``DAYS`` days and approved. The clock is then at the start of a Monday."""
    clock.at = MONDAY + timedelta(hours=1)
    lines = await capture(path, clock)
    assert any(f"bot/{FROZEN_SUITE}: {ITEMS} inputs of 2026-11-16" in line for line in lines)
    async with ticking(path, clock) as context:
        for _ in range(DAYS):
            found = await tick(context)
            assert {run.suite for run, _ in found} == BOTH, "once a day while a capture is open"
            assert {run.outcome for run, _ in found} == {RunOutcome.MEASURED}
            clock.forward(days=1)
        context.store.close_due_baselines(clock.at)
        for suite in sorted(BOTH):
            (one,) = context.store.baselines("bot", suite, BaselineStatus.CAPTURED)
            assert (one.days, len(one.run_ids)) == (DAYS, DAYS)
            context.store.approve(one.id, "jo", "read the items and their answers", clock.at)


async def test_captured_in_fourteen_days_and_a_loss_is_seen_at_the_first_weekly_look(
    tmp_path: Path, store_url: str
) -> None:
    clock, path = Clock(), configured(tmp_path, HEALTHY, store=store_url)
    await captured(path, clock)
    async with ticking(path, clock) as context:
        looks = []
        for _ in range(14):
            clock.at = clock.at.replace(hour=7)
            looks.append({run.suite for run, _ in await tick(context)})
            clock.forward(days=1)
        assert looks == ([BOTH] + [set()] * 6) * 2, "weekly after the capture"
        assert context.store.alarms() == []
    configured(tmp_path, LOST, store=store_url)
    async with ticking(path, clock) as context:
        clock.at = clock.at.replace(hour=7)
        found = {run.suite: findings for run, findings in await tick(context)}
        alarming = {one.signal for one in found[FROZEN_SUITE] if one.alarming}
        assert {"adapter_loss", "negative_flips"} <= alarming
        assert recompute(context.store).differences == []


async def test_it_is_taken_once_and_asked_again_and_again(tmp_path: Path) -> None:
    clock, path = Clock(), configured(tmp_path, HEALTHY)
    await captured(path, clock)
    async with ticking(path, clock) as context:
        runs = [run for run in context.store.runs("bot") if run.suite == FROZEN_SUITE]
        assert len(runs) == DAYS
        asked = {frozenset(probe for _, probe, _ in context.store.answered(run.id)) for run in runs}
        assert len(asked) == 1
        assert len(next(iter(asked))) == ITEMS
        fresh = [run for run in context.store.runs("bot") if run.suite == PRODUCTION_SUITE]
        samples = [frozenset(one.id for one in context.store.production_inputs(run.id)) for run in fresh]
        assert len(set(samples)) == DAYS, "each day draws from its own requests"
        taken = frozen.present(context.store, "bot")
        assert taken is not None
        assert (taken.items, taken.digest) == (ITEMS, runs[0].suite_digest)
        body = context.store.suite_body(taken.digest)
        assert body is not None
        assert "‹email›" in body
        assert "@example.org" not in body, "redacted as every sample is"


async def test_the_threshold_counts_the_daily_evaluations_of_a_second_capture(tmp_path: Path) -> None:
    clock, path = Clock(), configured(tmp_path, HEALTHY)
    await captured(path, clock)
    async with ticking(path, clock) as context:
        clock.at = clock.at.replace(hour=7)
        weekly = {run.suite: findings for run, findings in await tick(context)}
    await capture(path, clock)
    async with ticking(path, clock) as context:
        clock.forward(days=1)
        daily = {run.suite: findings for run, findings in await tick(context)}
        assert set(weekly) == set(daily) == BOTH
        for suite in BOTH:
            pages = {one.signal: one.threshold_log10 for one in weekly[suite] if one.severity is Severity.PAGE}
            now = {one.signal: one.threshold_log10 for one in daily[suite] if one.severity is Severity.PAGE}
            more = log10(365 / schedule.evaluations_per_year(context.settings.schedule, suite))
            assert pages, suite
            assert now == {signal: pytest.approx(line + more) for signal, line in pages.items()}


async def test_a_new_one_makes_the_old_baseline_outdated(tmp_path: Path) -> None:
    clock, path = Clock(), configured(tmp_path, HEALTHY)
    await captured(path, clock)
    async with ticking(path, clock) as context:
        assert context.store.outdated() == set()
        before = frozen.present(context.store, "bot")
    await capture(path, clock, anew=True)
    async with context_of(path, clock) as context:
        after = frozen.present(context.store, "bot")
        assert before is not None
        assert after is not None
        assert after.digest != before.digest
        assert context.store.outdated() == {("bot", FROZEN_SUITE)}


async def test_without_requests_it_says_so_and_is_taken_later(tmp_path: Path) -> None:
    clock, path = Clock(MONDAY + timedelta(hours=1)), configured(tmp_path, HEALTHY)
    log = (tmp_path / "requests.jsonl").read_text()
    (tmp_path / "requests.jsonl").write_text("")
    with pytest.raises(CouldNotMeasure, match="no production input to freeze"):
        await capture(path, clock)
    async with ticking(path, clock) as context:
        assert context.store.baselines("bot") == [], "no window is left open, so the command can be repeated"
        with capture_logs() as logs:
            run = ensure_run(context, "bot", FROZEN_SUITE, clock.at)
            assert await execute_run(context, run.id) == ()
        assert context.store.get_run(run.id).outcome is RunOutcome.UNMEASURED
        (why,) = [one for one in logs if one["event"] == "run_unmeasured"]
        assert "no frozen sample was taken yet; `cliffwatch sample bot --dry-run`" in why["error"]
        assert [one["event"] for one in logs].count("frozen_sample_not_taken") == 1
        (tmp_path / "requests.jsonl").write_text(log)
        clock.forward(days=7)
        later = ensure_run(context, "bot", FROZEN_SUITE, clock.at)
        assert await execute_run(context, later.id) == ()
        assert context.store.get_run(later.id).outcome is RunOutcome.MEASURED
        assert {arm for arm, _, _ in context.store.answered(later.id)} >= {Arm.SUBJECT, Arm.BASE}


async def test_a_configuration_without_it_has_no_such_suite(tmp_path: Path) -> None:
    path = configured(tmp_path, HEALTHY)
    settings = yaml.safe_load(path.read_text())
    del settings["targets"]["bot"]["production"]["frozen"]
    path.write_text(yaml.safe_dump(settings))
    async with ticking(path, Clock()) as context:
        assert context.settings.targets["bot"].run_suites == [PRODUCTION_SUITE]


def test_its_name_is_reserved(tmp_path: Path) -> None:
    path = configured(tmp_path, HEALTHY)
    suite = yaml.safe_load((tmp_path / "probes" / "facts.yaml").read_text())
    (tmp_path / "probes" / f"{FROZEN_SUITE}.yaml").write_text(yaml.safe_dump({**suite, "name": FROZEN_SUITE}))
    settings = yaml.safe_load(path.read_text())
    settings["targets"]["bot"]["suites"] = [FROZEN_SUITE]
    path.write_text(yaml.safe_dump(settings))
    result = CliRunner().invoke(app, ["check", "--config", str(path)])
    assert "'production-frozen' is reserved for production samples" in result.output + result.stderr
