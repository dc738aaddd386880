"""The state machine of an alarm: raised, confirmed, cleared. Pure, so replaying findings gives the same alarms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from monitor.core.records import Alarm, AlarmState, Confirmation, Finding, Severity

NOTES: Final[Mapping[Confirmation, str]] = {
    Confirmation.FRESH_SAMPLE: "A fresh sample, requested at once, confirms it.",
    Confirmation.LATER_LOOK: "A later evaluation confirms it.",
    Confirmation.FRESH_SAMPLE_DISAGREES: (
        "A fresh sample, requested at once, does not confirm it. It is a ticket instead of a page until one does."
    ),
    Confirmation.JUDGE_MOVED: (
        "It depends on the judge's verdicts, and the judge itself changed. It is a ticket instead of a page until the "
        "judge has recovered."
    ),
    Confirmation.NOT_ASKED: "Not confirmed: a fresh sample was not possible (budget spent, or no answer).",
}
"""The note of each ``Alarm.confirmation``, for people."""
HELD_BACK: Final = (Confirmation.FRESH_SAMPLE_DISAGREES, Confirmation.JUDGE_MOVED)
"""Confirmations that make a raised page a ticket until a fresh sample agrees."""


def next_state(alarm: Alarm | None, finding: Finding, at: datetime, *, clears: bool) -> Alarm | None:
    """The signal's alarm after one finding; the same object ``alarm`` if nothing changes.

    ``alarm``: the open one, or ``None``. A ticket is confirmed when it is raised. A page waits for its fresh sample. A
    fresh sample never clears an alarm: an endpoint that fails every other time would raise and clear alarms forever
    without a notification. It never raises one either: asked during a fault, it may end after the fault. The next
    scheduled evaluation includes its evidence. ``clears``: the run has enough answers to show a recovery.
    """
    if alarm is None:
        return _raised(finding, at) if finding.alarming and not finding.confirming else None
    if finding.confirming and wants_confirmation(alarm):
        return _confirmed(alarm, finding, at)
    if _agrees_later(alarm, finding):
        return _confirm(alarm, finding.run_id, at, Confirmation.LATER_LOOK)
    if clears and finding.recovered:
        return replace(alarm, state=AlarmState.CLEARED, cleared_at=at, cleared_run_id=finding.run_id)
    if finding.judge_moved and alarm.severity is Severity.PAGE:
        return _lowered(alarm, finding, at)
    return alarm


def wants_confirmation(alarm: Alarm) -> bool:
    """Whether it is a page that is only raised, or one made a ticket by a fresh sample or by the judge's own alarm."""
    held = alarm.severity is Severity.TICKET and alarm.confirmation in HELD_BACK
    return alarm.state is AlarmState.RAISED or held


def awaited(alarms: Iterable[Alarm], asked_at: datetime) -> bool:
    """Whether an alarm still waits for the fresh sample that was requested at ``asked_at``.

    If not, every alarm for which it was requested is cleared or confirmed. Alarms raised later need another sample.
    """
    return any(wants_confirmation(alarm) and alarm.raised_at <= asked_at for alarm in alarms)


def to_confirm(alarms: Sequence[Alarm], found: Sequence[Finding]) -> bool:
    """Whether to request a fresh sample now: a page signal alarms and nobody was paged for it yet."""
    waiting = {alarm.signal for alarm in alarms if wants_confirmation(alarm)}
    return any(one.alarming and one.severity is Severity.PAGE and not one.confirming and one.signal in waiting
               for one in found)  # fmt: skip


def unconfirmable(alarm: Alarm, run_id: int, at: datetime) -> Alarm:
    """A page without a fresh sample, because none was possible: it pages anyway, with a note."""
    if alarm.state is not AlarmState.RAISED:
        return alarm
    return _confirm(alarm, run_id, at, Confirmation.NOT_ASKED)


def cleared_by_hand(alarm: Alarm, who: str, why: str, at: datetime) -> Alarm:
    """Cleared by a person, with the reason."""
    return replace(alarm, state=AlarmState.CLEARED, cleared_at=at, cleared_by=who, cleared_why=why)


def _agrees_later(alarm: Alarm, finding: Finding) -> bool:
    """Whether an evaluation that was asked entirely after the page was raised replaces its missing fresh sample.

    So no page stays raised for days. A run asked at the same time as the raising run does not count, whenever it ends.
    """
    later = alarm.state is AlarmState.RAISED and finding.window_start > alarm.raised_at
    return later and not finding.judge_moved and _agrees(finding)


def _agrees(finding: Finding) -> bool:
    """Whether the evidence with the sample is still over the threshold, and the sample itself supports it."""
    return finding.alarming and finding.evaluation_log10 >= 0


def _raised(finding: Finding, at: datetime) -> Alarm:
    page = finding.severity is Severity.PAGE
    held = Confirmation.JUDGE_MOVED if finding.judge_moved else None
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
    )


def _confirm(alarm: Alarm, run_id: int, at: datetime, how: Confirmation) -> Alarm:
    return replace(
        alarm,
        state=AlarmState.CONFIRMED,
        confirmed_at=at,
        confirmed_run_id=run_id,
        note=NOTES[how],
        confirmation=how,
    )


def _lowered(alarm: Alarm, finding: Finding, at: datetime) -> Alarm:
    """A page, notified or not, whose scores come from a judge that changed."""
    if alarm.confirmed_at is None:
        alarm = replace(alarm, state=AlarmState.CONFIRMED, confirmed_at=at, confirmed_run_id=finding.run_id)
    held = Confirmation.JUDGE_MOVED
    return replace(alarm, severity=Severity.TICKET, note=NOTES[held], confirmation=held)


def _confirmed(alarm: Alarm, finding: Finding, at: datetime) -> Alarm:
    how = Confirmation.FRESH_SAMPLE if _agrees(finding) else Confirmation.FRESH_SAMPLE_DISAGREES
    how = Confirmation.JUDGE_MOVED if finding.judge_moved else how
    severity = Severity.PAGE if how is Confirmation.FRESH_SAMPLE else Severity.TICKET
    return _confirm(replace(alarm, severity=severity), finding.run_id, at, how)
