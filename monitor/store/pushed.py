"""What is kept of the inputs that clients push to the daemon."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, select

from monitor.core.records import KeptInput, PushedChange, PushedIds, PushedWindow
from monitor.store.base import Connected
from monitor.store.dialect import insert
from monitor.store.tables import pushed_ids, pushed_input, pushed_window


def _to_input(row: RowMapping) -> KeptInput:
    messages = tuple((role, text) for role, text in row["messages"])
    return KeptInput(row["stratum"], int(row["key"], 16), row["count"], messages)


class PushedReads(Connected):
    """Methods that read pushed inputs."""

    def pushed_windows(self, target: str, since: datetime | None, until: datetime | None) -> list[PushedWindow]:
        """The windows of a target that opened from ``since`` to before ``until`` (``None``: open), in order."""

        def within(table: Any) -> list[Any]:
            found = [table.c.target == target]
            found += [] if since is None else [table.c.opened >= since]
            return found + ([] if until is None else [table.c.opened < until])

        with self._database.read() as connection:
            inputs: dict[datetime, list[KeptInput]] = {}
            for row in connection.execute(select(pushed_input).where(*within(pushed_input))).mappings():
                inputs.setdefault(row["opened"], []).append(_to_input(row))
            windows = select(pushed_window).where(*within(pushed_window)).order_by(pushed_window.c.opened)
            return [
                PushedWindow(target, row.opened, row.seed, row.strata, row.tally, tuple(inputs.get(row.opened, ())))
                for row in connection.execute(windows)
            ]

    def pushed_ids(self, target: str) -> list[PushedIds]:
        """The parts of the recent ids of a target, oldest first."""
        query = select(pushed_ids).where(pushed_ids.c.target == target).order_by(pushed_ids.c.part)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            return [PushedIds(target, row.part, bytes(row.hashes), rows[0].part) for row in rows]


class Pushed(PushedReads):
    """Methods that store pushed inputs."""

    def save_pushed(self, changes: Sequence[PushedChange], ids: Sequence[PushedIds]) -> None:
        """Store what changed, in one transaction."""
        with self._database.write() as connection:
            for change in changes:
                _save(connection, change)
            for one in ids:
                key = {"target": one.target, "part": one.part}
                new = insert(connection, pushed_ids).values(**key, hashes=one.hashes)
                connection.execute(new.on_conflict_do_update(index_elements=list(key), set_={"hashes": one.hashes}))
                older = (pushed_ids.c.target == one.target, pushed_ids.c.part < one.oldest)
                connection.execute(delete(pushed_ids).where(*older))

    def forget_pushed(self, before: datetime) -> None:
        """Delete the windows of every target that opened before ``before``."""
        with self._database.write() as connection:
            for table in (pushed_input, pushed_window):
                connection.execute(delete(table).where(table.c.opened < before))


def _save(connection: Connection, change: PushedChange) -> None:
    window = change.window
    key: dict[str, Any] = {"target": window.target, "opened": window.opened}
    counts = {"seed": window.seed, "strata": dict(window.strata), "tally": dict(window.tally)}
    new = insert(connection, pushed_window).values(**key, **counts)
    connection.execute(new.on_conflict_do_update(index_elements=list(key), set_=counts))
    mine = (pushed_input.c.target == window.target, pushed_input.c.opened == window.opened)
    for stratum, dropped in change.dropped:
        one = (pushed_input.c.stratum == stratum, pushed_input.c.key == _hex(dropped))
        connection.execute(delete(pushed_input).where(*mine, *one))
    if window.inputs:
        rows = [
            {**key, "stratum": one.stratum, "key": _hex(one.key), "count": one.count, "messages": one.messages}
            for one in window.inputs
        ]
        added = insert(connection, pushed_input)
        changed = {name: added.excluded[name] for name in ("count", "messages")}
        index = ["target", "opened", "stratum", "key"]
        connection.execute(added.on_conflict_do_update(index_elements=index, set_=changed), rows)


def _hex(key: int) -> str:
    return f"{key:016x}"
