"""Checks the number of lines of files and functions in ``monitor/``, which no linter does. Run by ``make lint``.

A function's blank lines, docstring and inner functions do not count. Prints one violation per line as
``file:line: message`` and exits 1 if there is any.
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
MAX_FILE: Final = 400
MAX_FUNCTION: Final = 60
MAX_MEDIAN: Final = 6
MAX_P90: Final = 18

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main(root: Path = ROOT) -> int:
    """Check ``root/monitor``. Returns the exit status."""
    found = list(violations(root / "monitor"))
    for text in found:
        print(text)
    return 1 if found else 0


def violations(package: Path) -> Iterator[str]:
    lengths: list[int] = []
    for path in sorted(package.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        shown, text = path.relative_to(package.parent), path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > MAX_FILE:
            yield f"{shown}:1: file has {lines} lines, more than {MAX_FILE}"
        for function, length in functions(ast.parse(text, str(path))):
            lengths.append(length)
            if length > MAX_FUNCTION:
                yield f"{shown}:{function.lineno}: {function.name} has {length} lines, more than {MAX_FUNCTION}"
    if len(lengths) > 1:
        median, p90 = statistics.median(lengths), statistics.quantiles(lengths, n=10, method="inclusive")[-1]
        if median > MAX_MEDIAN or p90 > MAX_P90:
            yield (
                f"{package.name}:1: functions have {median:g} lines in the median and {p90:g} at the 90th percentile, "
                f"more than {MAX_MEDIAN} and {MAX_P90}"
            )


def functions(tree: ast.Module) -> Iterator[tuple[Function, int]]:
    """Each function with its number of lines, including decorators."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            inside: list[ast.stmt] = [one for one in ast.walk(node) if one is not node and isinstance(one, Function)]
            if ast.get_docstring(node, clean=False) is not None:
                inside.append(node.body[0])
            yield node, len(lines_of(node).difference(*map(lines_of, inside)))


def lines_of(node: ast.stmt) -> set[int]:
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    return set(range(first, (node.end_lineno or node.lineno) + 1))


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
