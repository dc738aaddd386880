"""Writes ``overview.json``: are all targets watched, and how does each compare with its approved baseline?

    python dashboards/build.py            # write
    python dashboards/build.py --check    # exit 1 when the committed file is not what this would write

The JSON is committed, so that a Grafana needs no Python; a test keeps it current and runs every query against a
real Prometheus. Needs grafana-foundation-sdk==0.0.21 (an unpinned pip gives a far older API).
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models import prometheus as pm

OUT: Final = Path(__file__).parent / "overview.json"
UID: Final = "cliffwatch-overview"

FLEET: Final = 'job=~"$job", instance=~"$instance"'
ONE: Final = FLEET + ', target=~"$target"'
DATASOURCE: Final = cm.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, AMBER, RED, BLUE, GREY = "#3f9b6c", "#d99a2b", "#cc4b4b", "#4f7fbf", "#8a8f98"


@dataclass(frozen=True, slots=True)
class Query:
    expr: str
    legend: str = ""
    style: Literal["line", "reference", "bound"] = "line"
    """reference: what it is compared with, dashed; bound: an end of an interval, thin."""


def selector(metric: str, matchers: str) -> str:
    return f"cliffwatch_{metric}{{{matchers}}}"


def target(query: Query, ref: str, *, instant: bool = False, as_table: bool = False) -> prometheus.Dataquery:
    built = prometheus.Dataquery().expr(query.expr).ref_id(ref).datasource(DATASOURCE).legend_format(query.legend)
    built = built.instant() if instant else built.range()
    return built.format(pm.PromQueryFormat.TABLE if as_table else pm.PromQueryFormat.TIME_SERIES)


def thresholds(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(dm.ThresholdsMode.ABSOLUTE)
        .steps([dm.Threshold(value=value, color=color) for value, color in steps])
    )


def evidence(label: str) -> dashboard.DashboardLink:
    """A data link from a series to its evidence page, served by the daemon that exports the series."""
    return (
        dashboard.DashboardLink("Evidence")
        .type(dm.DashboardLinkType.LINK)
        .url(f"http://${{__field.labels.instance}}/targets/${{__field.labels.target}}{label}")
        .target_blank(True)
    )


def runbook_links(description: str) -> list[Any]:
    """A panel link to each runbook that the description names; the daemon serves them itself."""
    return [
        dashboard.DashboardLink(f"Runbook {name}")
        .type(dm.DashboardLinkType.LINK)
        .url(f"http://${{instance}}/runbooks/{name}")
        .target_blank(True)
        for name in re.findall(r"Runbook: (\w+)", description)
    ]


def number(
    title: str, description: str, query: str, unit: str, steps: Sequence[tuple[float | None, str]], width: int = 4
) -> stat.Panel:
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .links(runbook_links(description))
        .datasource(DATASOURCE)
        .unit(unit)
        .with_target(target(Query(query, title), "A", instant=True))
        .thresholds(thresholds(*steps))
        .color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))
        .color_mode(cm.BigValueColorMode.VALUE)
        .graph_mode(cm.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .span(width)
        .height(4)
    )


def lines(
    title: str,
    description: str,
    queries: Sequence[Query],
    unit: str,
    *,
    width: int = 12,
    low: float | None = None,
    high: float | None = None,
    mark: tuple[float, str] | None = None,
    link: str | None = None,
    decimals: int | None = None,
) -> timeseries.Panel:
    """A panel of lines; ``mark`` draws one dashed threshold, ``link`` leads from a series to its evidence."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .links(runbook_links(description))
        .datasource(DATASOURCE)
        .unit(unit)
        .line_width(2)
        .fill_opacity(0)
        .show_points(cm.VisibilityMode.AUTO)
        .span_nulls(False)
        .legend(
            common.VizLegendOptions()
            .display_mode(cm.LegendDisplayMode.LIST)
            .placement(cm.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.DESCENDING))
        .thresholds(thresholds((None, "transparent"), *([mark] if mark else [])))
        .thresholds_style(
            common.GraphThresholdsStyleConfig().mode(
                cm.GraphThresholdsStyleMode.DASHED if mark else cm.GraphThresholdsStyleMode.OFF
            )
        )
        .span(width)
        .height(8)
    )
    for ref, query in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(target(query, ref))
        if query.style == "reference":
            dashes: dict[str, Any] = {"fill": "dash", "dash": [8, 6]}
            panel = panel.override_by_query(ref, [dm.DynamicConfigValue("custom.lineStyle", dashes)])
        elif query.style == "bound":
            panel = panel.override_by_query(
                ref,
                [
                    dm.DynamicConfigValue("custom.lineWidth", 1),
                    dm.DynamicConfigValue("custom.lineStyle", {"fill": "dot", "dash": [2, 4]}),
                ],
            )
    panel = panel if low is None else panel.min(low)
    panel = panel if high is None else panel.max(high)
    panel = panel if decimals is None else panel.decimals(decimals)
    return panel if link is None else panel.data_links([evidence(link)])


