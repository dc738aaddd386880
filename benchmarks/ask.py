"""Requests a second of the whole ask stage against a bare AsyncOpenAI loop, on one instant local server.

Ours passes every limit, reserves from a budget, keeps the raw exchange and records each answer in SQLite; the bare loop
is ``gather`` over ``create()`` behind a semaphore and keeps nothing. Both have 32 calls in flight. Rounds alternate,
and the ratio is taken within each pair, so that what else the machine does falls on both.
"""

import argparse
import asyncio
import json
import logging
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import structlog
from rich.console import Console
from rich.progress import track
from rich.table import Table

from monitor.ask import Asker
from monitor.core.records import Arm, Message, Question, Sampling
from monitor.core.settings import Settings
from monitor.store import open_store

CONCURRENCY = 32
BAR, GOAL = 0.8, 0.9
BOOTSTRAP = 10_000
REPLY = {
    "id": "chatcmpl-benchmark",
    "object": "chat.completion",
    "created": 1,
    "model": "instant",
    "system_fingerprint": "fp-benchmark",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The refund takes five working days. " * 4},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 57, "completion_tokens": 32, "total_tokens": 89},
}


class InstantServer(asyncio.Protocol):
    """Answers every request with the same bytes; keep-alive; knows no more of HTTP than where a request ends."""

    body = json.dumps(REPLY).encode()
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req-1\r\ncontent-length: "
    reply = f"{head}{len(body)}\r\n\r\n".encode() + body

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            lines = self.buffer[:end].lower().split(b"\r\n")
            # A GET, as the daemon's question after the models served, has no body and says no length.
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.transport.write(self.reply)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(InstantServer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def messages(number: int) -> tuple[Message, ...]:
    system = "You answer customers of an online shop in one short paragraph, without greeting them."
    return (Message("system", system), Message("user", f"Order {number}: when do I get my money back?"))


async def bare(url: str, calls: int) -> float:
    """Seconds that a plain loop needs."""
    slots = asyncio.Semaphore(CONCURRENCY)
    async with openai.AsyncOpenAI(api_key="none", base_url=url) as client:

        async def one(number: int) -> str | None:
            async with slots:
                reply = await client.chat.completions.create(
                    model="instant",
                    messages=[{"role": m.role, "content": m.content} for m in messages(number)],  # type: ignore[misc]
                    temperature=1.0,
                    max_tokens=64,
                    seed=number,
                )
            return reply.choices[0].message.content

        await asyncio.gather(*(one(-n) for n in range(CONCURRENCY)))
        started = time.perf_counter()
        await asyncio.gather(*(one(n) for n in range(calls)))
        return time.perf_counter() - started


def settings_for(url: str) -> Settings:
    return Settings.model_validate(
        {
            "providers": {
                "server": {
                    "kind": "openai",
                    "base_url": url,
                    "concurrency": CONCURRENCY,
                    "requests_per_minute": 100_000_000,
                    "tokens_per_minute": 100_000_000_000,
                    "prices": {"instant": {"input": 0.15, "output": 0.6}},
                }
            },
            "targets": {
                "bot": {
                    "subject": {"provider": "server", "model": "instant"},
                    "budget": {"usd_per_day": 1e6, "requests_per_day": 1_000_000_000},
                }
            },
        }
    )


async def whole(url: str, calls: int) -> float:
    """Seconds that the ask stage needs, everything recorded when the clock stops."""
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/benchmark.db")
        run = store.ensure_run("bot", "suite", now, 1, "digest", now)
        claimed = store.claim(run.id, now, 600)
        assert claimed is not None

        def question(number: int) -> Question:
            return Question(
                run.id, "bot", "suite", Arm.SUBJECT, f"p{number}", 0, "server", "instant", messages(number),
                Sampling(temperature=1.0, max_tokens=64), seed=abs(number),
            )  # fmt: skip

        asker = Asker(settings_for(url), store, lease=timedelta(minutes=10))
        await asker.ask([question(-n - 1) for n in range(CONCURRENCY)], claimed.fence)
        started = time.perf_counter()
        asked = await asker.ask([question(n) for n in range(calls)], claimed.fence)
        seconds = time.perf_counter() - started
        assert asked.answers == calls
        assert len(store.answered(run.id)) == calls + CONCURRENCY
        assert abs(store.spent("bot", now.date()).reserved_usd) < 1e-9
        await asker.aclose()
        store.close()
    return seconds


@dataclass(frozen=True, slots=True)
class Interval:
    value: float
    low: float
    high: float


def median_interval(values: list[float], rng: random.Random) -> Interval:
    """Median with a 95 % percentile-bootstrap interval."""
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(BOOTSTRAP))
    return Interval(statistics.median(values), medians[int(0.025 * BOOTSTRAP)], medians[int(0.975 * BOOTSTRAP) - 1])


def measure(url: str, trials: int, calls: int, rng: random.Random) -> tuple[list[float], list[float]]:
    """Requests a second of the bare loop and of ours, pair by pair; who goes first is drawn."""
    found: dict[Any, list[float]] = {bare: [], whole: []}
    for _ in track(range(trials), "rounds", console=Console(stderr=True), transient=True):
        for way in rng.sample([bare, whole], 2):
            found[way].append(calls / asyncio.run(way(url, calls)))
    return found[bare], found[whole]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=15, help="pairs of rounds")
    parser.add_argument("--calls", type=int, default=2000, help="calls in one round")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve())
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    rng = random.Random(args.seed)
    with subprocess.Popen([sys.executable, Path(__file__), "--serve"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
            measure(url, 1, args.calls, rng)  # warm: imports, byte code, file cache
            plain, ours = measure(url, args.trials, args.calls, rng)
        finally:
            server.terminate()
    ratios = [o / p for o, p in zip(ours, plain, strict=True)]
    report(
        [
            ("bare AsyncOpenAI", "requests_per_second", median_interval(plain, rng)),
            ("cliffwatch", "requests_per_second", median_interval(ours, rng)),
            ("cliffwatch", "ratio", median_interval(ratios, rng)),
        ],
        args,
    )


def report(rows: list[tuple[str, str, Interval]], args: argparse.Namespace) -> None:
    if args.json:
        shared = {"benchmark": "ask", "case": f"concurrency {CONCURRENCY}", "n": args.trials}
        listed = [
            shared | {"method": method, "measure": measure_, "value": one.value, "low": one.low, "high": one.high}
            for method, measure_, one in rows
        ]
        print(json.dumps(listed, indent=2))
        return
    table = Table(title=f"ask stage, {CONCURRENCY} calls in flight, {args.trials} pairs of {args.calls} calls")
    for column in ("method", "measure", "median", "95 % interval"):
        table.add_column(column, justify="left" if column in ("method", "measure") else "right")
    for method, measure_, found in rows:
        digits = 0 if measure_ == "requests_per_second" else 2
        table.add_row(
            method, measure_, f"{found.value:,.{digits}f}", f"{found.low:,.{digits}f} to {found.high:,.{digits}f}"
        )
    console = Console()
    console.print(table)
    ratio = rows[-1][2].value
    console.print(
        f"minimum {BAR}, goal {GOAL}: {'goal met' if ratio >= GOAL else 'minimum met' if ratio >= BAR else 'missed'}"
    )


if __name__ == "__main__":
    main()
