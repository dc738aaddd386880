"""The dashboards as files: what is committed is what the builder writes, and each keeps the rules of the house."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins

from dashboards import UIDS
from dashboards.build import BOARDS, FOLDER, path, render
from dashboards.panels import GREEN, GREY
from dashboards.states import ARMS, OUTCOMES
from monitor.core.records import Arm, Reason
from monitor.report.metrics.alerts import LIMITS
from monitor.report.metrics.names import METRICS, PREFIX
from tests import programs

ROOT: Final = Path(__file__).parents[2]
BOARD: Final[dict[str, dict[str, Any]]] = {name: json.loads(path(name).read_text(encoding="utf-8")) for name in BOARDS}
UNITS: Final = {"none", "short", "percentunit", "s", "currencyUSD", "dateTimeAsIso", "suffix:periods"}
COUNTED: Final = {"Targets", "Models", "Suites", "Questions"}
"""What a number without a unit counts: its title begins with it."""
UNBOUNDED: Final = {"version", "url", "model", "base_model", "baseline", "judge", "instance"}
"""Labels whose values come and go: never the legend of a line over time, but for the judge's and the daemon's own."""
COMPARED: Final = re.compile(r'alert_limit\{[^}]*limit="(\w+)"')
GRAFANAS: Final = {"__rate_interval": "5m", "__range": "14d", "__interval": "1m"}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def annotations(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in board["annotations"].get("list") or [] if "expr" in one]


def expressions(board: dict[str, Any]) -> list[str]:
    asked = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    return asked + [one["expr"] for one in annotations(board)]


def every_panel() -> list[Any]:
    return [
        pytest.param(name, panel, id=f"{name}: {panel['title']}") for name in BOARDS for panel in panels(BOARD[name])
    ]


@pytest.mark.parametrize("name", BOARDS)
def test_what_is_committed_is_what_the_builder_writes(name: str) -> None:
    assert path(name).read_text(encoding="utf-8") == render(name), "run: make docs"


def test_nothing_else_is_shipped() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == set(BOARDS) == set(UIDS)


def test_compose_opens_grafana_on_a_dashboard_that_there_is() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    home = Path(services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert path(home.stem).name == home.name


def test_what_has_no_value_is_grey_and_never_green() -> None:
    for board in BOARD.values():
        for panel in panels(board):
            if panel["type"] == "stat":
                assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["color"] == GREY, panel["title"]


def test_every_arm_has_a_colour_of_its_own() -> None:
    assert set(ARMS) == set(Arm)
    assert len(set(ARMS.values())) == len(ARMS)


def test_an_answer_is_green_and_every_reason_for_none_has_another_colour() -> None:
    assert set(OUTCOMES) == {"ok", *Reason}
    assert [outcome for outcome, color in OUTCOMES.items() if color == GREEN] == ["ok"]
    assert len(set(OUTCOMES.values())) == len(OUTCOMES)


@pytest.mark.parametrize(
    ("name", "title", "alert", "limit"),
    [
        ("fleet", "Last tick of the daemon", "CliffwatchDown", "tick_age_seconds"),
        ("target", "Unmeasured", "CliffwatchUnmeasured", "unmeasured_ratio"),
        ("target", "Self-test", "CliffwatchSelfTestFailed", "detection_ratio"),
        ("target", "Planted faults that were caught", "CliffwatchSelfTestFailed", "detection_ratio"),
        ("target", "Time until a model retires", "CliffwatchModelRetiring", "notice_seconds"),
        ("target", "Models and baselines", "CliffwatchUnmeasured", "identity_age_seconds"),
        ("judge", "Anchors unmeasured", "CliffwatchUnmeasured", "unmeasured_ratio"),
        ("operations", "Last tick", "CliffwatchDown", "tick_age_seconds"),
        ("operations", "Last mail", "CliffwatchEmailFailed", "mail_intervals"),
        ("operations", "Suites with the oldest measurements", "CliffwatchUnmeasured", "run_intervals"),
    ],
)
def test_a_colour_turns_where_the_alert_fires(name: str, title: str, alert: str, limit: str) -> None:
    (panel,) = [one for one in panels(BOARD[name]) if one["title"] == title]
    assert LIMITS[alert, limit] in set(turns(panel["fieldConfig"]))
    rules = yaml.safe_load((ROOT / "alerts" / "rules.yaml").read_text(encoding="utf-8"))
    (expr,) = (rule["expr"] for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == alert)
    assert limit in COMPARED.findall(expr)


def turns(node: Any) -> Iterator[float]:
    """The values at which a panel's colours, and those of its columns, turn."""
    for one in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from turns(one)
    if isinstance(node, dict) and "steps" in node:
        yield from (step["value"] for step in node["steps"])


