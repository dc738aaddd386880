"""The audit log: who did what. Rows are only added."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select

from monitor.core.records import AuditEntry
from monitor.store.base import Connected
from monitor.store.column_types import clean
from monitor.store.tables import audit


def add(connection: Connection, entry: AuditEntry) -> AuditEntry:
    """Write an entry; returns it with its id."""
    values: dict[str, Any] = {
        name: clean(value) if isinstance(value, str) else value for name, value in asdict(entry).items() if name != "id"
    }
    return _to_entry(connection.execute(audit.insert().values(values).returning(audit)).one())


def _to_entry(row: Any) -> AuditEntry:
    return AuditEntry(**row._mapping)


class AuditReads(Connected):
    """Methods that read the audit log."""

    def audit_entries(self, target: str | None = None, limit: int = 100) -> list[AuditEntry]:
        """People's actions, newest first; ``target``: only those on this target."""
        with self._database.read() as connection:
            query = select(audit).order_by(audit.c.id.desc()).limit(limit)
            query = query if target is None else query.where(audit.c.target == target)
            return [_to_entry(row) for row in connection.execute(query)]


class AuditLog(Connected):
    """Methods that add to the audit log."""

    def add_audit_entry(self, entry: AuditEntry) -> AuditEntry:
        """Add a row to the audit log; returns the entry with its id."""
        with self._database.write() as c:
            return add(c, entry)
