"""Column types that mean the same on SQLite and on PostgreSQL, and the money unit."""

import json
import math
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, DateTime, Integer
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

NANO: Final = 1_000_000_000
"""Money is stored as whole nano-dollars: sums are exact, so rounding never exceeds a budget."""

UNLIMITED: Final = 1 << 62


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in UTC. SQLite drops the zone, so it is restored on reading. Naive datetimes are rejected."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime cannot be stored: {value!r}; times are aware and in UTC")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class BigId(TypeDecorator[int]):
    """A 64-bit key; SQLite only numbers rows by itself where the column is called INTEGER."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())


def to_nano(usd: float) -> int:
    """USD to nano-dollars, rounded up, so that a budget is never exceeded; the error is below a millionth of a cent."""
    return math.ceil(round(usd * NANO, 3))


def limit_to_nano(usd: float | None) -> int:
    """A limit in USD to nano-dollars, rounded down; ``None`` is unlimited."""
    return UNLIMITED if usd is None else math.floor(round(usd * NANO, 3))


def clean(text: str | None) -> str | None:
    """``text`` in a form that every database can store: without NUL and lone surrogates, which models sometimes
    send."""
    if text is None:
        return None
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def dump_json(value: object) -> str:
    """Compact JSON in ASCII. Values unknown to JSON become their ``str``, infinities and NaN too."""
    try:
        return _ENCODE(value)
    except ValueError:
        return _ENCODE(_finite(value))


def sqlite_time(at: datetime) -> str:
    """``at`` as ``UtcDateTime`` writes it on SQLite: text that sorts by time."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(value, key=str)
    return str(value)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), default=_plain, allow_nan=False).encode
