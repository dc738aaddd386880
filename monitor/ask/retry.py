"""When to retry: according to the provider's headers, else with full jitter. Pure; the asker sleeps."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Final

FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 30.0
"""Seconds; bounds of the exponential backoff before jitter."""

_DURATION: Final = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?"
                              r"(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")  # fmt: skip
_UNITS: Final = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_LIMIT_HEADER: Final = re.compile(r"(?:x-|anthropic-)ratelimit-(?:reset-(?P<a>[a-z-]+)|(?P<b>[a-z-]+)-reset)")


def backoff(failures: int, rng: Random) -> float:
    """Seconds before the next attempt after ``failures`` >= 1, drawn from 0 to an exponential bound.

    "Full jitter", which spreads retries best: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return rng.uniform(0.0, min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 16)))


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the provider asks to wait, >= 0; ``None`` if its headers do not contain them.

    Reads, in this order: ``retry-after-ms``, ``retry-after`` (seconds or an HTTP date), and the reset times of the
    exhausted limits (``x-ratelimit-*``: durations such as ``6m0s``; ``anthropic-ratelimit-*``: RFC 3339).
    """
    lowered = {name.lower(): value.strip() for name, value in headers.items()}
    milliseconds = _number(lowered.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    if "retry-after" in lowered:
        seconds = _number(lowered["retry-after"])
        if seconds is None:
            seconds = _until_http_date(lowered["retry-after"], now)
        if seconds is not None:
            return seconds
    return _resets(lowered, now)


def _resets(headers: Mapping[str, str], now: datetime) -> float | None:
    """The latest reset of the exhausted limits."""
    waits = []
    for name, value in headers.items():
        match = _LIMIT_HEADER.fullmatch(name)
        if match is None:
            continue
        which = match["a"] or match["b"]
        remaining = headers.get(name.replace(f"reset-{which}", f"remaining-{which}").replace("-reset", "-remaining"))
        # Azure sends -1 for a limit that it does not track; such a limit is not exhausted.
        if remaining == "0" and (seconds := _reset_seconds(value, now)) is not None:
            waits.append(seconds)
    return max(waits, default=None)


def _reset_seconds(value: str, now: datetime) -> float | None:
    number = _number(value)
    if number is not None:
        return number
    match = _DURATION.fullmatch(value) if value else None
    if match is not None:
        return sum(float(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part)
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return _until(at, now)


def _number(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", value) else None


def _until_http_date(value: str, now: datetime) -> float | None:
    try:
        return _until(parsedate_to_datetime(value), now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _until(at: datetime, now: datetime) -> float:
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
