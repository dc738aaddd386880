"""Which targets need attention, and in what order: the one rule of terminal, pages and mail.

Pure functions of plain facts. Each surface tells what it knows of a target as ``Reason``s, and has its own words.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final, NamedTuple

from monitor.core.limits import Gap
from monitor.core.measured import Standing
from monitor.core.records import Alarm, AlarmState, IdentityCheck, Severity


class Need(IntEnum):
    """What a target needs attention for, the most pressing first."""

    PAGE = 0
    """Users notice it."""
    IDENTITY = 1
    """Something else is served than is declared. It pages, but the answers may be as approved."""
    CONFIRMING = 2
    """A page that its fresh sample may not confirm."""
    TICKET = 3
    UNMEASURED = 4
    """The last run brought no usable answer."""
    LATE = 5
    PARTLY = 6
    """Too much of the last run has no usable answer."""
    UNARMED = 7
    """Nothing is compared until somebody approves or captures a baseline."""
    UNSEEN = 8
    """The self-test missed a planted loss."""
    ROLLBACK = 9
    """The version to roll back to is not ready."""
    CAPTURING = 10
    """A baseline is being captured: nothing is compared yet, and nobody has to do anything."""
    NOT_MEASURED_YET = 11
    """A baseline is approved, and nothing was compared with it yet: its silence says nothing."""
    QUIET = 12

    @property
    def somebody(self) -> bool:
        """Whether a person has to act."""
        return self < Need.CAPTURING


NEVER: Final = datetime.max.replace(tzinfo=UTC)


class Reason(NamedTuple):
    """Something that is true of a target. Sorts by need, then the oldest first."""

    need: Need
    since: datetime = NEVER
    """``NEVER`` where that is not known: it stands last among its kind."""


QUIET: Final = Reason(Need.QUIET)
GAPS: Final[Mapping[Gap, Need]] = {Gap.LOST: Need.UNMEASURED, Gap.LATE: Need.LATE, Gap.PARTLY: Need.PARTLY}
STANDINGS: Final[Mapping[Standing, Need]] = {
    Standing.COMPARED: Need.QUIET,
    Standing.NOT_MEASURED_YET: Need.NOT_MEASURED_YET,
    Standing.CAPTURING: Need.CAPTURING,
}
"""The others need somebody to capture or approve a baseline."""


def of_alarm(alarm: Alarm) -> Reason:
    """Of an open alarm."""
    if alarm.severity is not Severity.PAGE:
        return Reason(Need.TICKET, alarm.raised_at)
    return Reason(Need.CONFIRMING if alarm.state is AlarmState.RAISED else Need.PAGE, alarm.raised_at)


def of_check(check: IdentityCheck) -> Reason:
    """Of an identity check that does not match."""
    return Reason(Need.IDENTITY, check.since)


def of_gap(gap: Gap, last_success: datetime | None) -> Reason:
    """Of a suite whose silence is no health."""
    return Reason(GAPS[gap], last_success or NEVER)


def of_standing(standing: Standing) -> Reason:
    """Of how far a suite is with its baseline."""
    return Reason(STANDINGS.get(standing, Need.UNARMED))


def worst(reasons: Iterable[Reason]) -> Reason:
    """The most pressing; ``QUIET`` without any."""
    return min(reasons, default=QUIET)


def ranked(targets: Mapping[str, Collection[Reason]]) -> list[str]:
    """Targets by name, the one that needs attention most first: by need, then the oldest first, then by name."""
    return sorted(targets, key=lambda name: (worst(targets[name]), name))
