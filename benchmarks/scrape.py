"""Duration of a scrape: /metrics of a fleet with every kind of result, in a SQLite store.

Per size: the first scrape of a new process (everything is read and written), a scrape when nothing has changed, and
one after some targets had a run. The pages are in the form that Prometheus requests (OpenMetrics, gzip), and once more
without gzip. Then the cost of a restart: the real daemon over the same fleet is asked for its first page at once, 1, 5
and 30 seconds after it is ready, with the longest time of /healthz meanwhile; wall seconds over HTTP. ``ratio`` is
figure over limit, so under 1 is good.
"""

import argparse
import gc
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

import psutil
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks import fleets
from benchmarks.ask import median_interval
from benchmarks.start import fetch, free_port, wait
from monitor.core.records import RunOutcome
from monitor.core.settings import Settings
from monitor.report.metrics import Internals
from monitor.store import Store, open_store

NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
ACCEPT: Final = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
LIMITS: Final = {1_000: 0.5, 10_000: 1.0}
"""Targets -> seconds within which a scrape is served, once the process has served one."""
CHANGED: Final = {1_000: 5, 10_000: 50}
"""Targets -> how many of their suites have a new run between two scrapes: some 15 times as many as daily runs, each in
six batches, bring in 15 seconds."""

DELAYS: Final = (0, 1, 5, 30)
"""Seconds from ready until the first scrape."""
SUITE: Final = """\
name: {name}
probes: [{{id: probe-0, prompt: "How long does a refund take?"}}, {{id: probe-1, prompt: "And an exchange?"}}]
"""


@dataclass(frozen=True)
class Row:
    targets: int
    case: str
    measure: str
    value: float
    low: float
    high: float
    limit: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.limit is None else self.value / self.limit


def seconds(work: Callable[[], object]) -> float:
    """Of this process's CPU: a scrape waits for nothing, and the figure is the same on a machine that is busy."""
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def measured(targets: int, folder: Path, rounds: int) -> Iterator[Row]:
    """Every row of one size."""
    fleet = fleets.settings(targets)
    store = open_store(f"sqlite:///{folder}/fleet-{targets}.db")
    fleets.fill(store, fleet, NOW)
    before = psutil.Process().memory_info().rss
    internals = Internals()

    def scrape(encoding: str = "gzip") -> bytes:
        return internals.scrape(store, fleet, NOW, ACCEPT, encoding)[0]

    limit = LIMITS.get(targets)
    first = seconds(scrape)
    yield Row(targets, "first of a process", "CPU seconds", first, first, first, None)
    kept = (psutil.Process().memory_info().rss - before) / 1e6
    for case, encoding in (("nothing changed", "gzip"), ("nothing changed, no gzip", "")):
        again = partial(scrape, encoding)
        again()
        yield _row(targets, case, [seconds(again) for _ in range(rounds)], limit)
    after = [_after_change(store, fleet, CHANGED.get(targets, 5), round_, scrape) for round_ in range(rounds)]
    yield _row(targets, f"{CHANGED.get(targets, 5)} suites had a run", after, limit)
    plain, packed = scrape(""), scrape()
    for measure, value in (
        ("series", float(sum(not line.startswith(b"#") for line in plain.splitlines()))),
        ("MB", len(plain) / 1e6),
        ("MB, gzip", len(packed) / 1e6),
        ("MB more of memory", kept),
    ):
        yield Row(targets, "page", measure, value, value, value, None)
    store.close()


