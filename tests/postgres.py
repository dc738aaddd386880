"""A real PostgreSQL server for the tests: Debian's binaries, a temporary folder, a Unix socket, no network."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

USER = "cliffwatch"


class NoServerError(Exception):
    """Why there is no PostgreSQL to test with."""


@dataclass(frozen=True)
class Postgres:
    """A running server. ``url(database)`` is what a user would write in ``store:``."""

    folder: Path
    numbers: Iterator[int]

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def fresh(self, template: str = "template0") -> str:
        """URL of a new database, empty or a copy of ``template``."""
        name = f"test_{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(host=str(self.folder), user=USER, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running() -> Iterator[Postgres]:
    """Start a server, stop it at the end. Raises NoServerError."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version, default=None)
    if programs is None:
        raise NoServerError("no server under /usr/lib/postgresql")
    folder = Path(tempfile.mkdtemp(prefix="cw-pg-"))
    try:
        with _server(programs.parent, folder, _as_somebody_else(folder)):
            yield Postgres(folder, count(1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _version(program: Path) -> float:
    return float(program.parent.parent.name)


def _as_somebody_else(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root; as root, become the user ``postgres``."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise NoServerError("running as root, and there is no user postgres to run the server as") from None
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def _server(programs: Path, folder: Path, become: dict[str, Any]) -> Iterator[None]:
    data, log = folder / "data", folder / "log"
    quiet: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL, **become}
    made = subprocess.run(
        [programs / "initdb", "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
        capture_output=True, text=True, check=False, **quiet,
    )  # fmt: skip
    if made.returncode:
        raise NoServerError(made.stderr.strip())
    settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off", "max_connections": 60}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with log.open("wb") as sink:
        server = subprocess.Popen([programs / "postgres", "-D", data, *options], stdout=sink, stderr=sink, **quiet)
    try:
        _wait(server, folder, log)
        yield
    finally:
        server.send_signal(3)  # SIGQUIT: stop at once, whatever is connected
        server.wait(30)


def _wait(server: "subprocess.Popen[bytes]", folder: Path, log: Path) -> None:
    import psycopg

    until = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(host=str(folder), user=USER, dbname="postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > until:
                raise NoServerError(f"the server did not start: {log.read_text(errors='replace')[-500:]}") from None
            time.sleep(0.1)
