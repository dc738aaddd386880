"""Whether a suite was compared with its baseline at all: if not, the absence of alarms does not mean health.

The mail, the pages, ``cliffwatch status`` and the dashboards share this rule. Only ``COMPARED`` may be called quiet.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

from monitor.core.records import BaselineStatus


class Standing(StrEnum):
    """Comparison state of one suite of one target."""

    COMPARED = "compared"
    """A run was measured and compared since the baseline was approved."""
    NOT_MEASURED_YET = "not measured yet"
    """The baseline is approved, but no run was measured since."""
    CAPTURING = "baseline being captured"
    TO_APPROVE = "baseline to approve"
    SUITE_CHANGED = "suite changed"
    """The approved baseline belongs to another version of the suite."""
    NO_BASELINE = "no baseline"
    """No baseline was captured, or all are retired."""


def standing(
    status: str | None, approved_at: datetime | None, last_success: datetime | None, *, outdated: bool
) -> Standing:
    """The standing of a suite.

    Args:
        status: of the approved baseline, or else of the newest one that is not retired; ``None`` without either.
        approved_at: when that baseline was approved; ``None`` if it is not.
        last_success: when a run of the suite last finished measured or partial, if any did.
        outdated: the approved baseline belongs to another version of the suite.
    """
    if status == BaselineStatus.CAPTURING:
        return Standing.CAPTURING
    if status == BaselineStatus.CAPTURED:
        return Standing.TO_APPROVE
    if status != BaselineStatus.APPROVED:
        return Standing.NO_BASELINE
    if outdated:
        return Standing.SUITE_CHANGED
    if approved_at is None or last_success is None or last_success < approved_at:
        return Standing.NOT_MEASURED_YET
    return Standing.COMPARED


def capture_words(days: int, starts_at: datetime, ends_at: datetime, day_seconds: float) -> str:
    """Progress of a capture: ``baseline being captured: day 0 of 3``.

    ``days``: days that its runs span so far. ``day_seconds``: length of a day of the schedule.
    """
    whole = max(1, ceil((ends_at - starts_at) / timedelta(seconds=day_seconds) - 0.5))
    return f"{Standing.CAPTURING}: day {min(days, whole)} of {whole}"
