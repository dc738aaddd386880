"""The state machine of an alarm: raised, confirmed, cleared. Pure, so replaying findings gives the same alarms.

A page is confirmed before anyone is notified. If its evaluation is structural (``Reading.structural``), a fresh sample
at once is enough. If not, one odd day could have raised it, and a fresh sample of the same day would only repeat that
day. It then waits for an evaluation on another day (decision 22).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from monitor.core.records import Alarm, AlarmState, Confirmation, Finding, Severity

DAY: Final = timedelta(days=1)
ANOTHER_DAY: Final = timedelta(hours=16)
"""Time from one evaluation's window to another's from which they are on different days, on a schedule of full days; it
scales with the schedule's day. Less than a day, because days have 23 hours when the clocks go forward, and so that the
next daily run counts after a manual run in the morning. More than a night shift or a batch job takes."""
APART: Final = timedelta(hours=8)
"""Least time between the ends of both, on the same scale. A run's window is its slot, but its questions may be spread
over the day: a fresh sample or a manual run shortly after its last question is not on another day."""
PATIENCE_DAYS: Final = 2
"""Days for which a raised page waits for a scheduled evaluation of its signal after the first that could have decided.
Then it pages unconfirmed, as a page whose fresh sample is not possible does."""

NOTES: Final[Mapping[Confirmation, str]] = {
    Confirmation.FRESH_SAMPLE: "A fresh sample, requested at once, confirms it.",
    Confirmation.LATER_LOOK: "A later evaluation confirms it.",
    Confirmation.ANOTHER_DAY: "An evaluation on another day confirms it.",
    Confirmation.AWAITS_ANOTHER_DAY: "Waits for an evaluation on another day.",
    Confirmation.FRESH_SAMPLE_DISAGREES: (
        "A fresh sample, requested at once, does not confirm it. It is a ticket instead of a page until one does."
    ),
    Confirmation.ANOTHER_DAY_DISAGREES: (
        "An evaluation on another day does not confirm it. It is a ticket instead of a page until one does."
    ),
    Confirmation.JUDGE_MOVED: (
        "It depends on the judge's verdicts, and the judge itself changed. It is a ticket instead of a page until the "
        "judge has recovered."
    ),
    Confirmation.NOT_ASKED: "Not confirmed: a fresh sample was not possible (budget spent, or no answer).",
}
"""The note of each ``Alarm.confirmation``, for people."""
HELD_BACK: Final = (
    Confirmation.FRESH_SAMPLE_DISAGREES,
    Confirmation.ANOTHER_DAY_DISAGREES,
    Confirmation.AWAITS_ANOTHER_DAY,
    Confirmation.JUDGE_MOVED,
)
"""Confirmations that make a raised page a ticket until a fresh sample, or an evaluation on another day, agrees."""


def next_state(
    alarm: Alarm | None, finding: Finding, at: datetime, *, clears: bool, day: timedelta = DAY
) -> Alarm | None:
    """The signal's alarm after one finding; the same object ``alarm`` if nothing changes.

    ``alarm``: the open one, or ``None``. A ticket is confirmed when it is raised. A page waits for its fresh sample, or
    for an evaluation on another day; ``day`` is the length of the schedule's. A fresh sample never clears the alarm for
    which it was asked: an endpoint that fails every other time would raise and clear alarms forever without a
    notification. It never raises one either: asked during a fault, it may end after the fault. The next scheduled
    evaluation includes its evidence. ``clears``: the run has enough answers to show a recovery.
    """
    if alarm is None:
        return _raised(finding, at, day) if finding.alarming and not finding.confirming else None
    decides = decided_by(alarm, finding.window_start, at)
    if finding.confirming and decides:
        return _decided(alarm, finding, at)
    if _agrees_later(alarm, finding, decides=decides):
        return _decided(alarm, finding, at)
    if clears and finding.recovered:
        return replace(alarm, state=AlarmState.CLEARED, cleared_at=at, cleared_run_id=finding.run_id)
    if finding.judge_moved and alarm.severity is Severity.PAGE:
        return _lowered(alarm, finding, at)
    if decides and alarm.waits_until is not None:
        return _decided(alarm, finding, at)
    return _waiting(alarm, finding, at, day)


def wants_confirmation(alarm: Alarm) -> bool:
    """Whether it is a page that is only raised, or one made a ticket by a fresh sample, by another day or by the
    judge's own alarm."""
    held = alarm.severity is Severity.TICKET and alarm.confirmation in HELD_BACK
    return alarm.cleared_at is None and (alarm.state is AlarmState.RAISED or held)


