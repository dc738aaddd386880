"""The rules of the house, read off the source: who imports whom, where variants are named, what `make lint` finds."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MONITOR = ROOT / "monitor"
STAGES = ("sample", "ask", "judge", "detect", "identify", "store", "export", "notify", "web")
WIRING = (
    "app", "arming", "at_once", "calibration", "chores", "cli", "commands", "cycle", "deeds", "demo", "docs",
    "enrol", "house", "questions", "reading", "recompute", "show", "snapshot", "status", "verdict",
)  # fmt: skip
"""The modules and packages that may import stages: they assemble, run, print or describe them."""
MAY_ASK = {
    "monitor.core.logs": "monitor.core.redaction",
    "monitor.config.checks": "monitor.ask.scripted",
    "monitor.config.targets": "monitor.ask.prices",
    "monitor.config.identity": "monitor.identify",
    "monitor.lab": "monitor.judge.prompt",
    "monitor.config.anchors": "monitor.judge.prompt",
}
"""Module or package -> the one module of a stage that it may import: what `check` says must be what the stage does, and
the lab's judge is trained on, and anchors are asked with, the very prompt that the product sends."""


def modules() -> list[Path]:
    return sorted(path for path in MONITOR.rglob("*.py") if "migrations" not in path.parts)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Dotted names that import statements reach, ``from a import b`` as ``a.b``."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def stage_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "monitor" and parts[1] in STAGES else None


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_stages_import_records_and_never_each_other(path: Path) -> None:
    name = name_of(path)
    own = stage_of(name)
    if name.partition(".")[2].partition(".")[0] in WIRING:
        return
    granted = next((module for user, module in MAY_ASK.items() if f"{name}.".startswith(f"{user}.")), "nothing")
    for found in imported(ast.walk(tree(path))):
        if stage_of(found) not in (None, own):
            assert found.startswith(granted), f"{name} imports {found}: only {', '.join(WIRING)} wire stages"


# --- what `make lint` finds


def style(root: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "check_style.py"
    return subprocess.run([sys.executable, script, root], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1\n" * 401, "monitor/a.py:1: file has 401 lines that are not blank, more than 400"),
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
    text = "def f():\n" + '    """Text.' + "\n    text\n" * 60 + '    """\n' + inner * 15 + "\n" * 400
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
        if any(isinstance(node, ast.FunctionDef) and node.name == "measure" for node in tree(path).body)
    }
    assert named == set(SIGNALS)


def test_providers_files_and_dict_agree() -> None:
    from monitor.ask import PROVIDERS
    from monitor.core.settings import Provider

    named = {
        f"monitor.ask.{path.stem}:{node.name}"
        for path in (MONITOR / "ask").glob("*.py")
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Provider") and node.name != "Provider"
    }
    assert named == set(PROVIDERS.values())
    assert set(PROVIDERS) == set(Provider.model_json_schema()["properties"]["kind"]["enum"])


def test_sources_files_and_dict_agree() -> None:
    from monitor.sample import SOURCES

    named = {
        path.stem
        for path in (MONITOR / "sample").glob("*.py")
        if any(isinstance(node, ast.FunctionDef) and node.name == "read" for node in tree(path).body)
    }
    assert named == set(SOURCES)
