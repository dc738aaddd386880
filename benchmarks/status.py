"""``cliffwatch status``: cost of the whole process on a fleet, from its start to its last line.

The fleet is that of the scrape's benchmark: two suites per target, one target in fifty with an alarm, one in a hundred
unmeasured. Its baselines match the suites, and the store is SQLite. Each case runs without a daemon, when the command
reads and checks the configuration and reads the store, and with a real daemon of that configuration, which it asks.
Processor seconds (user and system, of the command alone) are the time that an idle machine takes; wall seconds are
shown next to them. ``import sqlalchemy`` is measured in turn with the others: it shows how fast and how busy the
machine is. ``ratio`` is processor seconds over limit, so under 1 is good.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import update

from benchmarks import fleets
from benchmarks.ask import Interval, median_interval
from benchmarks.start import fetch, free_port, wait
from monitor.config.file import load_to_read
from monitor.core.clock import utcnow
from monitor.report.status import client
from monitor.store import open_store, tables

LIMIT: Final = 1.0
"""CPU seconds on 1,000 targets."""
PROBES: Final = 24
MACHINE: Final = "import sqlalchemy"
STATUS: Final = ("-m", "monitor", "status")
CASES: Final[Mapping[str, tuple[str, ...]]] = {
    "status": STATUS,
    "status --json": (*STATUS, "--json"),
    MACHINE: ("-c", "import sqlalchemy"),
}
Taken = dict[tuple[str, str], list[tuple[float, float]]]
"""(case, who is asked) -> processor and wall seconds of each time."""


def lay_out(folder: Path, targets: int, now: datetime) -> Path:
    """The configuration of the fleet, its suites and its filled store."""
    (folder / "probes").mkdir()
    for name in fleets.SUITES:
        probes = [
            {
                "id": f"probe-{n}",
                "prompt": f"Order {n} is late?",
                "checks": [{"kind": "contains", "text": "5"}],
            }
            for n in range(PROBES)
        ]
        suite = {"name": name, "replicates": 2, "probes": probes}
        (folder / "probes" / f"{name}.yaml").write_text(yaml.safe_dump(suite))
    path = folder / "cliffwatch.yaml"
    written = {
        "store": "sqlite:///fleet.db",
        **fleets.declared(targets, "http://127.0.0.1:9/v1"),
        "http": {"port": free_port()},
    }
    path.write_text(yaml.safe_dump(written, sort_keys=False))
    settings, suites = load_to_read(path)
    store = open_store(settings.store)
    fleets.fill(store, fleets.settings(targets), now)
    with store._database.write() as connection:
        for name, read in suites.items():
            connection.execute(
                update(tables.baseline).where(tables.baseline.c.suite == name).values(suite_digest=read.digest)
            )
    store.close()
    return path


@contextmanager
def daemon(config: Path) -> Iterator[None]:
    """The real daemon of the configuration, ready and asked once. All of the fleet was asked today: nothing is due."""
    command = [sys.executable, "-m", "monitor", "run", "--config", str(config)]
    port = yaml.safe_load(config.read_text())["http"]["port"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait(lambda: fetch(f"http://127.0.0.1:{port}/readyz"))
            wait(lambda: client.ask(config, everything=False))
            yield
        finally:
            process.terminate()


def seconds(folder: Path, arguments: tuple[str, ...]) -> tuple[float, float]:
    """Processor and wall seconds of one command; it finds its bytecode, as where it is installed."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environ, capture_output=True, check=False)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr.decode())
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def measured(folder: Path, asked: str, trials: int) -> Taken:
    """The cases in turn."""
    taken: Taken = {(case, "" if case == MACHINE else asked): [] for case in CASES}
    for trial in range(trials + 1):
        for (case, _), found in taken.items():
            one = seconds(folder, CASES[case])
            if trial:  # the first one compiles and fills caches
                found.append(one)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        config = lay_out(Path(name), args.targets, utcnow())
        taken = measured(Path(name), "the store", args.trials)
        with daemon(config):
            beside = measured(Path(name), "the daemon", args.trials)
        taken[MACHINE, ""] += beside.pop((MACHINE, ""))
    report(rows(taken | beside, args), args)


def rows(taken: Taken, args: argparse.Namespace) -> list[dict[str, Any]]:
    rng, found = random.Random(args.seed), []
    for (case, asked), both in taken.items():
        processor: Interval = median_interval([cpu for cpu, _ in both], rng)
        wall: Interval = median_interval([clock for _, clock in both], rng)
        limit = LIMIT if case == "status" and args.targets <= 1_000 else None
        names = {"benchmark": "status", "method": "cliffwatch", "case": case, "asked": asked}
        for measure, one, bar in (("CPU seconds", processor, limit), ("wall seconds", wall, None)):
            told = {"measure": measure, "value": one.value, "low": one.low, "high": one.high, "n": len(both)}
            found.append({**names, **told, "limit": bar})
    return found


def report(found: list[dict[str, Any]], args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps(found, indent=2))
        return
    table = Table(title=f"{args.targets:,} targets, two suites each; median of {args.trials}")
    for column in ("case", "asked", "measure", "seconds", "95 % interval", "limit", "ratio"):
        table.add_column(column)
    for one in found:
        limit = "" if one["limit"] is None else f"{one['limit']:g}"
        ratio = "" if one["limit"] is None else f"{one['value'] / one['limit']:.2f}"
        interval = f"{one['low']:.2f} to {one['high']:.2f}"
        table.add_row(one["case"], one["asked"], one["measure"], f"{one['value']:.2f}", interval, limit, ratio)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
