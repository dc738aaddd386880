"""Which targets need attention, and in what order: the one rule of terminal, pages and mail.

Pure functions of plain facts. Each surface tells what it knows of a target as ``Reason``s, and has its own words.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final, NamedTuple

from monitor.core.limits import RETIRES_SECONDS, Gap
from monitor.core.measured import Standing
from monitor.core.records import Alarm, AlarmState, IdentityCheck, Retirement, Rollback, Severity


class Need(IntEnum):
    """What a target needs attention for, the most pressing first."""

    PAGE = 0
    """Users notice it."""
    IDENTITY = 1
    """Something else is served than is declared. It pages, but the answers may be as approved."""
    CONFIRMING = 2
    """A page that a fresh sample or another day may not confirm."""
    TICKET = 3
    UNMEASURED = 4
    """The last run brought no usable answer."""
    LATE = 5
    PARTLY = 6
    """Too much of the last run has no usable answer."""
    SUITE_CHANGED = 7
    """Nothing is compared: the approved baseline is of another version of the suite."""
    TO_APPROVE = 8
    """Nothing is compared until somebody approves the captured baseline."""
    UNARMED = 9
    """Nothing is compared until somebody captures a baseline."""
    UNSEEN = 10
    """The self-test missed a planted loss."""
    RETIRES = 11
    """A model of the target is shut down soon, or was."""
    ROLLBACK = 12
    """The version to roll back to is not ready."""
    BUDGET = 13
    """Questions of the last run were not asked, because the budget was spent."""
    CAPTURING = 14
    """A baseline is being captured: nothing is compared yet, and nobody has to do anything."""
    NOT_MEASURED_YET = 15
    """A baseline is approved, and nothing was compared with it yet: its silence says nothing."""
    QUIET = 16

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
    Standing.SUITE_CHANGED: Need.SUITE_CHANGED,
    Standing.TO_APPROVE: Need.TO_APPROVE,
    Standing.NO_BASELINE: Need.UNARMED,
}
NOT_ARMED: Final = frozenset({Need.SUITE_CHANGED, Need.TO_APPROVE, Need.UNARMED})
"""Somebody has to capture or approve a baseline."""
NOTICE: Final = timedelta(seconds=RETIRES_SECONDS)
"""How long before its shutdown a model needs somebody, as ``CliffwatchModelRetiring`` has it."""


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
    return Reason(STANDINGS[standing])


def of_retirement(retirement: Retirement, now: datetime) -> Reason:
    """Of a model that is to be shut down; ``QUIET`` while that is further away than ``NOTICE``."""
    begins = retirement.retires_at - NOTICE
    return Reason(Need.RETIRES, begins) if begins < now else QUIET


def of_rollback(rollback: Rollback) -> Reason:
    """Of the version to roll back to; ``QUIET`` where it is ready."""
    return QUIET if rollback.ready else Reason(Need.ROLLBACK)


def of_targets(
    retirements: Iterable[Retirement], rollbacks: Iterable[Rollback], now: datetime
) -> dict[str, list[Reason]]:
    """Target -> what it needs attention for that is no suite's: its models, and the version to roll back to."""
    found: dict[str, list[Reason]] = {}
    told = (
        *((one.target, of_retirement(one, now)) for one in retirements),
        *((one.target, of_rollback(one)) for one in rollbacks),
    )
    for target, reason in told:
        if reason.need.somebody:
            found.setdefault(target, []).append(reason)
    return found


def worst(reasons: Iterable[Reason]) -> Reason:
    """The most pressing; ``QUIET`` without any."""
    return min(reasons, default=QUIET)


def ranked(targets: Mapping[str, Collection[Reason]]) -> list[str]:
    """Targets by name, the one that needs attention most first: by need, then the oldest first, then by name."""
    return sorted(targets, key=lambda name: (worst(targets[name]), name))
