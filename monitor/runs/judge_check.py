"""Checks of the judge: whether it changed, and a fresh scoring of its anchors before a page depends on it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from monitor.core import schedule
from monitor.core.errors import CliffwatchError
from monitor.core.records import Alarm, AlarmState, Run, Severity, Suite
from monitor.core.run_kinds import JUDGE, run_kind
from monitor.core.signals import CATALOGUE, JUDGE_DRIFT, Grade
from monitor.detect.alarms import decided_by

if TYPE_CHECKING:
    from monitor.runs.context import RunContext

log = structlog.get_logger()

SHARE_OF_DAY: Final = 24
"""All pages of one hour, of any number of targets, share one fresh scoring of the anchors."""

Execute = Callable[[int], Awaitable[object | None]]
"""Work on a run; ``None`` if another worker holds it, or it is done."""


def judge_moved(context: "RunContext") -> bool:
    """Whether the judge itself has an open alarm on its verdicts now. Its length and metadata do not count."""
    judge = context.settings.targets.get(JUDGE.target)
    return judge is not None and any(
        alarm.signal in JUDGE_DRIFT
        for suite in judge.run_suites
        for alarm in context.store.open_alarms(JUDGE.target, suite)
    )


async def check_judge(context: "RunContext", run: Run, suite: Suite, score: Execute) -> None:
    """Score the anchors before a run that decides on a page, if the page depends on the judge's verdicts.

    So a judge that changed since its last daily scoring is detected before anyone is paged. An error here does not
    delay a page.
    """
    if not await asyncio.to_thread(_wanted, context, run, suite):
        return
    length = context.settings.schedule.day_seconds / SHARE_OF_DAY
    slot = datetime.fromtimestamp(context.clock().timestamp() // length * length, UTC)
    for name in context.settings.targets[JUDGE.target].run_suites:
        seed = schedule.run_seed(JUDGE.target, name, slot)
        digest = context.suites[name].digest
        made = await asyncio.to_thread(
            context.store.ensure_run, JUDGE.target, name, slot, seed, digest, next_at=context.clock(), scheduled=False
        )
        log.info("anchors_asked_anew", target=run.target, suite=run.suite, run=run.id, anchors=made.id)
        try:
            while (await asyncio.to_thread(context.store.get_run, made.id)).status != "done":
                if await score(made.id) is None:
                    await asyncio.sleep(0.2)
        except CliffwatchError as error:
            log.error("anchors_failed", target=run.target, suite=run.suite, run=run.id, error=str(error))
        except Exception:
            log.exception("anchors_crashed", target=run.target, suite=run.suite, run=run.id)


def _wanted(context: "RunContext", run: Run, suite: Suite) -> bool:
    judge = context.settings.targets.get(JUDGE.target)
    if judge is None or run_kind(run.target, run.suite) is JUDGE:
        return False
    raised = context.store.open_alarms(run.target, run.suite)
    waiting = {one.signal for one in raised if _decides(run, one, context.clock())}
    if not waiting or judge_moved(context):
        return False
    if not any(context.store.approved(JUDGE.target, name) for name in judge.run_suites):
        return False
    by_judge = any(probe.rubric or suite.rubric for probe in suite.probes)
    checked = {Grade.CHECKS} if all(probe.checks for probe in suite.probes) else set()
    signals = {one.name for one in CATALOGUE if Grade.JUDGE in one.graded_by and not one.graded_by & checked}
    return by_judge and bool(waiting & signals)


def _decides(run: Run, alarm: Alarm, now: datetime) -> bool:
    """Whether somebody may be paged for the alarm after this run."""
    if run.confirms is None:
        return alarm.waits_until is not None and decided_by(alarm, run.slot, now)
    return not (alarm.state is AlarmState.CONFIRMED and alarm.severity is Severity.PAGE)
