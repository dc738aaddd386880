"""Limits of one provider: concurrent calls, requests and tokens per minute, and requested pauses.

A question that waits holds nothing: a slot and its tokens are taken together, at the moment its call may start.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from monitor.core.providers import Provider

Sleep = Callable[[float], Awaitable[None]]

LONGEST_PAUSE: Final = 120.0
"""Seconds; after it, a model with a longer Retry-After is asked again, because some servers send absurd values."""

_RECHECK: Final = 0.5
"""Seconds after which the first waiter checks for returned tokens."""


_SHORTEST: Final = 0.001
"""Seconds; a shorter sleep could end before the clock advances."""


class Bucket:
    """A token bucket: ``per_minute`` tokens flow in evenly; its capacity is one second's. One caller waits."""

    def __init__(
        self, per_minute: float, monotonic: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._rate = per_minute / 60
        self._capacity = max(1.0, self._rate)
        self._level = self._capacity
        self._updated = monotonic()
        self._monotonic = monotonic
        self._sleep = sleep

    async def wait(self, amount: float) -> None:
        """Wait until ``amount`` may be taken: for a full bucket, if it is more than the capacity."""
        while (missing := self._missing(amount)) > 0:
            await self._sleep(min(max(missing / self._rate, _SHORTEST), _RECHECK))

    def take(self, amount: float) -> None:
        """Take ``amount``; may leave a debt."""
        self._level -= amount

    def correct(self, estimated: float, actual: float) -> None:
        """Replace an estimate by the actual amount; may leave a debt."""
        self._level = min(self._capacity, self._level + estimated - actual)

    def _missing(self, amount: float) -> float:
        now = self._monotonic()
        self._level = min(self._capacity, self._level + (now - self._updated) * self._rate)
        self._updated = now
        return min(amount, self._capacity) - self._level


class _Turns:
    """A lock that goes from model to model in rotation, so that one model's queue does not delay the others.

    Of one model, first come, first served.
    """

    def __init__(self) -> None:
        self._held = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def acquire(self, model: str) -> None:
        if not self._held:
            self._held = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(model, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn came together with the cancellation
                self.release()
            raise

    def release(self) -> None:
        while self._waiting:
            model = next(iter(self._waiting))
            queue = self._waiting.pop(model)
            turn = queue.popleft()
            if queue:
                self._waiting[model] = queue
            if not turn.done():
                turn.set_result(None)
                return
        self._held = False


class Limits:
    """All limits of one provider, shared by all its questions."""

    def __init__(
        self, settings: Provider, monotonic: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._slots = asyncio.Semaphore(settings.concurrency)
        self.in_flight = 0
        """Number of slots that are taken."""
        self._turns = _Turns()
        requests, tokens = settings.requests_per_minute, settings.tokens_per_minute
        self._requests = Bucket(requests, monotonic, sleep) if requests else None
        self._tokens = Bucket(tokens, monotonic, sleep) if tokens else None
        self._paused: dict[str, float] = {}
        self._monotonic = monotonic

    async def enter(self, model: str, tokens: int) -> bool:
        """Wait until a call to ``model`` with an estimated ``tokens`` may start, and take a slot for it.

        Returns ``False``, without a slot, if the model is paused. Otherwise call ``leave`` after the call.
        """
        await self._turns.acquire(model)
        try:
            if self.pause_left(model) > 0:
                return False
            if self._requests is not None:
                await self._requests.wait(1)
            if self._tokens is not None:
                await self._tokens.wait(tokens)
            await self._slots.acquire()
            if self.pause_left(model) > 0:
                self._slots.release()
                return False
            self._spend(tokens)
            self.in_flight += 1
            return True
        finally:
            self._turns.release()

    def leave(self) -> None:
        """Free the slot of a call."""
        self.in_flight -= 1
        self._slots.release()

    def _spend(self, tokens: int) -> None:
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(tokens)

    def settle(self, estimated: int, actual: int) -> None:
        """Report the number of tokens that a call actually used."""
        if self._tokens is not None:
            self._tokens.correct(estimated, actual)

    def pause(self, model: str, seconds: float) -> None:
        """Delay all calls to ``model``, because the provider asked one of them to wait."""
        until = self._monotonic() + min(seconds, LONGEST_PAUSE)
        self._paused[model] = max(until, self._paused.get(model, 0.0))

    def pause_left(self, model: str) -> float:
        """Seconds until ``model`` may be called again; 0 if it is not paused."""
        until = self._paused.get(model)
        if until is None:
            return 0.0
        left = until - self._monotonic()
        if left <= 0:
            del self._paused[model]
        return max(left, 0.0)
