"""What this version says of a kept store, as plain JSON: the other half of the comparison with ``golden.json.gz``.

Each function names the product's interfaces in one place, so that a renamed module changes only this file. The shape of
what they return is that of the golden file and stays as it is.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import httpx

from monitor.core.jsonable import plain
from monitor.core.records import Finding
from monitor.core.settings import Settings
from monitor.core.wording import state_of
from monitor.report.explain import claim, recovery
from monitor.report.metrics import Internals
from monitor.report.metrics.collector import StoreCollector
from monitor.report.web import create_app
from monitor.store import Store

FOLDER: Final = Path(__file__).parent
NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""The clock of every answer."""
URL: Final = "http://127.0.0.1:9464"
ALL: Final = 1_000_000
EVERY: Final = 30
"""One finding in so many is asked for by its own address."""


class Remembered:
    """A store that is read and not written: what was read once is not read again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def read(*args: Any, **named: Any) -> Any:
            key = f"{name} {args!r} {named!r}"
            if key not in self._known:
                self._known[key] = method(*args, **named)
            return self._known[key]

        return read


def settings() -> Settings:
    """The configuration under which the golden file was made."""
    return Settings.model_validate_json((FOLDER / "settings.json").read_text(encoding="utf-8"))


def findings(store: Store) -> dict[str, Any]:
    """``run/signal`` -> what is said of that finding, for every finding of the store."""
    alarms, once = store.alarms(limit=ALL), Remembered(store)
    return {f"{one.run_id}/{one.signal}": _finding(once, one, alarms) for one in store.findings(limit=ALL)}


def _finding(store: Any, one: Finding, alarms: Sequence[Any]) -> dict[str, Any]:
    ended = recovery.ending(alarms, one)
    return {
        "alone": state_of(one),
        "listed": state_of(one, ended),
        "summary": recovery.summary(one, ended),
        "severity": one.severity.value,
        "alarming": one.alarming,
        "recovered": one.recovered,
        "confirming": one.confirming,
        "judge_moved": one.judge_moved,
        "claim": plain(claim.claim_of(store, one)),
    }


def scores_of_the_judge(store: Store) -> dict[str, Any]:
    """``findings`` of ``judge_score`` alone."""
    found, once = store.findings(signal="judge_score", limit=ALL), Remembered(store)
    return {f"{one.run_id}/{one.signal}": plain(claim.claim_of(cast(Store, once), one)) for one in found}


def metrics(store: Store, settings: Settings) -> dict[str, Any]:
    """Series as it is written -> its value; and the family's type by its name. Results only: the daemon's own vary."""
    collector = StoreCollector(store)
    collector.refresh(settings, NOW, URL)
    found: dict[str, Any] = {}
    for line in collector.plain(openmetrics=False).decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            found[name] = kind
        elif line and not line.startswith(("#", "cliffwatch_build_info")):
            series, _, value = line.rpartition(" ")
            found[series] = float(value)
    return found


def api(store: Store, settings: Settings) -> dict[str, Any]:
    """Path -> the JSON of every address that shows findings, alarms or targets."""
    app = create_app(
        store, lambda: settings, Internals(), lambda: {"ok": True, "last_tick_age_seconds": 1.0}, _reload, lambda: NOW
    )
    return asyncio.run(_all(app, list(paths(store, settings))))


def paths(store: Store, settings: Settings) -> Iterable[str]:
    yield from (
        "/api/v1/status",
        "/api/v1/targets?limit=1000",
        "/api/v1/alarms?limit=1000",
        "/api/v1/baselines?limit=1000",
    )
    yield from (f"/api/v1/alarms?open={word}" for word in ("true", "false"))
    yield from ("/api/v1/findings?alarming=true&limit=50", "/api/v1/runs?limit=50", "/api/v1/runs/1")
    yield from (f"/api/v1/targets/{name}" for name in settings.targets)
    yield from (f"/api/v1/findings?target={name}&limit=30" for name in ("assistant", "judge", "support-bot", "lost"))
    for one in store.findings(limit=ALL)[::EVERY]:
        yield f"/api/v1/findings/{one.run_id}/{one.signal}"


async def _reload() -> str | None:
    return None


async def _all(app: Any, wanted: Sequence[str]) -> dict[str, Any]:
    transport = httpx.ASGITransport(app=app)
    found = {}
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        for path in wanted:
            reply = await client.get(path)
            assert reply.status_code == 200, f"{path}: {reply.text[:200]}"
            found[path] = {name: value for name, value in json.loads(reply.text).items() if name != "version"}
    return found
