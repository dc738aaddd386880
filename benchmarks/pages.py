"""Duration of the pages: a fleet of 1,000 targets with 30 days of findings, read over HTTP from a separate process.

Two suites per target, every signal, a verdict per day (``fleets`` makes the last day; the earlier ones are copies with
other numbers). ``WORDY`` suites also have real answers: 20 probes, 10 answers of 200 words each, a baseline of 14 days.
Each figure is the 95th percentile of ``--rounds`` requests, each for another target (of the wordy suites in turn).
``first`` is the first request of a new process. ``ratio`` is figure over limit, so under 1 is good. ``--only TEXT``:
only pages with this text in their name.
"""

import argparse
import asyncio
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, Executable, bindparam, func, literal, select, text, update

from benchmarks import fleets
from monitor.core.records import Arm, Run
from monitor.core.settings import Settings
from monitor.store import Store, open_store, tables

NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAYS: Final = 30
LIMIT: Final = 0.2
"""Seconds within which a page is there, 95 times of 100."""
TEXT: Final = "Refunds take 5 working days from the scan at our depot. Ticket: #RF-21. Anything else I can check? " * 2
EXHIBITS: Final = [
    {"probe": f"probe-{n}", "prompt": "How long does a refund take?", "baseline": TEXT, "now": f"Sure! {TEXT}",
     "base": f"Sure! {TEXT}", "weight": 0.9 - n / 10}
    for n in range(5)
]  # fmt: skip
WORDY: Final = 2
"""Suites with answers of 200 words; those of the first target, of which one alarms."""
PROBES: Final = 20
ANSWERS: Final = 10
WORDS: Final = 200
BASELINE_DAYS: Final = 14
OLD_EXHIBITS: Final = [{**EXHIBITS[0], "base": None}]


@dataclass(frozen=True)
class Row:
    targets: int
    page: str
    measure: str
    value: float
    limit: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.limit is None else self.value / self.limit


def fill(store: Store, fleet: Settings) -> None:
    """The fleet's last day, with answers to show, and the days before it."""
    fleets.fill(store, fleet, NOW)
    streams = [(target, suite) for target, found in fleet.targets.items() for suite in found.run_suites]
    with store._database.write() as c:
        top = int(c.execute(select(func.max(tables.run.c.id))).scalar_one())
        batch = [_run(top + place * DAYS + day, target, suite, day)
                 for place, (target, suite) in enumerate(streams) for day in range(fleets.RUNS, DAYS)]  # fmt: skip
        c.execute(tables.run.insert(), batch)
        c.execute(update(tables.finding).values(exhibits=bindparam("shown", EXHIBITS, tables.finding.c.exhibits.type)))
        c.execute(_copies(top))
        _talk(c, top)
        if c.dialect.name == "postgresql":
            c.execute(text("ANALYZE"))  # as the server does by itself within a minute of so many new rows
    messages = [
        {"id": f"question-{n:02}", "messages": [{"role": "user", "content": _said(n, 0)}]} for n in range(PROBES)
    ]
    store.save_suite(fleets.DIGEST, fleets.SUITES[0], json.dumps({"probes": messages}))


def _talk(c: Connection, top: int) -> None:
    """The answers of the wordy suites: in their last run, and in 14 earlier ones that become their baseline."""
    for place in range(WORDY):
        last, days = fleets.RUNS * (place + 1), [top + place * DAYS + day for day in range(DAYS - BASELINE_DAYS, DAYS)]
        c.execute(tables.baseline_run.delete().where(tables.baseline_run.c.baseline_id == place + 1))
        c.execute(tables.baseline_run.insert(), [{"baseline_id": place + 1, "run_id": day} for day in days])
        c.execute(tables.answer.insert(), [row for run in (*days, last) for row in _answered(run)])
        shown = [{"probe": f"question-{n:02}", "prompt": _said(n, 0), "baseline": _said(n, 1), "now": _said(n, 2),
                  "base": _said(n, 3), "weight": 0.9 - n / 10} for n in range(5)]  # fmt: skip
        c.execute(update(tables.finding).where(tables.finding.c.run_id == last).values(exhibits=shown))


