"""Reads the rows of a window from a table or query, page by page, in the order of (time, key).

Each page continues after the last row of the one before, so a page costs the same at the end of a large table as at its
beginning, if (time, key) has an index.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Select, and_, bindparam, column, func, literal_column, or_, select
from sqlalchemy.types import NullType

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason
from monitor.core.redaction import redact
from monitor.core.sanitize import visible
from monitor.core.sources import Source
from monitor.sample import markers
from monitor.sample.database import PAGE_ROWS, Database, Row
from monitor.sample.instants import instant
from monitor.sample.left_out import LeftOutError, kind_of
from monitor.sample.lines import MAX_LINE_BYTES
from monitor.sample.request_log import Logged, Tally, Window, logged

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = (1, 10**3, 10**6, 10**9)
"""Unix time in seconds, milliseconds, microseconds and nanoseconds: units in a second."""

_YEARS_BACK: Final = timedelta(days=20 * 366)
_MOST_UNTIMED: Final = 1_000
"""Rows without a time that are counted."""

_MOST_NAMES: Final = 12
_KEY_CHARS: Final = 60
_TIMES: Final = "a timestamp, a date, Unix time, or ISO 8601 as text"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a source reads."""

    database: Database
    label: str
    """The table or query, for errors and places."""
    origin: FromClause
    columns: tuple[str, ...]
    time: str
    key: str
    where: Mapping[str, str] = field(default_factory=dict)
    """Columns of text with the values that the database filters by."""

    def select(self, columns: Sequence[ColumnElement[Any]], *conditions: ColumnElement[bool]) -> Select[Any]:
        return select(*columns).select_from(self.origin).where(*conditions)

    def wrong(self, text: str) -> CouldNotMeasure:
        return CouldNotMeasure(f"{self.label} of the {self.database.name} (production source): {text}")


def has_columns(rows: Rows, wanted: Mapping[str, str]) -> None:
    """Raise CouldNotMeasure if a column is missing. ``wanted``: key of the configuration -> a path into a column."""
    for key, path in wanted.items():
        parts = path.split(".")
        if not any(".".join(parts[:length]) in rows.columns for length in range(1, len(parts) + 1)):
            shown = ", ".join(rows.columns[:_MOST_NAMES])
            more = f" and {len(rows.columns) - _MOST_NAMES} more" if len(rows.columns) > _MOST_NAMES else ""
            raise rows.wrong(f"no column `{parts[0]}` ({key}); its columns are {shown}{more}")


def records(rows: Rows, window: Window, tally: Tally) -> Iterator[tuple[dict[str, Any], str]]:
    """The rows of the window as records, each with its place. The newest rows first if the tally bounds them.

    Counts rows without a time and rows that are too large. Raises CouldNotMeasure.
    """
    sample = _newest(rows)
    if sample is None or sample == "":
        _count_untimed(rows, sample, tally)
        return
    lower, upper = _bounds(rows, sample, window)
    at, key = _column(rows.time), _column(rows.key)
    newest_first = tally.max_lines is not None
    order = (at.desc(), key.desc()) if newest_first else (at.asc(), key.asc())
    inside = [at.is_not(None), *_between(at, lower, upper)]
    if rows.where and not newest_first:
        tally.filtered += _count_filtered(rows, inside)
    inside += [_column(name) == _bound(value) for name, value in rows.where.items()]
    chosen = [_column(name) for name in rows.columns]
    place: tuple[Any, Any] | None = None
    left = tally.max_lines
    while left is None or left > 0:
        after = () if place is None else (_after(at, key, place, newest_first),)
        most = PAGE_ROWS if left is None else min(PAGE_ROWS, left)
        page = rows.database.rows(rows.select(chosen, *inside, *after).order_by(*order).limit(most), _size)
        if not page:
            break
        left = None if left is None else left - len(page)
        for row in page:
            record = dict(zip(rows.columns, row, strict=True))
            place = _next_place(rows, record, place)
            where = f"{rows.label} {visible(redact(str(record[rows.key])), _KEY_CHARS)}"
            if _size(row) > MAX_LINE_BYTES:
                tally.leave(LeftOutReason.LINE_TOO_LONG, f"more than {MAX_LINE_BYTES:,} bytes", where)
            else:
                yield {name: _plain(value) for name, value in record.items()}, where
    _count_untimed(rows, sample, tally)


