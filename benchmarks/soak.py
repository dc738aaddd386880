"""A soak: many runs on a fast clock, while a fifth of the provider's replies are faults. Does the daemon stay small?

The daemon is the real process on a fresh SQLite file. Half of its targets have an approved baseline, so their runs are
compared. Faults are of ten kinds, from a 429 to a reply that is cut in the middle. Memory is the resident set; its
growth counts from the 500th run. At the end the provider is healthy, and the lag of the schedule has to go back to 0.
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import psutil
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.start import free_port

RUNS: Final = 10_000
TARGETS: Final = 20
DAY_SECONDS: Final = 5.0
FAULTS: Final = 0.2
WARM: Final = 500
"""Runs before the growth of memory counts: by then everything is imported."""
LIMITS: Final = {"growth": (10.0, "%"), "log": (5.0, "MB"), "lag": (0.0, "s")}
CASES: Final = {
    "growth": "resident memory, growth from run 500 to the end",
    "log": "log of all runs",
    "lag": "schedule lag after the last fault",
}


class Faulty:
    """A server of Chat Completions on a thread; ``share`` of its replies are faults."""

    def __init__(self, seed: int, share: float) -> None:
        self.share = share
        self.calls = 0
        self._draw = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self.port = int(started.result(10).sockets[0].getsockname()[1])

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = re.search(r"content-length: (\d+)", head)
        asked = await reader.readexactly(int(length[1])) if length else b""
        self.calls += 1
        fault = self._draw.choice(FAULT_KINDS) if asked and self._draw.random() < self.share else "none"
        if fault == "hang":
            await asyncio.sleep(3)
        if fault == "drop":
            return False
        status, body, headers = self._reply(fault, asked)
        lines = {"content-type": "application/json", "content-length": len(body), **headers}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(
            f"HTTP/1.1 {status} X\r\n{text}\r\n".encode() + (body[: len(body) // 2] if fault == "cut" else body)
        )
        await writer.drain()
        return fault != "cut"

    def _reply(self, fault: str, asked: bytes) -> tuple[int, bytes, dict[str, str]]:
        if not asked:
            return 404, b"{}", {}
        if fault == "limited":
            return 429, b'{"error": {"message": "slow down"}}', {"retry-after": "0.2"}
        if fault in ("500", "503"):
            return int(fault), b'{"error": {"message": "overloaded"}}', {}
        if fault in BODIES:
            return 200, BODIES[fault], {}
        question = json.loads(asked)
        words = " ".join(f"word{self._draw.randrange(50)}" for _ in range(self._draw.randrange(20, 60)))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": words}}
        usage = {"prompt_tokens": 11, "completion_tokens": 40, "total_tokens": 51}
        reply = {"id": "c", "object": "chat.completion", "created": 1, "model": question["model"],
                 "choices": [choice], "usage": usage}  # fmt: skip
        return 200, json.dumps(reply).encode(), {}


BODIES: Final = {
    "html": b"<html>bad gateway</html>" * 2_000,
    "no choices": b'{"choices": []}',
    "error inside": b'{"error": {"message": "failed", "code": 500}}',
    "large": b'{"choices": "' + b"x" * 2_000_000 + b'"}',
}
FAULT_KINDS: Final = ("limited", "500", "503", "hang", "drop", "cut", *BODIES)


def configure(folder: Path, server: Faulty, port: int, targets: int, day_seconds: float) -> Path:
    """The configuration of the soak."""
    suite = {
        "name": "soak",
        "probes": [
            {"id": f"p{n}", "prompt": f"Question {n}?", "checks": [{"kind": "contains", "text": "word"}]}
            for n in range(6)
        ],
    }
    (folder / "soak.yaml").write_text(yaml.safe_dump(suite))
    provider = {"kind": "openai", "base_url": f"http://127.0.0.1:{server.port}/v1", "free": True, "concurrency": 32,
                "timeout_seconds": 1, "deadline_seconds": 3, "attempts": 2}  # fmt: skip
    settings = {
        "store": f"sqlite:///{folder}/cliffwatch.db",
        "providers": {"server": provider},
        "targets": {
            f"target-{n}": {
                "subject": {"provider": "server", "model": f"tuned-{n}"},
                "base": {"provider": "server", "model": "base"},
                "suites": ["soak.yaml"],
            }
            for n in range(targets)
        },
        "schedule": {"batches": 1, "day_seconds": day_seconds},
        "http": {"port": port},
    }
    path = folder / "cliffwatch.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def arm(config: Path, targets: int) -> None:
    """Approved baselines for half of the targets."""
    command = [sys.executable, "-m", "monitor", "baseline"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    for n in range(0, targets, 2):
        subprocess.run([*command, "capture", f"target-{n}", "--at-once", "8", "--config", str(config)], **quiet)
        approve = ["approve", f"target-{n}", "--by", "soak", "--why", "healthy", "--config", str(config)]
        subprocess.run([*command, *approve], **quiet)


@contextmanager
def running(config: Path, log: Path) -> Iterator[psutil.Process]:
    """The daemon's process."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "run", "--config", str(config)], stdout=out, stderr=out
        )
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)


