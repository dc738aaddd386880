"""Probes of the version to roll back to, a few per run: does it answer, and does it still pass its checks?

Its errors do not affect the run: its questions come after the run's own, have a time limit, and are recorded as
unmeasured without an answer. Its answers are compared only with ``snapshot.compare``, when it gets every question.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final

import structlog

from monitor.ask import LostFence
from monitor.config.suites import SNAPSHOT_PROBES
from monitor.core.errors import StoreError
from monitor.core.records import Arm, Probe, Question, Reason, Recorded, Run, Suite, Unmeasured
from monitor.core.run_kinds import run_kind

if TYPE_CHECKING:
    from monitor.runs.context import RunContext

log = structlog.get_logger()

PATIENCE_SECONDS: Final = 20.0
"""Longest time that a run waits for its snapshot's answers; less if days are shortened."""
QUESTION_SECONDS: Final = 2.0
"""Added for each question beyond ``SNAPSHOT_PROBES``."""


def probes_for_snapshot(run: Run, suite: Suite, *, compare: bool = False) -> list[Probe]:
    """The probes of a run that its snapshot is asked, selected with the run's seed; only those with checks if there are
    any. With ``compare`` all of them, and production inputs.

    Empty for a fresh sample, which only confirms a page, and if the run's kind has no snapshot arm.
    """
    kind = run_kind(run.target, run.suite)
    if run.confirms is not None or Arm.SNAPSHOT not in kind.arms:
        return []
    if compare:
        return list(suite.probes)
    if not kind.frozen_items:
        return []
    checked = [probe for probe in suite.probes if probe.checks] or list(suite.probes)
    return Random(f"{run.seed}/snapshot").sample(checked, min(SNAPSHOT_PROBES, len(checked)))


def patience(context: "RunContext", questions: int = 0) -> float:
    """Seconds."""
    longest = PATIENCE_SECONDS + QUESTION_SECONDS * max(0, questions - SNAPSHOT_PROBES)
    return min(longest, max(1.0, context.settings.schedule.day_seconds / 10))


async def ask_snapshot(context: "RunContext", run: Run, questions: Sequence[Question]) -> None:
    """Ask the snapshot ``questions``; those without an answer in time are recorded as unmeasured.

    Raises LostFence and StoreError, like the run's own questions, but no error of the snapshot.
    """
    if not questions:
        return
    seconds = patience(context, len(questions))
    try:
        async with asyncio.timeout(seconds):
            await context.asker.ask(questions, run.fence)
        return
    except TimeoutError:
        missing = (Reason.TIMEOUT, f"no answer within {seconds:.0f} s; the run did not wait longer", 1)
    except (LostFence, StoreError):
        raise
    except Exception as error:
        # A provider that cannot be opened: missing weights, a missing key file.
        log.error("snapshot_failed", target=run.target, suite=run.suite, run=run.id, error=str(error))
        missing = (Reason.CONNECTION, f"the snapshot could not be asked: {type(error).__name__}", 0)
    await asyncio.to_thread(_record_missing, context, run, questions, *missing)


def _record_missing(
    context: "RunContext", run: Run, questions: Sequence[Question], reason: Reason, detail: str, attempts: int
) -> None:
    answered = context.store.answered(run.id)
    now = context.clock()
    context.store.record(
        [
            Recorded(question, Unmeasured(reason, detail, now, attempts), run.fence, now + timedelta(seconds=10))
            for question in questions
            if question.key not in answered
        ]
    )


def split(questions: Sequence[Question]) -> tuple[list[Question], list[Question]]:
    """The run's own questions, and its snapshot's."""
    own = [question for question in questions if question.arm is not Arm.SNAPSHOT]
    return own, [question for question in questions if question.arm is Arm.SNAPSHOT]
