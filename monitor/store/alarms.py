"""Alarms as they are stored. What becomes of one is decided elsewhere; here it is written, and never twice."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from monitor.core.errors import StoreError
from monitor.core.records import Alarm, AlarmState, Confirmation, Severity
from monitor.store import ledger
from monitor.store.column_types import clean
from monitor.store.tables import alarm, verdict

ACKNOWLEDGED: Final = ("acknowledged_at", "acknowledged_by", "acknowledged_why")
"""Written by ``audit.acknowledge`` alone: a verdict moves the alarm as it was read before somebody took it on."""


def write(connection: Connection, moves: Sequence[Alarm], seq: int | None) -> None:
    """Insert alarms without an id, update the others. ``seq``: the verdict that moves them.

    Raises StoreError for one that was cleared meanwhile, so that the whole transaction is undone.
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
    """Write an alarm that a person cleared; ``False`` when it was cleared before."""
    if item.id is None or item.state is not AlarmState.CLEARED:
        raise ValueError(f"no cleared alarm of the store: {item}")
    ledger.lock_stream(connection, item.target, item.suite)
    values = {
        "state": item.state.value, "cleared_at": item.cleared_at, "cleared_by": clean(item.cleared_by),
        "cleared_why": clean(item.cleared_why), "cleared_seq": latest_seq(connection, item.target, item.suite),
    }  # fmt: skip
    return _update(connection, item.id, values)


def latest_seq(connection: Connection, target: str, suite: str) -> int:
    """The stream's latest verdict, 0 where it has none."""
    where = (verdict.c.target == target, verdict.c.suite == suite)
    return int(connection.execute(select(func.max(verdict.c.seq)).where(*where)).scalar() or 0)


def alarms(
    connection: Connection, target: str | None, suite: str | None, raised: bool | None, limit: int | None
) -> list[Alarm]:
    """Newest first; ``limit``: the newest so many, ``None`` for all of them."""
    query = select(alarm).order_by(alarm.c.id.desc()).limit(limit)
    query = query if target is None else query.where(alarm.c.target == target)
    query = query if suite is None else query.where(alarm.c.suite == suite)
    if raised is not None:
        query = query.where(alarm.c.cleared_at.is_(None) if raised else alarm.c.cleared_at.is_not(None))
    return [_to_alarm(row) for row in connection.execute(query)]


def open_alarms(connection: Connection, target: str | None = None, suite: str | None = None) -> list[Alarm]:
    """All that are not cleared, newest first: one a signal of a suite at most, so there are never too many."""
    return alarms(connection, target, suite, raised=True, limit=None)


def get(connection: Connection, number: int) -> Alarm | None:
    """One alarm by its id."""
    row = connection.execute(select(alarm).where(alarm.c.id == number)).first()
    return None if row is None else _to_alarm(row)


def _to_alarm(row: Any) -> Alarm:
    values = dict(row._mapping)
    del values["cleared_seq"]
    values["confirmation"] = Confirmation(row.confirmation) if row.confirmation else None
    return Alarm(**{**values, "severity": Severity(row.severity), "state": AlarmState(row.state)})
