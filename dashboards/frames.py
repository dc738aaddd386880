"""What a panel shows in Grafana: sends its queries to a real Prometheus and applies its transformations.

Supports only what these dashboards use and refuses anything else, so that no picture shows what Grafana would not.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

Ask = Callable[..., Any]
"""``ask("query", query=…, time=…)``: ``data`` of Prometheus's API."""


@dataclass(frozen=True, slots=True)
class Span:
    """The time range of a dashboard, in Unix seconds."""

    start: float
    end: float
    step: float


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a query."""

    ref: str
    name: str
    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(slots=True)
class Table:
    """Columns in their order, and rows by column."""

    columns: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


def substituted(expr: str, variables: Mapping[str, str]) -> str:
    """``expr`` with its variables replaced by their values. Raises ValueError if one is left."""
    for name in sorted(variables, key=len, reverse=True):
        expr = expr.replace(f"${name}", variables[name])
    if "$" in expr:
        raise ValueError(f"a variable without a value: {expr}")
    return expr


def lines(panel: Mapping[str, Any], ask: Ask, variables: Mapping[str, str], span: Span) -> list[Line]:
    """The series of every query of a panel; an instant query gives one point per series."""
    found = []
    for target in panel["targets"]:
        expr = substituted(target["expr"], variables)
        if target.get("instant"):
            result = ask("query", query=expr, time=span.end)["result"]
        else:
            result = ask("query_range", query=expr, start=span.start, end=span.end, step=span.step)["result"]
        for one in result:
            points = one.get("values") or [one["value"]]
            name = legend(target.get("legendFormat", ""), one["metric"])
            values = tuple((float(at), float(value)) for at, value in points)
            found.append(Line(target["refId"], name, one["metric"], values))
    return found


def legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), form).strip()


def table(panel: Mapping[str, Any], found: list[Line]) -> Table:
    """The current values of the queries with their labels, after the panel's transformations."""
    alone = len(panel["targets"]) == 1
    frames: dict[str, list[dict[str, Any]]] = {target["refId"]: [] for target in panel["targets"]}
    for line in found:
        value = "Value" if alone else f"Value #{line.ref}"
        frames[line.ref].append({**line.labels, value: line.points[-1][1]})
    made = Table()
    for step in panel["transformations"]:
        made = TRANSFORMATIONS[step["id"]](made, frames, step["options"])
    for order in panel["options"].get("sortBy", []):
        made.rows = _sorted(made.rows, order["displayName"], descending=bool(order.get("desc")))
    return made


def _sorted(rows: list[dict[str, Any]], name: str, *, descending: bool) -> list[dict[str, Any]]:
    """Rows without the column come last."""
    having = [row for row in rows if name in row]
    having.sort(key=lambda row: row[name], reverse=descending)
    return having + [row for row in rows if name not in row]


def _joined(_: Table, frames: Mapping[str, list[dict[str, Any]]], options: Mapping[str, Any]) -> Table:
    rows: dict[str, dict[str, Any]] = {}
    for frame in frames.values():
        for row in frame:
            rows.setdefault(row[options["byField"]], {}).update(row)
    return _as_table(list(rows.values()))


def _merged(_: Table, frames: Mapping[str, list[dict[str, Any]]], __: Mapping[str, Any]) -> Table:
    rows: dict[tuple[tuple[str, Any], ...], dict[str, Any]] = {}
    for frame in frames.values():
        for row in frame:
            key = tuple(sorted((name, value) for name, value in row.items() if not name.startswith("Value")))
            rows.setdefault(key, {}).update(row)
    return _as_table(list(rows.values()))


def _as_table(rows: list[dict[str, Any]]) -> Table:
    return Table(list(dict.fromkeys(name for row in rows for name in row)), rows)


def _organized(made: Table, _: Mapping[str, list[dict[str, Any]]], options: Mapping[str, Any]) -> Table:
    dropped, places, renamed = options["excludeByName"], options["indexByName"], options["renameByName"]
    kept = sorted((name for name in made.columns if not dropped.get(name)), key=lambda name: places.get(name, 99))
    rows = [{renamed.get(name, name): row[name] for name in kept if name in row} for row in made.rows]
    return Table([renamed.get(name, name) for name in kept], rows)


TRANSFORMATIONS: Final[Mapping[str, Callable[[Table, Any, Mapping[str, Any]], Table]]] = {
    "joinByField": _joined,
    "merge": _merged,
    "organize": _organized,
}


def settings_of(panel: Mapping[str, Any], ref: str = "", name: str = "") -> dict[str, Any]:
    """The field configuration of a series or column: the panel's defaults, and the overrides that match it."""
    made = dict(panel["fieldConfig"]["defaults"])
    made.update({f"custom.{key}": value for key, value in (made.pop("custom", None) or {}).items()})
    for override in panel["fieldConfig"].get("overrides") or []:
        matcher = override["matcher"]
        if (matcher["id"], matcher["options"]) in (("byFrameRefID", ref), ("byName", name)):
            made.update({one["id"]: one["value"] for one in override["properties"]})
    return made


def shown(value: float | None, config: Mapping[str, Any]) -> tuple[str, str]:
    """A value's text and colour, after mappings, unit, decimals and thresholds."""
    if value is None:
        return str(config.get("noValue", "–")), ""
    for mapping in config.get("mappings") or []:
        if (found := mapping["options"].get(f"{value:g}")) is not None:
            return found["text"], found["color"]
    return worded(value, config.get("unit", "none"), config.get("decimals")), stepped(value, config)


def spelled(value: str, config: Mapping[str, Any]) -> str:
    """A label's value after mappings."""
    found = (mapping["options"].get(value) for mapping in config.get("mappings") or [])
    return next((one["text"] for one in found if one is not None), value)


def stepped(value: float, config: Mapping[str, Any]) -> str:
    """The colour of the highest threshold that the value has reached."""
    color = ""
    for step in (config.get("thresholds") or {}).get("steps") or []:
        if step.get("value") is None or value >= step["value"]:
            color = step["color"]
    return color


LONGER: Final = ((365 * 86400, "years"), (7 * 86400, "weeks"), (86400, "days"), (3600, "hours"), (60, "mins"))


def worded(value: float, unit: str, decimals: float | None) -> str:
    """A number with its unit, as Grafana formats it."""
    if unit == "percentunit":
        return f"{_rounded(value * 100, decimals, 1)}%"
    if unit.startswith("suffix:"):
        return f"{_rounded(value, decimals, 2)} {unit.removeprefix('suffix:')}"
    if unit == "currencyUSD":
        return f"${_rounded(value, decimals, 2)}"
    if unit == "s":
        for seconds, word in LONGER:
            if abs(value) >= seconds:
                return f"{_rounded(value / seconds, decimals, 1)} {word}"
        return f"{_rounded(value, decimals, 1)} s"
    if unit == "dateTimeAsIso":
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    if unit == "short" and abs(value) >= 1000:
        return f"{_rounded(value / 1000, decimals, 1)} K"
    if unit not in ("none", "short"):
        raise ValueError(f"unknown unit: {unit}")
    return _rounded(value, decimals, 2)


def _rounded(value: float, decimals: float | None, most: int) -> str:
    if decimals is not None:
        return f"{value + 0.0:.{int(decimals)}f}"
    text = f"{value:.{most}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
