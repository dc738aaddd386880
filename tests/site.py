"""The pages over a store, served as the daemon serves them, in a thread: for tests that are a browser or a program."""

import asyncio
import threading
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import yaml

from monitor.core.records import Alarm
from monitor.core.settings import Settings
from monitor.daemon.actions import Actions
from monitor.report.metrics import Internals
from monitor.report.web import create_app
from monitor.report.web.authorization import Acting
from monitor.report.web.server import Server
from monitor.report.web.tokens import Tokens
from monitor.runs.context import RunContext, build_context
from monitor.store import open_store
from tests import fleet

TOKENS: Final = {
    "alice": "alices-token-0123456789abcdef0123456789",
    "bob": "bobs-token-should-not-appear-0123456789",
}


class Site:
    """``with Site(fleet_file) as site``: a served copy of the fleet's store; ``now`` is what its clock says.

    ``people``: may act through it; nobody: the pages only read.
    """

    def __init__(self, store_file: Path, people: dict[str, str] = TOKENS, **http: Any) -> None:
        folder = store_file.parent
        self.store = open_store(f"sqlite:///{store_file}")
        self.now: datetime = fleet.NOW
        self.tokens = Tokens(people)
        actions = {name: {"token_env": "UNREAD"} for name in people}
        self.settings: Settings = fleet.settings().model_copy(
            update={
                "http": Settings.model_validate(
                    fleet.settings().model_dump() | {"http": {"actions": actions, **http}}
                ).http
            }
        )
        (folder / "probes").mkdir(exist_ok=True)
        probes = [{"id": probe, "prompt": f"What of {probe}?"} for probe in fleet.PROBES]
        (folder / "probes" / f"{fleet.SUITE}.yaml").write_text(yaml.safe_dump({"name": fleet.SUITE, "probes": probes}))
        self.context: RunContext = build_context(self.settings, folder, self.store, clock=lambda: self.now)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        acting = Acting(Actions(lambda: self.context), lambda: self.tokens) if people else None
        app = create_app(
            self.store, lambda: self.settings, Internals(), lambda: {"ok": True, "last_tick_age_seconds": 1.0},
            self._reload, lambda: self.now, acting,
        )  # fmt: skip
        self._server = Server(app, "127.0.0.1", 0)
        self.url = ""

    async def _reload(self) -> str | None:
        return None

    def open_alarm(self, signal: str = "adapter_loss", target: str = "support-bot") -> Alarm:
        (found,) = [one for one in self.store.alarms(target, raised=True) if one.signal == signal]
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(30)}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.store.close()

    async def _stop(self) -> None:
        await self._server.stop()
        await self.context.asker.aclose()