def _answered(run: int) -> Iterator[dict[str, object]]:
    for arm in (Arm.SUBJECT, Arm.BASE):
        for probe in range(PROBES):
            for replicate in range(ANSWERS):
                yield {
                    "run_id": run, "arm": arm.value, "probe": f"question-{probe:02}", "replicate": replicate,
                    "provider": "vllm", "asked_model": "model", "reason": None, "asked_at": NOW,
                    "text": _said(probe, run * 100 + replicate * 2 + (arm is Arm.BASE)),
                }  # fmt: skip


def _said(probe: int, time: int) -> str:
    """A text of ``WORDS`` words, of which three in ten are others the next time that the same is asked; words are as
    frequent as in English."""
    usual, now = np.random.default_rng(probe), np.random.default_rng((probe, time))
    ranks = np.where(now.random(WORDS) < 0.3, _ranks(now), _ranks(usual))
    return " ".join(f"{'et' if rank < 9 else 'word'}{rank}{'.' if rank % 14 == 0 else ''}" for rank in ranks)


def _ranks(rng: np.random.Generator) -> Any:
    return np.minimum(rng.zipf(1.25, WORDS), 20_000)


def _run(number: int, target: str, suite: str, day: int) -> dict[str, object]:
    slot = NOW.replace(hour=0) - timedelta(days=day)
    return {
        "id": number, "target": target, "suite": suite, "slot": slot, "status": "done", "outcome": "measured",
        "attempt": 1, "fence": 1, "starts_at": slot, "next_at": slot, "seed": day, "suite_digest": fleets.DIGEST,
        "scheduled": True, "finished_at": slot + timedelta(hours=11), "confirms": None, "lease_until": None,
    }  # fmt: skip


def _copies(top: int) -> Executable:
    """Every newest finding once more for each earlier run of its stream, older and with a lower number."""
    found, run, newest = tables.finding, tables.run, tables.latest_finding
    changed = {
        "id": found.c.id - run.c.seed * literal(1_000_000), "run_id": run.c.id, "found_at": run.c.finished_at,
        "window_start": run.c.slot, "window_end": run.c.slot, "alarming": literal(False),
        "evidence_log10": found.c.evidence_log10 * 0 - run.c.seed / 40.0,
        "effect": found.c.effect + run.c.seed / 400.0,
        "exhibits": bindparam("before", OLD_EXHIBITS, found.c.exhibits.type),
    }  # fmt: skip
    columns = [column.name for column in found.columns]
    chosen = select(*(changed.get(name, found.c[name]).label(name) for name in columns))
    chosen = chosen.join(newest, newest.c.finding_id == found.c.id)
    chosen = chosen.join(run, (run.c.target == found.c.target) & (run.c.suite == found.c.suite)).where(run.c.id > top)
    return found.insert().from_select(columns, chosen)


async def serve(url: str, targets: int) -> None:
    """The daemon's HTTP side over the store, until standard input ends."""
    from monitor.report.metrics import Internals
    from monitor.report.web import create_app
    from monitor.report.web.server import Server

    store, fleet = open_store(url), fleets.settings(targets)

    async def reload() -> str | None:
        return None

    health = {"ok": True, "last_tick_age_seconds": 1.0}
    server = Server(create_app(store, lambda: fleet, Internals(), lambda: health, reload, lambda: NOW), "127.0.0.1", 0)
    print(await server.start(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()
    store.close()


@contextmanager
def served(url: str, targets: int) -> Iterator[http.client.HTTPConnection]:
    command = [sys.executable, "-m", "benchmarks.pages", "--serve", url, "--targets", str(targets)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with closing(http.client.HTTPConnection("127.0.0.1", int(process.stdout.readline()), timeout=60)) as site:
            yield site
        assert process.stdin is not None
        process.stdin.close()


def fetch(site: http.client.HTTPConnection, path: str) -> tuple[float, int]:
    """Seconds to the last byte, and how many bytes; as a browser asks, with gzip."""
    started = time.perf_counter()
    site.request("GET", path, headers={"Accept-Encoding": "gzip"})
    reply = site.getresponse()
    body = reply.read()
    assert reply.status == 200, (path, reply.status, body[:300])
    return time.perf_counter() - started, len(body)


def measured(
    site: http.client.HTTPConnection, targets: int, last: Sequence[Run], rounds: int, only: str
) -> Iterator[Row]:
    """Every row: the first request of the process, then each page ``rounds`` times."""
    yield Row(targets, "fleet page", "first of a process", fetch(site, "/")[0], None)
    names = [fleets.name_of(number) for number in np.random.default_rng(1).integers(0, targets, rounds)]
    runs = [last[number] for number in np.random.default_rng(2).integers(0, len(last), rounds)]
    pages = {
        "fleet page": ["/"] * rounds,
        "fleet page, last of the list": [f"/?page={-(-targets // 100)}"] * rounds,
        "fleet page, by name": [f"/?q={name[-3:]}" for name in names],
        "fleet page, by state": ["/?state=page"] * rounds,
        "fleet JSON": ["/api/v1/targets"] * rounds,
        "target page": [f"/targets/{name}" for name in names],
        "target JSON": [f"/api/v1/targets/{name}" for name in names],
        "finding page": [f"/findings/{run.id}/adapter_loss" for run in runs],
        "finding page, all answers": [f"/findings/{run.id}/length?show=all" for run in runs],
        "findings": ["/findings"] * rounds,
        "alarming findings": ["/findings?alarming=true"] * rounds,
        "run page": [f"/runs/{run.id}" for run in runs],
    } | _wordy(rounds)
    for page, paths in pages.items():
        if only not in page:
            continue
        fetch(site, paths[0])
        found = [fetch(site, path) for path in paths]
        times, size = [seconds for seconds, _ in found], max(size for _, size in found)
        yield Row(targets, page, "p50 seconds", float(np.quantile(times, 0.5)), None)
        yield Row(targets, page, "p95 seconds", float(np.quantile(times, 0.95)), LIMIT)
        yield Row(targets, page, "kB, gzip", size / 1e3, None)


def _wordy(rounds: int) -> dict[str, list[str]]:
    """The pages that show answers, where those are 200 words long."""
    suites = [place % WORDY for place in range(rounds)]
    found = [f"/findings/{fleets.RUNS * (suite + 1)}/length" for suite in suites]
    return {
        "finding page, long answers": found,
        "finding page, all long answers": [f"{one}?show=all" for one in found],
        "finding page, all long answers by probe": [f"{one}?show=all&sort=probe" for one in found],
        "run page, long answers": [f"/runs/{fleets.RUNS * (suite + 1)}" for suite in suites],
        "baseline page, long answers": [f"/baselines/{suite + 1}" for suite in suites],
    }


def table(rows: Sequence[Row]) -> Table:
    made = Table()
    for column in ("targets", "page", "measure", "value", "limit", "ratio"):
        made.add_column(column)
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:g}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        made.add_row(f"{row.targets:,}", row.page, row.measure, f"{row.value:.3g}", limit, ratio)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=40, help="requests for each figure")
    parser.add_argument("--only", default="", help="only pages with this text in their name")
    parser.add_argument("--store", help="an empty store's URL; a new SQLite file when left out")
    parser.add_argument("--keep", action="store_true", help="the store is filled already")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.serve, args.targets))
        return
    with tempfile.TemporaryDirectory() as folder:
        url = args.store or f"sqlite:///{Path(folder)}/fleet.db"
        store = open_store(url)
        if not args.keep:
            fill(store, fleets.settings(args.targets))
        last = [store.get_run(stream.last_run_id) for stream in store.streams() if stream.last_run_id]
        store.close()
        with served(url, args.targets) as site:
            rows = list(measured(site, args.targets, last, args.rounds, args.only))
    if args.json:
        print(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=2))
    else:
        Console(width=120).print(table(rows))


if __name__ == "__main__":
    main()
