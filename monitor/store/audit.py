"""Who did what, and who looks into which alarm. Rows of the audit log are only ever added."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from monitor.core.errors import UsageError
from monitor.core.records import Alarm, Deed
from monitor.store import alarms, ledger
from monitor.store.column_types import clean
from monitor.store.engine import Database
from monitor.store.tables import alarm, audit


def add(connection: Connection, deed: Deed) -> Deed:
    """Write a deed; the same with its id."""
    values: dict[str, Any] = {
        name: clean(value) if isinstance(value, str) else value for name, value in asdict(deed).items() if name != "id"
    }
    return _to_deed(connection.execute(audit.insert().values(values).returning(audit)).one())


def deeds(connection: Connection, target: str | None, limit: int) -> list[Deed]:
    """Newest first."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    query = query if target is None else query.where(audit.c.target == target)
    return [_to_deed(row) for row in connection.execute(query)]


def _to_deed(row: Any) -> Deed:
    return Deed(**row._mapping)


def acknowledge(
    connection: Connection, alarm_id: int, by: str, why: str, now: datetime, *, take_over: bool = True
) -> bool:
    """Write who looks into an open alarm; ``False`` where it is cleared, or is not there.

    ``take_over``: from whoever looks into it; without it, ``False`` where somebody does.
    """
    if not by.strip() or not why.strip():
        raise UsageError("to acknowledge an alarm, say who you are and what you do about it")
    values = {"acknowledged_at": now, "acknowledged_by": clean(by), "acknowledged_why": clean(why)}
    changed = update(alarm).where(alarm.c.id == alarm_id, alarm.c.cleared_at.is_(None)).values(values)
    if not take_over:
        changed = changed.where(alarm.c.acknowledged_at.is_(None))
    return connection.execute(changed.returning(alarm.c.id)).first() is not None


class AuditLog:
    """The store's methods over what people did."""

    _database: Database

    def add_deed(self, deed: Deed) -> Deed:
        """Add a row to the audit log; the deed with its id."""
        with self._database.write() as c:
            return add(c, deed)

    def deeds(self, target: str | None = None, limit: int = 100) -> list[Deed]:
        """What people did, newest first; ``target``: to this target only."""
        with self._database.read() as c:
            return deeds(c, target, limit)

    def alarm(self, alarm_id: int) -> Alarm | None:
        """One alarm; ``None`` where there is none of this id."""
        with self._database.read() as c:
            return alarms.get(c, alarm_id)

    def acknowledge(self, alarm_id: int, by: str, why: str, now: datetime, *, deed: Deed | None = None) -> bool:
        """Keep who looks into an open alarm, and what they do; the alarm goes on as it is.

        Whoever acknowledges it next takes over. ``False``, and nothing is written, where it is cleared or not there.
        ``deed`` goes to the audit log in the same transaction. Raises UsageError without a name or words.
        """
        with self._database.write() as c:
            done = acknowledge(c, alarm_id, by, why, now)
            if done and deed is not None:
                add(c, deed)
            return done

    def acknowledge_all(
        self, target: str, by: str, why: str, now: datetime, deed: Callable[[Alarm], Deed]
    ) -> list[Deed]:
        """Keep who looks into every open alarm of a target that nobody looks into yet, each with a ``deed`` of its own.

        All in one transaction; the deeds as they are on record, the newest alarm's first. Raises UsageError without a
        name or words.
        """
        with self._database.write() as c:
            unclaimed = [one for one in alarms.open_alarms(c, target) if one.acknowledged_at is None]
            # A verdict moves the same alarms in an order of its own: without this, each could wait for the other's.
            for suite in sorted({one.suite for one in unclaimed}):
                ledger.lock_stream(c, target, suite)
            return [
                add(c, deed(one))
                for one in unclaimed
                if one.id is not None and acknowledge(c, one.id, by, why, now, take_over=False)
            ]
