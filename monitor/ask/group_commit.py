"""Group commit: concurrent writes of many tasks go into the store as one transaction."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from monitor.core.errors import StoreError

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupWriter(Generic[Item, Result]):
    """Passes all pending items to ``write`` in a worker thread, one group at a time, in order.

    The next group gathers while one is written, so commits per item become fewer under load. A submitted item is
    written even if its submitter is cancelled in the meantime.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._write = write
        self._pending: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """Queue ``item`` without waiting. Await the future for the result."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return future

    async def drain(self) -> None:
        """Return when nothing is pending."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            # Yield once, so that tasks that are ready now join the group.
            await asyncio.sleep(0)
            while self._pending:
                group, self._pending = self._pending, []
                await self._write_group(group)
        finally:
            self._task = None

    async def _write_group(self, group: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        try:
            results = await asyncio.to_thread(self._write, [item for item, _ in group])
        except Exception as error:
            if len(group) == 1 or isinstance(error, StoreError):
                for _, future in group:
                    _fail(future, error)
                return
            # One item that the store cannot write must not affect the others.
            for entry in group:
                await self._write_group([entry])
            return
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():
                future.set_result(result)


def _fail(future: "asyncio.Future[Result]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
