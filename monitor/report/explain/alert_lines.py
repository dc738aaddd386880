"""The lines of an alert's text, as labels of ``cliffwatch_alarm_info``, in the words of the evidence page.

A changed label makes a new series, so nothing here depends on the current time: times are UTC and absolute, and the
evidence is in powers of ten. Every value is short, on one line, and without control characters for terminals or mail,
because some of the text comes from models and servers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final

from monitor.core.records import Alarm, Finding, IdentityCheck, Reason, Retirement
from monitor.core.sanitize import visible
from monitor.core.wording import served, sized
from monitor.report.explain.blame import BLAME, NOT_LOADED, ranked
from monitor.report.explain.claim import HEALTHY, SHOWN, Claim

LIMIT: Final = 500
"""Characters of a label's value. A cut value says how much was cut."""

LISTED: Final = "listed"
"""The identity check of whether the server offers the model."""

NAME: Final = 120
"""Characters of a model's name."""

CLOSE: Final = timedelta(minutes=10)
"""Runs closer together than this are written with seconds."""

JUDGE_ITSELF: Final = (
    "This target is the judge itself, tested on its anchors. CliffwatchJudgeDrift shows whether it still agrees with "
    "people."
)
"""Follows what changed, if the target is the judge and the alert can fire for any endpoint."""