def fleet_numbers() -> list[stat.Panel]:
    alarms = selector("alarm", FLEET + ', severity="{}"')
    unarmed = selector("baselines", FLEET + ', status="approved"')
    good = ((None, GREEN),)
    return [
        number(
            "Targets",
            "Targets in the configuration.",
            f"count({selector('target_info', FLEET)})",
            "none",
            ((None, BLUE),),
        ),
        number(
            "Pages raised",
            "Alarms of severity page that are confirmed now.",
            f"sum({alarms.replace('{}', 'page')})",
            "none",
            (*good, (1, RED)),
        ),
        number(
            "Tickets raised",
            "Alarms of severity ticket that are confirmed now; unconfirmed or unarmed pages are among them.",
            f"sum({alarms.replace('{}', 'ticket')})",
            "none",
            (*good, (1, AMBER)),
        ),
        number(
            "Not armed",
            "Suites without an approved baseline: nothing is compared and no alarm can be raised. "
            "Runbook: CliffwatchNotArmed.",
            f"sum({unarmed} == bool 0)",
            "none",
            (*good, (1, AMBER)),
        ),
        number(
            "Unmeasured, worst",
            "Largest share of a last run's questions without a usable answer. An outage is never a reading. "
            "Runbook: CliffwatchUnmeasured.",
            f"max({selector('run_unmeasured_ratio', FLEET)})",
            "percentunit",
            (*good, (0.05, AMBER), (0.2, RED)),
        ),
        number(
            "Last tick",
            "Seconds since the daemon's clock last looked at the ledger. Runbook: CliffwatchDown.",
            f"time() - min({selector('last_tick_timestamp_seconds', FLEET)})",
            "s",
            (*good, (60, AMBER), (300, RED)),
        ),
    ]


def alarm_timeline() -> statetimeline.Panel:
    raised: dict[str, dm.ValueMappingResult] = {
        "0": dm.ValueMappingResult(text="quiet", color=GREEN, index=0),
        "1": dm.ValueMappingResult(text="raised", color=RED, index=1),
    }
    return (
        statetimeline.Panel()
        .title("Alarms")
        .description(
            "Each target's signals over time; raised from its confirmation until the answers are evidence of recovery, "
            "or until somebody clears it."
        )
        .datasource(DATASOURCE)
        .unit("none")
        .with_target(
            target(Query(f"max by (instance, target, signal) ({selector('alarm', ONE)})", "{{target}} {{signal}}"), "A")
        )
        .mappings([dm.ValueMap(options=raised)])
        .color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))
        .thresholds(thresholds((None, GREEN), (1, RED)))
        .show_value(cm.VisibilityMode.NEVER)
        .data_links([evidence("/${__field.labels.signal}")])
        .span(14)
        .height(9)
    )


