"""A run's verdict: its answers against the approved baseline, and how the alarms move.

``compare`` and ``moved`` depend on the store and on what they are given alone: ``cliffwatch findings --recompute``
reaches the very same verdict with them later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
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
    Finding,
    Run,
    RunOutcome,
    Severity,
    VerdictContext,
)
from monitor.core.settings import Settings
from monitor.detect import SEVERITIES, findings_for, policy
from monitor.detect import alarms as machine
from monitor.runs.context import House
from monitor.runs.judge_check import judge_moved
from monitor.runs.questions import stored_suite
from monitor.store import Position, Store

log = structlog.get_logger()

CLEARING_SHARE: Final = 0.8
"""Share of the subject's questions that must have an answer for a run to clear an alarm; it may raise one with less."""

TICKETS: Final = frozenset(name for name, severity in SEVERITIES.items() if severity is Severity.TICKET)


def needed(store: Store, run: Run) -> bool:
    """Whether the run is to be asked and judged: any but a fresh sample for which no alarm waits any more.

    That one may have been asked during a fault that is over: it would raise anew what was cleared, and its scores would
    count in the new evidence. A scheduled run that was asked before a clear and ends after it is judged and counts: its
    batches are spread over a day, most of which may lie after the clear, and what it raises waits for a fresh sample.
    """
    return run.confirms is None or machine.awaited(store.open_alarms(run.target, run.suite), run.slot)


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
