"""Lists the files of a path or glob with their rotated forms, within bounds, and names relatives that are not read.

A folder is listed once for each step of the glob, by device and inode, so that links that form a circle end.
"""

import fnmatch
import glob
import os
import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from monitor.core.records import UnreadReason
from monitor.sample.rotation import plain_names, shares, stem
from monitor.sample.tally import MOST_NAMES, Tally

MAX_FILES: Final = 10_000
"""Files that one listing finds."""

MAX_ENTRIES: Final = 500_000
"""Names that one listing looks at."""

MAX_DEPTH: Final = 64
"""Folders below the path that ``**`` enters."""


class Entry(Protocol):
    """A name in a folder."""

    @property
    def name(self) -> str: ...
    def is_dir(self) -> bool: ...
    def is_file(self) -> bool: ...


class Folders(Protocol):
    """Where a listing looks: the local files, or a store of objects."""

    def identity(self, folder: str) -> Hashable | None:
        """Identity of a folder under all its names; ``None`` if it does not exist."""

    def entries(self, folder: str) -> Iterable[Entry]:
        """The names in a folder. Raises OSError."""


class LocalFolders:
    """The folders of this machine."""

    def identity(self, folder: str) -> Hashable | None:
        try:
            status = os.stat(folder)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        with os.scandir(folder) as listed:
            yield from listed


@dataclass(slots=True)
class Unread:
    """Files that are not read, by reason. A file counts once, however often the folder is listed."""

    _files: dict[str, tuple[UnreadReason, str]] = field(default_factory=dict)

    def add(self, reason: UnreadReason, path: Path | str, detail: str = "") -> None:
        self._files.setdefault(str(path), (reason, detail))

    def names(self) -> list[str]:
        """The first names, sorted."""
        return sorted(os.path.basename(one) for one in self._files)[:MOST_NAMES]

    def why(self) -> str:
        """Why the first unreadable file cannot be read; empty if none is unreadable."""
        wrong = (UnreadReason.NO_ACCESS, UnreadReason.UNKNOWN_FORMAT)
        return next((f"{path} (production source): {detail}" for path, (reason, detail) in sorted(self._files.items())
                     if reason in wrong), "")  # fmt: skip

    def tell(self, tally: Tally) -> None:
        for path, (reason, detail) in sorted(self._files.items()):
            tally.skip(reason, path, detail)


@dataclass(slots=True)
class _Walk:
    """One listing."""

    folders: Folders
    unread: Unread
    max_files: int
    max_entries: int
    max_depth: int
    entries: int = 0
    found: dict[str, Entry] = field(default_factory=dict)
    visited: set[tuple[int, Hashable]] = field(default_factory=set)

    @property
    def full(self) -> bool:
        return len(self.found) >= self.max_files or self.entries >= self.max_entries


def files(
    path: str, unread: Unread, max_files: int = MAX_FILES, max_entries: int = MAX_ENTRIES, max_depth: int = MAX_DEPTH
) -> list[Path]:
    """Sorted files of ``path`` (a file or a glob, also with ``**``), with their rotated and compressed forms.

    Adds to ``unread``: relatives with another name, folders without access, and limits that ended the listing.
    """
    pattern = os.path.expanduser(path)
    found = matching(pattern, LocalFolders(), unread, max_files, max_entries, max_depth)
    relative = not os.path.isabs(pattern) and not pattern.startswith("./")
    return [Path(one[2:] if relative and one.startswith("./") else one) for one in sorted(found)]


def matching(
    pattern: str, folders: Folders, unread: Unread, max_files: int = MAX_FILES, max_entries: int = MAX_ENTRIES,
    max_depth: int = MAX_DEPTH,
) -> dict[str, Entry]:  # fmt: skip
    """Path -> entry of each file that matches; otherwise as ``files``."""
    head, tail = _fixed(pattern)
    walk = _Walk(folders, unread, max_files, max_entries, max_depth)
    _step(walk, head or ".", tail, 0, 0)
    if walk.full:
        limit = f"{max_files:,} files" if len(walk.found) >= max_files else f"{max_entries:,} names"
        unread.add(UnreadReason.TOO_MANY_FILES, pattern, f"the listing ended after {limit}; narrow the glob")
    return walk.found


