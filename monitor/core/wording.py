"""Evidence and alarms in words: sentences, pages and tables use the same."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from math import isfinite, isnan, nan
from typing import Final

from monitor.core import signals
from monitor.core.records import Alarm, AlarmState, Answer, Confirmation, Finding, FindingState, Severity
from monitor.core.sanitize import visible

SERVED: Final[Mapping[str, str]] = {
    "listed": "The server no longer offers this model",
    "parent": "The server names another base model under it than was declared",
    "root": "The server loads the base model itself under this name",
    "ft_base": "The fine-tune's own id names another base model than was declared",
    "answered_as": "Replies name another version of the model than was declared",
    "served_root": "The server loads the model from another place than when its baseline was approved",
    "adapter_base": "The adapter's files name another base model than was declared",
    "adapter_revision": "The adapter was trained on another revision of its base",
    "adapter_tensors": "The adapter's files do not contain the expected weights",
    "adapter_effect": "The adapter's weights change little or nothing",
    "adapter_fits": "The adapter's weights do not fit its base",
}
"""Identity check -> what a mismatch means."""

NO_EVIDENCE_LOG10: Final = 0.5
"""Evidence below this is no evidence of a change: 3 to 1, reached by chance once in a few weeks."""

AGREEING: Final[Mapping[Confirmation | None, str]] = {
    Confirmation.FRESH_SAMPLE: "a fresh sample",
    Confirmation.LATER_LOOK: "a later evaluation",
    Confirmation.ANOTHER_DAY: "an evaluation on another day",
}
"""What confirmed an alarm, in words."""


def waits_for(alarm: Alarm) -> str:
    """What a page that is only raised waits for."""
    return "a fresh sample" if alarm.waits_until is None else "an evaluation on another day"


def many(count: int, noun: str) -> str:
    """``1 target``, ``1,200 targets``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def hashes_only() -> str:
    """What ``keep: hashes`` means for signals."""
    blind = ", ".join(one.name for one in signals.CATALOGUE if not one.by_equality)
    return f"no text is stored: findings show no examples, and signals that compare words are not measured ({blind})"


def amount(signal: str, effect: float) -> str:
    """An effect, or an end of its interval, as every page, table and terminal writes it.

    >>> amount("adapter_loss", -0.0069), amount("canaries", 1.0), amount("length", 2.416), amount("other", 0.12345)
    ('0%', '+100%', '2.42', '0.123')
    >>> amount("length", 4161.9), amount("length", 0.0), amount("adapter_loss", 9.0)
    ('over 100.00', 'under 0.01', 'over 200%')
    """
    if isnan(effect):
        return "–"
    kind, number = signals.effect(signal), bounded(signal, effect)
    told = format(number, kind.format)
    if at_least_none(signal, effect) == number:
        return told
    return f"{'over' if effect > number else 'under'} {told}"


def bounded(signal: str, effect: float) -> float:
    """The effect within the bounds that are shown as a number.

    >>> bounded("length", 4161.9), bounded("distribution", -0.05)
    (100.0, 0.0)
    """
    least, most = signals.effect(signal).bounds
    return min(most, max(least, at_least_none(signal, effect)))


def share(value: float) -> str:
    """A share as percent. One strictly between 0 and 1 never reads as 0% or 100%.

    >>> share(0.0), share(0.001), share(0.5), share(0.999), share(1.0)
    ('0%', 'under 1%', '50%', 'over 99%', '100%')
    """
    if 0 < value < 0.01:
        return "under 1%"
    return "over 99%" if 0.99 < value < 1 else f"{value + 0.0:.0%}"


def at_least_none(signal: str, effect: float) -> float:
    """The effect; 0 where a negative one has no meaning."""
    return max(0.0, effect) if signals.effect(signal).at_least_none else effect


def unit(finding: Finding) -> str:
    """The unit of ``amount``."""
    return signals.effect(finding.signal).unit or finding.unit


def sized(finding: Finding) -> str:
    """The effect with its unit and its interval."""
    shown, low, high = (
        amount(finding.signal, one) for one in (finding.effect, finding.effect_low, finding.effect_high)
    )
    return f"{shown} {unit(finding)} (95% interval {low} to {high}){_beside(finding)}"


def _beside(finding: Finding) -> str:
    """The absolute numbers behind a ratio, where the finding has them."""
    beside = signals.effect(finding.signal).beside
    if beside is None or not all(isfinite(finding.measures.get(key, nan)) for key in beside[1:]):
        return ""
    what, now, then = beside
    return f"; {finding.measures[now]:,.0f} {what}, {finding.measures[then]:,.0f} in the baseline"


def power(log10: float) -> str:
    """Evidence as odds.

    >>> power(0.3), power(3.5623), power(7.2), power(12.2), power(-1.0)
    ('2 to 1', '3,650 to 1', '10,000,000 to 1', '10^12 to 1', '1 to 10')
    """
    size = abs(log10)
    if size >= 6:  # only the order of magnitude means something
        size = round(size)
    odds = f"10^{size}" if size > 9 else f"{10**size:,.0f}"
    return f"{odds} to 1" if log10 >= 0 else f"1 to {odds}"


