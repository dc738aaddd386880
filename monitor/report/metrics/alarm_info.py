"""``cliffwatch_alarm_info``: one series per alert, whose labels are the lines of its text.

It is rewritten when a verdict, an alarm or an identity check of its target changes. Its texts need no answers: they
come from findings without exhibits and from data that the scrape reads anyway.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from monitor.core.records import Alarm, AlarmState, Arm, Finding, IdentityCheck, Retirement
from monitor.core.run_kinds import JUDGE
from monitor.core.signals import ALERTS as SIGNAL_ALERTS
from monitor.core.signals import ANSWERS
from monitor.report.explain.alert_lines import (
    JUDGE_ITSELF,
    LISTED,
    AlertLines,
    Silence,
    Verdict,
    of_mismatch,
    of_retirement,
    of_unmeasured,
    of_verdicts,
)
from monitor.report.explain.claim import claim
from monitor.report.explain.context import FindingContext, judge_drifted, of_subject, with_heads
from monitor.report.explain.onset import Onset
from monitor.report.metrics.alerts import ALERTS, carrier
from monitor.report.metrics.exposition import SPECS

if TYPE_CHECKING:
    from monitor.store import StoreReader

MISMATCH: Final = next(one for one in ALERTS if "check" in one.by)
"""The alert about identity checks, which has no signal."""

OF_ANY_ENDPOINT: Final = frozenset(one.name for one in ALERTS if one.signals and one.judge == "too")
"""Alerts about verdicts that fire for the judge as for any endpoint."""

LABELS: Final = SPECS["alarm_info"].labels

SIGNALS: Final[Mapping[str, int]] = {
    signal: place for spec in ALERTS for place, signal in enumerate(spec.signals) if spec.judge != "only"
}
"""Signal -> its position among the signals of its alert; the first leads."""


class Lines(Protocol):
    """Receives the series."""

    def add(self, name: str, value: float, *labels: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Around:
    """What a scrape knows about a target in addition to its open alarms."""

    mismatches: Sequence[IdentityCheck] = ()
    """Identity checks that do not match, of any arm."""
    effect_left: float | None = None
    """The smallest ``adapter_effect_ratio`` of its suites."""
    judge_alarms: Sequence[Alarm] = ()
    """Open alarms of the judge's anchors."""
    url: str = ""
    """Address of the pages."""
    silence: Silence | None = None
    """If the last runs of all its suites have no usable answer of the subject."""
    lost: Mapping[int, float] = field(default_factory=dict)
    """Run id -> share of its questions without a usable answer, for the last finished run of each suite."""


Heads = Mapping[int, Sequence[Finding]]
"""Run id -> its findings without exhibits."""


def read(store: "StoreReader", alarms: Iterable[Alarm], led_up: Mapping[int | None, Onset]) -> Heads:
    """The findings around these open alarms that ``add`` needs, in one query. Raises StoreError."""
    return store.run_findings({_newest(one, led_up[one.id]) for one in alarms})


def add(
    lines: Lines, target: str, raised: Sequence[Alarm], led_up: Mapping[int | None, Onset], heads: Heads,
    around: Around, store: "StoreReader",
) -> None:  # fmt: skip
    """Add the target's series. ``raised``: its open alarms; ``heads``: the result of ``read``. Raises StoreError."""
    confirmed = [one for one in raised if one.state is AlarmState.CONFIRMED]
    found = [_verdict(one, led_up[one.id], around, heads[_newest(one, led_up[one.id])], store) for one in confirmed]
    verdicts = [one for one in found if one is not None]
    for (alert, severity, _), some in _by_alert(target, verdicts).items():
        told = of_verdicts(some)
        page = f"{around.url}/targets/{target}/{told.signal}"
        note = f" {JUDGE_ITSELF}" if target == JUDGE.target and alert in OF_ANY_ENDPOINT else ""
        _add(lines, alert, target, severity, told.began, {**_texts(told), "what": told.what + note}, evidence_url=page)
    page = f"{around.url}/targets/{target}"
    moved = any(one.signal in ANSWERS for one in confirmed)
    for check in dict.fromkeys(one.check for one in around.mismatches):
        first = min((one for one in around.mismatches if one.check == check), key=lambda one: one.since)
        silence = around.silence if _of_subject(first) else None
        told = of_mismatch(first, around.effect_left, moved=moved, silence=silence)
        labels = {**_texts(told), "check": check}
        _add(lines, MISMATCH.name, target, MISMATCH.severity or "", told.began, labels, evidence_url=page)


