"""The daemon embedded: it starts, answers, reloads, catches up, and stops; on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from monitor.core import schedule
from monitor.core.errors import ConfigError
from monitor.core.records import AlarmState, Severity
from monitor.daemon.app import App
from tests.daemon import DAYS, HEALTHY, LOST, Clock, armed, write


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[App]:
    app = App(path)
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


async def fetch(url: str, method: str = "GET") -> tuple[int, str]:
    def get() -> tuple[int, str]:
        try:
            with urlopen(Request(url, method=method), timeout=10) as reply:
                return reply.status, reply.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(get)


async def until_done(app: App, runs: int) -> None:
    assert app.store is not None
    for _ in range(300):
        if sum(run.status == "done" for run in app.store.runs("bot")) >= runs:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{runs} runs were not finished in 30 s")


async def test_a_daemon_serves_its_results_at_the_first_scrape_after_a_restart(tmp_path: Path, store_url: str) -> None:
    path = write(tmp_path, HEALTHY, store=store_url, schedule={"batches": 1})
    async with running(path) as app:
        await until_done(app, 1)
        assert (await fetch(f"{app.url}/readyz"))[0] == 200
    async with running(path) as app:
        _, metrics = await fetch(f"{app.url}/metrics")
    assert 'cliffwatch_runs_total{target="bot",suite="facts",outcome="measured"} 1.0' in metrics
    assert (
        'cliffwatch_api_requests_total{target="bot",arm="subject",provider="script",model="tuned",outcome="ok"} 18.0'
        in metrics
    )
    assert "\ncliffwatch_alarm{" not in metrics, "nothing was compared: 0 would say that nothing changed"
    assert 'baseline="unarmed"' in metrics


async def test_a_bad_reload_keeps_the_old_configuration_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY)
    async with running(path) as app:
        good = path.read_text()
        path.write_text(good.replace("subject", "subjct"))
        status, said = await fetch(f"{app.url}/-/reload", "POST")
        assert status == 400
        assert "did you mean 'subject'" in said
        assert set(app.current.targets) == {"bot"}
        assert "cliffwatch_config_last_reload_success 0.0" in (await fetch(f"{app.url}/metrics"))[1]

        path.write_text(good.replace("bot:", "robot:"))
        assert (await fetch(f"{app.url}/-/reload", "POST"))[0] == 200
        metrics = (await fetch(f"{app.url}/metrics"))[1]
        assert "cliffwatch_config_last_reload_success 1.0" in metrics
        assert 'target="robot"' in metrics
        assert (
            'cliffwatch_target_info{base_model="plain",baseline="unarmed",model="tuned",provider="script",target="bot"}'
            not in metrics
        )


async def test_a_reload_cannot_move_the_store(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY)
    async with running(path) as app:
        path.write_text(path.read_text().replace("cliffwatch.db", "other.db"))
        assert "restart the daemon" in str(await app.reload())
        assert not (tmp_path / "other.db").exists()


async def test_after_days_away_the_latest_missed_run_is_made_once(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY, schedule={"batches": 1})
    async with running(path) as app:
        await until_done(app, 1)
        assert app.store is not None
        later = datetime.now(UTC) + timedelta(days=5)
        for hour in range(3):
            await app.tick(later + timedelta(hours=hour / 100))
        slots = [run.slot for run in app.store.runs("bot")]
    assert len(slots) == 2
    assert slots[0] == schedule.current_slot("daily", app.current.schedule, later)


async def test_the_daemon_confirms_a_page_on_its_own(tmp_path: Path) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    await armed(write(tmp_path, HEALTHY), Clock(midnight - timedelta(days=DAYS)))
    path = write(tmp_path, LOST, schedule={"batches": 1})
    async with running(path) as app:
        await until_done(app, DAYS + 2)
        assert app.store is not None
        page = next(alarm for alarm in app.store.alarms("bot") if alarm.signal == "adapter_loss")
        assert (page.state, page.severity) == (AlarmState.CONFIRMED, Severity.PAGE)
        assert page.confirmed_run_id is not None
        assert app.store.get_run(page.confirmed_run_id).confirms == page.raised_run_id


async def test_a_fresh_sample_overtakes_the_runs_that_are_late(tmp_path: Path) -> None:
    path = write(tmp_path, [{**rule, "latency_seconds": 30} for rule in HEALTHY], schedule={"batches": 1})
    async with running(path) as app:
        assert app.store is not None
        assert app.context is not None
        digest, now = app.context.suites["facts"].digest, datetime.now(UTC)
        late = [
            app.store.ensure_run("bot", "facts", now - timedelta(days=days), days, digest, now) for days in (3, 2, 1)
        ]
        await app.tick(datetime.now(UTC))
        fresh = app.store.ensure_run("bot", "facts", now, 9, digest, now, scheduled=False, confirms=late[0].id)
        await app.tick(datetime.now(UTC))
        await until_done(app, 1)
        assert app.store.get_run(fresh.id).status == "done", "no alarm waits for it, so it is not even asked"
        others = [run.status for run in app.store.runs("bot") if run.id != fresh.id]
        assert (others.count("running"), others.count("done")) == (1, 0), "one of the stream at a time"


async def test_a_run_of_another_configuration_on_the_same_store_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY, schedule={"batches": 1})
    async with running(path) as app:
        assert app.store is not None
        now = datetime.now(UTC)
        other = app.store.ensure_run("other-bot", "facts", now, 1, "digest", now)
        await until_done(app, 1)
        await app.tick(datetime.now(UTC))
        assert (app.store.get_run(other.id).status, app.store.get_run(other.id).attempt) == ("due", 0)


async def test_a_tick_survives_a_store_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its outage is a line a minute, without a traceback."""
    path = write(tmp_path, HEALTHY)
    async with running(path) as app:
        (tmp_path / "cliffwatch.db").rename(tmp_path / "gone.db")
        (tmp_path / "cliffwatch.db").mkdir()
        assert app.store is not None
        app.store.close()  # so that the next statement opens the file anew
        for _ in range(5):
            await app.tick(datetime.now(UTC))
        (tmp_path / "cliffwatch.db").rmdir()
        (tmp_path / "gone.db").rename(tmp_path / "cliffwatch.db")
        await app.tick(datetime.now(UTC))
        metrics = (await fetch(f"{app.url}/metrics"))[1]
        failed = next(line for line in metrics.splitlines() if line.startswith("cliffwatch_tick_errors_total"))
        assert float(failed.split()[-1]) >= 5
        logged = capsys.readouterr().out
        assert logged.count("store_unavailable") == 1
        assert "Traceback" not in logged


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    async with running(write(tmp_path, HEALTHY)) as app:
        other = tmp_path / "other"
        other.mkdir()
        path = write(other, HEALTHY, http={"port": app.port})
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{app.port}.*choose another http.port"):
            await App(path).start()
