"""Budgets: the largest cost of a call is reserved before the call, and settled when its outcome is recorded.

``spend`` holds, per target and UTC day, what was spent and the sum of the open reservations, so one
conditional statement decides whether a further call fits, however many processes ask at once.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from itertools import groupby
from secrets import randbits
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Connection, Integer, bindparam, delete, select, text, update

from monitor.core.records import Reservation, Spend
from monitor.store.base import Connected
from monitor.store.column_types import NANO, UNLIMITED, UtcDateTime, limit_to_nano, to_nano
from monitor.store.dialect import insert
from monitor.store.tables import reservation, spend

Group = tuple[str, date, int, int]
"""Target, day, limit in nano-dollars, limit in requests."""

Wanted = tuple[int, Reservation]
"""A new id and the reservation."""

Take = Callable[[Connection, Group, Sequence[Wanted]], bool]

TRIES: Final = 1000


def _reserve(connection: Connection, items: Sequence[Reservation]) -> list[int | None]:
    """An id for each item that fits the rest of its budget, in order; ``None`` for items that do not fit."""
    take = _take_postgres if connection.dialect.name == "postgresql" else _take_sqlite
    wanted = [(randbits(62), item) for item in items]
    granted: set[int] = set()
    for group, members in groupby(sorted(wanted, key=lambda w: _group(w[1])), key=lambda w: _group(w[1])):
        granted.update(_reserve_group(connection, take, group, list(members)))
    return [key if key in granted else None for key, _ in wanted]


def _group(item: Reservation) -> Group:
    requests = UNLIMITED if item.requests_limit is None else item.requests_limit
    return (item.target, item.day, limit_to_nano(item.usd_limit), requests)


def _reserve_group(connection: Connection, take: Take, group: Group, wanted: list[Wanted]) -> list[int]:
    """Reserve all at once. If they do not fit, reserve those that do; repeat if another process was faster."""
    for _ in range(TRIES):
        if not wanted:
            return []
        if take(connection, group, wanted):
            return [key for key, _ in wanted]
        wanted = _fitting(spent(connection, group[0], group[1]), group, wanted)
    return []


def _fitting(used: Spend, group: Group, wanted: Iterable[Wanted]) -> list[Wanted]:
    nano = to_nano(used.usd) + to_nano(used.reserved_usd)
    requests = used.requests + used.reserved_requests
    fitting = []
    for key, item in wanted:
        if nano + to_nano(item.usd) <= group[2] and requests + item.requests <= group[3]:
            nano += to_nano(item.usd)
            requests += item.requests
            fitting.append((key, item))
    return fitting


def _row(key: int, item: Reservation) -> dict[str, Any]:
    return {
        "id": key, "target": item.target, "day": item.day, "run_id": item.run_id, "nano": to_nano(item.usd),
        "requests": item.requests, "expires_at": item.expires_at,
    }  # fmt: skip


def _totals(wanted: Sequence[Wanted]) -> tuple[int, int]:
    return sum(to_nano(item.usd) for _, item in wanted), sum(item.requests for _, item in wanted)


def _take_sqlite(connection: Connection, group: Group, wanted: Sequence[Wanted]) -> bool:
    target, day, nano_limit, requests_limit = group
    nano, requests = _totals(wanted)
    new = insert(connection, spend).values(
        target=target, day=day, nano=0, requests=0, reserved_nano=0, reserved_requests=0
    )
    connection.execute(new.on_conflict_do_nothing())
    taken = connection.execute(
        update(spend)
        .where(
            spend.c.target == target, spend.c.day == day,
            spend.c.nano + spend.c.reserved_nano + nano <= nano_limit,
            spend.c.requests + spend.c.reserved_requests + requests <= requests_limit,
        )
        .values(
            reserved_nano=spend.c.reserved_nano + nano, reserved_requests=spend.c.reserved_requests + requests
        )
        .returning(spend.c.target)
    ).first()  # fmt: skip
    if taken is not None:
        connection.execute(reservation.insert(), [_row(key, item) for key, item in wanted])
    return taken is not None


_TAKE = text("""
    WITH room AS (
      INSERT INTO spend (target, day, nano, requests, reserved_nano, reserved_requests)
      SELECT :target, CAST(:day AS date), 0, 0, :nano, :requests
      WHERE :nano <= :nano_limit AND :requests <= :requests_limit
      ON CONFLICT (target, day) DO UPDATE SET
        reserved_nano = spend.reserved_nano + excluded.reserved_nano,
        reserved_requests = spend.reserved_requests + excluded.reserved_requests
      WHERE spend.nano + spend.reserved_nano + excluded.reserved_nano <= :nano_limit
        AND spend.requests + spend.reserved_requests + excluded.reserved_requests <= :requests_limit
      RETURNING target)
    INSERT INTO reservation (id, target, day, run_id, nano, requests, expires_at)
    SELECT item.id, :target, :day, item.run_id, item.nano, item.requests, item.expires_at
    FROM room, unnest(:ids, :run_ids, :nanos, :counts, :expiries) AS item(id, run_id, nano, requests, expires_at)
    RETURNING id
