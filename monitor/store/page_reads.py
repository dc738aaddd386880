"""What the pages read: lists of a thousand rows without their large columns, and one run question by question."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, String, and_, func, literal_column, select, type_coerce

from monitor.core.errors import CliffwatchError
from monitor.core.records import (
    Arm,
    BaselineStatus,
    Finding,
    Outcome,
    Point,
    Reason,
    Run,
    RunOutcome,
    Score,
    Stream,
    Unscored,
)
from monitor.store import ledger, suite_digests
from monitor.store.answers import ASKED, AnswerKey, _scores, _to_outcome
from monitor.store.base import Connected
from monitor.store.change_markers import chunks
from monitor.store.findings import _to_finding
from monitor.store.metrics_reads import UNCOUNTED, newest_done
from monitor.store.series import NUMBERS, SeriesKey, to_point
from monitor.store.tables import answer, baseline, finding, latest_finding, progress, run, score, unscored

STANDING: Final = (BaselineStatus.CAPTURING.value, BaselineStatus.CAPTURED.value, BaselineStatus.APPROVED.value)
"""Least to most: which of a stream's baselines is shown."""

GradedTexts = dict[tuple[Arm, str], dict[str, list[Mapping[str, float]]]]
"""(arm, probe) -> each distinct text -> the scores, by grader, of every answer with this text."""


class _NoRuns(NamedTuple):
    """The row of ``_streams`` for a suite that was never asked."""

    target: str
    suite: str
    last_success: None = None
    runs: int = 0
    last_run_id: None = None
    outcome: None = None
    digest: None = None


def _streams(target: str | None) -> Any:
    of_the_suite, last = run.alias(), run.alias()
    mine = (of_the_suite.c.target == progress.c.target, of_the_suite.c.suite == progress.c.suite)
    newest = select(of_the_suite.c.suite_digest).where(*mine).order_by(of_the_suite.c.slot.desc()).limit(1)
    finished = progress.c.measured + progress.c.partial + progress.c.unmeasured
    query = select(
        progress.c.target, progress.c.suite, progress.c.last_success, finished.label("runs"),
        last.c.id.label("last_run_id"), last.c.outcome, newest.correlate(progress).scalar_subquery().label("digest"),
    ).select_from(progress.outerjoin(last, last.c.id == newest_done()))  # fmt: skip
    query = query.order_by(progress.c.target, progress.c.suite)
    return query if target is None else query.where(progress.c.target == target)


def of_streams(connection: Connection, target: str | None) -> dict[tuple[str, str], Any]:
    """(target, suite) -> the shown baseline: id, status, the digest of its suite, when it was approved."""
    columns = ("id", "target", "suite", "status", "suite_digest", "approved_at")
    query = (
        select(*(baseline.c[name] for name in columns)).where(baseline.c.status.in_(STANDING)).order_by(baseline.c.id)
    )
    query = query if target is None else query.where(baseline.c.target == target)
    found: dict[tuple[str, str], Any] = {}
    for row in connection.execute(query):
        before = found.get((row.target, row.suite))
        if before is None or STANDING.index(row.status) >= STANDING.index(before.status):
            found[(row.target, row.suite)] = row
    return found


def _to_stream(row: Any, standing: Any | None, digest: str | None) -> Stream:
    """``digest``: of the configured suite; without it, that of the newest run is used."""
    outcome = None if row.outcome is None else RunOutcome(row.outcome)
    facts = (row.target, row.suite, row.last_success, row.runs, row.last_run_id, outcome)
    if standing is None:
        return Stream(*facts, None, None, False)
    approved = standing.status == BaselineStatus.APPROVED.value
    outdated = approved and standing.suite_digest != (digest or row.digest or standing.suite_digest)
    return Stream(*facts, standing.id, standing.status, outdated, standing.approved_at)


def _questions(connection: Connection, run_ids: Sequence[int], *which: ColumnElement[bool]) -> dict[int, int]:
    """Run id -> number of its questions, if it has any; those in addition, as to the snapshot, do not count."""
    where = (answer.c.run_id.in_(run_ids), answer.c.arm.not_in(UNCOUNTED), *which)
    rows: Any = connection.execute(select(answer.c.run_id, func.count()).where(*where).group_by(answer.c.run_id))
    return {run_id: int(count) for run_id, count in rows}