def test_what_is_counted_is_compared_with_the_daemons_own_limit() -> None:
    """As the alerts are: no number of theirs is written in a query."""
    asked = "\n".join(expr for board in BOARD.values() for expr in expressions(board))
    known = {limit for _, limit in LIMITS}
    ages = {"tick_age_seconds", "asks_nothing_seconds", "waiting_seconds", "mail_intervals"}
    assert set(COMPARED.findall(asked)) == known - ages
    assert not re.search(r"[<>]=? (bool )?(?!0\b)\d", asked)


def test_the_self_tests_that_must_be_caught_are_the_alerts() -> None:
    rules = (ROOT / "alerts" / "rules.yaml").read_text(encoding="utf-8")
    asked = "\n".join(expr for board in BOARD.values() for expr in expressions(board))
    chosen = re.compile(r'fault=~"([^"$]+)"')
    assert set(chosen.findall(asked)) == set(chosen.findall(rules))


def read_again(content: dict[str, Any]) -> Any:
    """What the SDK's own model makes of a dashboard: the same, unless there is something in it that it does not know.

    Unknown keys and wrong types raise nothing; they are gone or changed.
    """
    from grafana_foundation_sdk.models.dashboard import Dashboard  # warns of itself, unless ``dashboards`` was first

    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(content), cls=JSONEncoder))


@pytest.mark.parametrize("name", BOARDS)
def test_grafanas_own_model_reads_it_and_writes_the_same(name: str) -> None:
    assert read_again(BOARD[name]) == BOARD[name]


def test_a_key_that_grafana_does_not_know_would_be_seen() -> None:
    board = json.loads(json.dumps(BOARD["fleet"]))
    board["panels"][0]["colour"] = "red"
    assert read_again(board) != board


@pytest.mark.parametrize("name", BOARDS)
def test_promtool_reads_every_expression(name: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"cliffwatch:query{n}", "expr": substituted(expr)} for n, expr in enumerate(expressions(BOARD[name]))
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": rules}]}))
    assert f"{len(rules)} rules found" in programs.run(
        "promtool", "check", "rules", "--lint-fatal", file.name, cwd=tmp_path
    )


def substituted(expr: str) -> str:
    for variable, value in GRAFANAS.items():
        expr = expr.replace(f"${variable}", value)
    return re.sub(r"\$\w+", ".+", expr)


