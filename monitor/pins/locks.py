"""Libraries that a lock or constraints file pins, so that a range elsewhere does not float."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from monitor.pins import values

MAX_LOCK_BYTES: Final = 20_000_000
_LOCKS: Final = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pixi.lock", "conda-lock.yml", "pylock.toml")
_LISTS: Final = ("requirements*.txt", "constraints*.txt", "requirements*.lock", "requirements/*.txt")


def locked(path: Path, root: Path) -> frozenset[str]:
    """Libraries pinned for a file: by locks in its folder or a parent up to ``root``."""
    found: set[str] = set()
    for folder in path.parents:
        found |= _in_folder(folder, path if path.suffix == ".txt" else None)
        if folder == root:
            break
    return frozenset(found)


@lru_cache(maxsize=10_000)
def _in_folder(folder: Path, own: Path | None) -> frozenset[str]:
    """``own``: a requirements file, which only constraints and locks pin."""
    patterns = _LISTS if own is None else ("constraints*.txt", "requirements*.lock")
    found: set[str] = set()
    for name in _LOCKS if own is None else ():
        text = _text(folder / name)
        found |= {
            one for one in values.LIBRARIES if re.search(rf"[\"']?\b{re.escape(one)}\b[\"']?\s*(?:$|[:=\n/])", text)
        }
    for path in (one for pattern in patterns for one in sorted(folder.glob(pattern))[:20] if one != own):
        for line in _text(path).split("\n"):
            name, mark, version = line.partition("==")
            if mark and "*" not in version:
                found.add(values.normal(name.partition("[")[0].strip()))
    return frozenset(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_LOCK_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return ""
