"""Deletes data that is beyond its days (``retention`` in the configuration), in small transactions.

Between two transactions it pauses, so a run that records an answer never waits for more than one of them. A pass that
is interrupted continues with the next one.
"""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from threading import Event
from typing import Final

import structlog

from monitor.core.clock import utcnow
from monitor.core.errors import StoreError
from monitor.core.records import DataKind, KeptRuns
from monitor.core.settings import Retention as Days
from monitor.report import retention
from monitor.runs.context import RunContext
from monitor.store import Store
from monitor.store.retention import cutoff

log = structlog.get_logger()

EVERY_SECONDS: Final = 3600.0
"""Interval of passes."""

JUMP: Final = timedelta(days=30)
TRUSTED_DAYS: Final = 7
"""After a gap of ``JUMP`` between now and the last days with runs, the clock may be ahead. Nothing is deleted until
there were runs on ``TRUSTED_DAYS`` days after the gap, so that a wrong clock deletes nothing that is not old."""

PAUSE_SECONDS: Final = 0.02
"""Pause after each transaction, for the runs."""


class Retention:
    """The daemon's job: one pass at a time, in a thread."""

    def __init__(self, pause: float = PAUSE_SECONDS) -> None:
        self._stop = Event()
        self._task: asyncio.Task[None] | None = None
        self._last: datetime | None = None
        self._pause = pause

    def begin(self, context: RunContext, now: datetime) -> None:
        """Start a pass, unless one is in progress or the last one is recent."""
        busy = self._task is not None and not self._task.done()
        # A last pass in the future was made by a clock that was ahead.
        if not busy and (self._last is None or not 0 <= (now - self._last).total_seconds() < EVERY_SECONDS):
            self._last = now
            self._task = asyncio.create_task(asyncio.to_thread(self._pass, context, now), name="retention")

    async def end(self) -> None:
        """Stop after the present transaction."""
        self._stop.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _pass(self, context: RunContext, now: datetime) -> None:
        try:
            if jumped(context.store, now):
                log.warning("retention_waits", days=TRUSTED_DAYS)
                return
            enforce(context.store, context.settings.retention, now, self._stop, self._pause)
        except StoreError as error:
            self._last = None  # retry at the next tick
            log.warning("retention_failed", error=str(error), next="the next tick continues")
        except Exception:
            log.exception("retention_crashed")


def jumped(store: Store, now: datetime) -> bool:
    """Whether the clock may be ahead; see ``JUMP``."""
    days = [now, *store.asked_days(now, TRUSTED_DAYS)]
    return any(later - earlier > JUMP for later, earlier in pairwise(days))


def enforce(store: Store, days: Days, now: datetime, stop: Event, pause: float = 0.0) -> tuple[KeptRuns, ...]:
    """Delete everything that is beyond its days and that nothing needs. Returns what is kept beyond its days.

    After ``stop`` is set, ends after the present transaction, returns nothing, and reports nothing.
    """
    kept: list[KeptRuns] = []
    for kind, limit in days.days.items():
        runs = _delete(store, kind, limit, now, stop, pause)
        if stop.is_set():
            return ()
        if runs:
            log.info("retention_deleted", kind=kind.value, runs=runs, days=limit)
        kept += store.kept_runs(kind, cutoff(now, limit))
    before = retention.read(store)
    retention.say(store, now, kept)
    if kept and (before is None or before.kept != tuple(kept)):
        log.info("retention_kept", runs={f"{one.kind.value}/{one.reason.value}": one.runs for one in kept})
    return tuple(kept)


def _delete(store: Store, kind: DataKind, days: int, now: datetime, stop: Event, pause: float) -> int:
    """Delete the data of one kind. Returns the number of runs."""
    runs = 0
    while some := store.old_runs(kind, cutoff(now, days)):
        for run_id in some:
            done = False
            while not done:
                if stop.is_set():
                    return runs
                done = store.delete_old(kind, run_id, days, utcnow())
                stop.wait(pause)
            runs += 1
    return runs
