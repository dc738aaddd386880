"""A run's verdict: its answers against the approved baseline, and the resulting states of the alarms.

``compare`` and ``moved`` depend only on the store and their arguments, so ``cliffwatch findings --recompute`` reaches
the same verdict with them later.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from monitor import __version__
from monitor.core import schedule
from monitor.core.records import (
    JUDGE_GRADER,
    Alarm,
    AlarmState,
    Baseline,
    Comparison,
    DeletedWhy,
    Finding,
    GradedAnswer,
    Run,
    RunOutcome,
    Severity,
    VerdictContext,
)
from monitor.core.run_kinds import run_kind, suite_kind
from monitor.core.settings import Settings
from monitor.core.signals import OF_BASE, of_severity
from monitor.detect import alarms as machine
from monitor.detect import findings_for, policy
from monitor.detect.evidence import borrowed
from monitor.runs.context import RunContext
from monitor.runs.judge_check import judge_moved
from monitor.runs.questions import stored_suite
from monitor.store import More, Position, StoreReader

log = structlog.get_logger()

CLEARING_SHARE: Final = 0.8
"""Share of the subject's questions that must have an answer for a run to clear an alarm. Raising one needs less."""

MOST_OTHERS: Final = 1_000
"""Findings of other suites from which a verdict borrows how days differ: about a hundred suites."""

TICKETS: Final = frozenset(one.name for one in of_severity(Severity.TICKET)) - OF_BASE


def needed(run: Run, raised: Iterable[Alarm]) -> bool:
    """Whether to ask and judge the run: every run except a fresh sample for which none of the suite's open alarms
    (``raised``) still waits.

    Such a sample may have been asked during a fault that is over. It would raise the cleared alarm again, and its
    scores would count in the new evidence. A scheduled run that was asked before a clear and ends after it is judged
    and counts: its batches are spread over a day, most of which may be after the clear, and its alarms wait for a fresh
    sample.
    """
    return run.confirms is None or machine.awaited(raised, run.slot)


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, ready to be written."""

    findings: tuple[Finding, ...]
    context: VerdictContext | None
    """``None``: there were no answers to judge, or no baseline."""
    moves: tuple[Alarm, ...]
    confirm_at: datetime | None
    """When the fresh sample to request is due; ``None``: none is requested."""
    seen: Position
    more: More | None = None
    """One more run to ask later, because the evidence grew."""


def detect(
    context: RunContext, run: Run, answers: Sequence[GradedAnswer], outcome: RunOutcome, at: datetime, *, clears: bool
) -> Judged:
    """Compare the run's answers with its approved baseline and update the alarms. Without an approved baseline, no
    findings.

    ``answers``: the run's usable ones, as stored. The verdicts on one suite of one target, and people's actions on its
    alarms and its baseline, are serialised by the stream's position, which ``finish`` checks: each verdict has seen all
    before it and none after. The verdicts of other streams, also on other suites of the same target, are not
    serialised. They enter only through the fleet's factor on the ticket threshold, which is read here once and stored
    in the context, so that it is the same at recomputation.
    """
    seen = context.store.position(run.target, run.suite)
    raised = context.store.open_alarms(run.target, run.suite)
    if not needed(run, raised):
        log.info("confirmation_not_needed", target=run.target, suite=run.suite, run=run.id, confirms=run.confirms)
        # alarms raised since then had no own sample during this run
        waiting = any(one.state is AlarmState.RAISED and one.waits_until is None for one in raised)
        return Judged((), None, (), at if waiting else _on_another_day(context, run, raised, at), seen)
    reference = None if outcome is RunOutcome.UNMEASURED else _reference(context.store, run, seen.baseline_id)
    verdict_context: VerdictContext | None = None
    found: tuple[Finding, ...] = ()
    if reference is not None:
        verdict_context = _context(context, run, reference)
        found = tuple(findings_for(_comparison(context.store, run, answers, reference, verdict_context, at)))
    before = {alarm.signal: alarm for alarm in raised}
    after = moved(run, found, before, at, clears=clears, day=_day(context.store, reference, raised, seen))
    moves = tuple(alarm for signal, alarm in sorted(after.items()) if alarm is not before.get(signal))
    fresh = at if machine.to_confirm(after.values(), found) else _on_another_day(context, run, after.values(), at)
    more = _more(context, run, found, after, at) if fresh is None else None
    return Judged(found, verdict_context, moves, fresh, seen, more)


def moved(
    run: Run, found: Sequence[Finding], before: Mapping[str, Alarm], at: datetime, *, clears: bool, day: timedelta
) -> dict[str, Alarm]:
    """Signal -> its alarm after the run's findings; the same object if nothing changed. ``day``: length of the
    schedule's day."""
    after, confirming = dict(before), run.confirms is not None
    if confirming and not machine.awaited(before.values(), run.slot):
        return after
    for finding in found:
        alarm = machine.next_state(before.get(finding.signal), finding, at, clears=clears, day=day)
        if alarm is not None:
            after[finding.signal] = alarm
    for signal in before.keys() - {finding.signal for finding in found}:
        after[signal] = machine.unanswered(after[signal], run.id, run.slot, at, confirming=confirming, day=day)
    return after


