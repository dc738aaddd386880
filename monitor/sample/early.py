"""Tells from the bytes of a JSON line that its request is outside the window, without parsing the line.

Most lines of a log are older than the window. A line is only judged here if the time stands in it exactly once, as a
key of the outermost object; every other line is parsed.
"""

import json
import re
from collections.abc import Callable

from monitor.core.records import LeftOutReason
from monitor.core.sources import JsonlSource
from monitor.sample.instants import instant
from monitor.sample.request_log import Window

Early = Callable[[bytes], LeftOutReason | None]

_VALUE = re.compile(rb'\s{0,4}:\s{0,4}(?:"([0-9A-Za-z:.+ -]{8,40})"|([0-9]{9,19}(?:\.[0-9]{1,9})?))\s{0,4}[,}]')


def early(source: JsonlSource, window: Window) -> Early | None:
    """The test for one source; ``None`` if its lines must be parsed to know."""
    if source.time is None or source.where or source.format is not None or not source.time.isidentifier():
        return None
    if window.since is None and window.until is None:
        return None
    key = json.dumps(source.time).encode()

    def outside(line: bytes) -> LeftOutReason | None:
        if line[:1] != b"{" or line[-2:] != b"}\n":
            return None
        start = line.find(key)
        end = start + len(key)
        if start < 0 or line.find(key, end) >= 0 or line.find(b'"stream"') >= 0:
            return None
        value = _VALUE.match(line, end)
        if value is None or not _is_outermost(line, start, value.end() - 1):
            return None
        text = value[1]
        try:
            return window.outside(instant(float(value[2]) if text is None else text.decode()))
        except ValueError:
            return None

    return outside


def _is_outermost(line: bytes, start: int, end: int) -> bool:
    """Whether what stands from ``start`` to ``end`` is in the outermost object: nothing opens before it, or nothing
    closes after it."""
    if line.find(b"{", 1, start) < 0 and line.find(b"[", 1, start) < 0:
        return True
    last = len(line) - 2
    return line.find(b"}", end, last) < 0 and line.find(b"]", end, last) < 0
