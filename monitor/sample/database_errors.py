"""Errors of databases in words, and what a connection needs before its first statement."""

import time
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import DataError, DBAPIError

from monitor.core.redaction import redact_secrets
from monitor.core.sanitize import visible

_LONGEST: Final = 300

_TIMEOUTS: Final = frozenset({"57014", "3024", "1969", "interrupted"})
_DENIED: Final = frozenset({"42501", "28000", "28P01", "1044", "1045", "1142", "1143", "1227", "authentication",
                            "permission"})  # fmt: skip
_READ_ONLY: Final = frozenset({"25006", "1792", "readonly"})
_AWAY: Final = frozenset({"2002", "2003", "2006", "2013", "1040", "1053", "1205", "1213", "locked", "away"})

_PHRASES: Final = (
    ("authentication failed", "authentication"),
    ("no password supplied", "authentication"),
    ("no pg_hba.conf entry", "authentication"),
    ("access denied", "authentication"),
    ("permission denied", "permission"),
    ("does not exist", "authentication"),
    ("interrupted", "interrupted"),
    ("readonly database", "readonly"),
    ("database is locked", "locked"),
    ("connection refused", "away"),
    ("connection failed", "away"),
    ("could not connect", "away"),
    ("server closed the connection", "away"),
    ("connection is lost", "away"),
    ("timeout expired", "away"),
    ("timed out", "away"),
)
"""Part of a driver's message in lower case -> what it is, where the driver gives no code."""


def code(error: DBAPIError) -> str:
    """MySQL's number, SQLSTATE, or one of ``_PHRASES``; empty if the error has none."""
    first = error.orig.args[0] if error.orig is not None and error.orig.args else None
    if isinstance(first, int):
        return str(first)  # MySQL's number tells more than its SQLSTATE
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    if isinstance(state, str):
        return state
    message = str(error.orig).lower()
    return next((kind for phrase, kind in _PHRASES if phrase in message), "")


def passing(error: DBAPIError) -> bool:
    """Whether the same statement may succeed soon: the connection was lost or refused, or another transaction won."""
    found = code(error)
    return (
        error.connection_invalidated or found in _AWAY or (found[:2] in ("08", "40", "53", "57") and found != "57014")
    )


def why(error: DBAPIError, timeout_seconds: float) -> str:
    """What happened, and what to do. Never a value of a row."""
    found = code(error)
    if found in _TIMEOUTS:
        what = f"a statement took longer than {timeout_seconds:g} s"
        return f"{what}; create an index on the columns (time, key), or raise `timeout_seconds`"
    if found in _DENIED:
        return f"access denied: {_first_line(error)}; grant the user SELECT, and check the password"
    if found in _READ_ONLY:
        return "the query writes, and sources are only read; use a SELECT without side effects"
    if passing(error):
        return f"does not answer: {_first_line(error)}; check that the server runs, and its host and port"
    if isinstance(error, DataError) or found.startswith("22"):
        # the message of such an error quotes the value
        return f"a value cannot be read ({type(error.orig).__name__}); check the conversions in `query`"
    return _first_line(error)


def _first_line(error: DBAPIError) -> str:
    line = str(error.orig.args[-1] if error.orig is not None and error.orig.args else error.orig)
    return redact_secrets(visible(line.strip().split("\n", 1)[0], _LONGEST))


def on_connect(engine: Engine, timeout_seconds: float) -> None:
    """Prepare each connection of ``engine``: a bound for statements on SQLite, JSON as text on psycopg."""
    if engine.dialect.name == "sqlite":
        _bound_sqlite(engine, timeout_seconds)
    elif engine.dialect.driver == "psycopg":
        _json_as_text(engine)


def _bound_sqlite(engine: Engine, timeout_seconds: float) -> None:
    @event.listens_for(engine, "connect")
    def _bound(connection: Any, _: object) -> None:
        connection.execute("PRAGMA query_only = ON").close()
        until = time.monotonic() + timeout_seconds
        connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)


def _json_as_text(engine: Engine) -> None:
    """Read JSON columns as texts: they are opened once, later, and a text has a known size."""

    @event.listens_for(engine, "connect")
    def _register(connection: Any, _: object) -> None:
        from psycopg.types.string import TextLoader

        for name in ("json", "jsonb"):
            connection.adapters.register_loader(name, TextLoader)
