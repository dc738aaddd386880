"""Whether the version to roll back to is ready, from its few answers of the last runs.

There are few answers: five probes per run, so fifteen of three runs. At a true rate of 0.9, the share of passes of
fifteen has a standard error of 0.08. A snapshot as good as the baseline falls 0.2 below it once in eighty checks, and
one that passes half as often as the baseline is detected more than nine times in ten. With fewer than ten checked
answers, only the share of answered questions counts.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select

from monitor.core.records import Arm, BaselineStatus, Reason, Rollback
from monitor.store.change_markers import chunks
from monitor.store.tables import answer, baseline, baseline_run, progress, run, score, usage

RUNS: Final = 3
"""Number of a suite's last runs that count."""

ANSWERED: Final = 0.8
"""Least share of its questions that a ready snapshot answers."""

TOLERANCE: Final = 0.2
"""Largest distance of a ready snapshot below the baseline's share of passes on the same probes."""

ENOUGH: Final = 10
"""Least checked answers for their share of passes to count."""

WITHHELD: Final = (Reason.BUDGET.value, Reason.UNPRICED.value)
"""Reasons of calls that were never made, which show nothing about the snapshot."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of one suite's last runs."""

    asked_at: datetime
    questions: int = 0
    answered: int = 0
    checked: int = 0
    passed: float = 0.0
    expected: float | None = None
    """Passes expected from the approved baseline's rates, over ``expected_of`` checked answers."""
    expected_of: int = 0


STREAMS: Final = 150
"""Streams counted at once: three runs each, and their probes, within every backend's limit of parameters."""

Stream = tuple[str, str]
Kept = dict[Stream, tuple[tuple[object, ...], Counts | None]]
"""(target, suite) -> the counted runs and baseline, and the result."""


def rollbacks(connection: Connection, target: str | None, kept: Kept) -> list[Rollback]:
    last = _last_runs(connection, target)
    if not last:  # no snapshot was ever asked: status and pages need no baselines for that
        return []
    baselines = _approved(connection, target)
    keys = {stream: (*run_ids, baselines.get(stream)) for stream, run_ids in last.items()}
    unseen = [stream for stream, key in keys.items() if kept.get(stream, ((), None))[0] != key]
    for some in chunks(unseen, STREAMS):
        found = _count(connection, {stream: (last[stream], baselines.get(stream)) for stream in some})
        kept.update({stream: (keys[stream], found.get(stream)) for stream in some})
    counts: dict[str, list[Counts]] = defaultdict(list)
    for stream in last:
        if (one := kept[stream][1]) is not None:
            counts[stream[0]].append(one)
    return [_judged(name, each) for name, each in sorted(counts.items())]


def _judged(target: str, counts: Sequence[Counts]) -> Rollback:
    questions, checked = sum(one.questions for one in counts), sum(one.checked for one in counts)
    answered = sum(one.answered for one in counts) / questions
    passed = sum(one.passed for one in counts) / checked if checked else None
    compared = [one for one in counts if one.expected is not None]
    of = sum(one.expected_of for one in compared)
    expected = sum(one.expected or 0.0 for one in compared) / of if of else None
    ready = answered >= ANSWERED
    if passed is not None and expected is not None and checked >= ENOUGH:
        ready = ready and passed >= expected - TOLERANCE - 1e-9  # includes exactly TOLERANCE below, despite rounding
    return Rollback(target, answered, passed, ready, max(one.asked_at for one in counts), expected, questions)


def _approved(connection: Connection, target: str | None) -> dict[Stream, int]:
    query = select(baseline.c.target, baseline.c.suite, baseline.c.id).where(
        baseline.c.status == BaselineStatus.APPROVED.value
    )
    rows = connection.execute(query if target is None else query.where(baseline.c.target == target))
    return {(name, suite): int(found) for name, suite, found in rows}


