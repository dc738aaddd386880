"""The lab as a separate process: started, awaited, and reliably stopped."""

import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from monitor.lab import control
from monitor.lab.control import LabError

START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0


class LabServer:
    """``with LabServer() as lab:`` runs the lab's server on a free port of this machine.

    ``weights`` is the folder of weights (default: those in the package). The server also ends when this
    process does, however it ends. Raises `LabError` when it does not come up, with what it said.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1", weights: Path | None = None) -> None:
        self._port, self._host, self._weights = port, host, weights
        self._process: subprocess.Popen[bytes] | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """``http://host:port``: what Anthropic's client takes as ``base_url``."""
        if self._url is None:
            raise LabError("the lab has not been started")
        return self._url

    @property
    def openai_url(self) -> str:
        """``http://host:port/v1``: what OpenAI's client takes as ``base_url``."""
        return f"{self.url}/v1"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> "LabServer":
        """Start the process and wait until it answers (at most `START_SECONDS`)."""
        command = [sys.executable, "-m", "monitor.lab", "serve", "--until-stdin-closes"]
        command += ["--host", self._host, "--port", str(self._port)]
        environment = dict(os.environ)
        if self._weights is not None:
            environment["CLIFFWATCH_LAB_WEIGHTS"] = str(self._weights)
        # What it complains of goes to a file: nobody reads a pipe for as long as it runs, and a full one blocks.
        with tempfile.TemporaryFile() as complaints:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, env=environment
            )
            self._url = _announced_url(self._process)
            if self._url is None:
                self.stop()
                complaints.seek(0)
                raise LabError(f"the lab did not start: {complaints.read().decode(errors='replace').strip()}")
        return self

    def stop(self) -> None:
        """Stop the process and wait for its end; killed if it does not go within 5 s. Safe to call twice."""
        process, self._process, self._url = self._process, None, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def switch_on(self, name: str, /, **params: Any) -> dict[str, Any]:
        """Switch a fault on; see `control.switch_on`."""
        return control.switch_on(name, params, self.url)

    def switch_off(self, name: str | None = None) -> list[str]:
        """Switch one fault off, or all; see `control.switch_off`."""
        return control.switch_off(name, self.url)

    def faults(self) -> list[dict[str, Any]]:
        """Every fault and its state; see `control.faults`."""
        return control.faults(self.url)

    @contextmanager
    def fault(self, name: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        """A fault that is on inside the ``with`` and off after it."""
        told = self.switch_on(name, **params)
        try:
            yield told
        finally:
            self.switch_off(name)

    def __enter__(self) -> "LabServer":
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _announced_url(process: subprocess.Popen[bytes]) -> str | None:
    """The URL that begins the server's first line; ``None`` if it ended, or `START_SECONDS` did, without one."""
    assert process.stdout is not None
    said = b""
    deadline = time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while b"\n" not in said and (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                chunk = os.read(process.stdout.fileno(), 4096)
                if not chunk:
                    return None
                said += chunk
    return said.split()[0].decode() if b"\n" in said else None