def findings(board: dict[str, Any]) -> Iterator[str]:
    """The linter of the house: what is wrong with a dashboard, in words."""
    for kind, ids in (("id", [one["id"] for one in board["panels"]]), ("title", [p["title"] for p in panels(board)])):
        if len(set(ids)) < len(ids):
            yield f"two panels have one {kind}"
    if board["editable"] or not board["description"].endswith("?") or not board["uid"]:
        yield "it can be edited, has no question or no uid"
    variables = {one["name"]: one for one in board["templating"]["list"]}
    if list(variables)[:2] != ["datasource", "job"] or variables["web"]["hide"] != 2:
        yield "its variables are not datasource, job, ..., and a hidden web"
    for one in [*list(variables.values())[1:], *annotations(board)]:
        if one["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            yield f"{one['name']} does not read the chosen data source"
    for one in annotations(board):
        if one["expr"].count("{") != one["expr"].count('{job=~"$job"'):
            yield f"{one['name']}: a selector without its job"
    for panel in panels(board):
        yield from (f"{panel['title']}: {words}" for words in _panel_findings(panel))
    yield from _overlaps(board)


def _panel_findings(panel: dict[str, Any]) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    if not panel["title"] or not re.search(r"[.?]$", panel["description"]):
        yield "no title, or a description that is no sentence"
    if defaults.get("unit") not in UNITS:
        yield f"unit {defaults.get('unit')!r}"
    if panel["type"] == "stat" and defaults.get("unit") in ("none", "short") and not _says_its_unit(panel):
        yield "a number of what? its title does not begin with what is counted, and it has no unit"
    if not defaults.get("noValue"):
        yield "no words for no data"
    named = re.findall(r"Runbook: (\w+)", panel["description"])
    if [link["url"] for link in panel["links"]] != [f"${{web:raw}}/runbooks/{name}" for name in named]:
        yield "its links are not its runbooks"
    if panel["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
        yield "it does not read the chosen data source"
    refs = [target["refId"] for target in panel["targets"]]
    if not refs or len(set(refs)) < len(refs):
        yield "no query, or two of one name"
    for target in panel["targets"]:
        yield from _query_findings(panel, target)


def _says_its_unit(panel: dict[str, Any]) -> bool:
    """In its title; or it is a word, by mappings or as the series' name."""
    worded = bool(panel["fieldConfig"]["defaults"].get("mappings")) or panel["options"]["textMode"] == "name"
    return worded or panel["title"].split()[0] in COUNTED


def _query_findings(panel: dict[str, Any], target: dict[str, Any]) -> Iterator[str]:
    expr = target["expr"]
    if target["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
        yield "a query does not read the chosen data source"
    if expr.count("{") != expr.count('{job=~"$job"'):
        yield f"a selector without its job: {expr}"
    for function, window in re.findall(r"\b(rate|increase)\([^\[]*\[([^\]]+)\]", expr):
        if window not in {"rate": ("$__rate_interval",), "increase": ("1d", "$__range")}[function]:
            yield f"{function} over {window}"
    counters = {f"{PREFIX}{spec.name}" for spec in METRICS if spec.kind == "counter"}
    for name in re.findall(r"\bcliffwatch_\w+(?=\{)", expr):
        if name in counters and not re.search(rf"(rate|increase)\({name}\{{", expr):
            yield f"the counter {name} as if it were a gauge"
        if not any(name in (PREFIX + spec.name, f"{PREFIX}{spec.name}_bucket") for spec in METRICS):
            yield f"no such metric: {name}"
    if panel["type"] == "timeseries" and 'target="$target"' not in expr and "target" in _legend(target):
        yield "a line for each target of the fleet"
    if panel["type"] in ("timeseries", "state-timeline") and _legend(target) & UNBOUNDED - {"judge"}:
        yield "a line for each value of an unbounded label"


def _legend(target: dict[str, Any]) -> set[str]:
    return set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))


def _overlaps(board: dict[str, Any]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        at = panel["gridPos"]
        for cell in [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]:
            if cell[0] >= 24 or taken.setdefault(cell, panel["title"]) != panel["title"]:
                yield f"{panel['title']} lies over {taken.get(cell, 'the edge')}"


@pytest.mark.parametrize("name", BOARDS)
def test_the_linter_of_the_house_finds_nothing(name: str) -> None:
    assert list(findings(BOARD[name])) == []


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (("fieldConfig", "defaults", "noValue", ""), "no words for no data"),
        (("fieldConfig", "defaults", "unit", "furlongs"), "unit 'furlongs'"),
        (("targets", 0, "expr", 'rate(cliffwatch_runs_total{job=~"$job"}[5m])'), "rate over 5m"),
        (("targets", 0, "expr", 'sum(cliffwatch_runs_total{job=~"$job"})'), "as if it were a gauge"),
        (("targets", 0, "expr", 'cliffwatch_alarms{job=~"$job"}'), "no such metric"),
        (("targets", 0, "expr", 'cliffwatch_alarm{target="a"}'), "without its job"),
        (("targets", 0, "datasource", {}), "the chosen data source"),
        (("links", []), "not its runbooks"),
        (("fieldConfig", "defaults", "mappings", []), "a number of what?"),
    ],
)
def test_the_linter_does_find(broken: tuple[Any, ...], words: str) -> None:
    board = json.loads(json.dumps(BOARD["operations"]))
    *way, key, value = broken
    place = panels(board)[0]
    for step in way:
        place = place[step]
    place[key] = value
    found = " ".join(findings(board))
    assert words in found


