"""The base of the store's methods: the database, and how one statement is sent to it."""

from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection

from monitor.core.errors import StoreError
from monitor.store.engine import Database, deadlocked

T = TypeVar("T")

TRIES: Final = 5


class Connected:
    """Methods that share one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        self._database.engine.dispose()

    def _statement(self, work: Callable[[Connection], T]) -> T:
        """Run one self-contained statement. It is sent again if PostgreSQL cancelled it to resolve a deadlock."""
        for left in reversed(range(TRIES)):
            try:
                with self._database.statement() as connection:
                    return work(connection)
            except StoreError as error:
                if not left or not deadlocked(error):
                    raise
        raise AssertionError("unreachable")
