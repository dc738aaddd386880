"""Building blocks of the dashboards: panels in common colours, with unit, description and a text for no data.

Needs grafana-foundation-sdk==0.0.21 (an unpinned pip gives a far older API). A ``Runbook: Name`` in a description
becomes a link of the panel. Every panel reads the data source that the dashboard's variable names.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models import prometheus as pm

from monitor.core.records import Severity
from monitor.core.signals import of_severity

DATASOURCE: Final = cm.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, AMBER, RED, BLUE, VIOLET, GREY = "#3f9b6c", "#d99a2b", "#cc4b4b", "#4f7fbf", "#8d6bb8", "#8a8f98"
BROWN: Final = "#a3704c"

JOB: Final = 'job=~"$job"'
FLEET: Final = JOB + ', target!="judge"'
"""Every target of the team; the judge is a target of that name with its own dashboard."""
ONE: Final = JOB + ', target="$target"'

Steps = Sequence[tuple[float | None, str]]
"""Thresholds: from this value on, this colour; the first has no value."""
Names = Mapping[int, tuple[str, str]]
"""Value -> its word and colour."""

MOST_POINTS: Final = 200
"""Maximum number of points of a line. Results arrive once per run; each point of a fleet's sum reads every target."""
LEAST: Final = -1e6
"""Below every shown number. Grafana gives a panel without data the colour of the first step: it must not be green."""
PLAIN: Final = ((None, BLUE),)
FAULTS: Final = ((None, GREEN), (1, RED))
WARNINGS: Final = ((None, GREEN), (1, AMBER))
NEAR: Final = ((None, GREEN), (0.7, AMBER), (1, RED))
"""Steps for evidence as a share of its threshold."""


@dataclass(frozen=True, slots=True)
class Query:
    expr: str
    legend: str = ""
    style: Literal["line", "reference", "other", "bound"] = "line"
    """reference: a comparison value, dashed; other: the base, dotted; bound: an end of an interval, thin."""
    color: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a value; ``url`` may name fields and variables in Grafana's way."""

    title: str
    url: str
    blank: bool = False

    def built(self) -> dashboard.DashboardLink:
        made = dashboard.DashboardLink(self.title).type(dm.DashboardLinkType.LINK)
        return made.url(self.url).target_blank(self.blank)


def evidence(path: str) -> Link:
    """Link to the daemon's evidence pages. ``path`` begins with a slash."""
    return Link("Evidence page", f"${{web:raw}}{path}", blank=True)


def board(uid: str, title: str, target: str = "") -> Link:
    """Link to another dashboard with the same data source, job and time. ``target``: the target's name."""
    chosen = f"&var-target={target}" if target else ""
    return Link(title, f"/d/{uid}?${{datasource:queryparam}}&${{job:queryparam}}{chosen}&${{__url_time_range}}")


def selector(metric: str, matchers: str) -> str:
    return f"cliffwatch_{metric}{{{matchers}}}"


def one_of(names: Iterable[str]) -> str:
    """A label matcher's pattern for any of the names, anchored."""
    return "|".join(sorted(names))


def runbooks_of(severity: Severity) -> str:
    """The runbooks of the signals of a severity, as a description names them."""
    return " ".join(f"Runbook: {alert}." for alert in dict.fromkeys(one.alert for one in of_severity(severity)))


def or_zero(expr: str) -> str:
    """``expr``, or 0 if nothing was counted yet; still no data if no daemon is scraped."""
    return f"{expr} or 0 * max({selector('build_info', JOB)})"


def share_of_threshold(matchers: str) -> str:
    """By target and signal: the evidence as a share of its threshold, the only scale on which it is shown."""
    odds, line = (selector(f"evidence_{one}log10", matchers) for one in ("", "threshold_"))
    return f"clamp_min(max by (target, signal) ({odds} / {line}), 0)"


def mapped(names: Names) -> list[Any]:
    options = {
        str(value): dm.ValueMappingResult(text=word, color=color, index=place)
        for place, (value, (word, color)) in enumerate(names.items())
    }
    return [dm.ValueMap(options=options)]


def spelled(words: Mapping[str, str]) -> list[Any]:
    """Mapping of a label's values to other words, without a colour."""
    options = {one: dm.ValueMappingResult(text=word, index=n) for n, (one, word) in enumerate(words.items())}
    return [dm.ValueMap(options=options)]


