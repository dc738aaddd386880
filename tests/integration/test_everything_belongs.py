"""Every alert has rule, unit test, runbook, dashboard panel and evidence link; what is missing is listed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from monitor.report.metrics.names import METRICS, PREFIX

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "alerts"
DESIGN = (
    "FineTuneLost FineTuneBroken ScoreDrop NegativeFlips LengthShift DistributionShift ContractChanged "
    "IdentityMismatch JudgeDrift Unmeasured BudgetExhausted ModelRetiring RollbackNotReady Down Watchdog "
    "NotArmed SelfTestFailed ConfigReloadFailed EmailFailed ClockAhead"
)
WANTED = {f"Cliffwatch{name}" for name in DESIGN.split()}
"""A contract: users route, silence and inhibit by these names."""

RESTS_ON_NO_METRIC_OF_OURS = {"CliffwatchWatchdog": "vector(1)"}
"""Alert -> what it rests on in its place: nothing that a panel could show."""


def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((ALERTS / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def shown() -> set[str]:
    """Every metric that a query of a dashboard's panel reads."""
    metrics: set[str] = set()

    def queries(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from ([value["expr"]] if isinstance(value.get("expr"), str) else [])
            value = list(value.values())
        if isinstance(value, list):
            for inner in value:
                yield from queries(inner)

    for path in sorted((ROOT / "dashboards").glob("*.json")):
        for query in queries(json.loads(path.read_text(encoding="utf-8"))["panels"]):
            metrics |= set(re.findall(rf"\b({PREFIX}[a-z0-9_]+|up)\b", query))
    return metrics


def missing() -> list[str]:
    found: list[str] = []
    known, on_panels = rules(), shown()
    tested = {
        look["alertname"]
        for file in ALERTS.glob("rules*_test.yaml")
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
        for look in test.get("alert_rule_test", ())  # a test of the hold asks for all alerts at once
        if look["exp_alerts"]
    }
    for alert in sorted(WANTED | known.keys()):
        if alert not in known:
            found.append(f"{alert}: no rule")
            continue
        rule = known[alert]
        if alert not in tested:
            found.append(f"{alert}: no promtool test in which it fires")
        if not (ALERTS / "runbooks" / f"{alert}.md").is_file():
            found.append(f"{alert}: no runbook")
        if "://" not in rule["annotations"].get("evidence_url", "") and "$externalURL" not in rule["annotations"].get(
            "evidence_url", ""
        ):
            found.append(f"{alert}: no evidence link")
        if alert not in rule["annotations"].get("runbook_url", ""):
            found.append(f"{alert}: no link to its runbook")
        rests = set(re.findall(rf"\b({PREFIX}[a-z0-9_]+|up)\b", rule["expr"]))
        if not rests and RESTS_ON_NO_METRIC_OF_OURS.get(alert) != rule["expr"]:
            found.append(f"{alert}: rests on no metric")
        found += [f"{alert}: no panel shows {metric}" for metric in sorted(rests - on_panels)]
    return found


def test_every_alert_has_all_that_belongs_to_it() -> None:
    assert missing() == []


def test_every_alert_of_the_contract_is_there_and_no_other() -> None:
    assert set(rules()) == WANTED


def test_every_metric_that_a_panel_shows_exists() -> None:
    known = {PREFIX + spec.name for spec in METRICS}
    histograms = {PREFIX + spec.name for spec in METRICS if spec.kind == "histogram"}
    known |= {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    assert {metric for metric in shown() if metric.startswith(PREFIX)} <= known
