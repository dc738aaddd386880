"""Panels as HTML and SVG, one function per kind: an approximation of Grafana that shows what a reader sees."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from math import floor, log10
from typing import Any, Final

from dashboards.frames import Line, Span, settings_of, shown, spelled, stepped, table, worded

PALETTE: Final = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a",
)  # fmt: skip
"""Grafana's classic palette."""
TEXT, FAINT, GRID = "#ccccdc", "#8e8fa0", "#2c3038"
TITLE, LEGEND, AXIS = 34, 24, 18
"""Pixels of a panel's title, of a line of legend, of the time axis."""
LETTER: Final = 6.3
"""Width of a letter of 11 pixels."""

Mark = tuple[float, str, str]
"""An annotation: when, its words, its colour."""


def stat(panel: Mapping[str, Any], found: Sequence[Line], width: int, height: int, *_: object) -> str:
    config = settings_of(panel, "A")
    value = found[0].points[-1][1] if found else None
    text, color = shown(value, config)
    color = color or stepped(float("-inf"), config)
    if found and panel["options"].get("textMode") == "name":
        text = found[0].name
    if found and panel["options"].get("textMode") == "value_and_name":
        text = f"{found[0].name}: {text}"
    size = max(13, min(30, int((width - 24) / max(len(text), 1) / 0.56)))
    return (
        f'<div class="stat" style="background:{color};color:#fff">'
        f'<span style="font-size:{size}px">{escape(text)}</span></div>'
    )


def timeseries(
    panel: Mapping[str, Any], found: Sequence[Line], width: int, height: int, span: Span, marks: Sequence[Mark]
) -> str:
    if not found:
        return empty(panel)
    stacked = (settings_of(panel).get("custom.stacking") or {}).get("mode") == "normal"
    legends = legend_rows([line.name for line in found], width)
    low, high = bounds(panel, found, stacked=stacked)
    chart = Chart(panel, width, height - TITLE - AXIS - legends * LEGEND - 8, span, low, high)
    drawn = [chart.grid(), chart.marks(marks)]
    drawn.append(chart.areas(found) if stacked else chart.lines(found))
    drawn.append(chart.thresholds())
    names = "".join(
        f'<span class="key"><i style="background:{color_of(panel, line, place)}"></i>{escape(line.name)}</span>'
        for place, line in enumerate(found)
    )
    total = chart.height + AXIS
    return f'<svg width="{width - 16}" height="{total}">{"".join(drawn)}</svg><div class="legend">{names}</div>'


def legend_rows(names: Sequence[str], width: int) -> int:
    rows, left = 1, width - 24
    for name in names:
        need = len(name) * LETTER + 32
        if need > left:
            rows, left = rows + 1, width - 24
        left -= int(need)
    return rows


def color_of(panel: Mapping[str, Any], line: Line, place: int) -> str:
    config = settings_of(panel, line.ref, line.name)
    color = config.get("color") or {}
    return str(color["fixedColor"]) if color.get("mode") in ("fixed", "shades") else PALETTE[place % len(PALETTE)]


def bounds(panel: Mapping[str, Any], found: Sequence[Line], *, stacked: bool) -> tuple[float, float]:
    """Range of the value axis: the data's range, widened to the configured limits and to the drawn thresholds."""
    config = settings_of(panel)
    values = [value for line in found for _, value in line.points if value == value]
    if stacked:
        sums: dict[float, float] = {}
        for line in found:
            for at, value in line.points:
                sums[at] = sums.get(at, 0.0) + value
        values = [0.0, *sums.values()]
    values = values or [0.0]
    if (config.get("custom.thresholdsStyle") or {}).get("mode") == "dashed":
        values += [step["value"] for step in config["thresholds"]["steps"] if step.get("value") is not None]
    if config.get("custom.axisSoftMax") is not None:
        values.append(config["custom.axisSoftMax"])
    low, high = min(values), max(values)
    room = (high - low or abs(high) or 1.0) * 0.06
    low, high = low - room, high + room
    low = config["min"] if config.get("min") is not None else low
    high = config["max"] if config.get("max") is not None else high
    return low, high if high > low else low + 1.0


