"""The pages, the JSON API and ``/metrics``, on one port.

Read-only except for ``POST /-/reload`` and, if ``http.actions`` is configured, the actions of people.
"""

from monitor.report.web.factory import create_app

__all__ = ["create_app"]
