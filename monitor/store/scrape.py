"""What a scrape reads beside the counters: which runs are the newest, and a few numbers of each.

A finished run never changes, so whoever asks keeps its summary; a scrape then reads only runs it has not seen.
"""

from collections.abc import Iterator, Sequence
from math import nan
from typing import Any, Final

from sqlalchemy import Connection, and_, case, func, select

from monitor.records import JUDGE_GRADER, Arm, FindingNumbers, RunSummary
from monitor.store.engine import Database
from monitor.store.tables import answer, baseline, finding, latest_finding, progress, run, score

CHUNK: Final = 500
"""Run ids per statement: under every backend's limit of parameters."""


def last_done(connection: Connection) -> dict[tuple[str, str], int]:
    """(target, suite) -> the run that finished last: one index look-up each."""
    newest = (
        select(run.c.id)
        .where(run.c.target == progress.c.target, run.c.suite == progress.c.suite, run.c.status == "done")
        .order_by(run.c.finished_at.desc(), run.c.slot.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(select(progress.c.target, progress.c.suite, newest))
    return {(target, suite): int(found) for target, suite, found in rows if found is not None}


def summaries(connection: Connection, run_ids: Sequence[int]) -> dict[int, RunSummary]:
    """Run id -> its summary; one that ended without any question asked has zeros."""
    found = {run_id: RunSummary(run_id, 0, 0, None, None, None) for run_id in run_ids}
    for start in range(0, len(run_ids), CHUNK):
        for one in _summaries(connection, run_ids[start : start + CHUNK]):
            found[one.run_id] = one
    return found


def _summaries(connection: Connection, run_ids: Sequence[int]) -> Iterator[RunSummary]:
    usable = case((answer.c.reason.is_(None), 1), else_=0)
    mine = and_(answer.c.arm == Arm.SUBJECT.value, answer.c.reason.is_(None))
    counted = connection.execute(
        select(
            answer.c.run_id,
            func.count().label("questions"),
            func.sum(usable).label("usable"),
            func.avg(case((mine, func.length(answer.c.text)))).label("chars"),
        )
        .where(answer.c.run_id.in_(run_ids))
        .group_by(answer.c.run_id)
    ).all()
    judged, passed = _judged(connection, run_ids), _passed(connection, run_ids)
    for row in counted:
        yield RunSummary(
            run_id=row.run_id,
            questions=row.questions,
            unmeasured=row.questions - int(row.usable),
            answer_chars=None if row.chars is None else float(row.chars),
            judge_score=judged.get(row.run_id),
            pass_ratio=passed.get(row.run_id),
        )


def _judged(connection: Connection, run_ids: Sequence[int]) -> dict[int, float]:
    where = and_(score.c.run_id.in_(run_ids), score.c.arm == Arm.SUBJECT.value, score.c.grader == JUDGE_GRADER)
    means = select(score.c.run_id, func.avg(score.c.value)).where(where).group_by(score.c.run_id)
    rows: Any = connection.execute(means)
    return {run_id: float(mean) for run_id, mean in rows}


def _passed(connection: Connection, run_ids: Sequence[int]) -> dict[int, float]:
    """An answer passes when its worst check does; answers without checks do not count."""
    where = and_(score.c.run_id.in_(run_ids), score.c.arm == Arm.SUBJECT.value, score.c.grader.like("check:%"))
    worst = (
        select(score.c.run_id, func.min(score.c.value).label("worst"))
        .where(where)
        .group_by(score.c.run_id, score.c.probe, score.c.replicate)
        .subquery()
    )
    passes = func.avg(case((worst.c.worst >= 1.0, 1.0), else_=0.0))
    rows: Any = connection.execute(select(worst.c.run_id, passes).group_by(worst.c.run_id))
    return {run_id: float(share) for run_id, share in rows}


def latest_finding_ids(connection: Connection) -> dict[tuple[str, str, str], int]:
    """(target, suite, signal) -> its newest finding's id."""
    newest = latest_finding.c
    rows = connection.execute(select(newest.target, newest.suite, newest.signal, newest.finding_id))
    return {(target, suite, signal): int(found) for target, suite, signal, found in rows}


def finding_numbers(connection: Connection, ids: Sequence[int]) -> dict[int, FindingNumbers]:
    """Finding id -> its numbers. The exhibits stay where they are: they are a hundred times as large."""
    numbers = (
        finding.c.effect, finding.c.effect_low, finding.c.effect_high, finding.c.evidence_log10, finding.c.line_log10
    )  # fmt: skip
    columns = (finding.c.id, *numbers, finding.c.measures)
    found: dict[int, FindingNumbers] = {}
    for start in range(0, len(ids), CHUNK):
        for row in connection.execute(select(*columns).where(finding.c.id.in_(ids[start : start + CHUNK]))):
            effect, low, high, evidence, line = (nan if number is None else float(number) for number in row[1:6])
            found[row.id] = FindingNumbers(effect, low, high, row.measures, evidence, line)
    return found


def baseline_counts(connection: Connection) -> dict[tuple[str, str, str], tuple[int, int]]:
    """(target, suite, status) -> how many baselines, and the newest one's id."""
    kind = (baseline.c.target, baseline.c.suite, baseline.c.status)
    rows = connection.execute(select(*kind, func.count(), func.max(baseline.c.id)).group_by(*kind))
    return {(target, suite, status): (int(count), int(newest)) for target, suite, status, count, newest in rows}


class ScrapeReads:
    """The store's methods over these queries; a scrape calls them, nobody else needs to."""

    _database: Database

    def last_done(self) -> dict[tuple[str, str], int]:
        """(target, suite) -> the run that finished last."""
        with self._database.read() as c:
            return last_done(c)

    def summaries(self, run_ids: Sequence[int]) -> dict[int, RunSummary]:
        """Run id -> its summary; one that ended without any question asked has zeros."""
        with self._database.read() as c:
            return summaries(c, run_ids)

    def latest_finding_ids(self) -> dict[tuple[str, str, str], int]:
        """(target, suite, signal) -> its newest finding's id."""
        with self._database.read() as c:
            return latest_finding_ids(c)

    def finding_numbers(self, ids: Sequence[int]) -> dict[int, FindingNumbers]:
        """Finding id -> its numbers, without exhibits."""
        with self._database.read() as c:
            return finding_numbers(c, ids)

    def baseline_counts(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(target, suite, status) -> how many baselines, and the newest one's id."""
        with self._database.read() as c:
            return baseline_counts(c)
