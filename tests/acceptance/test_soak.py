"""The soak of ``benchmarks/soak.py``, small: its figures are made, and its limits are held where they can be."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_small_soak() -> None:
    small = ["--runs", "24", "--targets", "2", "--day-seconds", "1", "--json"]
    command = [sys.executable, "-m", "benchmarks.soak", *small]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    figures = {row["case"]: row for row in json.loads(done.stdout)}
    assert set(figures) == {"growth", "log", "lag"}
    assert figures["lag"]["value"] == 0
    assert figures["log"]["value"] < 0.1
    assert all(row["n"] >= 24 for row in figures.values())