def decided_by(alarm: Alarm, slot: datetime, at: datetime) -> bool:
    """Whether a fresh sample of ``slot`` that ends at ``at`` decides on the alarm; for an alarm that waits for another
    day, whether any evaluation does."""
    early = slot < (alarm.waits_until or slot) or at < (alarm.waits_past or at)
    return wants_confirmation(alarm) and not early


def awaited(alarms: Iterable[Alarm], asked_at: datetime) -> bool:
    """Whether an alarm still waits for the fresh sample that was requested for ``asked_at``.

    If not, every alarm for which it was requested is cleared or confirmed. Alarms raised later need another sample, and
    so do alarms that wait for another day.
    """
    return any(decided_by(alarm, asked_at, asked_at) and alarm.raised_at <= asked_at for alarm in alarms)


def to_confirm(alarms: Iterable[Alarm], found: Sequence[Finding]) -> bool:
    """Whether to request a fresh sample now: a page signal alarms with a structural evaluation, and nobody was paged
    for it yet."""
    waiting = {alarm.signal for alarm in alarms if wants_confirmation(alarm) and alarm.waits_until is None}
    return any(_pages(one) and one.structural and one.signal in waiting for one in found)


def unanswered(
    alarm: Alarm, run_id: int, slot: datetime, at: datetime, *, confirming: bool, day: timedelta = DAY
) -> Alarm:
    """The alarm after a run without a finding of its signal.

    If the run was its fresh sample, none was possible. Scheduled runs are awaited for ``PATIENCE_DAYS`` more.
    """
    if confirming:
        return unconfirmable(alarm, run_id, at) if decided_by(alarm, slot, at) else alarm
    over = alarm.waits_until is not None and slot >= alarm.waits_until + PATIENCE_DAYS * day
    return unconfirmable(alarm, run_id, at) if over else alarm


def unconfirmable(alarm: Alarm, run_id: int, at: datetime) -> Alarm:
    """A page that cannot be confirmed, because no answer was possible: it pages anyway, with a note. A ticket that
    waited for another day stays one."""
    if alarm.state is AlarmState.RAISED:
        return _confirm(alarm, run_id, at, Confirmation.NOT_ASKED)
    if alarm.waits_until is not None:
        return _held(alarm, Confirmation.ANOTHER_DAY_DISAGREES)
    return alarm


def cleared_by_hand(alarm: Alarm, who: str, why: str, at: datetime) -> Alarm:
    """Cleared by a person, with the reason."""
    return replace(alarm, state=AlarmState.CLEARED, cleared_at=at, cleared_by=who, cleared_why=why)


def _agrees_later(alarm: Alarm, finding: Finding, *, decides: bool) -> bool:
    """Whether an evaluation confirms the page that is no fresh sample, and was asked entirely after it was raised.

    So no page stays raised for days. A run asked at the same time as the raising run does not count, whenever it ends.
    """
    later = alarm.state is AlarmState.RAISED and finding.window_start > alarm.raised_at
    later = later if alarm.waits_until is None else decides
    return later and not finding.judge_moved and _agrees(finding)


def _agrees(finding: Finding) -> bool:
    """Whether the evidence with the sample is still over the threshold, and the sample itself supports it."""
    return finding.alarming and finding.evaluation_log10 >= 0


