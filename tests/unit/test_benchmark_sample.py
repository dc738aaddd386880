"""The benchmark of samples out of files: each reader draws its sample of the same records, and gives the rows."""

from pathlib import Path

from benchmarks.sample import FORMATS, run


def test_rows_of_each_format(tmp_path: Path) -> None:
    rows = run(1_000, 1, 1, tmp_path)
    measures = ["ratio", "cpu_ratio", "mib", "records_per_second", "records_per_second"]
    assert [(row.case, row.measure) for row in rows] == [(kind, measure) for kind in FORMATS for measure in measures]
    assert all(0 < row.low <= row.value <= row.high for row in rows)
    lines = (tmp_path / "requests.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 1_000
    assert sum("@example.com" in line for line in lines) == 50