def requests(
    found: Iterator[tuple[dict[str, Any], str]], source: Source, stratify: str | None, window: Window, tally: Tally
) -> Iterator[Logged]:
    """The requests in records, counted in ``tally``."""
    entered = _entered(source, stratify)
    for record, place in found:
        try:
            request = logged(_opened(record, entered), source, stratify, window, tally)
        except LeftOutError as error:
            tally.leave(error.reason, error.detail, place, error.text)
        except (ValueError, RecursionError):
            tally.leave(LeftOutReason.BAD_CONTENT, "a structure that cannot be read", place)
        else:
            if request is not None:
                tally.read += 1
                yield request


def _entered(source: Source, stratify: str | None) -> frozenset[str]:
    """Columns that a dotted path leads into."""
    paths = (source.messages, source.prompt, stratify, *source.where)
    return frozenset(path.partition(".")[0] for path in paths if path and "." in path)


def _opened(record: dict[str, Any], entered: frozenset[str]) -> dict[str, Any]:
    """The record with the texts of the columns ``entered`` as what their JSON holds, which is parsed once."""
    for name in entered:
        value = record.get(name)
        if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
            continue
        try:
            record[name] = json.loads(value)
        except json.JSONDecodeError as error:
            if markers.ends_early(error, value):
                raise LeftOutError(LeftOutReason.CUT_SHORT, f"the text in `{name}` ends inside its JSON") from None
    return record


def _bound(value: Any) -> ColumnElement[Any]:
    """A parameter that goes to the driver as it is: a cast would not fit every type of a column."""
    return bindparam(None, value, type_=NullType(), unique=True)


def _column(name: str) -> ColumnElement[Any]:
    return column(name)


def _after(
    at: ColumnElement[Any], key: ColumnElement[Any], place: tuple[Any, Any], newest_first: bool
) -> ColumnElement[bool]:
    """Rows behind ``place``. The first condition alone is enough for an index, the others are exact."""
    time, last = _bound(place[0]), _bound(place[1])
    if newest_first:
        return and_(at <= time, or_(at < time, key < last))
    return and_(at >= time, or_(at > time, key > last))


def _next_place(rows: Rows, record: Mapping[str, Any], place: tuple[Any, Any] | None) -> tuple[Any, Any]:
    """The position of a row. Raises CouldNotMeasure if a page could not continue after it."""
    now = record[rows.time], record[rows.key]
    if now[1] is None or now == place:
        what = "is NULL in a row" if now[1] is None else "is the same in two rows of one time"
        raise rows.wrong(f"column `{rows.key}` (source.key) {what}; name a unique column, such as the primary key")
    return now


def _newest(rows: Rows) -> Any:
    """The newest time, which shows the column's type. ``None``: no row has one; empty: only texts that are none."""
    at = _column(rows.time)

    def first(*conditions: ColumnElement[bool]) -> Any:
        statement = rows.select([at], at.is_not(None), *conditions).order_by(at.desc()).limit(1)
        found = rows.database.rows(statement, _size)
        return found[0][0] if found else None

    value = first()
    if isinstance(value, bytes | str):
        return first(at < _bound("3")) or ""  # texts that are no dates come later
    if _is_number(value) and not _recent(float(value)):
        now, back = (datetime.now(UTC) - _EPOCH).total_seconds(), _YEARS_BACK.total_seconds()
        for unit in _UNITS:
            recent = first(at >= _bound((now - back) * unit), at <= _bound((now + 86_400) * unit))
            if recent is not None:
                return recent
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _recent(number: float) -> bool:
    try:
        return abs(instant(number) - datetime.now(UTC)) < _YEARS_BACK
    except ValueError:
        return False


