"""The daemon: wires the stages, starts, reloads and stops them. ``cliffwatch run`` runs it, and tests embed it.

APScheduler is only the clock. The store has what is due, running or done, so a killed daemon continues where it
stopped, and one that was down makes the latest missed run once.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from monitor import config
from monitor.core import schedule
from monitor.core.clock import utcnow
from monitor.core.errors import CliffwatchError, ConfigError, StoreError
from monitor.core.limits import asks_nothing_limit
from monitor.core.records import Arm, Run
from monitor.core.settings import Settings
from monitor.daemon.inbox import Inbox, tokens_of
from monitor.daemon.jobs.heartbeat import Heartbeat
from monitor.daemon.jobs.identity_checks import Identities
from monitor.daemon.jobs.mailer import Mailer
from monitor.daemon.jobs.retention import Retention
from monitor.daemon.jobs.selftests import SelfTests
from monitor.daemon.jobs.warm_metrics import FirstScrape
from monitor.daemon.ledger_care import Asking, Clocks, Orphans
from monitor.daemon.memory import Trim
from monitor.daemon.places import Places, providers_of
from monitor.daemon.sole import SoleDaemon, take_over
from monitor.judge.bounded import BOUNDED
from monitor.report.metrics import Internals
from monitor.report.status import client
from monitor.runs.context import RunContext, build_context, declare, ensure_run, same
from monitor.runs.execute import TRY_AGAIN, execute_run
from monitor.store import Store, open_store

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    from monitor.report.web.authorization import Acting

log = structlog.get_logger()

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
        self._places = Places()
        self._asking, self._clocks, self._orphans, self._trim = Asking(), Clocks(), Orphans(), Trim()
        self.internals.watch_asking(lambda: self._asking.idle_seconds)
        self._used: dict[int, RunContext] = {}
        """Run id -> the context that its execution uses."""
        self._failing: set[int] = set()
        """Runs whose last execution failed: they are retried, and count as due until then."""
        self._closing: set[asyncio.Task[None]] = set()
        self._identities = Identities()
        self._jobs: tuple[Job, ...] = (
            Heartbeat(), FirstScrape(self.internals), SelfTests(), self._identities, Mailer(), Retention(),
        )  # fmt: skip
        self._inbox = Inbox(lambda: self.current, self.internals)
        self._last_tick: float | None = None
        self._last_outage = float("-inf")
        self._clock_started = monotonic()
        self._reload_lock = asyncio.Lock()
        self._next_reload: asyncio.Task[str | None] | None = None
        self._scheduler: AsyncIOScheduler | None = None
        self._tick_seconds = TICK_SECONDS

    async def start(self) -> None:
        """Open the store, serve HTTP, and start ticking.

        Raises ConfigError (also if the port is in use) or StoreError before anything runs.
        """
        settings = config.load(self.config_path)
        self.store = await asyncio.to_thread(open_store, settings.store)
        await asyncio.to_thread(self._sole.refuse_beside, self.store, utcnow())
        self.context = self._wire(settings, self.store)
        self.internals.reloaded(ok=True, at=utcnow())
        await self._serve(settings)
        try:
            await asyncio.to_thread(self._sole.start, self.store, utcnow())
        except StoreError:
            await self._server.stop()
            raise
        if self._sole.active:
            await asyncio.to_thread(take_over, self.context)
            await self._inbox.turn(self.store, utcnow())
        self._start_clock(settings)
        self._guarding = asyncio.create_task(self._guard())
        log.info("started", config=str(self.config_path), url=self.url, targets=len(settings.targets))

    def _wire(self, settings: Settings, store: Store) -> RunContext:
        return build_context(settings, self.config_path.parent, store, self._observe_call, waits=self._places.give_back)

    def _observe_call(self, target: str, arm: Arm, provider: str, outcome: str, seconds: float) -> None:
        self._asking.asked()
        self.internals.observe_call(target, arm, provider, outcome, seconds)

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
        await self._inbox.stop(utcnow())
        if self.store is not None:
            await asyncio.to_thread(self._sole.release, self.store, utcnow())
            self.store.close()
        log.info("stopped")

    async def reload(self) -> str | None:
        """Reload the configuration; an invalid file keeps the old one. Returns the error's text, or ``None``.

        Reloads in a row fold: all that arrive while one waits for its turn share that one.
        """
        if self._next_reload is None:
            self._next_reload = asyncio.create_task(self._reload(), name="reload")
        return await asyncio.shield(self._next_reload)

    async def _reload(self) -> str | None:
        async with self._reload_lock:
            self._next_reload = None  # the file is read now: who asks from here on needs another reload
            assert self.store is not None
            try:
                settings = await asyncio.to_thread(config.load, self.config_path)
                fixed = self.current
                if (settings.store, settings.http) != (fixed.store, fixed.http):
                    raise ConfigError(f"{self.config_path}: a reload cannot change store and http; restart the daemon")
                tokens = tokens_of(settings)
                context = await asyncio.to_thread(self._wire, settings, self.store)
                if self._sole.active:
                    await asyncio.to_thread(declare, context)
            except CliffwatchError as error:
                self.internals.reloaded(ok=False, at=utcnow())
                log.error("reload_failed", error=str(error), kept="the previous configuration")
                return str(error)
            self._tokens, self._client_tokens = tokens
            await self.take_over(context)
            self.internals.reloaded(ok=True, at=utcnow())
            log.info("reloaded", config=str(self.config_path))
            return None

    async def take_over(self, context: RunContext) -> None:
        """Use ``context`` from now on, unless it equals the present one. Runs in progress keep theirs."""
        old = self._current_context()
        if same(old, context):
            return await _close_after(context, [])
        using = [task for run_id, task in self._runs.items() if self._used.get(run_id) is old]
        self.context = context
        self._identities.begin(context, utcnow())
        using += self._identities.in_progress
        self._closing.add(closing := asyncio.create_task(_close_after(old, using)))
        closing.add_done_callback(self._closing.discard)
        self._start_clock(context.settings)
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
                await self._inbox.turn(None, now)
                self._last_tick = monotonic()
                return
            await self._inbox.turn(store, now)
            if waited:
                await asyncio.to_thread(take_over, context)
            await asyncio.to_thread(self._clocks.look, context, now)
            wanted = await asyncio.to_thread(self._plan, context, now)
            for target, suite, slot in wanted:
                run = await asyncio.to_thread(ensure_run, context, target, suite, slot)
                if run.status != "done":
                    log.info("run_due", target=target, suite=suite, run=run.id, slot=slot.isoformat())
            await asyncio.to_thread(store.close_due_baselines, now)
            await asyncio.to_thread(store.release_expired, now)
            await asyncio.to_thread(self._orphans.close, context, now)
            due = await asyncio.to_thread(store.due_runs, now, streams=context.streams)
            for run in due:
                self._dispatch(run)
            self._asking.look(due=bool(due or self._failing), in_flight=context.asker.in_flight > 0)
            await asyncio.to_thread(self._asking.say, context, now)
            await asyncio.to_thread(self._trim.now_and_then)
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
        return schedule.due(context.settings, now, latest, context.store.capturing(now))

    def _dispatch(self, run: Run) -> None:
        """The inline dispatcher: a task in this process, which starts when there is a place for it.

        Runs only one run per series at a time, so that a slow machine does not queue runs at its provider. A fresh
        sample does not wait for late runs or a place: at most one run's questions are ahead of it.
        """
        assert self.context is not None
        if run.id in self._runs or (run.target, run.suite) not in self.context.streams:
            return
        series = (run.target, run.suite, run.confirms is not None)
        if series in self._series:
            return
        providers = providers_of(self.context.settings, run.target)
        place = self._places.hold(run.id, providers) if run.confirms is None else nullcontext()
        task = asyncio.create_task(self._execute(run, place), name=f"run-{run.id}")
        self._runs[run.id] = task
        self._series.add(series)

        def over(_: asyncio.Task[None]) -> None:
            self._runs.pop(run.id, None)
            self._used.pop(run.id, None)
            self._series.discard(series)

        task.add_done_callback(over)

    async def _execute(self, run: Run, place: AbstractAsyncContextManager[None]) -> None:
        async with place:
            # The context of now: the run may have waited for its place, and its target may be gone since.
            context = self._used[run.id] = self._current_context()
            if (run.target, run.suite) not in context.streams:
                return
            try:
                if await execute_run(context, run.id) is not None:
                    self._asking.asked()
                self._failing.discard(run.id)
            except StoreError as error:
                self._failing.add(run.id)
                self.internals.run_failed()
                self._store_unavailable(error)
            except Exception:
                self._failing.add(run.id)
                self.internals.run_failed()
                log.exception("run_failed", run=run.id, next=f"retry in {TRY_AGAIN.total_seconds():.0f} s")

    def health(self) -> Mapping[str, object]:
        """Content of /healthz and /readyz: alive as long as the clock ticks, ready as long as it asks what is due."""
        age = None if self._last_tick is None else monotonic() - self._last_tick
        idle = self._asking.idle_seconds
        return {
            "ok": age is not None and age < DEAD_SECONDS,
            "last_tick_age_seconds": age,
            "standby": not self._sole.active,
            "asks_nothing_seconds": idle,
            "asks": self._sole.active and idle <= asks_nothing_limit(self.current.schedule.day_seconds),
        }

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
        self._tokens, self._client_tokens = tokens_of(settings)
        app = create_app(
            self.store, lambda: self.current, self.internals, self.health, self.reload,
            acting=self._acting(settings), standing=self._standing,
            inputting=self._inbox.inputting(lambda: self._client_tokens) if settings.http.inputs else None,
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
        """Actions on the pages; ``None`` if the configuration names no people."""
        from monitor.daemon.actions import Actions
        from monitor.report.web.authorization import Acting

        if not settings.http.actions:
            return None
        return Acting(Actions(self._current_context), lambda: self._tokens)

    def _current_context(self) -> RunContext:
        assert self.context is not None
        return self.context

    @property
    def current(self) -> Settings:
        """The current settings."""
        assert self.context is not None
        return self.context.settings
