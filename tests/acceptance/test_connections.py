"""Half-sent requests: the daemon has few open files, and keeps its health, its calls and a short log."""

import contextlib
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.acceptance.bad_days import provider, reply, rows, write
from tests.acceptance.processes import Daemon, wait_for
from tests.http_server import Reply, completion

FILES = 256


class FewFiles(Daemon):
    """A daemon that may open ``FILES`` files."""

    def start(self) -> "FewFiles":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor", "run", "--config", str(self.config)], stdout=log, stderr=log,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
            )  # fmt: skip
        return self


def half_sent(port: int, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(sent)
    return connection


def test_half_sent_requests_take_nothing_from_the_daemon(tmp_path: Path) -> None:
    kinds = [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /actions/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\nhalf",
        b"GE",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /hea",
    ]
    # Every call takes a moment, so that the daemon asks all the time.
    with provider([Reply(body=completion(), hang=0.2)]) as server:
        config = write(
            tmp_path,
            server.url,
            ["desk"],
            probes=40,
            day_seconds=20,
            provider_settings={"attempts": 1, "concurrency": 8},
        )
        with FewFiles(config) as daemon:
            daemon.wait_ready()
            held = [half_sent(daemon.port, kinds[n % len(kinds)]) for n in range(300)]
            slowest, started = 0.0, time.monotonic()
            while time.monotonic() - started < 15:
                before = time.monotonic()
                assert reply(f"{daemon.url}/healthz")[0] == 200
                slowest = max(slowest, time.monotonic() - before)
                with_open = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
                assert with_open < FILES // 2
                time.sleep(0.2)
            assert slowest < 3
            assert reply(f"{daemon.url}/metrics")[0] == 200
            done = "SELECT count(*) FROM run WHERE outcome = 'measured'"
            wait_for("runs", lambda: rows(config, done)[0][0] >= 1, 30)
            assert rows(config, "SELECT count(*) FROM answer WHERE reason IS NOT NULL") == [(0,)], "no call was lost"
            for one in held:
                one.close()
        log = daemon.log.read_text()
        assert len(log.splitlines()) < 40, log[-3000:]


def answered(connection: socket.socket) -> bool:
    """Send a whole request and read its whole reply."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    read = b""
    while not read.endswith(b"}"):
        read += (part := connection.recv(4096))
        if not part:
            return False
    return b"200 OK" in read


def test_a_request_that_is_never_finished_is_closed(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(provider([Reply(body=completion())]))
        daemon = stack.enter_context(Daemon(write(tmp_path, server.url, ["desk"], probes=1)))
        daemon.wait_ready()
        slow, silent, kept = (
            stack.enter_context(half_sent(daemon.port, sent)) for sent in (b"GET /healthz HTTP/1.1\r\n", b"", b"")
        )
        assert answered(kept)
        started, sent = time.monotonic(), 0
        with contextlib.suppress(OSError):
            while time.monotonic() - started < 14:  # a byte a second does not keep it open
                slow.sendall(b"X")
                sent += 1
                time.sleep(1)
        assert 8 <= sent < 14
        silent.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""
        assert answered(kept), "an idle connection is kept alive, as Prometheus expects"
