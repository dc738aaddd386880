"""Evidence and alarms in words, for whoever reads them: sentences, pages and tables say the same."""

from typing import Final

from monitor.records import Alarm, AlarmState, Finding, Severity

AGREED: Final = "A fresh sample, asked at once, agrees."
AGREED_LATER: Final = "A later look agrees."
AGREEING: Final = {AGREED: "a fresh sample", AGREED_LATER: "a later look"}
"""An alarm's note -> what confirmed it."""


def power(log10: float) -> str:
    """Evidence as odds that a reader can hold on to.

    >>> power(0.3), power(3.5623), power(12.2), power(-1.0)
    ('2 to 1', '3,650 to 1', '10^12 to 1', '1 to 10')
    """
    size = abs(log10)
    odds = f"10^{size:.0f}" if size >= 6 else f"{10**size:,.0f}"
    return f"{odds} to 1" if log10 >= 0 else f"1 to {odds}"


def evidence(finding: Finding) -> tuple[str, str]:
    """The evidence for a change so far, and what to hold it against."""
    looks = f"{finding.looks} look{'s' * (finding.looks != 1)}"
    rest = f"alarms by itself at {power(finding.line_log10)}; {looks} counted, this one alone {power(finding.look_log10)}"
    return power(finding.evidence_log10), rest


def alarm_state(alarm: Alarm) -> str:
    """Where an alarm stands, and why, in a sentence."""
    if alarm.state is AlarmState.CLEARED:
        return _cleared(alarm)
    if alarm.state is AlarmState.RAISED:
        return f"Waiting since {alarm.raised_at:%H:%M} for a fresh sample, which the daemon asks."
    if alarm.note in AGREEING and alarm.confirmed_at is not None:
        return f"Confirmed {alarm.confirmed_at:%H:%M} by {AGREEING[alarm.note]} (run {alarm.confirmed_run_id})."
    if alarm.note:
        return alarm.note
    return "A ticket: the evidence is over its line." if alarm.severity is Severity.TICKET else "Confirmed."


def _cleared(alarm: Alarm) -> str:
    if alarm.cleared_by:
        return f"Cleared by {alarm.cleared_by}: {alarm.cleared_why}"
    if alarm.cleared_run_id is not None:
        return f"Cleared by the answers: up to run {alarm.cleared_run_id} they are evidence of recovery."
    return f"Cleared: {alarm.cleared_why}" if alarm.cleared_why else "Cleared."
