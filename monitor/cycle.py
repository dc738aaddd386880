"""One run from due to recorded, in order.

``execute_run`` is the one function behind the daemon, ``cliffwatch probe`` and a baseline captured at once.
It may be killed at any moment and called again: the ledger's claim hands the run to one caller at a time,
and what is recorded is never asked again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from monitor import __version__, schedule, snapshot
from monitor.ask import Asker, LostFence
from monitor.detect import SEVERITIES, findings_for, policy
from monitor.detect import alarms as machine
from monitor.errors import CliffwatchError, CouldNotMeasure, StoreError
from monitor.judge.checks import score_answer
from monitor.judge.llm import judge_questions, verdict_score
from monitor.judge.similarity import Embedder
from monitor.judge_first import ask_anchors, judge_moved
from monitor.records import (
    JUDGE_GRADER,
    PRODUCTION_SUITE,
    Alarm,
    AlarmState,
    Answer,
    Arm,
    Baseline,
    Comparison,
    Finding,
    Probe,
    Question,
    Run,
    RunOutcome,
    Score,
    Severity,
    Suite,
    VerdictContext,
)
from monitor.sample import sample_production
from monitor.seeds import question_seed
from monitor.settings import Endpoint, Settings, Target
from monitor.store import Overtaken, Position, Store
from monitor.suites import suite_from_body

log = structlog.get_logger()

LEASE: Final = timedelta(seconds=10)
"""How long a claimed run stays ours without a sign of life; a killed daemon's run is free again after it."""

TRY_AGAIN: Final = timedelta(seconds=30)
"""How long a run that failed by an error of ours or the store's waits before it is taken up again."""

PATIENCE: Final = timedelta(days=1)
"""How long a production run whose logs cannot be read goes on trying."""

CLEARING_SHARE: Final = 0.8
"""Share of the subject's questions that must have an answer for a run to clear an alarm; it may raise one with less."""

VERDICT_TRIES: Final = 5
"""How often a verdict is reached anew because the stream moved meanwhile, before the run is left for later."""

ASKED_ARMS: Final = (Arm.SUBJECT, Arm.BASE)
CHECKED_ARMS: Final = (*ASKED_ARMS, Arm.SNAPSHOT)
TICKETS: Final = frozenset(name for name, severity in SEVERITIES.items() if severity is Severity.TICKET)


@dataclass(frozen=True, slots=True)
class House:
    """What a run needs, wired once per configuration."""

    settings: Settings
    suites: dict[str, Suite]
    store: Store
    asker: Asker
    embedder: Embedder | None
    clock: Callable[[], datetime]


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


def needed(store: Store, run: Run) -> bool:
    """Whether the run is to be asked and judged: any but a fresh sample for which no alarm waits any more.

    That one may have been asked during a fault that is over: it would raise anew what was cleared, and its scores would
    count in the new evidence. A scheduled run that was asked before a clear and ends after it is judged and counts: its
    batches are spread over a day, most of which may lie after the clear, and what it raises waits for a fresh sample.
    """
    return run.confirms is None or machine.awaited(store.open_alarms(run.target, run.suite), run.slot)


async def _give_up(house: House, run: Run, error: CouldNotMeasure, *, patient: bool) -> tuple[Finding, ...] | None:
    """End a run that cannot be asked as unmeasured; logs that cannot be read get ``PATIENCE`` to come back."""
    if patient and run.suite == PRODUCTION_SUITE and house.clock() < run.slot + PATIENCE:
        log.warning("run_waits", run=run.id, target=run.target, suite=run.suite, error=str(error))
        await asyncio.to_thread(house.store.release, run.id, run.fence, house.clock() + PATIENCE / 24)
        return None
    log.error("run_unmeasured", run=run.id, target=run.target, suite=run.suite, error=str(error))
    return await _finish(house, run, RunOutcome.UNMEASURED, clears=False)


