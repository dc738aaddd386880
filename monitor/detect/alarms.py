"""The one state machine of an alarm: raised, confirmed, cleared. Pure, so that replaying findings gives the same
alarms."""

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
"""Why a page that was raised is a ticket until a fresh sample agrees."""


def next_state(alarm: Alarm | None, finding: Finding, at: datetime, *, clears: bool) -> Alarm | None:
    """The signal's alarm after one finding; the very ``alarm`` where nothing changes.

    ``alarm``: the open one, ``None`` where there is none. A ticket is confirmed as it is raised; a page waits for its
    fresh sample, which never clears it: an endpoint that fails every other time would raise and clear unheard for ever.
    Nor does a fresh sample raise anything: asked during a fault, it may end when all is well again. What it adds to the
    evidence, the next look raises. ``clears``: the run answered enough to show a recovery.
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
    """A page that is only raised, or one that an earlier fresh sample or the judge's own alarm took for a ticket."""
    held = alarm.severity is Severity.TICKET and alarm.confirmation in HELD_BACK
    return alarm.state is AlarmState.RAISED or held


def awaited(alarms: Iterable[Alarm], asked_at: datetime) -> bool:
    """Whether an alarm still waits for the fresh sample that was asked for at ``asked_at``.

    Where none does, all that it was asked for is cleared or confirmed; what was raised since is another matter.
    """
    return any(wants_confirmation(alarm) and alarm.raised_at <= asked_at for alarm in alarms)


def to_confirm(alarms: Sequence[Alarm], found: Sequence[Finding]) -> bool:
    """Whether a fresh sample is to be asked now: a page signal alarms and nobody was woken for it yet."""
    waiting = {alarm.signal for alarm in alarms if wants_confirmation(alarm)}
    return any(one.alarming and one.severity is Severity.PAGE and not one.confirming and one.signal in waiting
               for one in found)  # fmt: skip


def unconfirmable(alarm: Alarm, run_id: int, at: datetime) -> Alarm:
    """A page whose fresh sample could not be had: it pages all the same, and says so."""
    if alarm.state is not AlarmState.RAISED:
        return alarm
    return _confirm(alarm, run_id, at, Confirmation.NOT_ASKED)


def cleared_by_hand(alarm: Alarm, who: str, why: str, at: datetime) -> Alarm:
    """Cleared by a person, with the reason."""
    return replace(alarm, state=AlarmState.CLEARED, cleared_at=at, cleared_by=who, cleared_why=why)


def _agrees_later(alarm: Alarm, finding: Finding) -> bool:
    """Whether a look, all of it asked after the page was raised, does what its fresh sample has not come to do.

    So no page hangs as raised for days. One asked beside the raising run is no fresh sample, whenever it ends.
    """
    later = alarm.state is AlarmState.RAISED and finding.window_start > alarm.raised_at
    return later and not finding.judge_moved and _agrees(finding)


def _agrees(finding: Finding) -> bool:
    """The evidence is still over the line with the sample in it, and the sample itself speaks for it."""
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
    """A page, told or not yet, whose scores are those of a judge that moved."""
    if alarm.confirmed_at is None:
        alarm = replace(alarm, state=AlarmState.CONFIRMED, confirmed_at=at, confirmed_run_id=finding.run_id)
    held = Confirmation.JUDGE_MOVED
    return replace(alarm, severity=Severity.TICKET, note=NOTES[held], confirmation=held)


def _confirmed(alarm: Alarm, finding: Finding, at: datetime) -> Alarm:
    how = Confirmation.FRESH_SAMPLE if _agrees(finding) else Confirmation.FRESH_SAMPLE_DISAGREES
    how = Confirmation.JUDGE_MOVED if finding.judge_moved else how
    severity = Severity.PAGE if how is Confirmation.FRESH_SAMPLE else Severity.TICKET
    return _confirm(replace(alarm, severity=severity), finding.run_id, at, how)
