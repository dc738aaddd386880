"""Numbers for the metrics: progress, usage and self-tests, each a few rows, independent of the store's age."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Select, select, update

from monitor.core.records import Arm, RunOutcome, SelfTest, SuiteProgress, Usage
from monitor.store.base import Connected
from monitor.store.column_types import NANO
from monitor.store.dialect import insert
from monitor.store.tables import self_test, state


def suite_progress(connection: Connection, query: Select[Any]) -> list[SuiteProgress]:
    return [
        SuiteProgress(
            row.target,
            row.suite,
            row.last_attempt,
            row.last_success,
            {outcome: row._mapping[outcome.value] for outcome in RunOutcome},
        )
        for row in connection.execute(query).all()
    ]


def usage_rows(connection: Connection, query: Select[Any]) -> list[Usage]:
    return [
        Usage(
            row.target, Arm(row.arm), row.provider, row.model, row.outcome, row.requests,
            row.prompt_tokens, row.completion_tokens, row.nano / NANO,
        )
        for row in connection.execute(query).all()
    ]  # fmt: skip


def self_tests(connection: Connection, query: Select[Any]) -> list[SelfTest]:
    return [SelfTest(**row._mapping) for row in connection.execute(query).all()]


def set_state(connection: Connection, key: str, value: str) -> None:
    new = insert(connection, state).values(key=key, value=value)
    connection.execute(new.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def get_state(connection: Connection, key: str) -> str | None:
    found: str | None = connection.execute(select(state.c.value).where(state.c.key == key)).scalar()
    return found


class StateReads(Connected):
    """Methods that read state values."""

    def get_state(self, key: str) -> str | None:
        with self._database.read() as c:
            return get_state(c, key)


class State(Connected):
    """State values and self-tests."""

    def save_self_tests(self, tests: Sequence[SelfTest]) -> None:
        """Keep the latest self-test of each (target, suite, fault)."""
        with self._database.write() as connection:
            for test in tests:
                new = insert(connection, self_test).values(asdict(test))
                changed = {name: new.excluded[name] for name in ("caught", "trials", "tested_at")}
                connection.execute(new.on_conflict_do_update(index_elements=["target", "suite", "fault"], set_=changed))

    def set_state(self, key: str, value: str) -> None:
        self._statement(lambda c: set_state(c, key, value))

    def replace_state(self, key: str, before: str | None, value: str) -> bool:
        """Set the value if it is still ``before`` (``None``: not set). Returns whether it was."""
        with self._database.write() as connection:
            if before is None:
                new = insert(connection, state).values(key=key, value=value)
                return connection.execute(new.on_conflict_do_nothing().returning(state.c.key)).first() is not None
            changed = update(state).where(state.c.key == key, state.c.value == before).values(value=value)
            return connection.execute(changed.returning(state.c.key)).first() is not None
