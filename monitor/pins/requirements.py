"""pip's requirements and constraints files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor.pins import values
from monitor.pins.records import Found, Text

_NAMES: Final = re.compile(r"(?:.*[-_.])?(?:requirements|constraints)(?:[-_.].*)?\.(?:txt|in)|requirements\.lock")


def matches(path: Path) -> bool:
    return _NAMES.fullmatch(path.name.lower()) is not None or (
        path.parent.name == "requirements" and path.suffix in (".txt", ".in")
    )


def read(file: Text) -> Iterator[Found]:
    for number, line in enumerate(file.text.split("\n"), 1):
        if advice := values.requirement(line.rstrip("\\ "), file.locked):
            yield number, advice
