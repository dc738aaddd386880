"""Coordinates of the small pictures that the templates draw in SVG, each with a sentence for screen readers."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import count
from math import ceil, floor, isclose, isfinite, log10
from typing import Final

from monitor.core import signals
from monitor.core.records import Alarm, Finding, Point, Severity
from monitor.core.signals import Scale
from monitor.core.wording import amount, bounded, many, power, so_far

TALL: Final = 100.0
"""Height of a picture in its own units, 0 at the top; its width is ``WIDE``."""
WIDE: Final = 1000.0
OVER_LINE: Final = 3.0
"""Evidence is drawn up to this multiple of its threshold. Higher evidence tells a reader nothing more."""
LEAST_LOG10: Final = -1.0
TICKS: Final = 5
"""Maximum number of labels on a scale: as many as fit side by side on a phone."""
SCALED: Final = (1e-6, 1e5)
"""Shortest and longest range of a scale that has labels."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A round number on a scale."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Interval:
    """Positions of the effect on its scale, in per mille of the picture's width."""

    low: float
    effect: float
    high: float
    reference: float
    reference_label: str
    ticks: tuple[Tick, ...]
    """Ticks of the scale, from left to right."""


def interval(finding: Finding) -> Interval | None:
    """Positions of the effect, its 95% interval and "no change". ``None`` if any of them is not finite."""
    shown = signals.effect(finding.signal)
    reference = shown.reference
    ends = (finding.effect_low, finding.effect, finding.effect_high)
    if not all(map(isfinite, ends)):
        return None
    numbers = [*(bounded(finding.signal, one) for one in ends), reference]
    points = [*numbers, 0.0] if shown.scale is Scale.REMAINS else [*numbers]
    least, most = min(points), max(points)
    margin = (most - least or 1.0) * 0.12
    least, most = least - margin, most + margin

    def place(value: float) -> float:
        return round(1000 * (value - least) / (most - least), 1)

    low, effect, high, unchanged = map(place, numbers)
    ticks = tuple(Tick(place(one), told) for one, told in _scale(finding.signal, least, most))
    return Interval(low, effect, high, unchanged, shown.reference_name, ticks)


def _scale(signal: str, least: float, most: float) -> list[tuple[float, str]]:
    """Round numbers between ``least`` and ``most`` with their labels, as ``amount`` writes them.

    At most ``TICKS`` numbers, and only numbers whose label is exact. Empty if the range is outside ``SCALED``, where
    labels would be unreadable.
    """
    if not SCALED[0] < most - least < SCALED[1]:
        return []
    first = floor(log10((most - least) / TICKS))
    for step in (digit * 10.0**ten for ten in count(first) for digit in (1, 2, 5)):
        numbers = [n * step for n in range(ceil(least / step), floor(most / step) + 1)]
        shown = [(one, amount(signal, one)) for one in numbers if bounded(signal, one) == one]
        if len(shown) <= TICKS and all(isclose(_read(told), one, abs_tol=step / 1e6) for one, told in shown):
            whole = all(float(told.rstrip("%")).is_integer() for _, told in shown)
            return [(one, _label(signal, one, told, whole)) for one, told in shown]
    raise AssertionError("unreachable: a step beyond both ends leaves zero or nothing")


def _read(told: str) -> float:
    return float(told.rstrip("%")) / (100 if told.endswith("%") else 1)


def _label(signal: str, value: float, told: str, whole: bool) -> str:
    told = re.sub(r"\.0+(?=%?$)", "", told) if whole else told
    if value:
        return told
    return f"{told}, gone" if signals.effect(signal).scale is Scale.REMAINS else told.removeprefix("+")


@dataclass(frozen=True, slots=True)
class Picture:
    """A line over time in a box of ``WIDE`` by ``TALL``."""

    path: str
    """``x,y x,y ...``, oldest first."""
    band: str
    """Outline of the interval around the line; empty if there is no interval."""
    dots: tuple[tuple[float, float, bool], ...]
    """x, y, and whether the evaluation alarmed, for each evaluation that alarmed and for the last one."""
    level: float | None
    """Height of the reference line: no change, or the threshold."""
    words: str
    """One sentence that describes the picture."""


def evidence_picture(points: Sequence[Point], start: datetime, end: datetime) -> Picture | None:
    """The accumulated evidence against its threshold. ``None`` if there is nothing to draw."""
    shown = [one for one in points if isfinite(one.evidence_log10) and isfinite(one.threshold_log10)]
    if not shown:
        return None
    line = shown[-1].threshold_log10
    top = max(min(max(one.evidence_log10 for one in shown), OVER_LINE * line), line) * 1.1
    height = _height(LEAST_LOG10, top)
    places = [(_across(one.at, start, end), height(one.evidence_log10)) for one in shown]
    dots = [(x, y, True) for (x, y), one in zip(places, shown, strict=True) if one.alarming]
    if not shown[-1].alarming:
        dots.append((*places[-1], False))
    return Picture(_path(places), "", tuple(dots), height(line), evidence_words(shown))


