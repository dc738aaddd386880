"""The alert rules, their tests, runbooks and routes, through the real promtool and amtool."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.detect import selftest
from monitor.export import SIGNALS
from monitor.metrics import METRICS, PREFIX
from monitor.records import Severity
from tests import programs

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "alerts"
HEADINGS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]

RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((ALERTS / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
TESTS = yaml.safe_load((ALERTS / "rules_test.yaml").read_text(encoding="utf-8"))["tests"]
ALWAYS = "CliffwatchWatchdog"


def signals(alert: str) -> list[str]:
    """The signals whose verdicts the alert carries on."""
    found = re.search(r'cliffwatch_alarm\{signal=~?"([a-z_|]+)"\}', RULES[alert]["expr"])
    return found[1].split("|") if found else []


def severities(alert: str) -> list[str]:
    """Its rule's own, or those that its signals' alarms may have: a page may turn out a ticket."""
    own = RULES[alert].get("labels", {}).get("severity")
    pages = any(SIGNALS[signal] is Severity.PAGE for signal in signals(alert))
    return [own] if own else ["page", "ticket"] if pages else ["ticket"]


def run(program: str, *args: str) -> str:
    return programs.run(program, *args, cwd=ALERTS)


def test_promtool_accepts_the_rules() -> None:
    assert f"{len(RULES)} rules found" in run("promtool", "check", "rules", "--lint-fatal", "rules.yaml")


def test_promtool_passes_the_rules_tests() -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", "rules_test.yaml")


def test_promtool_accepts_the_scrape_config() -> None:
    assert "SUCCESS" in run("promtool", "check", "config", "--lint-fatal", "prometheus.yml")


def test_amtool_accepts_the_routes() -> None:
    assert "3 receivers" in run("amtool", "check-config", "alertmanager.yml")


@pytest.mark.parametrize(("alert", "severity"), [(alert, one) for alert in RULES for one in severities(alert)])
def test_amtool_routes_each_alert_by_its_severity(alert: str, severity: str) -> None:
    receiver = {"page": "page", "ticket": "ticket", "none": "deadman"}[severity]
    labels = [f"alertname={alert}", f"severity={severity}", "target=t"]
    route = ["config", "routes", "test", "--config.file=alertmanager.yml", f"--verify.receivers={receiver}"]
    assert receiver in run("amtool", *route, *labels)


def test_every_signal_has_one_alert_which_takes_the_severity_from_the_verdict() -> None:
    carried = [signal for alert in RULES for signal in signals(alert)]
    assert sorted(carried) == sorted(SIGNALS)
    for alert in RULES:
        if signals(alert):
            assert "labels" not in RULES[alert]
            assert "max by (job, instance, target, signal, severity)" in RULES[alert]["expr"]


def test_the_self_tests_alert_and_command_agree_on_what_must_be_seen() -> None:
    expr = RULES["CliffwatchSelfTestFailed"]["expr"]
    assert f'fault=~"{"|".join(selftest.MUST_SEE)}"' in expr
    assert expr.endswith(f"< {selftest.CAUGHT}")


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_says_what_is_needed_at_3am(alert: str) -> None:
    rule = RULES[alert]
    assert set(rule["annotations"]) == {"summary", "description", "evidence_url", "runbook_url"}
    assert "{{" not in rule["annotations"]["summary"], "alerts are grouped by it"
    assert alert in rule["annotations"]["runbook_url"]
    assert set(severities(alert)) <= {"page", "ticket", "none"}


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_has_a_runbook_of_the_usual_form(alert: str) -> None:
    text = (ALERTS / "runbooks" / f"{alert}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {alert}\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    assert f"Severity: {' or '.join(severities(alert))}." in text


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_is_tested_silent_early_and_firing_later(alert: str) -> None:
    looks = [look for test in TESTS for look in test["alert_rule_test"] if look["alertname"] == alert]
    firing = [bool(look["exp_alerts"]) for look in looks]
    assert any(firing)
    assert alert == ALWAYS or firing[0] is False


def test_the_docs_list_every_alert_with_its_severity() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| \[(\w+)\]\(\.\./alerts/runbooks/\1\.md\) \| ([\w ]+) \|", text, re.MULTILINE))
    assert listed == {alert: " or ".join(severities(alert)) for alert in RULES}


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {path.stem for path in (ALERTS / "runbooks").iterdir()} == set(RULES)


def test_rules_and_runbooks_name_only_metrics_that_exist() -> None:
    known = {PREFIX + spec.name for spec in METRICS}
    for path in [ALERTS / "rules.yaml", ALERTS / "rules_test.yaml", *(ALERTS / "runbooks").iterdir()]:
        named = set(re.findall(r"\bcliffwatch_[a-z0-9_]+", path.read_text(encoding="utf-8")))
        assert named <= known, path.name
