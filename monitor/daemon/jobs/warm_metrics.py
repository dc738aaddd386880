"""Prepares the metrics page before Prometheus scrapes it, because that takes seconds for a large fleet.

It runs after a start, and after a reload, which may change every label. It works in a thread, in small steps. A scrape
in the meantime waits for one step and does the rest itself.
"""

import asyncio
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING

import structlog

from monitor.core.errors import StoreError
from monitor.report.metrics import Internals

if TYPE_CHECKING:
    from monitor.core.settings import Settings
    from monitor.runs.context import RunContext

log = structlog.get_logger()


class FirstScrape:
    """A job of the daemon. Started at the first tick with a configuration, which is when the daemon is ready."""

    def __init__(self, internals: Internals) -> None:
        self._internals = internals
        self._stop = Event()
        self._task: asyncio.Task[None] | None = None
        self._written: Settings | None = None

    def begin(self, context: "RunContext", now: datetime) -> None:
        busy = self._task is not None and not self._task.done()
        if not busy and context.settings is not self._written:
            self._written = context.settings
            self._task = asyncio.create_task(asyncio.to_thread(self._write, context, now), name="first-scrape")

    async def end(self) -> None:
        """Stop at the next step."""
        self._stop.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _write(self, context: "RunContext", now: datetime) -> None:
        try:
            self._internals.prepare(context.store, context.settings, now, self._stop.is_set)
        except StoreError as error:
            log.warning("first_scrape_unprepared", error=str(error))
        except Exception:
            log.exception("first_scrape_crashed")