def _on_another_day(context: RunContext, run: Run, alarms: Iterable[Alarm], at: datetime) -> datetime | None:
    """When to ask a fresh sample for alarms that wait for another day; ``None`` if none waits, or if a scheduled run
    serves."""
    waits = [one.waits_until for one in alarms if one.waits_until is not None and one.cleared_at is None]
    if not waits:
        return None
    plan = context.settings.schedule
    soon = schedule.runs_soon(plan, run.suite, at, at_least=min(waits))
    return None if soon else schedule.days_after(plan, at, 1)


def _more(
    context: RunContext, run: Run, found: Sequence[Finding], alarms: Mapping[str, Alarm], at: datetime
) -> More | None:
    """The run to ask a day later, before the next scheduled one, if a page signal's evidence grew."""
    plan = context.settings.schedule
    counts = run.scheduled or run.follows is not None
    grew = any(policy.grew(one) and one.signal not in alarms for one in found)
    if not (counts and grew) or schedule.runs_soon(plan, run.suite, at, at_least=at):
        return None
    due = schedule.days_after(plan, at, 1)
    return More(due, schedule.run_seed(run.target, run.suite, due), schedule.MOST_FOLLOWING)


@dataclass(frozen=True, slots=True)
class Reference:
    """What a run is compared with."""

    baseline: Baseline
    answers: tuple[GradedAnswer, ...]
    judge_changed: bool
    """Whether the run was scored by other judges than the baseline's runs."""


def snapshots_of(store: StoreReader, run_id: int, baseline: Baseline) -> tuple[GradedAnswer, ...]:
    """The snapshot's answers in a run and in the baseline's, if this run has any."""
    now = store.snapshots([run_id])
    return (*now, *store.snapshots(baseline.run_ids)) if now else ()


def _day(store: StoreReader, reference: Reference | None, raised: Sequence[Alarm], seen: Position) -> timedelta:
    """Length of a day when the approved baseline was captured, so that a recomputation has the same."""
    if reference is None and (not raised or seen.baseline_id is None):
        return machine.DAY  # there is no alarm for which it counts
    baseline = reference.baseline if reference is not None else store.baseline(seen.baseline_id or 0)
    return timedelta(seconds=baseline.day_seconds)


def _reference(store: StoreReader, run: Run, baseline_id: int | None) -> Reference | None:
    """The baseline and its answers; ``None`` if the run is unarmed."""
    if baseline_id is None:
        return None
    baseline = store.baseline(baseline_id)
    return _read(store, run, baseline) if baseline.suite_digest == run.suite_digest else None


def _read(store: StoreReader, run: Run, baseline: Baseline) -> Reference:
    judges = store.judges([*baseline.run_ids, run.id])
    own = judges.pop(run.id, set())
    changed = own != set().union(*judges.values())
    answers = store.answers(baseline.run_ids)
    if changed:
        # Scores of another judge are on another scale: without a verdict on scores, the judge's change is not reported
        # as one.
        answers = [replace(a, scores={g: s for g, s in a.scores.items() if g != JUDGE_GRADER}) for a in answers]
    return Reference(baseline, tuple(answers), changed)


