"""The real things around an acceptance test: the daemon process, Prometheus, Alertmanager, a webhook, a mail server."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from monitor.core.package_data import shipped
from tests.programs import free_port

T = TypeVar("T")

TARGET, SUITE = "support-bot", "lab-support"


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
    folder: Path,
    lab_url: str,
    *,
    day_seconds: float,
    store: str | None = None,
    port: int | None = None,
    suite: str = SUITE,
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
    suites: [{suite}]
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
    """Collects what Alertmanager sends, in order of arrival; ``receiver`` is the path that it came to."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                received.extend({**alert, "receiver": self.path.strip("/")} for alert in body["alerts"])
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


class MailServer:
    """A real SMTP server on a free port that keeps what it is given, in order of arrival."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.received.append(message)
        return "250 kept"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._controller.port}"

    def about(self, words: str) -> EmailMessage | None:
        """The first mail whose subject holds ``words``."""
        return next((mail for mail in list(self.received) if words in str(mail["Subject"])), None)

    def __enter__(self) -> "MailServer":
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


def shipped_routes(webhook: str, mail: str, *, waits: str | None = "1s") -> dict[str, object]:
    """The shipped ``alertmanager.yml`` with its routes, inhibition and template; every receiver is a webhook at
    ``webhook`` + its name, page and ticket also a mail to a server at ``mail`` in the shipped form. A route waits for
    ``waits`` before it notifies (``None``: as shipped), and four seconds between two notifications of a group. With
    less, a busy machine notifies between two alerts that Prometheus resolves in one evaluation, one after the other:
    the second is then inhibited by nothing."""
    config: dict[str, Any] = yaml.safe_load((shipped("alerts") / "alertmanager.yml").read_text(encoding="utf-8"))
    (letter,) = [mail for one in config["receivers"] for mail in one.get("email_configs", [])]

    def hurried(route: dict[str, Any]) -> dict[str, Any]:
        hurry = {"group_interval": "4s"} | ({} if waits is None else {"group_wait": waits})
        fast: dict[str, Any] = {name: pause for name, pause in hurry.items() if name in route}
        return {**route, **fast, "routes": [hurried(inner) for inner in route.get("routes", [])]}

    return {
        "global": {"smtp_smarthost": mail, "smtp_from": "alertmanager@example.com", "smtp_require_tls": False},
        "templates": [str(shipped("alerts") / name) for name in config["templates"]],
        "route": hurried(config["route"]),
        "inhibit_rules": config["inhibit_rules"],
        "receivers": [
            {
                "name": one["name"],
                "webhook_configs": [{"url": webhook + one["name"]}],
                "email_configs": [] if one["name"] == "deadman" else [{**letter, "to": f"{one['name']}@example.com"}],
            }
            for one in config["receivers"]
        ],
    }


def start(stack: contextlib.ExitStack, folder: Path, command: list[str], url: str) -> None:
    """Another people's program, until the stack is left; its log is ``monitoring.log``. Returns once it is ready."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    log = stack.enter_context((folder / "monitoring.log").open("ab"))
    process = stack.enter_context(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
    stack.callback(process.wait, 20)
    stack.callback(process.terminate)
    wait_for(f"{command[0]} to be ready", lambda: get(f"{url}/-/ready"))


def start_alertmanager(stack: contextlib.ExitStack, folder: Path, routes: dict[str, object]) -> str:
    """Debian's own with these ``routes``; its URL."""
    url = f"http://127.0.0.1:{free_port()}"
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(routes))
    start(stack, folder, [
        "prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=am", f"--web.external-url={url}",
        f"--web.listen-address={url.removeprefix('http://')}", "--cluster.listen-address=",
    ], url)  # fmt: skip
    return url


@contextlib.contextmanager
def prometheus_and_alertmanager(folder: Path, scraped: str, routes: dict[str, object]) -> Iterator[str]:
    """Debian's own binaries with the shipped rules, a one-second scrape, and these routes; Prometheus' URL."""
    url = f"http://127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as stack:
        alertmanager = start_alertmanager(stack, folder, routes).removeprefix("http://")
        (folder / "prometheus.yml").write_text(
            f"""\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{shipped("alerts") / "rules.yaml"}"]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
scrape_configs: [{{job_name: cliffwatch, static_configs: [{{targets: ["{scraped}"]}}]}}]
"""
        )
        start(stack, folder, [
            # What fired before Alertmanager was discovered is sent again after this long; a minute by default.
            "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
            "--rules.alert.resend-delay=2s",
            f"--web.listen-address={url.removeprefix('http://')}",
        ], url)  # fmt: skip
        yield url
