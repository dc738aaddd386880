"""What the commands do, between parsing and printing."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monitor.core import sampling, schedule
from monitor.core.errors import UsageError
from monitor.core.finish_reasons import Ending, finish_of
from monitor.core.limits import CAPTURE_DAYS, ENOUGH_DAYS, is_partly
from monitor.core.lookup import chosen_suites, known, known_names
from monitor.core.records import (
    Alarm,
    Answer,
    Arm,
    Baseline,
    BaselineStatus,
    ConditionState,
    Finding,
    Outcome,
    Question,
    Reason,
    Run,
    RunOutcome,
    SampleAccount,
)
from monitor.core.run_kinds import FROZEN, PRODUCTION, run_kind, suite_kind
from monitor.core.texts import is_empty
from monitor.core.wording import hashes_only, many

if TYPE_CHECKING:
    from monitor.ask import Explanation
    from monitor.judge.checks import Grade, Missing
    from monitor.runs.context import RunContext


def at_once_warning(target: str) -> str:
    """Warning about the limits of a baseline that is captured at once, with the alternative."""
    return (
        "Captured at once: this does not measure how much days differ, so the baseline cannot arm pages and raises "
        f"tickets late. {_to_arm(target)}"
    )


def short_warning(target: str, days: int) -> list[str]:
    """Warning about a baseline of ``days`` days; empty if they are enough."""
    if days >= ENOUGH_DAYS or not run_kind(target).may_page:
        return []
    return [f"A baseline of {many(days, 'day')} cannot arm pages: it raises tickets only. {_to_arm(target)}"]


def _to_arm(target: str) -> str:
    if not run_kind(target).may_page:
        return f"Better: cliffwatch baseline capture {target} --days {CAPTURE_DAYS}."
    return f"To arm pages: cliffwatch baseline capture {target} --days {CAPTURE_DAYS} (at least {ENOUGH_DAYS})."


def cannot_page(baseline: Baseline) -> list[str]:
    """Warnings about a baseline that cannot arm pages whatever its answers are; empty if it may."""
    return [at_once_warning(baseline.target)] if baseline.at_once else short_warning(baseline.target, baseline.days)


def lacks(context: "RunContext", baseline: Baseline) -> list[str]:
    """Conditions of signals that the baseline does not fulfil, in sentences."""
    from monitor.core.condition_words import render
    from monitor.runs.conditions import conditions_of

    return render(conditions_of(context.settings, context.store, context.store.baseline(baseline.id)))


NOTHING: Final[frozenset[str]] = frozenset()
ASKS: Final = frozenset(("providers",))
MAILS: Final = frozenset(("email",))
"""Sections of the configuration whose secrets a command needs."""


@contextmanager
def opened(config_path: Path, needs: frozenset[str], target: str | None = None) -> Iterator["RunContext"]:
    """Opens the run context of a configuration, for one command that needs the secrets of the sections ``needs``.

    Raises UsageError for an unknown ``target`` before the store is opened.
    """
    from monitor import config
    from monitor.runs.context import build_context
    from monitor.store import open_store

    settings = config.load(config_path, keys=needs)
    known_names(settings, target)
    store = open_store(settings.store)
    try:
        yield build_context(settings, config_path.parent, store, asks=needs >= ASKS)
    finally:
        store.close()


FIXES: Final[Mapping[str, str]] = {
    Reason.BUDGET: "The day's budget is spent: raise `targets.{target}.budget`, or retry after 00:00 UTC",
    Reason.UNPRICED: "A price is missing: add the model to its provider's `prices`",
}
"""Reason why a question was never sent -> what to do. For other reasons, a single call explains more."""


@dataclass(frozen=True, slots=True)
class Probed:
    """Result of one manual run."""

    run: Run
    findings: tuple[Finding, ...]
    armed: bool
    unmeasured: Mapping[str, int]
    """Reason -> the number of the run's questions, of all arms but the snapshot, without a usable answer."""
    questions: int
    """Number of questions of all arms but the snapshot, the judge's included; 0 if nothing could be asked."""
    alarms: tuple[Alarm, ...] = ()
    """Alarms of the suite after this run, newest first: open and cleared."""
    conditions: tuple[ConditionState, ...] = ()
    """What the approved baseline fulfils, so that signals can be read."""
    sample: SampleAccount | None = None
    """The account of the run's sample of production inputs."""

    @property
    def raised(self) -> list[Alarm]:
        """Alarms that are open after this run; empty if the run has no findings."""
        return [one for one in self.alarms if one.cleared_at is None] if self.findings else []

    def lost(self) -> str | None:
        """What could not be measured, why, and what to do, if it is more than ``PARTLY`` of the run."""
        named, without = f"{self.run.target}/{self.run.suite}", sum(self.unmeasured.values())
        if not self.questions:
            why = "; see `cliffwatch check`" if self.sample is None else f": {sampling.nothing_to_ask(self.sample)}"
            return f"{named}: no usable answers, because nothing could be asked{why}"
        nothing = self.run.outcome == RunOutcome.UNMEASURED
        if not nothing and not is_partly(without / self.questions):
            return None
        came = "the subject returned no usable answers" if nothing else "the run is largely unmeasured"
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(self.unmeasured.items()))
        advice = [words.format(target=self.run.target) for reason, words in FIXES.items() if reason in self.unmeasured]
        if not self.unmeasured.keys() <= FIXES.keys():
            advice.append(
                f"`cliffwatch ask {self.run.target} PROBE --debug` explains one call (add --base for the base)"
            )
        return (
            f"{named}: {came}: {without} of {self.questions} questions ({without / self.questions:.0%}) have no usable "
            f"answer ({why}). {'. '.join(advice)}"
        )


