"""Reads request logs as a stream of JSON lines: the plain, rotated and compressed files of one path or glob.

A log may be written and rotated while it is read. If a file is renamed between listing and opening, it is found under
its new name, because the listing is repeated until it has nothing new. Files are identified by inode, so that none is
read twice. A last line without its newline is still being written, and is left for the next run.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason
from monitor.core.sources import JsonlSource, Source
from monitor.sample import listing
from monitor.sample.envelopes import Joiner, odd
from monitor.sample.left_out import LeftOutError
from monitor.sample.lines import MAX_LINE_BYTES, Line, lines
from monitor.sample.request_log import Logged, Tally, Window, logged

_LISTINGS: Final = 5


def read(
    source: JsonlSource, stratify: str | None, window: Window, tally: Tally, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[Logged]:
    """The requests in the files of ``source.path``, one at a time.

    Counts what it leaves out in ``tally``: lines, the rest of a damaged file, and files that it does not read.
    Raises CouldNotMeasure if no file exists, or if none can be read.
    """
    seen: set[tuple[int, int]] = set()
    unread = listing.Unread()
    for again in range(_LISTINGS):
        found = listing.files(source.path, unread)
        if again == 0 and not found:
            raise CouldNotMeasure(_none(source.path, unread))
        if tally.max_lines is not None:
            found = sorted(found, key=listing.written, reverse=True)
        before = len(seen)
        for path in found:
            yield from _requests(path, seen, unread, source, stratify, window, tally, max_line_bytes)
            if tally.max_lines is not None and tally.files:
                break  # the newest file that can be read
        if len(seen) == before or tally.max_lines is not None:
            break
    if not tally.files and (why := unread.why()):
        raise CouldNotMeasure(f"cannot read {why}")
    unread.tell(tally)


def _none(path: str, unread: listing.Unread) -> str:
    beside = unread.names()
    more = f"; not read, because their names differ: {', '.join(beside)}" if beside else ""
    return f"no file matches {path} (production source){more}"


def _requests(
    path: Path, seen: set[tuple[int, int]], unread: listing.Unread, source: Source, stratify: str | None,
    window: Window, tally: Tally, max_line_bytes: int,
) -> Iterator[Logged]:  # fmt: skip
    joiner = Joiner(max_line_bytes)
    tally.path = str(path)
    for line in lines(path, seen, unread, tally, max_line_bytes):
        if tally.max_lines is not None and line.number > tally.max_lines:
            break
        tally.line = line.number
        try:
            record = json.loads(line.data)
            plain = type(record) is dict and not ("log" in record and "stream" in record)
        except (ValueError, RecursionError):
            plain = False
        if plain:
            if (request := _logged(record, source, stratify, window, tally)) is not None:
                yield request
        else:
            for one in _unusual(line, joiner, tally):
                if (request := _logged(one, source, stratify, window, tally)) is not None:
                    yield request
    for _ in range(joiner.rest()):
        tally.leave(LeftOutReason.NOT_JSON, "the last part of a long line of a container is missing")


def _logged(
    record: dict[str, Any], source: Source, stratify: str | None, window: Window, tally: Tally
) -> Logged | None:
    try:
        request = logged(record, source, stratify, window, tally)
    except LeftOutError as error:
        tally.leave(error.reason, error.detail, text=error.text)
        return None
    except (ValueError, RecursionError):
        tally.leave(LeftOutReason.BAD_CONTENT, "a structure that cannot be read")
        return None
    if request is not None:
        tally.read += 1
    return request


def _unusual(line: Line, joiner: Joiner, tally: Tally) -> Iterator[dict[str, Any]]:
    """The records of a line that is no JSON object, or that a container engine wrote. Counts what is none."""
    try:
        for record in odd(line.data.decode()):
            if isinstance(record.get("log"), str) and "stream" in record:
                whole = joiner.whole(record)
                if whole is not None:
                    yield whole
            else:
                yield record
    except UnicodeDecodeError:
        tally.leave(LeftOutReason.NOT_JSON, "no text in UTF-8: the file is binary or in another encoding")
    except LeftOutError as error:
        tally.leave(error.reason, error.detail)
