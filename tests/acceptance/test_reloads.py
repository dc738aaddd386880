"""Many reloads in a row: one follows for all that wait, endpoints are read once, and memory comes back."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import yaml

from tests.acceptance.bad_days import provider, rows, write
from tests.acceptance.processes import Daemon, wait_for
from tests.http_server import Reply, ScriptedServer, completion
from tests.http_server import Request as Asked


def reply(request: Asked) -> Reply:
    return Reply(body={"data": [{"id": "desk"}]}) if request.path.endswith("/models") else Reply(body=completion())


def looked(server: ScriptedServer) -> int:
    """Calls for metadata."""
    return sum(one.path.endswith("/models") for one in server.requests)


def reload(daemon: Daemon) -> int:
    with urlopen(Request(f"{daemon.url}/-/reload", method="POST"), timeout=60) as done:
        return int(done.status)


def megabytes(daemon: Daemon) -> float:
    return float(psutil.Process(daemon.process.pid).memory_info().rss) / 1e6


def test_reloads_in_a_row_fold_and_leave_no_memory_behind(tmp_path: Path) -> None:
    with provider(reply) as server:
        config = write(tmp_path, server.url, ["desk"], probes=4)
        with Daemon(config) as daemon:
            daemon.wait_ready()
            wait_for("the run", lambda: rows(config, "SELECT outcome FROM run") == [("measured",)] or None, 30)
            wait_for("the first look", lambda: looked(server) >= 1, 30)
            for _ in range(3):
                assert reload(daemon) == 200
            before, calls = megabytes(daemon), looked(server)

            with ThreadPoolExecutor(20) as pool:
                assert set(pool.map(lambda _: reload(daemon), range(100))) == {200}
            folded = daemon.log.read_text().count('"reloaded"')
            assert folded < 60, "who arrives while a reload waits shares it"
            for _ in range(50):
                daemon.process.send_signal(signal.SIGHUP)
                time.sleep(0.01)

            settings = yaml.safe_load(config.read_text())
            for n in range(30):  # real changes, each with an open client of its own to let go of
                settings["targets"]["desk"]["budget"] = {"requests_per_day": 1000 + n}
                config.write_text(yaml.safe_dump(settings))
                assert reload(daemon) == 200
            time.sleep(6)  # the ticks after them
            assert looked(server) - calls <= 3, "no endpoint changed"
            assert megabytes(daemon) - before < 20
            assert rows(config, "SELECT count(*) FROM run") == [(1,)]


def test_a_reload_with_another_endpoint_is_looked_at(tmp_path: Path) -> None:
    with provider(reply) as server:
        config = write(tmp_path, server.url, ["desk"], probes=1)
        with Daemon(config) as daemon:
            daemon.wait_ready()
            wait_for("the first look", lambda: looked(server) >= 1, 30)
            calls = looked(server)
            write(tmp_path, server.url, ["desk", "second"], probes=1)
            assert reload(daemon) == 200
            wait_for("another look", lambda: looked(server) > calls, 30)
            second = "SELECT status FROM run WHERE target = 'second'"
            wait_for("its run", lambda: rows(config, second) == [("done",)] or None, 30)
        assert "client has been closed" not in daemon.log.read_text()
