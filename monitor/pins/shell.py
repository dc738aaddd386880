"""Shell scripts, Makefiles and ``.env`` files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor.pins import commands, trees
from monitor.pins.records import Found, Text

_ASSIGNED: Final = re.compile(
    r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*[:?]?=\s*[\"']?(?:\$\{\w+:-)?([\w./:@-]+)\}?[\"']?\s*(?:#.*)?"
)


def matches(path: Path) -> bool:
    return (
        path.suffix in (".sh", ".bash", ".env")
        or path.name.startswith(".env")
        or path.name in ("Makefile", "justfile", "Procfile")
    )


def read(file: Text) -> Iterator[Found]:
    for start, line in trees.joined(file.text):
        assigned = _ASSIGNED.fullmatch(line)
        if assigned:
            if trees.is_model_key(assigned[1]) and (advice := trees.alias(assigned[1], assigned[2])):
                yield start + 1, advice
            continue
        for advice in commands.in_text(line.strip().lstrip("@-"), locked=file.locked):
            yield start + 1, advice
