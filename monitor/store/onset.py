"""The evaluations that led to open alarms, which show when each change began."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, select

from monitor.core.records import Alarm, Arm, Finding, Point
from monitor.store.base import Connected
from monitor.store.change_markers import chunks
from monitor.store.findings import _to_finding
from monitor.store.series import KEY, NUMBERS, to_point
from monitor.store.tables import alarm, answer, finding


class Onset(NamedTuple):
    """The evaluations that led to one alarm."""

    evaluations: int
    """Number of evaluations in the evidence of the verdict that raised it."""
    history: list[Point]
    """Its signal's verdicts, oldest first."""


def onsets(connection: Connection, ids: Sequence[int], oldest: Alarm, before: timedelta) -> dict[int, Onset]:
    """Two statements: the verdicts come from ``ix_finding_series`` alone, the numbers of evaluations from the raising
    rows."""
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
    evaluations = select(alarm.c.id, finding.c.evaluations).join(finding, raising).where(alarm.c.id.in_(ids))
    return {number: Onset(count, history[number]) for number, count in connection.execute(evaluations).all()}


class OnsetReads(Connected):
    """The store's methods over these queries; a scrape calls both, a finding's page the second."""

    def onsets(self, alarms: Sequence[Alarm], before: timedelta) -> dict[int, Onset]:
        """Alarm id -> the evaluations that led to it, as far back as ``before`` the oldest of ``alarms`` was raised.

        Takes two statements for some hundreds of alarms. An alarm whose raising verdict no longer exists has no entry.
        """
        if not alarms:
            return {}
        oldest = min(alarms, key=lambda one: one.raised_at)
        found: dict[int, Onset] = {}
        with self._database.read() as c:
            for some in chunks([one.id for one in alarms if one.id is not None]):
                found |= onsets(c, some, oldest, before)
        return found

    def run_findings(self, run_ids: Collection[int]) -> dict[int, list[Finding]]:
        """Run id -> its findings without exhibits, in one statement for some hundreds of runs."""
        columns = [column for column in finding.columns if column.name != "exhibits"]
        found: dict[int, list[Finding]] = {run_id: [] for run_id in run_ids}
        if found:
            with self._database.read() as c:
                for some in chunks(sorted(found)):
                    for row in c.execute(select(*columns).where(finding.c.run_id.in_(some)).order_by(finding.c.id)):
                        found[row.run_id].append(_to_finding(row))
        return found

    def last_asked(self, run_ids: Collection[int]) -> dict[int, datetime]:
        """Run id -> when the last of the subject's usable answers was asked; a run without one has no entry.

        Reads all answers of these runs, so pass few runs.
        """
        if not run_ids:
            return {}
        with self._database.read() as connection:
            # A run's answers are adjacent under its id and arm; no other run's answers are read.
            newest = select(answer.c.run_id, func.max(answer.c.asked_at)).group_by(answer.c.run_id)
            usable = newest.where(answer.c.arm == Arm.SUBJECT.value, answer.c.reason.is_(None))
            found: dict[int, datetime] = {}
            for some in chunks(sorted(run_ids)):
                rows: Any = connection.execute(usable.where(answer.c.run_id.in_(some)))
                found |= dict(map(tuple, rows))
            return found
