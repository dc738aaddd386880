"""The daemon's heartbeat in the store, once a minute, by which commands in other processes see that it runs."""

import asyncio
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from monitor.core.clock import HEARTBEAT, SILENT_SECONDS
from monitor.core.errors import StoreError

if TYPE_CHECKING:
    from monitor.runs.context import RunContext

log = structlog.get_logger()

EVERY_SECONDS: Final = SILENT_SECONDS / 3


class Heartbeat:
    """A job of the daemon. Started at every tick, so a stopped clock means no heartbeat."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, context: "RunContext", now: datetime) -> None:
        if self._task is not None and not self._task.done():
            return
        if self._last is None or monotonic() - self._last >= EVERY_SECONDS:
            self._last = monotonic()
            self._task = asyncio.create_task(self._leave(context, now), name="heartbeat")

    async def _leave(self, context: "RunContext", now: datetime) -> None:
        try:
            await asyncio.to_thread(context.store.set_state, HEARTBEAT, now.isoformat())
        except StoreError as error:
            self._last = None  # retry at the next tick
            log.warning("heartbeat_failed", error=str(error))

    async def end(self) -> None:
        """Wait for the heartbeat that is being written. ``SoleDaemon.release`` writes the last one."""
        if self._task is not None:
            await self._task