def _pages(finding: Finding) -> bool:
    """Whether a run that is no fresh sample shows that somebody should be paged."""
    return finding.alarming and finding.severity is Severity.PAGE and not finding.confirming


def _raised(finding: Finding, at: datetime, day: timedelta) -> Alarm:
    page = finding.severity is Severity.PAGE
    held = Confirmation.JUDGE_MOVED if finding.judge_moved else None
    waits = page and not finding.structural
    held = Confirmation.AWAITS_ANOTHER_DAY if waits else held
    until, past = _another_day(finding, at, day) if waits else (None, None)
    return Alarm(
        target=finding.target,
        suite=finding.suite,
        signal=finding.signal,
        severity=finding.severity,
        state=AlarmState.RAISED if page else AlarmState.CONFIRMED,
        raised_at=at,
        raised_run_id=finding.run_id,
        confirmed_at=None if page else at,
        confirmed_run_id=None if page else finding.run_id,
        note="" if held is None else NOTES[held],
        confirmation=held,
        waits_until=until,
        waits_past=past,
    )


def _another_day(finding: Finding, at: datetime, day: timedelta) -> tuple[datetime, datetime]:
    """The earliest window and end of an evaluation on another day than that of the finding, which ended at ``at``."""
    return finding.window_end + ANOTHER_DAY * (day / DAY), at + APART * (day / DAY)


def _waiting(alarm: Alarm, finding: Finding, at: datetime, day: timedelta) -> Alarm:
    """A page that is not confirmed, after an evaluation that does not decide on it.

    A structural evaluation needs no other day: a fresh sample is requested for it (``to_confirm``). A ticket that was
    held back waits for another day once an evaluation supports it again.
    """
    if not (wants_confirmation(alarm) and _pages(finding)):
        return alarm
    raised = alarm.state is AlarmState.RAISED
    if finding.structural:
        if alarm.waits_until is None:
            return alarm
        if raised:
            return replace(alarm, note="", confirmation=None, waits_until=None, waits_past=None)
        return _held(alarm, Confirmation.ANOTHER_DAY_DISAGREES)
    if raised or alarm.waits_until is not None or not _agrees(finding):
        return alarm
    until, past = _another_day(finding, at, day)
    return replace(_held(alarm, Confirmation.AWAITS_ANOTHER_DAY), waits_until=until, waits_past=past)


def _held(alarm: Alarm, how: Confirmation) -> Alarm:
    return replace(alarm, note=NOTES[how], confirmation=how, waits_until=None, waits_past=None)


def _confirm(alarm: Alarm, run_id: int, at: datetime, how: Confirmation) -> Alarm:
    return replace(_held(alarm, how), state=AlarmState.CONFIRMED, confirmed_at=at, confirmed_run_id=run_id)


def _lowered(alarm: Alarm, finding: Finding, at: datetime) -> Alarm:
    """A page, notified or not, whose scores come from a judge that changed."""
    if alarm.confirmed_at is None:
        alarm = replace(alarm, state=AlarmState.CONFIRMED, confirmed_at=at, confirmed_run_id=finding.run_id)
    return replace(_held(alarm, Confirmation.JUDGE_MOVED), severity=Severity.TICKET)


def _decided(alarm: Alarm, finding: Finding, at: datetime) -> Alarm:
    """The alarm after the evaluation that it waited for."""
    agrees = _agrees(finding) and not finding.judge_moved
    if finding.judge_moved:
        how = Confirmation.JUDGE_MOVED
    elif alarm.waits_until is not None:
        how = Confirmation.ANOTHER_DAY if agrees else Confirmation.ANOTHER_DAY_DISAGREES
    elif finding.confirming:
        how = Confirmation.FRESH_SAMPLE if agrees else Confirmation.FRESH_SAMPLE_DISAGREES
    else:
        how = Confirmation.LATER_LOOK
    severity = Severity.PAGE if agrees else Severity.TICKET
    return _confirm(replace(alarm, severity=severity), finding.run_id, at, how)
