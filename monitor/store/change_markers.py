"""Change markers for scrapes: for each target, a marker that changes whenever its results change.

A marker costs a few aggregates of small tables. The results are read again only if it changed. Its parts grow with
every change (ids, counters) or are the shown value itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, String, and_, case, func, or_, select, type_coerce

from monitor.core.records import Alarm, Match, Spend
from monitor.store import alarms, budget, suite_digests
from monitor.store.base import Connected
from monitor.store.tables import (
    baseline,
    identity_check,
    latest_finding,
    progress,
    retirement,
    run,
    self_test,
    usage,
)  # fmt: skip

Mark = tuple[Any, ...]


class Marks(NamedTuple):
    """By target, for each kind of result. A target without results has no marker."""

    runs: dict[str, Mark]
    findings: dict[str, Mark]
    usage: dict[str, Mark]
    self_tests: dict[str, Mark]
    identity: dict[str, Mark]
    retirements: dict[str, Mark]
    alarms: dict[str, list[Alarm]]
    """The open alarms themselves, which are few."""
    spent: dict[str, Spend]
    """Of the day, by target."""
    baselines: Mark
    """For all targets together: baselines and suite digests rarely change."""


def _latest(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The highest value, unconverted: a marker is only compared, and converting it to a time costs more."""
    return type_coerce(func.max(column), String)


def _by_target(connection: Connection, table: Any, *what: ColumnElement[Any]) -> dict[str, Mark]:
    rows = connection.execute(select(table.c.target, *what).group_by(table.c.target)).all()
    return {row[0]: tuple(row)[1:] for row in rows}


def _runs(connection: Connection) -> dict[str, Mark]:
    """A run that is created, claimed or ended updates its stream's row."""
    times = (type_coerce(progress.c[name], String) for name in ("latest_slot", "last_attempt", "last_success"))
    counts = (progress.c.measured, progress.c.partial, progress.c.unmeasured)
    found: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(
        select(progress.c.target, progress.c.suite, *times, *counts).order_by(progress.c.target, progress.c.suite)
    ).all():
        found[row[0]].append(tuple(row))
    return {target: tuple(rows) for target, rows in found.items()}


def _baselines(connection: Connection) -> Mark:
    newest = (
        func.max(baseline.c.id),
        _latest(baseline.c.approved_at),
        _latest(baseline.c.retired_at),
        suite_digests.mark(),
    )
    by_status = select(baseline.c.status, func.count(), *newest).group_by(baseline.c.status).order_by(baseline.c.status)
    return tuple(tuple(row) for row in connection.execute(by_status))


class MarkReads(Connected):
    """The store's methods over these queries, for scrapes."""

    def marks(self, day: date) -> Marks:
        """A marker for each kind of result of each target. ``day``: the UTC day of the spending."""
        with self._database.read() as connection:
            # Nine statements, however many targets there are.
            raised: dict[str, list[Alarm]] = defaultdict(list)
            for one in alarms.open_alarms(connection):
                raised[one.target].append(one)
            return Marks(
                runs=_runs(connection),
                findings=_by_target(connection, latest_finding, func.count(), func.sum(latest_finding.c.finding_id)),
                usage=_by_target(
                    connection, usage, func.count(), func.sum(usage.c.requests), func.sum(usage.c.nano),
                    func.sum(usage.c.prompt_tokens + usage.c.completion_tokens),
                ),
                self_tests=_by_target(connection, self_test, func.count(), _latest(self_test.c.tested_at),
                                      func.sum(self_test.c.caught), func.sum(self_test.c.trials)),
                identity=_by_target(connection, identity_check, func.count(), _latest(identity_check.c.checked_at),
                                    type_coerce(func.min(identity_check.c.checked_at), String),
                                    func.sum(case((identity_check.c.result == Match.MATCHES.value, 1),
                                                  (identity_check.c.result == Match.DIFFERS.value, 1_000), else_=0))),
                retirements=_by_target(connection, retirement, func.count(), _latest(retirement.c.checked_at)),
                alarms=raised,
                spent=budget.spent_by_target(connection, day),
                baselines=_baselines(connection),
            )  # fmt: skip

    def longest_waiting(self, now: datetime) -> dict[tuple[str, str], datetime]:
        """(target, suite) -> the time since which its most overdue run waits for a worker."""
        with self._database.read() as connection:
            free = or_(run.c.lease_until.is_(None), run.c.lease_until <= now)
            overdue = (
                select(run.c.target, run.c.suite, func.min(run.c.next_at))
                .where(and_(run.c.status != "done", free, run.c.next_at <= now))
                .group_by(run.c.target, run.c.suite)
            )
            return {(target, suite): since for target, suite, since in connection.execute(overdue)}


CHUNK: Final = 500
"""Names or ids per statement: under every backend's limit of parameters."""


def chunks(values: Sequence[Any], size: int = CHUNK) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))
