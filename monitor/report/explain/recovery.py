"""How a finding is shown whose alarm is over: one rule for every signal, on pages, in tables and in the terminal.

Its numbers stay as stored. The finding that ends an alarm still holds all the evidence that raised it. So its own
summary can describe the change and give advice that is no longer needed.
"""

from collections.abc import Iterable
from typing import Final

from monitor.core.records import Alarm, Finding, FindingState
from monitor.core.signals import title
from monitor.core.wording import sized, state_of
from monitor.report.explain import sentences

RECOVERED: Final = "The evaluations since the alarm show enough evidence of recovery"


def ending(alarms: Iterable[Alarm], finding: Finding) -> Alarm | None:
    """The alarm that the finding raised, kept open or ended, if it is over; else ``None``.

    ``alarms``: newest first, open ones too. Runs are ordered by their numbers here. ``context.alarm_of`` uses the time
    of the verdict instead, where that was read.
    """
    key = (finding.target, finding.suite, finding.signal)
    same = (one for one in alarms if (one.target, one.suite, one.signal) == key)
    found = next((one for one in same if one.raised_run_id <= finding.run_id and _up_to(one, finding)), None)
    return found if found is not None and found.cleared_at is not None else None


def _up_to(alarm: Alarm, finding: Finding) -> bool:
    if alarm.cleared_run_id is not None:
        return finding.run_id <= alarm.cleared_run_id
    return alarm.cleared_at is None or finding.run_id == alarm.raised_run_id or finding.window_end <= alarm.cleared_at


def ended_by(finding: Finding, alarm: Alarm | None) -> bool:
    """Whether the answers of this finding's run ended the alarm."""
    return alarm is not None and alarm.cleared_at is not None and alarm.cleared_run_id == finding.run_id


def headline(finding: Finding) -> str:
    """The headline of a finding that ended its alarm."""
    return f"{finding.target} has recovered ({title(finding.signal)})"


def summary(finding: Finding, alarm: Alarm | None) -> str:
    """The finding's summary. If it ended its ``alarm``: the recovery and its numbers. If its alarm ended later: what it
    claimed, without the advice."""
    if state_of(finding, alarm) is not FindingState.CLEARED:
        return sentences.summary(finding)
    if ended_by(finding, alarm):
        return f"{headline(finding)}: {sized(finding)}. {RECOVERED}."
    return sentences.claim(finding)
