"""``cliffwatch.yaml``: read into frozen settings (``file``), and what each part must be beyond its types."""

from monitor.config.file import Report, check, load, load_to_read, schema

__all__ = ["Report", "check", "load", "load_to_read", "schema"]
