"""A small chart of a signal's last weeks: the effect, its interval, and the evaluations that alarmed.

The background is transparent and every colour is readable on white and on black, because mail programs may use either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from io import BytesIO
from itertools import pairwise
from math import isfinite
from statistics import median
from typing import Final

from monitor.core.records import Point
from monitor.core.signals import Scale
from monitor.core.signals import effect as effect_of
from monitor.core.wording import amount, bounded

WIDTH, HEIGHT = 132, 36
"""CSS pixels; the image has twice as many."""
MOST_POINTS: Final = 120
"""Maximum number of points; more are thinned out, as there are no pixels for them."""
SPAN: Final = 0.2
"""Minimum range of the vertical axis, in the effect's unit, so that small changes look small."""
LINE, BAND, ALARM, SAME = "#3b82f6", "#3b82f6", "#ef4444", "#8b8f98"
GAP: Final = 3.0
"""Multiple of the usual time between two evaluations above which points are not joined: nothing was measured there."""


@dataclass(frozen=True)
class Picture:
    """A picture, drawn when its ``png`` is first read: in a large fleet some pictures do not fit into the mail."""

    draw: Callable[[], bytes] = field(repr=False, compare=False)
    alt: str
    """What it shows, as alternative text."""
    now: str = ""
    """The last value in a few words, or the day since which there is none."""

    @cached_property
    def png(self) -> bytes:
        return self.draw()


def picture(signal: str, title: str, points: Sequence[Point], since: datetime, now: datetime) -> Picture | None:
    """The chart of a series. ``None`` for fewer than two points."""
    shown = [one for one in points if isfinite(one.effect)]
    if len(shown) < 2:
        return None
    step = -(-len(shown) // MOST_POINTS)
    usual = median((b.at - a.at).total_seconds() for a, b in pairwise(shown))
    longest = GAP * max(usual, 1.0)
    blind = (now - shown[-1].at).total_seconds() > longest
    # Thinning keeps the newest point and every point that alarmed.
    kept = [one for place, one in enumerate(reversed(shown)) if place % step == 0 or one.alarming][::-1]
    raised = sum(one.alarming for one in shown)
    ends = [amount(signal, one.effect) for one in (shown[0], shown[-1])]
    told = f"{title} from {ends[0]} to {ends[1]} in {len(shown)} evaluations"
    alt = f"{told}, {raised} alarming" if raised else f"{told}, none alarming"
    value = worded(signal, shown[-1].effect)
    last = f"not measured since {shown[-1].at.day} {shown[-1].at:%b}" if blind else f"now {value}"
    drawn = partial(_draw, signal, kept, since, now, longest * step)
    return Picture(drawn, f"{alt}; not measured since {shown[-1].at:%Y-%m-%d}" if blind else alt, last)


def worded(signal: str, effect: float) -> str:
    """An effect in words for readers."""
    kind = effect_of(signal)
    if kind.scale is Scale.REMAINS:
        return "nothing left" if effect < 0.005 else "all left" if effect >= 0.995 else f"{effect:.0%} left"
    if kind.scale is Scale.RATIO:
        return f"{kind.word} {amount(signal, effect)} ×"
    if kind.scale is Scale.POINTS:
        return f"{bounded(signal, effect) * 100 + 0.0:+.0f} points" if abs(effect) >= 0.005 else "unchanged"
    return amount(signal, effect)


def _draw(signal: str, points: Sequence[Point], since: datetime, now: datetime, longest: float) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=144)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.01, 0.06, 0.98, 0.88))
    axes.set_axis_off()
    when = [one.at.timestamp() for one in points]
    effect = [bounded(signal, one.effect) for one in points]
    low = [bounded(signal, one.effect_low if isfinite(one.effect_low) else one.effect) for one in points]
    high = [bounded(signal, one.effect_high if isfinite(one.effect_high) else one.effect) for one in points]
    same = effect_of(signal).reference
    axes.axhline(same, color=SAME, linewidth=0.7, linestyle=(0, (3, 3)))
    for part in _unbroken(when, longest):
        axes.fill_between(when[part], low[part], high[part], color=BAND, alpha=0.22, linewidth=0)
        axes.plot(when[part], effect[part], color=LINE, linewidth=1.8, solid_capstyle="round")
    blind = now.timestamp() - when[-1] > longest
    if blind:
        axes.axvspan(when[-1], now.timestamp(), color=SAME, alpha=0.3, linewidth=0)
    alarming = [(at, size) for at, size, one in zip(when, effect, points, strict=True) if one.alarming]
    if alarming:
        axes.plot(*zip(*alarming, strict=True), linestyle="", marker="o", markersize=3.2, color=ALARM)
    end = SAME if blind else ALARM if points[-1].alarming else LINE
    axes.plot(when[-1:], effect[-1:], marker="o", markersize=4, color=end)
    least, most = min(*low, same), max(*high, same, same + SPAN)
    if effect_of(signal).scale is Scale.REMAINS:
        least = min(least, 0.0)  # 0 is a total loss: the chart must show how far away it is
    margin = (most - least) * 0.12
    axes.set_xlim(since.timestamp(), now.timestamp() + (now - since).total_seconds() * 0.03)
    axes.set_ylim(least - margin, most + margin)
    out = BytesIO()
    figure.savefig(out, format="png", transparent=True, metadata={"Software": None})
    return out.getvalue()


def _unbroken(when: Sequence[float], longest: float) -> list[slice]:
    """Slices of evaluations that follow each other within ``longest`` seconds."""
    ends = [n for n in range(1, len(when)) if when[n] - when[n - 1] > longest]
    return [slice(first, last) for first, last in zip([0, *ends], [*ends, len(when)], strict=True)]
