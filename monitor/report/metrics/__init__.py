"""The metrics: the results in the store and the daemon's own numbers, for Prometheus."""

from monitor.report.metrics.process_metrics import Internals, web_url
from monitor.report.metrics.result_metrics import nearest_to_threshold

__all__ = ["Internals", "nearest_to_threshold", "web_url"]
