"""The daemon: wires the stages, starts, reloads and stops them. Tests embed it; ``cliffwatch run`` runs it.

APScheduler is only the clock. What is due, running or done stands in the store, so a daemon that was killed
goes on where it was, and one that was down does the latest missed run once.
"""

import asyncio
import logging
import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from monitor import config
from monitor.core import schedule
from monitor.core.clock import utcnow
from monitor.core.errors import CliffwatchError, ConfigError
from monitor.core.records import Run
from monitor.core.settings import Settings
from monitor.daemon.jobs.heartbeat import Heartbeat
from monitor.daemon.jobs.identity_checks import Identities
from monitor.daemon.jobs.mailer import Mailer
from monitor.daemon.jobs.selftests import SelfTests
from monitor.daemon.jobs.warm_metrics import FirstScrape
from monitor.report.metrics import Internals
from monitor.report.status import client
from monitor.runs.context import RunContext, build_context, declare, ensure_run
from monitor.runs.execute import TRY_AGAIN, execute_run
from monitor.store import Store, open_store

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    from monitor.report.web.authorization import Acting
    from monitor.report.web.tokens import Tokens

log = structlog.get_logger()

RUNS_AT_ONCE: Final = 64
"""Runs in flight in one process: many, so that those of a hanging provider do not hold up the others'. How many calls
are out is bounded by each provider's own limits."""

TICK_SECONDS: Final = 5.0
"""Between two looks at the ledger; less on a demo's fast clock."""

STANDSTILL_SECONDS: Final = 60.0
"""A clock without a successful tick for so long is started again."""

DEAD_SECONDS: Final = 600.0
"""Without a successful tick for so long, /healthz says that the daemon is not alive. Long enough that a store which
is away for some minutes does not have the daemon restarted: that would not bring it back."""


class Chore(Protocol):
    """Work of the daemon beside its runs: begun at every tick, where something is due; it holds up no tick."""

    def begin(self, context: RunContext, now: datetime) -> None: ...
    async def end(self) -> None: ...


def _read_tokens(settings: Settings) -> "Tokens":
    from monitor.report.web.tokens import read_tokens

    return read_tokens(settings.http.actions)


