"""What `make lint` finds, and that the signals' files and their catalogue agree."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MONITOR = ROOT / "monitor"


def style(root: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "check_style.py"
    return subprocess.run([sys.executable, script, root], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1\n" * 401, "monitor/a.py:1: file has 401 lines, more than 400"),
        ("\n\ndef f():\n" + "    x = 1\n" * 60, "monitor/a.py:3: f has 61 lines, more than 60"),
        (
            "".join(f"def f{n}():\n    x = 1\n\n" for n in range(8))
            + "".join(f"def g{n}():\n" + "    x = 1\n" * 18 for n in range(2)),
            "monitor:1: functions have 2 lines in the median and 19 at the 90th percentile, more than 6 and 18",
        ),
    ],
)
def test_the_style_check_finds_what_is_too_long(text: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor" / "a.py").write_text(text, encoding="utf-8")
    done = style(tmp_path)
    assert found in done.stdout.splitlines()
    assert done.returncode == 1


def test_the_style_check_leaves_out_docstrings_blank_lines_and_inner_functions(tmp_path: Path) -> None:
    (tmp_path / "monitor").mkdir()
    inner = "    def g():\n" + "        x = 1\n" * 4
    text = "def f():\n" + '    """Text.' + "\n    text\n" * 60 + '    """\n' + inner * 15 + "\n" * 100
    (tmp_path / "monitor" / "a.py").write_text(text, encoding="utf-8")
    done = style(tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("file", "text", "rule"),
    [
        ("monitor/detect/a.py", "import scipy.stats\n", "TID253"),
        ("monitor/cli/a.py", "from openai import OpenAI\n", "TID253"),
        ("monitor/detect/a.py", "from .b import c\n", "TID252"),
        ("tests/unit/a.py", "from unittest.mock import patch\n", "TID251"),
        ("monitor/detect/a.py", "def f(x):\n" + "".join(f"    if x == {n}: x += 1\n" for n in range(14)), "C901"),
    ],
)
def test_ruff_finds_what_the_house_forbids(file: str, text: str, rule: str) -> None:
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--output-format=concise",
        f"--stdin-filename={file}",
        "-",
    ]
    done = subprocess.run(ruff, input=text, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f": {rule} " in done.stdout


def test_signals_files_and_dict_agree() -> None:
    from monitor.detect import SIGNALS

    named = {
        path.stem
        for path in (MONITOR / "detect").glob("*.py")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "measure"
            for node in ast.parse(path.read_text(encoding="utf-8")).body
        )
    }
    assert named == set(SIGNALS)
