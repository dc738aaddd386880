"""A finding as one claim that a person can act on: what changed, since when, how bad, how sure, the likely cause, what
to do.

The page and the terminal show the same words. ``claim`` is pure; ``claim_of`` reads what it needs from the store.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from monitor.core.records import Alarm, AlarmState, Cause, Finding, FindingState, Severity
from monitor.core.signals import ALERTS, SPECS
from monitor.core.wording import AGREEING, NO_EVIDENCE_LOG10, cleared, power, sized, state_of, waits_for
from monitor.report.explain import cause, recovery, sentences
from monitor.report.explain.context import FindingContext, finding_context
from monitor.report.explain.onset import beginning

if TYPE_CHECKING:
    from monitor.store import StoreReader

HEALTHY: Final = "last healthy evaluation"
SHOWN: Final = "first seen"
"""What the two times are between which a change began."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One finding in words. Parts without content are empty."""

    headline: str
    """What changed, of which target: the news."""
    bad: str
    """How bad, in numbers."""
    since: str
    """When it began, without a full stop, so that the time since then can be added. See ``aged``."""
    began: datetime | None
    """When it was first seen."""
    sure: str
    """Whether it is real."""
    suspect: str
    """``the model``, ``the judge``, ``the inputs``, ``your own configuration``, ``the served model`` or nothing."""
    why: str
    """Why it is suspected, and what else is possible."""
    now: str
    """What to do."""
    runbook: str | None
    """The alert whose runbook has the details."""
    state: FindingState


def claim(finding: Finding, context: FindingContext, see: str = "") -> Claim:
    """The finding in words. What it says about other findings and checks depends on ``context``.

    ``see``: replaces the text of ``mismatch`` where the reader already sees that text elsewhere.
    """
    what, numbers = sentences.news(finding)
    headline, bad = _headline(what, finding.target), f"{numbers[:1].upper()}{numbers[1:]}." if numbers else ""
    state = state_of(finding, context.alarm)
    if state is FindingState.QUIET:
        return Claim(headline, bad, "", None, _sure(finding, None), "", "", "", None, state)
    runbook = _runbook(finding, context)
    if recovery.ended_by(finding, context.alarm):
        return _recovered(finding, context, runbook, state)
    first, before = beginning(finding, context.history, context.alarm, context.asked)
    who, why = cause.suspect(finding, context, see) if state is not FindingState.CLEARED else ("", "")
    return Claim(
        headline,
        bad,
        since(first, before),
        first,
        _sure(finding, context.alarm),
        who,
        why,
        _to_do(finding, context, first, before),
        runbook,
        state,
    )


def _runbook(finding: Finding, context: FindingContext) -> str | None:
    """The alert that carries the finding, by its cause."""
    if cause.is_judge_drift(finding):
        return "CliffwatchJudgeDrift"
    spec = SPECS.get(finding.signal)
    if spec is not None and spec.joins and cause.of(finding, context) is Cause.ADAPTER_LOST:
        return spec.joins
    return ALERTS.get(finding.signal)


def _recovered(finding: Finding, context: FindingContext, runbook: str | None, state: FindingState) -> Claim:
    """The claim of a finding that ended its alarm: the recovery is the news, whatever the evidence before it was."""
    bad, sure = sized(finding), f"{recovery.RECOVERED}. The evidence starts again from here."
    now = _to_do(finding, context, finding.window_end, None)
    return Claim(recovery.headline(finding), f"{bad}.", "", None, sure, "", "", now, runbook, state)


def _headline(what: str, target: str) -> str:
    """``what`` with the target's name in it, because it is also shown where nothing else names the target."""
    if re.search(rf"(?<![\w-]){re.escape(target)}(?![\w-])", what):
        return what
    return f"{target}: {what[:1].lower()}{what[1:]}"


