"""Records per second and memory of a production sample out of files, beside DuckDB's reservoir on the same files.

    python -m benchmarks.sample --records 1000000 --json

Writes N logged requests of 28 days as JSON lines and as Parquet, and draws a sample of 100 of one of the four weeks.
DuckDB reads the same columns with the same window and keeps ``USING SAMPLE reservoir(100 ROWS)``, with two threads. It
neither redacts nor checks what it reads, and its sample is of requests; ours is of distinct redacted inputs, by
stratum. Each reader runs in a process of its own, in turn, ``--trials`` times; a trial is a pair. The measure ``ratio``
is our records per second over DuckDB's, ``cpu_ratio`` the same of CPU seconds, which other work on the machine changes
less, and ``mib`` the largest memory of our process.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.rows import FloatArray, Row, bootstrap, parser, report
from benchmarks.sample_reader import DAYS, SAMPLE, START

BENCHMARK: Final = "sample"
GROUP: Final = 100_000
"""Records of one row group and of one part that is written at a time."""

FORMATS: Final = ("jsonl", "parquet")
READERS: Final = ("cliffwatch", "duckdb")
_TEXT: Final = (
    "where is my order kettle the a refund please broken invoice deliver tomorrow red blue size large small change "
    "account reset how do I can you help with returning item that arrived late damaged box missing parts warranty"
)
WORDS: Final = tuple(_TEXT.split())
SYSTEM: Final = (
    "You are the support assistant of a shop. Answer briefly and politely, and never promise what you cannot keep."
)
PERSONAL_EVERY: Final = 20
"""One request in so many has an e-mail address and a phone number to redact."""


def records(count: int, seed: int) -> Iterator[list[dict[str, Any]]]:
    """``count`` requests in order of time, in parts."""
    rng = np.random.default_rng(seed)
    for begin in range(0, count, GROUP):
        size = min(GROUP, count - begin)
        asked, answered = rng.integers(len(WORDS), size=(size, 30)), rng.integers(len(WORDS), size=(size, 40))
        orders, langs = rng.integers(10**6, size=size), rng.integers(3, size=size)
        yield [
            _record(begin + n, count, asked[n], answered[n], int(orders[n]), ("de", "en", "fr")[langs[n]])
            for n in range(size)
        ]


def _record(number: int, count: int, asked: Any, answered: Any, order: int, lang: str) -> dict[str, Any]:
    text = " ".join([WORDS[word] for word in asked]) + f" order {order}?"
    if number % PERSONAL_EVERY == 0:
        text += f" Write to user{order}@example.com or call +49 30 {order:06}"
    return {
        "id": f"req-{number}",
        "at": START + timedelta(days=DAYS) * (number / count),
        "model": "shop-7b",
        "lang": lang,
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
        "response": " ".join([WORDS[word] for word in answered]),
        "usage": {"prompt_tokens": 50, "completion_tokens": 60},
    }


def write(folder: Path, count: int, seed: int) -> None:
    """The same requests in ``requests.jsonl`` and ``requests.parquet``."""
    import pyarrow as pa
    from pyarrow import parquet

    writer: Any = None
    with (folder / "requests.jsonl").open("w", encoding="utf-8") as lines:
        for part in records(count, seed):
            lines.writelines(json.dumps({**one, "at": one["at"].isoformat()}) + "\n" for one in part)
            table = pa.Table.from_pylist(part)
            writer = writer or parquet.ParquetWriter(folder / "requests.parquet", table.schema)
            writer.write_table(table)
    writer.close()


@dataclass(frozen=True)
class Reading:
    """One reading of a file."""

    seconds: float
    cpu_seconds: float
    """Of all threads."""
    mib: float
    """Largest memory of the process."""


def measured(reader: str, path: Path) -> Reading:
    """One reading in a new process."""
    command = [sys.executable, "-m", "benchmarks.sample_reader", reader, str(path)]
    made = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if made.pop("rows") != SAMPLE:
        raise SystemExit(f"{reader} did not draw {SAMPLE} rows of {path.name}: too few records")
    return Reading(**made)


def rows_of(kind: str, count: int, found: Mapping[str, Sequence[Reading]], seed: int) -> list[Row]:
    """The rows of one format. Bounds by resampling the trials."""
    rng = np.random.default_rng(seed)

    def values(reader: str, of: str) -> FloatArray:
        return np.asarray([getattr(one, of) for one in found[reader]])

    measures = [
        ("cliffwatch", "ratio", values("duckdb", "seconds") / values("cliffwatch", "seconds")),
        ("cliffwatch", "cpu_ratio", values("duckdb", "cpu_seconds") / values("cliffwatch", "cpu_seconds")),
        ("cliffwatch", "mib", values("cliffwatch", "mib")),
        *((reader, "records_per_second", count / values(reader, "seconds")) for reader in READERS),
    ]
    rows = []
    for method, measure, trials in measures:
        bounds = bootstrap([trials], lambda sample: float(np.mean(sample)), rng)
        rows.append(Row(BENCHMARK, method, kind, measure, bounds.value, bounds.low, bounds.high, len(trials)))
    return rows


def run(count: int, trials: int, seed: int, folder: Path) -> list[Row]:
    """Both formats, the readers in turn."""
    write(folder, count, seed)
    rows: list[Row] = []
    for kind in FORMATS:
        path = folder / f"requests.{kind}"
        pairs = [[measured(reader, path) for reader in READERS] for _ in range(trials)]
        rows += rows_of(kind, count, dict(zip(READERS, zip(*pairs, strict=True), strict=True)), seed)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser(__doc__, trials=3, what="readings of each file by each reader")
    made.add_argument("--records", type=int, default=10_000_000, help="logged requests; about 900 bytes each as JSON")
    options = made.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        report(run(options.records, options.trials, options.seed, Path(folder)), as_json=options.json)


if __name__ == "__main__":
    main()
