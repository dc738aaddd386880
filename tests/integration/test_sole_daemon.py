"""Two daemons on one store: the second refuses, or waits as a standby and takes over."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.core.clock import HEARTBEAT, STOPPED, STORE_HOLDER, utcnow
from monitor.core.errors import StoreError
from monitor.daemon.app import App
from monitor.daemon.sole import Process
from monitor.store import open_store
from tests.daemon import HEALTHY, write
from tests.integration.test_app import fetch
from tests.programs import free_port


def second(tmp_path: Path, first: Path) -> Path:
    """Another configuration, with another port, on the same store."""
    folder = tmp_path / "second"
    folder.mkdir()
    store = f"sqlite:///{first.parent / 'cliffwatch.db'}"
    return write(folder, HEALTHY, schedule={"batches": 1}, http={"port": free_port()}, store=store)


def run(path: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "monitor", "run", "--config", str(path), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


async def test_the_second_refuses_and_a_standby_takes_over(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY, schedule={"batches": 1}, http={"port": free_port()})
    other = second(tmp_path, path)
    app = App(path)
    await app.start()
    try:
        with pytest.raises(StoreError, match=r"another daemon .* works on this store.*--standby"):
            await App(other).start()
        with pytest.raises(StoreError, match="works on this store"):
            await App(path).start()  # with the same port, too
        process = await asyncio.to_thread(run, other)
        _, error = await asyncio.to_thread(process.communicate, timeout=30)
        assert process.returncode == 3
        assert "works on this store" in error
        assert "Traceback" not in error
        standby = App(other, standby=True)
        await standby.start()
        await standby.tick(utcnow())
        assert standby.health()["standby"] is True
        assert standby.store is not None
        assert standby.health()["ok"] is True
        for page in ("healthz", "readyz"):
            status, body = await fetch(f"{standby.url}/{page}")
            assert (status, json.loads(body)["standby"], json.loads(body)["asks"]) == (200, True, False)
    finally:
        await app.stop()
    try:
        await standby.tick(utcnow())
        assert standby.health()["standby"] is False
        assert standby.health()["asks"] is True
        assert STOPPED not in (standby.store.get_state(HEARTBEAT) or "")
    finally:
        await standby.stop()
    assert STOPPED in (await asyncio.to_thread(state, path, HEARTBEAT))


def state(path: Path, key: str) -> str:
    store = open_store(f"sqlite:///{path.parent / 'cliffwatch.db'}")
    try:
        return store.get_state(key) or ""
    finally:
        store.close()


async def test_after_a_kill_the_next_one_starts_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY, schedule={"batches": 1}, http={"port": free_port()})
    process = await asyncio.to_thread(run, path)
    deadline = time.monotonic() + 30
    while not (tmp_path / "cliffwatch.db").exists() or str(process.pid) not in state(path, STORE_HOLDER):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.communicate)
    assert STOPPED not in state(path, HEARTBEAT)
    app = App(path)
    await app.start()
    await app.stop()


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({}, False),
        ({"started": "1"}, True),
        ({"pid": 2**22 + 1}, True),
        ({"host": "elsewhere", "pid": 2**22 + 1}, False),
    ],
)
def test_only_on_its_own_machine_a_process_is_known_to_be_gone(changed: dict[str, object], gone: bool) -> None:
    own = Process.own()
    named = {"instance": "x", "host": own.host, "pid": own.pid, "started": own.started} | changed
    assert Process(**named).gone is gone  # type: ignore[arg-type]
