"""The metrics: what the store holds as a page for Prometheus, and the daemon's own numbers beside it."""

from monitor.report.metrics.process_metrics import Internals, web_url
from monitor.report.metrics.result_metrics import nearest_to_threshold

__all__ = ["Internals", "nearest_to_threshold", "web_url"]
