"""What the tests of bad days share: a daemon process whose provider misbehaves, and what it says about itself."""

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import yaml

from tests.acceptance.processes import Daemon
from tests.http_server import Script, ScriptedServer
from tests.programs import free_port

PROBES = 24


@contextlib.contextmanager
def provider(script: Script) -> Iterator[ScriptedServer]:
    """A scripted server on a thread of its own, so that a test may block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = ScriptedServer(script)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def write(
    folder: Path,
    url: str,
    targets: Sequence[str],
    *,
    probes: int = PROBES,
    day_seconds: float = 86_400,
    provider_settings: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """A configuration in which each target is the model of its own name at ``url``; a second call keeps the port."""
    path = folder / "cliffwatch.yaml"
    port = Daemon(path).port if path.exists() else free_port()
    suite = {"name": "facts", "probes": [{"id": f"fact-{n}", "prompt": f"Fact {n}?"} for n in range(probes)]}
    (folder / "facts.yaml").write_text(yaml.safe_dump(suite))
    settings = {
        "store": f"sqlite:///{folder}/cliffwatch.db",
        "providers": {"gateway": {"kind": "openai", "base_url": url, "free": True, **(provider_settings or {})}},
        "targets": {
            name: {"subject": {"provider": "gateway", "model": name}, "suites": ["facts.yaml"]} for name in targets
        },
        "schedule": {"batches": 1, "day_seconds": day_seconds},
        **more,
    }
    path.write_text(yaml.safe_dump(settings) + f"http: {{port: {port}}}\n")
    return path


def rows(config: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(config.with_name("cliffwatch.db"), timeout=30)) as store:
        return store.execute(query).fetchall()


def change(config: Path, statement: str, parameters: Sequence[Any] = ()) -> None:
    """Change the store behind the daemon's back, as an earlier daemon would have left it."""
    with closing(sqlite3.connect(config.with_name("cliffwatch.db"), timeout=30)) as store, store:
        store.execute(statement, parameters)


def reply(url: str) -> tuple[int, Any]:
    """Status and body, parsed if it is JSON."""
    try:
        with urlopen(url, timeout=10) as answer:
            status, body = answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            status, body = error.code, error.read().decode()
    with contextlib.suppress(ValueError):
        return status, json.loads(body)
    return status, body