def target_table() -> table.Panel:
    """One line a target; all columns are joined by target."""
    columns = {
        "A": (f"max by (target, model, baseline) ({selector('target_info', ONE)})", "", ""),
        "B": (f"sum by (target) ({selector('alarm', ONE)})", "Alarms", "none"),
        "C": (f"min by (target) ({selector('adapter_effect_ratio', ONE)})", "Fine-tune left", "percentunit"),
        "D": (f"max by (target) (time() - {selector('run_last_success_timestamp_seconds', ONE)})", "Last success", "s"),
    }
    panel = table.Panel().title("Targets").description("Every target with its model, baseline and last readings.")
    panel = panel.datasource(DATASOURCE).unit("none").span(10).height(9)
    for ref, (expr, _, _) in columns.items():
        panel = panel.with_target(target(Query(expr), ref, instant=True, as_table=True))
    panel = panel.with_transformation(
        dm.DataTransformerConfig(id_val="joinByField", options={"byField": "target", "mode": "outer"})
    )
    dropped = {"Time": True, "Value #A": True} | {f"Time {n}": True for n in range(1, len(columns) + 1)}
    renamed = {"target": "Target", "model": "Model", "baseline": "Baseline"}
    renamed |= {f"Value #{ref}": name for ref, (_, name, _) in columns.items() if name}
    panel = panel.with_transformation(
        dm.DataTransformerConfig(id_val="organize", options={"excludeByName": dropped, "renameByName": renamed})
    )
    for _, name, unit in columns.values():
        if name:
            panel = panel.override_by_name(name, [dm.DynamicConfigValue("unit", unit)])
    return panel


def fine_tune() -> list[timeseries.Panel]:
    loss = ONE + ', signal="adapter_loss"'
    by = "{{target}} {{suite}}"
    return [
        lines(
            "Fine-tune's effect left",
            "The fine-tune's present effect over its approved effect, with its 95 % interval: 1 is healthy, 0 answers "
            "like the base. Runbook: CliffwatchFineTuneLost.",
            [
                Query(selector("adapter_effect_ratio", ONE), by),
                Query(selector("effect_low", loss), by + " low", "bound"),
                Query(selector("effect_high", loss), by + " high", "bound"),
            ],
            "percentunit",
            mark=(1.0, GREY),
            link="/adapter_loss",
        ),
        lines(
            "Answers nearer to the base",
            "Share of answers that look more like the base's than like the approved baseline's. "
            "Runbook: CliffwatchFineTuneLost.",
            [Query(selector("base_match_ratio", ONE), by)],
            "percentunit",
            low=0,
            high=1,
            link="/adapter_loss",
        ),
        lines(
            "Judge's score against the baseline",
            "Mean score of the answers now, and in the approved baseline (dashed); 0 to 1. "
            "Runbook: CliffwatchScoreDrop.",
            [
                Query(selector("judge_score", ONE), by),
                Query(selector("judge_score_baseline", ONE), by + " baseline", "reference"),
            ],
            "percentunit",
            link="/judge_score",
        ),
        lines(
            "Answers that pass every check",
            "Share of the subject's answers that pass all deterministic checks of their probe.",
            [Query(selector("pass_ratio", ONE), by)],
            "percentunit",
            width=6,
            low=0,
            high=1,
            link="",
        ),
        lines(
            "Flips of frozen items",
            "Share of the items that were right in the approved baseline and are wrong now, and the other way round "
            "(dashed). Runbook: CliffwatchNegativeFlips.",
            [
                Query(selector("negative_flip_ratio", ONE), by + " lost"),
                Query(selector("positive_flip_ratio", ONE), by + " won", "reference"),
            ],
            "percentunit",
            width=6,
            low=0,
            link="/negative_flips",
        ),
    ]


def evidences() -> list[timeseries.Panel]:
    quiet, by = ONE + ', signal=~"distribution|logprobs|border|length|contract"', "{{target}} {{signal}}"
    return [
        lines(
            "Evidence for a change",
            "How strongly all looks since the baseline speak for a change, by signal, as a power of ten (3 is 1,000 to "
            "1), with the line at which the signal alarms by itself (dashed). It may be looked at every day.",
            [
                Query(selector("evidence_log10", ONE), by),
                Query(selector("evidence_line_log10", ONE), by + " line", "reference"),
            ],
            "none",
            link="/${__field.labels.signal}",
            decimals=1,
        ),
        lines(
            "Evidence less its line: tickets",
            "Of the signals that never page: the evidence less its line, as a power of ten; 0 alarms. "
            "Runbook: CliffwatchDistributionShift. Runbook: CliffwatchContractChanged. Runbook: CliffwatchLengthShift.",
            [Query(f"{selector('evidence_log10', quiet)} - {selector('evidence_line_log10', quiet)}", by)],
            "none",
            width=6,
            mark=(0.0, AMBER),
            link="/${__field.labels.signal}",
            decimals=1,
        ),
        lines(
            "Self-test: injected faults that were caught",
            "Share of the faults injected into copies of stored answers that raised an alarm; nothing is asked for it. "
            "Of the fault healthy, which injects nothing, none should. Runbook: CliffwatchSelfTestFailed.",
            [Query(selector("selftest_detection_ratio", ONE), "{{target}} {{fault}}")],
            "percentunit",
            width=6,
            low=0,
            high=1,
            mark=(0.9, GREY),
            link="",
        ),
    ]


