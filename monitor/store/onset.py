"""What led up to open alarms: from it one tells when each change began."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import Connection, and_, select

from monitor.records import Alarm, Point
from monitor.store.engine import Database
from monitor.store.marks import chunks
from monitor.store.series import KEY, NUMBERS, to_point
from monitor.store.tables import alarm, finding


class Onset(NamedTuple):
    """Of one alarm."""

    looks: int
    """How many were in the evidence of the verdict that raised it."""
    history: list[Point]
    """Its signal's verdicts, oldest first."""


def onsets(connection: Connection, ids: Sequence[int], oldest: Alarm, before: timedelta) -> dict[int, Onset]:
    """Two statements: the verdicts come from ``ix_finding_series`` alone, the looks from the rows that raised."""
    of_series = and_(*(alarm.c[column.name] == column for column in KEY))
    columns = (*KEY, finding.c.run_id, finding.c.found_at, finding.c.alarming, *(finding.c[name] for name in NUMBERS))
    verdicts = (
        select(alarm.c.id, *columns)
        .join(finding, of_series)
        .where(alarm.c.id.in_(ids), finding.c.found_at >= oldest.raised_at - before)
        .order_by(alarm.c.id, finding.c.id)
    )
    history: dict[int, list[Point]] = defaultdict(list)
    for row in connection.execute(verdicts):
        history[row[0]].append(to_point(row))
    raising = and_(finding.c.run_id == alarm.c.raised_run_id, finding.c.signal == alarm.c.signal)
    looks = select(alarm.c.id, finding.c.looks).join(finding, raising).where(alarm.c.id.in_(ids))
    return {number: Onset(count, history[number]) for number, count in connection.execute(looks).all()}


class OnsetReads:
    """The store's method over these queries; a scrape calls it."""

    _database: Database

    def onsets(self, alarms: Sequence[Alarm], before: timedelta) -> dict[int, Onset]:
        """Alarm id -> what led up to it, as far back as ``before`` the oldest of ``alarms`` was raised.

        However many there are, it takes two statements for some hundreds of them. An alarm whose raising verdict is
        gone has none.
        """
        if not alarms:
            return {}
        oldest = min(alarms, key=lambda one: one.raised_at)
        found: dict[int, Onset] = {}
        with self._database.read() as c:
            for some in chunks([one.id for one in alarms if one.id is not None]):
                found |= onsets(c, some, oldest, before)
        return found
