"""Bounds the runs in progress, so that neither a provider nor a model that makes its runs wait delays other runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from monitor.core.settings import Settings

RUNS_AT_ONCE: Final = 64
"""Runs in progress in one process that ask the same providers. Each provider's limits bound the number of calls."""

WAITING_AT_ONCE: Final = 1000
"""Waiting runs that have given back their place. More keep it, because each run takes memory."""


class Places:
    """``RUNS_AT_ONCE`` places for each set of providers, so that runs at a hanging provider do not delay others."""

    def __init__(self) -> None:
        self._of: WeakValueDictionary[frozenset[str], asyncio.Semaphore] = WeakValueDictionary()
        self._held: dict[int, asyncio.Semaphore] = {}
        self._waiting: set[int] = set()

    @asynccontextmanager
    async def hold(self, run_id: int, providers: frozenset[str]) -> AsyncIterator[None]:
        """Wait for a place and hold it, unless ``give_back`` is called."""
        places = self._of.setdefault(providers, asyncio.Semaphore(RUNS_AT_ONCE))
        await places.acquire()
        self._held[run_id] = places
        try:
            yield
        finally:
            self._waiting.discard(run_id)
            if self._held.pop(run_id, None) is not None:
                places.release()

    def give_back(self, run_id: int) -> None:
        """Free the place of a run that only waits. It does not need one again: the providers bound its calls."""
        if run_id in self._held and len(self._waiting) < WAITING_AT_ONCE:
            self._waiting.add(run_id)
            self._held.pop(run_id).release()


def providers_of(settings: Settings, target: str) -> frozenset[str]:
    """The providers that a run of ``target`` may wait for."""
    configured = settings.targets[target]
    asked = (configured.subject, configured.base, configured.snapshot, settings.judge)
    return frozenset(endpoint.provider for endpoint in asked if endpoint is not None)
