"""The time, always timezone-aware and in UTC."""

from datetime import UTC, datetime
from typing import Final

HEARTBEAT: Final = "heartbeat"
"""Key of the daemon's heartbeat in the store's state: its time, followed by ``STOPPED`` after a clean stop."""
STORE_HOLDER: Final = "daemon"
"""Key of the process in the store's state that holds the store; see ``daemon.sole``."""
STOPPED: Final = " stopped"
SILENT_SECONDS: Final = 180.0
"""Age of the heartbeat, in seconds, after which no daemon is assumed to run."""


def utcnow() -> datetime:
    """Returns the current time. Stages take the time or a clock as an argument; this is the default clock."""
    return datetime.now(UTC)
