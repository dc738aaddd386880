"""The metrics: what the store holds as a page for Prometheus, and the daemon's own numbers beside it."""

from monitor.export.families import nearest_to_line
from monitor.export.internals import Internals, web_url

__all__ = ["Internals", "nearest_to_line", "web_url"]
