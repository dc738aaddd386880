"""Whether the version to roll back to is ready: what its few answers of the last runs come to.

The numbers are few: five probes a run, so fifteen answers of three runs. At a true rate of 0.9 the share that passes of
fifteen has a standard error of 0.08: a snapshot as good as the baseline falls 0.2 below it once in eighty looks, and
one that passes half of what the baseline does is told more than nine times in ten. Below ten checked answers only the
share that was answered counts.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, select

from monitor.records import Arm, BaselineStatus, Reason, Rollback
from monitor.store.tables import answer, baseline, baseline_run, progress, run, score, usage

RUNS: Final = 3
"""How many of a suite's last runs count."""

ANSWERED: Final = 0.8
"""Share of its questions that a snapshot which is ready answers."""

TOLERANCE: Final = 0.2
"""How far below the baseline's share of passes, on the same probes, a snapshot which is ready may lie."""

ENOUGH: Final = 10
"""Checked answers from which on their share of passes counts."""

WITHHELD: Final = (Reason.BUDGET.value, Reason.UNPRICED.value)
"""Calls that were never made: they say nothing of the snapshot."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one suite's last runs came to."""

    asked_at: datetime
    questions: int = 0
    answered: int = 0
    checked: int = 0
    passed: float = 0.0
    expected: float | None = None
    """Passes that the approved baseline's rates come to, over ``expected_of`` checked answers."""
    expected_of: int = 0


Stream = tuple[str, str]
Kept = dict[Stream, tuple[tuple[object, ...], Counts | None]]
"""(target, suite) -> the runs and the baseline that were counted, and what they came to."""


def rollbacks(connection: Connection, target: str | None, kept: Kept) -> list[Rollback]:
    baselines = _approved(connection)
    counts: dict[str, list[Counts]] = defaultdict(list)
    for stream, run_ids in _last_runs(connection, target).items():
        key = (*run_ids, baselines.get(stream))
        if kept.get(stream, ((), None))[0] != key:
            kept[stream] = (key, _count(connection, run_ids, baselines.get(stream)))
        if (found := kept[stream][1]) is not None:
            counts[stream[0]].append(found)
    return [_judged(name, found) for name, found in sorted(counts.items())]


def _judged(target: str, counts: Sequence[Counts]) -> Rollback:
    questions, checked = sum(one.questions for one in counts), sum(one.checked for one in counts)
    answered = sum(one.answered for one in counts) / questions
    passed = sum(one.passed for one in counts) / checked if checked else None
    compared = [one for one in counts if one.expected is not None]
    of = sum(one.expected_of for one in compared)
    expected = sum(one.expected or 0.0 for one in compared) / of if of else None
    ready = answered >= ANSWERED
    if passed is not None and expected is not None and checked >= ENOUGH:
        ready = ready and passed >= expected - TOLERANCE - 1e-9  # of three fifths, too, as floats have it
    return Rollback(target, answered, passed, ready, max(one.asked_at for one in counts), expected, questions)


def _approved(connection: Connection) -> dict[Stream, int]:
    rows = connection.execute(
        select(baseline.c.target, baseline.c.suite, baseline.c.id).where(
            baseline.c.status == BaselineStatus.APPROVED.value
        )
    )
    return {(target, suite): int(found) for target, suite, found in rows}


def _last_runs(connection: Connection, target: str | None) -> dict[Stream, tuple[int, ...]]:
    """(target, suite) -> its last finished runs by slot, newest first, of targets whose snapshot was ever asked.

    Fresh samples are left out, since they ask no snapshot.
    """
    asked = select(usage.c.target).where(usage.c.arm == Arm.SNAPSHOT.value)
    found: dict[Stream, list[int]] = defaultdict(list)
    for place in range(RUNS):
        nth = (
            select(run.c.id)
            .where(run.c.target == progress.c.target, run.c.suite == progress.c.suite)
            .where(run.c.status == "done", run.c.confirms.is_(None))
            .order_by(run.c.slot.desc())
            .offset(place)
            .limit(1)
            .scalar_subquery()
        )
        query = select(progress.c.target, progress.c.suite, nth).where(progress.c.target.in_(asked))
        if target is not None:
            query = query.where(progress.c.target == target)
        for name, suite, run_id in connection.execute(query):
            if run_id is not None:
                found[(name, suite)].append(int(run_id))
    return {stream: tuple(run_ids) for stream, run_ids in found.items()}


def _count(connection: Connection, run_ids: Sequence[int], baseline_id: int | None) -> Counts | None:
    """``None`` where these runs put no question to a snapshot."""
    asked = connection.execute(
        select(func.count(), func.count(answer.c.reason), func.max(run.c.finished_at))
        .join(run, run.c.id == answer.c.run_id)
        .where(answer.c.run_id.in_(run_ids), answer.c.arm == Arm.SNAPSHOT.value)
        .where(answer.c.reason.is_(None) | answer.c.reason.not_in(WITHHELD))
    ).one()
    questions, unmeasured, asked_at = asked
    if not questions:
        return None
    passes = list(_passes(connection, and_(score.c.run_id.in_(run_ids), score.c.arm == Arm.SNAPSHOT.value)))
    expected = _expected(connection, [probe for probe, _ in passes], baseline_id)
    rates = [expected[probe] for probe, _ in passes if probe in expected]
    return Counts(
        asked_at, questions, questions - unmeasured, len(passes), sum(passed for _, passed in passes),
        sum(rates) if rates else None, len(rates),
    )  # fmt: skip


def _passes(connection: Connection, which: ColumnElement[bool]) -> Iterator[tuple[str, float]]:
    """(probe, 1 or 0) of each answer with checks: it passes when its worst check does."""
    rows = connection.execute(
        select(score.c.probe, func.min(score.c.value))
        .where(which, score.c.grader.like("check:%"))
        .group_by(score.c.run_id, score.c.arm, score.c.probe, score.c.replicate)
    )
    for probe, worst in rows:
        yield probe, float(worst >= 1.0)


def _expected(connection: Connection, probes: Sequence[str], baseline_id: int | None) -> dict[str, float]:
    """Probe -> the share of the baseline's answers to it that pass."""
    if baseline_id is None or not probes:
        return {}
    of_baseline = select(baseline_run.c.run_id).where(baseline_run.c.baseline_id == baseline_id)
    which = and_(
        score.c.run_id.in_(of_baseline), score.c.arm == Arm.SUBJECT.value, score.c.probe.in_(sorted(set(probes)))
    )
    found: dict[str, list[float]] = defaultdict(list)
    for probe, passed in _passes(connection, which):
        found[probe].append(passed)
    return {probe: sum(values) / len(values) for probe, values in found.items()}
