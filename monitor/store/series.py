"""A signal's numbers, verdict by verdict, for the small charts of its history."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from math import nan
from typing import Any, Final

from sqlalchemy import bindparam, select

from monitor.core.records import Point
from monitor.store.base import Connected
from monitor.store.tables import finding

SeriesKey = tuple[str, str, str]
"""target, suite, signal."""

NUMBERS: Final = ("effect", "effect_low", "effect_high", "evidence_log10", "threshold_log10")
KEY: Final = (finding.c.target, finding.c.suite, finding.c.signal)


def to_point(row: Any) -> Point:
    """``row``: run_id, found_at, alarming and the last five columns ``NUMBERS``."""
    effect, low, high, evidence, line = (nan if number is None else number for number in row[-len(NUMBERS) :])
    return Point(row.run_id, row.found_at, effect, low, high, evidence, line, bool(row.alarming))


class SeriesReads(Connected):
    """The store's method over this query, for pages and mail."""

    def series(
        self, since: datetime, target: str | None = None, only: Collection[SeriesKey] | None = None
    ) -> dict[SeriesKey, list[Point]]:
        """(target, suite, signal) -> its verdicts reached since ``since``, oldest first, without their exhibits.

        One query; with ``only``, one per series. ``target``: only this target; ``only``: only these series. A series
        without a verdict in that time has no entry.
        """
        with self._database.read() as connection:
            # Read from the index ``ix_finding_series`` alone, which contains every requested column: rows are large.
            columns = (
                *KEY,
                finding.c.run_id,
                finding.c.found_at,
                finding.c.alarming,
                *(finding.c[name] for name in NUMBERS),
            )
            query = select(*columns).where(finding.c.found_at >= since).order_by(*KEY, finding.c.id)
            query = query if target is None else query.where(finding.c.target == target)
            if only is None:
                rows = list(connection.execute(query))
            else:
                # One look-up in the index each: SQLite reads the whole index for a list of rows of values.
                one = query.where(*(column == bindparam(f"key_{column.name}") for column in KEY))
                names = [f"key_{column.name}" for column in KEY]
                rows = [
                    row for key in sorted(only) for row in connection.execute(one, dict(zip(names, key, strict=True)))
                ]
            found: dict[SeriesKey, list[Point]] = defaultdict(list)
            for row in rows:
                found[row[0], row[1], row[2]].append(to_point(row))
            return dict(found)
