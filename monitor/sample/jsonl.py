"""Reads request logs as a stream of JSON lines: the plain, rotated and compressed files of one path or glob.

A last line without its newline is still being written, and is left for the next run.
"""

import json
from collections.abc import Hashable, Iterator
from typing import Any

import orjson

from monitor.core.records import LeftOutReason
from monitor.core.sources import JsonlSource
from monitor.sample import listing
from monitor.sample.early import Early, early
from monitor.sample.envelopes import Joiner, odd
from monitor.sample.left_out import LeftOutError
from monitor.sample.lines import MAX_LINE_BYTES, Line, Place, lines
from monitor.sample.request_log import Logged, Tally, Window
from monitor.sample.requests import Requests
from monitor.sample.sweep import swept


def read(
    source: JsonlSource, stratify: str | None, window: Window, tally: Tally, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[Logged]:
    """The requests in the files of ``source.path``, one at a time.

    Counts what it leaves out in ``tally``: lines, the rest of a damaged file, and files that it does not read.
    Raises CouldNotMeasure if no file exists, or if none can be read.
    """
    requests = Requests(source, stratify, window, tally)
    outside = early(source, window)

    def one_file(path: Place, seen: set[Hashable], unread: listing.Unread) -> Iterator[Logged]:
        for record in _records(path, seen, unread, tally, max_line_bytes, outside):
            yield from requests.of(record)

    yield from swept(source, window, tally, one_file)


def _records(
    path: Place, seen: set[Hashable], unread: listing.Unread, tally: Tally, max_line_bytes: int, outside: Early | None
) -> Iterator[dict[str, Any]]:
    joiner = Joiner(max_line_bytes)
    for line in lines(path, seen, unread, tally, max_line_bytes, early=outside):
        if tally.max_lines is not None and line.number > tally.max_lines:
            break
        tally.line = line.number
        try:
            record = loads(line.data)
            plain = type(record) is dict and not ("log" in record and "stream" in record)
        except (ValueError, RecursionError):
            plain = False
        if plain:
            yield record
        else:
            yield from _unusual(line, joiner, tally)
    for _ in range(joiner.rest()):
        tally.leave(LeftOutReason.NOT_JSON, "the last part of a long line of a container is missing")


def loads(data: bytes) -> Any:
    """JSON as ``json`` reads it, but faster for what ``orjson`` accepts. Raises ValueError, RecursionError."""
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(data)


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
