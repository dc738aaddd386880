"""Python projects: ``pyproject.toml``, ``Pipfile`` and ``setup.cfg``. A lock or constraints file pins their ranges."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.pins import values
from monitor.pins.records import Advice, Found, Text, UnreadableError


def matches(path: Path) -> bool:
    return path.name in ("pyproject.toml", "Pipfile", "setup.cfg")


def read(file: Text) -> Iterator[Found]:
    """Raises UnreadableError."""
    if file.path.name == "setup.cfg":
        yield from _lines(file)
        return
    try:
        data = tomllib.loads(file.text)
    except tomllib.TOMLDecodeError as error:
        raise UnreadableError(f"not valid TOML: {error}") from error
    for written, advice in _required(data, file.locked):
        yield _line(file.text, written), advice


def _required(data: dict[str, Any], locked: frozenset[str]) -> Iterator[tuple[str, Advice]]:
    """What is written, and the advice."""
    project = data.get("project", {})
    groups = [project.get("dependencies", []), *project.get("optional-dependencies", {}).values()]
    groups += data.get("dependency-groups", {}).values()
    for text in (one for group in groups for one in group if isinstance(one, str)):
        if advice := values.requirement(text, locked):
            yield text, advice
    poetry = data.get("tool", {}).get("poetry", {})
    tables = [poetry.get("dependencies", {}), data.get("packages", {})]
    tables += [group.get("dependencies", {}) for group in poetry.get("group", {}).values()]
    for name, spec in (pair for table in tables if isinstance(table, dict) for pair in table.items()):
        if values.normal(name) in values.LIBRARIES - locked and not _pinned(spec):
            yield name, values.library(values.normal(name), _shown(spec)) or _ranged(name)


def _pinned(spec: Any) -> bool:
    """Whether Poetry's or Pipenv's specification allows one version only."""
    if isinstance(spec, dict):
        return bool(spec.get("rev") or spec.get("path") or spec.get("url")) or _pinned(spec.get("version", ""))
    return isinstance(spec, str) and re.fullmatch(r"(?:===?\s*)?\d[\w.!+-]*", spec.strip()) is not None


def _shown(spec: Any) -> str:
    version = spec.get("version", "") if isinstance(spec, dict) else str(spec)
    return "" if version == "*" else str(version)


def _ranged(name: str) -> Advice:
    advice = values.library(values.normal(name), ">=0")
    assert advice is not None  # a range is never exact
    return advice


def _line(text: str, written: str) -> int:
    """The first line that has ``written`` as a string or as a key."""
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        if f'"{written}"' in line or f"'{written}'" in line or re.match(rf"{re.escape(written)}\s*=", bare):
            return number
    return 1


def _lines(file: Text) -> Iterator[Found]:
    """``install_requires`` of ``setup.cfg``: one requirement a line, indented."""
    for number, line in enumerate(file.text.split("\n"), 1):
        if (
            line[:1].isspace()
            and "=" not in line.partition("=")[0]
            and (advice := values.requirement(line, file.locked))
        ):
            yield number, advice
