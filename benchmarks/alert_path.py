"""From a fault to a notification: seconds until a webhook receives the page for a lost fine-tune.

The lab's server, the daemon, Prometheus (scrape and evaluation every second) and Alertmanager (the shipped routes, with
their short wait for grouping) are real processes. A trial drops the adapter at a random moment. When the page has
arrived, the adapter is restored, and the next trial begins when the page is resolved. ``without the probe interval``
begins with the first question of the run that raised the alarm (or with the fault, if that is later). It covers that
run and its verdict, the fresh sample that a page waits for and its verdict, scrape, rules and Alertmanager. ``whole``
begins with the fault. Limit: a median under 15 s.
"""

import argparse
import json
import random
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row
from monitor.core.logs import configure
from monitor.lab.process import LabServer
from tests.acceptance import processes, test_alert_path

LIMIT_SECONDS: Final = 15.0
DAY_SECONDS: Final = 12
ALERT: Final = "CliffwatchFineTuneLost"
PARTS: Final = ("whole", "first run raised", "confirmed", "delivered", "without the probe interval")
"""Of a trial, in order; the three in the middle add up to the last."""


def trial(lab: LabServer, hook: processes.Webhook, store: Path, rng: random.Random) -> dict[str, float]:
    """Seconds of each of ``PARTS``, from one fault to its page."""
    time.sleep(rng.uniform(0, DAY_SECONDS))
    before = len(hook.received)
    with lab.fault("adapter-dropped"):
        fault = time.time()
        processes.wait_for("the page", lambda: paged(hook, before, "firing"), 120)
        heard = time.time()
    processes.wait_for("the page to be resolved", lambda: paged(hook, before, "resolved"), 120)
    asked, raised, confirmed = moments(store, fault)
    begin = max(fault, asked)
    told = (heard - fault, raised - begin, confirmed - raised, heard - confirmed, heard - begin)
    return dict(zip(PARTS, told, strict=True))


def paged(hook: processes.Webhook, before: int, status: str) -> bool:
    return any(
        one["status"] == status and one["labels"]["alertname"] == ALERT and one["receiver"] == "page"
        for one in hook.received[before:]
    )


def moments(store: Path, fault: float) -> tuple[float, float, float]:
    """When the alarm's first run put its first question, raised, and was confirmed, in Unix time."""
    query = (
        "SELECT (SELECT min(asked_at) FROM answer WHERE run_id = alarm.raised_run_id), raised_at, confirmed_at "
        "FROM alarm WHERE severity = 'page' AND confirmed_at IS NOT NULL ORDER BY confirmed_at"
    )
    with closing(sqlite3.connect(store)) as opened:
        found = [tuple(unix(at) for at in row) for row in opened.execute(query)]
    asked, raised, confirmed = next(row for row in found if row[2] > fault)
    return asked, raised, confirmed


def unix(kept: object) -> float:
    """The store's time of day as seconds since 1970."""
    return datetime.fromisoformat(str(kept)).replace(tzinfo=UTC).timestamp()


def measure(folder: Path, trials: int, seed: int) -> list[dict[str, float]]:
    rng = random.Random(seed)
    with LabServer() as lab, processes.Webhook() as hook, processes.MailServer() as mail:
        config = processes.write_config(
            folder, lab.url, day_seconds=DAY_SECONDS, suite=test_alert_path.shorter_suite(folder)
        )
        test_alert_path.arm(config, day_seconds=DAY_SECONDS)
        routes = processes.shipped_routes(hook.url, mail.address, waits=None)
        with processes.Daemon(config) as daemon:
            daemon.wait_ready()
            with processes.prometheus_and_alertmanager(folder, daemon.url.removeprefix("http://"), routes):
                test_alert_path.finished_runs(daemon, 1)
                found = []
                for number in range(trials):
                    found.append(trial(lab, hook, folder / "cliffwatch.db", rng))
                    print(f"trial {number + 1}: {found[-1]}", file=sys.stderr)
                return found


def rows(found: list[dict[str, float]]) -> list[Row]:
    """Median and range of each part; the range is over trials, not a bound."""
    told = []
    for part in PARTS:
        ordered = sorted(one[part] for one in found)
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        told.append(Row("alert_path", "Cliffwatch", part, "seconds", middle, ordered[0], ordered[-1], len(ordered)))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10, help="faults")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which the adapter is dropped")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    configure(service=False)  # logs go to stderr
    with tempfile.TemporaryDirectory(prefix="alert-path-") as folder:
        told = rows(measure(Path(folder), options.trials, options.seed))
    if options.json:
        print(json.dumps([asdict(row) for row in told], indent=2))
        return
    table = Table()
    for column in ("case", "median, s", "range, s", "limit, s", "trials"):
        table.add_column(column)
    for row in told:
        limit = f"{LIMIT_SECONDS:g}" if row.case == PARTS[-1] else ""
        table.add_row(row.case, f"{row.value:.1f}", f"{row.low:.1f} to {row.high:.1f}", limit, str(row.n))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
