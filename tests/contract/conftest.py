"""Fixtures of the contract suites."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.store import Store, open_store
from tests.postgres import Postgres


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store with the schema in it, to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def migrated_template(postgres_server: Postgres) -> str:
    """The same as a PostgreSQL template."""
    postgres_server.execute("CREATE DATABASE migrated TEMPLATE template0")
    open_store(postgres_server.url("migrated")).close()
    return "migrated"


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a store with the schema and nothing in it, on each backend in turn."""
    if request.param == "sqlite":
        path = tmp_path / "store.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        return f"sqlite:///{path}"
    server: Postgres = request.getfixturevalue("postgres_server")
    return server.fresh(request.getfixturevalue("migrated_template"))


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    """An open, empty store, on each backend in turn."""
    opened = open_store(migrated_url)
    yield opened
    opened.close()
