"""Walks files and folders and collects what floats. Files are bounded in size and number; what is left out, counted."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from monitor.pins import locks
from monitor.pins.kinds import FileKind, kind_of
from monitor.pins.records import Floating, Scan, Text, Unread, UnreadableError

MAX_FILES: Final = 20_000
"""Files that one scan reads."""
MAX_BYTES: Final = 2_000_000
"""Size of one file."""
_FOLDERS: Final[dict[str, str]] = {
    **dict.fromkeys((".git", ".hg", ".svn"), "version control"),
    **dict.fromkeys((".venv", "venv", "env", ".tox", ".nox", "site-packages", ".conda"), "virtual environments"),
    **dict.fromkeys(("node_modules", "vendor", "third_party", "vendored", "_vendor", "external"), "vendored folders"),
    **dict.fromkeys(
        (
            "__pycache__",
            ".mypy_cache",
            ".ruff_cache",
            ".pytest_cache",
            ".terraform",
            "dist",
            "build",
            ".ipynb_checkpoints",
        ),
        "caches and builds",
    ),
    **dict.fromkeys(("tests", "test", "testdata", "fixtures", "cassettes"), "tests"),
    **dict.fromkeys(("docs", "doc"), "documentation"),
    **dict.fromkeys((".vscode", ".idea"), "editors' settings"),
}
_TOO_MANY: Final = "files beyond the limit"
_TEST_FILE: Final = re.compile(r"test_.*\.py|.*_test\.py|conftest\.py")


@dataclass
class _Walk:
    """State of one scan."""

    floating: list[Floating] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    seen: set[Path] = field(default_factory=set)
    files: int = 0


def scan(paths: Iterable[Path]) -> Scan:
    """Scan files and folders. A path that is given itself is read even if a walk would leave it out."""
    walk = _Walk()
    for given in paths:
        if given.is_dir():
            for path in _inside(given, walk):
                _file(path, given, walk)
        elif given.is_file():
            _file(given, given.parent, walk, given=True)
        else:
            walk.unread.append(Unread(str(given), "there is no such file or folder; check the path"))
    order = sorted(dict.fromkeys(walk.floating), key=lambda one: (one.file, one.line, one.advice.what))
    return Scan(tuple(order), tuple(walk.unread), walk.files, dict(sorted(walk.left_out.items())))


def _inside(root: Path, walk: _Walk) -> Iterator[Path]:
    """Files of a folder in a stable order. Symbolic links to folders are not followed."""

    def failed(error: OSError) -> None:
        walk.unread.append(Unread(str(error.filename), error.strerror or "cannot be opened"))

    for folder, names, files in os.walk(root, onerror=failed):
        for name in sorted(names):
            reason = _left_out(Path(folder, name))
            if reason:
                walk.left_out[reason] += 1
                names.remove(name)
        names.sort()
        yield from (Path(folder, name) for name in sorted(files))


def _left_out(folder: Path) -> str | None:
    """Why a folder is not entered; None if it is."""
    if (folder / "pyvenv.cfg").exists() or (folder / "conda-meta").exists():
        return "virtual environments"
    return _FOLDERS.get(folder.name)


def _file(path: Path, root: Path, walk: _Walk, *, given: bool = False) -> None:
    kind = kind_of(path)
    if kind is None:
        if given:
            walk.unread.append(Unread(str(path), "this kind of file is not scanned; docs/pins.md lists the kinds"))
        return
    if not given and _TEST_FILE.fullmatch(path.name):
        walk.left_out["tests"] += 1
        return
    if path.resolve() in walk.seen:
        return
    walk.seen.add(path.resolve())
    if walk.files >= MAX_FILES:
        if not walk.left_out[_TOO_MANY]:
            walk.unread.append(Unread(str(root), f"has more than {MAX_FILES:,} files; scan its folders one by one"))
        walk.left_out[_TOO_MANY] += 1
        return
    walk.files += 1
    _read(path, root, kind, walk)


def _read(path: Path, root: Path, kind: FileKind, walk: _Walk) -> None:
    try:
        text = Text(path, _text(path), locks.locked(path.absolute(), root.absolute()))
        found = list(kind.read(text))
    except UnreadableError as error:
        walk.unread.append(Unread(str(path), str(error)))
        return
    walk.floating += [Floating(str(path), line, advice) for line, advice in found]


def _text(path: Path) -> str:
    """Raises UnreadableError."""
    if not path.is_file():
        raise UnreadableError("is not a regular file")
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableError(error.strerror or "cannot be opened") from error
    if len(raw) > MAX_BYTES:
        raise UnreadableError(f"is larger than {MAX_BYTES // 1_000_000} MB; leave outputs out of notebooks")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UnreadableError("is not UTF-8 text") from error
