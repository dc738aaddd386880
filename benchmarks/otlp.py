"""Spans per second that the daemon takes over OTLP/HTTP on one core, and how many it loses: none.

A real daemon and its process that reads bodies share one core. Clients send batches of 512 spans in gzip over kept
connections, each span a chat request of about 600 characters. Below the line of back-pressure, four clients send one
batch after the other. Above it, 24 clients send at once; what gets 429 is sent again after ``Retry-After``.
"Lost" are spans with a reply of 200 that the daemon did not count, plus spans that never got one. A processor second is
one of the daemon and its process together, so other work on the machine does not change it.

    python -m benchmarks.otlp [--trials 3] [--json]
"""

import asyncio
import gzip
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import psutil
import yaml

from benchmarks.rows import Row, bootstrap, parser, report

BATCH: Final = 512
BATCHES: Final = 12
"""Of one trial below the line."""

CLIENTS: Final = {"below the line": 4, "above the line": 24}
TOKEN: Final = "benchmark-token-0123456789abcdef"
HEADERS: Final = {
    "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-protobuf", "Content-Encoding": "gzip",
}  # fmt: skip
TEXT: Final = (
    "the customer says parcel broken on arrival please refund order number within days and reply politely in two "
    "sentences invoice account login delivery address wrong colour size warranty"
)
WORDS: Final = TEXT.split()
PASSWORDS: Final = 0.05
"""Share of the texts that speak of a password. Redaction takes about five times as long for these."""


@dataclass
class Sent:
    """What became of one trial's batches."""

    spans: int = 0
    accepted: int = 0
    refused: int = 0
    """Replies of 429."""
    seconds: float = 0.0
    processor_seconds: float = 0.0


def batch(rng: random.Random) -> bytes:
    """An ``ExportTraceServiceRequest`` in gzip, with new ids and texts."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="shop")))
    scope = group.scope_spans.add()
    for _ in range(BATCH):
        text = f"Ticket {rng.randrange(10**9)}: {' '.join(rng.choices(WORDS, k=90))}"
        text += " I forgot my password." if rng.random() < PASSWORDS else ""
        given = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "You answer customers of a shop."}]),
            "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}]),
        }
        scope.spans.append(
            Span(
                trace_id=rng.randbytes(16), span_id=rng.randbytes(8), name="chat m",
                start_time_unix_nano=time.time_ns(),
                attributes=[KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in given.items()],
            )
        )  # fmt: skip
    return gzip.compress(made.SerializeToString(), 1)


@contextmanager
def daemon(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The daemon on one core, and its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = {
        "subject": {"provider": "script", "model": "m"},
        "production": {"source": {"kind": "otlp", "where": {"resource.service.name": "shop"}}},
    }
    settings = {
        "store": f"sqlite:///{folder}/cliffwatch.db",
        "providers": {"script": {"kind": "scripted", "script": "script.yaml"}},
        "targets": {"bot": target},
        "http": {"port": port, "inputs": {"app": {"token_env": "TOKEN"}}},
    }
    (folder / "script.yaml").write_text(yaml.safe_dump({"seed": 1, "rules": [{"model": "m", "answers": ["Yes."]}]}))
    (folder / "cliffwatch.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "monitor", "run", "--config", str(folder / "cliffwatch.yaml")]
    environment = {**os.environ, "TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            of = psutil.Process(process.pid)
            of.cpu_affinity([max(of.cpu_affinity() or [0])])
            url = f"http://127.0.0.1:{port}"
            while True:
                try:
                    httpx.get(f"{url}/healthz")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield url, of
        finally:
            process.terminate()


def processor_seconds(of: psutil.Process) -> float:
    found = [one.cpu_times() for one in (of, *of.children(recursive=True))]
    return float(sum(one.user + one.system for one in found))


def accepted(url: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    name = 'cliffwatch_pushed_inputs_total{result="accepted"'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


async def send(url: str, batches: Sequence[bytes], clients: int) -> int:
    """Send every batch, again after 429, over ``clients`` connections. Returns the number of replies of 429."""
    waiting, refused = list(batches), 0
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def client(http: httpx.AsyncClient) -> None:
        nonlocal refused
        while waiting:
            body = waiting.pop()
            while (reply := await http.post(f"{url}/v1/traces", content=body, headers=HEADERS)).status_code == 429:
                refused += 1
                await asyncio.sleep(float(reply.headers["Retry-After"]))
            reply.raise_for_status()

    async with httpx.AsyncClient(timeout=300, limits=limits) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return refused


def trial(url: str, of: psutil.Process, rng: random.Random, clients: int) -> Sent:
    batches = [batch(rng) for _ in range(max(BATCHES, clients))]
    sent = Sent(spans=BATCH * len(batches))
    before, used, began = accepted(url), processor_seconds(of), time.monotonic()
    sent.refused = asyncio.run(send(url, batches, clients))
    sent.seconds, sent.processor_seconds = time.monotonic() - began, processor_seconds(of) - used
    sent.accepted = int(accepted(url) - before)
    return sent


def measured(trials: int, seed: int) -> Iterator[Row]:
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder, daemon(Path(folder)) as (url, of):
        trial(url, of, rng, 1)  # starts the process, which imports the libraries
        for case, clients in CLIENTS.items():
            found = [trial(url, of, rng, clients) for _ in range(trials)]
            rates = {
                "spans_per_second": [one.spans / one.seconds for one in found],
                "spans_per_processor_second": [one.spans / one.processor_seconds for one in found],
                "refused": [float(one.refused) for one in found],
                "lost": [float(one.spans - one.accepted) for one in found],
            }
            for measure, values in rates.items():
                bounds = bootstrap([np.array(values)], lambda of: float(np.median(of)), numbers)
                yield Row("otlp", "daemon", case, measure, bounds.value, bounds.low, bounds.high, trials)


def main() -> None:
    args = parser(__doc__, trials=3, what="of each case").parse_args()
    report(list(measured(args.trials, args.seed)), as_json=args.json)


if __name__ == "__main__":
    main()
