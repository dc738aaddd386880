"""Runs outside the schedule, asked at once and completely: a manual probe, a baseline captured now."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import RunOutcome
from monitor.runs.context import RunContext, ensure_run, open_capture
from monitor.runs.execute import execute_run


async def run_now(context: RunContext, target: str, suite: str) -> int:
    """Create a run that is due now, outside the schedule, and execute all of it. Returns its id.

    If it raises a page, the run that confirms it at once is executed too, or an unfinished confirming run that is due.
    """
    slot = context.clock()
    run = await asyncio.to_thread(ensure_run, context, target, suite, slot, scheduled=False)
    await _to_the_end(context, run.id)
    fresh = await asyncio.to_thread(context.store.under_way, target, suite)
    if fresh is not None and (fresh.starts_at or fresh.slot) <= context.clock():
        await _to_the_end(context, fresh.id)
    return run.id


async def _to_the_end(context: RunContext, run_id: int) -> None:
    """Execute a run, or wait for the process that does."""
    while await execute_run(context, run_id, at_once=True) is None:
        if (await asyncio.to_thread(context.store.get_run, run_id)).status == "done":
            break
        await asyncio.sleep(0.2)


async def capture_at_once(
    context: RunContext, target: str, suite: str, rounds: int, tell: Callable[[int], None] = lambda done: None
) -> None:
    """Capture a baseline now, in ``rounds`` successive runs. ``tell`` is called with the number of finished runs.

    Raises CouldNotMeasure if there is no answer.
    """
    start, runs = context.clock(), []
    for done in range(1, rounds + 1):
        runs.append(await run_now(context, target, suite))
        tell(done)
    ended = [(await asyncio.to_thread(context.store.get_run, run_id)).outcome for run_id in runs]
    if all(outcome is RunOutcome.UNMEASURED for outcome in ended):
        raise CouldNotMeasure(f"{target}/{suite}: none of {rounds} runs brought a usable answer; nothing was captured")
    end = context.clock() + timedelta(microseconds=1)
    open_capture(context, target, suite, start, end, at_once=True)
    await asyncio.to_thread(context.store.close_due_baselines, end)
