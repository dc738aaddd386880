"""The state of every suite of a fleet, in a few statements, for ``cliffwatch status``."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import exists, func, select

from monitor.core.records import BaselineStatus, RunOutcome, SelfTest
from monitor.store import counters
from monitor.store.base import Connected
from monitor.store.metrics_reads import UNCOUNTED, newest_done
from monitor.store.page_reads import of_streams
from monitor.store.tables import answer, progress, run, self_test

Stream = tuple[str, str]


class Finished(NamedTuple):
    """The run of a suite that finished last."""

    run_id: int
    slot: datetime
    outcome: RunOutcome
    last_success: datetime | None
    """When a run of the suite last finished measured or partial."""
    lost: bool
    """Whether any of its questions has no usable answer; ``lost_shares`` counts them."""


class Baselines(NamedTuple):
    """The state of a suite's baselines, without retired ones."""

    status: BaselineStatus
    """Status of the approved one, else of the newest."""
    suite_digest: str
    """What its answers depended on."""
    approved_at: datetime | None


class StandingReads(Connected):
    """The store's methods over these queries."""

    def standing_baselines(self) -> dict[Stream, Baselines]:
        """(target, suite) -> its baseline, if it has one that is not retired."""
        with self._database.read() as connection:
            return {
                key: Baselines(BaselineStatus(row.status), row.suite_digest, row.approved_at)
                for key, row in of_streams(connection, None).items()
            }

    def last_finished(self) -> dict[Stream, Finished]:
        """(target, suite) -> the run that finished last."""
        with self._database.read() as connection:
            # An index contains only these.
            lost = exists().where(answer.c.run_id == run.c.id, answer.c.reason.is_not(None))
            facts = select(
                progress.c.target, progress.c.suite, run.c.id, run.c.slot, run.c.outcome, progress.c.last_success,
                lost.correlate(run),
            )  # fmt: skip
            rows = connection.execute(facts.select_from(progress).join(run, run.c.id == newest_done())).all()
            return {
                (target, suite): Finished(run_id, slot, RunOutcome(outcome), success, some)
                for target, suite, run_id, slot, outcome, success, some in rows
            }

    def unmeasured(self, run_id: int) -> dict[str, int]:
        """Reason -> number of a run's questions without a usable answer for it, of any arm that the run measures."""
        with self._database.read() as connection:
            reasons = (
                select(answer.c.reason, func.count())
                .where(answer.c.run_id == run_id, answer.c.reason.is_not(None), answer.c.arm.not_in(UNCOUNTED))
                .group_by(answer.c.reason)
            )
            return {str(reason): int(count) for reason, count in connection.execute(reasons)}

    def imperfect_self_tests(self, faults: Collection[str]) -> list[SelfTest]:
        """The latest of these faults, of every target and suite, that were not caught in every trial."""
        query = select(self_test).where(self_test.c.fault.in_(faults), self_test.c.caught < self_test.c.trials)
        with self._database.read() as c:
            return counters.self_tests(c, query.order_by(*self_test.primary_key.columns))
