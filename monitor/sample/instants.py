"""Reads the time of a logged request in any common form."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

_UNITS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""Larger than -> divisor: detects nano-, micro- and milliseconds by size; seconds reach 1e11 in the year 5138."""

_WRAPPED: Final = ("$date", "$numberLong", "seconds", "timestamp", "time", "value")
"""Keys under which MongoDB, Protocol Buffers and others keep a time."""

_COMPACT: Final = {8: "%Y%m%d", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f"}
"""Number of digits -> form of a date that is written as digits only; Unix time of our age has 10, 13, 16 or 19."""

_ZONE_NAME: Final = re.compile(r"\s*\(?\b(?:UTC|GMT|Z)\b\)?$")
_GO: Final = re.compile(r"(\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?) ([+-]\d\d:?\d\d)(?: [A-Z]{1,5})?(?: m=[+-][\d.]+)?$")
"""Go's ``2026-11-30 14:00:00.1 +0000 UTC m=+0.1``, and PostgreSQL's blank before the offset."""

_OTHER: Final = (
    "%d/%b/%Y:%H:%M:%S %z",  # Apache and nginx
    "%d/%b/%Y:%H:%M:%S",
    "%Y/%m/%d %H:%M:%S",  # Go's log, nginx's error log
    "%Y/%m/%d %H:%M:%S.%f",
    "%a %b %d %H:%M:%S %Y",  # ctime
    "%a %b %d %H:%M:%S %z %Y",
    "%d %b %Y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%b %d, %Y @ %H:%M:%S.%f",  # Kibana
    "%Y.%m.%d %H:%M:%S",
    "%Y-%m-%d %H-%M-%S",
)
"""Forms beside ISO 8601 and RFC 2822. Forms in which day and month could be exchanged are not read."""


def instant(value: Any) -> datetime:
    """A time as an aware datetime; UTC without an offset. Raises ValueError.

    Reads ISO 8601, Unix time in seconds to nanoseconds, RFC 2822, Apache's, Go's and ctime's forms, the objects of
    MongoDB and Protocol Buffers, and Jackson's lists.
    """
    try:
        if isinstance(value, str):
            return _from_text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _unix(float(value))
        if isinstance(value, Mapping):
            return _from_mapping(value)
        if isinstance(value, list):
            return _from_list(value)
    except (OverflowError, OSError) as error:
        raise ValueError(f"no time: {error}") from None
    raise ValueError("no time")


def _from_text(text: str) -> datetime:
    if text[4:5] == "-" and text[10:11] == "T":  # most times, and no number
        try:
            return _utc(datetime.fromisoformat(text))
        except ValueError:
            pass
    form = _COMPACT.get(len(text))
    if form is not None and text.isdecimal() and text[:2] in ("19", "20"):
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    seconds = _number(text)
    return _utc(_parsed(text.strip())) if seconds is None else _unix(seconds)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _unix(number: float) -> datetime:
    divisor = next((divisor for larger, divisor in _UNITS if abs(number) > larger), 1)
    return datetime.fromtimestamp(number / divisor, UTC)


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        if not text or len(text) > 80:
            raise
    text = text.strip("[]\"' ")
    plain = _GO.sub(r"\1\2", _ZONE_NAME.sub("", text)).replace(" +", "+") if "/" not in text else text
    for candidate in (plain, text):
        try:
            return datetime.fromisoformat(candidate)
        except ValueError:
            continue
    return _otherwise(text)


def _otherwise(text: str) -> datetime:
    if "," in text or text[-3:] in ("GMT", "UTC") or re.search(r"[+-]\d{4}$", text):
        try:
            return parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            pass
    bare = _ZONE_NAME.sub("", text)
    bare = re.sub(r"(:\d\d),(\d{1,6})\d*$", r"\1.\2", bare)
    for form in _OTHER:
        try:
            return datetime.strptime(bare, form)  # noqa: DTZ007 - ``_utc`` adds the zone
        except ValueError:
            continue
    raise ValueError("no time")


def _from_mapping(value: Mapping[str, Any]) -> datetime:
    if "nanos" in value or "nanoseconds" in value:
        seconds = instant(value.get("seconds"))
        nanos = value.get("nanos", value.get("nanoseconds"))
        return seconds.replace(microsecond=int(nanos) // 1000 % 10**6) if isinstance(nanos, int) else seconds
    for key in _WRAPPED:
        if key in value and not isinstance(value[key], list):
            return instant(value[key])
    raise ValueError("no time")


def _from_list(value: list[Any]) -> datetime:
    """Jackson's ``[2026, 11, 30, 14, 0, 0, 123000000]``; the last number is in nanoseconds."""
    if not 3 <= len(value) <= 7 or not all(type(one) is int for one in value) or not 1970 <= value[0] <= 9999:
        raise ValueError("no time")
    year, month, day, hour, minute, second, nanos = [*value, 0, 0, 0, 0][:7]
    return datetime(year, month, day, hour, minute, second, nanos // 1000 % 10**6, tzinfo=UTC)
