"""``record`` for PostgreSQL: the whole list in ONE statement that commits by itself.

In a transaction of several statements, a process that is stopped between two of them locks the target's
``spend`` row and blocks every other worker. The server finishes a single statement without the process.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Boolean, Connection, Date, Float, Integer, String, bindparam, text
from sqlalchemy.types import TypeEngine

from monitor.core.records import Recorded
from monitor.store.column_types import UtcDateTime, to_nano
from monitor.store.outcome_rows import COLUMNS, KEY, Key, day_of, leases_of, reservations_of, row_of, usage_of

_PLAIN: Final[dict[str, TypeEngine[Any]]] = {
    "run_id": BigInteger(), "replicate": Integer(), "refusal": Boolean(), "prompt_tokens": Integer(),
    "completion_tokens": Integer(), "latency_seconds": Float(), "asked_at": UtcDateTime(), "attempts": Integer(),
    "usd": Float(), "cached_tokens": Integer(), "chars": Integer(),
}  # fmt: skip
"""Types of the answer's columns that are not text; JSON travels as text and is cast."""

_JSON: Final = ("exchange", "logprobs", "served")

_ARRAYS: Final[dict[str, TypeEngine[Any]]] = {
    "lease_run": BigInteger(), "lease_fence": Integer(), "lease_until": UtcDateTime(), "answer_fence": Integer(),
    "paid_item": Integer(), "paid_target": String(), "paid_day": Date(), "paid_nano": BigInteger(),
    "paid_requests": Integer(), "held_id": BigInteger(), "held_item": Integer(),
    "use_target": String(), "use_arm": String(), "use_provider": String(), "use_model": String(),
    "use_outcome": String(), "use_requests": BigInteger(), "use_prompt": BigInteger(),
    "use_completion": BigInteger(), "use_nano": BigInteger(),
    **{f"a_{name}": _PLAIN.get(name, String()) for name in COLUMNS},
}  # fmt: skip

_RECORD: Final = text(f"""
    WITH alive AS (
      UPDATE run SET lease_until = greatest(run.lease_until, lease.until)
      FROM unnest(:lease_run, :lease_fence, :lease_until) AS lease(run_id, fence, until)
      WHERE run.id = lease.run_id AND run.fence = lease.fence AND run.status = 'running'
      RETURNING run.id, run.fence),
    inserted AS (
      INSERT INTO answer ({", ".join(COLUMNS)})
      SELECT {", ".join(f"CAST(item.{name} AS json)" if name in _JSON else f"item.{name}" for name in COLUMNS)}
      FROM unnest(:answer_fence, {", ".join(f":a_{name}" for name in COLUMNS)})
        AS item(fence, {", ".join(COLUMNS)})
      JOIN alive ON alive.id = item.run_id AND alive.fence = item.fence
      ON CONFLICT DO NOTHING
      RETURNING {KEY}),
    gone AS (
      DELETE FROM reservation USING unnest(:held_id, :held_item) AS held(id, item)
      WHERE reservation.id = held.id
      RETURNING held.item, reservation.target, reservation.day, reservation.nano, reservation.requests),
    cost AS (
      SELECT paid.target, coalesce((SELECT min(gone.day) FROM gone WHERE gone.item = paid.item), paid.day) AS day,
             paid.nano, paid.requests, 0 AS freed_nano, 0 AS freed_requests
      FROM unnest(:paid_item, :paid_target, :paid_day, :paid_nano, :paid_requests)
        AS paid(item, target, day, nano, requests)
      UNION ALL SELECT target, day, 0, 0, nano, requests FROM gone),
    settled AS (
      INSERT INTO spend (target, day, nano, requests, reserved_nano, reserved_requests)
      SELECT target, day, sum(nano), sum(requests), -sum(freed_nano), -sum(freed_requests)
      FROM cost GROUP BY target, day ORDER BY target, day
      ON CONFLICT (target, day) DO UPDATE SET
        nano = spend.nano + excluded.nano, requests = spend.requests + excluded.requests,
        reserved_nano = spend.reserved_nano + excluded.reserved_nano,
        reserved_requests = spend.reserved_requests + excluded.reserved_requests),
    used AS (
      INSERT INTO usage (target, arm, provider, model, outcome, requests, prompt_tokens, completion_tokens, nano)
      SELECT * FROM unnest(:use_target, :use_arm, :use_provider, :use_model, :use_outcome, :use_requests,
                           :use_prompt, :use_completion, :use_nano)
      ON CONFLICT (target, arm, provider, model, outcome) DO UPDATE SET
        requests = usage.requests + excluded.requests,
        prompt_tokens = usage.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = usage.completion_tokens + excluded.completion_tokens,
        nano = usage.nano + excluded.nano)
    SELECT {KEY} FROM inserted
""").bindparams(*(bindparam(name, type_=ARRAY(kind)) for name, kind in _ARRAYS.items()))


def record(connection: Connection, items: Sequence[Recorded]) -> set[Key]:
    """Write the list; returns the inserted keys."""
    values = {**_leases(items), **_answers(items), **_payments(items), **_usage(items)}
    return {(row.run_id, row.arm, row.probe, row.replicate) for row in connection.execute(_RECORD, values)}


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Rows turned into one list per column."""
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _leases(items: Sequence[Recorded]) -> dict[str, list[Any]]:
    # Sorted, so that two workers lock the run rows in the same order.
    rows = [(run_id, fence, until) for (run_id, fence), until in sorted(leases_of(items).items())]
    return _columns(("lease_run", "lease_fence", "lease_until"), rows)


def _answers(items: Sequence[Recorded]) -> dict[str, list[Any]]:
    rows = [(item.fence, *row_of(item)) for item in items]
    return _columns(("answer_fence", *(f"a_{name}" for name in COLUMNS)), rows)


def _payments(items: Sequence[Recorded]) -> dict[str, list[Any]]:
    paid = [
        (place, item.question.target, day_of(item), to_nano(item.outcome.usd), item.outcome.attempts)
        for place, item in enumerate(items)
    ]
    held = [(key, place) for place, item in enumerate(items) for key in reservations_of(item)]
    return {
        **_columns(("paid_item", "paid_target", "paid_day", "paid_nano", "paid_requests"), paid),
        **_columns(("held_id", "held_item"), held),
    }


def _usage(items: Sequence[Recorded]) -> dict[str, list[Any]]:
    names = ("target", "arm", "provider", "model", "outcome", "requests", "prompt", "completion", "nano")
    rows = [(*key, *total) for key, total in usage_of(items).items()]
    return _columns(tuple(f"use_{name}" for name in names), rows)