@pytest.mark.parametrize("name", [name for name in BOARDS if annotations(BOARD[name])])
def test_the_linter_does_find_an_annotation_of_every_job(name: str) -> None:
    board = json.loads(json.dumps(BOARD[name]))
    one = annotations(board)[0]
    one["expr"] = one["expr"].replace('job=~"$job", ', "").replace('job=~"$job"', "")
    assert f"{one['name']}: a selector without its job" in list(findings(board))


def urls(node: Any) -> Iterator[str]:
    """Where the links in a panel, or in a whole dashboard, lead."""
    if isinstance(node, dict) and "title" in node and isinstance(node.get("url"), str):
        yield node["url"]
    for one in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from urls(one)


@pytest.mark.parametrize(("name", "panel"), every_panel())
def test_links_lead_somewhere(name: str, panel: dict[str, Any]) -> None:
    for url in urls(panel):
        known = re.match(r"\$\{web:raw\}/(targets/|runbooks/|$)|/d/(\S+?)\?", url)
        assert known, url
        assert known[2] in (None, *UIDS.values())


def test_a_reader_gets_from_the_fleet_to_the_target_to_the_answers_to_the_runbook() -> None:
    from_fleet, from_target = set(urls(BOARD["fleet"])), set(urls(BOARD["target"]))
    chosen = 'var-target=${__data.fields["Target"]}'
    assert any(url.startswith(f"/d/{UIDS['target']}?") and chosen in url for url in from_fleet)
    assert '${web:raw}/targets/${__data.fields["Target"]}/${__data.fields["Signal"]}' in from_fleet
    assert "${web:raw}/targets/$target/${__field.labels.signal}" in from_target
    assert "${web:raw}/runbooks/CliffwatchFineTuneLost" in from_target


def test_named_runbooks_are_those_of_the_alerts() -> None:
    rules = yaml.safe_load((ROOT / "alerts" / "rules.yaml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    named = {
        name for board in BOARD.values() for panel in panels(board)
        for name in re.findall(r"Runbook: (\w+)", panel["description"])
    }  # fmt: skip
    assert named == alerts - {"CliffwatchWatchdog"}


LEFT_OUT = {
    "finding_info", "run_checks_unfinished", "identity_unknown", "retention_last_pass_timestamp_seconds",
    "retention_kept_runs", "pushed_inputs_total", "push_requests_total",
}  # fmt: skip
"""The first is always 1: alert rules read its labels, and a panel has the finding's page behind its links. The second
is nearly always absent: the run's page lists the checks. The third needs nobody: the target's page says why. The
next two need nobody either: `status --json` has the same counts. Of pushed inputs, the run's page has the account, and
their client gets the status."""


def test_every_metric_is_on_a_panel_or_left_out_on_purpose() -> None:
    shown = " ".join(expr for board in BOARD.values() for expr in expressions(board))
    missing = {spec.name for spec in METRICS if PREFIX + spec.name not in shown}
    assert missing == LEFT_OUT