async def suite_of(house: House, run: Run) -> Suite:
    """The run's probes: its suite, or the production inputs sampled for this very run.

    A run goes on with the version of the suite that it began with, so that answers to two versions never mix.
    Raises CouldNotMeasure when the configuration no longer has the suite, or the production logs cannot be read.
    """
    target = house.settings.targets.get(run.target)
    if target is None or run.suite not in target.run_suites:
        raise CouldNotMeasure(f"{run.target}/{run.suite} is no longer in the configuration")
    if run.suite != PRODUCTION_SUITE:
        configured = house.suites[run.suite]
        if configured.digest == run.suite_digest:
            return configured
        return await asyncio.to_thread(stored_suite, house.store, run)
    assert target.production is not None
    probes = await asyncio.to_thread(house.store.production_inputs, run.id)
    if not probes:
        since = run.slot - timedelta(seconds=schedule.interval_seconds(house.settings.schedule, run.suite))
        sampled = await asyncio.to_thread(sample_production, target.production, run.seed, since, run.slot)
        log.info("production_sampled", target=run.target, run=run.id, read=sampled.read, inputs=len(sampled.inputs),
                 malformed=sampled.malformed, duplicates=sampled.duplicates, outside=sampled.outside,
                 first_malformed=sampled.first_malformed)  # fmt: skip
        await asyncio.to_thread(house.store.save_production_inputs, run.id, sampled.inputs)
        probes = [item.probe for item in sampled.inputs]
    return Suite(PRODUCTION_SUITE, run.suite_digest, tuple(probes), rubric=target.production.rubric)


def stored_suite(store: Store, run: Run) -> Suite:
    """The probes of a run as the store has them, whatever the configuration says now. Raises CouldNotMeasure."""
    if run.suite == PRODUCTION_SUITE:
        return Suite(PRODUCTION_SUITE, run.suite_digest, tuple(store.production_inputs(run.id)))
    body = store.suite_body(run.suite_digest)
    if body is None:
        raise CouldNotMeasure(f"the version of suite {run.suite} that the run began with is not in the store")
    return suite_from_body(run.suite_digest, body)


def questions_of(target: Target, run: Run, suite: Suite) -> list[Question]:
    """Every question of a run, in a fixed order; subject and base of one probe and replicate side by side.

    The snapshot's few come last.
    """
    endpoints = [(Arm.SUBJECT, target.subject, suite.replicates)]
    if target.base is not None:
        endpoints.append((Arm.BASE, target.base, suite.base_replicates))
    questions = [
        _question(run, suite, probe, replicate, arm, endpoint)
        for replicate in range(suite.replicates)
        for probe in suite.probes
        for arm, endpoint, replicates in endpoints
        if replicate < replicates
    ]
    if (spare := target.snapshot) is not None:
        chosen = snapshot.probes_for_snapshot(run, suite)
        questions += [_question(run, suite, probe, 0, Arm.SNAPSHOT, spare) for probe in chosen]
    return questions


def _question(run: Run, suite: Suite, probe: Probe, replicate: int, arm: Arm, endpoint: Endpoint) -> Question:
    return Question(
        run_id=run.id,
        target=run.target,
        suite=suite.name,
        arm=arm,
        probe=probe.id,
        replicate=replicate,
        provider=endpoint.provider,
        model=endpoint.model,
        messages=probe.messages,
        sampling=suite.sampling,
        seed=question_seed(run.seed, arm, probe.id, replicate),
        response_schema=suite.response_schema,
    )


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
    own, spare = snapshot.split(due)
    await house.asker.ask(own, run.fence)
    await snapshot.ask_snapshot(house, run, spare)
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


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, ready to be written."""

    findings: tuple[Finding, ...]
    context: VerdictContext | None
    """``None``: there was nothing to judge, or nothing to judge it by."""
    moves: tuple[Alarm, ...]
    confirm: bool
    """Whether a fresh sample is to be asked now."""
    seen: Position


def detect(house: House, run: Run, outcome: RunOutcome, at: datetime, *, clears: bool) -> Judged:
    """Compare the run's answers with its approved baseline and move the alarms; none approved, nothing found.

    Serialised, by the stream's position, which ``finish`` checks: the verdicts on one suite of one target and what
    people do to its alarms and its baseline. Each verdict has seen all those before it and none after. Not serialised:
    the verdicts of other streams, on other suites of the same target too. They only enter by the fleet's share of the
    ticket line, which is read here once and kept in the context, so that it is the same at recomputation.
    """
    store = house.store
    seen = store.position(run.target, run.suite)
    if not needed(store, run):
        log.info("confirmation_not_needed", target=run.target, suite=run.suite, run=run.id, confirms=run.confirms)
        waiting = any(one.state is AlarmState.RAISED for one in store.open_alarms(run.target, run.suite))
        return Judged((), None, (), waiting, seen)  # what was raised since had no sample of its own while this ran
    context = None if outcome is RunOutcome.UNMEASURED else _context(house, run, seen.baseline_id)
    found = () if context is None else tuple(findings_for(compare(store, context)))
    before = {alarm.signal: alarm for alarm in store.open_alarms(run.target, run.suite)}
    after = moved(run, found, before, at, clears=clears)
    moves = tuple(alarm for signal, alarm in sorted(after.items()) if alarm is not before.get(signal))
    return Judged(found, context, moves, machine.to_confirm(list(after.values()), found), seen)


def moved(
    run: Run, found: Sequence[Finding], before: Mapping[str, Alarm], at: datetime, *, clears: bool
) -> dict[str, Alarm]:
    """Signal -> its alarm after the run's findings; the very same object where nothing changed."""
    after = dict(before)
    if run.confirms is not None and not machine.awaited(before.values(), run.slot):
        return after
    for finding in found:
        alarm = machine.next_state(before.get(finding.signal), finding, at, clears=clears)
        if alarm is not None:
            after[finding.signal] = alarm
    if run.confirms is not None:
        for signal in before.keys() - {finding.signal for finding in found}:
            after[signal] = machine.unconfirmable(after[signal], run.id, at)
    return after


