"""Jupyter notebooks: their Python cells, and the installers that they run with ``!`` and ``%``."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.pins import commands, python
from monitor.pins.records import Found, Text, UnreadableError


def matches(path: Path) -> bool:
    return path.suffix == ".ipynb"


def read(file: Text) -> Iterator[Found]:
    """Lines are those of the notebook's file. Raises UnreadableError."""
    try:
        cells = json.loads(file.text)["cells"]
        sources = [_source(cell) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableError("not a valid notebook (nbformat 4)") from error
    places = list(_places(file.text, sources))
    code: list[str] = []
    for cell, numbers in zip(sources, places, strict=True):
        for line, number in zip(cell, numbers, strict=True):
            shell = line.lstrip().startswith(("!", "%"))
            if shell:
                for advice in commands.in_text(line.lstrip().lstrip("!%").strip(), locked=file.locked):
                    yield number, advice
            code.append((line[: len(line) - len(line.lstrip())] + "pass") if shell else line)
    lines = [number for numbers in places for number in numbers]
    for number, advice in python.found(_parsed("\n".join(code)), file):
        yield lines[number - 1], advice


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UnreadableError("a cell is not valid Python 3") from error


def _source(cell: dict[str, Any]) -> list[str]:
    """Lines of a cell. A cell of another language is empty."""
    source = cell["source"]
    whole = source if isinstance(source, str) else "".join(source)
    other = whole.startswith("%%") and not whole.startswith(("%%time", "%%capture"))
    return ["pass"] if other else whole.split("\n")


def _places(text: str, sources: list[list[str]]) -> Iterator[list[int]]:
    """The line in the file of each line of each cell: their texts follow each other there."""
    cursor = 0
    for cell in sources:
        numbers = []
        for line in cell:
            where = max(text.find(json.dumps(line, ensure_ascii=True)[1:-1], cursor), -1)
            if where < 0:
                where = text.find(json.dumps(line, ensure_ascii=False)[1:-1], cursor)
            cursor = cursor if where < 0 else where
            numbers.append(text.count("\n", 0, cursor) + 1)
        yield numbers
