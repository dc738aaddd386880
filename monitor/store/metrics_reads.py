"""What a scrape reads for targets whose markers changed (``change_markers``): numbers of their newest runs and
findings.

A finished run never changes, so callers cache its summary, and a scrape reads only new runs. ``targets``: only these;
all targets if left out.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import nan
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Select, and_, case, exists, func, or_, select

from monitor.core.records import (  # fmt: skip
    JUDGE_GRADER,
    NOT_COUNTED,
    Advice,
    Arm,
    BaselineStatus,
    Cause,
    FindingNumbers,
    FindingState,
    Reason,
    RunOutcome,
    RunSummary,
    SelfTest,
    SuiteProgress,
    Usage,
)
from monitor.store import baselines, counters, suite_digests
from monitor.store.base import Connected
from monitor.store.change_markers import chunks
from monitor.store.tables import (
    answer,
    baseline,
    finding,
    latest_finding,
    progress,
    run,
    score,
    self_test,
    unscored,
    usage,
)

Targets = Sequence[str] | None


def only(query: Select[Any], column: ColumnElement[Any], targets: Targets) -> Iterator[Select[Any]]:
    """``query`` for some targets, in as many statements as needed; unchanged for all targets."""
    if targets is None:
        yield query
    else:
        yield from (query.where(column.in_(some)) for some in chunks(targets))


def newest_done() -> ScalarSelect[int]:
    """The run that finished last, of the suite of a row of ``progress``.

    A run that ended after ``last_end`` was made by a clock that was ahead; the runs that came after it count.
    """
    of_the_suite = run.alias()
    return (
        select(of_the_suite.c.id)
        .where(
            of_the_suite.c.target == progress.c.target,
            of_the_suite.c.suite == progress.c.suite,
            of_the_suite.c.status == "done",
            or_(progress.c.last_end.is_(None), of_the_suite.c.finished_at <= progress.c.last_end),
        )
        .order_by(of_the_suite.c.finished_at.desc(), of_the_suite.c.slot.desc())
        .limit(1)
        .correlate(progress)
        .scalar_subquery()
    )


def _summaries(connection: Connection, outcomes: Mapping[int, RunOutcome]) -> Iterator[RunSummary]:
    run_ids = list(outcomes)
    usable = case((answer.c.reason.is_(None), 1), else_=0)
    counted = connection.execute(
        select(
            answer.c.run_id,
            func.count().label("questions"),
            func.sum(usable).label("usable"),
            _chars(Arm.SUBJECT).label("chars"),
            _chars(Arm.BASE).label("base_chars"),
            func.sum(case((answer.c.reason == Reason.BUDGET.value, 1), else_=0)).label("refused"),
        )
        .where(answer.c.run_id.in_(run_ids), answer.c.arm.not_in(UNCOUNTED))
        .group_by(answer.c.run_id)
    ).all()
    judged, passed = _judged(connection, run_ids), _passed(connection, run_ids)
    unfinished = _unfinished(connection, run_ids)
    for row in counted:
        yield RunSummary(
            run_id=row.run_id,
            outcome=outcomes[row.run_id],
            questions=row.questions,
            unmeasured=row.questions - int(row.usable),
            answer_chars=None if row.chars is None else float(row.chars),
            judge_score=judged.get((row.run_id, Arm.SUBJECT)),
            pass_ratio=passed.get((row.run_id, Arm.SUBJECT)),
            refused=int(row.refused),
            base_chars=None if row.base_chars is None else float(row.base_chars),
            base_score=judged.get((row.run_id, Arm.BASE)),
            base_pass_ratio=passed.get((row.run_id, Arm.BASE)),
            unfinished=unfinished.get(row.run_id, {}),
        )


UNCOUNTED: Final = tuple(arm.value for arm in NOT_COUNTED)
"""The arms whose questions are not counted among a run's."""

COMPARED: Final = (Arm.SUBJECT.value, Arm.BASE.value)
"""The arms whose answers a summary covers."""


