"""Limits of one provider: concurrent calls, requests and tokens per minute, and requested pauses."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from monitor.core.providers import Provider

Sleep = Callable[[float], Awaitable[None]]

LONGEST_PAUSE: Final = 120.0
"""Seconds; a longer Retry-After stops only its own question, not all."""

_RECHECK: Final = 0.5
"""Seconds after which the first waiter checks for returned tokens."""


_SHORTEST: Final = 0.001
"""Seconds; a shorter sleep could end before the clock advances."""


class Bucket:
    """A token bucket, first come first served: ``per_minute`` tokens flow in evenly; its capacity is one second's."""

    def __init__(
        self, per_minute: float, monotonic: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._rate = per_minute / 60
        self._capacity = max(1.0, self._rate)
        self._level = self._capacity
        self._updated = monotonic()
        self._monotonic = monotonic
        self._sleep = sleep
        self._turn = asyncio.Lock()

    async def take(self, amount: float) -> None:
        """Wait for ``amount``. More than the capacity waits for a full bucket and leaves a debt."""
        if not self._turn.locked() and self._missing(amount) <= 0:
            self._level -= amount
            return
        async with self._turn:
            while (missing := self._missing(amount)) > 0:
                await self._sleep(min(max(missing / self._rate, _SHORTEST), _RECHECK))
            self._level -= amount

    def correct(self, estimated: float, actual: float) -> None:
        """Replace an estimate by the actual amount; may leave a debt."""
        self._level = min(self._capacity, self._level + estimated - actual)

    def _missing(self, amount: float) -> float:
        now = self._monotonic()
        self._level = min(self._capacity, self._level + (now - self._updated) * self._rate)
        self._updated = now
        return min(amount, self._capacity) - self._level


class Limits:
    """All limits of one provider, shared by all its questions."""

    def __init__(
        self, settings: Provider, monotonic: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.slots = asyncio.Semaphore(settings.concurrency)
        """Held by a question from its first attempt until its outcome is recorded."""
        requests, tokens = settings.requests_per_minute, settings.tokens_per_minute
        self._requests = Bucket(requests, monotonic, sleep) if requests else None
        self._tokens = Bucket(tokens, monotonic, sleep) if tokens else None
        self._paused: dict[str, float] = {}
        self._monotonic = monotonic
        self._sleep = sleep

    async def admit(self, model: str, tokens: int) -> None:
        """Wait until one more call to ``model`` with an estimated ``tokens`` is allowed."""
        if self._requests is not None:
            await self._requests.take(1)
        if self._tokens is not None:
            await self._tokens.take(tokens)
        while self._paused and (wait := self._paused.get(model, 0.0) - self._monotonic()) > 0:
            await self._sleep(wait)

    def settle(self, estimated: int, actual: int) -> None:
        """Report the number of tokens that a call actually used."""
        if self._tokens is not None:
            self._tokens.correct(estimated, actual)

    def pause(self, model: str, seconds: float) -> None:
        """Delay all calls to ``model``, because the provider asked one of them to wait."""
        until = self._monotonic() + min(seconds, LONGEST_PAUSE)
        self._paused[model] = max(until, self._paused.get(model, 0.0))
