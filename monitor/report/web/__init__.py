"""The pages, the JSON API and ``/metrics``: one port, read only but for ``POST /-/reload``."""

from monitor.report.web.factory import create_app

__all__ = ["create_app"]
