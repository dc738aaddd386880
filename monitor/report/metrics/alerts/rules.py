"""``alerts/rules.yaml`` from the catalogue: ``python -m monitor.report.metrics.alerts.rules``.

The file is committed, so that a Prometheus needs no Python; a test says when it is stale.
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
# severity: page wakes somebody, ticket waits for the morning, none is the dead man's switch. A verdict brings its own
# in the metric's label: a page that its baseline does not arm, or that its fresh sample did not confirm, is a ticket.
#
# The daemon makes the verdicts, at a promised rate of false pages. A rule only carries them on: it has no second
# threshold, and no "for", since a verdict is made once a day or once a week and a scrape only repeats it.
#
# Missing data ends no alert. last_over_time(...[1h]) bridges failed scrapes, restarts and a move to another machine.
# "ALERTS ..." holds what was firing for as long as the daemon cannot be scraped (up == 0), or is gone with its scrape
# target while no other of its job answers (unless on (job) up == 1); CliffwatchDown says so. An alert ends at the
# first scrape that says so, or an hour after its target left the configuration. No rule has keep_firing_for: a hold
# that ends by the clock ends too early or too late for what is looked at once a day or once a week.
#
# Limits are the daemon's own (cliffwatch_alert_limit), so that pages, mail and alerts agree. Only "never succeeded"
# counts in fixed days: an offset takes no metric.
#
# An alert that rests on several signals has no signal in its labels: a second signal that agrees, or the first that
# ends, changes the text and notifies nobody again.
#
# The text of a verdict's alert comes from the labels of cliffwatch_alarm_info, where the daemon says what its evidence
# page says. The recording rules hold the series that was seen last while the daemon is away, for up to a day. They are
# first in the one group of this file, so an alert that fires finds its text in the same evaluation.
#
# A title is the news with the target's name; a summary is the same for every target. Links start with the address that
# http.url gives (cliffwatch:web_info:newest), else with http://<instance>; an alert about a daemon that is away links
# to no page of it.
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
    """What fires the alert; its labels do not change with what its annotations print."""
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
    """An annotation of several lines. YAML joins what is wrapped here with a space; an empty line ends a line."""
    wrapped = (
        textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False, replace_whitespace=False)
        for line in lines
    )
    return f"          {name}: >-\n" + "\n".join(textwrap.indent("\n".join(one) + "\n", " " * 12) for one in wrapped)


if __name__ == "__main__":
    FILE.write_text(rules(), encoding="utf-8")
