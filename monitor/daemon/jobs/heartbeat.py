"""The daemon's sign of life in the store, once a minute: how commands of other processes know that one is at work."""

import asyncio
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
    """A chore of the daemon: begun at every tick, so a clock that stands still gives no sign of life."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._house: RunContext | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, context: "RunContext", now: datetime) -> None:
        if self._task is not None and not self._task.done():
            return
        if self._last is None or monotonic() - self._last >= EVERY_SECONDS:
            self._last, self._house = monotonic(), context
            self._task = asyncio.create_task(self._leave(context, now), name="heartbeat")

    async def _leave(self, context: "RunContext", now: datetime) -> None:
        try:
            await asyncio.to_thread(context.store.set_state, HEARTBEAT, now.isoformat())
        except StoreError as error:
            self._last = None  # at the next tick again
            log.warning("heartbeat_failed", error=str(error))

    async def end(self) -> None:
        """The last sign of life says that it is: nobody takes a daemon that was stopped for one at work."""
        if self._task is not None:
            await self._task
        if self._house is not None:
            with suppress(StoreError):  # one that is away keeps no daemon from stopping
                now = self._house.clock()
                await asyncio.to_thread(self._house.store.set_state, HEARTBEAT, f"{now.isoformat()}{STOPPED}")
