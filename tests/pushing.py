"""A daemon that takes pushed inputs, as a process of its own."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.daemon import HEALTHY, write
from tests.programs import free_port

TOKEN = "clients-token-0123456789abcdef0123456789"
PERSON = "alices-token-0123456789abcdef01234567890"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
WEEKLY = {"probes": "daily", "batches": 1, "production": f"weekly mon {(datetime.now(UTC).hour + 12) % 24:02}:00"}
"""The days of a sampling period begin twelve hours from now, so that no test runs into the next one."""


def configured(folder: Path, source: dict[str, Any] | None = None, **more: Any) -> Path:
    """A daemon that takes inputs of the target ``bot`` from the client ``app``, with a sample of 20 a week."""
    target = {
        "subject": {"provider": "script", "model": "tuned"},
        "production": {"source": source or {"kind": "http"}, "sample": 20},
    }
    http = {"port": 0, "inputs": {"app": {"token_env": "CLIENT"}}, "actions": {"alice": {"token_env": "ALICE"}}}
    return write(folder, HEALTHY, **{"targets": {"bot": target}, "schedule": WEEKLY, "http": http, **more})


@contextlib.contextmanager
def process(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The daemon as a process of its own."""
    with subprocess.Popen([sys.executable, "-m", "monitor", "run", "--config", str(path)]) as daemon:
        try:
            yield daemon
        finally:
            daemon.terminate()


def until(what: Callable[[], Any], seconds: float = 40) -> Any:
    """The first truthy value of ``what``, which may fail to connect."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if found := what():
                return found
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def started(folder: Path, source: dict[str, Any] | None = None, **schedule: Any) -> tuple[Path, str]:
    """A configuration, and the URL of its daemon."""
    port = free_port()
    http = {"port": port, "inputs": {"app": {"token_env": "CLIENT"}}}
    path = configured(folder, source, http=http, schedule={"batches": 1, **schedule})
    return path, f"http://127.0.0.1:{port}"
