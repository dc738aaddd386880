"""Executes one run, from schedule to stored result, in order.

The daemon, ``cliffwatch probe`` and a baseline captured at once all call ``execute_run``. It may be killed at any time
and called again: the ledger's claim gives the run to one caller at a time, and recorded questions are never asked
again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from monitor.ask import LostFence
from monitor.core import schedule
from monitor.core.errors import CouldNotMeasure, StoreError
from monitor.core.records import Arm, Finding, GradedAnswer, Run, RunOutcome, Suite
from monitor.core.run_kinds import run_kind
from monitor.runs import cache_check, rollback_probe
from monitor.runs.base_share import probes_for_base
from monitor.runs.context import LEASE, RunContext
from monitor.runs.grading import AnswerKey, graded_answers
from monitor.runs.judge_check import check_judge
from monitor.runs.questions import questions_of, suite_of
from monitor.runs.verdict import CLEARING_SHARE, detect, needed
from monitor.store import Overtaken

log = structlog.get_logger()

TRY_AGAIN: Final = timedelta(seconds=30)
"""How long a run waits for its next attempt after an internal error or an error of the store."""

PATIENCE: Final = timedelta(days=1)
"""How long a production run retries to read its logs."""

VERDICT_TRIES: Final = 5
"""How often a verdict is repeated because the stream changed meanwhile, before the run is left for later."""

Work = Callable[[RunContext, Run, bool], Awaitable[tuple[Finding, ...] | None]]
"""Work on a claimed run; the last argument is ``at_once``."""


async def execute_run(context: RunContext, run_id: int, *, at_once: bool = False) -> tuple[Finding, ...] | None:
    """Do the due work of one run. Returns its findings if that finished it, else ``None``.

    ``at_once`` asks every batch now instead of at its time. Runs that confirm a page, and manual runs, always do. A run
    that another process holds, or that is done, is not changed.
    """
    return await _claimed(context, run_id, _check_judge_then_measure, at_once=at_once)


async def _claimed(context: RunContext, run_id: int, work: Work, *, at_once: bool) -> tuple[Finding, ...] | None:
    """Claim a run and do ``work`` on it; the claim is released if that does not finish the run."""
    run = await asyncio.to_thread(context.store.claim, run_id, context.clock(), LEASE.total_seconds())
    if run is None:
        return None
    at_once = at_once or not run.scheduled or run.confirms is not None
    with bound_contextvars(run=run.id, target=run.target, suite=run.suite):
        try:
            async with _heartbeat(context, run):
                return await work(context, run, at_once)
        except LostFence:
            log.warning("run_taken_over", run=run.id, target=run.target, suite=run.suite)
            return None
        except CouldNotMeasure as error:
            return await _give_up(context, run, error, patient=not at_once)
        except asyncio.CancelledError:
            # Released now instead of at the end of its lease, so that a restart continues at once.
            context.store.release(run.id, run.fence, context.clock())
            raise
        except Exception:
            await asyncio.to_thread(context.store.release, run.id, run.fence, context.clock() + TRY_AGAIN)
            raise


async def _check_judge_then_measure(context: RunContext, run: Run, at_once: bool) -> tuple[Finding, ...] | None:
    """Before a fresh sample, check the judge if the page depends on it. A fresh sample that no alarm waits for is not
    asked."""
    suite = await suite_of(context, run)
    if run.confirms is not None:
        if not needed(run, await asyncio.to_thread(context.store.open_alarms, run.target, run.suite)):
            return await _conclude(context, run, suite, await asyncio.to_thread(context.store.answers, [run.id]))
        await _check_judge(context, run, suite)
    return await _measure(context, run, suite, at_once)


async def _check_judge(context: RunContext, run: Run, suite: Suite) -> None:
    await check_judge(context, run, suite, partial(_claimed, context, work=_measure_anchors, at_once=True))


async def _measure_anchors(context: RunContext, run: Run, at_once: bool) -> tuple[Finding, ...] | None:
    return await _measure(context, run, await suite_of(context, run), at_once)


async def _measure(context: RunContext, run: Run, suite: Suite, at_once: bool) -> tuple[Finding, ...] | None:
    """Ask the due questions. When all are asked, grade the answers and reach the verdict. If it decides on a page that
    waited for another day, the judge is checked before."""
    recorded = await asyncio.to_thread(context.store.answered, run.id)
    waiting_until = await _ask(context, run, suite, recorded, at_once=at_once)
    if waiting_until is not None:
        await asyncio.to_thread(context.store.release, run.id, run.fence, waiting_until)
        return None
    if run.confirms is None:  # a fresh sample was preceded by it
        await _check_judge(context, run, suite)
    await cache_check.ask(context, run, suite)
    return await _conclude(context, run, suite, await graded_answers(context, run, suite, recorded))


async def _give_up(
    context: RunContext, run: Run, error: CouldNotMeasure, *, patient: bool
) -> tuple[Finding, ...] | None:
    """End a run that cannot be asked as unmeasured. Unreadable logs are retried for ``PATIENCE``."""
    sampled = not run_kind(run.target, run.suite).frozen_items
    if patient and sampled and context.clock() < run.slot + PATIENCE:
        log.warning("run_waits", run=run.id, target=run.target, suite=run.suite, error=str(error))
        await asyncio.to_thread(context.store.release, run.id, run.fence, context.clock() + PATIENCE / 24)
        return None
    log.error("run_unmeasured", run=run.id, target=run.target, suite=run.suite, error=str(error))
    return await _finish(context, run, (), RunOutcome.UNMEASURED, clears=False)


async def _ask(
    context: RunContext, run: Run, suite: Suite, recorded: Collection[AnswerKey], *, at_once: bool
) -> datetime | None:
    """Ask the due questions that are not ``recorded``. Returns the time of the next batch, ``None`` after the last."""
    of_base = await asyncio.to_thread(probes_for_base, context.store, run, suite)
    questions = questions_of(context.settings.targets[run.target], run, suite, of_base)
    if not at_once:
        times = schedule.batch_times(run.slot, context.settings.schedule, run.seed, run.suite, run.starts_at)
        questions = schedule.plan(questions, times, run.seed)
    open_questions = [q for q in questions if q.key not in recorded]
    now = context.clock()
    due = [q for q in open_questions if q.due_at is None or q.due_at <= now]
    own, spare = rollback_probe.split(due)
    await context.asker.ask(own, run.fence)
    await rollback_probe.ask_snapshot(context, run, spare)
    return min((q.due_at for q in open_questions if q.due_at is not None and q.due_at > now), default=None)


async def _conclude(
    context: RunContext, run: Run, suite: Suite, answers: Sequence[GradedAnswer]
) -> tuple[Finding, ...] | None:
    """Detect against the approved baseline and finish the run; ``None`` if another worker finished it."""
    asked, usable = len(suite.probes) * suite.replicates, sum(a.arm is Arm.SUBJECT for a in answers)
    return await _finish(context, run, answers, outcome_of(usable, asked), clears=usable >= CLEARING_SHARE * asked)


async def _finish(
    context: RunContext, run: Run, answers: Sequence[GradedAnswer], outcome: RunOutcome, *, clears: bool
) -> tuple[Finding, ...] | None:
    """Reach the verdict and write it with the run's end; repeat if another verdict came between."""
    for left in reversed(range(VERDICT_TRIES)):
        at = context.clock()
        judged = await asyncio.to_thread(detect, context, run, answers, outcome, at, clears=clears)
        try:
            done = await asyncio.to_thread(
                context.store.finish, run.id, run.fence, outcome, judged.findings, at, context=judged.context,
                moves=judged.moves, seen=judged.seen,
                confirm_seed=schedule.confirming_seed(run.seed) if judged.confirm_at else None,
                confirm_at=judged.confirm_at, more=judged.more,
            )  # fmt: skip
        except Overtaken:
            if not left:
                raise
            continue
        context.vault.close(run.id)
        if not done:
            return None
        log.info("run_finished", target=run.target, suite=run.suite, run=run.id, slot=run.slot.isoformat(),
                 outcome=outcome, alarming=[f.signal for f in judged.findings if f.alarming],
                 alarms={alarm.signal: alarm.state for alarm in judged.moves})  # fmt: skip
        return judged.findings
    raise AssertionError("unreachable")


def outcome_of(answers: int, asked: int) -> RunOutcome:
    """``measured`` if each of the subject's questions has a usable answer, ``unmeasured`` if none has."""
    if not answers:
        return RunOutcome.UNMEASURED
    return RunOutcome.MEASURED if answers >= asked else RunOutcome.PARTIAL


@asynccontextmanager
async def _heartbeat(context: RunContext, run: Run) -> AsyncIterator[None]:
    """Renew the lease during slow calls. The fence protects the records, not this."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            with suppress(StoreError):  # a failed renewal is retried; the fence protects the run
                await asyncio.to_thread(context.store.extend_lease, run.id, run.fence, context.clock() + LEASE)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