def effect_picture(points: Sequence[Point], signal: str, start: datetime, end: datetime) -> Picture | None:
    """The effect with its interval against "no change". ``None`` if there is nothing to draw."""
    shown = [one for one in points if all(map(isfinite, (one.effect, one.effect_low, one.effect_high)))]
    if not shown:
        return None
    reference, label = signals.effect(signal).reference, signals.effect(signal).reference_name
    shown = [replace(one, effect=bounded(signal, one.effect), effect_low=bounded(signal, one.effect_low),
                     effect_high=bounded(signal, one.effect_high)) for one in shown]  # fmt: skip
    values = [reference, *(v for one in shown for v in (one.effect, one.effect_low, one.effect_high))]
    margin = (max(values) - min(values) or 1.0) * 0.08
    height = _height(min(values) - margin, max(values) + margin)
    across = [_across(one.at, start, end) for one in shown]
    middle = [(x, height(one.effect)) for x, one in zip(across, shown, strict=True)]
    upper = [(x, height(one.effect_high)) for x, one in zip(across, shown, strict=True)]
    lower = [(x, height(one.effect_low)) for x, one in zip(across, shown, strict=True)]
    told = f"Effect {amount(signal, shown[-1].effect)} at the last of {len(shown)} evaluations, "
    told += f"{amount(signal, shown[0].effect)} at the first; {label} is {amount(signal, reference)}."
    dot = (*middle[-1], shown[-1].alarming)
    return Picture(_path(middle), _path([*upper, *reversed(lower)]), (dot,), height(reference), told)


def evidence_words(points: Sequence[Point]) -> str:
    """One sentence about the course of the evidence."""
    evaluations = many(len(points), "evaluation")
    alarming = [one for one in points if one.alarming]
    last = points[-1]
    now = so_far(last.evidence_log10)
    if not alarming:
        return (
            f"Evidence of a change over {evaluations}: never alarming, now {now}; "
            f"the threshold is {power(last.threshold_log10)}."
        )
    first = f"{alarming[0].at:%Y-%m-%d %H:%M} UTC"
    still = "still alarming" if last.alarming else "no longer alarming"
    return f"Evidence of a change over {evaluations}: alarming at {len(alarming)}, first {first}; now {now}, {still}."


def _height(least: float, most: float) -> Callable[[float], float]:
    return lambda value: round(TALL * (1 - (min(max(value, least), most) - least) / (most - least)), 1)


def _across(at: datetime, start: datetime, end: datetime) -> float:
    length = (end - start).total_seconds()
    return round(WIDE * min(max((at - start).total_seconds() / length, 0.0), 1.0), 1) if length > 0 else WIDE


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)


class EventKind(StrEnum):
    """What happened to an alarm; as the classes of the style sheet have it."""

    PAGE_RAISED = "page-raised"
    TICKET_RAISED = "ticket-raised"
    CONFIRMED = "confirmed"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"


EVENTS: Final[Mapping[EventKind, str]] = {
    EventKind.PAGE_RAISED: "page raised",
    EventKind.TICKET_RAISED: "ticket raised",
    EventKind.CONFIRMED: "confirmed",
    EventKind.ACKNOWLEDGED: "acknowledged",
    EventKind.CLEARED: "cleared",
}
"""In words."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of an alarm, drawn as a mark across the picture."""

    x: float
    at: datetime
    kind: EventKind
    run_id: int | None
    by: str = ""

    @property
    def what(self) -> str:
        """In words."""
        return EVENTS[self.kind]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The evidence over time, with the events of its alarms."""

    evidence: Picture
    effect: Picture | None
    events: tuple[Event, ...]
    start: datetime
    end: datetime
    points: tuple[Point, ...]
    cut: bool
    """Whether the evidence exceeds the top of the picture."""


def timeline(points: Sequence[Point], signal: str, alarms: Sequence[Alarm], end: datetime) -> Timeline | None:
    """The timeline from the first point to ``end``, with the events of the signal's ``alarms``; ``None`` if empty."""
    if not points:
        return None
    start, end = points[0].at, max(end, points[-1].at)
    picture = evidence_picture(points, start, end)
    if picture is None:
        return None
    events = [event for alarm in alarms if alarm.signal == signal for event in _events(alarm, start, end)]
    top = OVER_LINE * points[-1].threshold_log10
    return Timeline(
        picture, effect_picture(points, signal, start, end), tuple(sorted(events, key=lambda one: one.at)), start, end,
        tuple(points), any(one.evidence_log10 > top for one in points),
    )  # fmt: skip


def _events(alarm: Alarm, start: datetime, end: datetime) -> list[Event]:
    raised = EventKind.PAGE_RAISED if alarm.severity is Severity.PAGE else EventKind.TICKET_RAISED
    known = (
        (alarm.raised_at, raised, alarm.raised_run_id, ""),
        (alarm.confirmed_at, EventKind.CONFIRMED, alarm.confirmed_run_id, ""),
        (alarm.acknowledged_at, EventKind.ACKNOWLEDGED, None, alarm.acknowledged_by or ""),
        (alarm.cleared_at, EventKind.CLEARED, alarm.cleared_run_id, alarm.cleared_by or ""),
    )
    return [
        Event(_across(at, start, end), at, kind, run_id, by)
        for at, kind, run_id, by in known
        if at is not None and at >= start
    ]
