"""``cliffwatch status``: processor seconds of the whole process on a fleet, from its start to its last line.

The fleet is that of the scrape's benchmark: two suites a target, one target in fifty with an alarm, one in a hundred
unmeasured; its baselines are of the suites as they are. The configuration is read and checked, the store is SQLite.
Processor seconds (user and system) are what an idle machine takes to answer. ``import sqlalchemy`` is measured beside
it, in turn: it says how fast the machine is, and how busy. ``ratio`` is figure over limit, so under 1 is good.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import update

from benchmarks import fleets
from benchmarks.ask import Interval, median_interval
from monitor.clock import utcnow
from monitor.config.file import load_to_read
from monitor.store import open_store, tables

LIMIT: Final = 1.0
"""CPU seconds on 1,000 targets."""
PROBES: Final = 24
CASES: Final[Mapping[str, tuple[str, ...]]] = {
    "status": ("-m", "monitor", "status"),
    "status --all": ("-m", "monitor", "status", "--all"),
    "status --json": ("-m", "monitor", "status", "--json"),
    "import sqlalchemy": ("-c", "import sqlalchemy"),
}


def lay_out(folder: Path, targets: int, now: datetime) -> None:
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
    fleet = fleets.settings(targets, "sqlite:///fleet.db")
    written = fleet.model_dump(mode="json", exclude_unset=True)
    del written["targets"]["judge"], written["email"]
    path = folder / "cliffwatch.yaml"
    path.write_text(yaml.safe_dump(written, sort_keys=False))
    settings, suites = load_to_read(path)
    store = open_store(settings.store)
    fleets.fill(store, fleet, now)
    with store._database.write() as connection:
        for name, read in suites.items():
            connection.execute(
                update(tables.baseline).where(tables.baseline.c.suite == name).values(suite_digest=read.digest)
            )
    store.close()


def cpu_seconds(folder: Path, arguments: tuple[str, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr.decode())
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args()
    taken: dict[str, list[float]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as name:
        lay_out(Path(name), args.targets, utcnow())
        for trial in range(args.trials + 1):
            for case, arguments in CASES.items():
                seconds = cpu_seconds(Path(name), arguments)
                if trial:  # the first one compiles and fills caches
                    taken[case].append(seconds)
    rng = random.Random(args.seed)
    report({case: median_interval(found, rng) for case, found in taken.items()}, args)


def report(found: Mapping[str, Interval], args: argparse.Namespace) -> None:
    rows: list[dict[str, Any]] = []
    table = Table(title=f"{args.targets:,} targets, two suites each; median of {args.trials}")
    for column in ("case", "CPU seconds", "95 % interval", "limit", "ratio"):
        table.add_column(column)
    for case, one in found.items():
        limit = LIMIT if case == "status" and args.targets <= 1_000 else None
        ratio = "" if limit is None else f"{one.value / limit:.2f}"
        names = {"benchmark": "status", "method": "cliffwatch", "case": case, "measure": "CPU seconds"}
        rows.append({**names, "value": one.value, "low": one.low, "high": one.high, "n": args.trials, "limit": limit})
        interval = f"{one.low:.2f} to {one.high:.2f}"
        table.add_row(case, f"{one.value:.2f}", interval, "" if limit is None else f"{limit:g}", ratio)
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        Console(width=100).print(table)


if __name__ == "__main__":
    main()
