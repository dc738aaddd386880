"""Group commit: order, grouping, and one bad item among good ones."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from monitor.ask.group_commit import GroupWriter
from monitor.core.errors import StoreError


class Disk:
    """Doubles numbers; waits for ``go``, cannot take 1313, and is full from ``full_after`` on."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.full = False

    def write(self, items: Sequence[int]) -> list[int]:
        self.go.wait(10)
        self.groups.append(list(items))
        if self.full:
            raise StoreError("disk full")
        if 1313 in items:
            raise ValueError("thirteen")
        return [2 * item for item in items]


async def test_what_gathers_goes_together() -> None:
    disk = Disk()
    disk.go.clear()
    writer = GroupWriter(disk.write)
    first = writer.submit(1)
    await asyncio.sleep(0.05)
    rest = [writer.submit(n) for n in range(2, 50)]
    disk.go.set()
    assert await asyncio.gather(first, *rest) == [2 * n for n in range(1, 50)]
    assert disk.groups == [[1], list(range(2, 50))]
    await writer.drain()


async def test_a_cancelled_submitter_is_still_written() -> None:
    disk = Disk()
    disk.go.clear()
    writer = GroupWriter(disk.write)
    future = writer.submit(5)
    await asyncio.sleep(0)
    future.cancel()
    disk.go.set()
    await writer.drain()
    assert disk.groups == [[5]]
    assert await writer.submit(6) == 12


async def test_one_bad_item_costs_the_others_nothing() -> None:
    writer = GroupWriter(Disk().write)
    good, bad, other = writer.submit(1), writer.submit(1313), writer.submit(2)
    assert (await good, await other) == (2, 4)
    with pytest.raises(ValueError, match="thirteen"):
        await bad


async def test_a_store_that_is_down_is_not_asked_item_by_item() -> None:
    disk = Disk()
    disk.full = True
    writer = GroupWriter(disk.write)
    results = await asyncio.gather(*(writer.submit(n) for n in range(20)), return_exceptions=True)
    assert all(isinstance(r, StoreError) for r in results)
    assert len(disk.groups) == 1
