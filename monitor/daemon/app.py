"""The daemon: wires the stages, starts, reloads and stops them. ``cliffwatch run`` runs it, and tests embed it.

APScheduler is only the clock. The store has what is due, running or done, so a killed daemon continues where it
stopped, and one that was down makes the latest missed run once.
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
from monitor.core.errors import CliffwatchError, ConfigError, StoreError
from monitor.core.records import Run
from monitor.core.settings import Settings
from monitor.daemon.jobs.heartbeat import Heartbeat
from monitor.daemon.jobs.identity_checks import Identities
from monitor.daemon.jobs.mailer import Mailer
from monitor.daemon.jobs.selftests import SelfTests
from monitor.daemon.jobs.warm_metrics import FirstScrape
from monitor.daemon.sole import SoleDaemon
from monitor.judge.bounded import BOUNDED
from monitor.report.metrics import Internals
from monitor.report.status import client
from monitor.runs.context import RunContext, build_context, declare, ensure_run
from monitor.runs.execute import TRY_AGAIN, execute_run
from monitor.runs.rejudge import judge_anew
from monitor.store import Store, open_store

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    from monitor.report.web.authorization import Acting
    from monitor.report.web.tokens import Tokens

log = structlog.get_logger()

RUNS_AT_ONCE: Final = 64
"""Runs in flight in one process: many, so that runs of a hanging provider do not delay others. Each provider's limits
bound the number of calls."""

TICK_SECONDS: Final = 5.0
"""Interval of ticks; shorter on a demo's fast clock."""

STANDSTILL_SECONDS: Final = 60.0
"""Time without a successful tick after which the clock is restarted."""

OUTAGE_SECONDS: Final = 60.0
"""Time between two log lines of an outage of the store."""

DEAD_SECONDS: Final = 600.0
"""Time without a successful tick after which /healthz reports that the daemon is not alive. Long enough that an outage
of the store for some minutes does not restart the daemon, which would not help."""


class Job(Protocol):
    """Work of the daemon next to its runs. Started at each tick if something is due; never delays a tick."""

    def begin(self, context: RunContext, now: datetime) -> None: ...
    async def end(self) -> None: ...


def _read_tokens(settings: Settings) -> "Tokens":
    from monitor.report.web.tokens import read_tokens

    return read_tokens(settings.http.actions)


def _take_over(context: RunContext) -> None:
    """What the daemon that holds the store does first."""
    declare(context)
    judge_anew(context)


