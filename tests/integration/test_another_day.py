"""A page of a rate waits for another day: the next daily run, or for a weekly suite a fresh sample a day later."""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from monitor.core.records import Alarm, AlarmState, Confirmation, Finding, Run, RunOutcome, Severity
from monitor.runs.context import RunContext, ensure_run
from monitor.runs.execute import execute_run
from monitor.runs.manual import run_now
from monitor.runs.recompute import recompute
from tests.daemon import AFTER, DOWN, HEALTHY, LOST, Clock, context_of, one_day
from tests.daemon import write as written

DAY = timedelta(days=1)
WEEKLY: dict[str, Any] = {"schedule": {"batches": 1, "probes": "weekly sun 00:00"}}
SLIPS: list[dict[str, Any]] = [
    {"model": "tuned", "probe": "fact-[0-6]", "answers": ["Certainly: another thing. Yours, the shop."]},
    {"model": "judge", "prompt": "another thing", "answers": ['{"verdict": "fail"}']},
    *HEALTHY,
]
"""The judge fails seven of eighteen answers; none is nearer to the base's."""


def write(folder: Path, script: list[dict[str, Any]], **settings: Any) -> Path:
    """With a low threshold, so that two or three days of a rate cross it."""
    return written(folder, script, **{"alarms": {"false_pages_per_target_year": 30}} | settings)


def rate(context: RunContext) -> Alarm:
    """The open alarm of the judge's score."""
    return next(one for one in context.store.open_alarms("bot", "facts") if one.signal == "judge_score")


def pages(context: RunContext) -> list[Alarm]:
    opened = context.store.open_alarms("bot", "facts")
    return [one for one in opened if one.severity is Severity.PAGE and one.state is AlarmState.CONFIRMED]


async def until_raised(context: RunContext, clock: Clock, step: timedelta = DAY) -> Run:
    """Scheduled runs until the judge's score raises it; the run that raised them. The clock shows its end."""
    for _ in range(6):
        run = await once(context, clock)
        if any(one.signal == "judge_score" and one.raised_run_id == run.id for one in context.store.alarms("bot")):
            return run
        clock.at = run.slot + step
    raise AssertionError("never raised")


async def once(context: RunContext, clock: Clock) -> Run:
    """One scheduled run at the clock's time, at once; then it is two hours later."""
    run = ensure_run(context, "bot", "facts", clock.at)
    clock.forward(hours=2)
    assert await execute_run(context, run.id, at_once=True) is not None
    return context.store.get_run(run.id)


def waiting_fresh(context: RunContext) -> Run:
    fresh = context.store.under_way("bot", "facts")
    assert fresh is not None
    return fresh


async def test_a_daily_suite_pages_with_the_next_days_run(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, SLIPS), clock) as context:
        run = await until_raised(context, clock)
        alarm = rate(context)
        assert (alarm.state, alarm.confirmation) == (AlarmState.RAISED, Confirmation.AWAITS_ANOTHER_DAY)
        assert alarm.waits_until == run.slot + timedelta(hours=16)
        assert context.store.under_way("bot", "facts") is None, "the next run serves"
        (found,) = context.store.findings(run_id=run.id, signal="judge_score")
        assert not found.structural
        clock.at = run.slot + timedelta(hours=9)
        await run_now(context, "bot", "facts")
        assert rate(context) == alarm, "the same day, whatever it shows"
        assert pages(context) == []
        clock.at = run.slot + DAY
        next_run = await once(context, clock)
        page = rate(context)
        assert (page.state, page.severity, page.confirmation, page.confirmed_run_id) == (
            AlarmState.CONFIRMED, Severity.PAGE, Confirmation.ANOTHER_DAY, next_run.id,
        )  # fmt: skip
        again = recompute(context.store)
        assert (again.differences, again.alarms_equal) == ([], again.alarms)


