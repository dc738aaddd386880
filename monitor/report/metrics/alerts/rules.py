"""Generates ``alerts/rules.yaml`` from the catalogue: ``python -m monitor.report.metrics.alerts.rules``.

The file is committed, so that Prometheus needs no Python. A test fails when the file is out of date.
"""

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from monitor.report.metrics.alerts import ALERTS, AlertSpec
from monitor.report.metrics.alerts.templates import RECORDED, WEB

FILE: Final = Path(__file__).resolve().parents[4] / "alerts" / "rules.yaml"

_WIDTH: Final = 106
"""Characters of a wrapped line without its indent."""

_HEAD: Final = """\
# Alert rules of Cliffwatch, for Prometheus >= 2.42. Written by `make docs` from monitor/report/metrics/alerts;
# do not edit. Each rule has a runbook in runbooks/ and tests in rules_test.yaml.
#
# severity: a page wakes a person, a ticket waits for the morning, none is the dead man's switch. The severity of a
# verdict comes from the metric's label: a page that its baseline does not arm, or that was not confirmed, is a
# ticket.
#
# The daemon makes the verdicts, at a promised rate of false pages. The rules only pass them on. They have no threshold
# of their own and no "for", because a verdict is made once a day or once a week and a scrape only repeats it.
#
# Missing data does not end an alert. last_over_time(...[1h]) bridges failed scrapes, restarts and a move to another
# machine. "ALERTS ..." keeps an alert firing while the daemon cannot be scraped (up == 0), or while its scrape target
# is gone and no other instance of its job answers (unless on (job) up == 1); CliffwatchDown fires then. An alert ends
# at the first scrape without the problem, or an hour after its target left the configuration. No rule has
# keep_firing_for: any fixed time is too short or too long for evaluations that run once a day or once a week.
#
# Limits come from the daemon (cliffwatch_alert_limit), so that pages, mail and alerts agree. Only "never succeeded"
# uses fixed days, because an offset cannot be a metric.
#
# An alert that covers several signals has no signal in its labels. When a second signal agrees, or the first one ends,
# the text changes without a new notification.
#
# The text of a verdict's alert comes from the labels of cliffwatch_alarm_info, in the words of the evidence page. Its
# value is the time when the change began. While the daemon is unavailable, the recording rules keep the last known
# series, for up to a day. They come first in the one group of this file, so an alert that fires finds its text in the
# same evaluation.
#
# A title names the target; a summary is the same for every target. Links start with http.url
# (cliffwatch:web_info:newest), or with http://<instance>. Alerts about an unavailable daemon do not link to its pages.
groups:
  - name: cliffwatch
    rules:
"""


def rules() -> str:
    """The whole file."""
    recorded = (f"      - record: {name}\n        expr: {_block(expr)}" for name, expr in RECORDED.items())
    return _HEAD + "\n".join((*recorded, *map(_rule, ALERTS)))


def _rule(spec: AlertSpec) -> str:
    head = "".join(f"      # {line}\n" for line in textwrap.wrap(spec.comment, 112))
    head += f"      - alert: {spec.name}\n        expr: "
    body = _block(expression(spec)) if "\n" in expression(spec) else f"{spec.when}\n"
    wait = f"        for: {spec.wait}\n" if spec.wait else ""
    label = f"        labels:\n          severity: {spec.severity}\n" if spec.severity else ""
    return head + body + wait + label + "        annotations:\n" + "".join(_annotations(spec))


def expression(spec: AlertSpec) -> str:
    """The PromQL of the alert. Its labels do not depend on the text of its annotations."""
    if not spec.held:
        return spec.when
    fired = f'ALERTS{{alertname="{spec.name}",alertstate="firing"}}'
    held = f"or\n{fired} and on (job, instance) up == 0\nor\n{fired} unless on (job) up == 1"
    inner = textwrap.indent(f"{spec.when}\n{held}", "  ")
    return f"max by ({', '.join(('job', 'instance', *spec.by))}) (\n{inner}\n)"


def _block(expr: str) -> str:
    return f"|\n{textwrap.indent(expr, ' ' * 10)}\n"


def _annotations(spec: AlertSpec) -> Iterator[str]:
    yield f"          title: '{spec.title}'\n"
    yield f"          summary: {spec.summary}\n"
    yield _folded("description", spec.description)
    yield _folded("evidence_url", spec.evidence.splitlines())
    yield _folded("runbook_url", [spec.runbook or f"{WEB}/runbooks/{spec.name}"])


def _folded(name: str, lines: Iterable[str]) -> str:
    """An annotation of several lines. YAML joins wrapped lines with a space; an empty line ends a line."""
    wrapped = (
        textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False, replace_whitespace=False)
        for line in lines
    )
    return f"          {name}: >-\n" + "\n".join(textwrap.indent("\n".join(one) + "\n", " " * 12) for one in wrapped)


if __name__ == "__main__":
    FILE.write_text(rules(), encoding="utf-8")
