"""The real things around an acceptance test: the daemon process, Prometheus, Alertmanager, a webhook receiver."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from monitor.resources import shipped

T = TypeVar("T")

TARGET, SUITE = "support-bot", "lab-support"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, look: Callable[[], T | None], seconds: float = 60) -> T:
    """The first truthy value of ``look``; fails by name when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(URLError, ConnectionError, TimeoutError):
            if (found := look()) is not None and found is not False:
                return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds:.0f} s in vain for: {what}")


def get(url: str) -> str:
    with urlopen(url, timeout=10) as reply:
        return str(reply.read().decode())


def write_config(
    folder: Path, lab_url: str, *, day_seconds: float, store: str | None = None, port: int | None = None
) -> Path:
    """A configuration of one target, the lab's fine-tune, on a clock where a day lasts ``day_seconds``."""
    path = folder / "cliffwatch.yaml"
    path.write_text(
        f"""\
store: {store or f"sqlite:///{folder}/cliffwatch.db"}
providers:
  lab: {{kind: openai, base_url: {lab_url}/v1, free: true, concurrency: 8}}
targets:
  {TARGET}:
    subject: {{provider: lab, model: lab-support}}
    base: {{provider: lab, model: lab-base}}
    suites: [{SUITE}]
schedule: {{probes: daily, batches: 1, day_seconds: {day_seconds}}}
http: {{port: {port or free_port()}}}
"""
    )
    return path


def cliffwatch(*arguments: str, config: Path, expect: int = 0) -> str:
    """Run one command to its end; its standard output."""
    command = [sys.executable, "-m", "monitor", *arguments, "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == expect, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Daemon:
    """``cliffwatch run`` as its own process."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.log = config.with_name("daemon.log")
        self.port = int(config.read_text().rsplit("port: ", 1)[1].split("}")[0])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Daemon":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor", "run", "--config", str(self.config)], stdout=log, stderr=log
            )
        return self

    def wait_ready(self) -> "Daemon":
        wait_for("the daemon to be ready", lambda: self._alive() and get(f"{self.url}/readyz"), 60)
        return self

    def _alive(self) -> bool:
        assert self.process.poll() is None, f"the daemon ended: {self.log.read_text()[-2000:]}"
        return True

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=30)

    def __enter__(self) -> "Daemon":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


class Webhook:
    """Collects what Alertmanager sends, in order of arrival."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                received.extend(body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet: the tests print what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def alerts(self, name: str, status: str) -> list[dict[str, Any]]:
        return [a for a in list(self.received) if a["labels"]["alertname"] == name and a["status"] == status]

    def __enter__(self) -> "Webhook":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def prometheus_and_alertmanager(folder: Path, scraped: str, webhook: str) -> Iterator[str]:
    """Debian's own binaries with the shipped rules, a one-second scrape, and one receiver; Prometheus' URL."""
    for program in ("prometheus", "prometheus-alertmanager"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    ports = {"prometheus": free_port(), "alertmanager": free_port()}
    (folder / "alertmanager.yml").write_text(
        f"""\
route: {{receiver: hook, group_by: [alertname, target], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: hook, webhook_configs: [{{url: "{webhook}"}}]}}]
"""
    )
    (folder / "prometheus.yml").write_text(
        f"""\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{shipped("alerts") / "rules.yaml"}"]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{ports["alertmanager"]}"]}}]}}]}}
scrape_configs: [{{job_name: cliffwatch, static_configs: [{{targets: ["{scraped}"]}}]}}]
"""
    )
    commands = [
        ["prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=am",
         f"--web.listen-address=127.0.0.1:{ports['alertmanager']}", "--cluster.listen-address="],
        ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
         f"--web.listen-address=127.0.0.1:{ports['prometheus']}"],
    ]  # fmt: skip
    url = f"http://127.0.0.1:{ports['prometheus']}"
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "monitoring.log").open("ab"))
        for command in commands:
            process = stack.enter_context(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
        wait_for("Alertmanager to be ready", lambda: get(f"http://127.0.0.1:{ports['alertmanager']}/-/ready"))
        wait_for("Prometheus to be ready", lambda: get(f"{url}/-/ready"))
        yield url
