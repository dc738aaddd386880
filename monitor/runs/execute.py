"""One run from due to recorded, in order.

``execute_run`` is the one function behind the daemon, ``cliffwatch probe`` and a baseline captured at once.
It may be killed at any moment and called again: the ledger's claim hands the run to one caller at a time,
and what is recorded is never asked again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from monitor.ask import LostFence
from monitor.core import schedule
from monitor.core.errors import CliffwatchError, CouldNotMeasure, StoreError
from monitor.core.records import PRODUCTION_SUITE, Answer, Arm, Finding, Run, RunOutcome, Score, Suite
from monitor.judge.checks import score_answer
from monitor.judge.llm import judge_questions, verdict_score
from monitor.runs import rollback_probe
from monitor.runs.context import LEASE, House
from monitor.runs.judge_check import ask_anchors
from monitor.runs.questions import questions_of, suite_of
from monitor.runs.verdict import CLEARING_SHARE, detect, needed
from monitor.store import Overtaken

log = structlog.get_logger()

TRY_AGAIN: Final = timedelta(seconds=30)
"""How long a run that failed by an error of ours or the store's waits before it is taken up again."""

PATIENCE: Final = timedelta(days=1)
"""How long a production run whose logs cannot be read goes on trying."""

VERDICT_TRIES: Final = 5
"""How often a verdict is reached anew because the stream moved meanwhile, before the run is left for later."""

ASKED_ARMS: Final = (Arm.SUBJECT, Arm.BASE)
CHECKED_ARMS: Final = (*ASKED_ARMS, Arm.SNAPSHOT)


async def execute_run(house: House, run_id: int, *, at_once: bool = False) -> tuple[Finding, ...] | None:
    """Do what is due of one run; its findings when that finished it, else ``None``.

    ``at_once`` asks every batch now instead of waiting for its time, as a run that confirms a page, or that a person
    asked for, always does. A run that another process holds, or that is done, is left alone.
    """
    run = await asyncio.to_thread(house.store.claim, run_id, house.clock(), LEASE.total_seconds())
    if run is None:
        return None
    at_once = at_once or not run.scheduled or run.confirms is not None
    with bound_contextvars(run=run.id, target=run.target, suite=run.suite):
        return await _execute(house, run, at_once=at_once)


async def _execute(house: House, run: Run, *, at_once: bool) -> tuple[Finding, ...] | None:
    """The same of a claimed run; every line that is logged within says whose it is."""
    try:
        async with _heartbeat(house, run):
            suite = await suite_of(house, run)
            if not await asyncio.to_thread(needed, house.store, run):
                return await _conclude(house, run, suite)
            waiting_until = await _ask(house, run, suite, at_once=at_once)
            if waiting_until is not None:
                await asyncio.to_thread(house.store.release, run.id, run.fence, waiting_until)
                return None
            await _judge(house, run, suite)
            await _score(house, run, suite)
            await _embed(house, run)
            await ask_anchors(house, run, suite, lambda anchors: execute_run(house, anchors, at_once=True))
            return await _conclude(house, run, suite)
    except LostFence:
        log.warning("run_taken_over", run=run.id, target=run.target, suite=run.suite)
        return None
    except CouldNotMeasure as error:
        return await _give_up(house, run, error, patient=not at_once)
    except asyncio.CancelledError:
        # Given back now instead of when its lease runs out, so that a restart goes on at once.
        house.store.release(run.id, run.fence, house.clock())
        raise
    except Exception:
        await asyncio.to_thread(house.store.release, run.id, run.fence, house.clock() + TRY_AGAIN)
        raise


async def _give_up(house: House, run: Run, error: CouldNotMeasure, *, patient: bool) -> tuple[Finding, ...] | None:
    """End a run that cannot be asked as unmeasured; logs that cannot be read get ``PATIENCE`` to come back."""
    if patient and run.suite == PRODUCTION_SUITE and house.clock() < run.slot + PATIENCE:
        log.warning("run_waits", run=run.id, target=run.target, suite=run.suite, error=str(error))
        await asyncio.to_thread(house.store.release, run.id, run.fence, house.clock() + PATIENCE / 24)
        return None
    log.error("run_unmeasured", run=run.id, target=run.target, suite=run.suite, error=str(error))
    return await _finish(house, run, RunOutcome.UNMEASURED, clears=False)


async def _ask(house: House, run: Run, suite: Suite, *, at_once: bool) -> datetime | None:
    """Ask what is due; the time of the next batch, or ``None`` when all batches are in."""
    questions = questions_of(house.settings.targets[run.target], run, suite)
    if not at_once:
        times = schedule.batch_times(run.slot, house.settings.schedule, run.seed, run.suite, run.starts_at)
        questions = schedule.plan(questions, times, run.seed)
    recorded = await asyncio.to_thread(house.store.answered, run.id)
    open_questions = [q for q in questions if q.key not in recorded]
    now = house.clock()
    due = [q for q in open_questions if q.due_at is None or q.due_at <= now]
    own, spare = rollback_probe.split(due)
    await house.asker.ask(own, run.fence)
    await rollback_probe.ask_snapshot(house, run, spare)
    return min((q.due_at for q in open_questions if q.due_at is not None and q.due_at > now), default=None)


