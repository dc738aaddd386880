"""The dashboards: one Python file per question of a reader, and the JSON for Grafana.

``python -m dashboards.build`` writes the JSON; ``python -m dashboards.picture`` draws it from live queries.
"""

import warnings
from typing import Final

# Uses the classic schema: every Grafana since 10 reads it, and the new one is not widespread yet.
warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)

UIDS: Final = {name: f"cliffwatch-{name}" for name in ("fleet", "target", "judge", "operations")}
"""Dashboard -> its uid. It never changes, because it is part of every link."""
