"""Numbers on which several surfaces agree."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from monitor.core.records import RunOutcome
from monitor.core.wording import many

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 9464
"""Where a daemon listens that was told nothing else."""

PARTLY: Final = 0.2
"""Share of a run's questions without a usable answer over which its silence says little; ``CliffwatchUnmeasured``
alerts over it, too."""
PERIODS: Final = 2
"""Intervals without a success after which a suite is late; ``CliffwatchUnmeasured`` alerts then, too, and
``CliffwatchEmailFailed`` after so many of the mail's."""
IDENTITY_SECONDS: Final = 2 * 86_400
"""For so long what a target serves may go unread; ``CliffwatchUnmeasured`` alerts then, too."""
RETIRES_SECONDS: Final = 30 * 86_400
"""So long before its day ``CliffwatchModelRetiring`` tells that a model is shut down."""
CAUGHT: Final = 0.9
"""Share of a self-test's trials from which on a fault counts as seen, ``CliffwatchSelfTestFailed`` alerts under it; a
monitor that alarms on more than the rest of its own healthy days is none."""
MAIL_WAITS_SECONDS: Final = 6 * 3600
"""For so long a mail may wait; then ``CliffwatchEmailFailed`` alerts."""
TICK_SECONDS: Final = 300
"""For so long the daemon's clock may stand still; then ``CliffwatchDown`` alerts."""
ENOUGH_DAYS: Final = 7
"""Days that a baseline must span to arm pages: with fewer, its spread from day to day is mostly assumed."""
CAPTURE_DAYS: Final = 14
"""Days that a new baseline had better span: it sees changes a quarter smaller than one of ``ENOUGH_DAYS``."""


class Gap(StrEnum):
    """Why the silence of a suite is no health, the worst first."""

    LOST = "unmeasured"
    """The last run's subject gave no usable answer, whatever others said: the findings are of before."""
    LATE = "late"
    """No run has succeeded for ``PERIODS`` intervals."""
    PARTLY = "partly unmeasured"
    """More than ``PARTLY`` of the last run's questions have no usable answer."""


def gap(outcome: RunOutcome | None, share: float | None, *, late: bool) -> Gap | None:
    """The one rule of commands, pages and mail. ``outcome``, ``share``: of the run that finished last, if any did;
    ``share`` as ``is_partly`` has it, ``late`` as ``is_late``."""
    if outcome is RunOutcome.UNMEASURED:
        return Gap.LOST
    if late:
        return Gap.LATE
    return Gap.PARTLY if is_partly(share) else None


def is_late(success: datetime | None, interval_seconds: float, now: datetime) -> bool:
    """Whether a suite's last success is too long ago; one that never had any is not late, but lost or new."""
    return success is not None and (now - success).total_seconds() > PERIODS * interval_seconds


def is_partly(share: float | None) -> bool:
    """Whether so large a share of a run's questions, 0 to 1, has no usable answer that its silence says little."""
    return share is not None and share > PARTLY


def too_short(days: int, *, at_once: bool) -> str:
    """Why a baseline of so many days does not arm pages, with what would suffice; empty where they are enough."""
    if at_once:
        return (
            f"The baseline was captured at once, so how much days differ is unknown. "
            f"A baseline captured over {ENOUGH_DAYS} days or more arms pages."
        )
    if days < ENOUGH_DAYS:
        return (
            f"The baseline spans {many(days, 'full day')}, too few to know how much days differ. "
            f"{ENOUGH_DAYS} days arm pages; {CAPTURE_DAYS} see changes a quarter smaller."
        )
    return ""
