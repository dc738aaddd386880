"""Inputs that programs push over HTTP to a real daemon: taken, refused, counted, sampled, and what a kill costs."""

import asyncio
import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.daemon import inbox
from monitor.daemon.app import App
from monitor.store import open_store
from tests.daemon import HEALTHY, write
from tests.pushing import AUTH, PERSON, TOKEN, configured, process, started, until


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT", TOKEN)
    monkeypatch.setenv("ALICE", PERSON)


@asynccontextmanager
async def running(path: Path, *, standby: bool = False) -> AsyncIterator[App]:
    app = App(path, standby=standby)
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


def item(number: int, **more: Any) -> dict[str, Any]:
    content = f"Mail anna{number}@example.com about parcel {number}."
    return {"target": "bot", "id": f"id-{number}", "messages": [{"role": "user", "content": content}], **more}


async def post(app: App, body: Any, headers: dict[str, str] = AUTH, **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **headers}
        return await client.post(f"{app.url}/api/v1/inputs", content=content, headers=sent, **more)


async def scraped(app: App) -> str:
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{app.url}/metrics")).text


async def test_each_input_gets_its_answer(tmp_path: Path, store_url: str) -> None:
    async with running(configured(tmp_path, store=store_url)) as app:
        whole = {"target": "bot", "id": 7, "request": {"model": "m", "messages": item(7)["messages"]}}
        tools = item(3, tools=[{"type": "function"}])
        reply = await post(app, [item(1), item(1), item(2, time="1999-01-01"), tools, whole, {"id": "x"}])
        body = gzip.compress(json.dumps(item(9)).encode())
        zipped = await post(app, body, AUTH | {"Content-Encoding": "gzip"})
        metrics = await scraped(app)
        assert app.store is not None
        before = app.store.pushed_windows("bot", None, None)
    assert reply.status_code == 200
    found = [(one["id"], one["result"], one["reason"]) for one in reply.json()["results"]]
    assert found == [
        ("id-1", "accepted", ""), ("id-1", "duplicate", ""), ("id-2", "left_out", "before"),
        ("id-3", "left_out", "tools_offered"), ("7", "accepted", ""), ("x", "invalid", ""),
    ]  # fmt: skip
    assert reply.json()["counts"] == {"accepted": 2, "duplicate": 1, "left_out": 2, "invalid": 1}
    assert zipped.json()["counts"] == {"accepted": 1}
    assert 'cliffwatch_pushed_inputs_total{result="accepted",target="bot"} 3.0' in metrics
    assert 'cliffwatch_pushed_inputs_total{result="duplicate",target="bot"} 1.0' in metrics
    assert 'cliffwatch_push_requests_total{kind="http",status="200"} 2.0' in metrics
    store = open_store(store_url)
    [window] = store.pushed_windows("bot", None, None)
    store.close()
    assert len(before) <= 1
    assert window.tally["read"] == 3, "written at the stop, if not before"
    assert len(window.inputs) == 3
    assert "anna" not in repr(window)


REFUSED: list[tuple[str, Any, dict[str, str], int]] = [
    ("no token", [], {}, 401),
    ("an unknown token", [], {"Authorization": "Bearer x"}, 401),
    ("a person's token", [], {"Authorization": f"Bearer {PERSON}"}, 401),
    ("not JSON", b"{", AUTH, 400),
    ("another type", b"x", AUTH | {"Content-Type": "text/plain"}, 415),
    ("another encoding", b"x", AUTH | {"Content-Encoding": "br"}, 415),
    ("a bomb", gzip.compress(b" " * (17 << 20)), AUTH | {"Content-Encoding": "gzip"}, 413),
    ("too large", b" " * ((16 << 20) + 1), AUTH, 413),
]