_CHARS: Final = func.coalesce(answer.c.chars, func.length(answer.c.text))
"""Length of an answer in characters."""


def _chars(arm: Arm) -> Any:
    """Mean length of an arm's usable answers."""
    return func.avg(case((and_(answer.c.arm == arm.value, answer.c.reason.is_(None)), _CHARS)))


def _unfinished(connection: Connection, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Run -> reason -> checks without a score."""
    by = (unscored.c.run_id, unscored.c.reason)
    found: dict[int, dict[str, int]] = {}
    rows: Any = connection.execute(
        select(*by, func.count()).where(unscored.c.run_id.in_(run_ids)).group_by(*by).order_by(*by)
    ).all()
    for run_id, reason, count in rows:
        found.setdefault(run_id, {})[reason] = int(count)
    return found


def _judged(connection: Connection, run_ids: Sequence[int]) -> dict[tuple[int, str], float]:
    where = and_(score.c.run_id.in_(run_ids), score.c.arm.in_(COMPARED), score.c.grader == JUDGE_GRADER)
    means = select(score.c.run_id, score.c.arm, func.avg(score.c.value)).where(where)
    rows: Any = connection.execute(means.group_by(score.c.run_id, score.c.arm)).all()
    return {(run_id, arm): float(mean) for run_id, arm, mean in rows}


def _passed(connection: Connection, run_ids: Sequence[int]) -> dict[tuple[int, str], float]:
    """An answer passes if its worst check does. Answers without checks do not count, nor do those that passed all
    checks but one without a score."""
    where = and_(score.c.run_id.in_(run_ids), score.c.arm.in_(COMPARED), score.c.grader.like("check:%"))
    one = (score.c.run_id, score.c.arm, score.c.probe, score.c.replicate)
    worst = select(*one, func.min(score.c.value).label("worst")).where(where).group_by(*one).subquery()
    unknown = exists().where(*(unscored.c[column.name] == worst.c[column.name] for column in one))
    passes = func.avg(case((worst.c.worst >= 1.0, 1.0), else_=0.0))
    by_arm = (worst.c.run_id, worst.c.arm)
    known = select(*by_arm, passes).where(or_(worst.c.worst < 1.0, ~unknown))
    rows: Any = connection.execute(known.group_by(*by_arm)).all()
    return {(run_id, arm): float(share) for run_id, arm, share in rows}


NUMBERS: Final = (
    finding.c.effect, finding.c.effect_low, finding.c.effect_high, finding.c.evidence_log10, finding.c.threshold_log10,
    finding.c.measures, finding.c.state, finding.c.cause, finding.c.advice,
)  # fmt: skip
"""Exhibits are not read: they are a hundred times as large."""


def _to_numbers(row: Sequence[Any]) -> FindingNumbers:
    effect, low, high, evidence, line = (nan if number is None else number for number in row[:5])
    state, cause, advice = FindingState(row[6]), Cause(row[7]), Advice(row[8])
    return FindingNumbers(effect, low, high, row[5], evidence, line, state, cause, advice)


class BaselineCount(NamedTuple):
    """The baselines of one suite of one target in one status."""

    suite: str
    status: BaselineStatus
    number: int
    newest: int
    """The newest one's id."""
    approved_at: datetime | None
    """When the last of them was approved."""


class ScrapeReads(Connected):
    """The store's methods over these queries. ``targets``: only these; all targets if left out."""

    def progress(self, targets: Targets = None) -> list[SuiteProgress]:
        """Last attempt, last success and finished runs by outcome, of every (target, suite)."""
        with self._database.read() as c:
            queries = only(select(progress).order_by(progress.c.target, progress.c.suite), progress.c.target, targets)
            return [found for query in queries for found in counters.suite_progress(c, query)]

    def last_done(self, targets: Targets = None) -> dict[tuple[str, str], int]:
        """(target, suite) -> the run that finished last."""
        with self._database.read() as connection:
            query = select(progress.c.target, progress.c.suite, newest_done())
            return {
                (target, suite): int(found)
                for one in only(query, progress.c.target, targets)
                for target, suite, found in connection.execute(one).all()
                if found is not None
            }

    def summaries(self, run_ids: Sequence[int]) -> dict[int, RunSummary]:
        """Run id -> its summary, for finished runs; a run that ended without a question has zeros."""
        with self._database.read() as connection:
            found: dict[int, RunSummary] = {}
            for some in chunks(run_ids):
                ends = select(run.c.id, run.c.outcome).where(run.c.id.in_(some), run.c.outcome.is_not(None))
                rows: Any = connection.execute(ends).all()
                outcomes = {run_id: RunOutcome(outcome) for run_id, outcome in rows}
                found |= {
                    run_id: RunSummary(run_id, outcome, 0, 0, None, None, None) for run_id, outcome in outcomes.items()
                }
                found |= {one.run_id: one for one in _summaries(connection, outcomes)}
            return found

    def latest_numbers(self, targets: Targets = None) -> dict[str, dict[tuple[str, str], FindingNumbers]]:
        """Target -> (suite, signal) -> the numbers of its newest finding, without exhibits."""
        with self._database.read() as connection:
            newest = latest_finding.c
            query = select(newest.target, newest.suite, newest.signal, *NUMBERS).join(
                finding, finding.c.id == newest.finding_id
            )
            found: dict[str, dict[tuple[str, str], FindingNumbers]] = defaultdict(dict)
            for one in only(query, newest.target, targets):
                for target, suite, signal, *numbers in connection.execute(one).all():
                    found[target][suite, signal] = _to_numbers(numbers)
            return found

    def baseline_counts(self) -> dict[str, list[BaselineCount]]:
        """Target -> its baselines by suite and status."""
        with self._database.read() as connection:
            kind = (baseline.c.target, baseline.c.suite, baseline.c.status)
            counted = (func.count(), func.max(baseline.c.id), func.max(baseline.c.approved_at))
            found: dict[str, list[BaselineCount]] = defaultdict(list)
            for target, suite, status, count, newest, at in connection.execute(
                select(*kind, *counted).group_by(*kind)
            ).all():
                found[target].append(BaselineCount(suite, BaselineStatus(status), count, newest, at))
            return found

    def outdated(self, targets: Targets = None) -> set[tuple[str, str]]:
        """(target, suite) whose approved baseline is of another version of the suite than the daemon's
        configuration, or if that is unknown, than the newest run."""
        with self._database.read() as connection:
            approved = select(baseline.c.target, baseline.c.suite, baseline.c.suite_digest)
            queries = only(
                approved.where(baseline.c.status == BaselineStatus.APPROVED.value), baseline.c.target, targets
            )
            digests = {
                (row.target, row.suite): row.suite_digest for query in queries for row in connection.execute(query)
            }
            now = suite_digests.declared(connection)
            found = {stream for stream, digest in digests.items() if now.get(stream, digest) != digest}
            if digests.keys() - now.keys():
                by_run = only(baselines.outdated(), baseline.c.target, targets)
                asked = {(target, suite) for query in by_run for target, suite in connection.execute(query)}
                found |= asked - now.keys()
            return found

    def self_tests(self, targets: Targets = None) -> list[SelfTest]:
        """The latest of each, by target, suite and fault."""
        with self._database.read() as c:
            queries = only(select(self_test).order_by(*self_test.primary_key.columns), self_test.c.target, targets)
            return [found for query in queries for found in counters.self_tests(c, query)]

    def usage(self, targets: Targets = None) -> list[Usage]:
        """Requests, tokens and USD since the store was created, by target, arm, provider, model and outcome."""
        with self._database.read() as c:
            queries = only(select(usage).order_by(*usage.primary_key.columns), usage.c.target, targets)
            return [found for query in queries for found in counters.usage_rows(c, query)]
