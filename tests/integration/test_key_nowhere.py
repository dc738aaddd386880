"""A key that a server echoes in any encoding is in no row of the store, on no page, in no JSON and in no log."""

import asyncio
import json
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from monitor.ask import Asker
from monitor.core.records import Arm, Message
from monitor.report.metrics import Internals
from monitor.report.web import create_app
from monitor.report.web.server import Server
from monitor.store import open_store
from tests.asking import NOW, settings
from tests.http_server import Reply, Request, ScriptedServer, completion
from tests.integration.test_asker import claimed
from tests.unit.test_key_scrubber import KEYS, encoded, recovered


async def test_an_echoed_key_is_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    key, rng = KEYS[0], Random(3)
    (tmp_path / "key").write_text(key)

    def reply(request: Request) -> Reply:
        form = encoded(rng, key)
        number = int(request.body["messages"][-1]["content"])
        if number % 4 == 0:
            return Reply(401, {"error": {"message": f"Incorrect key: {form}", "code": form}}, {"x-request-id": "r1"})
        body = completion(f"You sent {form}.", model=form, choice={"finish_reason": "stop", form: 1})
        return Reply(body=json.dumps(body, ensure_ascii=number % 2 == 0).encode(), headers={"x-litellm-model-id": key})

    store = open_store(f"sqlite:///{tmp_path}/store.db")
    question = claimed(store)
    asked = [replace(question, probe=f"p{n}", messages=(Message("user", str(n)),)) for n in range(24)]
    async with ScriptedServer(reply) as server:
        config = settings(base_url=server.url, api_key_file=tmp_path / "key", attempts=1)
        asker = Asker(config, store, clock=lambda: NOW)
        await asker.ask(asked, fence=1)
        await asker.aclose()
    app = create_app(
        store, lambda: config, Internals(), lambda: {"ok": True, "last_tick_age_seconds": 1.0}, _reload, lambda: NOW
    )
    web = Server(app, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{await web.start()}"
    run = question.run_id
    paths = [f"/runs/{run}?show=all", f"/api/v1/runs/{run}", "/metrics"]
    for one in asked:
        paths += [f"{part}/runs/{run}/exchange?arm={Arm.SUBJECT}&probe={one.probe}" for part in ("", "/api/v1")]
    shown = [await asyncio.to_thread(_get, url + path) for path in paths]
    await web.stop()
    assert "[key]" in "".join(shown)
    rows = [repr(store.question(run, Arm.SUBJECT, one.probe, 0)) for one in asked]
    store.close()
    files = [file.read_bytes().decode("utf-8", "replace") for file in tmp_path.iterdir() if file.name != "key"]
    logged = capfd.readouterr()
    for text in [*shown, *rows, *files, logged.out, logged.err]:
        assert not recovered(text, key)


async def _reload() -> str | None:
    return None


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as reply:
        text: str = reply.read().decode()
        return text


def test_the_test_finds_a_key() -> None:
    shown: Mapping[str, Any] = {"text": "&#115;" + KEYS[0][1:]}
    assert recovered(json.dumps(shown), KEYS[0])
