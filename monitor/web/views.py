"""What the pages show, read from the store and put into words; no HTML here."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from math import isfinite
from typing import Any, Final, Protocol

from monitor.records import (
    Alarm,
    Baseline,
    BaselineStatus,
    Exhibit,
    Finding,
    GradedAnswer,
    Probe,
    Run,
    RunSummary,
    SuiteProgress,
)
from monitor.schedule import interval_seconds
from monitor.settings import Settings
from monitor.words import REFERENCE
from monitor.words import TITLES as TITLES

PARTLY: Final = 0.2
"""Share of unmeasured questions over which a run's silence says little; ``CliffwatchUnmeasured`` alerts over it too."""

RECENT: Final = timedelta(days=7)
"""How long after it cleared an alarm's link still leads to what it was about."""

DIFF_WORDS: Final = 1_500
"""Longer answers are shown without marks: a word diff is quadratic."""

ALIKE: Final = 0.5
"""Share of two answers that must be the same for the rest to be marked: all marked is nothing marked."""


class Readings(Protocol):
    """What the pages read of the store."""

    def progress(self) -> list[SuiteProgress]: ...
    def baselines(
        self, target: str | None = None, suite: str | None = None, status: BaselineStatus | None = None
    ) -> list[Baseline]: ...
    def alarms(
        self, target: str | None = None, suite: str | None = None, raised: bool | None = None, limit: int = 1000
    ) -> list[Alarm]: ...
    def latest_findings(
        self, target: str | None = None, suite: str | None = None, *, exhibits: bool = True
    ) -> list[Finding]: ...
    def findings(
        self,
        target: str | None = None,
        suite: str | None = None,
        run_id: int | None = None,
        signal: str | None = None,
        alarming: bool | None = None,
        limit: int = 100,
    ) -> list[Finding]: ...
    def runs(self, target: str | None = None, suite: str | None = None, limit: int = 100) -> list[Run]: ...
    def last_done(self) -> dict[tuple[str, str], int]: ...
    def summaries(self, run_ids: Sequence[int]) -> dict[int, RunSummary]: ...
    def outdated(self) -> set[tuple[str, str]]: ...
    def get_run(self, run_id: int) -> Run: ...
    def baseline(self, baseline_id: int) -> Baseline: ...
    def answers(self, run_ids: Sequence[int]) -> list[GradedAnswer]: ...
    def suite_body(self, suite_digest: str) -> str | None: ...
    def production_inputs(self, run_id: int) -> list[Probe]: ...
    def get_state(self, key: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Watch:
    """One target's suite, as the overview shows it."""

    target: str
    suite: str
    model: str
    base_model: str | None
    armed: bool
    state: str
    """armed, suite changed (since the baseline), capturing, to approve, or not armed."""
    baseline: Baseline | None
    """The approved one, else the newest that is not retired."""
    progress: SuiteProgress | None
    unmeasured: float | None
    """Share of the last finished run's questions without a usable answer."""
    late: bool
    """Its last success is older than two of its intervals."""
    stale: bool
    """Its findings say how it was, not how it is: it is not compared, not measured, or late."""
    findings: tuple[Finding, ...]
    alarms: tuple[Alarm, ...]


def watches(store: Readings, settings: Settings, now: datetime, target: str | None = None) -> list[Watch]:
    """One for each configured target and suite, those with raised alarms first."""
    progress = {(one.target, one.suite): one for one in store.progress()}
    baselines, findings, alarms = (
        _grouped(store.baselines(target)),
        _grouped(store.latest_findings(target, exhibits=False)),
        _grouped(store.alarms(target, raised=True)),
    )
    unmeasured, outdated = _unmeasured(store, target), store.outdated()
    rows = []
    for name, configured in settings.targets.items():
        if target is not None and name != target:
            continue
        for suite in configured.run_suites:
            key = (name, suite)
            state, baseline = _state(baselines.get(key, []), key in outdated)
            late = _late(progress.get(key), timedelta(seconds=interval_seconds(settings.schedule, suite)), now)
            rows.append(
                Watch(
                    target=name,
                    suite=suite,
                    model=configured.subject.model,
                    base_model=configured.base.model if configured.base else None,
                    armed=state == "armed",
                    state=state,
                    baseline=baseline,
                    progress=progress.get(key),
                    unmeasured=unmeasured.get(key),
                    late=late,
                    stale=late or state != "armed" or unmeasured.get(key, 0.0) >= 1,
                    findings=tuple(sorted(findings.get(key, []), key=lambda one: rank(one.signal))),
                    alarms=tuple(sorted(alarms.get(key, []), key=urgency)),
                )
            )
    return sorted(rows, key=lambda row: (not any(a.severity == "page" for a in row.alarms), not row.alarms))


def _late(progress: SuiteProgress | None, interval: timedelta, now: datetime) -> bool:
    return bool(progress and progress.last_success and now - progress.last_success > 2 * interval)


def rank(signal: str) -> int:
    """Where a signal stands in a list."""
    return [*TITLES, signal].index(signal)


def urgency(alarm: Alarm) -> tuple[bool, int]:
    """Pages before tickets, causes before what follows from them."""
    return alarm.severity != "page", rank(alarm.signal)


def headline(rows: Sequence[Watch]) -> tuple[str, str]:
    """``bad``, ``warn`` or ``good``, and the overview in one line: silence is good only where it was listened to."""
    alarms = [alarm for row in rows for alarm in row.alarms]
    pages = sum(alarm.severity == "page" for alarm in alarms)
    tickets, waiting = len(alarms) - pages, sum(alarm.state == "raised" for alarm in alarms)
    raised = (
        [counted(pages, "page") + " raised" + (f" ({waiting} being confirmed)" if waiting else "")] if pages else []
    )
    raised += [counted(tickets, "ticket") + ("" if pages else " raised")] if tickets else []
    gaps = _gaps(rows)
    tone = "bad" if pages else "warn" if tickets or gaps else "good"
    if not raised and not gaps:
        return tone, "All quiet"
    return tone, "; ".join([", ".join(raised) or "No alarm raised", *gaps])


def _gaps(rows: Sequence[Watch]) -> list[str]:
    """What nobody is told about by an alarm that is not raised, counted."""
    lost = [row for row in rows if (row.unmeasured or 0.0) >= 1]
    gaps = {
        "not measured": len(lost),
        "partly measured": sum(PARTLY < (row.unmeasured or 0.0) < 1 for row in rows),
        "late: no success in two intervals": sum(row.late and row not in lost for row in rows),
        "not armed: suite changed since its baseline": sum(row.state == "suite changed" for row in rows),
        f"of {len(rows)} not armed": sum(row.state not in ("armed", "suite changed") for row in rows),
    }
    return [f"{count} {words}" for words, count in gaps.items() if count]


def _unmeasured(store: Readings, target: str | None) -> dict[tuple[str, str], float]:
    last = {key: run_id for key, run_id in store.last_done().items() if target in (None, key[0])}
    summaries = store.summaries(list(last.values()))
    return {key: summaries[run_id].unmeasured_ratio for key, run_id in last.items() if run_id in summaries}


def _grouped(items: Sequence[Any]) -> dict[tuple[str, str], list[Any]]:
    grouped: dict[tuple[str, str], list[Any]] = {}
    for item in items:
        grouped.setdefault((item.target, item.suite), []).append(item)
    return grouped


def _state(baselines: Sequence[Baseline], outdated: bool) -> tuple[str, Baseline | None]:
    for status, word in (
        (BaselineStatus.APPROVED, "suite changed" if outdated else "armed"),
        (BaselineStatus.CAPTURED, "to approve"),
        (BaselineStatus.CAPTURING, "capturing"),
    ):
        found = next((one for one in baselines if one.status == status), None)
        if found is not None:
            return word, found
    return "not armed", None


def evidence_of(store: Readings, target: str, signal: str, now: datetime) -> Finding | None:
    """The finding that a link from an alert means.

    The raised alarm's newest; else the newest alarming one whose alarm cleared lately, for whoever comes late; else
    the newest of the signal.
    """
    latest = [one for one in store.latest_findings(target, exhibits=False) if one.signal == signal]
    raised = {one.suite for one in store.alarms(target, raised=True) if one.signal == signal}
    latest.sort(key=lambda one: (one.suite in raised, one.alarming, one.window_end), reverse=True)
    if not any(one.suite in raised for one in latest):
        for found in store.findings(target, signal=signal, alarming=True, limit=1):
            alarm = alarm_of(store, found)
            if alarm and alarm.cleared_at and now - alarm.cleared_at <= RECENT:
                return found
    return latest[0] if latest else None


def alarm_of(store: Readings, finding: Finding) -> Alarm | None:
    """The alarm that was raised, or was being cleared, when the finding's run finished."""
    at = store.get_run(finding.run_id).finished_at
    for one in store.alarms(finding.target, finding.suite):
        if one.signal == finding.signal and (
            finding.run_id in (one.raised_run_id, one.confirmed_run_id, one.cleared_run_id)
            or (at is not None and one.raised_at <= at and (one.cleared_at is None or at < one.cleared_at))
        ):
            return one
    return None


def newest_of(store: Readings, finding: Finding) -> Finding | None:
    """The newest finding of the same series, if it is another."""
    latest = store.latest_findings(finding.target, finding.suite, exhibits=False)
    return next((one for one in latest if one.signal == finding.signal and one.run_id != finding.run_id), None)


@dataclass(frozen=True, slots=True)
class Interval:
    """The effect on a line, in per mille of the picture's width."""

    low: float
    effect: float
    high: float
    reference: float
    reference_label: str
    least: float
    most: float


def interval(finding: Finding) -> Interval | None:
    """Where the effect, its 95 % interval and "no change" stand; ``None`` where the effect is no finite number."""
    reference, label = REFERENCE.get(finding.signal, (0.0, "unchanged"))
    numbers = (finding.effect_low, finding.effect, finding.effect_high, reference)
    if not all(map(isfinite, numbers)):
        return None
    points = [*numbers, 0.0] if finding.signal == "adapter_loss" else [*numbers]
    least, most = min(points), max(points)
    margin = (most - least or 1.0) * 0.12
    least, most = least - margin, most + margin

    def place(value: float) -> float:
        return round(1000 * (value - least) / (most - least), 1)

    low, effect, high, unchanged = map(place, numbers)
    return Interval(low, effect, high, unchanged, label, least, most)


Piece = tuple[str, bool]
"""Text, and whether it is only on this side."""


def marked(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, with what only one of them has marked, word by word, where they are mostly the same."""
    left, right = re.findall(r"\s+|\w+|[^\w\s]", before), re.findall(r"\s+|\w+|[^\w\s]", after)
    if len(left) + len(right) > 2 * DIFF_WORDS or before == after:
        return [(before, False)], [(after, False)]
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    same = sum(len("".join(left[block.a : block.a + block.size])) for block in matcher.get_matching_blocks())
    if 2 * same < ALIKE * (len(before) + len(after)):
        return [(before, False)], [(after, False)]
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    for tag, a, b, c, d in matcher.get_opcodes():
        for side, words in zip(pieces, (left[a:b], right[c:d]), strict=True):
            if words:
                side.append(("".join(words), tag != "equal"))
    return pieces


@dataclass(frozen=True, slots=True)
class SideBySide:
    exhibit: Exhibit
    baseline: list[Piece]
    now: list[Piece]
    same_as_base: bool


def side_by_side(finding: Finding) -> list[SideBySide]:
    return [
        SideBySide(one, *marked(one.baseline, one.now), same_as_base=one.base is not None and one.now == one.base)
        for one in finding.exhibits
    ]


def ago(then: datetime | None, now: datetime) -> str:
    """``3 h ago``; ``in 5 min`` for what is to come."""
    if then is None:
        return "never"
    seconds = (now - then) / timedelta(seconds=1)
    size = abs(seconds)
    for unit, length, up_to in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 129_600), ("d", 86_400, float("inf"))):
        if size < up_to:
            words = f"{round(size / length)} {unit}"
            return f"{words} ago" if seconds >= 0 else f"in {words}"
    raise AssertionError("unreachable")


def counted(count: int, noun: str) -> str:
    """``1 day``, ``2 days``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def number(value: float | None, digits: int = 3) -> str:
    """At most ``digits`` significant digits, without needless zeros."""
    if value is None or not isfinite(value):
        return "–"
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def plain(value: object) -> Any:
    """Records as JSON values: times in ISO 8601, numbers that are none as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(inner) for name, inner in asdict(value).items()}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, float) and not isfinite(value) else value
