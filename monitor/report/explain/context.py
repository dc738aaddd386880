"""What else is known about the time of a finding: its history, its alarm, and what other signals and checks say."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from monitor.core.records import SHARE_SUFFIX, Alarm, Arm, Finding, FindingState, IdentityCheck, Point
from monitor.core.run_kinds import JUDGE
from monitor.core.signals import JUDGE_DRIFT
from monitor.report.explain import sentences
from monitor.report.explain.onset import HISTORY, edges

if TYPE_CHECKING:
    from monitor.store import StoreReader


@dataclass(frozen=True, slots=True)
class FindingContext:
    """What else is known about the time of a finding."""

    history: Sequence[Point] = ()
    """The signal's verdicts, oldest first."""
    alarm: Alarm | None = None
    before: Alarm | None = None
    """The alarm of the same signal that was over when ``alarm`` was raised."""
    again: Alarm | None = None
    """The alarm that was raised again after ``alarm`` was over: the open one, else the next."""
    moved: Collection[str] = ()
    """Other signals of the same run that alarm or are worth a look."""
    no_loss: bool = False
    """``adapter_loss`` is among them, and its finding says that the change is not an adapter loss."""
    contract: Collection[str] = ()
    """Parts of the contract that are new in this run: ``model id``, ``prompt tokens`` ..."""
    mismatches: Sequence[IdentityCheck] = ()
    judge_drifted: bool = False
    lost: float = 0.0
    """Share of the run's questions without a usable answer."""
    asked: Mapping[int, datetime] = field(default_factory=dict)
    """Run id -> when its last usable answer was asked, for the two runs between which the change began."""
    alone: bool = False
    """The claim is shown outside its page: the advice has a date with each time and refers to no answers below."""


def finding_context(store: "StoreReader", finding: Finding) -> FindingContext:
    """What the store knows about the time of the finding. Raises StoreError."""
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
        contract=[] if contract is None else [name for name, score in contract.scores.items() if is_new(name, score)],
    )


def is_new(name: str, score: float) -> bool:
    """Whether this entry of a finding's ``scores`` says that a part of the contract is new."""
    return score > 0 and not name.endswith(SHARE_SUFFIX)


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
    """The alarm of the same series before this one, and the one raised again after it was over: the open one, else the
    next."""
    if alarm is None:
        return None, None
    key = (alarm.target, alarm.suite, alarm.signal)
    same = sorted((one for one in alarms if (one.target, one.suite, one.signal) == key), key=lambda one: one.raised_at)
    before = [one for one in same if one.raised_at < alarm.raised_at]
    later = [one for one in same if one.raised_at > alarm.raised_at]
    again = next((one for one in later if one.cleared_at is None), later[0] if later else None)
    return before[-1] if before else None, again


def of_subject(checks: Sequence[IdentityCheck]) -> list[IdentityCheck]:
    """The identity checks of the subject that do not match."""
    return [one for one in checks if one.differs and one.arm is Arm.SUBJECT]


def judge_drifted(judge_alarms: Sequence[Alarm]) -> bool:
    """Whether the judge itself drifts, by its open alarms."""
    return any(one.signal in JUDGE_DRIFT for one in judge_alarms)