async def probe(context: "RunContext", target: str, suite: str | None) -> list[Probed]:
    """Run the chosen suites once, now."""
    from monitor.runs.manual import run_now
    from monitor.runs.readonly import armed

    results = []
    try:
        for name in chosen_suites(context.settings, target, suite):
            run_id = await run_now(context, target, name)
            findings = tuple(context.store.findings(run_id=run_id))
            approved = context.store.approved(target, name)
            is_armed = armed(context, approved)
            results.append(
                Probed(
                    context.store.get_run(run_id),
                    findings,
                    is_armed,
                    context.store.unmeasured(run_id),
                    context.store.summaries([run_id])[run_id].questions,
                    tuple(context.store.alarms(target, name)),
                    approved.conditions if approved is not None and is_armed else (),
                    context.store.samples([run_id]).get(run_id),
                )
            )
    finally:
        await context.asker.aclose()
    return results


@dataclass(frozen=True, slots=True)
class Asked:
    """One exchange outside any run, with the results of the probe's checks."""

    explanation: "Explanation"
    grades: tuple["Grade", ...]
    unscored: tuple["Missing", ...] = ()
    """Checks without a score."""


async def ask(context: "RunContext", target: str, probe_id: str, *, base: bool) -> Asked:
    """Send one probe outside any run."""
    from monitor.judge.checks import grade_answer
    from monitor.judge.empty_answers import empty_grades

    chosen = chosen_suites(context.settings, target, None)
    suites = [context.suites[name] for name in chosen if name in context.suites]
    probes = {probe.id: (suite, probe) for suite in suites for probe in suite.probes}
    known("probe", probe_id, probes, f" of target {target!r}")
    suite, found = probes[probe_id]
    configured = context.settings.targets[target]
    endpoint = configured.base if base else configured.subject
    if endpoint is None:
        raise UsageError(f"target {target} has no base")
    arm = Arm.BASE if base else Arm.SUBJECT
    question = Question(
        0, target, suite.name, arm, found.id, 0, endpoint.provider, endpoint.model, found.messages, suite.sampling,
        response_schema=suite.response_schema,
    )  # fmt: skip
    try:
        explanation = await context.asker.exchange(question)
        outcome = explanation.outcome
        if not isinstance(outcome, Answer):
            return Asked(explanation, ())
        if is_empty(outcome.text):
            return Asked(explanation, empty_grades(found))
        return Asked(explanation, *await asyncio.to_thread(grade_answer, found, outcome.text))
    finally:
        await context.asker.aclose()


def measured(outcome: Outcome) -> bool:
    """Whether the model gave an answer with a text, and no filter blocked it."""
    if not isinstance(outcome, Answer) or is_empty(outcome.text):
        return False
    return finish_of(outcome.finish_reason).ending is not Ending.FILTERED