def answers() -> list[timeseries.Panel]:
    by = "{{target}} {{suite}}"
    return [
        lines(
            "Length of answers",
            "Length of the subject's answers in characters, by statistic. Runbook: CliffwatchLengthShift.",
            [Query(selector("answer_length_chars", ONE), by + " {{stat}}")],
            "short",
            width=8,
            low=0,
            link="/length",
        ),
        lines(
            "Spread of length",
            "Variance of the answers' length over the approved baseline's; 1 is unchanged. "
            "Runbook: CliffwatchLengthShift.",
            [Query(selector("answer_length_variance_ratio", ONE), by)],
            "none",
            width=8,
            low=0,
            mark=(1.0, GREY),
            link="/length",
            decimals=2,
        ),
        lines(
            "Effect by signal",
            "Effect size of each signal's last finding with its 95 % interval, in the signal's own unit (the evidence "
            "page names it).",
            [
                Query(selector("effect", ONE), by + " {{signal}}"),
                Query(selector("effect_low", ONE), by + " {{signal}} low", "bound"),
                Query(selector("effect_high", ONE), by + " {{signal}} high", "bound"),
            ],
            "none",
            width=8,
            link="/${__field.labels.signal}",
        ),
    ]


def measuring() -> list[timeseries.Panel]:
    by = "{{target}} {{suite}}"
    rate = "$__rate_interval"
    buckets = f"sum by (le, arm) (rate({selector('api_request_duration_seconds_bucket', ONE)}[{rate}]))"
    return [
        lines(
            "Since the last success",
            "How old the last usable reading is. Compare with the suite's period. Runbook: CliffwatchUnmeasured.",
            [Query(f"time() - {selector('run_last_success_timestamp_seconds', ONE)}", by)],
            "s",
            width=8,
            low=0,
            link="",
        ),
        lines(
            "Unmeasured share of the last run",
            "Questions of the last finished run without a usable answer. Runbook: CliffwatchUnmeasured.",
            [Query(selector("run_unmeasured_ratio", ONE), by)],
            "percentunit",
            width=8,
            low=0,
            high=1,
            mark=(0.2, AMBER),
            link="",
        ),
        lines(
            "Runs by outcome",
            "Finished runs an hour: measured (every question answered), partial, unmeasured (none).",
            [Query(f"sum by (outcome) (rate({selector('runs_total', ONE)}[{rate}])) * 3600", "{{outcome}}")],
            "none",
            width=8,
            low=0,
        ),
        lines(
            "Calls by outcome",
            "Calls a second, retries included: ok, or why the question has no usable answer.",
            [Query(f"sum by (outcome) (rate({selector('api_requests_total', ONE)}[{rate}]))", "{{outcome}}")],
            "reqps",
            width=8,
            low=0,
        ),
        lines(
            "Duration of a call",
            "Median and 95th percentile of one attempt, by arm.",
            [
                Query(f"histogram_quantile(0.5, {buckets})", "{{arm}} p50"),
                Query(f"histogram_quantile(0.95, {buckets})", "{{arm}} p95", "reference"),
            ],
            "s",
            width=8,
            low=0,
        ),
        lines(
            "Tokens",
            "Tokens a second by type.",
            [Query(f"sum by (type) (rate({selector('api_tokens_total', ONE)}[{rate}]))", "{{type}}")],
            "none",
            width=8,
            low=0,
        ),
        lines(
            "Spend",
            "US dollars spent since the store was made, by target and arm; the judge's and all retries included.",
            [Query(f"sum by (target, arm) ({selector('api_spend_usd_total', ONE)})", "{{target}} {{arm}}")],
            "currencyUSD",
            width=8,
            low=0,
        ),
        lines(
            "Budget left today",
            "US dollars left of each target's budget for this UTC day, reservations taken off.",
            [Query(selector("budget_remaining_usd", ONE), "{{target}}")],
            "currencyUSD",
            width=8,
            low=0,
        ),
        lines(
            "Schedule lag and errors",
            "How long the most overdue run waits, failed ticks, runs and scrapes an hour, and whether the last reload "
            "was refused. Runbook: CliffwatchDown. Runbook: CliffwatchConfigReloadFailed.",
            [
                Query(selector("schedule_lag_seconds", FLEET), "lag"),
                Query(f"rate({selector('tick_errors_total', FLEET)}[{rate}]) * 3600", "tick errors/h"),
                Query(f"rate({selector('run_errors_total', FLEET)}[{rate}]) * 3600", "run errors/h"),
                Query(f"rate({selector('scrape_errors_total', FLEET)}[{rate}]) * 3600", "scrape errors/h"),
                Query(f"1 - {selector('config_last_reload_success', FLEET)}", "refused reload"),
            ],
            "s",
            width=8,
            low=0,
        ),
    ]