class Chart:
    """The plot of one time series panel, in pixels."""

    def __init__(self, panel: Mapping[str, Any], width: int, height: int, span: Span, low: float, high: float) -> None:
        self.panel, self.span, self.low, self.high = panel, span, low, high
        config = settings_of(panel)
        self.ticks = ticks(low, high, max(2, height // 32))
        self.words = [worded(tick, config.get("unit", "none"), None) for tick in self.ticks]
        self.left = 12 + LETTER * max(map(len, self.words))
        self.width, self.height = width - 16, height
        self.right = self.width - 8

    def x(self, at: float) -> float:
        share = (at - self.span.start) / (self.span.end - self.span.start)
        return self.left + share * (self.right - self.left)

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.height - 4 - share * (self.height - 10)

    def grid(self) -> str:
        parts = []
        for tick, word in zip(self.ticks, self.words, strict=True):
            y = self.y(tick)
            parts.append(f'<line x1="{self.left:.0f}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
            parts.append(f'<text x="{self.left - 6:.0f}" y="{y + 4:.1f}" text-anchor="end">{escape(word)}</text>')
        return "".join(parts) + self.days()

    def days(self) -> str:
        """The time axis, with labels as many days apart as space requires."""
        days = (self.span.end - self.span.start) / 86400
        every = max(1, round(days * 58 / (self.right - self.left)))
        first = int(self.span.start // 86400) + 1
        return "".join(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{self.height - 4}" stroke="{GRID}"/>'
            f'<text x="{x:.1f}" y="{self.height + 12}" text-anchor="middle">'
            f"{datetime.fromtimestamp(day * 86400, UTC):%m/%d}</text>"
            for day in range(first, int(self.span.end // 86400) + 1, every)
            for x in [self.x(day * 86400)]
        )

    def marks(self, marks: Sequence[Mark]) -> str:
        return "".join(
            f'<line x1="{self.x(at):.1f}" x2="{self.x(at):.1f}" y1="4" y2="{self.height - 4}" stroke="{color}" '
            f'stroke-dasharray="4 3"/><path d="M{self.x(at) - 4:.1f} {self.height - 4} h8 l-4 -6 z" fill="{color}"/>'
            for at, _, color in marks
            if self.span.start <= at <= self.span.end
        )

    def lines(self, found: Sequence[Line]) -> str:
        return "".join(self._line(line, place) for place, line in enumerate(found))

    def _line(self, line: Line, place: int) -> str:
        config, color = settings_of(self.panel, line.ref), color_of(self.panel, line, place)
        style = config.get("custom.lineStyle") or {}
        dash = " ".join(map(str, style.get("dash", [])))
        drawn = []
        step = float("inf") if config.get("custom.spanNulls") else self.span.step
        for run in runs(line.points, step):
            if len(run) == 1:
                drawn.append(
                    f'<circle cx="{self.x(run[0][0]):.1f}" cy="{self.y(run[0][1]):.1f}" r="2.5" fill="{color}"/>'
                )
            points = " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in run)
            drawn.append(
                f'<polyline points="{points}" fill="none" stroke="{color}" '
                f'stroke-width="{config.get("custom.lineWidth", 1)}" stroke-dasharray="{dash}"/>'
            )
        return "".join(drawn)

    def areas(self, found: Sequence[Line]) -> str:
        base: dict[float, float] = {}
        drawn = []
        for place, line in enumerate(found):
            bottom, top = [], []
            for at, value in line.points:
                below = base.get(at, 0.0)
                base[at] = below + value
                for end in (at, min(at + self.span.step, self.span.end)):
                    bottom.append((end, below))
                    top.append((end, base[at]))
            outline = " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in [*top, *reversed(bottom)])
            drawn.append(f'<polygon points="{outline}" fill="{color_of(self.panel, line, place)}" opacity="0.75"/>')
        return "".join(drawn)

    def thresholds(self) -> str:
        config = settings_of(self.panel)
        if (config.get("custom.thresholdsStyle") or {}).get("mode") != "dashed":
            return ""
        return "".join(
            f'<line x1="{self.left:.0f}" x2="{self.right}" y1="{self.y(step["value"]):.1f}" '
            f'y2="{self.y(step["value"]):.1f}" stroke="{step["color"]}" stroke-width="1.5" stroke-dasharray="9 5"/>'
            for step in config["thresholds"]["steps"]
            if step.get("value") is not None
        )


def runs(points: Sequence[tuple[float, float]], step: float) -> list[list[tuple[float, float]]]:
    """Groups of points without a gap between them."""
    made: list[list[tuple[float, float]]] = []
    for point in points:
        if point[1] != point[1]:
            continue
        if made and point[0] - made[-1][-1][0] <= step * 1.5:
            made[-1].append(point)
        else:
            made.append([point])
    return made


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` round values from low to high."""
    rough = (high - low) / most
    scale = 10 ** floor(log10(rough))
    step = next(factor * scale for factor in (1, 2, 5, 10) if factor * scale >= rough * 0.999)
    first = -floor(-low / step + 1e-9)
    return [round((first + n) * step, 10) for n in range(most + 2) if (first + n) * step <= high * (1 + 1e-9)]


def statetimeline(
    panel: Mapping[str, Any], found: Sequence[Line], width: int, height: int, span: Span, marks: Sequence[Mark]
) -> str:
    if not found:
        return empty(panel)
    config, seen = settings_of(panel), dict[str, str]()
    chart = Chart(panel, width, height - TITLE - AXIS - LEGEND - 8, span, 0, 1)
    chart.left = 20 + LETTER * max(len(line.name) for line in found)
    row = chart.height / len(found)
    drawn = [chart.days()]
    for place, line in enumerate(found):
        middle = row * (place + 0.5) + 4
        drawn.append(f'<text x="{chart.left - 8:.0f}" y="{middle:.0f}" text-anchor="end">{escape(line.name)}</text>')
        for at, value in line.points:
            text, color = shown(value, config)
            seen[text] = color
            wide = chart.x(min(at + span.step, span.end)) - chart.x(at) + 0.6
            drawn.append(
                f'<rect x="{chart.x(at):.1f}" y="{row * (place + 0.1):.1f}" width="{max(wide, 0):.1f}" '
                f'height="{row * 0.8:.1f}" fill="{color}"/>'
            )
    keys = "".join(
        f'<span class="key"><i style="background:{color}"></i>{escape(text)}</span>' for text, color in seen.items()
    )
    picture = f"{''.join(drawn)}{chart.marks(marks)}"
    return f'<svg width="{width - 16}" height="{chart.height + AXIS}">{picture}</svg><div class="legend">{keys}</div>'


def bargauge(panel: Mapping[str, Any], found: Sequence[Line], width: int, height: int, *_: object) -> str:
    if not found:
        return empty(panel)
    config = settings_of(panel, "A")
    low, high = config["min"], config["max"]
    drawn = []
    for line in found:
        text, color = shown(line.points[-1][1], config)
        share = min(max((line.points[-1][1] - low) / (high - low), 0), 1)
        drawn.append(
            f'<div class="bar"><b>{escape(line.name)}</b><div>'
            f'<i style="width:{share * 100:.0f}%;background:{color}"></i></div>'
            f'<span style="color:{color}">{escape(text)}</span></div>'
        )
    return f'<div class="bars">{"".join(drawn)}</div>'


def listing(panel: Mapping[str, Any], found: Sequence[Line], width: int, height: int, *_: object) -> str:
    made = table(panel, list(found))
    if not made.rows:
        return empty(panel)
    head = "".join(f"<th{_wide(panel, name)}>{escape(name)}</th>" for name in made.columns)
    fit = (height - TITLE - 34) // 30
    body = "".join(
        f"<tr>{''.join(_cell(panel, name, row.get(name)) for name in made.columns)}</tr>" for row in made.rows[:fit]
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _wide(panel: Mapping[str, Any], name: str) -> str:
    width = settings_of(panel, name=name).get("custom.width")
    return f' style="width:{width}px"' if width else ""


def _cell(panel: Mapping[str, Any], name: str, value: Any) -> str:
    config = settings_of(panel, name=name)
    linked = " class=link" if config.get("links") else ""
    if isinstance(value, str) or value is None:
        text = spelled(value, config) if value else str(config.get("noValue", "–"))
        return f"<td><span{linked if value else ''}>{escape(text)}</span></td>"
    text, color = shown(value, config)
    kind = (config.get("custom.cellOptions") or {}).get("type")
    if kind == "color-background":
        return f'<td style="background:{color};color:#fff">{escape(text)}</td>'
    if kind == "gauge":
        low, high = config["min"], config["max"]
        share = min(max((value - low) / (high - low), 0), 1) * 100
        color = stepped(value, config)
        return (
            f'<td class="gauge"><div><i style="width:{share:.0f}%;background:{color}"></i></div>'
            f'<span style="color:{color}">{escape(text)}</span></td>'
        )
    style = f' style="color:{color}"' if kind == "color-text" and color else ""
    return f"<td class=number{style}><span{linked}>{escape(text)}</span></td>"


def empty(panel: Mapping[str, Any]) -> str:
    return f'<div class="empty">{escape(str(settings_of(panel).get("noValue", "No data")))}</div>'


KINDS: Final[Mapping[str, Callable[..., str]]] = {
    "stat": stat,
    "timeseries": timeseries,
    "state-timeline": statetimeline,
    "bargauge": bargauge,
    "table": listing,
}
"""Type of a panel -> what draws it, from its configuration, its series, its size, the time and the annotations."""
