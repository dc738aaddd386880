"""The rules of the house, read off the source: who may import whom, where variants are named, how long things grow."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MONITOR = ROOT / "monitor"
STAGES = ("sample", "ask", "judge", "detect", "identify", "store", "export", "notify", "web")
WIRING = (
    "app", "arming", "at_once", "calibration", "chores", "cli", "commands", "cycle", "deeds", "demo", "docs",
    "enrol", "house", "questions", "reading", "recompute", "report", "show", "snapshot", "runs", "status", "verdict",
)  # fmt: skip
"""The modules and packages that may import stages: they assemble, run, print or describe them."""
MAY_ASK = {
    "monitor.core.logs": "monitor.core.redaction",
    "monitor.config.checks": "monitor.ask.scripted",
    "monitor.config.targets": "monitor.ask.prices",
    "monitor.config.identity": "monitor.identify",
    "monitor.lab": "monitor.judge.prompt",
    "monitor.config.anchors": "monitor.judge.prompt",
    "monitor.report.explain.onset": "monitor.store",
    "monitor.report.explain.claim": "monitor.store",
    "monitor.report.metrics": "monitor.store",
    "monitor.report.email": "monitor.store",
    "monitor.report.web": "monitor.store",
}
"""Module or package -> the one module of a stage that it may import: what `check` says must be what the stage does,
the lab's judge is trained on, and anchors are asked with, the very prompt that the product sends, and reports are read
from the store."""
HEAVY = (
    "torch", "transformers", "peft", "sentence_transformers", "scipy", "openai", "anthropic", "matplotlib",
    "fastapi", "uvicorn",
)  # fmt: skip
MAY_BE_HEAVY = {
    "scipy": (),
    "openai": ("monitor.ask.openai", "monitor.ask.http"),
    "anthropic": ("monitor.ask.anthropic", "monitor.ask.http"),
    "fastapi": ("monitor.report.web.", "monitor.lab."),
    "uvicorn": ("monitor.report.web.", "monitor.lab."),
    "torch": ("monitor.lab.", "monitor.ask.local"),
    "transformers": ("monitor.lab.", "monitor.ask.local"),
    "peft": ("monitor.lab.", "monitor.ask.local"),
}
"""Package -> the modules that need it and are themselves imported only where they are used."""
LONGEST_FILE, LONGEST_FUNCTION, LONG_FUNCTION = 400, 60, 40


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


def at_import_time(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: all but the bodies of functions and of TYPE_CHECKING blocks."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_import_time(child)


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


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_what_imports_slowly_is_imported_where_it_is_used(path: Path) -> None:
    name = name_of(path)
    for found in imported(at_import_time(tree(path))):
        package = found.split(".")[0]
        if package in HEAVY:
            needed = MAY_BE_HEAVY.get(package, ())
            assert any(name.startswith(one) for one in needed), f"{name} imports {package} when it is itself imported"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_files_and_functions_stay_readable(path: Path) -> None:
    lines = sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{name_of(path)} has {lines} lines that are not blank, at most {LONGEST_FILE}"
    for name, length in functions(path):
        assert length <= LONGEST_FUNCTION, f"{name_of(path)}.{name} has {length} lines, at most {LONGEST_FUNCTION}"


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and lines of each function, its docstring and the functions inside it left out."""
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside: list[ast.AST] = [
                one
                for one in ast.walk(node)
                if one is not node and isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))
            ]
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                inside.append(first)
            left_out = {line for one in inside for line in lines_of(one)}
            yield node.name, len(lines_of(node) - left_out)


def lines_of(node: ast.AST) -> set[int]:
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])  # type: ignore[attr-defined]
    return set(range(first, node.end_lineno + 1))  # type: ignore[attr-defined]


def test_signals_files_and_dict_agree() -> None:
    from monitor.detect import SIGNALS

    named = {path.stem for path in (MONITOR / "detect").glob("*.py") if "measure" in dict(functions(path))}
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


def test_nothing_is_mocked() -> None:
    for folder in ("monitor", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for found in imported(ast.walk(tree(path))):
                assert not found.startswith(("unittest.mock", "mock.", "pytest_mock")), f"{path} imports {found}"


if __name__ == "__main__":
    long = sorted(((length, f"{name_of(path)}.{name}") for path in modules() for name, length in functions(path)))
    for length, name in reversed(long):
        if length > LONG_FUNCTION:
            print(f"{length:4} {name}")  # noqa: T201
