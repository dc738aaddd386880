"""Formats numbers, times and long lists for the pages; no HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any


def ago(then: datetime | None, now: datetime) -> str:
    """``3 h ago``; ``in 5 min`` for a time in the future."""
    if then is None:
        return "never"
    seconds = (now - then) / timedelta(seconds=1)
    size = abs(seconds)
    for unit, length, up_to in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 129_600), ("d", 86_400, float("inf"))):
        if size < up_to:
            words = f"{round(size / length)} {unit}"
            return f"{words} ago" if seconds >= 0 else f"in {words}"
    raise AssertionError("unreachable")


def number(value: float | None, digits: int = 3) -> str:
    """``value`` with at most ``digits`` significant digits and no trailing zeros."""
    if value is None or not isfinite(value):
        return "–"
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def measure(value: float, name: str) -> str:
    """A measure of a signal, formatted by its exported name: a share as percent, any other as a number."""
    if name.startswith("contract_changed_"):
        return "yes" if value else "no"
    if name.endswith("_ratio") and not name.endswith("_variance_ratio") and isfinite(value):
        return f"{max(0.0, value):.0%}"
    return number(value)


def usd(value: float) -> str:
    """``$0.42``; up to four decimals below a dollar."""
    return f"${value:,.2f}" if value >= 0.995 or not value else f"${value:.4f}".rstrip("0").ljust(5, "0")


@dataclass(frozen=True, slots=True)
class Turn:
    """One page of many."""

    page: int
    pages: int
    total: int
    first: int
    """Place of the first item shown, from 0."""
    last: int
    """Place after the last one."""


def turn(page: int, total: int, size: int) -> Turn:
    """The page ``page``, or the nearest that exists."""
    pages = max(1, -(-total // size))
    page = max(1, min(page, pages))
    return Turn(page, pages, total, (page - 1) * size, min(page * size, total))


def cut(items: Sequence[Any], where: Turn) -> Sequence[Any]:
    return items[where.first : where.last]