async def capture(
    context: "RunContext", target: str, suite: str | None, *, days: int | None, at_once: int | None, anew: bool = False
) -> list[str]:
    """Open a capture window of ``days``, or make ``at_once`` runs now. Returns the lines to print.

    ``anew``: take a new frozen sample, if the target has one.
    """
    from monitor.runs.context import open_capture
    from monitor.runs.hashed import keeps_texts
    from monitor.runs.manual import capture_at_once

    lines = []
    try:
        names = _captured_with(context, target, suite)
        for name in names:
            _no_open_window(context, target, name)
        # Before any window opens, so that a source without inputs leaves nothing half done and the command can be
        # repeated.
        lines += [_taken(context, target, anew=anew) for name in names if run_kind(target, name) is FROZEN]
        for name in names:
            if not keeps_texts(context.settings, target, name):
                lines.append(f"{target}/{name}: {hashes_only()}")
            if days is not None:
                # From the start of today, so that today's run is included.
                start = schedule.day_start(context.settings.schedule, context.clock())
                end = schedule.days_after(context.settings.schedule, start, days)
                open_capture(context, target, name, start, end, at_once=False)
                until = f"{end:%Y-%m-%d %H:%M} UTC"
                lines += [f"{target}/{name}: collecting the daemon's runs until {until}", *short_warning(target, days)]
            elif at_once is not None:
                await capture_at_once(context, target, name, at_once)
                await _see_what_is_served(context, target)
                lines += [f"{target}/{name}: captured {many(at_once, 'run')}", at_once_warning(target)]
                captured = context.store.baselines(target, name, BaselineStatus.CAPTURED)
                lines += lacks(context, captured[0]) if captured else []
    finally:
        await context.asker.aclose()
    lines.append(f"next: cliffwatch baseline show {target}; cliffwatch baseline approve {target} --by YOU --why REASON")
    return lines


def _captured_with(context: "RunContext", target: str, suite: str | None) -> list[str]:
    """The suites that one capture covers: with the production samples, the frozen one."""
    names = chosen_suites(context.settings, target, suite)
    if suite != PRODUCTION.suite:
        return names
    return [one for one in chosen_suites(context.settings, target, None) if suite_kind(one).schedule == "production"]


def _taken(context: "RunContext", target: str, *, anew: bool) -> str:
    """Take the target's frozen sample, if it has none or ``anew``; says what it is. Raises CouldNotMeasure."""
    from monitor.runs import frozen

    now, taken = context.clock(), None if anew else frozen.present(context.store, target)
    taken = taken or frozen.take(context.store, context.settings, target, now, now)
    return (
        f"{target}/{FROZEN.suite}: {many(taken.items, 'input')} of {taken.since:%Y-%m-%d %H:%M} to "
        f"{taken.until:%Y-%m-%d %H:%M} UTC, taken {taken.at:%Y-%m-%d %H:%M} UTC"
    )


async def _see_what_is_served(context: "RunContext", target: str) -> None:
    """Keep what the servers' lists say, so that the approved baseline has it. A daemon does it every hour."""
    from monitor.daemon.jobs import identity_checks

    looked = await identity_checks.look(context, target)
    # A new mismatch is left to the daemon, which looks twice.
    identity_checks.settle(context, looked, context.clock(), identity_checks.Memory(), only=target)


def _no_open_window(context: "RunContext", target: str, suite: str) -> None:
    """Raise UsageError for a second capture before any call is made and paid for."""
    for open_one in context.store.baselines(target, suite, BaselineStatus.CAPTURING):
        raise UsageError(
            f"{target}/{suite}: baseline {open_one.id} is being captured until {open_one.ends_at:%Y-%m-%d %H:%M} UTC; "
            f"wait for it, or cancel it: cliffwatch baseline retire {target} --id {open_one.id} --by YOU --why REASON"
        )


def baselines_to_decide(
    context: "RunContext", target: str, suite: str | None, status: BaselineStatus, number: int | None = None
) -> list[Baseline]:
    """The newest baseline in ``status`` of each chosen suite, or the one with id ``number`` in any status.

    Raises UsageError if there is none.
    """
    context.store.close_due_baselines(context.clock())
    suites = chosen_suites(context.settings, target, suite)
    known = [b for b in context.store.baselines(target) if b.suite in suites]
    if number is not None:
        found = [b for b in known if b.id == number]
    else:
        found = [next(b for b in known if b.suite == name and b.status is status)
                 for name in suites if any(b.suite == name and b.status is status for b in known)]  # fmt: skip
    if not found:
        wanted = f"baseline {number}" if number is not None else f"{status} baseline"
        others = ", ".join(f"{b.id}: {b.suite}, {b.status}" for b in known) or "there are no baselines"
        raise UsageError(f"{target}: no {wanted} ({others})")
    return found


def open_alarm(context: "RunContext", target: str, signal: str, suite: str | None) -> int:
    """The id of the matching open alarm. Raises UsageError unless exactly one matches."""
    known_names(context.settings, target, signal)
    suites = chosen_suites(context.settings, target, suite)
    raised = context.store.open_alarms(target)
    found = [one for one in raised if one.signal == signal and one.suite in suites]
    if len(found) != 1:
        others = ", ".join(f"{one.signal} of {one.suite}" for one in raised)
        several = "several open alarms" if found else "no open alarm"
        raise UsageError(f"{target}: {several} of {signal}; open: {others or 'none'}")
    assert found[0].id is not None
    return found[0].id
