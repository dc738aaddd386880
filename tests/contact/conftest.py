"""The world of a contact test, and a store with an approved baseline that several start from."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contact.world import BASE, World, healthy, timetable


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    async with made.server:
        yield made


@pytest.fixture(scope="session")
def _approved_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    async def approve(made: World) -> None:
        async with made.server:
            made.write(timetable(20, {"kind": "contains", "text": "23:40"}), base={"provider": "pier", "model": BASE})
            made.chat = healthy
            assert (await made.approved()).code == 0

    folder = tmp_path_factory.mktemp("approved")
    asyncio.run(approve(World(folder)))
    return folder


@pytest.fixture
def approved(_approved_template: Path, world: World) -> World:
    """A world with twenty probes, a base, and a baseline that was approved while all was well."""
    shutil.copy(_approved_template / "cliffwatch.db", world.folder)
    world.write(timetable(20, {"kind": "contains", "text": "23:40"}), base={"provider": "pier", "model": BASE})
    world.chat = healthy
    return world
