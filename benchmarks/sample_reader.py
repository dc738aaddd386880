"""One reading of a file of logged requests, in a process of its own, for ``benchmarks.sample``.

    python -m benchmarks.sample_reader cliffwatch requests.jsonl

Prints its seconds, its CPU seconds of all threads, its largest memory and the number of rows as JSON. It imports
nothing else, which would count.
"""

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

START: Final = datetime(2026, 11, 1, tzinfo=UTC)
DAYS: Final = 28
SAMPLE: Final = 100
SINCE, UNTIL = START + timedelta(days=14), START + timedelta(days=21)


def ours(path: Path) -> int:
    """Draw our sample; the number of inputs."""
    from monitor.core.settings import Production
    from monitor.core.sources import JsonlSource, ParquetSource
    from monitor.sample import sample_production

    kind = path.suffix[1:]
    source: Any = {"jsonl": JsonlSource, "parquet": ParquetSource}[kind](kind=kind, path=str(path), time="at")
    production = Production(source=source, sample=SAMPLE, stratify="lang", rubric=None)
    return len(sample_production(production, 1, SINCE, UNTIL, UNTIL).inputs)


def duckdbs(path: Path) -> int:
    """Draw DuckDB's reservoir; the number of rows."""
    import duckdb

    read = {".jsonl": "read_json", ".parquet": "read_parquet"}[path.suffix]
    query = (
        f"""SELECT * FROM (SELECT "at", lang, messages FROM {read}(?) WHERE "at" >= ? AND "at" < ?) """
        f"USING SAMPLE reservoir({SAMPLE} ROWS)"
    )
    connection = duckdb.connect(config={"threads": 2})
    return len(connection.execute(query, [str(path), SINCE, UNTIL]).fetchall())


def peak_mib() -> float:
    """The largest memory of this process in MiB. ``ru_maxrss`` would count the memory of the parent before ``exec``."""
    found = (line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if line.startswith("VmHWM:"))
    return int(next(found).split()[1]) / 1024


def one(reader: str, path: Path) -> None:
    """Print the seconds, the CPU seconds, the largest memory and the number of rows of one reading as JSON."""
    began, began_cpu = time.perf_counter(), time.process_time()
    rows = {"cliffwatch": ours, "duckdb": duckdbs}[reader](path)
    seconds = time.perf_counter() - began
    cpu = time.process_time() - began_cpu
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "mib": peak_mib(), "rows": rows}))


if __name__ == "__main__":
    one(sys.argv[1], Path(sys.argv[2]))
