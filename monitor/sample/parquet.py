"""Reads request logs in Parquet in batches of rows: only the needed columns, and only row groups inside the window."""

from collections.abc import Hashable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason, UnreadReason
from monitor.core.sources import ParquetSource
from monitor.sample import listing
from monitor.sample.columns import NoColumnError, needed
from monitor.sample.instants import instant
from monitor.sample.lines import Place, opened
from monitor.sample.request_log import Logged, Tally, Window
from monitor.sample.requests import Requests
from monitor.sample.sweep import swept

BATCH_BYTES: Final = 8 * 2**20
"""Bytes of the rows that are read at a time, by the mean size of a row."""

MOST_ROWS: Final = 4096
"""Rows that are read at a time."""


def read(source: ParquetSource, stratify: str | None, window: Window, tally: Tally) -> Iterator[Logged]:
    """The requests in the rows of the files of ``source.path``, one at a time.

    The window is checked before ``where``. Counts what it leaves out in ``tally``. Raises CouldNotMeasure if no file
    exists, if none can be read, or if pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401 - fails early, before a file is opened
    except ImportError:
        raise CouldNotMeasure("source kind parquet needs pyarrow: pip install 'cliffwatch[files]'") from None
    requests = Requests(source, stratify, window, tally)

    def one_file(path: Place, seen: set[Hashable], unread: listing.Unread) -> Iterator[Logged]:
        for record in _File(path, source, stratify, window, tally).records(seen, unread):
            yield from requests.of(record)

    yield from swept(source, window, tally, one_file)


class _File:
    """One Parquet file."""

    def __init__(self, path: Place, source: ParquetSource, stratify: str | None, window: Window, tally: Tally) -> None:
        self._path, self._source, self._stratify = path, source, stratify
        self._window, self._tally = window, tally

    def records(self, seen: set[Hashable], unread: listing.Unread) -> Iterator[dict[str, Any]]:
        import pyarrow as pa
        from pyarrow import parquet

        self._tally.line = 0
        try:
            raw, identity = opened(self._path)
            with raw:
                if identity in seen:
                    return
                seen.add(identity)
                file = parquet.ParquetFile(raw, buffer_size=2**20)
                columns = needed(file.schema_arrow.names, self._source, self._stratify)
                self._tally.files += 1
                yield from self._rows(file, columns)
        except FileNotFoundError:
            return
        except NoColumnError as error:
            unread.add(UnreadReason.UNKNOWN_FORMAT, str(self._path), str(error))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            self._damaged(unread, error)
        except OSError as error:
            if error.errno is None:  # the error of pyarrow about the file's data
                self._damaged(unread, error)
            else:
                unread.add(UnreadReason.NO_ACCESS, str(self._path), error.strerror or str(error))

    def _damaged(self, unread: listing.Unread, error: Exception) -> None:
        if self._tally.line == 0:
            unread.add(UnreadReason.UNKNOWN_FORMAT, str(self._path), "no complete Parquet file")
        else:
            place = f"{self._path}: damaged after row {self._tally.line}"
            self._tally.leave(LeftOutReason.DAMAGED, f"a damaged file ({type(error).__name__})", place)

    def _rows(self, file: Any, columns: list[str]) -> Iterator[dict[str, Any]]:
        row = 0
        time_column = self._time_column(file)
        for group in range(file.metadata.num_row_groups):
            about = file.metadata.row_group(group)
            left = self._by_statistics(about, time_column)
            if left is not None:
                self._tally.leave(left, place=f"{self._path}:{row + 1}", count=about.num_rows)
                row += about.num_rows
                continue
            size = max(1, about.total_byte_size // max(1, about.num_rows))
            rows = max(1, min(MOST_ROWS, BATCH_BYTES // size, self._tally.max_lines or MOST_ROWS))
            for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False):
                yield from self._inside(batch, row, time_column)
                row += batch.num_rows
                self._tally.line = row
                if self._tally.max_lines is not None and row >= self._tally.max_lines:
                    return

    def _time_column(self, file: Any) -> str | None:
        """The column of the time, if it holds timestamps, so that whole batches can be compared with the window."""
        import pyarrow as pa

        schema, name = file.schema_arrow, self._source.time
        if name is None and "time" not in self._source.model_fields_set and self._source.format is not None:
            from monitor.sample.formats import PRESETS

            name = next((one for one in PRESETS[self._source.format].time if one in schema.names), None)
        known = name is not None and name in schema.names and pa.types.is_timestamp(schema.field(name).type)
        return name if known else None

    def _by_statistics(self, group: Any, time_column: str | None) -> LeftOutReason | None:
        """Why all rows of a group are outside the window, if its statistics tell."""
        if time_column is None:
            return None
        columns = (group.column(at) for at in range(group.num_columns))
        column = next((one for one in columns if one.path_in_schema == time_column), None)
        about = column.statistics if column is not None else None
        if about is None or not about.has_min_max or not about.has_null_count or about.null_count:
            return None
        first, last = self._window.outside(_utc(about.min)), self._window.outside(_utc(about.max))
        return first if first is last else None

    def _inside(self, batch: Any, row: int, time_column: str | None) -> Iterator[dict[str, Any]]:
        """The rows of a batch; those outside the window are counted, and their other columns not read."""
        places: Any = range(batch.num_rows)
        if time_column is not None:
            places = self._in_window(batch, row, time_column)
            if len(places) < batch.num_rows:
                batch = batch.take(_indices(places))
        made = {name: _values(batch.column(name)) for name in batch.schema.names}
        names = list(made)
        for place, values in zip(places, zip(*made.values(), strict=True), strict=True):
            self._tally.line = row + place + 1
            yield dict(zip(names, values, strict=True))

    def _in_window(self, batch: Any, row: int, time_column: str) -> list[int]:
        from pyarrow import compute

        column = batch.column(time_column)
        nulls = column.is_null().to_pylist() if column.null_count else None
        bounds = compute.min_max(column)
        if nulls is None and bounds["min"].as_py() is not None:
            first, last = (self._window.outside(_utc(bounds[one].as_py())) for one in ("min", "max"))
            if first is last is not None:
                self._tally.leave(last, place=f"{self._path}:{row + 1}", count=batch.num_rows)
            if first is last:
                return list(range(batch.num_rows)) if last is None else []
        kept = []
        for place, at in enumerate(_microseconds(column)):
            left = None if nulls and nulls[place] else self._window.outside(datetime.fromtimestamp(at / 1e6, UTC))
            if left is None:
                kept.append(place)
            else:
                self._tally.leave(left, place=f"{self._path}:{row + place + 1}")
        return kept


def _microseconds(column: Any) -> list[int]:
    import pyarrow as pa

    unit = pa.timestamp("us", column.type.tz)
    return [at or 0 for at in column.cast(unit, safe=False).cast(pa.int64()).to_pylist()]


def _indices(places: list[int]) -> Any:
    import pyarrow as pa

    return pa.array(places, pa.int64())


def _values(column: Any) -> list[Any]:
    """The values of a column as JSON has them: texts, numbers, lists and dicts; times as ISO 8601."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _cut(_values(column.flatten()), column.value_lengths().to_pylist())
    if pa.types.is_struct(kind):
        return _objects([field.name for field in kind], column)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    found: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind):
        return found
    return [_plain(value) for value in found]


def _cut(inner: list[Any], lengths: list[int | None]) -> list[Any]:
    """The lists of the values ``inner``; ``None`` where there is none."""
    found: list[Any] = []
    at = 0
    for length in lengths:
        found.append(None if length is None else inner[at : at + length])
        at += length or 0
    return found


def _objects(names: list[str], column: Any) -> list[Any]:
    """The structures of a column as dicts without missing fields."""
    fields = [_values(field) for field in column.flatten()]
    if not any(field.null_count for field in column.flatten()):
        return [dict(zip(names, values, strict=True)) for values in zip(*fields, strict=True)]
    made = [
        {name: value for name, value in zip(names, values, strict=True) if value is not None}
        for values in zip(*fields, strict=True)
    ]
    if not column.null_count:
        return made
    return [one if valid else None for one, valid in zip(made, column.is_valid().to_pylist(), strict=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return float(value) if isinstance(value, Decimal) else value


def _utc(at: Any) -> datetime:
    """A time of pyarrow. Without a zone it is in UTC, as ``instant`` reads it."""
    return instant(at.isoformat())
