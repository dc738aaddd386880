"""Shared by all benchmarks: rows with 95 % bounds, the table, the command line, work spread over a few processes.

``python -m benchmarks.rows FILE...`` prints the rows of JSON files as one table for the documents.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from monitor.detect.common import wilson

FloatArray = NDArray[np.float64]
T = TypeVar("T")
R = TypeVar("R")

PROCESSES: Final = 2
BOOTSTRAP: Final = 1_000
WIDTH: Final = 160
"""Characters of a table in a file or a pipe."""


@dataclass(frozen=True)
class Row:
    """One measured number with its 95 % bounds; ``n`` trials (or years, pairs) made it."""

    benchmark: str
    method: str
    case: str
    measure: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Bounded:
    """A value with its 95 % bounds."""

    value: float
    low: float
    high: float


def share(hits: int, trials: int) -> Bounded:
    """A share with Wilson's bounds."""
    return Bounded(hits / trials, *wilson(hits / trials, trials))


def poisson_rate(events: int, exposure: float) -> Bounded:
    """Events per unit of exposure with Garwood's exact bounds (F. Garwood, Biometrika 28, 1936): 2.5 % on either side,
    so the upper bound of no event in E is 3.69 / E."""
    from scipy.stats import chi2

    low = chi2.ppf(0.025, 2 * events) / 2 if events else 0.0
    return Bounded(events / exposure, float(low) / exposure, float(chi2.ppf(0.975, 2 * events + 2)) / 2 / exposure)


def clustered_rate(events: Sequence[float], exposure: float) -> Bounded:
    """Events per unit of exposure, counted in independent clusters of ``exposure`` each (a year on one baseline).

    Where one cluster can hold several events, they spread more than Poisson's: Garwood's interval, with the clusters'
    variance over their mean as the divisor of how much was seen (quasi-Poisson; never under 1).
    """
    counts = np.asarray(events, dtype=np.float64)
    total = float(counts.sum())
    spread = max(1.0, float(counts.var(ddof=1) / counts.mean())) if total > 0 and counts.size > 1 else 1.0
    from scipy.stats import chi2

    seen = total / spread
    low = float(chi2.ppf(0.025, 2 * seen)) / 2 if total else 0.0
    high = float(chi2.ppf(0.975, 2 * seen + 2)) / 2
    whole = exposure * counts.size
    return Bounded(total / whole, low * spread / whole, high * spread / whole)


def bootstrap(
    groups: Sequence[FloatArray], statistic: Callable[..., float], rng: np.random.Generator, draws: int = BOOTSTRAP
) -> Bounded:
    """``statistic(*groups)`` with percentile bounds over resampled trials, each group by itself."""
    found = [statistic(*(one[rng.integers(len(one), size=len(one))] for one in groups)) for _ in range(draws)]
    low, high = np.percentile(found, [2.5, 97.5])
    value = statistic(*groups)
    return Bounded(value, min(value, float(low)), max(value, float(high)))


def parser(doc: str | None, *, trials: int, what: str) -> argparse.ArgumentParser:
    """``--seed``, ``--trials`` and ``--json``, as every benchmark takes them."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seed", type=int, default=1, help="of every draw")
    made.add_argument("--trials", type=int, default=trials, help=what)
    made.add_argument("--json", action="store_true", help="print the rows as JSON")
    return made


def report(rows: Sequence[Row], *, as_json: bool) -> None:
    """The rows on stdout, as JSON or as a table."""
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = Table()
    for column in ("benchmark", "method", "case", "measure", "value", "95 % bounds", "n"):
        table.add_column(column)
    for row in rows:
        bounds = f"{row.low:.4g} to {row.high:.4g}"
        table.add_row(row.benchmark, row.method, row.case, row.measure, f"{row.value:.4g}", bounds, str(row.n))
    console = Console()
    Console(width=max(console.width, 0 if console.is_terminal else WIDTH)).print(table)


def spread_out(work: Callable[[T], R], items: Sequence[T], what: str, processes: int = PROCESSES) -> list[R]:
    """``[work(item) for item in items]``, over a few processes of one thread each, in order. ``work`` is a module's
    function and holds its own seed, so that the result does not depend on how the work was spread."""
    if processes < 2 or len(items) < 2:
        return [work(item) for item in _shown(items, what, len(items))]
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    with multiprocessing.get_context("spawn").Pool(processes) as workers:
        return list(_shown(workers.imap(work, items), what, len(items)))


def _shown(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    return track(items, what, total=total, console=Console(file=sys.stderr), transient=True)


def seed_of(*parts: object) -> int:
    """A seed that depends on everything named."""
    from zlib import crc32

    return crc32(":".join(map(str, parts)).encode())


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table for docs/benchmarks.md: a line a method and case, a column a measure."""
    measures = list(dict.fromkeys(row.measure for row in rows))
    lines = [f"| method | case | {' | '.join(measures)} |", "|---" * (2 + len(measures)) + "|"]
    for method, case in dict.fromkeys((row.method, row.case) for row in rows):
        found = {row.measure: row for row in rows if (row.method, row.case) == (method, case)}
        told = [f"{one.value:.3g} ({one.low:.3g} to {one.high:.3g})" if (one := found.get(m)) else "" for m in measures]
        lines.append(f"| {method} | {case} | {' | '.join(told)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown([Row(**row) for path in sys.argv[1:] for row in json.loads(Path(path).read_text("utf-8"))]))
