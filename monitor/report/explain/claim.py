"""A finding as one claim that a person can act on: what changed, since when, how bad, how sure, whose fault, what now.

The page and the terminal say the same. ``claim`` is pure; ``claim_of`` reads what it needs from the store.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from monitor.core.records import Alarm, AlarmState, Arm, Cause, Finding, FindingState, IdentityCheck, Point, Severity
from monitor.core.run_kinds import JUDGE, run_kind
from monitor.core.signals import ALERTS, ANSWERS, FINE_TUNE, JUDGE_DRIFT
from monitor.core.wording import AGREEING, NO_EVIDENCE_LOG10, cleared, is_partly, power, served, sized, state_of
from monitor.report.explain import recovery, sentences
from monitor.report.explain.onset import HISTORY, beginning, edges

if TYPE_CHECKING:
    from monitor.store import StoreReader

_SAME: Final = "The questions are those of the baseline, so it is not the inputs"
_NAMES: Final = frozenset({"model id", "fingerprint"})
_RENAMED: Final = "Replies name another model or build than in the baseline"


@dataclass(frozen=True, slots=True)
class Claim:
    """One finding in words. A part that has nothing to say is empty."""

    headline: str
    """What changed, of which target: the news."""
    bad: str
    """How bad, in numbers."""
    since: str
    """When it began, without a full stop: whoever shows it may add how long ago that is."""
    began: datetime | None
    """When it was first seen."""
    sure: str
    """Whether it is real."""
    suspect: str
    """``the model``, ``the judge``, ``the inputs``, ``your own configuration``, ``what is served`` or nothing."""
    why: str
    """Why it is suspected, and what else could be."""
    now: str
    """What to do."""
    runbook: str | None
    """The alert whose runbook says more."""
    state: FindingState


@dataclass(frozen=True, slots=True)
class FindingContext:
    """What else is known about the time of a finding."""

    history: Sequence[Point] = ()
    """The signal's verdicts, oldest first."""
    alarm: Alarm | None = None
    before: Alarm | None = None
    """The alarm of the same signal that was over when ``alarm`` was raised."""
    again: Alarm | None = None
    """The alarm that was raised again once ``alarm`` was over: the open one, else the next."""
    moved: Collection[str] = ()
    """Other signals of the same run that alarm or are worth a look."""
    no_loss: bool = False
    """``adapter_loss`` is among them, and says itself that it is another change."""
    contract: Collection[str] = ()
    """Parts of the contract that are new in this run: ``model id``, ``prompt tokens`` ..."""
    mismatches: Sequence[IdentityCheck] = ()
    judge_drifted: bool = False
    lost: float = 0.0
    """Share of the run's questions without a usable answer."""
    asked: Mapping[int, datetime] = field(default_factory=dict)
    """Run id -> when its last usable answer was asked, of the two looks between which the change began."""
    alone: bool = False
    """The claim is read away from its page: what to do has the date with each time, and points to no answers below."""


def claim(finding: Finding, context: FindingContext, see: str = "") -> Claim:
    """The finding in words; what it says of others is as good as ``context``.

    ``see``: said of what is served in place of ``mismatch``, where the reader has that before them already.
    """
    what, numbers = sentences.news(finding)
    headline, bad = _headline(what, finding.target), f"{numbers[:1].upper()}{numbers[1:]}." if numbers else ""
    state = state_of(finding, context.alarm)
    if state is FindingState.QUIET:
        return Claim(headline, bad, "", None, _sure(finding, None), "", "", "", None, state)
    runbook = "CliffwatchJudgeDrift" if _is_judge_drift(finding) else ALERTS.get(finding.signal)
    if recovery.ended_by(finding, context.alarm):
        return _recovered(finding, context, runbook, state)
    first, before = beginning(finding, context.history, context.alarm, context.asked)
    suspect, why = _suspect(finding, context, see) if state is not FindingState.CLEARED else ("", "")
    return Claim(
        headline,
        bad,
        since(first, before),
        first,
        _sure(finding, context.alarm),
        suspect,
        why,
        _to_do(finding, context, before or first),
        runbook,
        state,
    )


