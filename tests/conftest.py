"""Fixtures that several suites share."""

import asyncio
import gc
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from monitor.lab.process import LabServer
from monitor.store import open_store
from tests import daemon, fleet, postgres

# A busy machine is no failure.
settings.register_profile("cliffwatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cliffwatch")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where nothing may be skipped (CI), a skip is a failure; the summary names what was missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CLIFFWATCH_FAIL_ON_SKIP") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def lab_server() -> Iterator[LabServer]:
    """The lab on a free port: ``.url``, ``.openai_url``, and ``with lab_server.fault(name, **params):``."""
    with LabServer() as lab:
        yield lab


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    """A PostgreSQL of our own; what needs it is skipped where there is none."""
    try:
        with postgres.running() as server:
            yield server
    except postgres.NoServerError as reason:
        pytest.skip(f"PostgreSQL: {reason}")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty store, on each backend in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: postgres.Postgres = request.getfixturevalue("postgres_server")
    return server.fresh()


@pytest.fixture(scope="session")
def _fleet_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fleet") / "cliffwatch.db"
    store = open_store(f"sqlite:///{path}")
    fleet.populate(store, fleet.NOW)
    store.close()
    return path


@pytest.fixture
def fleet_file(_fleet_template: Path, tmp_path: Path) -> Path:
    """A copy of a store with a small fleet in it, as of ``fleet_overview.NOW``; see ``tests.fleet``."""
    return Path(shutil.copy(_fleet_template, tmp_path))


@pytest.fixture(scope="session")
def _armed_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("armed")
    clock = daemon.Clock(daemon.AFTER - timedelta(days=daemon.DAYS))
    asyncio.run(daemon.armed(daemon.write(folder, daemon.HEALTHY), clock))
    return folder / "cliffwatch.db"


@pytest.fixture
def armed_folder(_armed_template: Path, tmp_path: Path) -> Path:
    """A folder with a store in which ``bot``/``facts`` is armed, as of ``daemon.AFTER``; see ``tests.daemon``."""
    shutil.copy(_armed_template, tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that a test runs in this process sets the logs up for itself, on a stream that ends with it."""
    kept, hook, thread_hook = structlog.get_config(), sys.excepthook, threading.excepthook
    yield
    structlog.configure(**kept)
    sys.excepthook, threading.excepthook = hook, thread_hook
    gc.enable()
    root = logging.getLogger()
    for handler in [one for one in root.handlers if type(one).__module__.startswith("monitor.")]:
        root.removeHandler(handler)
