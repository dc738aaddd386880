"""What the store knows of a stream before a run's own answers: how many runs it had, its baseline, its latest verdict.

A *stream* is one suite of one target.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select

from monitor.core.limits import MOVED_LOG10
from monitor.core.records import BaselineStatus, FindingState
from monitor.store.alarms import latest_seq
from monitor.store.base import Connected
from monitor.store.tables import baseline, finding, run, verdict


@dataclass(frozen=True, slots=True)
class BeforeRun:
    """A stream as it is before a run."""

    scheduled: int
    """Number of its scheduled runs with an earlier slot."""
    armed_with: str | None
    """Suite digest of its approved baseline; ``None`` without one."""
    capturing: bool
    """Whether the run's slot lies in a capture window."""
    moved: frozenset[str]
    """Signals for which the stream's latest verdict has evidence of a change, as in ``Verdict.moved``. Empty if that
    was on another baseline."""
    noticed: frozenset[str]
    """Signals whose numbers moved in that verdict, with or without evidence: all whose finding is not quiet."""


class BeforeRunReads(Connected):
    """The store's method over these queries."""

    def before_run(self, target: str, suite: str, slot: datetime) -> BeforeRun:
        """The stream (target, suite) as it is before its run at ``slot``. Cost: the number of its runs."""
        with self._database.read() as connection:
            mine = (run.c.target == target, run.c.suite == suite, run.c.slot < slot, run.c.scheduled)
            count = connection.execute(select(func.count()).select_from(run).where(*mine)).scalar_one()
            own = (baseline.c.target == target, baseline.c.suite == suite)
            approved = connection.execute(
                select(baseline.c.id, baseline.c.suite_digest).where(
                    *own, baseline.c.status == BaselineStatus.APPROVED.value
                )
            ).first()
            window = select(baseline.c.id).where(
                *own, baseline.c.status == BaselineStatus.CAPTURING.value,
                baseline.c.starts_at <= slot, baseline.c.ends_at > slot,
            )  # fmt: skip
            near = or_(
                finding.c.evaluation_log10 >= MOVED_LOG10,
                finding.c.evidence_log10 >= finding.c.threshold_log10 - MOVED_LOG10,
            )
            noticed = (
                select(finding.c.signal, near.label("moved"))
                .join(verdict, verdict.c.run_id == finding.c.run_id)
                .where(verdict.c.seq == latest_seq(connection, target, suite))
                .where(verdict.c.baseline_id == (None if approved is None else approved.id))
                .where(finding.c.state != FindingState.QUIET.value)
            )
            told = connection.execute(noticed).all()
            return BeforeRun(
                scheduled=int(count),
                armed_with=None if approved is None else approved.suite_digest,
                capturing=connection.execute(window.limit(1)).first() is not None,
                moved=frozenset(one.signal for one in told if one.moved),
                noticed=frozenset(one.signal for one in told),
            )