""").bindparams(
    bindparam("nano", type_=BigInteger),
    bindparam("requests", type_=BigInteger),
    bindparam("nano_limit", type_=BigInteger),
    bindparam("requests_limit", type_=BigInteger),
    bindparam("ids", type_=ARRAY(BigInteger)),
    bindparam("run_ids", type_=ARRAY(BigInteger)),
    bindparam("nanos", type_=ARRAY(BigInteger)),
    bindparam("counts", type_=ARRAY(Integer)),
    bindparam("expiries", type_=ARRAY(UtcDateTime)),
)


def _take_postgres(connection: Connection, group: Group, wanted: Sequence[Wanted]) -> bool:
    target, day, nano_limit, requests_limit = group
    nano, requests = _totals(wanted)
    rows = [_row(key, item) for key, item in wanted]
    values = {
        "target": target, "day": day, "nano": nano, "requests": requests,
        "nano_limit": nano_limit, "requests_limit": requests_limit,
        "ids": [row["id"] for row in rows], "run_ids": [row["run_id"] for row in rows],
        "nanos": [row["nano"] for row in rows], "counts": [row["requests"] for row in rows],
        "expiries": [row["expires_at"] for row in rows],
    }  # fmt: skip
    return connection.execute(_TAKE, values).first() is not None


def _release_expired(connection: Connection, now: datetime) -> int:
    """Count expired reservations as spent, because their caller is dead; returns their number.

    Such a call may have been made and paid for, so the budget counts its largest cost.
    """
    if connection.dialect.name == "postgresql":
        return int(connection.execute(_EXPIRE, {"now": now}).scalar() or 0)
    return _free_sqlite(connection, reservation.c.expires_at <= now, spent=True)


def _cancel(connection: Connection, ids: Sequence[int]) -> None:
    """Release the reservations of calls that were never made."""
    if connection.dialect.name == "postgresql":
        connection.execute(_CANCEL, {"ids": list(ids)})
    else:
        _free_sqlite(connection, reservation.c.id.in_(ids), spent=False)


def _free_sqlite(connection: Connection, which: Any, *, spent: bool) -> int:
    """Delete the reservations selected by ``which``, releasing or counting their amounts; returns their number."""
    gone = connection.execute(delete(reservation).where(which).returning(reservation)).all()
    totals: dict[tuple[str, date], list[int]] = defaultdict(lambda: [0, 0])
    for row in gone:
        totals[(row.target, row.day)][0] += row.nano
        totals[(row.target, row.day)][1] += row.requests
    for (target, day), (nano, requests) in totals.items():
        less = {
            "reserved_nano": spend.c.reserved_nano - nano,
            "reserved_requests": spend.c.reserved_requests - requests,
        }
        if spent:
            less |= {"nano": spend.c.nano + nano, "requests": spend.c.requests + requests}
        connection.execute(update(spend).where(spend.c.target == target, spend.c.day == day).values(less))
    return len(gone)


_FREE: Final = """
    WITH gone AS (DELETE FROM reservation WHERE {which} RETURNING target, day, nano, requests),
    freed AS (
      SELECT target, day, sum(nano) AS nano, sum(requests) AS requests, count(*) AS reservations
      FROM gone GROUP BY target, day),
    given AS (
      UPDATE spend SET reserved_nano = spend.reserved_nano - freed.nano,
                       reserved_requests = spend.reserved_requests - freed.requests{spent}
      FROM freed WHERE spend.target = freed.target AND spend.day = freed.day)
    SELECT sum(reservations) FROM freed
"""
_SPENT: Final = ", nano = spend.nano + freed.nano, requests = spend.requests + freed.requests"
_EXPIRE: Final = text(_FREE.format(which="expires_at <= :now", spent=_SPENT)).bindparams(
    bindparam("now", type_=UtcDateTime)
)
_CANCEL: Final = text(_FREE.format(which="id = ANY(:ids)", spent="")).bindparams(
    bindparam("ids", type_=ARRAY(BigInteger))
)


def spent(connection: Connection, target: str, day: date) -> Spend:
    row = connection.execute(select(spend).where(spend.c.target == target, spend.c.day == day)).first()
    return Spend() if row is None else _to_spend(row)


def spent_by_target(connection: Connection, day: date) -> dict[str, Spend]:
    return {row.target: _to_spend(row) for row in connection.execute(select(spend).where(spend.c.day == day))}


def _to_spend(row: Any) -> Spend:
    return Spend(row.nano / NANO, row.requests, row.reserved_nano / NANO, row.reserved_requests)


class SpendReads(Connected):
    """Methods that read spending."""

    def spent(self, target: str, day: date) -> Spend:
        with self._database.read() as c:
            return spent(c, target, day)


class Budget(Connected):
    """Reservations of money and requests."""

    def reserve(self, items: Sequence[Reservation]) -> list[int | None]:
        """Reserve budget for calls; returns an id for each, or ``None`` if it does not fit.

        Spent + reserved never exceeds a limit, however many processes ask at once.
        """
        return self._statement(lambda c: _reserve(c, items))

    def cancel(self, reservation_ids: Iterable[int]) -> None:
        """Release reservations whose calls were never made."""
        ids = list(reservation_ids)
        if ids:
            self._statement(lambda c: _cancel(c, ids))

    def release_expired(self, now: datetime) -> int:
        """Count reservations past their ``expires_at`` as spent, since their calls may have been made; returns their
        number."""
        return self._statement(lambda c: _release_expired(c, now))
