"""Names of rotated files: which plain name a file had before it was rotated, numbered, dated and compressed."""

import os
import re
from collections.abc import Iterator
from typing import Final

PACKED: Final = (".gz", ".bz2", ".xz", ".zip", ".zst", ".zstd", ".lz4", ".lzma", ".z", ".br", ".7z")
"""Extensions of compressed files. Whether a file can be read is known by its content."""

_NUMBERS: Final = r"\d{1,20}(?:[-_.:T,~]{1,2}\d{1,9}){0,8}(?:Z|[+-]\d{4})?"
_SUFFIX: Final = re.compile(rf"[.\-_~]{{1,2}}(?:{_NUMBERS}|old)")
"""``.1``, ``-20261122``, ``.2026-11-22``, ``.2026-11-22_14-00``, ``.20261122-140000``, ``.old``."""

_DATED: Final = (
    r"(?:(?:19|20)\d\d[-_.]?[01]\d(?:[-_.]?[0-3]\d)?|[01]\d[-_.][0-3]\d[-_.](?:19|20)\d\d"
    r"|[0-3]\d[-_.][01]\d[-_.](?:19|20)\d\d|\d{10,19})"
)
_INFIX: Final = re.compile(
    rf"(?P<stem>.*?)(?:[.\-_]{{1,2}}{_DATED}(?:[-_.:T]{{1,2}}\d{{1,9}}){{0,6}}Z?|\.\d{{1,4}})"
    r"(?P<ext>(?:\.[A-Za-z]\w{0,9}){1,2})"
)
"""``app.2026-11-30.jsonl``, ``app-2026-11-30-1.jsonl``, ``app-2026-11-30T14-00-00.000.log``, ``app.1.jsonl``.

A number after a hyphen (``worker-1.log``) may be another program's log, so it is no rotation.
"""

_TAI64: Final = re.compile(r"@[0-9a-f]{24}(?:\.[a-z])?")
"""Old files of svlogd, s6-log and multilog, whose newest is ``current``."""


def plain_names(name: str) -> Iterator[str]:
    """``name``, and the names that it may have had before each rotation and compression."""
    yield name
    if _TAI64.fullmatch(name):
        yield "current"
    open_names, seen = [name], {name}
    for _ in range(4):
        found = [one for known in open_names for one in _before(known) if one not in seen]
        if not found:
            return
        seen.update(found)
        yield from found
        open_names = found


def _before(name: str) -> Iterator[str]:
    root, extension = os.path.splitext(name)
    if extension.lower() in PACKED and root:
        yield root
        return
    for begin in _starts(name):
        if _SUFFIX.fullmatch(name, begin):
            yield name[:begin]
    if infix := _INFIX.fullmatch(name):
        yield infix["stem"] + infix["ext"]


def _starts(name: str) -> Iterator[int]:
    """Where a suffix of ``name`` may begin, not before its last 60 characters."""
    return (at for at in range(max(1, len(name) - 60), len(name)) if name[at] in ".-_~")


def stem(name: str) -> str:
    """The part of a plain name that its relatives share: the name without its extension."""
    return os.path.splitext(name)[0] or name


def shares(name: str, stems: frozenset[str]) -> bool:
    """Whether ``name`` begins with one of ``stems`` and goes on with a separator."""
    return any(name[:at] in stems for at in range(1, len(name)) if name[at] in ".-_~")