def _recovered(finding: Finding, context: FindingContext, runbook: str | None, state: FindingState) -> Claim:
    """Of a look that ended its alarm: the news is that it is over, whatever the evidence before it was."""
    bad, sure = sized(finding), f"{recovery.RECOVERED}; from here on the evidence counts anew."
    now = _to_do(finding, context, finding.window_end)
    return Claim(recovery.headline(finding), f"{bad}.", "", None, sure, "", "", now, runbook, state)


def _headline(what: str, target: str) -> str:
    """With the target's name in it, for it is read where nothing else says whose news it is."""
    if re.search(rf"(?<![\w-]){re.escape(target)}(?![\w-])", what):
        return what
    return f"{target}: {what[:1].lower()}{what[1:]}"


def _date(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def since(
    first: datetime, before: datetime | None, zone: tzinfo | None = None, day: Callable[[datetime], str] = _date
) -> str:
    """When it began, in words, from what ``beginning`` found.

    ``zone``: that of the text around it, whose times need no name then; without one, times are UTC and say so.
    ``day``: how that text writes a day, of a time in that zone.
    """
    name, first = "" if zone else " UTC", first.astimezone(zone or UTC)
    if before is None:
        return f"First seen {day(first)} {first:%H:%M}{name}"
    before = before.astimezone(zone or UTC)
    clock = "%H:%M:%S" if first - before < timedelta(minutes=10) else "%H:%M"
    if first.date() != before.date():
        return f"Began between {day(before)} {before:{clock}} and {day(first)} {first:{clock}}{name}"
    return f"Began {day(first)} between {before:{clock}} and {first:{clock}}{name}"


def _at(moment: datetime, context: datetime | None = None) -> str:
    """``context``: the time of which the reader knows; of the same day, the date is not said again."""
    same = context is not None and moment.date() == context.date()
    return f"{moment:%H:%M} UTC" if same else f"{moment:%Y-%m-%d %H:%M} UTC"


def _sure(finding: Finding, alarm: Alarm | None) -> str:
    if finding.evidence_log10 < NO_EVIDENCE_LOG10:
        return f"No evidence of a change (it alarms at {power(finding.threshold_log10)})."
    told = f"Evidence {power(finding.evidence_log10)} against chance; it alarms at {power(finding.threshold_log10)}."
    if not finding.alarming:
        return f"{'Worth a evaluation, and no' if finding.state is FindingState.LOOK else 'No'} alarm. {told}"
    if alarm is None or alarm.cleared_at is not None:
        return told
    if alarm.state is AlarmState.RAISED:
        return f"Not confirmed yet: a fresh sample is being asked since {_at(alarm.raised_at, finding.window_end)}."
    if alarm.confirmation in AGREEING and alarm.confirmed_at is not None:
        return f"Confirmed by {AGREEING[alarm.confirmation]} at {_at(alarm.confirmed_at, finding.window_end)}."
    return f"{told} {alarm.note}".rstrip()


def _to_do(finding: Finding, context: FindingContext, healthy: datetime) -> str:
    """``healthy``: up to when the target was well, as far as one knows."""
    alarm, again = context.alarm, context.again
    if alarm is not None and alarm.cleared_at is not None:
        if again is not None and again.cleared_at is None:
            return f"Go by the alarm that is raised again since {_at(again.raised_at)}; this one was {cleared(alarm)}."
        return f"Nothing: {cleared(alarm)}."
    if not finding.alarming:
        return "Nothing yet: further looks add to the evidence or take from it. Read the answers if you have a minute."
    told = (
        sentences.then(finding)
        or f"Read the answers {'under the evidence link' if context.alone else 'below'}: is it real?"
    )
    if finding.cause is Cause.ADAPTER_LOST and not finding.recovered:
        told = (
            "Check which adapter the endpoint serves and whether it is applied; if it is lost, bring back the server, "
            f"image, route or adapter that served before {_at(healthy, None if context.alone else finding.window_end)}."
        )
        if not _on_all(finding):
            told += " Look at every replica: only part of the traffic may be hit."
    if alarm is not None and alarm.state is AlarmState.RAISED and alarm.severity is Severity.PAGE:
        return f"Nobody is paged yet: a fresh sample is being asked. Meanwhile: {told}"
    return told


def _suspect(finding: Finding, context: FindingContext, see: str) -> tuple[str, str]:
    who, why = _likely(finding, context, see)
    if is_partly(context.lost):
        why += (
            f" {context.lost:.0%} of the run's questions have no answer: there is an outage too; the finding reads "
            f"only what was answered."
        )
    return who, why


def _likely(finding: Finding, context: FindingContext, see: str) -> tuple[str, str]:
    if _is_judge_drift(finding):
        return "the judge", "It no longer agrees with people's verdicts, so its scores of every target are in doubt."
    if context.mismatches:
        return "what is served", see or mismatch(context.mismatches[0])
    if finding.signal == "judge_score":
        return _judge_or_model(context)
    if finding.cause is Cause.ADAPTER_LOST:
        return "what is served", _served(finding, context)
    if "prompt tokens" in context.contract:
        return "your own configuration", (
            "The same prompts count another number of tokens: a chat template, system prompt or tokenizer changed."
        )
    if causes := _causes(context):
        return "what is served", _follows(causes)
    if _NAMES & set(context.contract):
        return "the model", f"{_RENAMED}: it was replaced or updated."
    if not run_kind(finding.target, finding.suite).frozen_items:
        return "the inputs or the model", (
            "These are production inputs, which change by themselves. If the suites of fixed probes are quiet, it is "
            "the inputs."
        )
    return "the model", f"{_SAME}: another version, prompt, sampling setting or precision is being served."


def _is_judge_drift(finding: Finding) -> bool:
    return finding.cause is Cause.JUDGE_DRIFTED


def mismatch(one: IdentityCheck) -> str:
    """What a failing identity check comes to: in plain words, then in the server's."""
    return f"{served(one.check)}. Declared: {one.expected}; found: {one.found}."


def _served(finding: Finding, context: FindingContext) -> str:
    """What a lost fine-tune comes from, on how much of the traffic, and what else speaks for it."""
    told = f"The adapter is not loaded or not applied, or a route leads to the base: {_traffic(finding)}."
    if run_kind(finding.target, finding.suite).frozen_items:
        told += f" {_SAME}."
    return f"{told} {_RENAMED}." if _NAMES & set(context.contract) else told


def _causes(context: FindingContext) -> Collection[str]:
    """Signs of a lost fine-tune in the same run."""
    return (FINE_TUNE & set(context.moved)) - ({"adapter_loss"} if context.no_loss else set())


def _follows(causes: Collection[str]) -> str:
    """Of a change beside signs of a lost fine-tune: there is one fault, not two."""
    return f"It follows from a lost fine-tune, of which the same run has signs ({', '.join(sorted(causes))})."


def _traffic(finding: Finding) -> str:
    """How much of the traffic is hit."""
    if finding.traffic_share is None:
        return "on part of the sampled traffic"
    if _on_all(finding):
        return "on all sampled traffic"
    least = "at least" if finding.signal == "base_match" else "about"  # the base does not always say the same
    return f"on {least} {finding.traffic_share:.0%} of the sampled traffic"


def _on_all(finding: Finding) -> bool:
    whole = finding.traffic_share is not None and finding.traffic_share >= 1
    # Below the line, the share of answers that come from the base is an estimate with a wide interval.
    return whole and (finding.alarming or finding.signal != "adapter_loss")


def _judge_or_model(context: FindingContext) -> tuple[str, str]:
    if context.judge_drifted:
        return "the judge", "Its agreement with people's verdicts fell too (target judge): look there first."
    if causes := _causes(context):
        return "what is served", _follows(causes)
    others = sorted(set(context.moved) & ANSWERS)
    if others:
        return "the model", f"Signals that ask no judge moved too ({', '.join(others)})."
    return "the judge or the model", (
        "Only the judge's score moved; what is measured without a judge holds. Read the answers that it failed."
    )


def alarm_of(alarms: Sequence[Alarm], finding: Finding, at: datetime | None) -> Alarm | None:
    """The alarm that was raised, or was being cleared, when the finding was reached (``at``)."""
    for one in alarms:
        if (one.suite, one.signal) == (finding.suite, finding.signal) and (
            finding.run_id in (one.raised_run_id, one.confirmed_run_id, one.cleared_run_id)
            or (at is not None and one.raised_at <= at and (one.cleared_at is None or at < one.cleared_at))
        ):
            return one
    return None


def neighbours(alarms: Sequence[Alarm], alarm: Alarm | None) -> tuple[Alarm | None, Alarm | None]:
    """The alarm of the same series before this one, and the one raised again once it was over: the open one, else the
    next."""
    if alarm is None:
        return None, None
    key = (alarm.target, alarm.suite, alarm.signal)
    same = sorted((one for one in alarms if (one.target, one.suite, one.signal) == key), key=lambda one: one.raised_at)
    before = [one for one in same if one.raised_at < alarm.raised_at]
    later = [one for one in same if one.raised_at > alarm.raised_at]
    again = next((one for one in later if one.cleared_at is None), later[0] if later else None)
    return before[-1] if before else None, again


def finding_context(store: "StoreReader", finding: Finding) -> FindingContext:
    """What the store knows about the time of the finding."""
    key = (finding.target, finding.suite, finding.signal)
    history = store.series(finding.window_end - HISTORY, only=[key]).get(key, [])
    at = next((point.at for point in history if point.run_id == finding.run_id), None)
    alarms = store.alarms(finding.target, finding.suite)
    alarm = alarm_of(alarms, finding, at)
    before, again = neighbours(alarms, alarm)
    ended = alarm is not None and alarm.cleared_at is not None
    known = FindingContext(
        history=history,
        alarm=alarm,
        before=before,
        again=again,
        mismatches=[] if ended else of_subject(store.identity_checks(finding.target)),
        judge_drifted=not ended and judge_drifted(store.open_alarms(JUDGE.target)),
        lost=store.lost_shares([finding.run_id])[finding.run_id],
        asked=store.last_asked(edges(finding, history, alarm)),
    )
    return with_heads(known, finding, [one for _, one in store.finding_heads(run_id=finding.run_id)])


def with_heads(context: FindingContext, finding: Finding, heads: Sequence[Finding]) -> FindingContext:
    """``context`` with what the other signals found in the finding's run. ``heads``: all of that run's findings."""
    others = [one for one in heads if one.signal != finding.signal]
    contract = next((one for one in [finding, *others] if one.signal == "contract"), None)
    return replace(
        context,
        moved=[one.signal for one in others if one.state is not FindingState.QUIET],
        no_loss=any(sentences.is_no_loss(one) for one in others),
        contract=[] if contract is None else [name for name, score in contract.scores.items() if score > 0],
    )


def of_subject(checks: Sequence[IdentityCheck]) -> list[IdentityCheck]:
    """The identity checks of the subject that do not match."""
    return [one for one in checks if not one.matches and one.arm is Arm.SUBJECT]


def judge_drifted(judge_alarms: Sequence[Alarm]) -> bool:
    """Whether the judge itself drifts, by its open alarms."""
    return any(one.signal in JUDGE_DRIFT for one in judge_alarms)


def claim_of(store: "StoreReader", finding: Finding) -> Claim:
    """The finding in words, with what the store knows beside it."""
    return claim(finding, finding_context(store, finding))
