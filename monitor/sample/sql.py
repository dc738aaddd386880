"""Reads requests from a table or a query of any database that SQLAlchemy connects to."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from sqlalchemy import FromClause, column, literal_column, select, table, text

from monitor.core.errors import CouldNotMeasure
from monitor.core.sources import DatabaseSource, SqlSource
from monitor.sample import keyset
from monitor.sample.database import Database, url_of
from monitor.sample.request_log import Logged, Tally, Window

_MOST_TABLES: Final = 8
_PARAMETER: Final = re.compile(r"(?<![:\w\\]):(?=\w)")
"""A colon that ``text`` would read as the start of a parameter."""


def read(source: SqlSource, stratify: str | None, window: Window, tally: Tally) -> Iterator[Logged]:
    """The requests of the window in a table or query, one at a time. Raises CouldNotMeasure, MissingExtra."""
    with Database(url_of(source.url_env), source.url_env, source.timeout_seconds) as database:
        rows = _rows(source, database)
        keyset.has_columns(rows, paths(source, stratify) | {"source.key": source.key})
        yield from keyset.requests(keyset.records(rows, window, tally), source, stratify, window, tally)


def _rows(source: SqlSource, database: Database) -> keyset.Rows:
    if source.table is not None:
        return named_table(database, source.table, source.time, source.key)
    assert source.query is not None
    query = _PARAMETER.sub(r"\\:", source.query.strip().rstrip(";"))
    # the newline ends a comment in the last line of the query
    origin = text(f"{query}\n").columns(column(source.time), column(source.key)).subquery("requests")
    columns = database.columns(select(literal_column("*")).select_from(origin))
    return keyset.Rows(database, "query", origin, tuple(columns), source.time, source.key)


def named_table(database: Database, name: str, time: str, key: str) -> keyset.Rows:
    """All columns of a table, written as ``table`` or ``schema.table``. Raises CouldNotMeasure."""
    schema, _, bare = name.rpartition(".")
    origin: FromClause = table(bare, schema=schema or None)
    try:
        columns = database.columns(select(literal_column("*")).select_from(origin))
    except CouldNotMeasure as error:
        known = database.tables(schema or None)
        if not known or bare in known:
            raise
        near = get_close_matches(bare, known, n=_MOST_TABLES, cutoff=0.5) or known[:_MOST_TABLES]
        listed = f"the database has {', '.join(near)}"
        raise CouldNotMeasure(f"{database.name} (production source): no table `{name}`; {listed}") from error
    return keyset.Rows(database, f"table {name}", origin, tuple(columns), time, key)


def paths(source: DatabaseSource, stratify: str | None) -> dict[str, str]:
    """Key of the configuration -> the path into a column that it names."""
    named = {"source.prompt": source.prompt, "stratify": stratify, "source.time": source.time}
    named |= {f"source.where.{path}": path for path in source.where}
    if source.prompt is None and source.messages != "messages":
        named["source.messages"] = source.messages
    return {key: path for key, path in named.items() if path is not None}
