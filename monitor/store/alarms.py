"""Stored alarms. Other modules decide the state of an alarm; this one writes it, exactly once."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from monitor.core.errors import StoreError, UsageError
from monitor.core.records import Alarm, AlarmState, AuditEntry, Confirmation, Severity
from monitor.store import audit, ledger
from monitor.store.base import Connected
from monitor.store.column_types import clean
from monitor.store.tables import alarm, verdict

ACKNOWLEDGED: Final = ("acknowledged_at", "acknowledged_by", "acknowledged_why")
"""Columns that only ``acknowledge`` writes: a verdict updates the alarm as read before it was acknowledged."""


def write(connection: Connection, moves: Sequence[Alarm], seq: int | None) -> None:
    """Insert alarms without an id, update the others. ``seq``: the verdict that moves them.

    Raises StoreError for an alarm that was cleared meanwhile, so that the whole transaction is rolled back.
    """
    for item in moves:
        values = asdict(item) | {
            "severity": item.severity.value, "state": item.state.value, "note": clean(item.note),
            "confirmation": item.confirmation.value if item.confirmation else None,
            "cleared_by": clean(item.cleared_by), "cleared_why": clean(item.cleared_why),
            "cleared_seq": seq if item.state is AlarmState.CLEARED else None,
        }  # fmt: skip
        number = values.pop("id")
        if number is None:
            connection.execute(alarm.insert().values(values))
            continue
        for name in ACKNOWLEDGED:
            del values[name]
        if not _update(connection, number, values):
            raise StoreError(f"alarm {number} was cleared meanwhile")


def _update(connection: Connection, number: int, values: dict[str, Any]) -> bool:
    changed = update(alarm).where(alarm.c.id == number, alarm.c.cleared_at.is_(None)).values(values)
    return connection.execute(changed.returning(alarm.c.id)).first() is not None


def clear(connection: Connection, item: Alarm) -> bool:
    """Write an alarm that a person cleared; ``False`` if it was already cleared."""
    if item.id is None or item.state is not AlarmState.CLEARED:
        raise ValueError(f"no cleared alarm of the store: {item}")
    ledger.lock_series(connection, item.target, item.suite)
    values = {
        "state": item.state.value, "cleared_at": item.cleared_at, "cleared_by": clean(item.cleared_by),
        "cleared_why": clean(item.cleared_why), "cleared_seq": latest_seq(connection, item.target, item.suite),
    }  # fmt: skip
    return _update(connection, item.id, values)


def latest_seq(connection: Connection, target: str, suite: str) -> int:
    """The number of the stream's latest verdict, 0 without one."""
    where = (verdict.c.target == target, verdict.c.suite == suite)
    return int(connection.execute(select(func.max(verdict.c.seq)).where(*where)).scalar() or 0)


def alarms(
    connection: Connection, target: str | None, suite: str | None, raised: bool | None, limit: int | None
) -> list[Alarm]:
    """Alarms, newest first. ``limit``: maximum number, ``None`` for all."""
    query = select(alarm).order_by(alarm.c.id.desc()).limit(limit)
    query = query if target is None else query.where(alarm.c.target == target)
    query = query if suite is None else query.where(alarm.c.suite == suite)
    if raised is not None:
        query = query.where(alarm.c.cleared_at.is_(None) if raised else alarm.c.cleared_at.is_not(None))
    return [_to_alarm(row) for row in connection.execute(query)]


def open_alarms(connection: Connection, target: str | None = None, suite: str | None = None) -> list[Alarm]:
    """All alarms that are not cleared, newest first. At most one per signal of a suite, so there are few."""
    return alarms(connection, target, suite, raised=True, limit=None)


def _to_alarm(row: Any) -> Alarm:
    values = dict(row._mapping)
    del values["cleared_seq"]
    values["confirmation"] = Confirmation(row.confirmation) if row.confirmation else None
    return Alarm(**{**values, "severity": Severity(row.severity), "state": AlarmState(row.state)})


def _acknowledge(
    connection: Connection, alarm_id: int, by: str, why: str, now: datetime, *, take_over: bool = True
) -> bool:
    """Acknowledge an open alarm; ``False`` if it is cleared or does not exist.

    ``take_over``: also if someone else acknowledged it; without it, ``False`` in that case.
    """
    if not by.strip() or not why.strip():
        raise UsageError("to acknowledge an alarm, say who you are and what you do about it")
    values = {"acknowledged_at": now, "acknowledged_by": clean(by), "acknowledged_why": clean(why)}
    changed = update(alarm).where(alarm.c.id == alarm_id, alarm.c.cleared_at.is_(None)).values(values)
    if not take_over:
        changed = changed.where(alarm.c.acknowledged_at.is_(None))
    return connection.execute(changed.returning(alarm.c.id)).first() is not None


class AlarmReads(Connected):
    """Methods that read alarms."""

    def alarms(
        self, target: str | None = None, suite: str | None = None, raised: bool | None = None, limit: int = 1000
    ) -> list[Alarm]:
        """The newest ``limit``, newest first; ``raised``: only open ones (``True``), only cleared ones (``False``)."""
        with self._database.read() as c:
            return alarms(c, target, suite, raised, limit)

    def open_alarms(self, target: str | None = None, suite: str | None = None) -> list[Alarm]:
        """Every alarm that is not cleared, newest first; at most one per target, suite and signal."""
        with self._database.read() as c:
            return open_alarms(c, target, suite)

    def alarm(self, alarm_id: int) -> Alarm | None:
        """One alarm; ``None`` if the id is unknown."""
        with self._database.read() as connection:
            row = connection.execute(select(alarm).where(alarm.c.id == alarm_id)).first()
            return None if row is None else _to_alarm(row)


class Alarms(Connected):
    """Methods for people's actions on alarms."""

    def clear_alarm(self, cleared: Alarm, *, entry: AuditEntry | None = None) -> bool:
        """Write an open alarm that a person cleared; ``False`` if it was already cleared.

        The signal's evidence starts again with the next evaluation.
        """
        with self._database.write() as c:
            done = clear(c, cleared)
            if done and entry is not None:
                audit.add(c, entry)
            return done

    def acknowledge(self, alarm_id: int, by: str, why: str, now: datetime, *, entry: AuditEntry | None = None) -> bool:
        """Store who acknowledged an open alarm, and why; its state does not change.

        The next person to acknowledge it takes over. ``False``, and nothing is written, if it is cleared or unknown.
        ``entry`` goes to the audit log in the same transaction. Raises UsageError without a name or a reason.
        """
        with self._database.write() as c:
            done = _acknowledge(c, alarm_id, by, why, now)
            if done and entry is not None:
                audit.add(c, entry)
            return done

    def acknowledge_all(
        self, target: str, by: str, why: str, now: datetime, entry: Callable[[Alarm], AuditEntry]
    ) -> list[AuditEntry]:
        """Acknowledge every open alarm of a target that is not acknowledged yet, each with an ``entry``.

        All in one transaction. Returns the stored audit entries, that of the newest alarm first. Raises UsageError
        without a name or a reason.
        """
        with self._database.write() as c:
            unclaimed = [one for one in open_alarms(c, target) if one.acknowledged_at is None]
            # A verdict updates the same alarms in another order: without this lock, each could wait for the other.
            for suite in sorted({one.suite for one in unclaimed}):
                ledger.lock_series(c, target, suite)
            return [
                audit.add(c, entry(one))
                for one in unclaimed
                if one.id is not None and _acknowledge(c, one.id, by, why, now, take_over=False)
            ]