def _date(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def since(
    first: datetime, before: datetime | None, zone: tzinfo | None = None, day: Callable[[datetime], str] = _date
) -> str:
    """When it began, in words, from the result of ``beginning``.

    ``zone``: the zone of the surrounding text; times then do not name a zone. Without it, times are UTC and say so.
    ``day``: formats the day of a time in that zone.
    """
    name, first = "" if zone else " UTC", first.astimezone(zone or UTC)
    if before is None:
        return f"First seen {day(first)} {first:%H:%M}{name}"
    before = before.astimezone(zone or UTC)
    clock = "%H:%M:%S" if first - before < timedelta(minutes=10) else "%H:%M"
    if first.date() != before.date():
        start, end = f"between {day(before)} {before:{clock}}", f"{day(first)} {first:{clock}}{name}"
    else:
        start, end = f"{day(first)} between {before:{clock}}", f"{first:{clock}}{name}"
    return f"Began {start} ({HEALTHY}) and {end} ({SHOWN})"


def aged(text: str, age: str) -> str:
    """``text`` of ``since`` with the time since the first evaluation that shows the change.

    >>> aged("Began 2026-11-22 between 06:00 (last healthy evaluation) and 12:00 UTC (first seen)", "5 min ago")
    'Began 2026-11-22 between 06:00 (last healthy evaluation) and 12:00 UTC (first seen, 5 min ago)'
    >>> aged("First seen 2026-11-22 12:00 UTC", "5 min ago")
    'First seen 2026-11-22 12:00 UTC, 5 min ago'
    """
    return f"{text[:-1]}, {age})" if text.endswith(")") else f"{text}, {age}"


def _at(moment: datetime, context: datetime | None = None) -> str:
    """``context``: a time that the reader knows; a time of the same day is written without its date."""
    same = context is not None and moment.date() == context.date()
    return f"{moment:%H:%M} UTC" if same else f"{moment:%Y-%m-%d %H:%M} UTC"


def _sure(finding: Finding, alarm: Alarm | None) -> str:
    threshold = f"Alarm threshold: {power(finding.threshold_log10)}."
    if finding.evidence_log10 < NO_EVIDENCE_LOG10:
        return f"No evidence of a change. {threshold}"
    told = f"Evidence of a change: {power(finding.evidence_log10)}. {threshold}"
    if not finding.alarming:
        return f"{'Worth a look, but no' if finding.state is FindingState.LOOK else 'No'} alarm. {told}"
    if alarm is None or alarm.cleared_at is not None:
        return told
    if alarm.state is AlarmState.RAISED:
        since = _at(alarm.raised_at, finding.window_end)
        return f"Not confirmed yet. Waiting for {waits_for(alarm)} since {since}."
    if alarm.confirmation in AGREEING and alarm.confirmed_at is not None:
        return f"Confirmed by {AGREEING[alarm.confirmation]} at {_at(alarm.confirmed_at, finding.window_end)}."
    return f"{told} {alarm.note}".rstrip()


def _to_do(finding: Finding, context: FindingContext, first: datetime, healthy: datetime | None) -> str:
    """``first``: when the change was first seen. ``healthy``: the last healthy evaluation before, if known."""
    alarm, again = context.alarm, context.again
    if alarm is not None and alarm.cleared_at is not None:
        if again is not None and again.cleared_at is None:
            return f"See the alarm that was raised again at {_at(again.raised_at)}. This one was {cleared(alarm)}."
        return f"Nothing to do: {cleared(alarm)}."
    if not finding.alarming:
        return "Nothing yet. Each further run raises or lowers the evidence. Read the answers if you have a minute."
    found = cause.of(finding, context)
    told = (
        sentences.then(finding, found)
        or f"Read the answers {'under the evidence link' if context.alone else 'below'}. Is the change real?"
    )
    if found is Cause.ADAPTER_LOST and not finding.recovered:
        at = _at(healthy or first, None if context.alone else finding.window_end)
        told = (
            "Check which adapter the endpoint serves and whether it is applied. If it is lost, restore the server, "
            f"image, route or adapter that served {f'at the {HEALTHY}, {at}' if healthy else f'before {at}'}."
        )
        if not cause.on_all_traffic(finding):
            told += " Check every replica: only part of the traffic may be affected."
    if alarm is not None and alarm.state is AlarmState.RAISED and alarm.severity is Severity.PAGE:
        return f"Nobody is paged yet: the alarm waits for {waits_for(alarm)}. Meanwhile: {told}"
    return told


def claim_of(store: "StoreReader", finding: Finding) -> Claim:
    """The finding in words, with its context from the store."""
    return claim(finding, finding_context(store, finding))
