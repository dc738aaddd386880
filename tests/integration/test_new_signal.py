"""A signal is one file and one record: one that is added in a copy of the source is on every surface."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from monitor.report.metrics.alerts import ALERTS

ROOT = Path(__file__).parents[2]

MODULE = '''
"""``echoes``: answers that only repeat the question."""

from monitor.core.records import FindingState
from monitor.detect.common import means, sample
from monitor.detect.measurement import Channel, Reading, Told
from monitor.detect.day_scores import day_scores


def measure(comparison):
    found = sample(comparison, lambda one: float(one.text.startswith("no idea about")))
    if found is None:
        return None
    now, then = means(found)
    return Reading(
        channels=(Channel.of("share", day_scores(found, tolerance=0.05), "rise"),),
        effect=(now - then, now - then - 0.1, now - then + 0.1),
        unit="share of answers",
        per_score=0.1,
        answers_now=int(found.now.sum()),
        answers_baseline=int((~found.now).sum()),
        tell=lambda verdict: Told(
            FindingState.ALARMING if verdict.alarming else FindingState.QUIET,
            f"Answers of {comparison.target} echo the question",
            f"{now:.0%} of them do",
        ),
        measures={"echo_ratio": now},
        structural=now - then >= 0.5,
    )
'''

RECORD = """
    SignalSpec(
        name="echoes",
        title="Echoing answers",
        severity=Severity.PAGE,
        about="Answers only repeat the question.",
        clause="echoes its users",
        needs="answers that can echo",
        effect=Effect(Scale.POINTS, "+z.0%", "of the answers echo", "echoing answers"),
        alert="CliffwatchLengthShift",
        graded_by=frozenset({Grade.CHECKS}),
        measures=(Measure("echo_ratio", "Share of answers that repeat the question."),),
    ),
"""

HEAD = "CATALOGUE: Final[tuple[SignalSpec, ...]] = ("


def test_one_file_and_one_record_are_a_signal(armed_folder: Path) -> None:
    copy = armed_folder / "source"
    for name in ("monitor", "dashboards", "alerts", "docs", "probes"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("*.pyc.*"))  # being written
    (copy / "monitor" / "detect" / "echoes.py").write_text(MODULE)
    catalogue = copy / "monitor" / "core" / "signals.py"
    before = catalogue.read_text()
    assert before.count(HEAD) == 1
    catalogue.write_text(before.replace(HEAD, HEAD + RECORD))
    done = subprocess.run(
        [sys.executable, "-m", "tests.new_signal", str(armed_folder)],
        cwd=copy, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads((armed_folder / "seen.json").read_text())
    assert seen["code"] == str(copy / "monitor")
    alarm = 'cliffwatch_alarm{target="bot",signal="echoes",severity="page"} 1.0'
    assert alarm in seen["metrics"]
    assert 'cliffwatch_effect{target="bot",suite="facts",signal="echoes"} 1.0' in seen["metrics"]
    assert 'cliffwatch_echo_ratio{target="bot",suite="facts"} 1.0' in seen["metrics"]
    assert "Echoing answers" in seen["page"]
    assert "of the answers echo" in seen["page"]
    assert "runbooks/CliffwatchLengthShift" in seen["page"]
    assert "bot echoes its users" in seen["subject"]
    assert "Echoing answers" in seen["mail"]
    assert seen["charts"]["echoes"].startswith("Echoing answers from ")
    assert_an_alert_carries_it(seen)
    assert all("Echoing answers" in one for one in seen["dashboards"].values())
    assert "echoing answers" in seen["dashboards"]["target"]
    assert "| `echoes` | Echoing answers | Answers only repeat the question. | page | " in seen["docs"]["signals.md"]
    assert "`cliffwatch_echo_ratio`" in seen["docs"]["metrics.md"]
    assert "echoes" in {one["signal"] for one in seen["calibrate"][0]["sights"]}
    assert any("echoes" in one for one in seen["check"]["warnings"])


def assert_an_alert_carries_it(seen: dict[str, Any]) -> None:
    """Its record names the alert: the rule reads its alarms, and no alert's labels change by that."""
    groups = yaml.safe_load(seen["rules"])["groups"]
    (rule,) = (one for group in groups for one in group["rules"] if one.get("alert") == "CliffwatchLengthShift")
    assert 'cliffwatch_alarm{signal=~"echoes|length"}' in rule["expr"]
    assert seen["carriers"] == {"echoes": "CliffwatchLengthShift", "length": "CliffwatchLengthShift"}
    assert seen["labels"] == {one.name: list(one.by) for one in ALERTS if one.signals}
    info = 'cliffwatch_alarm_info{alert="CliffwatchLengthShift",target="bot",severity="page",signal="echoes",'
    assert info in seen["metrics"]
