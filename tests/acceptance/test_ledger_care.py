"""A ledger that another configuration, or a clock that was ahead, left behind: what is due is asked all the same."""

import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.store import open_store
from tests.acceptance.bad_days import change, provider, reply, rows, write
from tests.acceptance.processes import Daemon, cliffwatch, get, wait_for
from tests.http_server import Reply, Script, completion

OK: Script = [Reply(body=completion())]
DONE = "SELECT target, outcome FROM run WHERE status = 'done' ORDER BY target"


def unasked(config: Path, count: int, slot: datetime) -> None:
    """Runs of targets that an earlier configuration had: due, and never asked."""
    store = open_store(f"sqlite:///{config.parent}/cliffwatch.db")
    with store._database.write() as connection:  # one transaction: ten thousand would take minutes
        for n in range(count):
            connection.exec_driver_sql(
                "INSERT INTO run (target, suite, slot, status, attempt, fence, starts_at, next_at, seed, suite_digest, "
                "scheduled) VALUES (?, 'facts', ?, 'due', 0, 0, ?, ?, 1, 'digest', 1)",
                (f"gone-{n}", *[slot.replace(tzinfo=None).isoformat(" ", "microseconds")] * 3),
            )
    store.close()


def test_ten_thousand_runs_of_another_configuration_do_not_stop_five_targets(tmp_path: Path) -> None:
    names = [f"kept-{n}" for n in range(5)]
    with provider(OK) as server:
        config = write(tmp_path, server.url, names, probes=2)
        now = datetime.now(UTC)
        unasked(config, 10_050, now.replace(hour=0, minute=0, second=0, microsecond=0))
        unasked_yesterday = now - timedelta(days=3)
        store = open_store(f"sqlite:///{config.parent}/cliffwatch.db")
        store.ensure_run("long-gone", "facts", unasked_yesterday, 1, "digest", unasked_yesterday)
        store.close()
        with Daemon(config) as daemon:
            daemon.wait_ready()
            asked = [(name, "measured") for name in names]
            wait_for("the five", lambda: rows(config, DONE)[:5] == asked or None, 30)
            wait_for(
                "the run of a period that has ended", lambda: ("long-gone", "unmeasured") in rows(config, DONE), 15
            )
            assert rows(config, "SELECT count(*) FROM run WHERE status = 'due'") == [(10_050,)], (
                "their period goes on: they may belong to another daemon"
            )
            metrics = get(f"{daemon.url}/metrics")
            assert "\ncliffwatch_schedule_lag_seconds 0.0\n" in metrics
            assert re.search(r"\ncliffwatch_asks_nothing_seconds \d\.\d+\n", metrics), "less than ten seconds"
            assert reply(f"{daemon.url}/readyz")[1]["asks"] is True


@pytest.mark.parametrize("days", [1, 400])
def test_a_clock_that_was_ahead_is_said_and_keeps_nothing_from_being_asked(tmp_path: Path, days: int) -> None:
    with provider(OK) as server:
        config = write(tmp_path, server.url, ["desk"], probes=2)
        with Daemon(config) as daemon:
            daemon.wait_ready()
            wait_for("the first run", lambda: rows(config, DONE) == [("desk", "measured")] or None, 30)
            daemon.end(signal.SIGTERM)
        # As a daemon leaves it whose clock was ahead for this one run.
        for table, columns in {
            "run": ("slot", "starts_at", "next_at", "finished_at"),
            "suite_progress": ("latest_slot", "last_attempt", "last_success", "last_end"),
            "answer": ("asked_at",),
        }.items():
            moved = ", ".join(f"{name} = datetime({name}, '+{days} days') || '.000000'" for name in columns)
            change(config, f"UPDATE {table} SET {moved}")
        with Daemon(config) as daemon:
            daemon.wait_ready()
            wait_for("today's run", lambda: len(rows(config, DONE)) == 2, 30)
            (slot,) = [row[0] for row in rows(config, "SELECT min(slot) FROM run")]
            assert slot.startswith(f"{datetime.now(UTC):%Y-%m-%d}")
            said = cliffwatch("status", config=config)
            assert "a run has a time in the future" in said
            assert "a run has a time in the future" in get(daemon.url)
            metrics = get(f"{daemon.url}/metrics")
            (ahead,) = [line for line in metrics.splitlines() if line.startswith("cliffwatch_clock_ahead_seconds ")]
            assert float(ahead.split()[1]) == pytest.approx(days * 86_400, abs=86_400)
            success = rows(config, "SELECT last_success FROM suite_progress")[0][0]
            assert success < f"{datetime.now(UTC) + timedelta(minutes=1):%Y-%m-%d %H:%M}"
            assert daemon.log.read_text().count("time_in_the_future") == 1


def test_a_daemon_that_asks_nothing_while_something_is_due_is_not_ready(tmp_path: Path) -> None:
    """A trigger makes every claim of a run fail, as a broken store would."""
    with provider(OK) as server:
        config = write(tmp_path, server.url, ["desk"], probes=2, day_seconds=60)
        open_store(f"sqlite:///{tmp_path}/cliffwatch.db").close()
        change(config, "CREATE TRIGGER stuck BEFORE UPDATE OF fence ON run BEGIN SELECT raise(ABORT, 'stuck'); END")
        with Daemon(config) as daemon:
            wait_for("not ready", lambda: reply(f"{daemon.url}/readyz")[1].get("asks") is False, 60)
            status, body = reply(f"{daemon.url}/readyz")
            assert (status, body["ready"]) == (503, False)
            assert body["asks_nothing_seconds"] > 20
            assert reply(f"{daemon.url}/healthz")[0] == 200, "a restart would not mend the store"
            wait_for("status", lambda: "nothing was asked since" in cliffwatch("status", config=config), 30)
            assert "nothing was asked since" in get(daemon.url)
            change(config, "DROP TRIGGER stuck")
            wait_for("ready again", lambda: reply(f"{daemon.url}/readyz")[0] == 200, 60)
            wait_for("status again", lambda: "nothing was asked" not in cliffwatch("status", config=config), 30)