@contextmanager
def restarted(targets: int, folder: Path) -> Iterator[tuple[str, float]]:
    """The daemon over a fleet that was all asked today: its URL, and the seconds from its start until it is ready."""
    port, config = free_port(), folder / "cliffwatch.yaml"
    (folder / "probes").mkdir(exist_ok=True)
    for suite in fleets.SUITES:
        (folder / "probes" / f"{suite}.yaml").write_text(SUITE.format(name=suite))
    declared = fleets.declared(targets, "http://127.0.0.1:9/v1")
    store = f"sqlite:///{folder}/daemon.db"
    config.write_text(yaml.safe_dump({**declared, "store": store, "http": {"port": port}}))
    if not (folder / "daemon.db").exists():
        opened = open_store(store)
        fleets.fill(opened, fleets.settings(targets), datetime.now(UTC))
        opened.close()
    started = time.perf_counter()
    command = [sys.executable, "-m", "monitor", "run", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait(lambda: fetch(f"{url}/readyz"))
            yield url, time.perf_counter() - started
        finally:
            process.terminate()


def after_a_restart(targets: int, folder: Path, rounds: int) -> Iterator[Row]:
    """The first page after a restart, and what else the daemon answers while it writes that."""
    found: dict[str, list[float]] = {}
    for delay in DELAYS * rounds:
        with restarted(targets, folder) as (url, ready):
            at_worst = 0.0
            until = time.perf_counter() + delay
            while time.perf_counter() < until:
                at_worst = max(at_worst, _answered(f"{url}/healthz"))
                time.sleep(0.05)
            found.setdefault("restart, until it is ready", []).append(ready)
            found.setdefault(f"first scrape, {delay} s after it is ready", []).append(_answered(f"{url}/metrics"))
            if delay == DELAYS[-1]:
                found.setdefault("/healthz meanwhile, at worst", []).append(at_worst)
    for case, values in found.items():
        yield replace(_row(targets, case, values, LIMITS.get(targets) if "scrape" in case else None), measure="seconds")


def _answered(url: str) -> float:
    """Seconds until ``url`` is read to its end."""
    started = time.perf_counter()
    with urlopen(Request(url, headers={"Accept": ACCEPT, "Accept-Encoding": "gzip"}), timeout=120) as reply:
        assert reply.status == 200
        reply.read()
    return time.perf_counter() - started


def _after_change(store: Store, fleet: Settings, count: int, round_: int, scrape: Callable[[], bytes]) -> float:
    """Give ``count`` suites, spread over the fleet, a finished run with new findings; then scrape."""
    names = list(fleet.targets)
    slot = NOW + timedelta(minutes=round_ + 1)
    for place in range(count):
        name, suite = names[place * (len(names) // count)], fleets.SUITES[0]
        made = store.ensure_run(name, suite, slot, seed=1, suite_digest=fleets.DIGEST, next_at=slot)
        run = store.claim(made.id, slot, 60)
        assert run is not None
        found = [
            replace(one, run_id=run.id, effect=one.effect + 0.001 * (round_ + 1))
            for one in store.latest_findings(name, suite)
        ]
        assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, slot)
    return seconds(scrape)


def _row(targets: int, case: str, found: list[float], limit: float | None) -> Row:
    middle = median_interval(found, random.Random(1))
    return Row(targets, case, "CPU seconds", middle.value, middle.low, middle.high, limit)


def table(rows: list[Row]) -> Table:
    made = Table()
    for column in ("targets", "case", "measure", "value", "95 % interval", "limit", "ratio"):
        made.add_column(column)
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:g}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        made.add_row(
            f"{row.targets:,}", row.case, row.measure, f"{row.value:,.3g}" if row.value < 1e4 else f"{row.value:,.0f}",
            f"{row.low:.3g} to {row.high:.3g}" if row.low != row.high else "", limit, ratio,
        )  # fmt: skip
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=9, help="scrapes for each figure")
    parser.add_argument("--restarts", type=int, default=3, help="of the daemon for each delay")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for targets in args.targets:
            rows += measured(targets, Path(folder), args.rounds)
            with tempfile.TemporaryDirectory() as other:
                rows += after_a_restart(targets, Path(other), args.restarts)
    if args.json:
        print(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=2))
    else:
        Console(width=140).print(table(rows))


if __name__ == "__main__":
    main()
