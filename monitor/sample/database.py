"""Opens the database of a source: read-only, under a statement timeout, with errors that a person can act on.

Every statement has a connection of its own, which is closed before the rows are used. So a slow run holds no connection
and no transaction, and a server that restarts costs one attempt.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, Select, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from monitor.core.errors import CouldNotMeasure, MissingExtra
from monitor.sample import database_errors

ATTEMPTS: Final = 3
WAIT_SECONDS: Final = 1.0
"""Before the second attempt of a statement; twice as long before each further one."""

CONNECT_SECONDS: Final = 10
PAGE_BYTES: Final = 8 * 2**20
"""Bytes of a page after which no further row of it is fetched."""

PAGE_ROWS: Final = 2_000
_FIRST_BUFFER: Final = 20
"""Rows that the driver holds at once before the size of a row is known."""

_BUFFER_BYTES: Final = 2 * 2**20

PACKAGES: Final[Mapping[str, str]] = {
    "bigquery": "sqlalchemy-bigquery",
    "clickhouse": "clickhouse-sqlalchemy",
    "databricks": "databricks-sqlalchemy",
    "duckdb": "duckdb-engine",
    "mariadb": "PyMySQL, with mariadb+pymysql:// in the URL",
    "mssql": "pyodbc",
    "mysql": "PyMySQL, with mysql+pymysql:// in the URL",
    "oracle": "oracledb",
    "redshift": "sqlalchemy-redshift",
    "snowflake": "snowflake-sqlalchemy",
    "trino": "trino[sqlalchemy]",
}
"""Name of a database in a URL -> the package that connects to it, for errors."""

_DRIVERS: Final[Mapping[str, str]] = {"pymysql": "PyMySQL", "mysqldb": "mysqlclient", "psycopg2": "psycopg2-binary"}
_KEEPALIVES: Final = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}

_HIDDEN: Final = re.compile("pass|pwd|secret|token|key", re.IGNORECASE)
"""Parameters of a URL that no error shows."""

T = TypeVar("T")
Row = tuple[Any, ...]


class Database:
    """A database that is only read. ``with Database(...) as database`` closes it at the end."""

    def __init__(self, url: URL, url_env: str, timeout_seconds: float) -> None:
        """``url_env``: the environment variable of ``url``, for errors.

        Raises MissingExtra or CouldNotMeasure without the driver, CouldNotMeasure without an SQLite file.
        """
        self.name = f"{url.get_backend_name()} database of {url_env}"
        self._timeout = timeout_seconds
        hidden = (str(value) for key, value in url.query.items() if _HIDDEN.search(key))
        self._secrets = [one for one in (url.password, *hidden) if one]
        self._engine = _engine(url, url_env, timeout_seconds)
        self._row_bytes = 0

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def rows(self, statement: Select[Any], sizes: Callable[[Row], int]) -> list[Row]:
        """The rows of ``statement``: all, or the first ones, from ``PAGE_BYTES`` on. Raises CouldNotMeasure."""
        return self.run(lambda connection: self._fetched(connection, statement, sizes))

    def _fetched(self, connection: Connection, statement: Select[Any], sizes: Callable[[Row], int]) -> list[Row]:
        buffer = min(500, max(1, _BUFFER_BYTES // self._row_bytes)) if self._row_bytes else _FIRST_BUFFER
        found: list[Row] = []
        size = 0
        with connection.execution_options(stream_results=True, max_row_buffer=buffer).execute(statement) as result:
            for row in result:
                found.append(tuple(row))
                size += sizes(found[-1])
                if size >= PAGE_BYTES:
                    break
        if found:
            self._row_bytes = max(self._row_bytes, size // len(found), 1)
        return found

    def columns(self, statement: Select[Any]) -> list[str]:
        """Names of the columns of ``statement``. Raises CouldNotMeasure."""
        return self.run(lambda connection: list(connection.execute(statement.limit(0)).keys()))

    def tables(self, schema: str | None) -> list[str]:
        """Names of the tables and views that this user can see; empty if they cannot be listed."""
        try:
            with self._engine.connect() as connection:
                seen = inspect(connection)
                return sorted({*seen.get_table_names(schema), *seen.get_view_names(schema)})
        except SQLAlchemyError:
            return []

    def run(self, action: Callable[[Connection], T]) -> T:
        """Run ``action`` in a read-only transaction of its own; again if the connection is lost or refused.

        Raises CouldNotMeasure.
        """
        for attempt in range(ATTEMPTS):
            try:
                with self._reading() as connection:
                    return action(connection)
            except DBAPIError as error:
                if attempt == ATTEMPTS - 1 or not database_errors.passing(error):
                    raise CouldNotMeasure(self.told(error)) from None
            except SQLAlchemyError as error:
                raise CouldNotMeasure(f"{self.name} (production source): {type(error).__name__}") from None
            time.sleep(WAIT_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    def told(self, error: DBAPIError) -> str:
        """What went wrong, and what to do; without the password and without a value of a row."""
        why = database_errors.why(error, self._timeout)
        for secret in self._secrets:
            why = why.replace(secret, "***")
        return f"{self.name} (production source): {why}"

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            for statement in _settings(self._engine, self._timeout):
                connection.execute(text(statement))
            yield connection


def url_of(url_env: str) -> URL:
    """The URL in an environment variable. Raises CouldNotMeasure without a usable one."""
    value = os.environ.get(url_env, "").strip()
    where = f"environment variable {url_env} (production source)"
    if not value:
        raise CouldNotMeasure(f"{where} is not set or empty; set it to the URL of the database")
    try:
        # Heroku's and others' postgres:// is the same as postgresql://
        return make_url(re.sub(r"^postgres(?:ql)?://", "postgresql+psycopg://", value))
    except (ArgumentError, ValueError):
        raise CouldNotMeasure(f"{where} is not a URL; for example postgresql+psycopg://USER@HOST/NAME") from None


def _engine(url: URL, url_env: str, timeout_seconds: float) -> Engine:
    driver = url.get_driver_name() if "+" in url.drivername else ""
    try:
        if url.get_dialect().is_async:
            what = f"{url_env} (production source) names the asynchronous driver {driver}"
            raise CouldNotMeasure(f"{what}; use a synchronous one, for example postgresql+psycopg or mysql+pymysql")
        if url.get_backend_name() == "sqlite":
            url = _sqlite(url, url_env)
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=_arguments(url))
    except (NoSuchModuleError, ImportError):
        if url.drivername == "postgresql+psycopg":
            raise MissingExtra("a production source on PostgreSQL", "postgres") from None
        package = _DRIVERS.get(driver) or PACKAGES.get(url.get_backend_name()) or driver or url.get_backend_name()
        what = f"{url_env} (production source) needs a driver for {url.drivername}, which is not installed"
        raise CouldNotMeasure(f"{what}: install the package {package}") from None
    database_errors.on_connect(engine, timeout_seconds)
    return engine


def _sqlite(url: URL, url_env: str) -> URL:
    """The URL of an SQLite file that is opened without the right to write."""
    path = Path(url.database or "")
    if not url.database or url.database == ":memory:":
        raise CouldNotMeasure(f"{url_env} (production source) names no file; write sqlite:////FOLDER/FILE.db")
    if not path.is_file():
        raise CouldNotMeasure(f"{path} (production source, {url_env}): no such file")
    return url.set(database=f"file:{quote(str(path.absolute()))}", query={"mode": "ro", "uri": "true"})


def _arguments(url: URL) -> dict[str, Any]:
    """Arguments of the driver that end a connection to a server that does not answer."""
    driver = url.get_driver_name()
    if driver in ("psycopg", "psycopg2"):
        given = {"connect_timeout": CONNECT_SECONDS, "application_name": "cliffwatch", **_KEEPALIVES}
        return {key: value for key, value in given.items() if key not in url.query}
    if driver in ("pymysql", "mysqldb"):
        return {"connect_timeout": CONNECT_SECONDS}
    return {}


def _settings(engine: Engine, timeout_seconds: float) -> list[str]:
    """Statements that make the transaction read-only, bound its statements, and give times in UTC."""
    milliseconds = max(1, int(timeout_seconds * 1000))
    if engine.dialect.name == "postgresql":
        return [
            "SET TRANSACTION READ ONLY",
            f"SET LOCAL statement_timeout = {milliseconds}",
            f"SET LOCAL lock_timeout = {milliseconds}",
            "SET LOCAL TIME ZONE 'UTC'",
        ]
    if engine.dialect.name in ("mysql", "mariadb"):
        bound = (
            f"SET SESSION max_statement_time = {milliseconds / 1000}"
            if getattr(engine.dialect, "is_mariadb", False)
            else f"SET SESSION max_execution_time = {milliseconds}"
        )
        return ["SET SESSION TRANSACTION READ ONLY", bound, "SET time_zone = '+00:00'", "COMMIT"]
    return []
