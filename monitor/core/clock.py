"""The time: aware and in UTC, everywhere."""

from datetime import UTC, datetime
from typing import Final

HEARTBEAT: Final = "heartbeat"
"""Key of the daemon's last sign of life among the store's small facts: its time, and ``STOPPED`` after a clean stop."""
STOPPED: Final = " stopped"
SILENT_SECONDS: Final = 180.0
"""After so long without one, no daemon seems to be at work."""


def utcnow() -> datetime:
    """Now. Stages take the time as an argument or a clock; this is the clock where nobody gives another."""
    return datetime.now(UTC)