def asked(query: Query, ref: str, *, instant: bool = False, as_table: bool = False) -> prometheus.Dataquery:
    built = prometheus.Dataquery().expr(query.expr).ref_id(ref).datasource(DATASOURCE).legend_format(query.legend)
    built = built.instant() if instant else built.range()
    return built.format(pm.PromQueryFormat.TABLE if as_table else pm.PromQueryFormat.TIME_SERIES)


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    made = [dm.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(dm.ThresholdsMode.ABSOLUTE).steps(made)


def framed(panel: Any, title: str, description: str, unit: str, empty: str, width: int, height: int) -> Any:
    """The common parts of every panel."""
    runbooks = [
        Link(f"Runbook {name}", f"${{web:raw}}/runbooks/{name}", blank=True).built()
        for name in re.findall(r"Runbook: (\w+)", description)
    ]
    panel = panel.title(title).description(description).links(runbooks).datasource(DATASOURCE)
    return panel.unit(unit).no_value(empty).span(width).height(height)


def number(
    title: str,
    description: str,
    expr: str,
    unit: str,
    steps: Steps,
    *,
    empty: str,
    width: int = 3,
    names: Names | None = None,
    link: Link | None = None,
    decimals: int | None = None,
    legend: str = "",
    both: bool = False,
) -> stat.Panel:
    """One current number. ``legend``: shows this text instead of the number, or with ``both`` in front of it."""
    named = cm.BigValueTextMode.VALUE_AND_NAME if both else cm.BigValueTextMode.NAME
    panel: stat.Panel = framed(stat.Panel(), title, description, unit, empty, width, 4)
    panel = (
        panel.with_target(asked(Query(expr, legend or title), "A", instant=True))
        .thresholds(thresholds(((None, GREY), (LEAST, steps[0][1]), *steps[1:])))
        .color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))
        .color_mode(cm.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(cm.BigValueGraphMode.NONE)
        .text_mode(named if legend else cm.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .mappings(mapped(names) if names else [])
        .data_links([link.built()] if link else [])
    )
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str,
    description: str,
    queries: Sequence[Query],
    unit: str,
    *,
    empty: str,
    width: int = 12,
    height: int = 8,
    low: float | None = None,
    high: float | None = None,
    marks: Steps = (),
    link: Link | None = None,
    decimals: int | None = None,
    stacked: bool = False,
    joined: bool = False,
    at_least: float | None = None,
    colors: Mapping[str, str] | None = None,
) -> timeseries.Panel:
    """Lines over time; ``marks`` are drawn dashed, and ``link`` leads from a series to its evidence.

    ``joined``: over gaps, where calls come in bursts. ``at_least``: what the value axis reaches when all is lower.
    ``colors``: of series, by the name in the legend.
    """
    style = cm.GraphThresholdsStyleMode.DASHED if marks else cm.GraphThresholdsStyleMode.OFF
    panel: timeseries.Panel = framed(timeseries.Panel(), title, description, unit, empty, width, height)
    panel = (
        panel.line_width(0 if stacked else 2)
        .fill_opacity(70 if stacked else 0)
        .show_points(cm.VisibilityMode.NEVER if stacked else cm.VisibilityMode.AUTO)
        .span_nulls(joined)
        .legend(
            common.VizLegendOptions()
            .display_mode(cm.LegendDisplayMode.LIST)
            .placement(cm.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .max_data_points(MOST_POINTS)
        .tooltip(common.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.DESCENDING))
        .thresholds(thresholds(((None, "transparent"), *marks)))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
        .data_links([link.built()] if link else [])
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))
        panel = panel.line_interpolation(cm.LineInterpolation.STEP_AFTER)
    for ref, query in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(asked(query, ref))
        if evaluations := _looks(query):
            panel = panel.override_by_query(ref, evaluations)
    for name, color in (colors or {}).items():
        panel = panel.override_by_name(name, [_colored(color, "fixed")])
    panel = panel if low is None else panel.min(low)
    panel = panel if high is None else panel.max(high)
    panel = panel if at_least is None else panel.axis_soft_max(at_least)
    return panel if decimals is None else panel.decimals(decimals)


def _colored(color: str, mode: Literal["fixed", "shades"]) -> dm.DynamicConfigValue:
    return dm.DynamicConfigValue("color", {"mode": mode, "fixedColor": color})


def _looks(query: Query) -> list[Any]:
    evaluations = []
    if query.color:
        evaluations.append(_colored(query.color, "shades" if "{{" in query.legend else "fixed"))
    if query.style == "reference":
        evaluations.append(dm.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}))
    elif query.style == "other":
        evaluations.append(dm.DynamicConfigValue("custom.lineStyle", {"fill": "dot", "dash": [2, 6]}))
    elif query.style == "bound":
        evaluations.append(dm.DynamicConfigValue("custom.lineWidth", 1))
        evaluations.append(dm.DynamicConfigValue("custom.lineStyle", {"fill": "dot", "dash": [2, 4]}))
    return evaluations


def timeline(
    title: str,
    description: str,
    query: Query,
    names: Names,
    *,
    empty: str,
    width: int = 12,
    height: int = 9,
    link: Link | None = None,
) -> statetimeline.Panel:
    """The state of each series over time."""
    panel: statetimeline.Panel = framed(statetimeline.Panel(), title, description, "none", empty, width, height)
    return (
        panel.with_target(asked(query, "A"))
        .mappings(mapped(names))
        .color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))
        .thresholds(thresholds([(None, GREY)]))
        .show_value(cm.VisibilityMode.NEVER)
        .row_height(0.8)
        .legend(
            common.VizLegendOptions()
            .display_mode(cm.LegendDisplayMode.LIST)
            .placement(cm.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .data_links([link.built()] if link else [])
    )


def bars(
    title: str,
    description: str,
    query: Query,
    unit: str,
    steps: Steps,
    *,
    empty: str,
    low: float,
    high: float,
    width: int = 8,
    height: int = 8,
    link: Link | None = None,
) -> bargauge.Panel:
    """The current values, one bar per series."""
    panel: bargauge.Panel = framed(bargauge.Panel(), title, description, unit, empty, width, height)
    return (
        panel.with_target(asked(query, "A", instant=True))
        .thresholds(thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))
        .orientation(cm.VizOrientation.HORIZONTAL)
        .display_mode(cm.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .min(low)
        .max(high)
        .data_links([link.built()] if link else [])
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: a query's value, or where ``label`` is given that label of the queries."""

    name: str
    expr: str = ""
    label: str = ""
    unit: str = "none"
    decimals: int | None = None
    names: Names | None = None
    words: Mapping[str, str] | None = None
    """Words for a label's values."""
    steps: Steps = ()
    gauge: tuple[float, float] | None = None
    """Drawn as a bar between these."""
    links: Sequence[Link] = field(default_factory=tuple)
    width: int | None = None
    empty: str = "–"
