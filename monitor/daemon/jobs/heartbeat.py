"""The daemon's heartbeat in the store, once a minute, by which commands in other processes see that it runs."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from monitor.core.clock import HEARTBEAT, SILENT_SECONDS, STOPPED
from monitor.core.errors import StoreError

if TYPE_CHECKING:
    from monitor.runs.context import RunContext

log = structlog.get_logger()

EVERY_SECONDS: Final = SILENT_SECONDS / 3


class Heartbeat:
    """A job of the daemon. Started at every tick, so a stopped clock means no heartbeat."""

    def __init__(self, holds: Callable[[], bool]) -> None:
        """``holds``: whether this daemon holds the store, so that the heartbeat is its own."""
        self._holds = holds
        self._last: float | None = None
        self._context: RunContext | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, context: "RunContext", now: datetime) -> None:
        if self._task is not None and not self._task.done():
            return
        if self._last is None or monotonic() - self._last >= EVERY_SECONDS:
            self._last, self._context = monotonic(), context
            self._task = asyncio.create_task(self._leave(context, now), name="heartbeat")

    async def _leave(self, context: "RunContext", now: datetime) -> None:
        try:
            await asyncio.to_thread(context.store.set_state, HEARTBEAT, now.isoformat())
        except StoreError as error:
            self._last = None  # retry at the next tick
            log.warning("heartbeat_failed", error=str(error))

    async def end(self) -> None:
        """Mark the last heartbeat as such, so that a stopped daemon is not taken for a running one."""
        if self._task is not None:
            await self._task
        if self._context is not None and self._holds():
            with suppress(StoreError):  # an unavailable store must not keep the daemon from stopping
                now = self._context.clock()
                await asyncio.to_thread(self._context.store.set_state, HEARTBEAT, f"{now.isoformat()}{STOPPED}")
