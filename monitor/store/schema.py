"""Brings a database to this program's schema, and refuses one that a newer program wrote."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from monitor.core.errors import StoreError
from monitor.store.engine import Database

if TYPE_CHECKING:
    from alembic.config import Config

HEAD: Final = "0010"
"""The newest migration; a test compares it with the files. It saves the import of Alembic at every start."""

LOCK: Final = 0xC11FF
"""PostgreSQL advisory lock: if two processes start together, one migrates and the other waits."""


def current(connection: Connection) -> str | None:
    """The schema's version, ``None`` when the database is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def bring_up(database: Database, *, migrate: bool) -> None:
    """Migrate to HEAD. Raises StoreError when the schema is newer, or older and ``migrate`` is off."""
    with database.read() as connection:
        found = current(connection)
    if found == HEAD:
        return
    if found is not None and found not in known():
        raise StoreError(
            f"store {database.name}: its schema is version {found}, which this program (up to {HEAD}) does not know: "
            "a newer Cliffwatch wrote it. Run that version, or restore a backup from before"
        )
    if not migrate and found is None:
        raise StoreError(
            f"store {database.name}: no store of Cliffwatch is in it: check the key 'store', or start the daemon, "
            "which makes it (cliffwatch run)"
        )
    if not migrate:
        raise StoreError(
            f"store {database.name}: its schema is version {found}, this program needs {HEAD}: run `cliffwatch migrate`"
        )
    move(database, "head")


def move(database: Database, revision: str, *, down: bool = False) -> None:
    """Upgrade (or downgrade) to ``revision`` in one transaction."""
    from alembic import command

    with database.write() as connection:
        if database.postgres:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        (command.downgrade if down else command.upgrade)(_config(connection), revision)


def known() -> frozenset[str]:
    """Every version that this program can start from."""
    from alembic.script import ScriptDirectory

    return frozenset(script.revision for script in ScriptDirectory.from_config(_config(None)).walk_revisions())


def _config(connection: Connection | None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
