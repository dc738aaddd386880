"""Numbers for the metrics: progress and usage, each a few rows however old the store is."""

from sqlalchemy import Connection, select

from monitor.records import Arm, RunOutcome, SuiteProgress, Usage
from monitor.store.dialect import insert
from monitor.store.tables import progress, state, usage
from monitor.store.types import NANO


def suite_progress(connection: Connection) -> list[SuiteProgress]:
    rows = connection.execute(select(progress).order_by(progress.c.target, progress.c.suite))
    return [
        SuiteProgress(
            row.target,
            row.suite,
            row.last_attempt,
            row.last_success,
            {outcome: row._mapping[outcome.value] for outcome in RunOutcome},
        )
        for row in rows
    ]


def usage_rows(connection: Connection) -> list[Usage]:
    rows = connection.execute(select(usage).order_by(*usage.primary_key.columns))
    return [
        Usage(
            row.target, Arm(row.arm), row.provider, row.model, row.outcome, row.requests,
            row.prompt_tokens, row.completion_tokens, row.nano / NANO,
        )
        for row in rows
    ]  # fmt: skip


def set_state(connection: Connection, key: str, value: str) -> None:
    new = insert(connection, state).values(key=key, value=value)
    connection.execute(new.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def get_state(connection: Connection, key: str) -> str | None:
    found: str | None = connection.execute(select(state.c.value).where(state.c.key == key)).scalar()
    return found