async def test_what_is_refused_says_why(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as app:
        for what, body, headers, status in REFUSED:
            reply = await post(app, body, headers)
            assert (what, reply.status_code) == (what, status)
            assert len(reply.json()["error"]) > 10
        assert (await post(app, item(1))).status_code == 200, "it still takes inputs"


async def test_a_clients_token_can_do_nothing_else(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as app, httpx.AsyncClient(base_url=app.url) as client:
        run = "/api/v1/targets/bot/runs"
        body = {"suite": "production", "why": "now"}
        assert (await client.post(run, json=body, headers=AUTH)).status_code == 401
        assert (await client.post(run, json=body, headers={"Authorization": f"Bearer {PERSON}"})).status_code == 200


async def test_without_clients_no_input_is_taken(tmp_path: Path) -> None:
    async with running(write(tmp_path, HEALTHY)) as app:
        reply = await post(app, item(1))
        assert reply.status_code == 403
        assert "http.inputs" in reply.json()["error"]


async def test_a_standby_refuses_until_it_has_the_store(tmp_path: Path) -> None:
    path = configured(tmp_path)
    async with running(path) as active, running(path, standby=True) as standby:
        reply = await post(standby, item(1))
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "2")
        assert (await post(active, item(1))).status_code == 200


async def test_a_full_queue_is_told_before_the_body_is_read(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as app:
        assert app.port is not None
        head = f"POST /api/v1/inputs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        slow = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
            writer.write(f"{head}Content-Length: {16 << 20}\r\n\r\n[".encode())
            await writer.drain()
            slow.append((reader, writer))
        await asyncio.sleep(0.3)
        full = await post(app, item(1))
        for _, writer in slow:
            writer.transport.abort()
        await asyncio.sleep(0.3)
        after = await post(app, item(1))
    assert (full.status_code, full.headers["Retry-After"]) == (429, "2")
    assert after.status_code == 200


async def test_a_body_that_takes_too_long_is_refused_and_the_next_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(configured(tmp_path)) as app:
        assert (await post(app, item(1))).status_code == 200
        monkeypatch.setattr(inbox, "WALL_SECONDS", 0.01)
        slow = await post(app, [item(n) for n in range(5_000)])
        monkeypatch.setattr(inbox, "WALL_SECONDS", 60.0)
        assert slow.status_code == 400
        assert (await post(app, item(2))).json()["counts"] == {"accepted": 1}


async def test_the_daemon_answers_while_a_large_body_is_read(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as app, httpx.AsyncClient(base_url=app.url) as client:
        await post(app, item(1))
        large = asyncio.create_task(post(app, [item(n, more="x " * 300) for n in range(9_000)]))
        waits = []
        while not large.done():
            began = time.monotonic()
            assert (await client.get("/healthz")).status_code in (200, 503)
            waits.append(time.monotonic() - began)
        assert (await large).json()["counts"] == {"accepted": 8_999, "duplicate": 1}
        assert len(waits) > 3
        assert sorted(waits)[len(waits) // 2] < 0.25


def push(url: str, items: list[dict[str, Any]]) -> dict[str, int]:
    reply = httpx.post(f"{url}/api/v1/inputs", json=items, headers=AUTH, timeout=60)
    assert reply.status_code == 200, reply.text
    counts: dict[str, int] = reply.json()["counts"]
    return counts


def test_a_run_asks_what_was_pushed_in_its_period(tmp_path: Path) -> None:
    path, url = started(tmp_path, production="daily", day_seconds=8)
    with process(path):
        until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        push(url, [item(n) for n in range(50)] + [item(n, tools=[{}]) for n in range(50, 60)])

        def sampled() -> Any:
            runs = httpx.get(f"{url}/api/v1/runs").json()["runs"]
            accounts = [httpx.get(f"{url}/api/v1/runs/{one['id']}").json()["sample"] for one in runs]
            return next((one for one in accounts if one and one["kept"]), None)

        account = until(sampled)
        metrics = httpx.get(f"{url}/metrics").text
    assert {name: account[name] for name in ("lines", "read", "unsupported", "kept", "not_drawn")} == {
        "lines": 60, "read": 60, "unsupported": 10, "kept": 20, "not_drawn": 30,
    }  # fmt: skip
    assert account["reasons"][0]["place"].startswith("app, 20")
    assert "cliffwatch_sample_requests" in metrics


def test_the_command_shows_the_account_of_what_was_pushed(tmp_path: Path) -> None:
    path, url = started(tmp_path)
    with process(path) as daemon:
        until(lambda: httpx.get(f"{url}/healthz").status_code == 200)
        push(url, [item(n) for n in range(30)])
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)
    command = [sys.executable, "-m", "monitor", "sample", "bot", "--dry-run", "--json", "--config", str(path)]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (shown["lines"], shown["kept"], shown["not_drawn"]) == (30, 20, 10)


def test_a_kill_loses_only_what_came_since_the_last_write(tmp_path: Path) -> None:
    path, url = started(tmp_path)
    with process(path) as daemon:
        until(lambda: httpx.get(f"{url}/healthz").status_code == 200)
        push(url, [item(n) for n in range(10)])
        store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db", migrate=False)
        until(lambda: store.pushed_windows("bot", None, None))
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(30)
        [kept] = store.pushed_windows("bot", None, None)
        store.close()
    assert kept.tally["read"] == 10
    with process(path):
        until(lambda: httpx.get(f"{url}/healthz").status_code == 200)
        assert push(url, [item(n) for n in range(12)]) == {"duplicate": 10, "accepted": 2}
    assert os.path.exists(path)
    with contextlib.closing(socket.socket()) as probe:
        assert probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) != 0
