"""The dashboards: one file for each reader's question, and the JSON that Grafana reads.

``python -m dashboards.build`` writes the JSON; ``python -m dashboards.picture`` draws it from live queries.
"""

import warnings
from typing import Final

# The classic schema on purpose: every Grafana since 10 reads it, and the new one is not everywhere yet.
warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)

UIDS: Final = {name: f"cliffwatch-{name}" for name in ("fleet", "target", "judge", "operations")}
"""Dashboard -> its uid: part of every link to it, so it stays."""
