"""Reads request logs in CSV with a header: plain, rotated and compressed files, as a stream of rows."""

import csv
import json
from collections.abc import Hashable, Iterator, Sequence
from typing import IO, Any, Final

from monitor.core.records import LeftOutReason, UnreadReason
from monitor.core.sources import CsvSource
from monitor.sample import listing
from monitor.sample.columns import NoColumnError, needed
from monitor.sample.lines import MAX_LINE_BYTES, Place, reading
from monitor.sample.request_log import Logged, Tally, Window
from monitor.sample.requests import Requests
from monitor.sample.sweep import swept

_DELIMITERS: Final = (",", ";", "\t", "|")
_MISSING: Final = frozenset({"", "null", "NULL", "None", "\\N"})


def read(source: CsvSource, stratify: str | None, window: Window, tally: Tally) -> Iterator[Logged]:
    """The requests in the rows of the files of ``source.path``, one at a time.

    A cell that holds a JSON object or list is read as what it holds. Counts what it leaves out in ``tally``.
    Raises CouldNotMeasure if no file exists, or if none can be read.
    """
    requests = Requests(source, stratify, window, tally)

    def one_file(path: Place, seen: set[Hashable], unread: listing.Unread) -> Iterator[Logged]:
        rows = _Rows(path, source, stratify, unread, tally)
        for record in reading(path, seen, unread, tally, rows.of, lambda: tally.line):
            yield from requests.of(record)

    yield from swept(source, window, tally, one_file)


class _Rows:
    """The rows of one file as records of the columns that the source needs."""

    def __init__(
        self, path: Place, source: CsvSource, stratify: str | None, unread: listing.Unread, tally: Tally
    ) -> None:
        self._path, self._source, self._stratify, self._unread, self._tally = path, source, stratify, unread, tally
        csv.field_size_limit(MAX_LINE_BYTES)

    def of(self, stream: IO[bytes]) -> Iterator[dict[str, Any]]:
        text = self._lines(stream)
        head = next(text, "")
        delimiter = max(_DELIMITERS, key=head.count)
        header = next(csv.reader([head], delimiter=delimiter), [])
        try:
            wanted = needed(header, self._source, self._stratify)
        except NoColumnError as error:
            self._tally.files -= 1
            self._unread.add(UnreadReason.UNKNOWN_FORMAT, str(self._path), str(error))
            return
        places = [(place, name) for place, name in enumerate(header) if name in wanted]
        rows = csv.reader(text, delimiter=delimiter)
        first = self._tally.line
        while (row := self._next(rows, first)) is not None:
            if row and len(row) != len(header):
                detail = f"a row of {len(row)} columns under a header of {len(header)}"
                self._tally.leave(LeftOutReason.NOT_A_ROW, detail)
            elif row:
                yield self._record(row, places)
            if self._tally.max_lines is not None and self._tally.line - first >= self._tally.max_lines:
                return

    def _next(self, rows: Any, first: int) -> list[str] | None:
        """The next row, ``[]`` for a damaged or blank one; ``None`` at the end."""
        try:
            row: list[str] | None = next(rows, None)
        except csv.Error:
            row = []
            self._tally.leave(LeftOutReason.NOT_A_ROW, f"a cell of more than {MAX_LINE_BYTES:,} characters")
        return row

    def _lines(self, stream: IO[bytes]) -> Iterator[str]:
        """The lines as text. A longer line than the limit is passed over and counted."""
        number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            self._tally.line = number
            if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                self._tally.leave(LeftOutReason.LINE_TOO_LONG, f"more than {MAX_LINE_BYTES:,} bytes")
                while line and not line.endswith(b"\n"):
                    line = stream.readline(MAX_LINE_BYTES + 1)
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            yield line.decode("utf-8", "replace").replace("\0", "")

    def _record(self, row: Sequence[str], places: list[tuple[int, str]]) -> dict[str, Any]:
        found = ((name, row[place]) for place, name in places)
        return {
            name: cell if name == self._source.prompt else _value(cell) for name, cell in found if cell not in _MISSING
        }


def _value(cell: str) -> Any:
    """What a cell holds: an object or list if it is JSON of one, else its text."""
    if cell.lstrip()[:1] not in ("{", "["):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell
