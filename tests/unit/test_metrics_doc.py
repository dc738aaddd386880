"""The table of metrics, the page made from it, and what the exporter knows of the signals."""

import re

from monitor import detect
from monitor.report import metrics as export
from monitor.report.metrics import names as metric_names


def test_names_follow_the_conventions() -> None:
    names = [spec.name for spec in metric_names.METRICS]
    assert len(names) == len(set(names))
    for spec in metric_names.METRICS:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", spec.name)
        assert (spec.kind == "counter") == spec.name.endswith("_total")
        assert spec.help.endswith(".")
        refused = {"run", "run_id", "probe", "slot", "job", "instance"}
        assert not set(spec.labels) & refused, "without bound, or Prometheus's own"


def test_the_exporter_knows_every_signal_and_its_severity() -> None:
    assert dict(export.SIGNALS) == dict(detect.SEVERITIES)
