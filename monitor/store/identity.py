"""Identity checks and retirement dates of models: the latest of each, by target and arm."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, case, delete, select, tuple_

from monitor.core.records import Arm, IdentityCheck, Match, Retirement, Rollback
from monitor.store import rollback
from monitor.store.base import Connected
from monitor.store.column_types import clean
from monitor.store.dialect import insert
from monitor.store.tables import identity_check, retirement

LONGEST: Final = 1000
"""Stored characters of ``expected`` and ``found``, which can contain a server's reply of any length."""

PIECE: Final = 200
"""Rows per transaction."""

T = TypeVar("T")
CheckKey = tuple[str, Arm, str]
"""Target, arm and check."""
RetirementKey = tuple[str, Arm]


def save_checks(connection: Connection, items: Sequence[IdentityCheck]) -> None:
    new = insert(connection, identity_check)
    turned = identity_check.c.result != new.excluded.result
    changed: dict[str, ColumnElement[Any]] = {
        "since": case((turned, new.excluded.since), else_=identity_check.c.since),
        **{name: new.excluded[name] for name in ("result", "expected", "found", "checked_at")},
    }
    keys = list(identity_check.primary_key.columns)
    connection.execute(new.on_conflict_do_update(index_elements=keys, set_=changed), [_to_row(one) for one in items])


def _to_row(one: IdentityCheck) -> dict[str, Any]:
    row = asdict(one) | {
        "result": one.result.value, "expected": _short(one.expected), "found": _short(one.found),
    }  # fmt: skip
    del row["matches"]  # follows from the result
    return row


def _short(text: str) -> str:
    kept = clean(text) or ""
    return kept if len(kept) <= LONGEST else f"{kept[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def save_retirements(connection: Connection, items: Sequence[Retirement]) -> None:
    new = insert(connection, retirement)
    changed = {name: new.excluded[name] for name in ("model", "retires_at", "source", "checked_at")}
    keys = list(retirement.primary_key.columns)
    connection.execute(new.on_conflict_do_update(index_elements=keys, set_=changed), [asdict(one) for one in items])


def _drop(connection: Connection, table: Table, keys: Sequence[tuple[str, ...]]) -> None:
    connection.execute(delete(table).where(tuple_(*table.primary_key.columns).in_([tuple(key) for key in keys])))


def _some(items: Collection[T]) -> Iterator[list[T]]:
    """``items`` in pieces, so that a round over a whole fleet blocks the store's only writer briefly."""
    rest = iter(items)
    while piece := list(islice(rest, PIECE)):
        yield piece


def _rows(
    connection: Connection, table: Table, target: str | None, *which: ColumnElement[bool]
) -> list[dict[str, Any]]:
    query = select(table).where(*which).order_by(*table.primary_key.columns)
    if target is not None:
        query = query.where(table.c.target == target)
    return [dict(row._mapping) for row in connection.execute(query).all()]


def _to_check(row: dict[str, Any]) -> IdentityCheck:
    return IdentityCheck(**{**row, "arm": Arm(row["arm"]), "result": Match(row["result"])})


class IdentityReads(Connected):
    """Methods that read identity checks, retirements and the snapshot's answers."""

    def identity_checks(self, target: str | None = None, *, result: Match | None = None) -> list[IdentityCheck]:
        """The latest of each, by target, arm and check; including targets that were removed from the
        configuration. ``result``: only checks with this result.
        """
        with self._database.read() as connection:
            which = () if result is None else (identity_check.c.result == result.value,)
            rows = _rows(connection, identity_check, target, *which)
            return [_to_check(row) for row in rows]

    def retirements(self, target: str | None = None) -> list[Retirement]:
        """By target and arm, including targets that were removed from the configuration."""
        with self._database.read() as connection:
            return [Retirement(**{**row, "arm": Arm(row["arm"])}) for row in _rows(connection, retirement, target)]

    def rollback(self, target: str | None = None) -> list[Rollback]:
        """Whether each target's snapshot is ready, by target: from the last runs of each suite that asked it.

        Targets whose last runs asked no snapshot are left out. A finished run and an approved baseline never change,
        so their results are cached: at each scrape, only new runs are read.
        """
        kept: rollback.Kept = self.__dict__.setdefault("_rollback_kept", {})
        with self._database.read() as c:
            return rollback.rollbacks(c, target, kept)


class Identity(Connected):
    """Methods that store identity checks and retirements."""

    def save_identity_checks(self, items: Sequence[IdentityCheck]) -> None:
        """Store the latest of each (target, arm, check); ``since`` changes only when ``result`` changes."""
        for some in _some(items):
            with self._database.write() as c:
                save_checks(c, some)

    def drop_identity_checks(self, keys: Collection[CheckKey]) -> None:
        """Delete checks that no longer apply: the configuration has another endpoint, or its server returns less."""
        for some in _some(keys):
            with self._database.write() as c:
                _drop(c, identity_check, some)

    def save_retirements(self, items: Sequence[Retirement]) -> None:
        """Store the latest retirement date of each (target, arm)."""
        for some in _some(items):
            with self._database.write() as c:
                save_retirements(c, some)

    def drop_retirements(self, keys: Collection[RetirementKey]) -> None:
        """Delete retirement dates that no source reports any more."""
        for some in _some(keys):
            with self._database.write() as c:
                _drop(c, retirement, some)