async def _close_after(context: RunContext | None, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Close a context's connections and threads when the runs that use it have ended."""
    await asyncio.gather(*tasks, return_exceptions=True)
    if context is not None:
        await context.asker.aclose()
        if context.embedder is not None:
            context.embedder.close()


class App:
    """One daemon process. ``await start()``, then ``await stop()``; ``reload()`` at any time between."""

    def __init__(self, config_path: Path, *, standby: bool = False) -> None:
        """``standby``: if another daemon works on the store, wait for its end instead of raising StoreError."""
        self.config_path = config_path
        self._sole = SoleDaemon(standby=standby)
        self.internals = Internals()
        self.store: Store | None = None
        self.context: RunContext | None = None
        self.port: int | None = None
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._series: set[tuple[str, str, bool]] = set()
        """(target, suite, whether it confirms) of the runs in progress."""
        self._slots = asyncio.Semaphore(RUNS_AT_ONCE)
        self._closing: set[asyncio.Task[None]] = set()
        self._jobs: tuple[Job, ...] = (
            Heartbeat(lambda: self._sole.active), FirstScrape(self.internals), SelfTests(), Identities(), Mailer(),
        )  # fmt: skip
        self._last_tick: float | None = None
        self._last_outage = float("-inf")
        self._clock_started = monotonic()
        self._reload_lock = asyncio.Lock()
        self._scheduler: AsyncIOScheduler | None = None
        self._tick_seconds = TICK_SECONDS

    async def start(self) -> None:
        """Open the store, serve HTTP, and start ticking.

        Raises ConfigError (also if the port is in use) or StoreError before anything runs.
        """
        settings = config.load(self.config_path)
        self.store = await asyncio.to_thread(open_store, settings.store)
        try:
            await asyncio.to_thread(self._sole.start, self.store, utcnow())
        except StoreError:
            self.store.close()
            raise
        self.context = build_context(settings, self.config_path.parent, self.store, self.internals.observe_call)
        self.internals.reloaded(ok=True, at=utcnow())
        await self._serve(settings)
        if self._sole.active:
            await asyncio.to_thread(_take_over, self.context)
        self._start_clock(settings)
        self._guarding = asyncio.create_task(self._guard())
        log.info("started", config=str(self.config_path), url=self.url, targets=len(settings.targets))

    @property
    def url(self) -> str:
        assert self.context is not None
        return f"http://{self.context.settings.http.host}:{self.port}"

    async def stop(self) -> None:
        """Stop the clock, cancel the runs (received answers are recorded), close the server and the store."""
        log.info("stopping", runs=len(self._runs))
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
        for task in (tasks := [self._guarding, *self._runs.values()]):
            task.cancel()
        BOUNDED.stop()  # a thread that waits for a check ends at once
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*self._closing, *(job.end() for job in self._jobs), return_exceptions=True)
        await _close_after(self.context, [])
        await self._server.stop()
        if self.store is not None:
            self.store.close()
        log.info("stopped")

    async def reload(self) -> str | None:
        """Reload the configuration; an invalid file keeps the old one. Returns the error's text, or ``None``."""
        async with self._reload_lock:
            try:
                settings = await asyncio.to_thread(config.load, self.config_path)
                assert self.store is not None
                assert self.context is not None
                fixed = self.context.settings
                if (settings.store, settings.http) != (fixed.store, fixed.http):
                    raise ConfigError(f"{self.config_path}: a reload cannot change store and http; restart the daemon")
                tokens = _read_tokens(settings)
                context = await asyncio.to_thread(
                    build_context, settings, self.config_path.parent, self.store, self.internals.observe_call
                )
                if self._sole.active:
                    await asyncio.to_thread(declare, context)
            except CliffwatchError as error:
                self.internals.reloaded(ok=False, at=utcnow())
                log.error("reload_failed", error=str(error), kept="the previous configuration")
                return str(error)
            # Runs in flight keep their context; the next tick uses the new one.
            self._closing.add(closing := asyncio.create_task(_close_after(self.context, list(self._runs.values()))))
            closing.add_done_callback(self._closing.discard)
            self.context, self._tokens = context, tokens
            self.internals.reloaded(ok=True, at=utcnow())
            self._start_clock(settings)
            log.info("reloaded", config=str(self.config_path))
            return None

    async def tick(self, now: datetime) -> None:
        """One pass over the run ledger: create runs that are due, and start runs that have work.

        Catches every exception, because nobody would notice a stopped clock.
        """
        try:
            assert self.context is not None
            assert self.store is not None
            context, store = self.context, self.store
            waited = not self._sole.active
            if not await asyncio.to_thread(self._sole.holds, store, now):
                self._last_tick = monotonic()
                return
            if waited:
                await asyncio.to_thread(_take_over, context)
            wanted = await asyncio.to_thread(self._plan, context, now)
            for target, suite, slot in wanted:
                run = await asyncio.to_thread(ensure_run, context, target, suite, slot)
                log.info("run_due", target=target, suite=suite, run=run.id, slot=slot.isoformat())
            await asyncio.to_thread(store.close_due_baselines, now)
            await asyncio.to_thread(store.release_expired, now)
            for run in await asyncio.to_thread(store.due_runs, now):
                self._dispatch(run)
            for job in self._jobs:
                job.begin(context, now)
            self._last_tick = monotonic()
            self.internals.ticked(now)
        except StoreError as error:
            self.internals.tick_failed()
            self._store_unavailable(error)
        except Exception:
            self.internals.tick_failed()
            log.exception("tick_failed")

    def _store_unavailable(self, error: StoreError) -> None:
        """One line a minute: in an outage of the store, every tick and every run fails in the same way."""
        if monotonic() - self._last_outage >= OUTAGE_SECONDS:
            self._last_outage = monotonic()
            log.error("store_unavailable", error=str(error), next="every tick tries again")

    def _plan(self, context: RunContext, now: datetime) -> list[tuple[str, str, datetime]]:
        slots = context.store.latest_slots()
        latest = {
            (target, suite): slots.get((target, suite))
            for target, configured in context.settings.targets.items()
            for suite in configured.run_suites
        }
        return schedule.due(context.settings, now, latest)

    def _dispatch(self, run: Run) -> None:
        """The inline dispatcher: a task in this process, at most ``RUNS_AT_ONCE`` at a time.

        Ignores runs of other configurations: they belong to another daemon on the same store. Runs only one run per
        series at a time, so that a slow machine does not queue runs at its provider. A fresh sample does not wait for
        late runs or a free slot: at most one run's questions are ahead of it.
        """
        assert self.context is not None
        target = self.context.settings.targets.get(run.target)
        if run.id in self._runs or target is None or run.suite not in target.run_suites:
            return
        series = (run.target, run.suite, run.confirms is not None)
        if series in self._series:
            return
        places = self._slots if run.confirms is None else nullcontext()
        task = asyncio.create_task(self._execute(self.context, run.id, places), name=f"run-{run.id}")
        self._runs[run.id] = task
        self._series.add(series)

        def over(_: asyncio.Task[None]) -> None:
            self._runs.pop(run.id, None)
            self._series.discard(series)

        task.add_done_callback(over)

    async def _execute(self, context: RunContext, run_id: int, places: AbstractAsyncContextManager[None]) -> None:
        async with places:
            try:
                await execute_run(context, run_id)
            except StoreError as error:
                self.internals.run_failed()
                self._store_unavailable(error)
            except Exception:
                self.internals.run_failed()
                log.exception("run_failed", run=run_id, next=f"retry in {TRY_AGAIN.total_seconds():.0f} s")

    def health(self) -> Mapping[str, object]:
        """Content of /healthz: alive as long as the clock ticks."""
        age = None if self._last_tick is None else monotonic() - self._last_tick
        alive = age is not None and age < DEAD_SECONDS
        return {"ok": alive, "last_tick_age_seconds": age, "standby": not self._sole.active}

    def _start_clock(self, settings: Settings) -> None:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
        self._tick_seconds = min(TICK_SECONDS, max(0.2, settings.schedule.day_seconds / 50))
        # The tick reports its own failures. APScheduler would only add that a tick took longer than its interval
        # (harmless: ticks are coalesced) or was cancelled at the stop.
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
        """Restart the clock if it stops: an error inside APScheduler 3 stops it silently."""
        while True:
            await asyncio.sleep(STANDSTILL_SECONDS / 4)
            if monotonic() - max(self._last_tick or 0.0, self._clock_started) > STANDSTILL_SECONDS:
                log.error("clock_stood_still", seconds=STANDSTILL_SECONDS, next="restarting it")
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
            raise ConfigError(f"{self.config_path}: http: {error.strerror}; choose another http.port") from error

    def _standing(self, everything: bool) -> str:
        """Status of the fleet, for ``cliffwatch status``."""
        from monitor.report.status.fleet import status
        from monitor.runs.readonly import ReadOnlyContext

        assert self.context is not None
        kept = ReadOnlyContext(self.context.settings, self.context.suites, self.context.store, self.context.clock)
        return client.render_status(status(kept, everything=everything), self.config_path)

    def _acting(self, settings: Settings) -> "Acting | None":
        """Actions on the pages; ``None`` if the configuration names no people. Raises ConfigError."""
        from monitor.daemon.actions import Actions
        from monitor.report.web.authorization import Acting

        if not settings.http.actions:
            return None
        self._tokens = _read_tokens(settings)
        return Acting(Actions(self._current_context), lambda: self._tokens)

    def _current_context(self) -> RunContext:
        assert self.context is not None
        return self.context

    @property
    def current(self) -> Settings:
        """The current settings."""
        assert self.context is not None
        return self.context.settings


async def run_daemon(config_path: Path, *, standby: bool = False) -> None:
    """``cliffwatch run``: start, then wait for SIGTERM or SIGINT. SIGHUP reloads the configuration."""
    app = App(config_path, standby=standby)
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
