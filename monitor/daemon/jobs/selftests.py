"""Runs self-tests when they are due, on the answers of approved baselines in the store.

The test itself is ``detect.selftest``. It makes no calls and costs only processor time, so the daemon runs one test at
a time, in a thread.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from threading import Event
from typing import Final

import structlog

from monitor.core import schedule
from monitor.core.condition_words import render
from monitor.core.records import Baseline, BaselineStatus, Comparison, SelfTest
from monitor.detect.selftest import failures, self_test
from monitor.runs import arming
from monitor.runs.context import RunContext
from monitor.runs.readonly import armed, temperature
from monitor.runs.verdict import thresholds_log10

log = structlog.get_logger()

LOOK_SECONDS: Final = 300.0
"""Interval of checks for due tests; shorter on a demo's fast clock."""

LEAST_DAY_SECONDS: Final = 3600.0
"""Shortest day on which the daemon runs self-tests. A test takes a minute of processor time or more, so on a demo's
clock it would delay the runs; use ``cliffwatch selftest`` there."""


def self_test_all(
    context: RunContext, target: str | None, stop: Event, done: Callable[[SelfTest], None] = lambda one: None
) -> list[SelfTest]:
    """Test every baseline in use of one target or of all. Calls ``done`` after each fault."""
    return [one for baseline in _in_use(context) if target in (None, baseline.target)
            for one in self_test_one(context, baseline, stop, done)]  # fmt: skip


def self_test_one(
    context: RunContext, baseline: Baseline, stop: Event, done: Callable[[SelfTest], None] = lambda one: None
) -> list[SelfTest]:
    """Test one baseline, store the result, and log failures as errors. Empty if it has less than two days.

    After ``stop`` is set, ends at the next fault and stores nothing.
    """
    log.info("selftest_begins", target=baseline.target, suite=baseline.suite, answers=baseline.answers)
    tests = []
    for one in self_test(_comparison(context, baseline), context.clock()):
        tests.append(one)
        done(one)
        if stop.is_set():
            return []
    context.store.save_self_tests(tests)
    failed, lacks = failures(tests), render(baseline.conditions)
    for words in failed:
        log.error("selftest_failed", target=baseline.target, suite=baseline.suite, problem=words, lacks=lacks)
    if tests:
        log.info("selftest_done", target=baseline.target, suite=baseline.suite,
                 caught={one.fault: f"{one.caught}/{one.trials}" for one in tests})  # fmt: skip
    return tests


def _comparison(context: RunContext, baseline: Baseline) -> Comparison:
    """The baseline with the current thresholds."""
    page_threshold, ticket_threshold = thresholds_log10(context, baseline.target, baseline.suite)
    found = arming.comparison(context.store, baseline, temperature(context.suites, baseline.suite))
    return replace(found, now=(), page_threshold_log10=page_threshold, ticket_threshold_log10=ticket_threshold)


class SelfTests:
    """The daemon's job: runs due self-tests one after the other, in a thread, without delaying runs."""

    def __init__(self) -> None:
        self._stop = Event()
        self._task: asyncio.Task[None] | None = None
        self._looked: datetime | None = None
        self._tried: dict[int, datetime] = {}

    def begin(self, context: RunContext, now: datetime) -> None:
        """Check what is due, unless a test is in progress or the last check is recent."""
        if context.settings.schedule.day_seconds < LEAST_DAY_SECONDS:
            return
        pause = LOOK_SECONDS * context.settings.schedule.day_seconds / schedule.FULL_DAY
        busy = self._task is not None and not self._task.done()
        if not busy and (self._looked is None or (now - self._looked).total_seconds() >= pause):
            self._looked = now
            self._task = asyncio.create_task(asyncio.to_thread(self._test, context, now), name="self-tests")

    async def end(self) -> None:
        """Stop at the next fault."""
        self._stop.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _test(self, context: RunContext, now: datetime) -> None:
        try:
            for baseline in due(context, now, self._tried):
                if self._stop.is_set():
                    return
                self._tried[baseline.id] = now
                self_test_one(context, baseline, self._stop)
        except Exception:
            log.exception("selftest_crashed")


def due(context: RunContext, now: datetime, tried: Mapping[int, datetime]) -> list[Baseline]:
    """Baselines in use whose test is older than the current period or than their approval.

    ``tried``: baseline id -> when this process last tested it, with any result.
    """
    slot = schedule.current_slot(context.settings.schedule.selftest, context.settings.schedule, now)
    tested = {(one.target, one.suite): one.tested_at for one in context.store.self_tests()}
    found = []
    for baseline in _in_use(context):
        since = max(slot, baseline.approved_at or slot)
        times = (tried.get(baseline.id), tested.get((baseline.target, baseline.suite)))
        if not any(at is not None and at >= since for at in times):
            found.append(baseline)
    return found


def _in_use(context: RunContext) -> Iterator[Baseline]:
    """Approved baselines that runs are compared with."""
    for baseline in context.store.baselines(status=BaselineStatus.APPROVED):
        configured = context.settings.targets.get(baseline.target)
        if configured is not None and baseline.suite in configured.run_suites and armed(context, baseline):
            yield baseline
