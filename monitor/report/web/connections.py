"""Bounds what clients of the HTTP port can hold: the number of connections, and the time to send a request.

uvicorn has no time limit for a request that is never finished, and its ``limit_concurrency`` counts requests, not
sockets. Without bounds, a few hundred half-sent requests take all open files, and the daemon's own calls fail.
"""

import asyncio
import resource
from collections.abc import Iterable
from functools import partial
from time import monotonic
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS: Final = 10.0
"""Maximum time from the first byte of a request, or from a new connection, to the end of the request."""

READ_SECONDS: Final = 30.0
"""Maximum time for which a client may not read the rest of its reply."""

SWEEP_SECONDS: Final = 1.0

ACCEPTED_AT_ONCE: Final = 8
"""Connections that asyncio accepts before it handles them: they are open files above the bound for a moment."""

FEWEST, MOST = 8, 512
"""Bounds of ``connection_bound``."""


def connection_bound() -> int:
    """Maximum number of connections: a quarter of the files that the process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else min(MOST, max(FEWEST, soft // 4))


class BoundedConnection(H11Protocol):
    """One connection. Beyond the bound, the one that is of the least use is closed for the new one."""

    def __init__(self, *args: Any, bound: int, **more: Any) -> None:
        super().__init__(*args, **more)
        self._bound = bound
        self._since = monotonic()
        """When the client began to send, or not to read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = monotonic()
        if len(self.connections) > self._bound:
            others = [one for one in self.connections if isinstance(one, BoundedConnection) and one is not self]
            victim = min(others, key=lambda one: one.use, default=self)
            (self if victim.use == (BUSY,) else victim).cut()

    def data_received(self, data: bytes) -> None:
        if self.timeout_keep_alive_task is not None:
            self._since = monotonic()
        super().data_received(data)

    @property
    def use(self) -> tuple[float, ...]:
        """Sort key: first the connections without a complete request, then idle ones, the oldest first; then the busy
        ones."""
        if self.sends:
            return (0, self._since)
        return (1, self._since) if self.timeout_keep_alive_task is not None else (BUSY,)

    @property
    def sends(self) -> bool:
        """Whether its request is not complete."""
        idle = self.timeout_keep_alive_task is not None
        return not idle and self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def cut(self) -> None:
        """Close without waiting for the client."""
        self.connections.discard(self)
        self.transport.abort()

    def check(self, now: float) -> None:
        """Close if the client takes too long to send its request, or to read its reply."""
        if self.sends:
            if now - self._since > REQUEST_SECONDS:
                self.cut()
        elif not self.flow.write_paused:
            self._since = now
        elif now - self._since > READ_SECONDS:
            self.cut()


BUSY: Final = 2
"""Use of a connection whose reply is being made: it is never closed for another."""


def bounded(bound: int) -> Any:
    """The protocol for uvicorn, with at most ``bound`` connections."""
    return partial(BoundedConnection, bound=bound)


async def sweep(connections: Iterable[Any]) -> None:
    """Check all connections every ``SWEEP_SECONDS``, until cancelled."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = monotonic()
        for one in list(connections):
            if isinstance(one, BoundedConnection):
                one.check(now)
