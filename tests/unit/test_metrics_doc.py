"""The table of metrics and the page made from it."""

import re

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