async def _judge(house: House, run: Run, suite: Suite) -> None:
    """Ask the judge about every usable answer that it has not been asked about."""
    if house.settings.judge is None:
        return
    answers = await asyncio.to_thread(house.store.answers, [run.id])
    questions = judge_questions(run, suite, answers, house.settings.judge)
    recorded = await asyncio.to_thread(house.store.answered, run.id)
    await house.asker.ask([q for q in questions if q.key not in recorded], run.fence)


async def _score(house: House, run: Run, suite: Suite) -> None:
    """Write every grader's score; the graders are deterministic, so a second pass changes nothing."""
    probes = {probe.id: probe for probe in suite.probes}
    outcomes = await asyncio.to_thread(house.store.outcomes, run.id)
    scores: list[Score] = []
    compared: list[tuple[tuple[Arm, str, int], tuple[str, str]]] = []
    for (arm, probe_id, replicate), outcome in outcomes:
        probe = probes.get(probe_id)
        if probe is None or not isinstance(outcome, Answer):
            continue
        if arm in CHECKED_ARMS:
            graded = await asyncio.to_thread(score_answer, probe, outcome.text)
            scores += [Score(arm, probe_id, replicate, grader, value, detail) for grader, value, detail in graded]
            if probe.reference and arm in ASKED_ARMS:
                compared.append(((arm, probe_id, replicate), (outcome.text, probe.reference)))
        elif (verdict := verdict_score(arm, probe_id, replicate, outcome)) is not None:
            scores.append(verdict)
    if house.embedder is not None and compared:
        try:
            values = await house.embedder.similarity_scores([pair for _, pair in compared])
        except CliffwatchError as error:
            # One grader that cannot work must not cost the run its other readings.
            log.error("similarity_failed", target=run.target, suite=run.suite, run=run.id, error=str(error))
        else:
            scores += [Score(*key, "similarity", value) for (key, _), value in zip(compared, values, strict=True)]
    await asyncio.to_thread(house.store.add_scores, run.id, run.fence, scores)


async def _embed(house: House, run: Run) -> None:
    """Keep the meaning of every usable answer that has none yet. What fails costs the run one signal's kernel."""
    if house.embedder is None:
        return
    answers = await asyncio.to_thread(house.store.answers, [run.id])
    missing = [answer for answer in answers if answer.embedding is None]
    try:
        vectors = await house.embedder.embed([answer.text for answer in missing])
    except CliffwatchError as error:
        log.error("embedding_failed", target=run.target, suite=run.suite, run=run.id, error=str(error))
        return
    keyed = {(one.arm, one.probe, one.replicate): vector for one, vector in zip(missing, vectors, strict=True)}
    await asyncio.to_thread(house.store.save_embeddings, run.id, run.fence, keyed)


async def _conclude(house: House, run: Run, suite: Suite) -> tuple[Finding, ...] | None:
    """Detect against the approved baseline and finish the run; ``None`` when another worker finished it."""
    answers = await asyncio.to_thread(house.store.answers, [run.id])
    asked, usable = len(suite.probes) * suite.replicates, sum(a.arm is Arm.SUBJECT for a in answers)
    return await _finish(house, run, outcome_of(usable, asked), clears=usable >= CLEARING_SHARE * asked)


async def _finish(house: House, run: Run, outcome: RunOutcome, *, clears: bool) -> tuple[Finding, ...] | None:
    """Reach the verdict and write it with the run's end; again where another one came between."""
    for left in reversed(range(VERDICT_TRIES)):
        at = house.clock()
        judged = await asyncio.to_thread(detect, house, run, outcome, at, clears=clears)
        try:
            done = await asyncio.to_thread(
                house.store.finish, run.id, run.fence, outcome, judged.findings, at, context=judged.context,
                moves=judged.moves, seen=judged.seen,
                confirm_seed=schedule.confirming_seed(run.seed) if judged.confirm else None,
            )  # fmt: skip
        except Overtaken:
            if not left:
                raise
            continue
        if not done:
            return None
        log.info("run_finished", target=run.target, suite=run.suite, run=run.id, slot=run.slot.isoformat(),
                 outcome=outcome, alarming=[f.signal for f in judged.findings if f.alarming],
                 alarms={alarm.signal: alarm.state for alarm in judged.moves})  # fmt: skip
        return judged.findings
    raise AssertionError("unreachable")


def outcome_of(answers: int, asked: int) -> RunOutcome:
    """``measured`` when each of the subject's questions has a usable answer, ``unmeasured`` when none has."""
    if not answers:
        return RunOutcome.UNMEASURED
    return RunOutcome.MEASURED if answers >= asked else RunOutcome.PARTIAL


@asynccontextmanager
async def _heartbeat(house: House, run: Run) -> AsyncIterator[None]:
    """Keep the lease alive while a slow call is out; the fence, not this, protects what is recorded."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            with suppress(StoreError):  # what cannot be written now is tried again; the fence protects the run
                await asyncio.to_thread(house.store.extend_lease, run.id, run.fence, house.clock() + LEASE)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
