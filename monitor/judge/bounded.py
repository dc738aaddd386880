"""Runs checks that may take too much time or memory in processes that can be ended.

A process is started at the first such check and reused; it ends after ``IDLE_SECONDS`` without one. It imports neither
torch nor the store, has no key in its environment, and ends with this process, because its standard input then closes.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from monitor.judge.unfinished import CPU_SECONDS, CheckUnfinishedError, Unfinished

PROCESSES: Final = 2
"""Maximum number of processes; further checks wait for one."""

MEMORY_BYTES: Final = 512 * 2**20
"""Memory that checks may use in addition to what a process has at its start."""

WALL_SECONDS: Final = 10.0
"""Time limit of a check on a machine that gives it less than a fifth of a CPU."""

START_SECONDS: Final = 30.0
"""Added to the limit of a process's first check, which includes its start."""

IDLE_SECONDS: Final = 60.0

_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


class BoundedChecks:
    """A pool of processes for checks. Its methods may be called from any thread."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._slots = threading.BoundedSemaphore(PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._all: set[subprocess.Popen[bytes]] = set()
        self._timer: threading.Timer | None = None
        self._stops = 0
        self._last_use = 0.0

    def check(self, kind: str, text: str, options: Mapping[str, Any]) -> tuple[float, str]:
        """The result of a check of ``checks.EVALUATORS``.

        Raises:
            CheckUnfinishedError: it could not be applied, or took more than the CPU time or memory of a check.
        """
        request = json.dumps([kind, text, dict(options)]).encode() + b"\n"
        stops = self._stops
        with self._slots:
            process, fresh = self._take(stops)
            reply = _exchange(process, request, WALL_SECONDS + (START_SECONDS if fresh else 0.0))
            if reply is None or reply[0] == Unfinished.MEMORY:
                self._end(process)
                raise _unfinished(process, reply, self._memory_bytes)
            self._give(process)
        if reply[0] != "ok":
            raise CheckUnfinishedError(Unfinished(reply[0]), str(reply[1]))
        return float(reply[1]), str(reply[2])

    def stop(self) -> None:
        """End all processes at once. Checks that have begun, also those that wait for a process, have no score."""
        with self._lock:
            self._stops += 1
            ending, self._idle = list(self._all), []
            self._all.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        for process in ending:
            _kill(process)

    def _take(self, stops: int) -> tuple[subprocess.Popen[bytes], bool]:
        with self._lock:
            if self._stops > stops:
                raise CheckUnfinishedError(Unfinished.CRASHED, "Cliffwatch is stopping")
            while self._idle:
                process = self._idle.pop()
                if process.poll() is None:
                    return process, False
                self._all.discard(process)
            process = _start(self._memory_bytes)
            self._all.add(process)
            return process, True

    def _give(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if process in self._all:
                self._idle.append(process)
            self._last_use = time.monotonic()
            if self._timer is None:
                self._wait(IDLE_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._end_idle)
        self._timer.daemon = True
        self._timer.start()

    def _end_idle(self) -> None:
        with self._lock:
            left = self._last_use + IDLE_SECONDS - time.monotonic()
            if left > 0:
                self._wait(left)
                return
            self._timer = None
            ending, self._idle = self._idle, []
            self._all.difference_update(ending)
        for process in ending:
            _kill(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._all.discard(process)
        _kill(process)


def keyless_environment() -> dict[str, str]:
    """Environment of a process that handles hostile text: it can import this program, and contains no key."""
    root = str(Path(__file__).resolve().parents[2])
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return environment | {"PYTHONPATH": os.pathsep.join([root, *(path for path in sys.path if path and path != root)])}


def _start(memory_bytes: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "monitor.judge.check_process", str(memory_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=keyless_environment(),
        start_new_session=True,  # a Ctrl-C at the terminal is for the process that asks
    )


def _exchange(process: subprocess.Popen[bytes], request: bytes, seconds: float) -> list[Any] | None:
    """The reply to ``request``; ``None`` if the process ended or did not reply in time."""
    assert process.stdin is not None
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    try:
        process.stdin.write(request)
        process.stdin.flush()
        reply = bytearray()
        while not reply.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                return None
            part = os.read(process.stdout.fileno(), 65_536)
            if not part:
                return None
            reply += part
    except (OSError, ValueError):
        return None
    parsed = json.loads(reply)
    return parsed if isinstance(parsed, list) else None


def _unfinished(process: subprocess.Popen[bytes], reply: list[Any] | None, memory_bytes: int) -> CheckUnfinishedError:
    if reply is not None:
        return CheckUnfinishedError(Unfinished.MEMORY, f"it needs more than {memory_bytes >> 20} MiB of memory")
    if process.returncode in (-signal.SIGPROF, -signal.SIGKILL):
        return CheckUnfinishedError(Unfinished.TIME, f"it takes more than {CPU_SECONDS:g} s of CPU time")
    why = f"the process of checks ended with status {process.returncode}"
    return CheckUnfinishedError(Unfinished.CRASHED, why)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            process.wait(0.05)  # it may be about to end by its own limit
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue  # a broken pipe has unsent bytes


BOUNDED: Final = BoundedChecks()
"""The processes of this process."""

atexit.register(BOUNDED.stop)
