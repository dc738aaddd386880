"""A signal's last weeks as a picture of a few hundred pixels: the effect, its interval, and where it alarmed.

The background is clear and every colour holds on white and on black: a mail does not know which it is shown on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from math import isfinite
from typing import Final

from monitor.records import Point
from monitor.words import REFERENCE

WIDTH, HEIGHT = 132, 36
"""CSS pixels; drawn with twice as many of its own."""
MOST_POINTS: Final = 120
"""More are thinned out: there are no pixels for them."""
SPAN: Final = 0.2
"""Least height of a picture, in the effect's unit: what does not matter is to look as if it did not."""
LINE, BAND, ALARM, SAME = "#3b82f6", "#3b82f6", "#ef4444", "#8b8f98"


@dataclass(frozen=True, slots=True)
class Picture:
    png: bytes
    alt: str
    """What it shows, for whoever does not see it."""


def picture(signal: str, title: str, points: Sequence[Point], since: datetime, now: datetime) -> Picture | None:
    """``None`` where there are not two points to join."""
    shown = [one for one in points if isfinite(one.effect)]
    if len(shown) < 2:
        return None
    step = -(-len(shown) // MOST_POINTS)
    # The newest stays, and so does each that alarmed.
    kept = [one for place, one in enumerate(reversed(shown)) if place % step == 0 or one.alarming][::-1]
    raised = sum(one.alarming for one in shown)
    told = f"{title} from {shown[0].effect:.2g} to {shown[-1].effect:.2g} in {len(shown)} looks"
    alt = f"{told}, {raised} alarming" if raised else f"{told}, none alarming"
    return Picture(_draw(signal, kept, since, now), alt)


def _draw(signal: str, points: Sequence[Point], since: datetime, now: datetime) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=144)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.01, 0.06, 0.98, 0.88))
    axes.set_axis_off()
    when = [one.at.timestamp() for one in points]
    effect = [one.effect for one in points]
    low = [one.effect_low if isfinite(one.effect_low) else one.effect for one in points]
    high = [one.effect_high if isfinite(one.effect_high) else one.effect for one in points]
    same = REFERENCE.get(signal, (0.0, ""))[0]
    axes.axhline(same, color=SAME, linewidth=0.7, linestyle=(0, (3, 3)))
    axes.fill_between(when, low, high, color=BAND, alpha=0.22, linewidth=0)
    axes.plot(when, effect, color=LINE, linewidth=1.6, solid_capstyle="round")
    alarming = [(at, one.effect) for at, one in zip(when, points, strict=True) if one.alarming]
    if alarming:
        axes.plot(*zip(*alarming, strict=True), linestyle="", marker="o", markersize=3.2, color=ALARM)
    axes.plot(when[-1:], effect[-1:], marker="o", markersize=4, color=ALARM if points[-1].alarming else LINE)
    least, most = min(*low, same), max(*high, same, same + SPAN)
    if signal == "adapter_loss":
        least = min(least, 0.0)  # nothing left of the fine-tune: how far that is, is what the picture is about
    margin = (most - least) * 0.12
    axes.set_xlim(since.timestamp(), now.timestamp() + (now - since).total_seconds() * 0.03)
    axes.set_ylim(least - margin, most + margin)
    out = BytesIO()
    figure.savefig(out, format="png", transparent=True, metadata={"Software": None})
    return out.getvalue()
