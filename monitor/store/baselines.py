"""Baselines: a window of runs that a person reviews and approves. A baseline never updates itself."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select, update

from monitor.core.errors import CliffwatchError
from monitor.core.records import (
    AlarmState,
    Arm,
    AuditEntry,
    Baseline,
    BaselineStatus,
    Condition,
    ConditionReason,
    ConditionState,
    Holds,
    Run,
    RunOutcome,
)
from monitor.core.schedule import days_spanned
from monitor.store import alarms, audit, ledger, retention, served
from monitor.store.base import Connected
from monitor.store.column_types import clean
from monitor.store.dialect import insert
from monitor.store.tables import answer, baseline, baseline_run, run

USABLE = (RunOutcome.MEASURED.value, RunOutcome.PARTIAL.value)
SLICE = 500


def join(connection: Connection, done: Run) -> None:
    """Add a finished run to the windows in capture that contain its slot.

    A window over days takes only scheduled runs: several runs of one day would count as several days. A fresh sample is
    never part of a window, nor is a run that follows a scheduled one: they were asked because something looked wrong.
    """
    if done.confirms is not None or done.follows is not None:
        return
    scheduled = select(run.c.scheduled).where(run.c.id == done.id).scalar_subquery()
    windows = select(baseline.c.id).where(
        or_(baseline.c.at_once, scheduled),
        baseline.c.target == done.target,
        baseline.c.suite == done.suite,
        baseline.c.suite_digest == done.suite_digest,
        baseline.c.status == BaselineStatus.CAPTURING.value,
        baseline.c.starts_at <= done.slot,
        baseline.c.ends_at > done.slot,
    )
    for baseline_id in connection.execute(windows).scalars().all():
        _add(connection, baseline_id, done.id)


def _add(connection: Connection, baseline_id: int, run_id: int) -> None:
    new = insert(connection, baseline_run).values(baseline_id=baseline_id, run_id=run_id)
    connection.execute(new.on_conflict_do_nothing())


def _has_runs(connection: Connection, baseline_id: int) -> bool:
    runs = select(baseline_run.c.run_id).where(baseline_run.c.baseline_id == baseline_id)
    return connection.execute(runs.limit(1)).first() is not None


def _unfinished(connection: Connection, row: Any) -> bool:
    same = (run.c.target == row.target, run.c.suite == row.suite, run.c.status != "done")
    within = (run.c.slot >= row.starts_at, run.c.slot < row.ends_at)
    return connection.execute(select(run.c.id).where(*same, *within).limit(1)).first() is not None


def approve(
    connection: Connection, baseline_id: int, by: str, why: str, now: datetime, conditions: Sequence[ConditionState]
) -> Baseline:
    """Approve a captured baseline; the one approved before is retired."""
    by, why = _signed("approve", by, why)
    found = get(connection, baseline_id, lock=True)
    if found.status is not BaselineStatus.CAPTURED:
        raise CliffwatchError(f"baseline {baseline_id} cannot be approved: {_why_not(found, now)}")
    same = and_(baseline.c.target == found.target, baseline.c.suite == found.suite)
    before = select(baseline.c.id).where(same, baseline.c.status == BaselineStatus.APPROVED.value)
    for old in connection.execute(before.with_for_update()).scalars().all():
        _retire(connection, old, by, f"replaced by baseline {baseline_id}: {why}", now)
    _set(
        connection, baseline_id, status=BaselineStatus.APPROVED.value, approved_by=by, approved_why=why,
        approved_at=now, conditions=[asdict(one) for one in conditions],
    )  # fmt: skip
    return get(connection, baseline_id)


def _why_not(found: Baseline, now: datetime) -> str:
    if found.status is not BaselineStatus.CAPTURING:
        return f"it is {found.status.value} already"
    if found.ends_at > now:
        return f"it is being captured until {found.ends_at:%Y-%m-%d %H:%M} UTC"
    if found.run_ids:
        return "its last run is not finished yet"
    return "its window is over and no run in it was measured; capture another"


def retire(connection: Connection, baseline_id: int, by: str, why: str, now: datetime) -> Baseline:
    """Take a baseline out of use, whatever its state; it stays stored."""
    by, why = _signed("retire", by, why)
    found = get(connection, baseline_id, lock=True)
    if found.status is BaselineStatus.RETIRED:
        raise CliffwatchError(f"baseline {baseline_id} is retired already, by {found.retired_by}")
    _retire(connection, baseline_id, by, why, now)
    return get(connection, baseline_id)


def _retire(connection: Connection, baseline_id: int, by: str, why: str, now: datetime) -> None:
    """Retire it, and clear the alarms raised against it: no later run is compared with it."""
    found = get(connection, baseline_id)
    if found.status is BaselineStatus.APPROVED:
        ledger.lock_series(connection, found.target, found.suite)
        for raised in alarms.open_alarms(connection, found.target, found.suite):
            alarms.clear(connection, replace(
                raised, state=AlarmState.CLEARED, cleared_at=now, cleared_by=by,
                cleared_why=f"baseline {baseline_id} retired: {why}",
            ))  # fmt: skip
    _set(connection, baseline_id, status=BaselineStatus.RETIRED.value, retired_by=by, retired_why=why, retired_at=now)


def outdated() -> Select[Any]:
    """(target, suite) whose approved baseline is of another version of the suite than its newest run."""
    newest = (
        select(run.c.suite_digest)
        .where(run.c.target == baseline.c.target, run.c.suite == baseline.c.suite)
        .order_by(run.c.slot.desc())
        .limit(1)
        .scalar_subquery()
    )
    return select(baseline.c.target, baseline.c.suite).where(
        baseline.c.status == BaselineStatus.APPROVED.value, baseline.c.suite_digest != newest
    )


def _signed(verb: str, by: str, why: str) -> tuple[str, str]:
    """Both, in a form that every database can store. Raises CliffwatchError if one is blank."""
    if not by.strip() or not why.strip():
        raise CliffwatchError(f"to {verb} a baseline, say who you are and why")
    return clean(by) or "", clean(why) or ""


def _set(connection: Connection, baseline_id: int, **values: object) -> None:
    connection.execute(update(baseline).where(baseline.c.id == baseline_id).values(**values))


def get(connection: Connection, baseline_id: int, *, lock: bool = False) -> Baseline:
    query = select(baseline).where(baseline.c.id == baseline_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise CliffwatchError(f"there is no baseline {baseline_id}")
    return _to_baselines(connection, [row])[0]


def _to_baselines(connection: Connection, rows: Sequence[Any]) -> list[Baseline]:
    """Rows as records; takes two further queries for all rows together."""
    ids = [row.id for row in rows]
    members: dict[int, list[Any]] = defaultdict(list)
    counts: dict[int, int] = {}
    for start in range(0, len(ids), SLICE):
        some = ids[start : start + SLICE]
        for row in connection.execute(_members(some)):
            members[row.baseline_id].append(row)
        counts.update({row.baseline_id: row.answers for row in connection.execute(_counts(some))})
    return [_to_baseline(row, members[row.id], counts.get(row.id, 0)) for row in rows]


def _members(ids: Sequence[int]) -> Any:
    return (
        select(baseline_run.c.baseline_id, run.c.id, run.c.slot)
        .join(run, run.c.id == baseline_run.c.run_id)
        .where(baseline_run.c.baseline_id.in_(ids))
        .order_by(run.c.slot)
    )


def _counts(ids: Sequence[int]) -> Any:
    return (
        select(baseline_run.c.baseline_id, func.count().label("answers"))
        .join(answer, answer.c.run_id == baseline_run.c.run_id)
        .where(baseline_run.c.baseline_id.in_(ids), answer.c.arm == Arm.SUBJECT.value, answer.c.reason.is_(None))
        .group_by(baseline_run.c.baseline_id)
    )


def _to_baseline(row: Any, members: Sequence[Any], answers: int) -> Baseline:
    values = dict(row._mapping)
    conditions = values.pop("conditions")
    return Baseline(
        **{**values, "status": BaselineStatus(row.status)},
        run_ids=tuple(member.id for member in members),
        answers=answers,
        days=days_spanned((member.slot for member in members), row.day_seconds),
        conditions=tuple(map(_to_condition, conditions or ())),
    )


def _to_condition(stored: dict[str, Any]) -> ConditionState:
    reason = stored["reason"]
    return ConditionState(
        Condition(stored["condition"]), Arm(stored["arm"]), Holds(stored["holds"]),
        None if reason is None else ConditionReason(reason), stored["count"], stored["total"],
        tuple(stored["signals"]), stored["places"], tuple(stored["probes"]),
    )  # fmt: skip


class BaselineReads(Connected):
    """Methods that read baselines."""

    def baseline(self, baseline_id: int) -> Baseline:
        """Raises CliffwatchError when there is no such baseline."""
        with self._database.read() as c:
            return get(c, baseline_id)

    def baselines(
        self, target: str | None = None, suite: str | None = None, status: BaselineStatus | None = None
    ) -> list[Baseline]:
        """Newest first."""
        with self._database.read() as connection:
            query = select(baseline).order_by(baseline.c.id.desc())
            query = query if target is None else query.where(baseline.c.target == target)
            query = query if suite is None else query.where(baseline.c.suite == suite)
            query = query if status is None else query.where(baseline.c.status == status.value)
            return _to_baselines(connection, connection.execute(query).all())

    def approved(self, target: str, suite: str) -> Baseline | None:
        """The baseline in use, if any."""
        return next(iter(self.baselines(target, suite, BaselineStatus.APPROVED)), None)


class Baselines(Connected):
    """Methods for captures and people's decisions on baselines."""

    def open_baseline(
        self, target: str, suite: str, suite_digest: str, subject_model: str, base_model: str | None,
        starts_at: datetime, ends_at: datetime, *, at_once: bool = False, day_seconds: float = 86_400,
    ) -> Baseline:  # fmt: skip
        """Open a capture window: measured and partial runs whose slot lies in [starts_at, ends_at) belong to it.

        Runs of this suite digest that already finished in it are included. Raises CliffwatchError if a window of the
        same (target, suite) is in capture.
        """
        with self._database.write() as connection:
            if ends_at <= starts_at:
                raise CliffwatchError(f"a baseline's window must end after it starts: {starts_at} to {ends_at}")
            same = (
                baseline.c.target == target,
                baseline.c.suite == suite,
                baseline.c.status == BaselineStatus.CAPTURING.value,
            )
            other = connection.execute(select(baseline).where(*same)).first()
            if other is not None:
                raise CliffwatchError(
                    f"baseline {other.id} of {target}/{suite} is being captured until {other.ends_at:%Y-%m-%d %H:%M} "
                    "UTC; wait for it, or retire it first"
                )
            made = connection.execute(
                baseline.insert()
                .values(
                    target=target, suite=suite, status=BaselineStatus.CAPTURING.value, suite_digest=suite_digest,
                    subject_model=subject_model, base_model=base_model, starts_at=starts_at, ends_at=ends_at,
                    at_once=at_once, day_seconds=day_seconds,
                )
                .returning(baseline.c.id)
            ).scalar_one()  # fmt: skip
            where = [
                run.c.target == target,
                run.c.suite == suite,
                run.c.suite_digest == suite_digest,
                run.c.confirms.is_(None),
                run.c.follows.is_(None),
                run.c.id.not_in(retention.without_answers()),
            ]
            if not at_once:
                where.append(run.c.scheduled)
            within = (run.c.slot >= starts_at, run.c.slot < ends_at, run.c.outcome.in_(USABLE))
            for run_id in connection.execute(select(run.c.id).where(*where, *within)).scalars().all():
                _add(connection, made, run_id)
            return get(connection, made)

    def capturing(self, now: datetime) -> frozenset[tuple[str, str]]:
        """(target, suite) of every capture window that is open at ``now``."""
        query = select(baseline.c.target, baseline.c.suite).where(
            baseline.c.status == BaselineStatus.CAPTURING.value,
            baseline.c.starts_at <= now, baseline.c.ends_at > now,
        )  # fmt: skip
        with self._database.read() as connection:
            return frozenset((target, suite) for target, suite in connection.execute(query))

    def close_due_baselines(self, now: datetime) -> list[int]:
        """Set ended windows to ``captured``; returns their ids.

        A window whose last run is in progress waits for it, for at most one more day. A window without a run stays
        ``capturing``: it contains nothing to approve.
        """
        over = (baseline.c.status == BaselineStatus.CAPTURING.value, baseline.c.ends_at <= now)
        with self._database.read() as connection:
            if connection.execute(select(baseline.c.id).where(*over).limit(1)).first() is None:
                return []
        with self._database.write() as connection:
            closed = []
            for row in connection.execute(select(baseline).where(*over)).all():
                late = now >= row.ends_at + timedelta(seconds=row.day_seconds)
                if _has_runs(connection, row.id) and (late or not _unfinished(connection, row)):
                    _set(connection, row.id, status=BaselineStatus.CAPTURED.value)
                    closed.append(int(row.id))
            return closed

    def approve(
        self,
        baseline_id: int,
        by: str,
        why: str,
        now: datetime,
        *,
        entry: AuditEntry | None = None,
        conditions: Sequence[ConditionState] = (),
    ) -> Baseline:
        """Approve a captured baseline; the one approved before is retired. Raises CliffwatchError.

        ``entry``, here and below, goes to the audit log in the same transaction. ``conditions`` stay with the baseline.
        """
        with self._database.write() as c:
            done = approve(c, baseline_id, by, why, now, conditions)
            served.keep(c, done)
            if entry is not None:
                audit.add(c, entry)
            return done

    def retire(
        self, baseline_id: int, by: str, why: str, now: datetime, *, entry: AuditEntry | None = None
    ) -> Baseline:
        """Retire a baseline, or cancel its capture. Raises CliffwatchError."""
        with self._database.write() as c:
            done = retire(c, baseline_id, by, why, now)
            if entry is not None:
                audit.add(c, entry)
            return done
