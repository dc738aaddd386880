"""Care of the run ledger: notices a daemon that asks nothing, times in the future, and runs that nobody will ask."""

from datetime import datetime, timedelta
from time import monotonic
from typing import Final

import structlog

from monitor.core import schedule
from monitor.core.limits import asks_nothing_limit
from monitor.report import daemon_notices
from monitor.runs.context import RunContext

log = structlog.get_logger()

ORPHANS_SECONDS: Final = 60.0
"""Interval of checks for runs of what is no longer configured; shorter on short days."""

SAY_AGAIN: Final = timedelta(hours=1)
"""Interval at which times in the future are logged."""

CHUNK: Final = 500
"""Runs that are closed in one transaction."""


class Asking:
    """Whether the daemon asks while something is due. Measured with the monotonic clock."""

    def __init__(self) -> None:
        self._asked = monotonic()
        self._due: float | None = None
        self._said: bool | None = None

    def asked(self) -> None:
        """A call, or a run, came to its end."""
        self._asked = monotonic()

    def look(self, *, due: bool, in_flight: bool) -> None:
        """At every tick. ``due``: a run waits to be worked on. ``in_flight``: a call waits for its reply."""
        if in_flight:
            self.asked()
        self._due = (self._due or monotonic()) if due else None

    @property
    def idle_seconds(self) -> float:
        """Seconds for which something was due and nothing was asked; 0 while nothing is due."""
        return 0.0 if self._due is None else monotonic() - max(self._due, self._asked)

    def say(self, context: RunContext, now: datetime) -> None:
        """Store and log whether nothing is asked for too long, when that changes."""
        idle = self.idle_seconds
        stalled = idle > asks_nothing_limit(context.settings.schedule.day_seconds)
        if stalled == self._said:
            return
        daemon_notices.say_asks_nothing(context.store, now - timedelta(seconds=idle) if stalled else None)
        if stalled:
            log.error("asks_nothing", seconds=round(idle), next="see the errors before this line; restart the daemon")
        elif self._said:
            log.info("asks_again")
        self._said = stalled


class Clocks:
    """Notices slots and successes in the future. They do not keep the present from being asked."""

    def __init__(self) -> None:
        self._said: tuple[datetime, datetime] | None = None
        """When, and which time."""

    def look(self, context: RunContext, now: datetime) -> None:
        """At every tick, before runs are created: a new run replaces the times in the future."""
        ahead = [at for stream, at in context.store.future_times(now).items() if stream in context.streams]
        if not ahead:
            return
        until = max(ahead)
        if self._said is not None and self._said[1] == until and abs(now - self._said[0]) < SAY_AGAIN:
            return
        self._said = now, until
        daemon_notices.say_clock_ahead(context.store, now, until)
        log.warning(
            "time_in_the_future", suites=len(ahead), until=until.isoformat(),
            next="the current runs are asked all the same; check the clock of this machine",
        )  # fmt: skip


class Orphans:
    """Closes runs of targets and suites that are no longer configured, when their period has ended.

    Until then they may belong to another daemon on the same store, or come back with the next reload.
    """

    def __init__(self) -> None:
        self._looked: float | None = None

    def close(self, context: RunContext, now: datetime) -> None:
        """Look at most once per ``ORPHANS_SECONDS``."""
        plan = context.settings.schedule
        pause = min(ORPHANS_SECONDS, plan.day_seconds / 4)
        if self._looked is not None and monotonic() - self._looked < pause:
            return
        self._looked = monotonic()
        ended = [
            run
            for run in context.store.orphans(now, context.streams)
            if schedule.next_slot(schedule.expression_of(plan, run.suite), plan, run.slot) <= now
        ]
        closed = sum(
            context.store.close_unmeasured(ended[start : start + CHUNK], now) for start in range(0, len(ended), CHUNK)
        )
        if closed:
            log.warning("runs_not_configured", closed=closed, outcome="unmeasured",
                        reason="their targets or suites are no longer in the configuration")  # fmt: skip
