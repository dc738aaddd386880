"""Takes the inputs that clients push: a bounded queue, a process that reads and redacts them, and their reservoirs.

The reservoirs are in memory and go to the store at every tick and at the stop. A killed daemon loses what came since
the last tick.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from monitor.core.clock import utcnow
from monitor.core.errors import StoreError
from monitor.core.settings import Settings
from monitor.judge.bounded import keyless_environment
from monitor.sample.push_process import frame
from monitor.sample.pushed import Inputs, Outcome, Result, Taken, oldest_kept
from monitor.store import Store

if TYPE_CHECKING:
    from monitor.report.web.inputs_api import Inputting
    from monitor.report.web.tokens import Tokens

log = structlog.get_logger()

QUEUE_BYTES: Final = 32 * 2**20
"""Bytes of the bodies that are being received, or wait, or are being read."""

QUEUE_REQUESTS: Final = 16

MEMORY_BYTES: Final = 512 * 2**20
"""Memory that one body may cost the process that reads it."""

WALL_SECONDS: Final = 60.0
"""Time limit of one body, on a machine that gives the process little of a CPU."""

FORGET_EVERY: Final = timedelta(hours=1)


def tokens_of(settings: Settings) -> "tuple[Tokens, Tokens]":
    """The tokens of people, and those of clients that push inputs. Raises ConfigError."""
    from monitor.report.web.tokens import read_tokens

    return read_tokens(settings.http.actions), read_tokens(settings.http.inputs, key="http.inputs")


class Observer(Protocol):
    """Counts for the metrics."""

    def pushed(self, target: str, result: str, count: int) -> None: ...
    def push_request(self, kind: str, status: int) -> None: ...


class Inbox:
    """The pushed inputs of one daemon."""

    def __init__(self, settings: Callable[[], Settings], observer: Observer) -> None:
        self._settings = settings
        self._observer = observer
        self._process = _Process()
        self._lock = Lock()
        self._inputs: dict[str, Inputs] = {}
        self._held = [0, 0]
        self._forgot: datetime | None = None
        self.store: Store | None = None
        """The store, while this daemon holds it; ``None``: inputs are refused."""

    def inputting(self, tokens: "Callable[[], Tokens]") -> "Inputting":
        """What the HTTP side needs. ``tokens``: of the clients."""
        from monitor.report.web.inputs_api import Inputting

        return Inputting(self, tokens, self._observer.push_request)

    @contextmanager
    def room(self, size: int) -> Iterator[bool]:
        """Reserve room for a body of ``size`` bytes. Yields whether there is room."""
        fits = self._held[0] < QUEUE_REQUESTS and self._held[1] + size <= QUEUE_BYTES
        if fits:
            self._hold(1, size)
        try:
            yield fits
        finally:
            if fits:
                self._hold(-1, -size)

    def _hold(self, requests: int, size: int) -> None:
        self._held[0] += requests
        self._held[1] += size

    async def take(self, kind: str, body: bytes, content_type: str, encoding: str, client: str) -> Taken:
        """Read, redact and count what ``client`` sent. Call inside ``room``."""
        settings = self._settings()
        if self.store is None:
            return Taken(503, "this daemon is a standby; send inputs to the active one")
        reply = await self._process.ask(settings, kind, body, content_type, encoding)
        if reply is None:
            return Taken(400, "the body took too much time or memory to read; send fewer inputs in one request")
        try:
            return await asyncio.to_thread(self._take, settings, reply, client, utcnow())
        except StoreError as error:
            log.warning("inputs_refused", error=str(error))
            return Taken(503, "the store is not available")

    def _take(self, settings: Settings, reply: bytes, client: str, now: datetime) -> Taken:
        read: dict[str, Any] = json.loads(reply)
        if "error" in read:
            return Taken(*read["error"])
        by_target: dict[str, list[Mapping[str, Any]]] = {}
        for one in read["results"]:
            by_target.setdefault(one["target"], []).append(one)
        outcomes = [Outcome(index, "", given, Result.INVALID, "", why) for index, given, why in read["invalid"]]
        with self._lock:
            for target, results in by_target.items():
                outcomes += self._take_of(settings, target, results, now, client)
        for target in by_target:
            for result in Result:
                count = sum(1 for one in outcomes if (one.target, one.result) == (target, result))
                self._observer.pushed(target, result, count)
        return Taken(200, "", read["records"], tuple(sorted(outcomes, key=lambda one: one.index)))

    def _take_of(
        self, settings: Settings, target: str, results: list[Mapping[str, Any]], now: datetime, client: str
    ) -> list[Outcome]:
        configured = settings.targets.get(target)
        store = self.store
        if configured is None or configured.production is None or store is None:
            raise StoreError("the target or the store was given up meanwhile")
        sample = configured.production.sample
        inputs = self._inputs.get(target)
        if inputs is None or inputs.sample != sample:
            if inputs is not None:
                self._save(store, {target: inputs})
            inputs = self._inputs[target] = Inputs(target, sample, store.pushed_ids(target))

        def stored(opened: datetime) -> Any:
            return store.pushed_windows(target, opened, opened + timedelta(microseconds=1))

        return inputs.take(results, settings.schedule, now, client, stored)

    def flush(self, now: datetime) -> None:
        """Write what changed to the store. Raises StoreError; then the next call writes it."""
        with self._lock:
            if self.store is None:
                return
            self._save(self.store, self._inputs)
            if self._forgot is None or now - self._forgot >= FORGET_EVERY:
                self.store.forget_pushed(oldest_kept(self._settings().schedule, now))
                self._forgot = now

    def _save(self, store: Store, inputs: Mapping[str, Inputs]) -> None:
        changes = {target: one.changes() for target, one in inputs.items()}
        windows = [change for some, _ in changes.values() for change in some]
        ids = [part for _, some in changes.values() for part in some]
        if windows or ids:
            store.save_pushed(windows, ids)
            for one in inputs.values():
                one.stored()

    async def turn(self, store: Store | None, now: datetime) -> None:
        """Call at every tick: write what came. ``None``: another daemon has the store, so inputs are refused.

        Raises StoreError; what came is kept in memory, and the next tick writes it.
        """
        if store is None and self.store is not None:
            self.store = None
            await asyncio.to_thread(self._give_up)
        self.store = store
        await asyncio.to_thread(self.flush, now)

    def _give_up(self) -> None:
        with self._lock:
            self._inputs.clear()

    async def stop(self, now: datetime) -> None:
        """Store the rest, and end the process. Call when the server no longer takes requests."""
        await self._process.stop()
        with suppress(StoreError):  # an unavailable store must not keep the daemon from stopping
            await asyncio.to_thread(self.flush, now)


class _Process:
    """The process that reads bodies, one at a time. Started at the first one."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._knows: dict[str, Settings] = {}
        """Kind -> the settings whose rules the process has."""

    async def ask(self, settings: Settings, kind: str, body: bytes, content_type: str, encoding: str) -> bytes | None:
        """The reply to a body as JSON; ``None`` if it cost too much time or memory."""
        async with self._turn:
            process = await self._started()
            head: dict[str, Any] = {"kind": kind, "type": content_type, "encoding": encoding}
            if self._knows.get(kind) is not settings:
                head["targets"] = _rules(settings, kind)
                self._knows[kind] = settings
            try:
                async with asyncio.timeout(WALL_SECONDS):
                    return await _exchange(process, frame(head, body))
            except (OSError, EOFError, TimeoutError):
                await self._end()
                return None
            except asyncio.CancelledError:
                await self._end()  # its reply would be taken for that to the next body
                raise

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._knows.clear()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "monitor.sample.push_process", str(MEMORY_BYTES),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env=keyless_environment(), start_new_session=True,
            )  # fmt: skip
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def stop(self) -> None:
        async with self._turn:
            await self._end()


async def _exchange(process: asyncio.subprocess.Process, request: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(request)
    await process.stdin.drain()
    lengths = await process.stdout.readexactly(16)
    return await process.stdout.readexactly(int.from_bytes(lengths[:8], "big"))


def _rules(settings: Settings, kind: str) -> dict[str, Any]:
    """The sources of ``kind`` by target, as JSON."""
    return {
        name: {"source": found.source.model_dump(mode="json"), "stratify": found.stratify}
        for name, target in settings.targets.items()
        if (found := target.production) is not None and found.source.kind == kind and found.source.pushed
    }
