"""The page of metrics is written before the first scrape, and a scrape that comes meanwhile does what is left."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread, get_ident

import pytest
import structlog
import yaml
from sqlalchemy import event

from benchmarks import fleets, scrape
from monitor.core.settings import Settings
from monitor.daemon.app import App
from monitor.daemon.jobs.warm_metrics import FirstScrape
from monitor.report.metrics import Internals
from monitor.report.metrics.collector import SHARD
from monitor.store import Store, open_store
from tests.integration.test_app import running
from tests.unit.test_export import NOW

FLEET = fleets.settings(120)
GZIP = "gzip"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('fleet')}/cliffwatch.db")
    fleets.fill(opened, FLEET, NOW)
    yield opened
    opened.close()


class Reads:
    """The statements that read results (not marks), by one thread or by all."""

    def __init__(self, store: Store, *, mine: bool = False) -> None:
        self.sent: list[str] = []
        self._thread = get_ident() if mine else None
        self._engine = store._database.engine
        event.listen(self._engine, "before_cursor_execute", self._note)

    def _note(self, *args: object) -> None:
        if self._thread in (None, get_ident()) and str(args[2]).startswith("SELECT"):
            self.sent.append(str(args[2]))

    def end(self) -> list[str]:
        event.remove(self._engine, "before_cursor_execute", self._note)
        return self.sent


def page(store: Store, internals: Internals, settings: Settings = FLEET) -> list[str]:
    return internals.scrape(store, settings, NOW)[0].decode().splitlines()


def never() -> bool:
    return False


def test_what_is_prepared_is_what_a_scrape_writes_and_the_first_one_reads_no_more_than_the_next(store: Store) -> None:
    prepared = Internals()
    assert prepared.prepare(store, FLEET, NOW, never)
    reads = []
    for _ in range(2):
        counted = Reads(store)
        prepared.scrape(store, FLEET, NOW, accept_encoding=GZIP)
        reads.append(counted.end())
    assert reads[0] == reads[1]
    assert page(store, prepared) == page(store, Internals())


def test_a_scrape_that_comes_meanwhile_does_the_rest_and_nothing_twice(store: Store) -> None:
    internals, pages, steps = Internals(), list[list[str]](), 0

    def comes() -> bool:
        nonlocal steps
        steps += 1
        if steps == 5:  # the first shard is written
            prometheus.start()
            while not internals._of(store).asked:
                time.sleep(0.001)
        return False

    prometheus = Thread(target=lambda: pages.append(page(store, internals)))
    counted = Reads(store)
    assert not internals.prepare(store, FLEET, NOW, comes)
    prometheus.join()
    asked = [one.count("?") for one in counted.end() if one.startswith("SELECT usage.") and " IN (" in one]
    assert steps == 5, "it went on after somebody came"
    assert pages == [page(store, Internals())]
    assert asked == [SHARD, len(FLEET.targets) - SHARD], "each target's usage is read once"


def test_it_stops_when_it_is_told_to_and_goes_on_from_there(store: Store) -> None:
    internals, left = Internals(), 7

    def enough() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    assert not internals.prepare(store, FLEET, NOW, enough)
    assert internals.prepare(store, FLEET, NOW, never)
    assert page(store, internals) == page(store, Internals())


def test_other_settings_are_prepared_anew(store: Store) -> None:
    internals, fewer = Internals(), FLEET.model_copy(update={"targets": dict(list(FLEET.targets.items())[:2])})
    assert internals.prepare(store, FLEET, NOW, never)
    assert internals.prepare(store, fewer, NOW, never)
    assert page(store, internals, fewer) == page(store, Internals(), fewer)
    assert not any("assistant-00002" in line for line in page(store, internals, fewer))


async def prepared(app: App) -> None:
    """The daemon's first tick under this configuration, and what it began."""
    (job,) = (one for one in app._jobs if isinstance(one, FirstScrape))
    for _ in range(300):
        if job._written is app.current and job._task is not None:
            await job._task
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nothing was prepared in 15 s")


def read(app: App, internals: Internals) -> list[str]:
    """What a scrape reads of targets' runs, findings, usage and self-tests; nothing else in this daemon moves."""
    assert app.store is not None
    assert app.context is not None
    counted = Reads(app.store, mine=True)
    internals.scrape(app.store, app.current, app.context.clock(), accept_encoding=GZIP)
    return [one for one in counted.end() if " IN (" in one and "FROM state" not in one]


def written(folder: Path, targets: int) -> Path:
    """A configuration whose targets were all asked today: nothing is due."""
    (folder / "probes").mkdir(exist_ok=True)
    for suite in fleets.SUITES:
        (folder / "probes" / f"{suite}.yaml").write_text(scrape.SUITE.format(name=suite))
    path = folder / "cliffwatch.yaml"
    declared = fleets.declared(targets, "http://127.0.0.1:9/v1")
    path.write_text(yaml.safe_dump({**declared, "store": f"sqlite:///{folder}/cliffwatch.db", "http": {"port": 0}}))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    opened = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
    fleets.fill(opened, fleets.settings(3), datetime.now(UTC))
    opened.close()
    return written(tmp_path, 3)


async def test_after_a_start_and_after_a_reload_the_daemon_has_the_page_before_anybody_asks(path: Path) -> None:
    async with running(path) as app:
        await prepared(app)
        assert read(app, app.internals) == []
        assert len(read(app, Internals())) > 3, "which a page that nobody prepared has to read"
        written(path.parent, 2)
        assert await app.reload() is None
        await prepared(app)
        assert read(app, app.internals) == []


async def test_a_store_that_is_away_costs_a_line_in_the_log_and_no_tick(path: Path) -> None:
    async with running(path) as app:
        await prepared(app)
        assert app.store is not None
        assert app.context is not None
        with app.store._database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE self_test RENAME TO self_test_gone")
        job = FirstScrape(Internals())
        with structlog.testing.capture_logs() as logs:
            job.begin(app.context, app.context.clock())
            assert job._task is not None
            await job._task
        await job.end()
        assert [one["event"] for one in logs if one["event"].startswith("first_scrape")] == ["first_scrape_unprepared"]
        with app.store._database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE self_test_gone RENAME TO self_test")
