"""The alert rules, their tests, runbooks, routes and notifications, through the real promtool and amtool."""

import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from monitor import cli
from monitor.core import selftest_results
from monitor.core.records import Reason, Severity
from monitor.core.signals import ALERTS as SIGNAL_ALERTS
from monitor.core.signals import CONTRACT_PARTS, JUDGE_DRIFT
from monitor.core.signals import SEVERITIES as SIGNALS
from monitor.report.explain.blame import BLAME
from monitor.report.metrics.alarm_info import OF_ANY_ENDPOINT
from monitor.report.metrics.alerts import ALERTS as CATALOGUE
from monitor.report.metrics.alerts import LIMITS, AlertSpec, carrier, rules
from monitor.report.metrics.alerts.templates import RECORDED
from monitor.report.metrics.names import METRICS, PREFIX
from tests import programs
from tests.unit.test_claims import FIRST_STEP

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "alerts"
HEADINGS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation", "## Silence"]
TESTS = ["rules_test.yaml", "rules_days_test.yaml", "rules_hold_test.yaml"]

RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((ALERTS / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
LONGEST_LINE = 140
"""Characters of a line in the rules."""
LONGEST_TEMPLATE = 280
"""Characters of what a line of an annotation has in braces."""
ALWAYS = "CliffwatchWatchdog"
CARRIED_AS_TICKETS = "CliffwatchJudgeDrift"
"""It carries verdicts, of the judge's own anchors, and wakes nobody."""
WITHOUT_TARGET = {CARRIED_AS_TICKETS}
"""Their target is no endpoint of the reader's: its name would tell nothing."""
AWAY = {"CliffwatchDown", ALWAYS}
"""They fire while no daemon answers."""
SEVERAL = {"CliffwatchFineTuneLost", "CliffwatchDistributionShift"}
"""Their signals are one alert, without a signal in its labels."""
SINCE = {"CliffwatchBudgetExhausted", "CliffwatchRollbackNotReady", "CliffwatchSelfTestFailed"}
"""Tickets that say since when, as every page does."""
ADAPTER_FIRST = (
    "Check which adapter the endpoint serves and whether it is applied. If it is lost, restore the server, image, "
    "route or adapter that served"
)
"""The first step after a lost fine-tune: one sentence in the notification, on the evidence page and in the runbook."""


def signals(alert: str) -> list[str]:
    """The signals whose verdicts on targets the alert carries on."""
    found = re.search(r'cliffwatch_alarm\{signal=~?"([a-z_|]+)"(?:,target!="judge")?\}', RULES[alert]["expr"])
    return found[1].split("|") if found else []


def severities(alert: str) -> list[str]:
    """Its rule's own, or those that its signals' alarms may have: a page may turn out a ticket."""
    own = RULES[alert].get("labels", {}).get("severity")
    pages = any(SIGNALS[signal] is Severity.PAGE for signal in signals(alert))
    return [own] if own else ["page", "ticket"] if pages else ["ticket"]


def description(alert: str) -> str:
    text: str = RULES[alert]["annotations"]["description"]
    return text


def run(program: str, *args: str) -> str:
    return programs.run(program, *args, cwd=ALERTS)


def test_promtool_accepts_the_rules() -> None:
    assert f"{len(RULES) + len(RECORDED)} rules found" in run(
        "promtool", "check", "rules", "--lint-fatal", "rules.yaml"
    )


@pytest.mark.parametrize("file", TESTS)
def test_promtool_passes_the_rules_tests(file: str) -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", file)


def test_promtool_accepts_the_scrape_config() -> None:
    assert "SUCCESS" in run("promtool", "check", "config", "--lint-fatal", "prometheus.yml")


def test_amtool_accepts_the_routes_and_the_template() -> None:
    said = run("amtool", "check-config", "alertmanager.yml")
    assert "3 receivers" in said
    assert "1 templates" in said


@pytest.mark.parametrize(("alert", "severity"), [(alert, one) for alert in RULES for one in severities(alert)])
def test_amtool_routes_each_alert_by_its_severity(alert: str, severity: str) -> None:
    receiver = {"page": "page", "ticket": "ticket", "none": "deadman"}[severity]
    labels = [f"alertname={alert}", f"severity={severity}", "target=t"]
    route = ["config", "routes", "test", "--config.file=alertmanager.yml", f"--verify.receivers={receiver}"]
    assert receiver in run("amtool", *route, *labels)


def test_no_secret_stands_in_the_example_routes() -> None:
    text = (ALERTS / "alertmanager.yml").read_text(encoding="utf-8")
    secret = re.compile(r"^\s*-?\s*(\w*(?:password|key|token|secret|api_url|credentials)\w*):", re.MULTILINE)
    named = set(secret.findall(text)) | set(re.findall(r"\{(\w*credentials\w*):", text))
    assert named
    assert all(name.endswith("_file") for name in named), named


def test_every_signal_has_one_alert_which_takes_the_severity_from_the_verdict() -> None:
    carried = [signal for alert in RULES for signal in signals(alert)]
    # identity has its own alert on its own metric: it is looked at apart from runs
    assert sorted(carried) == sorted(set(SIGNALS) - {"identity"})
    for alert in RULES:
        if signals(alert):
            assert "labels" not in RULES[alert]
            # one alert for all of its signals: a second that agrees, or the first that ends, is no second notification
            kept = "target, severity" if alert in SEVERAL else "target, signal, severity"
            assert f"max by (job, instance, {kept})" in RULES[alert]["expr"]


def test_the_judges_verdicts_are_one_ticket_and_no_other_alert_reads_them() -> None:
    """The signals of the judge that read no verdict bring the alerts that they bring for any endpoint."""
    (drift,) = re.findall(r'cliffwatch_alarm\{signal="([a-z_|]+)",target="judge"\}', RULES[CARRIED_AS_TICKETS]["expr"])
    assert set(drift.split("|")) == JUDGE_DRIFT
    assert severities(CARRIED_AS_TICKETS) == ["ticket"]
    for alert, rule in RULES.items():
        if signals(alert):
            others = 'target!="judge"' not in rule["expr"]
            assert others == (JUDGE_DRIFT.isdisjoint(signals(alert)) and severities(alert) == ["ticket"])
            assert others == (alert in OF_ANY_ENDPOINT)


def test_the_limits_are_the_products_own() -> None:
    asked = [(alert, limit) for alert in RULES for limit in re.findall(r'limit="(\w+)"', RULES[alert]["expr"])]
    assert sorted(asked) == sorted(LIMITS)
    for alert in {alert for alert, _ in LIMITS}:
        compared = re.sub(r"<= [\d *]+|offset \w+|\[\w+\]|< 0.7|[=!]= [01]|> 0", "", RULES[alert]["expr"])
        assert not re.search(r"[<>*]\s*\d", compared), f"{alert} has a number of its own"


@pytest.mark.parametrize("alert", sorted(RULES.keys() - {ALWAYS, "CliffwatchDown"}))
def test_no_alert_ends_because_the_daemon_cannot_be_scraped(alert: str) -> None:
    fired = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
    assert f"{fired} and on (job, instance) up == 0\n" in RULES[alert]["expr"]
    assert f"{fired} unless on (job) up == 1\n" in RULES[alert]["expr"]
    assert "keep_firing_for" not in RULES[alert], "docs/alerts.md says why"


@pytest.mark.parametrize(
    ("without", "instead", "ended"),
    [
        ("[1h]", "[2m]", "1h50m"),
        ("and on (job, instance) up == 0", "and on (job, instance) up == 7", "3h15m"),
        ("unless on (job) up == 1", "and on (job) up == 7", "4h55m"),
    ],
)
def test_each_part_of_the_hold_is_needed_by_every_alert(without: str, instead: str, ended: str, tmp_path: Path) -> None:
    """Taken out of the rules, none of them is firing at the time that this part is for."""
    rules = (ALERTS / "rules.yaml").read_text(encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(rules.replace(without, instead), encoding="utf-8")
    shutil.copy(ALERTS / "rules_hold_test.yaml", tmp_path)
    with pytest.raises(AssertionError) as failed:
        programs.run("promtool", "test", "rules", "rules_hold_test.yaml", cwd=tmp_path)
    assert re.search(rf"time: {ended},\s+exp:[^\n]+\n\s+got: nil", str(failed.value))
    assert "time: 1h15m" not in str(failed.value), "all of them had fired"


def test_an_alert_prints_what_was_said_last_not_all_that_was_said_in_a_day(tmp_path: Path) -> None:
    """A label that changes makes a new series: taken out of the rules, the choice among those of a day is missed."""
    rules = (ALERTS / "rules.yaml").read_text(encoding="utf-8")
    newest = (
        "max_over_time(timestamp(cliffwatch_alarm_info)[1d:1m])\n                == on (job, instance, alert, target, "
        "severity, check, suite, arm) group_left ()\n"
    )
    assert newest in rules
    any_of_them = newest.replace("==", ">= bool")
    (tmp_path / "rules.yaml").write_text(rules.replace(newest, any_of_them), encoding="utf-8")
    shutil.copy(ALERTS / "rules_test.yaml", tmp_path)
    with pytest.raises(AssertionError) as failed:
        programs.run("promtool", "test", "rules", "rules_test.yaml", cwd=tmp_path)
    assert set(re.findall(r"name: (.*),\n", str(failed.value))) == {
        "CliffwatchFineTuneLost prints what was said last, whichever of its texts that was, while the daemon is away"
    }


def test_the_committed_rules_are_what_the_catalogue_says() -> None:
    assert (ALERTS / "rules.yaml").read_text(encoding="utf-8") == rules.rules(), "make docs"
    assert [spec.name for spec in CATALOGUE] == list(RULES)


def test_the_lines_of_the_rules_are_short() -> None:
    lines = (ALERTS / "rules.yaml").read_text(encoding="utf-8").splitlines()
    assert max(map(len, lines)) <= LONGEST_LINE


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
def test_no_alert_has_logic_of_its_own(spec: AlertSpec) -> None:
    """What is suspected and what to do is the daemon's to decide: a rule prints it, with one short query a line."""
    annotations = RULES[spec.name]["annotations"]
    assert annotations["description"] == "\n".join(spec.description), "as folded as it was written"
    for text in annotations.values():
        for line in text.splitlines():
            code = "".join(re.findall(r"\{\{.*?\}\}", line))
            assert not re.search(r"\b(?:if|eq|ne|lt|le|gt|ge|and|or|not|len)\b", re.sub(r"`.*?`", "", code)), line
            assert line.count("query }}") <= 1, line
            assert len(code) <= LONGEST_TEMPLATE, line
            assert {one for one in re.findall(r"with (\S+)", re.sub(r"`.*?`", "", code)) if one[0] == "$"} <= {
                "$labels.suite", "$labels.instance",
            }, "a label that some of its alerts do not have"  # fmt: skip


@pytest.mark.parametrize("alert", [spec.name for spec in CATALOGUE if spec.signals])
def test_a_verdicts_alert_prints_what_the_daemon_says(alert: str) -> None:
    text = RULES[alert]["annotations"]["description"]
    for label in ("what", "how_bad", "since", "evidence", "cause", "advice"):
        assert f".Labels.{label}" in text
        assert label in next(spec.labels for spec in METRICS if spec.name == "alarm_info")


def test_the_alerts_stand_after_what_they_read_in_one_group() -> None:
    (group,) = yaml.safe_load((ALERTS / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    names = [rule.get("record") for rule in group["rules"]]
    assert names == [*RECORDED, *(None for _ in RULES)]


def test_the_page_of_a_signal_names_the_alert_that_carries_it() -> None:
    for signal in SIGNALS:
        found = carrier(signal, "bot")
        assert found is not None
        assert found.name == SIGNAL_ALERTS[signal]
    assert {one.name for signal in JUDGE_DRIFT if (one := carrier(signal, "judge"))} == {CARRIED_AS_TICKETS}


def test_the_holds_tests_are_of_every_alert() -> None:
    text = (ALERTS / "rules_hold_test.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r'alertname="(\w+)"\}', text)) == RULES.keys() - {ALWAYS, "CliffwatchDown"}


def test_the_self_tests_alert_and_command_agree_on_what_must_be_seen() -> None:
    expr = RULES["CliffwatchSelfTestFailed"]["expr"]
    assert f'fault=~"{"|".join(selftest_results.MUST_SEE)}"' in expr


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_says_what_is_needed_at_3am(alert: str) -> None:
    rule = RULES[alert]
    assert set(rule["annotations"]) == {"title", "summary", "description", "evidence_url", "runbook_url"}
    title = rule["annotations"]["title"]
    assert title.startswith("{{ $labels.target }} ") is ("target" in rule["expr"] and alert not in WITHOUT_TARGET), (
        title
    )
    assert not title.endswith("."), "it stands in a subject, beside its severity"
    summary, text = rule["annotations"]["summary"], description(alert)
    assert "{{" not in summary, "alerts are grouped by it"
    assert summary.count(".") == 1
    assert summary.endswith(".")
    assert "\nDo first: " in text
    if signals(alert) or alert == CARRIED_AS_TICKETS:
        told = ("What changed", "How bad", "Since", "Evidence", "Likely at fault")
        assert all(f"\n{label}: " in text for label in told)
    if "page" in severities(alert) or alert in SINCE:
        assert "\nSince: " in text
    assert "| query }}" in text or alert == ALWAYS, "it has no number"
    runbook = rule["annotations"]["runbook_url"]
    assert re.search("cliffwatch[:_]web_info", runbook)
    if alert in AWAY:  # its page may be down: no link then, and the file's name in the text
        assert runbook.endswith(f"/runbooks/{alert}{{{{ end }}}}")
        assert "{{ else }}" not in runbook
        assert f"runbooks/{alert}.md" in text
    else:
        assert runbook.endswith(f"/runbooks/{alert}")
    assert set(severities(alert)) <= {"page", "ticket", "none"}


def test_what_several_descriptions_share_is_the_same_in_each() -> None:
    lines = {
        "\n".join(RULES[alert]["annotations"]["description"].splitlines()[2:10])
        for alert in RULES
        if signals(alert) or alert in {CARRIED_AS_TICKETS, "CliffwatchIdentityMismatch"}
    }
    assert len(lines) == 1
    assert "Since: " in lines.pop()
    links = {rule["annotations"]["evidence_url"] for alert, rule in RULES.items() if len(signals(alert)) == 1}
    assert len(links) == 1


def test_the_first_step_after_a_lost_fine_tune_is_the_same_everywhere() -> None:
    """The notification has the evidence page's, as ``tests/unit/test_claims.py`` has it; the runbook is by hand."""
    assert f"{ADAPTER_FIRST} " == FIRST_STEP
    runbook = (ALERTS / "runbooks" / "CliffwatchFineTuneLost.md").read_text(encoding="utf-8")
    assert ADAPTER_FIRST in " ".join(runbook.partition("\n## Meaning")[0].split())


@pytest.mark.parametrize("alert", RULES)
def test_numbers_are_said_as_a_person_says_them(alert: str) -> None:
    """No four digits of noise, no suite before the news."""
    text = description(alert)
    assert "humanizePercentage" not in text
    assert "in suite" not in text or not signals(alert)


def test_every_reason_why_nothing_was_measured_has_somebody_to_suspect() -> None:
    assert set(BLAME) == set(Reason)


def test_the_parts_of_the_contract_are_those_of_its_metric() -> None:
    (help_text,) = (spec.help for spec in METRICS if spec.name == "contract_changed")
    assert ", ".join(CONTRACT_PARTS) in help_text


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_has_a_runbook_of_the_usual_form(alert: str) -> None:
    text = (ALERTS / "runbooks" / f"{alert}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {alert}\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    assert f"Severity: {' or '.join(severities(alert))}." in text
    quiet = text.partition("## Silence")[2]
    assert alert == ALWAYS or ("amtool silence add" in quiet and f'alertname="{alert}"' in quiet)
    if signals(alert):
        assert all(
            f"cliffwatch baseline {entry} TARGET" in " ".join(quiet.split())
            for entry in ("retire", "capture", "approve")
        )
    if "page" in severities(alert) and alert != "CliffwatchDown":
        assert all(server in text for server in ("vLLM", "NIM", "OpenAI", "Anthropic")), "how to roll back"


def commands() -> set[str]:
    """Every command as it is typed, ``cliffwatch`` left out."""
    found: set[str] = set()

    def walk(path: str, command: Any) -> None:
        inner = getattr(command, "commands", {})
        for name, one in inner.items():
            walk(f"{path} {name}".strip(), one)
        if not inner:
            found.add(path)

    walk("", typer.main.get_command(cli.app))
    return found


def options(command: str) -> set[str]:
    found: Any = typer.main.get_command(cli.app)
    for name in command.split():
        found = found.commands[name]
    return {option for parameter in found.params for option in [*parameter.opts, *parameter.secondary_opts]}


@pytest.mark.parametrize("alert", RULES)
def test_runbooks_and_descriptions_name_only_commands_that_exist(alert: str) -> None:
    text = (ALERTS / "runbooks" / f"{alert}.md").read_text(encoding="utf-8")
    lines = [" ".join(piece.split()) for piece in re.findall(r"`(cliffwatch [^`]+)`", text)]
    lines += re.findall(r"cliffwatch [a-z][^,.;()\n]*", description(alert))
    known = commands()
    for line in lines:
        words = line.split()[1:]
        command = next((name for name in (" ".join(words[:2]), words[0].strip(",")) if name in known), None)
        assert command is not None, line
        wanted = {word for word in words if word.startswith("--")}
        assert wanted <= options(command), line


@cache
def every_test() -> list[dict[str, Any]]:
    return [test for file in TESTS for test in yaml.safe_load((ALERTS / file).read_text(encoding="utf-8"))["tests"]
            if "alert_rule_test" in test]  # fmt: skip


def evaluations(alert: str) -> list[list[dict[str, Any]]]:
    """What each test of the alert's looks expects, test by test."""
    per_test = [[look for look in test["alert_rule_test"] if look["alertname"] == alert] for test in every_test()]
    return [found for found in per_test if found]


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_is_tested_silent_early_firing_later_and_resolved(alert: str) -> None:
    firing = [[bool(look["exp_alerts"]) for look in found] for found in evaluations(alert)]
    if alert == ALWAYS:
        assert firing == [[True, True]]
        return
    assert all(one[0] is False for one in firing)
    assert any(True in one for one in firing)
    assert any(one[-1] is False and True in one for one in firing), "resolved when the metric says so"


def test_the_docs_list_every_alert_with_its_severity() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| \[(\w+)\]\(\.\./alerts/runbooks/\1\.md\) \| ([\w ]+) \|", text, re.MULTILINE))
    assert listed == {alert: " or ".join(severities(alert)) for alert in RULES}


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {path.stem for path in (ALERTS / "runbooks").iterdir()} == set(RULES)


def test_rules_and_runbooks_name_only_metrics_that_exist() -> None:
    known = {PREFIX + spec.name for spec in METRICS}
    for path in [ALERTS / "rules.yaml", *(ALERTS / file for file in TESTS), *(ALERTS / "runbooks").iterdir()]:
        named = set(re.findall(r"\bcliffwatch_[a-z0-9_]+", path.read_text(encoding="utf-8")))
        assert named <= known, path.name


FIRING: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "CliffwatchFineTuneLost", "severity": "page", "target": "support-bot", "job": "cliffwatch",
               "instance": "cw:9464", "signal": "adapter_loss"},
    "annotations": {"title": "support-bot answers like its base model",
                    "summary": "A fine-tuned endpoint answers like its base model.",
                    "description": "Users get it.\nSince: 2026-11-22 12:00 UTC.\nDo first: <b>look</b> & say.",
                    "evidence_url": "https://cw.example.com/targets/support-bot/adapter_loss",
                    "runbook_url": "https://cw.example.com/runbooks/CliffwatchFineTuneLost"},
    "startsAt": "2026-11-22T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
}  # fmt: skip
SILENCE = (
    "https://am.example.com/#/silences/new?filter=%7Balertname%3D%22CliffwatchFineTuneLost%22%2C%20"
    "instance%3D%22cw%3A9464%22%2C%20target%3D%22support-bot%22%7D"
)


def rendered(template: str, tmp_path: Path, *alerts: dict[str, Any], status: str = "firing", kind: str = "text") -> str:
    data = {"receiver": "x", "status": status, "alerts": alerts, "groupLabels": {}, "commonLabels": {},
            "commonAnnotations": {}, "externalURL": "https://am.example.com"}  # fmt: skip
    (tmp_path / "data.json").write_text(json.dumps(data))
    return run(
        "amtool", "template", "render", "--template.glob=cliffwatch.tmpl", f"--template.data={tmp_path}/data.json",
        f"--template.type={kind}", f'--template.text={{{{ template "{template}" . }}}}',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("template", "kind"), [("cliffwatch.mail.text", "text"), ("cliffwatch.mail.html", "html"),
                           ("cliffwatch.slack.text", "text"), ("cliffwatch.pagerduty.details", "text")],
)  # fmt: skip
def test_a_notification_says_all_and_links_to_evidence_runbook_and_a_silence(
    template: str, kind: str, tmp_path: Path
) -> None:
    text = rendered(template, tmp_path, FIRING, kind=kind)
    for words in (
        "support-bot answers like its base model",
        "Users get it.",
        "<b>Since:</b> 2026-11-22 12:00 UTC.<br>" if kind == "html" else "Since: 2026-11-22 12:00 UTC.\n",
        "Do first:",
        SILENCE,
        FIRING["annotations"]["evidence_url"],
        FIRING["annotations"]["runbook_url"],
    ):
        assert words in text
    assert ("<b>look</b> & say" in text) is (kind == "text"), "in a page it is text, not markup"
    assert ("&lt;b&gt;look&lt;/b&gt; &amp; say" in text) is (kind == "html")
    assert text.index("Runbook") < text.index("Silence"), "apart from what a thumb reaches for"


@pytest.mark.parametrize(
    ("template", "kind"), [("cliffwatch.mail.text", "text"), ("cliffwatch.mail.html", "html"),
                           ("cliffwatch.slack.text", "text"), ("cliffwatch.pagerduty.details", "text")],
)  # fmt: skip
def test_a_notification_has_no_link_to_a_runbook_that_is_down(template: str, kind: str, tmp_path: Path) -> None:
    down = {**FIRING, "annotations": {**FIRING["annotations"], "runbook_url": ""}}
    told = rendered(template, tmp_path, down, kind=kind)
    assert "unbook" not in told
    assert FIRING["annotations"]["evidence_url"] in told


def test_a_title_names_severity_target_and_what_and_how_many(tmp_path: Path) -> None:
    one = "[PAGE] support-bot answers like its base model"
    assert rendered("cliffwatch.title", tmp_path, FIRING) == one
    assert rendered("cliffwatch.title", tmp_path, FIRING, FIRING, FIRING) == f"{one} (and more: 3 in all)"
    ended = {**FIRING, "status": "resolved", "endsAt": "2026-11-22T13:00:00Z"}
    assert rendered("cliffwatch.pagerduty.description", tmp_path, ended, FIRING) == one
    assert rendered("cliffwatch.title", tmp_path, ended, status="resolved") == one.replace("PAGE", "RESOLVED")
    assert "RESOLVED 2026-11-22 13:00 UTC: support-bot answers" in rendered("cliffwatch.mail.text", tmp_path, ended)
    untitled = {**FIRING, "annotations": {"summary": "Of a rule of yours."}}
    assert rendered("cliffwatch.title", tmp_path, untitled) == "[PAGE] support-bot: Of a rule of yours."
    whole = {**untitled, "labels": {"alertname": "CliffwatchDown", "severity": "page", "instance": "cw:9464"}}
    assert rendered("cliffwatch.title", tmp_path, whole) == "[PAGE] Of a rule of yours."
