"""Dockerfiles: ``FROM``, ``RUN``, ``CMD``, ``ENTRYPOINT`` and ``ENV``."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor.pins import commands, trees, values
from monitor.pins.records import Found, Text

_NAMES: Final = re.compile(r"(?:.*\.)?(?:docker|container)file(?:\..*)?", re.I)
_FROM: Final = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+as\s+(\S+))?", re.I)
_STEP: Final = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.S)


def matches(path: Path) -> bool:
    return _NAMES.fullmatch(path.name) is not None and path.suffix not in (".md", ".txt")


def read(file: Text) -> Iterator[Found]:
    """An image of any name counts where the Dockerfile installs or starts something that decides what is served."""
    steps = list(_steps(file.text))
    decides = any(_loads(name, rest, file.path.parent) for _, name, rest in steps)
    defaults = dict(re.findall(r"(?mi)^\s*ARG\s+(\w+)=[\"']?([^\s\"']+)", file.text))
    stages: set[str] = set()
    for line, name, rest in steps:
        if name == "FROM" and (parts := _FROM.match(rest)):
            image = re.sub(r"\$\{?(\w+)\}?", lambda found: defaults.get(found[1], found[0]), parts[1])
            if image.lower() not in stages and (advice := values.image(image, decides=decides)):
                yield line, advice
            stages.add((parts[2] or "").lower())
        elif name == "RUN":
            yield from _run(line, rest, file.locked)
        elif name in ("CMD", "ENTRYPOINT"):
            yield from ((line, one) for one in commands.in_words(_words(rest), serving=decides, locked=file.locked))
        elif name in ("ENV", "ARG"):
            yield from _variables(line, rest)


def _steps(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, instruction and its argument, with continued lines kept apart by newlines."""
    start = 0
    parts: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("#") or (not parts and not line.strip()):
            parts += [""] if parts else []
            continue
        if not parts:
            start = number
        parts.append(line.rstrip().removesuffix("\\"))
        if not line.rstrip().endswith("\\"):
            if step := _STEP.fullmatch("\n".join(parts)):
                yield start, step[1].upper(), step[2]
            parts = []


def _loads(name: str, rest: str, folder: Path) -> bool:
    """Whether a step installs or starts something that decides what a model answers."""
    if name == "FROM":
        return values.serves(rest.split()[0] if rest.split() else "")
    if name not in ("RUN", "CMD", "ENTRYPOINT"):
        return False
    if commands.SERVERS.search(rest.replace('"', " ")) or any(
        re.search(rf"(?<![\w-]){re.escape(library)}(?![\w-])", rest) for library in values.LIBRARIES
    ):
        return True
    return any(_lists(folder / one) for one in re.findall(r"-r\s+(\S+)", rest))


def _lists(requirements: Path) -> bool:
    """Whether a requirements file next to the Dockerfile lists such a library."""
    try:
        lines = requirements.read_text(encoding="utf-8")[:100_000].split("\n")
    except (OSError, UnicodeDecodeError):
        return False
    return any(values.normal(re.split(r"[^\w.-]", line.strip())[0]) in values.LIBRARIES for line in lines)


def _run(line: int, rest: str, locked: frozenset[str]) -> Iterator[Found]:
    rows = rest.split("\n")
    for advice in commands.in_text(" ".join(rows), locked=locked):
        quoted = re.findall(r"'([^']+)'", advice.what)
        yield line + next((i for i, row in enumerate(rows) if any(one in row for one in quoted)), 0), advice


def _words(rest: str) -> list[str]:
    try:
        words = json.loads(rest)
    except ValueError:
        return rest.split()
    return [str(word) for word in words] if isinstance(words, list) else []


def _variables(line: int, rest: str) -> Iterator[Found]:
    for key, value in re.findall(r"(\w+)[= ][\"']?([^\s\"']+)", rest):
        if trees.is_model_key(key) and (advice := trees.alias(key, value)):
            yield line, advice