def add_unwatched(
    lines: Lines, target: str, unmeasured: Mapping[str, Mapping[str, int]], retirements: Iterable[Retirement],
    mismatches: Iterable[IdentityCheck], url: str,
) -> None:  # fmt: skip
    """Add the series of the alerts about what prevents the target's monitoring now, or soon will.

    ``unmeasured``: suite -> reason -> number of questions of its last finished run without a usable answer, for suites
    with too many of them. ``retirements``: the earliest for each arm. ``mismatches``: identity checks that do not
    match. ``url``: address of the pages.
    """
    unlisted = any(one.check == LISTED and _of_subject(one) for one in mismatches)
    page = f"{url}/targets/{target}"
    for suite, reasons in unmeasured.items():
        if texts := of_unmeasured(suite, reasons, unlisted=unlisted):
            _add(lines, "CliffwatchUnmeasured", target, "ticket", None, texts, evidence_url=page)
    for one in retirements:
        _add(lines, "CliffwatchModelRetiring", target, "ticket", None, of_retirement(one), evidence_url=page)


def _of_subject(check: IdentityCheck) -> bool:
    return check.arm is Arm.SUBJECT


def _texts(told: AlertLines) -> dict[str, str]:
    names = ("signal", "what", "how_bad", "since", "evidence", "cause", "advice")
    return {name: getattr(told, name) for name in names}


def _add(
    lines: Lines, alert: str, target: str, severity: str, began: datetime | None, texts: Mapping[str, str],
    *, evidence_url: str,
) -> None:  # fmt: skip
    labels = {"alert": alert, "target": target, "severity": severity, "evidence_url": evidence_url, **texts}
    value = 0.0 if began is None else began.timestamp()
    lines.add("alarm_info", value, *(labels.get(name, "") for name in LABELS))


def _by_alert(target: str, verdicts: Iterable[Verdict]) -> dict[tuple[str, str, str], list[Verdict]]:
    """Alert, severity and signal (if it is a label of the alert) -> its verdicts, the leading one first."""
    found: dict[tuple[str, str, str], list[Verdict]] = {}
    known = sorted(verdicts, key=lambda one: one.alarm.suite)
    signals = {one.alarm.signal for one in known}
    for one in known:
        if (spec := carrier(one.alarm.signal, target, signals)) is not None:
            signal = one.alarm.signal if "signal" in spec.by else ""
            found.setdefault((spec.name, spec.severity or one.alarm.severity.value, signal), []).append(one)
    for (alert, _, _), some in found.items():
        some.sort(key=lambda one: (SIGNAL_ALERTS.get(one.alarm.signal) != alert, SIGNALS[one.alarm.signal]))
    return found


def _newest(alarm: Alarm, led_up: Onset) -> int:
    """The run with the alarm's newest finding that alarms."""
    alarming = [one.run_id for one in led_up.history if one.alarming and one.at >= alarm.raised_at]
    return alarming[-1] if alarming else alarm.raised_run_id


def _verdict(
    alarm: Alarm, led_up: Onset, around: Around, heads: Sequence[Finding], store: "StoreReader"
) -> Verdict | None:
    """The newest alarming finding, in words; ``None`` if it is no longer stored. ``heads``: the findings of its run."""
    finding = next((one for one in heads if one.signal == alarm.signal), None)
    if finding is None:
        return None
    known = around.lost if finding.run_id in around.lost else store.lost_shares([finding.run_id])
    context = FindingContext(
        history=led_up.history,
        alarm=alarm,
        mismatches=of_subject(around.mismatches),
        judge_drifted=judge_drifted(around.judge_alarms),
        lost=known[finding.run_id],
        asked=led_up.asked,
        alone=True,
    )
    told = claim(finding, with_heads(context, finding, heads))
    return Verdict(alarm, finding, told, led_up.began, led_up.healthy)