async def _close_after(context: RunContext | None, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Close a house's connections and threads when the runs that use it are over."""
    await asyncio.gather(*tasks, return_exceptions=True)
    if context is not None:
        await context.asker.aclose()
        if context.embedder is not None:
            context.embedder.close()


class App:
    """One daemon process. ``await start()``, then ``await stop()``; ``reload()`` at any time between."""

    def __init__(self, config_path: Path) -> None:
        self.config_path = config_path
        self.internals = Internals()
        self.store: Store | None = None
        self.context: RunContext | None = None
        self.port: int | None = None
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._streams: set[tuple[str, str, bool]] = set()
        """(target, suite, whether it confirms) of the runs at work."""
        self._slots = asyncio.Semaphore(RUNS_AT_ONCE)
        self._closing: set[asyncio.Task[None]] = set()
        self._chores: tuple[Chore, ...] = (
            Heartbeat(), FirstScrape(self.internals), SelfTests(), Identities(), Mailer(),
        )  # fmt: skip
        self._last_tick: float | None = None
        self._clock_started = monotonic()
        self._reload_lock = asyncio.Lock()
        self._scheduler: AsyncIOScheduler | None = None
        self._tick_seconds = TICK_SECONDS

    async def start(self) -> None:
        """Open the store, serve HTTP, and begin to tick.

        Raises ConfigError (also when the port is taken) or StoreError before anything runs.
        """
        settings = config.load(self.config_path)
        self.store = await asyncio.to_thread(open_store, settings.store)
        self.context = build_context(settings, self.config_path.parent, self.store, self.internals.observe_call)
        self.internals.reloaded(ok=True, at=utcnow())
        await self._serve(settings)
        await asyncio.to_thread(declare, self.context)
        self._start_clock(settings)
        self._guarding = asyncio.create_task(self._guard())
        log.info("started", config=str(self.config_path), url=self.url, targets=len(settings.targets))

    @property
    def url(self) -> str:
        assert self.context is not None
        return f"http://{self.context.settings.http.host}:{self.port}"

    async def stop(self) -> None:
        """Stop the clock, let go of the runs (what came back is recorded), close the server and the store."""
        log.info("stopping", runs=len(self._runs))
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
        for task in (tasks := [self._guarding, *self._runs.values()]):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*self._closing, *(chore.end() for chore in self._chores), return_exceptions=True)
        await _close_after(self.context, [])
        await self._server.stop()
        if self.store is not None:
            self.store.close()
        log.info("stopped")

    async def reload(self) -> str | None:
        """Read the configuration again; a bad file keeps the old one. The error's text, or ``None``."""
        async with self._reload_lock:
            try:
                settings = await asyncio.to_thread(config.load, self.config_path)
                assert self.store is not None
                assert self.context is not None
                fixed = self.context.settings
                if (settings.store, settings.http) != (fixed.store, fixed.http):
                    raise ConfigError(f"{self.config_path}: store and http cannot change at a reload; restart for that")
                tokens = _read_tokens(settings)
                context = await asyncio.to_thread(
                    build_context, settings, self.config_path.parent, self.store, self.internals.observe_call
                )
                await asyncio.to_thread(declare, context)
            except CliffwatchError as error:
                self.internals.reloaded(ok=False, at=utcnow())
                log.error("reload_failed", error=str(error), kept="the configuration from before")
                return str(error)
            # Runs in flight keep the house they began with; the next tick uses the new one.
            self._closing.add(closing := asyncio.create_task(_close_after(self.context, list(self._runs.values()))))
            closing.add_done_callback(self._closing.discard)
            self.context, self._tokens = context, tokens
            self.internals.reloaded(ok=True, at=utcnow())
            self._start_clock(settings)
            log.info("reloaded", config=str(self.config_path))
            return None

    async def tick(self, now: datetime) -> None:
        """One look at the ledger: make the runs that are due, hand out what can be worked on.

        Proof against any exception, because a clock that dies is a silence that nobody hears.
        """
        try:
            assert self.context is not None
            assert self.store is not None
            context, store = self.context, self.store
            wanted = await asyncio.to_thread(self._plan, context, now)
            for target, suite, slot in wanted:
                run = await asyncio.to_thread(ensure_run, context, target, suite, slot)
                log.info("run_due", target=target, suite=suite, run=run.id, slot=slot.isoformat())
            await asyncio.to_thread(store.close_due_baselines, now)
            await asyncio.to_thread(store.release_expired, now)
            for run in await asyncio.to_thread(store.due_runs, now):
                self._dispatch(run)
            for chore in self._chores:
                chore.begin(context, now)
            self._last_tick = monotonic()
            self.internals.ticked(now)
        except Exception:
            self.internals.tick_failed()
            log.exception("tick_failed")

    def _plan(self, context: RunContext, now: datetime) -> list[tuple[str, str, datetime]]:
        slots = context.store.latest_slots()
        latest = {
            (target, suite): slots.get((target, suite))
            for target, configured in context.settings.targets.items()
            for suite in configured.run_suites
        }
        return schedule.due(context.settings, now, latest)

    def _dispatch(self, run: Run) -> None:
        """The inline dispatcher: a task in this process, at most ``RUNS_AT_ONCE`` at work.

        A run that this configuration does not know is left alone: another daemon's, on the same store. Of one stream
        only one run is asked at a time, so that a machine which is behind has no queue at its provider; a fresh sample
        waits for none of that, nor for a free place: it has one run's questions before it, not all that are late.
        """
        assert self.context is not None
        target = self.context.settings.targets.get(run.target)
        if run.id in self._runs or target is None or run.suite not in target.run_suites:
            return
        stream = (run.target, run.suite, run.confirms is not None)
        if stream in self._streams:
            return
        places = self._slots if run.confirms is None else nullcontext()
        task = asyncio.create_task(self._execute(self.context, run.id, places), name=f"run-{run.id}")
        self._runs[run.id] = task
        self._streams.add(stream)

        def over(_: asyncio.Task[None]) -> None:
            self._runs.pop(run.id, None)
            self._streams.discard(stream)

        task.add_done_callback(over)

    async def _execute(self, context: RunContext, run_id: int, places: AbstractAsyncContextManager[None]) -> None:
        async with places:
            try:
                await execute_run(context, run_id)
            except Exception:
                self.internals.run_failed()
                log.exception("run_failed", run=run_id, next=f"it is tried again in {TRY_AGAIN.total_seconds():.0f} s")

    def health(self) -> Mapping[str, object]:
        """What /healthz says: alive as long as the clock ticks."""
        age = None if self._last_tick is None else monotonic() - self._last_tick
        return {"ok": age is not None and age < DEAD_SECONDS, "last_tick_age_seconds": age}

    def _start_clock(self, settings: Settings) -> None:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
        self._tick_seconds = min(TICK_SECONDS, max(0.2, settings.schedule.day_seconds / 50))
        # The tick reports its own failures; what APScheduler would say beside is that a tick took longer than its
        # interval (harmless: they are coalesced) or was cancelled at the stop.
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_job(
            self._tick_now, "interval", seconds=self._tick_seconds, next_run_time=utcnow(),
            max_instances=1, coalesce=True, misfire_grace_time=None,
        )  # fmt: skip
        self._scheduler.start()
        self._clock_started = monotonic()

    async def _tick_now(self) -> None:
        await self.tick(utcnow())

    async def _guard(self) -> None:
        """Start the clock again when it stands still: an error inside APScheduler 3 stops it without a word."""
        while True:
            await asyncio.sleep(STANDSTILL_SECONDS / 4)
            if monotonic() - max(self._last_tick or 0.0, self._clock_started) > STANDSTILL_SECONDS:
                log.error("clock_stood_still", seconds=STANDSTILL_SECONDS, next="starting it again")
                self._start_clock(self.current)

    async def _serve(self, settings: Settings) -> None:
        from monitor.report.web import create_app
        from monitor.report.web.server import Server

        assert self.store is not None
        app = create_app(
            self.store, lambda: self.current, self.internals, self.health, self.reload,
            acting=self._acting(settings), standing=self._standing,
        )  # fmt: skip
        self._server = Server(app, settings.http.host, settings.http.port)
        try:
            self.port = self.internals.port = await self._server.start()
        except OSError as error:
            raise ConfigError(f"{self.config_path}: http: {error.strerror}; give another http.port") from error

    def _standing(self, everything: bool) -> str:
        """How the fleet stands, for ``cliffwatch status``."""
        from monitor.report.status.fleet import status
        from monitor.runs.readonly import ReadOnlyContext

        assert self.context is not None
        kept = ReadOnlyContext(self.context.settings, self.context.suites, self.context.store, self.context.clock)
        return client.render_status(status(kept, everything=everything), self.config_path)

    def _acting(self, settings: Settings) -> "Acting | None":
        """What people may do through the pages; ``None`` where the configuration names nobody. Raises ConfigError."""
        from monitor.daemon.actions import Actions
        from monitor.report.web.authorization import Acting

        if not settings.http.actions:
            return None
        self._tokens = _read_tokens(settings)
        return Acting(Actions(self._house_now), lambda: self._tokens)

    def _house_now(self) -> RunContext:
        assert self.context is not None
        return self.context

    @property
    def current(self) -> Settings:
        """The settings in force."""
        assert self.context is not None
        return self.context.settings


async def run_daemon(config_path: Path) -> None:
    """``cliffwatch run``: start, then wait for SIGTERM or SIGINT; SIGHUP reloads."""
    app = App(config_path)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[str | None]] = set()

    def reload() -> None:
        task = asyncio.create_task(app.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await app.start()
    with suppress(asyncio.CancelledError):
        await stop.wait()
    await app.stop()