def _context(context: RunContext, run: Run, reference: Reference) -> VerdictContext:
    """What a verdict on the run depends on now."""
    if reference.judge_changed:
        log.warning("judge_changed", target=run.target, suite=run.suite, baseline=reference.baseline.id)
    # In a new capture, production samples are compared with the approved baseline daily instead of weekly.
    sampled = suite_kind(run.suite).schedule == "production"
    capturing = sampled and context.store.before_run(run.target, run.suite, run.slot).capturing
    lines = thresholds_log10(context, run.target, run.suite, capturing=capturing)
    others = context.store.fleet_ways((run.target, run.suite), MOST_OTHERS)
    fleet = {signal: borrowed(found) for signal, found in sorted(others.items())}
    return VerdictContext(run.id, reference.baseline.id, *lines, __version__, judge_moved(context), fleet)


def thresholds_log10(context: RunContext, target: str, suite: str, *, capturing: bool = False) -> tuple[float, float]:
    """The present thresholds of one suite of a target: for pages, and for tickets with the fleet's factor."""
    line = threshold_log10(context.settings, target, suite, capturing=capturing)
    others = [
        policy.series_log10(*zip(*numbers, strict=True)) if numbers else float("-inf")
        for numbers in context.store.ticket_series((target, suite), TICKETS)
    ]
    return line, line + policy.fleet_factor_log10(others)


def threshold_log10(settings: Settings, target: str, suite: str, *, capturing: bool = False) -> float:
    """The evidence at which one suite of a target alarms alone, log10: its share of the promised rate.

    ``capturing``: in an open capture window, in which production samples are evaluated daily.
    """
    evaluations = schedule.evaluations_per_year(settings.schedule, suite, capturing=capturing)
    rate, streams = settings.alarms.false_pages_per_target_year, len(settings.targets[target].run_suites)
    return policy.threshold_log10(rate, evaluations, streams)


def compare(store: StoreReader, verdict_context: VerdictContext) -> Comparison:
    """Everything that the verdict on a run depends on, only from the store: always the same.

    The history is that at the run's own verdict, or the present one if it has none yet.
    """
    run = store.get_run(verdict_context.run_id)
    reference = _read(store, run, store.baseline(verdict_context.baseline_id))
    return _comparison(store, run, store.answers([run.id]), reference, verdict_context, run.finished_at)


def _texts_kept(store: StoreReader, run: Run) -> bool:
    return all(one.why is not DeletedWhy.NOT_KEPT for one in store.deletions([run.id]))


def _comparison(
    store: StoreReader, run: Run, answers: Sequence[GradedAnswer], reference: Reference,
    verdict_context: VerdictContext, at: datetime | None,
) -> Comparison:  # fmt: skip
    suite, baseline = stored_suite(store, run), reference.baseline
    slots = {one.slot for one in reference.answers}
    return Comparison(
        run_id=run.id,
        target=run.target,
        suite=run.suite,
        now=tuple(answers),
        baseline=reference.answers,
        prompts={probe.id: probe.prompt for probe in suite.probes},
        page_threshold_log10=verdict_context.page_threshold_log10,
        ticket_threshold_log10=verdict_context.ticket_threshold_log10,
        baseline_id=baseline.id,
        baseline_at_once=baseline.at_once,
        baseline_days=baseline.days,
        temperature=suite.sampling.temperature,
        history=store.evaluations(run.target, run.suite, baseline.id, before=run.id),
        raised=store.raised(run.target, run.suite, baseline.id, before=run.id),
        confirming=run.confirms is not None,
        judge_moved=verdict_context.judge_moved,
        at=run.slot.timestamp(),
        day_seconds=baseline.day_seconds,
        days_apart=schedule.days_apart(slots, baseline.day_seconds),
        fleet=verdict_context.fleet,
        accepted=store.accepted_values(run.target, run.suite, baseline.approved_at, at),
        unread=baseline.unread,
        texts_kept=run_kind(run.target, run.suite).frozen_items or _texts_kept(store, run),
        cache_checks=tuple(store.cache_checks(run.id)) if suite.sampling.temperature == 0 else (),
        snapshots=snapshots_of(store, run.id, baseline),
    )