def served(check: str) -> str:
    """What it means that an identity check does not match."""
    return SERVED.get(check, f"What is served is not what is declared ({visible(check, limit=40)})")


def evidence(finding: Finding) -> tuple[str, str]:
    """The evidence for a change ``so_far``, and its threshold with the number of evaluations."""
    counted = f"{many(finding.evaluations, 'evaluation')} so far; this one alone: {power(finding.evaluation_log10)}"
    rest = f"threshold: {power(finding.threshold_log10)}; {counted}"
    return so_far(finding.evidence_log10), rest


def so_far(evidence_log10: float) -> str:
    """The evidence for a change as odds; "none" where it is under about 3 to 1."""
    return power(evidence_log10) if evidence_log10 >= NO_EVIDENCE_LOG10 else "none"


def told_odds(evidence_log10: float) -> str:
    """The evidence for a change as odds, marked where they are no evidence.

    >>> told_odds(4.0), told_odds(-0.3)
    ('10,000 to 1', 'none (odds 1 to 2)')
    """
    odds = power(evidence_log10)
    return odds if evidence_log10 >= NO_EVIDENCE_LOG10 else f"none (odds {odds})"


def state_of(finding: Finding, alarm: Alarm | None = None) -> FindingState:
    """The finding's state; ``cleared`` in place of ``alarming`` and ``look`` where ``alarm``, the one that the finding
    raised, kept open or ended, is over."""
    over = alarm is not None and alarm.cleared_at is not None
    return FindingState.CLEARED if over and finding.state is not FindingState.QUIET else finding.state


def urgency(one: Alarm | Finding) -> tuple[bool, int]:
    """Sorts pages before tickets, and causes before what follows from them."""
    return one.severity is not Severity.PAGE, signals.rank(one.signal)


def cleared(alarm: Alarm) -> str:
    """Who ended an alarm, when and why, in a few words."""
    at = f"{alarm.cleared_at:%Y-%m-%d %H:%M}" if alarm.cleared_at else "at an unknown time"
    if alarm.cleared_by:
        return f"cleared by {alarm.cleared_by}, {at}: {alarm.cleared_why}"
    why = f": {alarm.cleared_why}" if alarm.cleared_why else ""
    return f"cleared automatically, {at}" if alarm.cleared_run_id is not None else f"cleared {at}{why}"


def alarm_state(alarm: Alarm, known: datetime, zone: tzinfo | None = None) -> str:
    """The state of an alarm, its reason, and who acknowledged it, in one or two sentences.

    ``known``: a time whose day the reader knows, such as now; times of other days are written with their date.
    ``zone``: the zone of the surrounding text; times then do not name a zone. Without it, times are UTC and say so.
    """
    if alarm.state is AlarmState.CLEARED:
        return _cleared(alarm)
    return " ".join(filter(None, (_raised(alarm, known, zone), _acknowledged(alarm, known, zone))))


def _acknowledged(alarm: Alarm, known: datetime, zone: tzinfo | None) -> str:
    """Who acknowledged an alarm, when and why; empty if nobody did."""
    if alarm.acknowledged_at is None:
        return ""
    at = _moment(alarm.acknowledged_at, known, zone)
    return f"Acknowledged by {alarm.acknowledged_by}, {at}: {alarm.acknowledged_why}"


def _moment(at: datetime, known: datetime, zone: tzinfo | None) -> str:
    here = UTC if zone is None else zone
    local, same = at.astimezone(here), at.astimezone(here).date() == known.astimezone(here).date()
    if zone is None:
        return f"{local:%H:%M} UTC" if same else f"{local:%Y-%m-%d %H:%M} UTC"
    return f"{local:%H:%M}" if same else f"{local:%a} {local.day} {local:%b %H:%M}"


def _raised(alarm: Alarm, known: datetime, zone: tzinfo | None) -> str:
    if alarm.state is AlarmState.RAISED:
        requested = ", which the daemon requests" if alarm.waits_until is None else ""
        return f"Waiting since {_moment(alarm.raised_at, known, zone)} for {waits_for(alarm)}{requested}."
    if alarm.confirmation in AGREEING and alarm.confirmed_at is not None:
        at = _moment(alarm.confirmed_at, known, zone)
        return f"Confirmed {at} by {AGREEING[alarm.confirmation]} (run {alarm.confirmed_run_id})."
    if alarm.note:
        return alarm.note
    return "A ticket: the evidence is over the threshold." if alarm.severity is Severity.TICKET else "Confirmed."


def _cleared(alarm: Alarm) -> str:
    if alarm.cleared_by:
        return f"Cleared by {alarm.cleared_by}: {alarm.cleared_why}"
    if alarm.cleared_run_id is not None:
        return f"Cleared automatically: the answers up to run {alarm.cleared_run_id} show that it recovered."
    return f"Cleared: {alarm.cleared_why}" if alarm.cleared_why else "Cleared."


def no_text(answer: Answer) -> str:
    """What to show in place of an answer without a text."""
    if answer.refusal:
        return f"(empty) Refused, without a text (finish reason {visible(str(answer.finish_reason))})."
    if answer.text_in is None:
        return "(empty)"
    return (
        f"(empty) `content` has no text. The reply has text in `{visible(answer.text_in)}`: the server moved it there, "
        "for example with a reasoning parser."
    )
