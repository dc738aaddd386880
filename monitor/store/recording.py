"""Group commit of outcomes: answers, leases, money and usage of a whole list in one transaction.

The fence is the condition: a worker whose run was claimed by another writes no answer. The cost of its calls is counted
anyway, because it was paid. This is the hot path, so it sends SQL directly to the driver.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Connection

from monitor.core.records import Recorded
from monitor.store import recording_postgres
from monitor.store.base import Connected
from monitor.store.column_types import sqlite_time, to_nano
from monitor.store.outcome_rows import COLUMNS, KEY, Key, day_of, key_of, leases_of, reservations_of, row_of, usage_of

ASKED_AT: Final = COLUMNS.index("asked_at")
SLICE: Final = 500
"""Answers in one INSERT: SQLite takes 32,766 parameters."""


def _record(connection: Connection, items: Sequence[Recorded]) -> list[bool]:
    """Whether each item was stored for the first time, under a valid fence; its cost counts in any case."""
    if not items:
        return []
    work = recording_postgres.record if connection.dialect.name == "postgresql" else _record_sqlite
    inserted = work(connection, items)
    return [_take_out(inserted, key_of(item)) for item in items]


def _take_out(inserted: set[Key], key: Key) -> bool:
    """Whether ``key`` was inserted. If a key is twice in the list, the first item counts."""
    if key not in inserted:
        return False
    inserted.remove(key)
    return True


def _record_sqlite(connection: Connection, items: Sequence[Recorded]) -> set[Key]:
    alive = {lease for lease, until in leases_of(items).items() if _extend_sqlite(connection, *lease, until)}
    fenced = [item for item in items if (item.question.run_id, item.fence) in alive]
    inserted: set[Key] = set()
    for start in range(0, len(fenced), SLICE):
        inserted |= _insert_sqlite(connection, fenced[start : start + SLICE])
    _settle_sqlite(connection, items)
    _count_sqlite(connection, items)
    return inserted


def _extend_sqlite(connection: Connection, run_id: int, fence: int, until: datetime) -> bool:
    sql = (
        "UPDATE run SET lease_until = max(lease_until, ?) WHERE id = ? AND fence = ? AND status = 'running' "
        "RETURNING id"
    )
    return bool(connection.exec_driver_sql(sql, (sqlite_time(until), run_id, fence)).all())


def _insert_sqlite(connection: Connection, items: Sequence[Recorded]) -> set[Key]:
    one = "(" + ",".join("?" * len(COLUMNS)) + ")"
    sql = (
        f"INSERT INTO answer ({', '.join(COLUMNS)}) VALUES {','.join([one] * len(items))} "
        f"ON CONFLICT DO NOTHING RETURNING {KEY}"
    )
    values: list[Any] = []
    for item in items:
        row = row_of(item)
        values += row[:ASKED_AT]
        values.append(sqlite_time(row[ASKED_AT]))
        values += row[ASKED_AT + 1 :]
    return {cast("Key", tuple(row)) for row in connection.exec_driver_sql(sql, tuple(values))}


def _settle_sqlite(connection: Connection, items: Sequence[Recorded]) -> None:
    days, changes = _free_sqlite(connection, [key for item in items for key in reservations_of(item)])
    for item in items:
        day = min((days[key] for key in reservations_of(item) if key in days), default=day_of(item).isoformat())
        change = changes[(item.question.target, day)]
        change[0] += to_nano(item.outcome.usd)
        change[1] += item.outcome.attempts
    connection.exec_driver_sql(
        "INSERT INTO spend (target, day, nano, requests, reserved_nano, reserved_requests) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET nano = nano + excluded.nano, requests = requests + excluded.requests, "
        "reserved_nano = reserved_nano + excluded.reserved_nano, "
        "reserved_requests = reserved_requests + excluded.reserved_requests",
        [(*key, *change) for key, change in changes.items()],
    )


def _free_sqlite(
    connection: Connection, ids: Sequence[int]
) -> tuple[dict[int, str], defaultdict[tuple[str, str], list[int]]]:
    """Delete reservations. Returns the day of each, and the amount per (target, day), in the order of ``spend``."""
    changes: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    if not ids:
        return {}, changes
    sql = f"DELETE FROM reservation WHERE id IN ({','.join('?' * len(ids))}) RETURNING id, target, day, nano, requests"
    gone = connection.exec_driver_sql(sql, tuple(ids)).all()
    for _, target, day, nano, requests in gone:
        changes[(target, day)][2] -= nano
        changes[(target, day)][3] -= requests
    return {row[0]: row[2] for row in gone}, changes


def _count_sqlite(connection: Connection, items: Sequence[Recorded]) -> None:
    connection.exec_driver_sql(
        "INSERT INTO usage (target, arm, provider, model, outcome, requests, prompt_tokens, completion_tokens, nano) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, "
        "prompt_tokens = prompt_tokens + excluded.prompt_tokens, "
        "completion_tokens = completion_tokens + excluded.completion_tokens, nano = nano + excluded.nano",
        [(*key, *total) for key, total in usage_of(items).items()],
    )


class Recording(Connected):
    """Recording of outcomes."""

    def record(self, items: Sequence[Recorded]) -> list[bool]:
        """Write a list of outcomes, extend their runs' leases and settle their reservations, all or nothing.

        An item is ``False`` when its fence is stale or its question was recorded before; its cost is counted
        anyway. Pass lists: a list costs about as much as a single item.
        """
        return self._statement(lambda c: _record(c, items))