def _context(house: House, run: Run, baseline_id: int | None) -> VerdictContext | None:
    """What a verdict on the run depends on as of now; ``None`` where it is unarmed."""
    if baseline_id is None:
        return None
    baseline = house.store.baseline(baseline_id)
    if baseline.suite_digest != run.suite_digest:
        return None
    if judge_changed(house.store, baseline, run):
        log.warning("judge_changed", target=run.target, suite=run.suite, baseline=baseline.id)
    lines = lines_log10(house, run.target, run.suite)
    return VerdictContext(run.id, baseline.id, *lines, __version__, judge_moved(house))


def lines_log10(house: House, target: str, suite: str) -> tuple[float, float]:
    """The lines of one suite of a target as of now: for pages, and for tickets with the fleet's share in it."""
    line = line_log10(house.settings, target, suite)
    others = [
        policy.stream_log10(*zip(*numbers, strict=True)) if numbers else float("-inf")
        for numbers in house.store.ticket_streams((target, suite), TICKETS)
    ]
    return line, line + policy.fleet_factor_log10(others)


def line_log10(settings: Settings, target: str, suite: str) -> float:
    """The evidence at which one suite of a target alarms by itself, log10: its share of the promised rate."""
    looks = schedule.looks_per_year(settings.schedule, suite)
    rate, streams = settings.alarms.false_pages_per_target_year, len(settings.targets[target].run_suites)
    return policy.line_log10(rate, looks, streams)


def compare(store: Store, context: VerdictContext) -> Comparison:
    """All that the verdict on a run depends on, from the store alone: the same whenever it is asked for.

    The history is that of the run's own place among the verdicts, or of now where it has none yet.
    """
    run, baseline = store.get_run(context.run_id), store.baseline(context.baseline_id)
    suite = stored_suite(store, run)
    before = store.answers(baseline.run_ids)
    if judge_changed(store, baseline, run):
        # Another judge's scores are another scale: better no verdict on scores than one on the judge.
        before = [replace(a, scores={g: s for g, s in a.scores.items() if g != JUDGE_GRADER}) for a in before]
    return Comparison(
        run_id=run.id,
        target=run.target,
        suite=run.suite,
        now=tuple(store.answers([run.id])),
        baseline=tuple(before),
        prompts={probe.id: probe.prompt for probe in suite.probes},
        page_line_log10=context.page_line_log10,
        ticket_line_log10=context.ticket_line_log10,
        baseline_id=baseline.id,
        baseline_at_once=baseline.at_once,
        baseline_days=baseline.days,
        temperature=suite.sampling.temperature,
        history=store.looks(run.target, run.suite, baseline.id, before=run.id),
        raised=store.raised(run.target, run.suite, baseline.id, before=run.id),
        confirming=run.confirms is not None,
        judge_moved=context.judge_moved,
    )


def judge_changed(store: Store, baseline: Baseline, run: Run) -> bool:
    """Whether the run was scored by other judges than the baseline's runs."""
    return store.judges(baseline.run_ids) != store.judges([run.id])


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
