"""Start and idle memory: seconds until ``--help`` answers and until the daemon is ready, megabytes of an idle daemon.

The daemon is the real process on a fresh SQLite file, with one OpenAI-kind target. Memory is its resident set, once
when it is ready and has asked nothing, and once after it has finished a run without a judge (the vendor's client is
then loaded). Each figure is shown with its limit; ``ratio`` is figure over limit, so under 1 is good.
"""

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.ask import Interval, median_interval

LIMITS = {
    "help": (0.5, "seconds"),
    "ready": (3.0, "seconds"),
    "idle": (150.0, "megabytes"),
    "rested": (150.0, "megabytes"),
}
CASES = {
    "help": "cliffwatch --help answers",
    "ready": "cliffwatch run is ready",
    "idle": "resident memory, ready, nothing asked yet",
    "rested": "resident memory after a finished run, without torch",
}


def help_seconds() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "monitor", "--help"], check=True, capture_output=True)
    return time.perf_counter() - started


def free_port() -> int:
    """A port of the loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def daemon(folder: Path, server_url: str) -> Iterator[tuple[psutil.Process, str, float]]:
    """The daemon's process, its URL, and the seconds until it was ready."""
    port = free_port()
    config = folder / "cliffwatch.yaml"
    config.write_text(
        f"""\
store: sqlite:///{folder}/cliffwatch.db
providers: {{server: {{kind: openai, base_url: "{server_url}", free: true}}}}
targets:
  bot: {{subject: {{provider: server, model: instant}}, base: {{provider: server, model: other}}, suites: [format]}}
schedule: {{batches: 1}}
http: {{port: {port}}}
"""
    )
    started = time.perf_counter()
    command = [sys.executable, "-m", "monitor", "run", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait(lambda: fetch(f"{url}/readyz"))
            yield psutil.Process(process.pid), url, time.perf_counter() - started
        finally:
            process.terminate()


def fetch(url: str) -> str:
    with suppress(URLError, OSError), urlopen(url, timeout=5) as reply:
        return str(reply.read().decode())
    return ""


def wait(evaluation: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not evaluation():
        if time.monotonic() > deadline:
            raise TimeoutError("the daemon did not come so far")
        time.sleep(0.01)


def one_trial(server_url: str) -> dict[str, float]:
    found = {"help": help_seconds()}
    with tempfile.TemporaryDirectory() as folder, daemon(Path(folder), server_url) as (process, url, ready):
        found["ready"] = ready
        found["idle"] = process.memory_info().rss / 1e6
        done = 'cliffwatch_runs_total{target="bot",suite="format",outcome="measured"} 1.0'
        wait(lambda: done in fetch(f"{url}/metrics"))
        time.sleep(1)
        found["rested"] = process.memory_info().rss / 1e6
        assert not any("torch" in mapped.path for mapped in process.memory_maps()), "torch was loaded"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ask", "--serve"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
            one_trial(url)  # warm: byte code, file cache
            trials = [one_trial(url) for _ in range(args.trials)]
        finally:
            server.terminate()
    rng = random.Random(args.seed)
    report({case: median_interval([trial[case] for trial in trials], rng) for case in CASES}, args)


def report(found: dict[str, Interval], args: argparse.Namespace) -> None:
    rows: list[dict[str, Any]] = []
    for case, one in found.items():
        limit, unit = LIMITS[case]
        for measure, by in ((unit, 1.0), ("ratio", limit)):
            values = {"value": one.value / by, "low": one.low / by, "high": one.high / by, "n": args.trials}
            names = {"benchmark": "start", "method": "cliffwatch", "case": CASES[case], "measure": measure}
            rows.append(names | values)
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(title=f"start and rest, median of {args.trials}")
    for column in ("case", "measured", "95 % interval", "limit", "measured / limit"):
        table.add_column(column)
    for case, one in found.items():
        limit, unit = LIMITS[case]
        interval = f"{one.low:.3g} to {one.high:.3g}"
        table.add_row(CASES[case], f"{one.value:.3g} {unit}", interval, f"{limit:g}", f"{one.value / limit:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
