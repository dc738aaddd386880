"""Group commit of outcomes: answers, leases, money and usage of a whole list in one go.

The fence is the condition: a worker whose run was handed to another writes no answer. What its call cost is
counted all the same, because it was paid. This is the hot path, so it speaks SQL to the driver.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date
from typing import Any, Final, cast

from sqlalchemy import Connection, update

from monitor.records import Recorded
from monitor.store import recording_postgres
from monitor.store.budget import free
from monitor.store.ledger import held, later
from monitor.store.rows import COLUMNS, KEY, Key, day_of, key_of, leases_of, reservations_of, row_of, usage_of
from monitor.store.tables import reservation, run
from monitor.store.types import to_nano

SLICE: Final = 500
"""Answers in one INSERT: SQLite takes 32,766 parameters."""


def record(connection: Connection, items: Sequence[Recorded]) -> list[bool]:
    """Whether each item is now in the store for the first time, by its fence; its cost counts either way."""
    if not items:
        return []
    work = recording_postgres.record if connection.dialect.name == "postgresql" else _record_sqlite
    inserted = work(connection, items)
    return [_take_out(inserted, key_of(item)) for item in items]


def _take_out(inserted: set[Key], key: Key) -> bool:
    """Whether ``key`` was inserted; of a key that is twice in the list the first item has it."""
    if key not in inserted:
        return False
    inserted.remove(key)
    return True


def _record_sqlite(connection: Connection, items: Sequence[Recorded]) -> set[Key]:
    alive = set()
    for (run_id, fence), until in leases_of(items).items():
        longer = update(run).where(held(run_id, fence)).values(lease_until=later(run.c.lease_until, until))
        if connection.execute(longer.returning(run.c.id)).first() is not None:
            alive.add((run_id, fence))
    fenced = [item for item in items if (item.question.run_id, item.fence) in alive]
    inserted: set[Key] = set()
    for start in range(0, len(fenced), SLICE):
        inserted |= _insert_sqlite(connection, fenced[start : start + SLICE])
    _settle_sqlite(connection, items)
    return inserted


def _insert_sqlite(connection: Connection, items: Sequence[Recorded]) -> set[Key]:
    one = "(" + ",".join("?" * len(COLUMNS)) + ")"
    sql = (
        f"INSERT INTO answer ({', '.join(COLUMNS)}) VALUES {','.join([one] * len(items))} "
        f"ON CONFLICT DO NOTHING RETURNING {KEY}"
    )
    at = COLUMNS.index("asked_at")
    values: list[Any] = []
    for item in items:
        row = list(row_of(item))
        row[at] = row[at].astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        values += row
    return {cast("Key", tuple(row)) for row in connection.exec_driver_sql(sql, tuple(values))}


def _settle_sqlite(connection: Connection, items: Sequence[Recorded]) -> None:
    ids = [key for item in items for key in reservations_of(item)]
    days = free(connection, reservation.c.id.in_(ids)) if ids else {}
    spends: dict[tuple[str, date], list[int]] = defaultdict(lambda: [0, 0])
    for item in items:
        day = min((days[key] for key in reservations_of(item) if key in days), default=day_of(item))
        total = spends[(item.question.target, day)]
        total[0] += to_nano(item.outcome.usd)
        total[1] += item.outcome.attempts
    connection.exec_driver_sql(
        "INSERT INTO spend (target, day, nano, requests, reserved_nano, reserved_requests) VALUES (?, ?, ?, ?, 0, 0) "
        "ON CONFLICT DO UPDATE SET nano = nano + excluded.nano, requests = requests + excluded.requests",
        [(target, day.isoformat(), *total) for (target, day), total in spends.items()],
    )
    connection.exec_driver_sql(
        "INSERT INTO usage (target, arm, provider, model, outcome, requests, prompt_tokens, completion_tokens, nano) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, "
        "prompt_tokens = prompt_tokens + excluded.prompt_tokens, "
        "completion_tokens = completion_tokens + excluded.completion_tokens, nano = nano + excluded.nano",
        [(*key, *total) for key, total in usage_of(items).items()],
    )
