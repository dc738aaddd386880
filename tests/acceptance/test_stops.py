"""A daemon that is stopped, politely or not, loses nothing and records nothing twice."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil

from monitor.config.suites import load_suite
from monitor.lab.process import LabServer
from tests.acceptance.processes import SUITE, Daemon, wait_for, write_config

KILLS = 8


def rows(config: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(config.with_name("cliffwatch.db"))) as store:
        return store.execute(query).fetchall()


def answers(config: Path) -> int:
    try:
        return int(str(rows(config, "SELECT count(*) FROM answer")[0][0]))
    except sqlite3.OperationalError:  # not made yet
        return 0


def test_sigterm_in_the_middle_of_a_run_leaves_nothing_half_recorded(tmp_path: Path, lab_server: LabServer) -> None:
    config = write_config(tmp_path, lab_server.url, day_seconds=3600)
    per_run = 2 * len(load_suite(SUITE, tmp_path).probes)
    with Daemon(config) as daemon:
        daemon.wait_ready()
        wait_for("a run that is under way", lambda: 4 <= answers(config) < per_run or None)
        assert daemon.end(signal.SIGTERM) == 0
    kept = answers(config)
    assert 4 <= kept < per_run
    assert rows(config, "SELECT count(*) FROM reservation") == [(0,)]
    assert rows(config, "SELECT status FROM run") == [("waiting",)]
    assert '"error"' not in (log := daemon.log.read_text()), log

    with Daemon(config) as daemon:
        daemon.wait_ready()
        wait_for("the run to be finished", lambda: rows(config, "SELECT status FROM run") == [("done",)] or None)
    assert answers(config) == per_run
    assert requests_paid(config) == per_run, "what was recorded before the stop was asked again"


def test_kills_lose_no_run_and_record_none_twice(tmp_path: Path, lab_server: LabServer) -> None:
    config = write_config(tmp_path, lab_server.url, day_seconds=6)
    per_run = 2 * len(load_suite(SUITE, tmp_path).probes)
    moments = random.Random(20261122)
    for _ in range(KILLS):
        with Daemon(config) as daemon:
            daemon.wait_ready()
            time.sleep(moments.uniform(0.0, 2.5))
            daemon.end(signal.SIGKILL)
    unfinished = {row[0] for row in rows(config, "SELECT id FROM run WHERE status != 'done'")}
    with Daemon(config) as daemon:
        daemon.wait_ready()
        still = (
            f"SELECT count(*) FROM run WHERE status != 'done' AND id IN ({','.join(map(str, unfinished)) or 'NULL'})"
        )
        wait_for("every run that was cut short", lambda: rows(config, still) == [(0,)] or None, 120)
        assert daemon.end(signal.SIGTERM) == 0

    done = rows(config, "SELECT count(*) FROM run WHERE status = 'done'")[0][0]
    assert isinstance(done, int)
    assert done >= 2, "too few runs to show anything"
    assert rows(config, "SELECT target, suite, slot FROM run GROUP BY target, suite, slot HAVING count(*) > 1") == []
    complete = "SELECT count(*) FROM answer JOIN run ON run.id = run_id WHERE run.status = 'done' GROUP BY run_id"
    assert set(rows(config, complete)) == {(per_run,)}
    twice = (
        "SELECT run_id, arm, probe, replicate FROM answer GROUP BY run_id, arm, probe, replicate HAVING count(*) > 1"
    )
    assert rows(config, twice) == []


def requests_paid(config: Path) -> int:
    return int(str(rows(config, "SELECT coalesce(sum(requests), 0) FROM usage")[0][0]))


def test_a_demo_that_is_ended_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its terminal closed, or a plain kill: the daemon and the lab that it started go with it."""
    command = [sys.executable, "-m", "monitor", "demo", "--watch", "--folder", str(tmp_path)]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "daemon started" in line:
            break
    children = psutil.Process(demo.pid).children(recursive=True)
    assert len(children) >= 2
    demo.send_signal(signal.SIGTERM)
    told, _ = demo.communicate(timeout=60)
    assert (demo.returncode, "Traceback" in told) == (0, False), told
    assert "stopped: the daemon and the lab have exited" in told
    assert psutil.wait_procs(children, timeout=10)[1] == []