def _bounds(rows: Rows, sample: Any, window: Window) -> tuple[Any, Any]:
    """The window in the type of the column; of texts and dates, a wider one. ``None`` is open."""
    as_type = _as_type(sample)
    if as_type is None:
        what = kind_of(sample) if isinstance(sample, str | int | float) else f"a {type(sample).__name__}"
        raise rows.wrong(f"column `{rows.time}` (source.time) contains {what}, not {_TIMES}; convert it in `query`")
    since, until = window.since, window.until
    return (None if since is None else as_type(since, False)), (None if until is None else as_type(until, True))


def _as_type(sample: Any) -> Any:
    """Function of (time, whether it is the end) that gives the time as the type of ``sample``; else ``None``."""
    if isinstance(sample, datetime):
        return (lambda at, end: at) if sample.tzinfo else (lambda at, end: at.astimezone(UTC).replace(tzinfo=None))
    if isinstance(sample, date):
        return lambda at, end: at.astimezone(UTC).date() + timedelta(days=end)
    if _is_number(sample):
        unit = next((unit for unit in reversed(_UNITS) if abs(float(sample)) > 1e11 * unit / 1000), 1)
        return lambda at, end: _unix(at, unit)
    if isinstance(sample, str) and _is_iso(sample):
        # Superset: an offset is up to a day; a blank sorts before `T`, the two common signs between date and time.
        apart = timedelta(0) if sample[19:].lstrip(".,0123456789") in ("", "Z", "+00:00", "+00") else timedelta(days=1)
        return lambda at, end: (at.astimezone(UTC) + (apart if end else -apart)).strftime(
            "%Y-%m-%dT%H:%M:%S~" if end else "%Y-%m-%d %H:%M:%S"
        )
    return None


def _unix(at: datetime, unit: int) -> int | float:
    microseconds = (at - _EPOCH) // timedelta(microseconds=1)
    whole, rest = divmod(microseconds * unit, 10**6)
    return whole if not rest else microseconds * unit / 10**6


def _is_iso(text: str) -> bool:
    try:
        return text[4] == text[7] == "-" and instant(text) is not None
    except (ValueError, IndexError):
        return False


def _between(at: ColumnElement[Any], lower: Any, upper: Any) -> list[ColumnElement[bool]]:
    above = [] if lower is None else [at >= _bound(lower)]
    return above + ([] if upper is None else [at < _bound(upper)])


def _count_filtered(rows: Rows, inside: Sequence[ColumnElement[bool]]) -> int:
    """Number of rows in the window that ``rows.where`` excludes."""
    others = [or_(_column(name).is_(None), _column(name) != _bound(value)) for name, value in rows.where.items()]
    statement = rows.select([func.count()], *inside, or_(*others))
    return int(rows.database.rows(statement, _size)[0][0])


def _count_untimed(rows: Rows, sample: Any, tally: Tally) -> None:
    """Count the rows whose time is NULL, and the texts that are no time: no window has them."""
    at = _column(rows.time)
    untimed: ColumnElement[bool] = at.is_(None)
    if isinstance(sample, str):
        untimed = or_(untimed, at >= _bound("3"), at < _bound("1"))
    inner = rows.select([literal_column("1").label("one")], untimed).limit(_MOST_UNTIMED).subquery("untimed")
    counted = rows.database.rows(select(func.count()).select_from(inner), _size)
    for _ in range(counted[0][0]):
        tally.leave(LeftOutReason.NO_TIME, f"no time in column `{rows.time}`", rows.label)


def _size(row: Row) -> int:
    """Bytes of a row, roughly."""
    return sum(map(_bytes, row))


def _bytes(value: Any) -> int:
    if isinstance(value, str | bytes | bytearray | memoryview):
        return len(value)
    return len(str(value)) if isinstance(value, list | Mapping) else 16


def _plain(value: Any) -> Any:
    """A value of a driver as JSON has it. Times without a zone are UTC."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date) else str(value)
