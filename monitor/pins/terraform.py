"""Terraform: images, models and hub ids in ``.tf`` and ``.tfvars`` files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor.pins import trees, values
from monitor.pins.records import Found, Text
from monitor.pins.trees import Value

_ASSIGNED: Final = re.compile(r"\s*\"?([\w.-]+)\"?\s*[=:]\s*\"((?:[^\"\\]|\\.)*)\"\s*,?\s*")
_BLOCK: Final = re.compile(r"\s*(?:(\w+)(?:\s+\"([^\"]*)\")*\s*|\"?([\w.-]+)\"?\s*=\s*(?:\w+\()?)\{\s*")
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.S)


def matches(path: Path) -> bool:
    return path.suffix in (".tf", ".tfvars")


def read(file: Text) -> Iterator[Found]:
    text = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), file.text)
    for block in _blocks(text):
        yield from trees.found(block, file.locked)


def _blocks(text: str) -> Iterator[dict[str, Value]]:
    """The assignments of strings of each block, the file itself included."""
    stack: list[tuple[str, dict[str, Value]]] = [("", {})]
    for number, line in enumerate(text.split("\n"), 1):
        bare = re.sub(r"(?:^|\s)(?:#|//).*$", "", line)
        opened = _BLOCK.fullmatch(bare)
        if opened:
            stack.append(((opened[2] or "") if opened[1] == "variable" else "", {}))
            continue
        label, block = stack[-1]
        if (one := _ASSIGNED.fullmatch(bare)) and not values.UNKNOWN.search(one[2]):
            block[label if one[1] == "default" and label else one[1]] = Value(one[2], number)
        depth = bare.count("{") - bare.count("}") - 0
        if depth < 0 and len(stack) > 1:
            yield stack.pop()[1]
    yield from (block for _, block in reversed(stack))
