"""Reads request logs as a stream of JSON lines: plain, rotated and gzipped files of one path or glob.

A log may be written and rotated while it is read. If a file is renamed between listing and opening, it is found under
its new name, because the listing is repeated until it has nothing new. Files are identified by inode, so that none is
read twice. A last line without its newline is still being written, and is left for the next run.
"""

import fnmatch
import glob
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, cast

from monitor.core.errors import CouldNotMeasure
from monitor.core.sources import JsonlSource, Source
from monitor.sample.request_log import Logged, Tally, UnsupportedError, Window, logged

MAX_LINE_BYTES: Final = 8 * 2**20
"""Longer lines are skipped and counted as malformed, so that memory is bounded."""

_ROTATED: Final = re.compile(r"(?:[.-]\d{1,14}(?:[-T_.]?\d{1,6})?)?(?:\.gz)?")
"""Suffixes of rotated files: ``.1``, ``.2.gz``, ``-20261122``, ``.gz``."""

_LISTINGS: Final = 5


def files(path: str) -> list[Path]:
    """Sorted files of ``path`` (a file or a glob, also with ``**``), with their rotated and gzipped forms."""
    pattern = os.path.expanduser(path)
    found = set(glob.glob(pattern, recursive=True))
    literal = pattern if glob.has_magic(pattern) else glob.escape(pattern)
    plain = re.compile(fnmatch.translate(os.path.basename(pattern)))
    for name in glob.glob(literal + "[.-]*", recursive=True):
        base = os.path.basename(name)
        if any(plain.fullmatch(base[:cut]) and _ROTATED.fullmatch(base[cut:]) for cut in range(len(base))):
            found.add(name)
    return [Path(name) for name in sorted(found) if os.path.isfile(name)]


def read(
    source: JsonlSource, stratify: str | None, window: Window, tally: Tally, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[Logged]:
    """The requests in the files of ``source.path``, one at a time.

    Counts unreadable lines in ``tally`` and skips them, and so the rest of a damaged gzip file.
    Raises CouldNotMeasure if no file exists or one is not readable.
    """
    seen: set[tuple[int, int]] = set()
    for listing in range(_LISTINGS):
        found = files(source.path)
        if listing == 0 and not found:
            raise CouldNotMeasure(f"no file matches {source.path} (production source)")
        before = len(seen)
        for path in found:
            yield from _requests(path, seen, source, stratify, window, tally, max_line_bytes)
        if len(seen) == before:
            return


def _requests(
    path: Path,
    seen: set[tuple[int, int]],
    source: Source,
    stratify: str | None,
    window: Window,
    tally: Tally,
    max_line_bytes: int,
) -> Iterator[Logged]:
    for number, line in _lines(path, seen, tally, max_line_bytes):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("no object")
            request = logged(record, source, stratify, window, tally)
        except UnsupportedError:
            tally.read += 1
            tally.unsupported += 1
            continue
        except (ValueError, RecursionError):
            tally.spoilt(f"{path}:{number}")
            continue
        if request is not None:
            tally.read += 1
            yield request


def _lines(path: Path, seen: set[tuple[int, int]], tally: Tally, max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Numbered complete lines of a new file; nothing if it has been rotated away in the meantime."""
    number = 0
    try:
        with path.open("rb") as raw:
            status = os.fstat(raw.fileno())
            identity = (status.st_dev, status.st_ino)
            if identity in seen:
                return
            seen.add(identity)
            packed = raw.peek(2)[:2] == b"\x1f\x8b"  # by content, because rotated names do not always show it
            stream = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw
            for number, line in _split(stream, max_line_bytes):
                if line is None:
                    tally.spoilt(f"{path}:{number}")
                else:
                    yield number, line
    except FileNotFoundError:
        return
    except (EOFError, zlib.error, gzip.BadGzipFile):
        tally.spoilt(f"{path}: damaged after line {number}")
    except OSError as error:
        raise CouldNotMeasure(f"cannot read {path} (production source): {error.strerror or error}") from error


def _split(stream: IO[bytes], max_line_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """(number, line); ``None`` for a line that is too long. Blank lines are counted and skipped."""
    number = 0
    while line := stream.readline(max_line_bytes + 1):
        number += 1
        whole = line.endswith(b"\n")
        if not whole and len(line) > max_line_bytes:
            yield number, None
            while line and not line.endswith(b"\n"):
                line = stream.readline(max_line_bytes + 1)
            continue
        line = line.removeprefix(b"\xef\xbb\xbf").strip()
        if line and (whole or _complete(line)):
            yield number, line


def _complete(line: bytes) -> bool:
    """Whether a last line without newline is complete."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
