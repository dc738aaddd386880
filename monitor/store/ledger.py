"""The run ledger: which run is due, who works on it, and until when. The fence decides who may write."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, case, exists, func, literal, or_, select, update

from monitor.core.errors import StoreError
from monitor.core.records import AuditEntry, Run, RunOutcome
from monitor.store import audit
from monitor.store.base import Connected
from monitor.store.column_types import UtcDateTime
from monitor.store.dialect import insert
from monitor.store.tables import progress, run

AHEAD: Final = timedelta(minutes=1)
"""A stored time this far after now comes from a clock that was ahead. Less is the difference between two clocks."""

LONGEST_LEASE: Final = timedelta(hours=1)
"""No worker takes a lease this long; its end comes from a clock that was ahead, so it holds nobody back."""

MICROSECOND: Final = timedelta(microseconds=1)


def to_run(row: Row[Any]) -> Run:
    values = dict(row._mapping)
    values["outcome"] = None if values["outcome"] is None else RunOutcome(values["outcome"])
    return Run(**values)


def ensure_run(
    connection: Connection, target: str, suite: str, slot: datetime, seed: int, suite_digest: str,
    next_at: datetime, scheduled: bool, confirms: int | None = None, now: datetime | None = None,
    follows: int | None = None,
) -> Run:  # fmt: skip
    """The row of (target, suite, slot), or the one that confirms ``confirms``, created if it does not exist.

    An existing row is not changed. ``now`` repairs what a clock that was ahead left: the latest slot of the stream, and
    a run that was made for this slot before its time, which leaves the slot to a new run.
    """
    if now is not None:
        _leave_slot(connection, target, suite, slot)
    made = connection.execute(
        insert(connection, run)
        .values(
            target=target, suite=suite, slot=slot, status="due", attempt=0, fence=0, starts_at=next_at,
            next_at=next_at, seed=seed, suite_digest=suite_digest, scheduled=scheduled, confirms=confirms,
            follows=follows,
        )
        .on_conflict_do_nothing()
        .returning(run)
    ).first()  # fmt: skip
    if scheduled and (made is not None or now is not None):
        _note(connection, target, suite, now, latest_slot=slot)
    if made is None:
        where = and_(run.c.target == target, run.c.suite == suite, run.c.slot == slot)
        if confirms is not None:
            where = run.c.confirms == confirms
        return to_run(connection.execute(select(run).where(where)).one())
    return to_run(made)


def _leave_slot(connection: Connection, target: str, suite: str, slot: datetime) -> None:
    """Move a finished run just before ``slot`` if it was made for it too early: an earlier slot has a newer run."""
    newer = run.alias()
    before = and_(newer.c.target == target, newer.c.suite == suite, newer.c.slot < slot, newer.c.id > run.c.id)
    connection.execute(
        update(run)
        .where(run.c.target == target, run.c.suite == suite, run.c.slot == slot, run.c.status == "done")
        .where(run.c.scheduled, exists().where(before, newer.c.scheduled).correlate(run))
        .values(slot=slot - MICROSECOND)
    )


def _free(now: datetime) -> Any:
    """The condition that nobody holds a run."""
    lease = run.c.lease_until
    return or_(lease.is_(None), lease <= now, lease > now + LONGEST_LEASE)


def _workable(now: datetime) -> Any:
    return and_(run.c.status != "done", _free(now))


def held(run_id: int, fence: int) -> Any:
    """The condition under which a worker may still write."""
    return and_(run.c.id == run_id, run.c.fence == fence, run.c.status == "running")


def lock(connection: Connection, run_id: int, fence: int) -> Run | None:
    """The run, if this fence still holds it; locked for other workers until the transaction ends."""
    row = connection.execute(select(run).where(held(run_id, fence)).with_for_update()).first()
    return None if row is None else to_run(row)


def lock_series(connection: Connection, target: str, suite: str) -> None:
    """Block other verdicts on this target and suite until the transaction ends. A claim created the row."""
    where = (progress.c.target == target, progress.c.suite == suite)
    connection.execute(select(progress.c.target).where(*where).with_for_update()).first()


def close(connection: Connection, done: Run, outcome: RunOutcome, now: datetime) -> None:
    """Mark a locked run as done and count it."""
    connection.execute(
        update(run)
        .where(run.c.id == done.id)
        .values(status="done", outcome=outcome.value, lease_until=None, finished_at=now)
    )
    success = {} if outcome is RunOutcome.UNMEASURED else {"last_success": now}
    _note(connection, done.target, done.suite, now, count=outcome, last_end=now, **success)


def under_way(connection: Connection, target: str, suite: str) -> Run | None:
    """The confirming run of a stream that is not done; there is at most one."""
    where = (run.c.target == target, run.c.suite == suite, run.c.confirms.is_not(None), run.c.status != "done")
    row = connection.execute(select(run).where(*where)).first()
    return None if row is None else to_run(row)


def followers(connection: Connection, run_id: int) -> int:
    """How many runs follow a scheduled one."""
    return int(connection.execute(select(func.count()).where(run.c.follows == run_id)).scalar_one())


def bring_forward(connection: Connection, waiting: Run, slot: datetime, due_at: datetime, confirms: int) -> None:
    """Make a confirming run that nobody began yet due earlier, as the one that confirms the run ``confirms``."""
    moved = {"slot": slot, "starts_at": due_at, "next_at": due_at, "confirms": confirms}
    connection.execute(update(run).where(run.c.id == waiting.id, run.c.status == "due").values(moved))


def _note(
    connection: Connection, target: str, suite: str, now: datetime | None, *, count: RunOutcome | None = None,
    **times: datetime,
) -> None:  # fmt: skip
    """Move the progress row's times forward and count an outcome.

    A time moves back only if it lies after ``now``: it comes from a clock that was ahead.
    """
    first: dict[str, Any] = {"measured": 0, "partial": 0, "unmeasured": 0, **times}
    moved: dict[str, Any] = {name: later(progress.c[name], at, now) for name, at in times.items()}
    if count is not None:
        first[count.value] = 1
        moved[count.value] = progress.c[count.value] + 1
    new = insert(connection, progress).values(target=target, suite=suite, **first)
    connection.execute(new.on_conflict_do_update(index_elements=["target", "suite"], set_=moved))


def later(column: ColumnElement[Any], at: datetime, now: datetime | None = None) -> ColumnElement[Any]:
    """The later of a column (which may be NULL) and ``at``, or ``at`` if the column lies after ``now``."""
    kept = column > at if now is None else and_(column > at, column <= now + AHEAD)
    return case((kept, column), else_=literal(at, UtcDateTime))


class RunReads(Connected):
    """Methods that read the run ledger."""

    def under_way(self, target: str, suite: str) -> Run | None:
        """The confirming run of one suite of one target that is not done, if there is one."""
        with self._database.read() as c:
            return under_way(c, target, suite)

    def latest_slots(self) -> dict[tuple[str, str], datetime]:
        """(target, suite) -> slot of the latest scheduled run that was created."""
        with self._database.read() as connection:
            rows = connection.execute(select(progress.c.target, progress.c.suite, progress.c.latest_slot))
            return {(target, suite): slot for target, suite, slot in rows if slot is not None}

    def due_runs(
        self, now: datetime, limit: int = 10_000, streams: Collection[tuple[str, str]] | None = None
    ) -> list[Run]:
        """Due runs without a worker: first those that confirm a page, then the longest waiting.

        ``streams``: only runs of these (target, suite). Others do not count towards ``limit``.
        """
        order = (run.c.confirms.is_(None), run.c.next_at, run.c.id)
        due = select(run).where(_workable(now), run.c.next_at <= now).order_by(*order)
        with self._database.read() as connection:
            found = connection.execute(due if streams is not None else due.limit(limit))
            ours = (row for row in found if streams is None or (row.target, row.suite) in streams)
            return [to_run(row) for row in islice(ours, limit)]

    def orphans(self, now: datetime, streams: Collection[tuple[str, str]]) -> list[Run]:
        """Runs that are not done, that nobody holds, and that belong to none of these (target, suite)."""
        with self._database.read() as connection:
            found = connection.execute(select(run).where(_workable(now)))
            return [to_run(row) for row in found if (row.target, row.suite) not in streams]

    def future_times(self, now: datetime) -> dict[tuple[str, str], datetime]:
        """(target, suite) -> its latest slot or success, if that lies after ``now``: a clock was ahead, or this one is
        behind."""
        after = now + AHEAD
        late = (progress.c.latest_slot > after, progress.c.last_success > after)
        columns = (progress.c.target, progress.c.suite, progress.c.latest_slot, progress.c.last_success)
        with self._database.read() as connection:
            rows = connection.execute(select(*columns).where(or_(*late))).all()
        return {(target, suite): max(at for at in times if at is not None) for target, suite, *times in rows}

    def get_run(self, run_id: int) -> Run:
        """Raises StoreError if the run does not exist."""
        with self._database.read() as connection:
            row = connection.execute(select(run).where(run.c.id == run_id)).first()
            if row is None:
                raise StoreError(f"there is no run {run_id} in the store")
            return to_run(row)

    def runs(self, target: str | None = None, suite: str | None = None, limit: int = 100) -> list[Run]:
        """Newest slot first."""
        with self._database.read() as connection:
            found = select(run).order_by(run.c.slot.desc(), run.c.id.desc()).limit(limit)
            found = found if target is None else found.where(run.c.target == target)
            found = found if suite is None else found.where(run.c.suite == suite)
            return [to_run(row) for row in connection.execute(found)]


class Ledger(Connected):
    """Methods that create, claim and release runs."""

    def ensure_run(
        self, target: str, suite: str, slot: datetime, seed: int, suite_digest: str, next_at: datetime,
        *, scheduled: bool = True, confirms: int | None = None, entry: Callable[[Run], AuditEntry] | None = None,
        now: datetime | None = None,
    ) -> Run:  # fmt: skip
        """The run of (target, suite, slot), created if it does not exist; an existing run is not changed.

        ``next_at`` of a new run becomes its ``starts_at``: the slot, or now if the run is created late.
        ``seed`` lies in 0 to 2**63 - 1. A run off the schedule (``scheduled=False``) does not move ``latest_slot``.
        ``confirms``: the run whose page it confirms; a run has at most one, which is then returned.
        ``entry`` of the run goes to the audit log in the same transaction.
        ``now``: the slot is that of the current period, so repair what a clock that was ahead left.
        """
        with self._database.write() as c:
            made = ensure_run(c, target, suite, slot, seed, suite_digest, next_at, scheduled, confirms, now)
            if entry is not None:
                audit.add(c, entry(made))
            return made

    def claim(self, run_id: int, now: datetime, lease_seconds: float) -> Run | None:
        """Take a run for ``lease_seconds``, with a new fence; ``None`` if it is leased, done or unknown."""
        with self._database.write() as connection:
            claimed = connection.execute(
                update(run)
                .where(run.c.id == run_id, _workable(now))
                .values(
                    status="running", fence=run.c.fence + 1, attempt=run.c.attempt + 1,
                    lease_until=now + timedelta(seconds=lease_seconds),
                )
                .returning(run)
            ).first()  # fmt: skip
            if claimed is None:
                return None
            _note(connection, claimed.target, claimed.suite, now, last_attempt=now)
            return to_run(claimed)

    def close_unmeasured(self, runs: Sequence[Run], now: datetime) -> int:
        """End runs that nobody will ask, as unmeasured. Returns how many; one that was claimed meanwhile is left."""
        with self._database.write() as connection:
            ids = [one.id for one in runs]
            found = connection.execute(select(run).where(run.c.id.in_(ids), _workable(now)).with_for_update()).all()
            for row in found:
                close(connection, to_run(row), RunOutcome.UNMEASURED, now)
            return len(found)

    def extend_lease(self, run_id: int, fence: int, until: datetime) -> bool:
        """Keep a claimed run until ``until`` (never shorter than before); ``False`` when the fence is stale."""
        values = {"lease_until": later(run.c.lease_until, until)}
        kept = update(run).where(held(run_id, fence)).values(values).returning(run.c.id)
        return self._statement(lambda c: c.execute(kept).first() is not None)

    def release(self, run_id: int, fence: int, next_at: datetime) -> bool:
        """Release a claimed run until ``next_at``; ``False`` when the fence is stale."""
        values = {"status": "waiting", "lease_until": None, "next_at": next_at}
        given = update(run).where(held(run_id, fence)).values(values).returning(run.c.id)
        return self._statement(lambda c: c.execute(given).first() is not None)