def variable(name: str, label: str, metric: str, *, all_value: bool) -> dashboard.QueryVariable:
    chosen = dm.VariableOption(selected=True, text="All", value="$__all")
    built = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": f"label_values({metric}, {name})", "refId": name})
        .definition(f"label_values({metric}, {name})")
        .refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dm.VariableSort.ALPHABETICAL_ASC)
        .include_all(all_value)
        .multi(all_value)
    )
    return built.current(chosen) if all_value else built


def firing() -> dashboard.AnnotationQuery:
    chosen = 'alertname=~"Cliffwatch.+", alertname!="CliffwatchWatchdog", alertstate="firing", target=~"$target|"'
    return (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(RED)
        .expr(f"ALERTS{{{chosen}}}")
    )


def overview() -> dashboard.Dashboard:
    built = (
        dashboard.Dashboard("Cliffwatch / Overview")
        .uid(UID)
        .description("Are all targets watched, and how does each compare with its approved baseline?")
        .tags(["cliffwatch", "llm"])
        .readonly()
        .time("now-14d", "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(dm.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(variable("job", "Job", "cliffwatch_build_info", all_value=True))
        .with_variable(variable("instance", "Daemon", 'cliffwatch_build_info{job=~"$job"}', all_value=False))
        .with_variable(variable("target", "Target", f"cliffwatch_target_info{{{FLEET}}}", all_value=True))
        .annotation(firing())
        .link(
            dashboard.DashboardLink("Runbooks")
            .type(dm.DashboardLinkType.LINK)
            .url("http://${instance}/runbooks/")
            .target_blank(True)
        )
        .link(
            dashboard.DashboardLink("Evidence pages")
            .type(dm.DashboardLinkType.LINK)
            .url("http://${instance}/")
            .target_blank(True)
        )
    )
    built = built.with_row(dashboard.Row("Fleet"))
    for panel in [*fleet_numbers(), alarm_timeline(), target_table()]:
        built = built.with_panel(panel)
    for title, panels in (
        ("Evidence: $target", evidences()),
        ("Fine-tune and scores: $target", fine_tune()),
        ("Answers: $target", answers()),
        ("Measuring: $target", measuring()),
    ):
        built = built.with_row(dashboard.Row(title))
        for line in panels:
            built = built.with_panel(line)
    return built


def render() -> str:
    """The dashboard's JSON; panels get the ids that the SDK leaves out, in their order."""
    content = json.loads(json.dumps(overview().build(), cls=JSONEncoder))
    for number_, panel in enumerate(content["panels"], start=1):
        panel["id"] = number_
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 when overview.json is not current")
    if parser.parse_args().check:
        return int(OUT.read_text(encoding="utf-8") != render())
    OUT.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{OUT}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
