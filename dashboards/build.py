"""Writes the dashboards' JSON next to this file.

    python -m dashboards.build            # write
    python -m dashboards.build --check    # exit 1 if a committed file is out of date

The JSON is committed, so that Grafana needs no Python. Tests keep it current and run every query.
"""

import argparse
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as dm

from dashboards import UIDS, fleet, judge, operations, target
from dashboards.panels import BLUE, DATASOURCE, JOB, RED, VIOLET, Link, selector

FOLDER: Final = Path(__file__).parent

BOARDS: Final[dict[str, ModuleType]] = {"fleet": fleet, "target": target, "judge": judge, "operations": operations}
"""Dashboard -> the module with its question and its panels."""

TARGETS: Final = f"cliffwatch_target_info{{{JOB}}}"
SHOWN: Final = {"fleet": "now-14d", "target": "now-21d", "judge": "now-21d", "operations": "now-7d"}
"""Default time range of each dashboard: results arrive once a day, calls all the time."""


def variables(name: str) -> list[Any]:
    """The dashboard's variables, in the order of their dependencies."""
    made: list[Any] = [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _chosen("job", "Job", "label_values(cliffwatch_build_info, job)", every=True),
    ]
    if name == "operations":
        daemons = f"label_values(cliffwatch_build_info{{{JOB}}}, instance)"
        made.append(_chosen("instance", "Daemon", daemons, every=True))
    if name != "fleet":
        made.append(_chosen("target", "Target", f"label_values({TARGETS}, target)", every=name != "target"))
    address = f"label_values(cliffwatch_web_info{{{JOB}}}, url)"
    made.append(_chosen("web", "Pages", address, every=False).hide(dm.VariableHide.HIDE_VARIABLE))
    return made


def _chosen(name: str, label: str, query: str, *, every: bool) -> dashboard.QueryVariable:
    built = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": name})
        .definition(query)
        .refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dm.VariableSort.ALPHABETICAL_ASC)
        .include_all(every)
        .multi(every)
    )
    return built.current(dm.VariableOption(selected=True, text="All", value="$__all")) if every else built


def annotations(name: str) -> list[Any]:
    """Marks of events: on Target and Judge, alarms, approvals of a baseline and reloads; on Operations, reloads."""
    whose = {"target": ', target="$target"', "judge": ', target="judge"'}.get(name)
    if whose is None:
        return [_reloads()] if name == "operations" else []
    firing = f'ALERTS{{{JOB}, alertname=~"Cliffwatch.+", alertstate="firing"{whose}}}'
    alarms = dashboard.AnnotationQuery().name("Alarms").expr(firing).icon_color(RED)
    approved = selector("baseline_approved_timestamp_seconds", JOB + whose)
    baselines = dashboard.AnnotationQuery().name("Baseline approved").expr(f"{approved} * 1000").icon_color(BLUE)
    return [
        _annotated(alarms.title_format("{{alertname}}").text_format("{{signal}}").tag_keys("severity")),
        _annotated(baselines.use_value_for_time(True).title_format("Baseline approved").text_format("{{suite}}")),
        _reloads(),
    ]


def _reloads() -> Any:
    read = selector("config_last_reload_success_timestamp_seconds", JOB)
    made = dashboard.AnnotationQuery().name("Configuration read").expr(f"{read} * 1000").icon_color(VIOLET)
    return _annotated(made.use_value_for_time(True).title_format("Configuration read").text_format("{{instance}}"))


def _annotated(made: dashboard.AnnotationQuery) -> Any:
    return made.datasource(DATASOURCE).enable(True)


def links(name: str) -> list[Link]:
    """Links to the other dashboards, the evidence pages and the runbooks."""
    here = "/targets/$target" if name == "target" else "/targets/judge" if name == "judge" else "/"
    kept = "${datasource:queryparam}&${job:queryparam}&${__url_time_range}"
    others = [Link(other.capitalize(), f"/d/{UIDS[other]}?{kept}") for other in BOARDS if other != name]
    return [
        *others,
        Link("Evidence pages", f"${{web:raw}}{here}", blank=True),
        Link("Runbooks", "${web:raw}/runbooks/", blank=True),
    ]


def built(name: str) -> dashboard.Dashboard:
    made = (
        dashboard.Dashboard(f"Cliffwatch / {name.capitalize()}")
        .uid(UIDS[name])
        .description(BOARDS[name].QUESTION)
        .tags(["cliffwatch", "llm"])
        .readonly()
        .time(SHOWN[name], "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(dm.DashboardCursorSync.CROSSHAIR)
    )
    for variable in variables(name):
        made = made.with_variable(variable)
    for annotation in annotations(name):
        made = made.annotation(annotation)
    for link in links(name):
        made = made.link(link.built())
    for title, panels in BOARDS[name].panels():
        made = made.with_row(dashboard.Row(title)) if title else made
        for panel in panels:
            made = made.with_panel(panel)
    return made


def render(name: str) -> str:
    """The dashboard's JSON. Panels get ids in their order, because the SDK omits them."""
    content = json.loads(json.dumps(built(name).build(), cls=JSONEncoder))
    for number, panel in enumerate(content["panels"], start=1):
        panel["id"] = number
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def path(name: str) -> Path:
    """Path of the dashboard's JSON."""
    return FOLDER / f"{name}.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if a committed file is out of date")
    if parser.parse_args().check:
        return int(any(path(name).read_text(encoding="utf-8") != render(name) for name in BOARDS))
    for name in BOARDS:
        path(name).write_text(render(name), encoding="utf-8")
        sys.stdout.write(f"{path(name)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