def _last_runs(connection: Connection, target: str | None) -> dict[Stream, tuple[int, ...]]:
    """(target, suite) -> its last finished runs by slot, newest first, of targets whose snapshot was ever asked.

    Fresh samples are left out, because they ask no snapshot.
    """
    asked = select(usage.c.target).where(usage.c.arm == Arm.SNAPSHOT.value)
    asked = asked if target is None else asked.where(usage.c.target == target)
    found: dict[Stream, list[int]] = defaultdict(list)
    for place in range(RUNS):
        nth = (
            select(run.c.id)
            .where(run.c.target == progress.c.target, run.c.suite == progress.c.suite)
            # Not "confirms IS NULL": SQLite would look for it in that column's index, which holds every run.
            .where(run.c.status == "done", func.coalesce(run.c.confirms, 0) == 0)
            .order_by(run.c.slot.desc())
            .offset(place)
            .limit(1)
            .scalar_subquery()
        )
        query = select(progress.c.target, progress.c.suite, nth).where(progress.c.target.in_(asked))
        if target is not None:
            query = query.where(progress.c.target == target)
        for name, suite, run_id in connection.execute(query).all():
            if run_id is not None:
                found[(name, suite)].append(int(run_id))
    return {stream: tuple(run_ids) for stream, run_ids in found.items()}


def _count(connection: Connection, wanted: Mapping[Stream, tuple[Sequence[int], int | None]]) -> dict[Stream, Counts]:
    """The counts of each stream's runs against its baseline; no entry if they asked no snapshot."""
    runs = [run_id for run_ids, _ in wanted.values() for run_id in run_ids]
    asked = {row[0]: row[1:] for row in connection.execute(_asked(runs)).all()}
    checked = _passes(connection, score.c.run_id, _of_snapshot(runs))
    probes = sorted({probe for passes in checked.values() for probe, _ in passes})
    expected = _expected(connection, probes, [number for _, number in wanted.values() if number is not None])
    found: dict[Stream, Counts] = {}
    for stream, (run_ids, baseline_id) in wanted.items():
        counted = [asked[run_id] for run_id in run_ids if run_id in asked]
        if not counted:
            continue
        passes = [one for run_id in run_ids for one in checked.get(run_id, ())]
        rates = [rate for probe, _ in passes if (rate := expected.get((baseline_id, probe))) is not None]
        questions, unmeasured = sum(one[0] for one in counted), sum(one[1] for one in counted)
        found[stream] = Counts(
            max(one[2] for one in counted), questions, questions - unmeasured, len(passes),
            sum(passed for _, passed in passes), sum(rates) if rates else None, len(rates),
        )  # fmt: skip
    return found


def _asked(runs: Sequence[int]) -> Select[Any]:
    """For each run, the questions to the snapshot, how many have no answer, and when the run finished."""
    return (
        select(answer.c.run_id, func.count(), func.count(answer.c.reason), func.max(run.c.finished_at))
        .join(run, run.c.id == answer.c.run_id)
        .where(answer.c.run_id.in_(runs), answer.c.arm == Arm.SNAPSHOT.value)
        .where(answer.c.reason.is_(None) | answer.c.reason.not_in(WITHHELD))
        .group_by(answer.c.run_id)
    )


def _of_snapshot(runs: Sequence[int]) -> ColumnElement[bool]:
    return and_(score.c.run_id.in_(runs), score.c.arm == Arm.SNAPSHOT.value)


def _passes(connection: Connection, by: Any, which: ColumnElement[bool]) -> dict[int, list[tuple[str, float]]]:
    """(probe, 1 or 0) of each answer with checks, by run or baseline: it passes if its worst check does."""
    query = select(by, score.c.probe, func.min(score.c.value)).where(which, score.c.grader.like("check:%"))
    if by is not score.c.run_id:
        query = query.join(baseline_run, baseline_run.c.run_id == score.c.run_id)
    found: dict[int, list[tuple[str, float]]] = defaultdict(list)
    answers = (score.c.run_id, score.c.arm, score.c.probe, score.c.replicate)
    for key, probe, worst in connection.execute(query.group_by(by, *answers)).all():
        found[int(key)].append((probe, float(worst >= 1.0)))
    return found


def _expected(
    connection: Connection, probes: Sequence[str], baselines: Sequence[int]
) -> dict[tuple[int | None, str], float]:
    """(baseline, probe) -> the share of the baseline's answers to it that pass."""
    if not baselines or not probes:
        return {}
    which = and_(baseline_run.c.baseline_id.in_(baselines), score.c.arm == Arm.SUBJECT.value, score.c.probe.in_(probes))
    shares: dict[tuple[int | None, str], list[float]] = defaultdict(list)
    for number, passes in _passes(connection, baseline_run.c.baseline_id, which).items():
        for probe, passed in passes:
            shares[number, probe].append(passed)
    return {key: sum(values) / len(values) for key, values in shares.items()}