class PageReads(Connected):
    """The store's methods over these queries; for the pages and their JSON."""

    def streams(self, target: str | None = None) -> list[Stream]:
        """Every suite that was ever asked or has a baseline, of every target or of one, by target and suite."""
        with self._database.read() as connection:  # three look-ups in an index for each
            rows = {(row.target, row.suite): row for row in connection.execute(_streams(target))}
            standing, now = of_streams(connection, target), suite_digests.declared(connection)
        return [
            _to_stream(rows.get(key) or _NoRuns(*key), standing.get(key), now.get(key))
            for key in sorted(rows.keys() | standing.keys())
        ]

    def stream_mark(self) -> tuple[Any, ...]:
        """A value that changes whenever ``streams`` may change."""
        with self._database.read() as connection:
            # Run numbers only grow; a run that is claimed or ends changes its stream's counters.
            times = [
                type_coerce(func.max(column), String) for column in (progress.c.last_attempt, progress.c.last_success)
            ]
            finished = func.sum(progress.c.measured + progress.c.partial + progress.c.unmeasured)
            signed = [
                type_coerce(func.max(column), String) for column in (baseline.c.approved_at, baseline.c.retired_at)
            ]
            by_status = select(baseline.c.status, func.count(), func.max(baseline.c.id), *signed, suite_digests.mark())
            by_status = by_status.group_by(baseline.c.status)
            newest = connection.execute(select(func.max(run.c.id))).scalar()
            moved = connection.execute(select(func.count(), finished, *times).select_from(progress)).one()
            return (newest, *moved, *sorted(map(str, connection.execute(by_status))))

    def latest_points(self, targets: Collection[str]) -> dict[SeriesKey, Point]:
        """(target, suite, signal) -> the newest verdict of every signal of these targets, in numbers."""
        with self._database.read() as connection:
            # From the index that contains all of these columns (see ``series``).
            key = (finding.c.target, finding.c.suite, finding.c.signal)
            newest = latest_finding.c
            same = and_(key[0] == newest.target, key[1] == newest.suite, key[2] == newest.signal,
                        finding.c.id == newest.finding_id)  # fmt: skip
            columns = (
                *key,
                finding.c.run_id,
                finding.c.found_at,
                finding.c.alarming,
                *(finding.c[name] for name in NUMBERS),
            )
            query = select(*columns).join_from(latest_finding, finding, same)
            query = query.with_hint(finding, "INDEXED BY ix_finding_series", "sqlite")
            found: dict[SeriesKey, Point] = {}
            for some in chunks(sorted(targets)):
                for row in connection.execute(query.where(newest.target.in_(some))):
                    found[(row[0], row[1], row[2])] = to_point(row)
            return found

    def lost_shares(self, run_ids: Sequence[int]) -> Mapping[int, float]:
        """Run id -> share of its questions that measured nothing; 1 where the subject gave no usable answer."""
        with self._database.read() as connection:
            # Answers are counted only for runs with unmeasured questions: most have none.
            shares: dict[int, float] = {}
            for some in chunks(run_ids):
                ends: Any = connection.execute(select(run.c.id, run.c.outcome).where(run.c.id.in_(some)))
                outcomes = dict(map(tuple, ends))
                shares |= {one: float(outcomes.get(one) in (None, RunOutcome.UNMEASURED)) for one in some}
                usable = [one for one in some if not shares[one]]
                lost = _questions(connection, usable, answer.c.reason.is_not(None))
                shares |= {one: lost[one] / total for one, total in _questions(connection, list(lost)).items()}
            return shares

    def budget_refused(self, run_ids: Sequence[int]) -> frozenset[int]:
        """Those runs that have questions which were not asked, because the budget was spent."""
        found: set[int] = set()
        with self._database.read() as connection:
            for some in chunks(run_ids):
                of = (answer.c.reason == Reason.BUDGET.value, answer.c.arm.not_in(UNCOUNTED))
                query = select(answer.c.run_id).where(answer.c.run_id.in_(some), *of).distinct()
                found.update(connection.execute(query).scalars())
        return frozenset(found)

    def finding_heads(
        self, target: str | None = None, run_id: int | None = None, alarming: bool | None = None,
        before: int | None = None, limit: int = 100,
    ) -> list[tuple[int, Finding]]:  # fmt: skip
        """Findings without exhibits, newest first, each with its number; ``before``: only lower numbers."""
        with self._database.read() as connection:
            wanted = {"target": target, "run_id": run_id, "alarming": alarming}
            columns = [column for column in finding.columns if column.name != "exhibits"]
            query = select(*columns).order_by(finding.c.id.desc()).limit(limit)
            for name, value in wanted.items():
                if value is not None:
                    query = query.where(finding.c[name] == value)
            if before is not None:
                query = query.where(finding.c.id < before)
            return [(row.id, _to_finding(row)) for row in connection.execute(query)]

    def find_run(self, run_id: int) -> Run | None:
        """The run, or ``None`` if the number is unknown."""
        with self._database.read() as c:
            row = c.execute(select(run).where(run.c.id == run_id)).first()
            return None if row is None else ledger.to_run(row)

    def questions(
        self, run_id: int, arms: Collection[Arm] | None = None, *, lost: bool = False, offset: int = 0,
        limit: int = 100,
    ) -> tuple[int, list[tuple[AnswerKey, Outcome]]]:  # fmt: skip
        """Number of a run's questions, and a page of them with their outcomes, by probe, replicate and arm.

        ``lost``: only those without a usable answer. Exchanges and log-probabilities are not read.
        """
        with self._database.read() as connection:
            where = [answer.c.run_id == run_id]
            if arms is not None:
                where.append(answer.c.arm.in_([arm.value for arm in arms]))
            if lost:
                where.append(answer.c.reason.is_not(None))
            kept = [column for column in answer.columns if column.name not in ("exchange", "logprobs")]
            nothing: list[Any] = [literal_column("NULL").label(name) for name in ("exchange", "logprobs")]
            order = (answer.c.probe, answer.c.replicate, answer.c.arm)
            rows = connection.execute(
                select(*kept, *nothing).where(*where).order_by(*order).offset(offset).limit(limit)
            )
            found = [((Arm(row.arm), row.probe, row.replicate), _to_outcome(row)) for row in rows]
            return int(connection.execute(select(func.count()).where(*where)).scalar_one()), found

    def texts(self, run_ids: Collection[int], arm: Arm) -> dict[str, Counter[str]]:
        """Probe -> the texts of an arm's usable answers in these runs, with the number of each, oldest first."""
        with self._database.read() as connection:
            # In the order of the primary key, so nothing is sorted.
            found: dict[str, Counter[str]] = {}
            usable = (answer.c.arm == arm.value, answer.c.reason.is_(None))
            query = select(answer.c.probe, answer.c.text).order_by(answer.c.run_id, answer.c.probe, answer.c.replicate)
            for some in chunks(sorted(set(run_ids))):
                for probe, text in connection.execute(query.where(answer.c.run_id.in_(some), *usable)):
                    found.setdefault(probe, Counter())[text] += 1
            return found

    def graded_texts(self, run_ids: Collection[int]) -> GradedTexts:
        """The answers of subject and base in these runs, with the scores of every answer, oldest first."""
        with self._database.read() as connection:
            # In the order of the primary key, so nothing is sorted.
            found: GradedTexts = {}
            key = ("run_id", "probe", "replicate", "arm")
            usable = (answer.c.reason.is_(None), answer.c.arm.in_(ASKED))
            query: Any = select(*(answer.c[name] for name in key), answer.c.text).order_by(
                *(answer.c[name] for name in key)
            )
            for some in chunks(sorted(set(run_ids))):
                scores = _scores(connection, some)
                for run_id, probe, replicate, arm, text in connection.execute(
                    query.where(answer.c.run_id.in_(some), *usable)
                ):
                    texts = found.setdefault((Arm(arm), probe), {})
                    texts.setdefault(text, []).append(scores.get((run_id, arm, probe, replicate), {}))
            return found

    def tally(self, run_id: int) -> dict[tuple[Arm, str | None], tuple[int, float]]:
        """(arm, reason or ``None`` for answered ones) -> number of a run's questions, and their USD."""
        with self._database.read() as connection:
            group = (answer.c.arm, answer.c.reason)
            rows: Any = connection.execute(
                select(*group, func.count(), func.sum(answer.c.usd)).where(answer.c.run_id == run_id).group_by(*group)
            )
            return {(Arm(arm), reason): (int(count), float(usd)) for arm, reason, count, usd in rows}

    def question(self, run_id: int, arm: Arm, probe: str, replicate: int) -> tuple[Outcome, str, str]:
        """One outcome with its exchange, the provider and the requested model. Raises CliffwatchError if there is
        none."""
        same = (answer.c.arm == arm.value, answer.c.probe == probe, answer.c.replicate == replicate)
        with self._database.read() as connection:
            row = connection.execute(select(answer).where(answer.c.run_id == run_id, *same)).first()
        if row is None:
            raise CliffwatchError(f"run {run_id} has no question of arm {arm}, probe {probe}, replicate {replicate}")
        return _to_outcome(row), row.provider, row.asked_model

    def unscored_of(self, run_id: int) -> dict[AnswerKey, list[Unscored]]:
        """Checks of a run without a score, by answer and grader."""
        with self._database.read() as connection:
            found: dict[AnswerKey, list[Unscored]] = {}
            for row in connection.execute(
                select(unscored).where(unscored.c.run_id == run_id).order_by(unscored.c.grader)
            ):
                one = Unscored(Arm(row.arm), row.probe, row.replicate, row.grader, row.reason, row.detail)
                found.setdefault((one.arm, one.probe, one.replicate), []).append(one)
            return found

    def scores_of(self, run_id: int, probes: Collection[str]) -> dict[AnswerKey, list[Score]]:
        """Scores of these probes' answers in a run, by answer and grader."""
        with self._database.read() as connection:
            found: dict[AnswerKey, list[Score]] = {}
            for some in chunks(sorted(probes)):
                query = select(score).where(score.c.run_id == run_id, score.c.probe.in_(some)).order_by(score.c.grader)
                for row in connection.execute(query):
                    one = Score(Arm(row.arm), row.probe, row.replicate, row.grader, row.value, row.detail)
                    found.setdefault((one.arm, one.probe, one.replicate), []).append(one)
            return found