async def test_an_odd_day_is_a_ticket_and_an_unmeasured_day_is_none(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    path = write(armed_folder, SLIPS)
    async with context_of(path, clock) as context:
        run = await until_raised(context, clock)
    write(armed_folder, DOWN)
    async with context_of(path, clock) as context:
        clock.at = run.slot + DAY
        assert (await once(context, clock)).outcome is RunOutcome.UNMEASURED
        assert rate(context).confirmation is Confirmation.AWAITS_ANOTHER_DAY, "an outage decides nothing"
    half = [{"model": "tuned", "probe": "fact-1[0-7]|fact-[5-9]", "error": {"reason": "server_error"}, "answers": [""]}]
    write(armed_folder, [*half, *HEALTHY])
    async with context_of(path, clock) as context:
        clock.at = run.slot + 2 * DAY
        await once(context, clock)
        lowered = rate(context)
        assert (lowered.severity, lowered.confirmation) == (Severity.TICKET, Confirmation.ANOTHER_DAY_DISAGREES)
        assert pages(context) == []
        assert recompute(context.store).differences == []


async def test_a_page_that_nothing_can_confirm_for_days_is_sent(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    path = write(armed_folder, SLIPS)
    async with context_of(path, clock) as context:
        run = await until_raised(context, clock)
    write(armed_folder, DOWN)
    async with context_of(path, clock) as context:
        for day in (1, 2, 3):
            assert pages(context) == []
            clock.at = run.slot + day * DAY
            await once(context, clock)
        assert rate(context).confirmation is Confirmation.NOT_ASKED
        assert rate(context) in pages(context)
        assert recompute(context.store).differences == []


async def test_a_weekly_suite_asks_a_fresh_sample_a_day_later(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, SLIPS, **WEEKLY), clock) as context:
        run = await until_raised(context, clock, 7 * DAY)
        fresh, ended = waiting_fresh(context), clock.at
        assert (fresh.confirms, fresh.slot, fresh.next_at) == (run.id, ended + DAY, ended + DAY)
        assert not [one for one in context.store.due_runs(clock.at) if one.confirms]
        clock.forward(hours=3)
        await run_now(context, "bot", "facts")
        assert context.store.get_run(fresh.id).status == "due", "a manual run does not bring it forward"
        assert pages(context) == []
        clock.at = fresh.slot
        assert [one.id for one in context.store.due_runs(clock.at) if one.confirms] == [fresh.id]
        assert await execute_run(context, fresh.id)
        page = rate(context)
        assert (page.state, page.confirmation, page.confirmed_run_id) == (
            AlarmState.CONFIRMED, Confirmation.ANOTHER_DAY, fresh.id,
        )  # fmt: skip
        assert context.store.under_way("bot", "facts") is None
        assert recompute(context.store).differences == []


async def test_a_weekly_suite_without_a_fresh_sample_pages_and_says_so(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    path = write(armed_folder, SLIPS, **WEEKLY)
    async with context_of(path, clock) as context:
        await until_raised(context, clock, 7 * DAY)
    write(armed_folder, DOWN, **WEEKLY)
    async with context_of(path, clock) as context:
        fresh = waiting_fresh(context)
        clock.at = fresh.slot
        assert await execute_run(context, fresh.id) == ()
        assert rate(context).confirmation is Confirmation.NOT_ASKED
        assert rate(context) in pages(context)


async def test_a_structural_page_brings_the_fresh_sample_forward_and_the_rate_gets_another(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    path = write(armed_folder, SLIPS, **WEEKLY)
    async with context_of(path, clock) as context:
        await until_raised(context, clock, 7 * DAY)
        fresh = waiting_fresh(context)
    write(armed_folder, LOST, **WEEKLY)
    async with context_of(path, clock) as context:
        clock.forward(hours=1)
        by_hand = ensure_run(context, "bot", "facts", clock.at, scheduled=False)
        found = {one.signal: one for one in await execute_run(context, by_hand.id) or ()}
        assert found["adapter_loss"].alarming
        assert found["judge_score"].structural, "all fail now, so it waits no longer either"
        brought = waiting_fresh(context)
        assert (brought.id, brought.confirms, brought.next_at) == (fresh.id, by_hand.id, clock.at)
        assert await execute_run(context, fresh.id)
        assert {one.signal for one in pages(context)} >= {"adapter_loss", "judge_score"}
        assert recompute(context.store).differences == []


async def test_a_loss_of_a_part_pages_at_once_and_its_rate_a_day_later(armed_folder: Path) -> None:
    """The same run raises both: the fresh sample at once is for the one, another a day later for the other."""
    part = [{**LOST[0], "probe": "fact-[0-6]"}, *HEALTHY]
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, part, **WEEKLY), clock) as context:
        run = await until_raised(context, clock, 7 * DAY)
        raised = {one.signal: one for one in context.store.open_alarms("bot", "facts")}
        assert raised["adapter_loss"].waits_until is None
        assert raised["judge_score"].waits_until is not None
        first = waiting_fresh(context)
        assert raised["adapter_loss"].raised_run_id == run.id
        assert (first.confirms, first.next_at) == (run.id, clock.at)
        assert await execute_run(context, first.id)
        assert {one.signal for one in pages(context)} & {"adapter_loss", "judge_score"} == {"adapter_loss"}
        second = waiting_fresh(context)
        assert second.confirms in (first.id, run.id)
        clock.at = second.slot
        assert await execute_run(context, second.id)
        assert rate(context).confirmation is Confirmation.ANOTHER_DAY
        assert recompute(context.store).differences == []


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.daemon import AFTER, Clock, context_of
from tests.integration.test_another_day import DAY, until_raised

async def main(path, weeks):
    clock = Clock(AFTER)
    async with context_of(Path(path), clock) as context:
        await until_raised(context, clock, (7 if weeks == "weekly" else 1) * DAY)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


async def killed_while_waiting(path: Path, how: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(path), how, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert await process.wait() == -signal.SIGKILL


async def test_kill_9_while_a_page_waits_loses_nothing(armed_folder: Path) -> None:
    path = write(armed_folder, SLIPS)
    await killed_while_waiting(path, "daily")
    clock = Clock(AFTER)
    async with context_of(path, clock) as context:
        alarm = rate(context)
        assert alarm.confirmation is Confirmation.AWAITS_ANOTHER_DAY
        clock.at = context.store.get_run(alarm.raised_run_id).slot + DAY
        await once(context, clock)
        assert rate(context).confirmation is Confirmation.ANOTHER_DAY


async def test_kill_9_while_a_weekly_page_waits_loses_nothing(armed_folder: Path) -> None:
    path = write(armed_folder, SLIPS, **WEEKLY)
    await killed_while_waiting(path, "weekly")
    clock = Clock(AFTER)
    async with context_of(path, clock) as context:
        fresh = waiting_fresh(context)
        clock.at = fresh.slot
        assert await execute_run(context, fresh.id)
        assert rate(context).confirmation is Confirmation.ANOTHER_DAY


def structural(found: list[Finding]) -> dict[str, bool]:
    return {one.signal: one.structural for one in found}


async def test_what_is_structural_is_stored_with_the_finding(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, LOST), clock) as context:
        live = structural(list(await one_day(context, clock)))
        assert live == structural(context.store.findings(limit=50))
        assert {name for name, is_so in live.items() if is_so} == {"adapter_loss", "judge_score"}
        assert not live["length"]