_UNKNOWN: Final = "unknown. Read the answers under the evidence link."
_READ: Final = "read the answers under the evidence link."
_ODDS: Final = ((6, "more than a million"), (5, "more than 100,000"), (4, "more than 10,000"), (3, "more than 1,000"),
                (2, "more than 100"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class AlertLines:
    """What an alert prints after its first sentence. Each is a clause or sentences; none is empty."""

    signal: str
    """The signal that leads: the evidence link goes to its page."""
    what: str
    how_bad: str
    since: str
    evidence: str
    cause: str
    advice: str
    began: datetime
    """When the change began."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One open alarm that an alert carries, with the newest finding that alarms."""

    alarm: Alarm
    finding: Finding
    claim: Claim
    began: datetime
    healthy: datetime | None
    """The last healthy run before ``began``, if there was one."""


def of_verdicts(verdicts: Sequence[Verdict]) -> AlertLines:
    """The lines for all alarms of one alert; the first leads. There is at least one.

    The cause and the advice are those of the first. The change began with the earliest.
    """
    lead = verdicts[0]
    first = min(verdicts, key=lambda one: one.began)
    strongest = max(one.finding.evidence_log10 for one in verdicts)
    named = dict.fromkeys(f"{one.claim.headline} ({one.finding.signal})" for one in verdicts)
    same = [one for one in verdicts if one.finding.signal == lead.finding.signal]
    cause = f"{lead.claim.suspect}. {lead.claim.why}" if lead.claim.suspect else _UNKNOWN
    return AlertLines(
        signal=lead.finding.signal,
        what=_safe(f"{'; '.join(named)}."),
        how_bad=_safe(f"{'; '.join(map(_size, same))}."),
        since=when(first.began, first.healthy),
        evidence=_safe(f"{odds(strongest)} to 1 that something changed. {lead.alarm.note}".strip()),
        cause=_safe(cause),
        advice=_safe(_lower(lead.claim.now or _READ)),
        began=first.began,
    )


@dataclass(frozen=True, slots=True)
class Silence:
    """Last runs of a target in which its subject gave no usable answer."""

    model: str
    """The subject's model, as it is asked for."""
    reasons: Mapping[str, int]
    """Reason -> number of questions without a usable answer for it."""

    @property
    def unknown_model(self) -> bool:
        """Whether the server refuses the requests, as it does for a model that it does not know."""
        return bool(self.reasons) and ranked(self.reasons)[0][0] == Reason.REJECTED

    @property
    def told(self) -> str:
        counted = ", ".join(f"{reason.replace('_', ' ')}: {count:,}" for reason, count in ranked(self.reasons))
        return f"no question of the last run has a usable answer{f' ({counted})' if counted else ''}"


def of_mismatch(
    check: IdentityCheck, effect_left: float | None, *, moved: bool, silence: Silence | None = None
) -> AlertLines:
    """The lines for an identity check that does not match.

    ``effect_left``: share of the fine-tune's effect that is left in the answers, where it was measured. ``moved``: an
    alarm is open on the answers themselves. ``silence``: the last run has no answers, so older measurements of the
    answers say nothing of what is served now.
    """
    if silence is not None:
        return _of_silent(check, silence)
    left = None if effect_left is None else max(effect_left, 0.0)
    return AlertLines(
        signal="identity",
        what=f"{served(check.check)}.",
        how_bad=_left(left),
        since=when(check.since, None).removeprefix("first seen "),
        evidence=_safe(f"declared: {check.expected}; found: {check.found}."),
        cause=_at_fault(left, moved=moved),
        advice="open the evidence link, which shows declared and found side by side. If a deployment is wrong, roll it "
        "back. If the configuration is wrong, correct it and reload.",
        began=check.since,
    )


def _of_silent(check: IdentityCheck, silence: Silence) -> AlertLines:
    absent = check.check == LISTED and silence.unknown_model
    model = visible(silence.model, limit=NAME)
    return AlertLines(
        signal="identity",
        what=_safe(f"The endpoint does not know the model '{model}'." if absent else f"{served(check.check)}."),
        how_bad=_safe(
            f"every request is refused: {silence.told}. Users get errors, not another model."
            if absent
            else f"{silence.told}, so what is served now was not measured."
        ),
        since=when(check.since, None).removeprefix("first seen "),
        evidence=_safe(f"declared: {check.expected}; found: {check.found}."),
        cause=_safe(
            f"{NOT_LOADED.who}. {NOT_LOADED.why}"
            if absent
            else "the endpoint, or the declaration in cliffwatch.yaml: without answers, no measurement shows which."
        ),
        advice=_safe(
            "load the model or adapter again, or correct its name in cliffwatch.yaml and reload. cliffwatch ask TARGET "
            "PROBE --debug shows the server's own words."
            if absent
            else "check first why the endpoint gives no answers: see CliffwatchUnmeasured. Then open the evidence "
            "link, which shows declared and found side by side."
        ),
        began=check.since,
    )


def of_unmeasured(suite: str, reasons: Mapping[str, int], *, unlisted: bool = False) -> Mapping[str, str]:
    """Why most questions of the last run of ``suite`` have no usable answer, as labels.

    ``reasons``: reason -> number of questions. ``unlisted``: the server does not list the model.
    """
    if not reasons:
        return {}
    (reason, _), *_ = ranked(reasons)
    blame = NOT_LOADED if unlisted and reason == Reason.REJECTED else BLAME.get(reason)
    cause = _UNKNOWN if blame is None else f"{blame.who}. {blame.why}"
    evidence = f"Most frequent reason in the last run: {reason}."
    return {"suite": suite, "evidence": _safe(evidence), "cause": _safe(cause)}


def of_retirement(found: Retirement) -> Mapping[str, str]:
    """Which model will be shut down, and the source of the date, as labels."""
    source = "cliffwatch.yaml" if found.source == "config" else found.source
    return {"arm": found.arm.value, "what": _safe(f"{found.model} will be shut down (source: {source}).")}


def when(began: datetime, healthy: datetime | None) -> str:
    """When a change began, in UTC: between two runs, or when it was first seen.

    >>> when(datetime(2026, 11, 22, 12, tzinfo=UTC), datetime(2026, 11, 21, 12, tzinfo=UTC))
    'between Sat 2026-11-21 12:00 (last healthy evaluation) and Sun 2026-11-22 12:00 UTC (first seen)'
    """
    if healthy is None:
        return f"first seen {_moment(began)} UTC"
    clock = "%H:%M:%S" if began - healthy < CLOSE else "%H:%M"
    return f"between {_moment(healthy, clock)} ({HEALTHY}) and {_moment(began, clock)} UTC ({SHOWN})"


def odds(evidence_log10: float) -> str:
    """Evidence in powers of ten, so that it does not change with every run.

    >>> odds(4.2), odds(7.4), odds(1.9)
    ('more than 10,000', 'more than a million', 'less than 100')
    """
    return next((told for power, told in _ODDS if evidence_log10 >= power), "less than 100")


def _moment(moment: datetime, clock: str = "%H:%M") -> str:
    return f"{moment.astimezone(UTC):%a %Y-%m-%d {clock}}"


def _size(one: Verdict) -> str:
    told = one.claim.bad.removesuffix(".") or (sized(one.finding) if isfinite(one.finding.effect) else "unknown")
    return f"{_lower(told)} (suite {one.finding.suite})"


def _left(share: float | None) -> str:
    if share is None:
        return "unknown: it was not measured on the answers."
    if share < 0.005:
        return "nothing is left of the fine-tune's effect in its answers."
    if share >= 1.005:
        return f"the fine-tune's effect is {share:.0%} of the approved one in its answers (100% is healthy)."
    return f"{share:.0%} of the fine-tune's effect is left in its answers (100% is healthy)."


def _at_fault(left: float | None, *, moved: bool) -> str:
    if moved or (left is not None and left < 0.8):
        return "the served model: its answers changed too."
    if left is None:
        return "the served model, or the declaration in cliffwatch.yaml: no measurement of the answers shows which."
    return "the declaration in cliffwatch.yaml, or a deployment since the last run, whose answers were as approved."


def _lower(text: str) -> str:
    """``text`` as it continues after a colon. An acronym at the start keeps its letters."""
    return text if text[1:2].isupper() else f"{text[:1].lower()}{text[1:]}"


def _safe(text: str) -> str:
    return visible(" ".join(text.split()), limit=LIMIT)