@dataclass
class Seen:
    """What was seen of the daemon from outside."""

    runs: int = 0
    lag: float = 0.0
    memory: list[tuple[int, float]] = field(default_factory=list)
    """(finished runs, resident megabytes)."""
    calls: int = 0
    log_bytes: int = 0
    seconds: float = 0.0

    @property
    def settled(self) -> float:
        """Megabytes when the growth begins to count: the mean of the tenth of the readings from run ``WARM`` on."""
        return self._mean([place for place, (runs, _) in enumerate(self.memory) if runs >= WARM])

    @property
    def last(self) -> float:
        """Megabytes at the end: the mean of the last tenth of the readings."""
        return self._mean(range(len(self.memory) - self._tenth, len(self.memory)))

    @property
    def _tenth(self) -> int:
        return max(1, len(self.memory) // 10)

    def _mean(self, places: Sequence[int]) -> float:
        chosen = [self.memory[place][1] for place in places[: self._tenth]] or [self.memory[0][1]]
        return sum(chosen) / len(chosen)


def look(seen: Seen, daemon: psutil.Process, port: int) -> None:
    """One scrape."""
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        text = reply.read().decode()
        seen.runs = sum(int(float(n)) for n in re.findall(r"^cliffwatch_runs_total{.*} (\S+)$", text, re.MULTILINE))
        lag = re.search(r"^cliffwatch_schedule_lag_seconds (\S+)$", text, re.MULTILINE)
        seen.lag = float(lag[1]) if lag else float("inf")
        seen.memory.append((seen.runs, daemon.memory_info().rss / 1e6))


def soak(runs: int, targets: int, day_seconds: float, faults: float, seed: int) -> Seen:
    """Run the daemon until it has finished ``runs``, and then until its lag is 0 (at most a minute)."""
    seen, began, port = Seen(), time.monotonic(), free_port()
    with tempfile.TemporaryDirectory() as name:
        server, log = Faulty(seed, 0.0), Path(name) / "daemon.log"
        config = configure(Path(name), server, port, targets, day_seconds)
        arm(config, targets)
        server.share = faults
        with running(config, log) as daemon:
            look(seen, daemon, port)
            first = None
            while first is None or seen.runs - first < runs:
                time.sleep(2)
                look(seen, daemon, port)
                first = seen.runs if first is None and seen.memory else first
            server.share = 0.0
            for _ in range(30):
                time.sleep(2)
                look(seen, daemon, port)
                if seen.lag == 0:
                    break
        seen.calls, seen.log_bytes = server.calls, log.stat().st_size
        server.close()
    seen.seconds = time.monotonic() - began
    return seen


def rows(seen: Seen) -> list[dict[str, Any]]:
    """The figures with their limits."""
    figures = {
        "growth": 100 * (seen.last / seen.settled - 1),
        "log": seen.log_bytes / 1e6,
        "lag": seen.lag,
    }
    return [
        {"benchmark": "soak", "method": "cliffwatch", "case": case, "measure": LIMITS[case][1], "value": value,
         "low": value, "high": value, "n": seen.runs, "limit": LIMITS[case][0]}
        for case, value in figures.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", "--trials", type=int, default=RUNS)
    parser.add_argument("--targets", type=int, default=TARGETS)
    parser.add_argument("--day-seconds", type=float, default=DAY_SECONDS)
    parser.add_argument("--faults", type=float, default=FAULTS, help="share of replies, 0 to 1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    seen = soak(chosen.runs, chosen.targets, chosen.day_seconds, chosen.faults, chosen.seed)
    found = rows(seen)
    if chosen.json:
        print(json.dumps(found))
        return
    table = Table(title=f"{seen.runs:,} runs, {seen.calls:,} calls, {chosen.faults:.0%} faults, {seen.seconds:.0f} s")
    for column in ("case", "measured", "limit"):
        table.add_column(column)
    for one in found:
        limit = f"{one['limit']:g} {one['measure']}"
        table.add_row(CASES[one["case"]], f"{one['value']:.1f} {one['measure']}", limit)
    console = Console()
    console.print(table)
    step = max(1, len(seen.memory) // 12)
    told = ", ".join(f"{runs:,}: {megabytes:.0f}" for runs, megabytes in seen.memory[::step])
    console.print(f"Resident megabytes by finished runs: {told}, end: {seen.last:.0f}")


if __name__ == "__main__":
    main()