def written(path: Path) -> tuple[bool, float]:
    """Sorts files by whether they hold something, then by the time of the last change. A file that is gone is first."""
    try:
        status = path.stat()
    except OSError:
        return False, 0.0
    return status.st_size > 0, status.st_mtime


def _fixed(pattern: str) -> tuple[str, list[str]]:
    """The folder before the first part with a wildcard, and the parts from there on; at least the file's name."""
    parts = pattern.split("/")
    first = next((at for at, part in enumerate(parts[:-1]) if glob.has_magic(part)), len(parts) - 1)
    head = "/".join(parts[:first])
    if not head and pattern.startswith("/"):
        head = "/"
    return head, [part for part in parts[first:] if part]


def _step(walk: _Walk, folder: str, parts: list[str], place: int, depth: int) -> None:
    """List ``folder`` for ``parts[place:]``: folders for all parts but the last, files for the last."""
    identity = walk.folders.identity(folder)
    if identity is None or (place, identity) in walk.visited or walk.full:
        return
    walk.visited.add((place, identity))
    entries = _entries(walk, folder)
    part, last = parts[place], place == len(parts) - 1
    if last and part != "**":
        _take(walk, folder, entries, part)
        return
    if part == "**":
        _step_deep(walk, folder, entries, parts, place, depth)
        return
    for entry in entries:
        if _matches(entry.name, part) and _is_folder(entry):
            _step(walk, os.path.join(folder, entry.name), parts, place + 1, depth)


def _step_deep(walk: _Walk, folder: str, entries: list[Entry], parts: list[str], place: int, depth: int) -> None:
    """``**``: the folder itself, and every folder below that is not hidden."""
    if place == len(parts) - 1:
        _take(walk, folder, entries, "*")
    else:
        _step(walk, folder, parts, place + 1, depth)
    below = [entry for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
    if below and depth >= walk.max_depth:
        detail = f"folders more than {walk.max_depth} deep are not listed"
        walk.unread.add(UnreadReason.TOO_MANY_FILES, os.path.join(folder, below[0].name), detail)
        return
    for entry in below:
        _step(walk, os.path.join(folder, entry.name), parts, place, depth + 1)


def _entries(walk: _Walk, folder: str) -> list[Entry]:
    found = []
    try:
        for entry in walk.folders.entries(folder):
            walk.entries += 1
            if walk.entries > walk.max_entries:
                break
            found.append(entry)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        walk.unread.add(UnreadReason.NO_ACCESS, folder, error.strerror or str(error))
    return sorted(found, key=lambda entry: entry.name)


def _take(walk: _Walk, folder: str, entries: Iterable[Entry], pattern: str) -> None:
    """Take the files of a folder whose plain name matches ``pattern``; note the relatives of what was taken."""
    regular, others, stems = re.compile(fnmatch.translate(pattern)), [], set()
    for entry in entries:
        plain = next((one for one in _names(entry.name, pattern) if regular.fullmatch(one)), None)
        if not _is_file(entry):
            continue
        if plain is None:
            others.append(entry.name)
        elif len(walk.found) < walk.max_files:
            walk.found[os.path.join(folder, entry.name)] = entry
            stems.add(stem(plain))
    if not glob.has_magic(pattern):
        stems.add(stem(pattern))
    for name in others:
        if shares(name, frozenset(stems)):
            walk.unread.add(UnreadReason.ANOTHER_NAME, os.path.join(folder, name))


def _names(name: str, pattern: str) -> Iterator[str]:
    """The plain names of a file; none for a hidden file that the pattern does not name."""
    if name.startswith(".") and not pattern.startswith("."):
        return iter(())
    return plain_names(name)


def _matches(name: str, part: str) -> bool:
    if name.startswith(".") and not part.startswith("."):
        return False
    return fnmatch.fnmatchcase(name, part)


def _is_folder(entry: Entry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: Entry) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
