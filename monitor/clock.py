"""The time: aware and in UTC, everywhere."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """Now. Stages take the time as an argument or a clock; this is the clock where nobody gives another."""
    return datetime.now(UTC)
