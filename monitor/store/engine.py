"""Opens the store's database: pragmas, locks, timeouts, and errors that a person can act on."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from monitor.core.errors import MissingExtra, StoreError
from monitor.store.column_types import dump_json
from monitor.store.tables import for_postgresql

BUSY_SECONDS: Final = 30
"""Longest time that a writer waits for another process."""

POOL: Final = 10
DEADLOCK: Final = ("40P01", "40001")


class Database:
    """One engine, with the transactions of its backend."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = engine.url.render_as_string(hide_password=True)
        self.postgres = engine.dialect.name == "postgresql"
        self._writer = engine.execution_options(cliffwatch_begin="BEGIN IMMEDIATE")
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT") if self.postgres else self._writer
        # SQLite has one writer. Threads of one process queue here, because its own waiting is a sleep of up to 100 ms.
        self._turn = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._told(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end of the block. Keep it short, and never wait inside it."""
        with self._told():
            if self.postgres:
                with self._writer.begin() as connection:
                    yield connection
            else:
                with self._turn, self._writer.begin() as connection:
                    yield connection

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """On PostgreSQL, every statement commits by itself, so a stopped process locks no hot row. Otherwise
        ``write``."""
        if not self.postgres:
            with self.write() as connection:
                yield connection
            return
        with self._told(), self._autocommit.connect() as connection:
            yield connection

    def empty_log(self) -> bool:
        """Write SQLite's log into its file and empty it, so that it holds no older pages. ``False`` if another process
        or thread reads from it. ``True`` on PostgreSQL."""
        if self.postgres:
            return True
        with self._told():
            connection = self.engine.raw_connection()
            try:
                busy: int = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                connection.close()
        return not busy

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreError(f"store {self.name}: {_first_line(error)}") from error


def connect(url: str, *, create: bool = True) -> Database:
    """Open ``url``; nothing is read or created yet except an SQLite file and its folder. Raises StoreError.

    Without ``create``, an SQLite file must exist.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError("store: no URL; write sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return Database(_sqlite(parsed, create=create))
    if backend in ("postgresql", "postgres"):
        return Database(_postgres(parsed.set(drivername="postgresql+psycopg")))
    raise StoreError(f"store {parsed.render_as_string()}: only sqlite and postgresql are supported")


def _sqlite(url: URL, *, create: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise StoreError("store sqlite: name a file (sqlite:///cliffwatch.db); what is kept in memory only is lost")
    path = Path(url.database)
    read_only = False
    if create:
        _private_file(path)
    elif path.is_file():
        read_only = not (_writable(path) and _writable(path.parent))
    else:
        raise StoreError(
            f"store {url.database}: no such file, and this command makes none: check the key 'store', or start the "
            "daemon, which makes it (cliffwatch run)"
        )
    engine = create_engine(
        _only_read(url, path) if read_only else url,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        pool_size=POOL, max_overflow=-1, json_serializer=dump_json,
        hide_parameters=True,  # an error's text goes into logs, and parameters are prompts and answers
    )  # fmt: skip

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        # pysqlite's own BEGIN is deferred: a read that turns into a write then fails at once with "locked".
        connection.isolation_level = None
        # secure_delete: what retention and `forget` delete is overwritten, not only unlinked.
        # FULL: a committed transaction is on disk. NORMAL would leave that to the next checkpoint.
        for pragma in () if read_only else ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON",
                                            "wal_autocheckpoint=4000", "secure_delete=ON"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("cliffwatch_begin", "BEGIN"))

    return engine


def _only_read(url: URL, path: Path) -> URL:
    """The URL for a file that this user cannot write, or in a folder where no file can be created.

    Without a log next to it, the file is complete, and SQLite is told that nobody changes it: it could not create the
    files that it needs to find out.
    """
    complete = not Path(f"{path}-wal").exists()
    query = {"mode": "ro", "uri": "true"} | ({"immutable": "1"} if complete else {})
    return url.set(database=f"file:{quote(str(path))}", query=query)


def _writable(path: Path) -> bool:
    """Whether this process may read and write the file or folder, by its effective user."""
    return os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _private_file(path: Path) -> None:
    """Make the database file readable by its owner only: it holds prompts and answers.

    An existing file is not opened: closing it would release the locks that SQLite holds in this process.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        elif not _writable(path):
            raise PermissionError(EACCES, os.strerror(EACCES))
    except OSError as error:
        raise StoreError(f"store {path}: {error.strerror}; the folder must be there and writable") from error


def _postgres(url: URL) -> Engine:
    try:
        engine = create_engine(
            url,
            hide_parameters=True,
            # A stopped process must not keep its locks forever; clocks are UTC on both sides.
            connect_args={
                "options": "-c timezone=UTC -c synchronous_commit=on -c lock_timeout=30000 "
                "-c idle_in_transaction_session_timeout=30000",
                "connect_timeout": 10,
                "application_name": "cliffwatch",
            },
            pool_size=POOL, max_overflow=-1, pool_pre_ping=True, json_serializer=dump_json,
        )  # fmt: skip
    except (ImportError, NoSuchModuleError) as error:
        raise MissingExtra("PostgreSQL", "postgres") from error
    for_postgresql()
    return engine


def deadlocked(error: BaseException) -> bool:
    """Whether PostgreSQL rolled the statement back because of a lock order, so that it can be sent again."""
    cause = error.__cause__ if isinstance(error, StoreError) else error
    return isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", None) in DEADLOCK


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().split("\n", 1)[0]
