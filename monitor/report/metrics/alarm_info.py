"""``cliffwatch_alarm_info``: one series for each alert that fires, whose labels are the lines that it prints.

It is written anew when a verdict, an alarm or an identity check of its target changes. No answer is read for it: what
it says comes from findings without their exhibits, and from what the scrape has read anyway.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

from monitor.core.records import JUDGE_TARGET, Alarm, AlarmState, Finding, IdentityCheck, Point
from monitor.report.explain.alert_lines import AlertLines, Verdict, of_mismatch, of_verdicts
from monitor.report.explain.claim import beside_of, claim
from monitor.report.explain.onset import LedUp
from monitor.report.metrics.alerts import ALERTS, carrier

MISMATCH: Final = next(one for one in ALERTS if "check" in one.by)
"""The alert about identity checks: it rests on no signal."""

SIGNALS: Final[Mapping[str, int]] = {
    signal: place for spec in ALERTS for place, signal in enumerate(spec.signals) if spec.judge != "only"
}
"""Signal -> where it stands among those of its alert; the first leads."""

_NO_ANSWERS: Final = frozenset({"judge_score", "contract"})
"""Signals whose alarm does not say that the answers changed."""


class Lines(Protocol):
    """Where the series are written."""

    def add(self, name: str, value: float, *labels: str) -> None: ...


class Reads(Protocol):
    """What is read of the store for open alarms."""

    def run_findings(self, run_ids: Collection[int]) -> dict[int, list[Finding]]: ...
    def lost_shares(self, run_ids: Sequence[int]) -> Mapping[int, float]: ...


@dataclass(frozen=True, slots=True)
class Around:
    """What a scrape knows about a target beside its open alarms."""

    mismatches: Sequence[IdentityCheck] = ()
    """Identity checks that do not match, of any arm."""
    effect_left: float | None = None
    """The smallest ``adapter_effect_ratio`` of its suites."""
    judge_alarms: Sequence[Alarm] = ()
    """Open alarms of the judge's anchors."""
    lost: Mapping[int, float] = field(default_factory=dict)
    """Run id -> share of its questions without a usable answer, of the run of each suite that finished last."""


Heads = Mapping[int, Sequence[Finding]]
"""Run id -> its findings without exhibits."""


def read(store: Reads, alarms: Iterable[Alarm], led_up: Mapping[int | None, LedUp]) -> Heads:
    """What ``add`` needs of the findings around these open alarms, at once. Raises StoreError."""
    return store.run_findings({_newest(one, led_up[one.id]) for one in alarms})


def add(
    lines: Lines, target: str, raised: Sequence[Alarm], led_up: Mapping[int | None, LedUp], heads: Heads,
    around: Around, store: Reads,
) -> None:  # fmt: skip
    """Add the target's series. ``raised``: its open alarms; ``heads``: what ``read`` found. Raises StoreError."""
    confirmed = [one for one in raised if one.state is AlarmState.CONFIRMED]
    found = [_verdict(one, led_up[one.id], around, heads[_newest(one, led_up[one.id])], store) for one in confirmed]
    verdicts = [one for one in found if one is not None]
    for (alert, severity), some in _by_alert(target, verdicts).items():
        _add(lines, alert, target, severity, "", of_verdicts(some))
    moved = any(one.signal not in _NO_ANSWERS for one in confirmed)
    for check in dict.fromkeys(one.check for one in around.mismatches):
        first = min((one for one in around.mismatches if one.check == check), key=lambda one: one.since)
        told = of_mismatch(first, around.effect_left, moved=moved)
        _add(lines, MISMATCH.name, target, MISMATCH.severity or "", check, told)


def _add(lines: Lines, alert: str, target: str, severity: str, check: str, told: AlertLines) -> None:
    texts = (told.what, told.how_bad, told.since, told.evidence, told.cause, told.advice)
    lines.add("alarm_info", told.began.timestamp(), alert, target, severity, told.signal, check, *texts)


def _by_alert(target: str, verdicts: Iterable[Verdict]) -> dict[tuple[str, str], list[Verdict]]:
    """Alert and severity -> the verdicts that it carries, the one that says most first."""
    found: dict[tuple[str, str], list[Verdict]] = {}
    for one in sorted(verdicts, key=lambda one: one.alarm.suite):
        if (spec := carrier(one.alarm.signal, target)) is not None:
            found.setdefault((spec.name, spec.severity or one.alarm.severity.value), []).append(one)
    for some in found.values():
        some.sort(key=lambda one: SIGNALS[one.alarm.signal])
    return found


def _newest(alarm: Alarm, led_up: LedUp) -> int:
    """The run with the alarm's newest finding that alarms."""
    alarming = [one.run_id for one in led_up.history if one.alarming and one.at >= alarm.raised_at]
    return alarming[-1] if alarming else alarm.raised_run_id


def _verdict(alarm: Alarm, led_up: LedUp, around: Around, heads: Sequence[Finding], store: Reads) -> Verdict | None:
    """The newest finding that alarms, in words; ``None``: it is no longer stored. ``heads``: of its run."""
    finding = next((one for one in heads if one.signal == alarm.signal), None)
    if finding is None:
        return None
    beside = replace(beside_of(_Known(alarm, led_up, around, heads, store), finding), alone=True)
    return Verdict(alarm, finding, claim(finding, beside), led_up.began, led_up.healthy)


@dataclass(frozen=True, slots=True)
class _Known:
    """What ``beside_of`` asks for, from what is known of one alarm already."""

    alarm: Alarm
    led_up: LedUp
    around: Around
    heads: Sequence[Finding]
    """Of the finding's run."""
    store: Reads

    def series(
        self, since: datetime, target: str | None = None, only: Collection[tuple[str, str, str]] | None = None
    ) -> dict[tuple[str, str, str], list[Point]]:
        return {(self.alarm.target, self.alarm.suite, self.alarm.signal): list(self.led_up.history)}

    def alarms(
        self, target: str | None = None, suite: str | None = None, raised: bool | None = None, limit: int = 1000
    ) -> list[Alarm]:
        return [self.alarm]

    def open_alarms(self, target: str | None = None, suite: str | None = None) -> list[Alarm]:
        return list(self.around.judge_alarms) if target == JUDGE_TARGET else [self.alarm]

    def finding_heads(
        self, target: str | None = None, run_id: int | None = None, alarming: bool | None = None,
        before: int | None = None, limit: int = 100,
    ) -> list[tuple[int, Finding]]:  # fmt: skip
        return list(enumerate(self.heads))

    def identity_checks(self, target: str | None = None) -> list[IdentityCheck]:
        return list(self.around.mismatches)

    def lost_shares(self, run_ids: Sequence[int]) -> Mapping[int, float]:
        known = self.around.lost
        return known if all(run_id in known for run_id in run_ids) else self.store.lost_shares(run_ids)

    def last_asked(self, run_ids: Collection[int]) -> Mapping[int, datetime]:
        return self.led_up.asked
