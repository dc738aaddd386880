"""Thresholds and defaults that several surfaces share, and the rules that apply them."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from monitor.core.records import RunOutcome
from monitor.core.wording import many

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 9464
"""Default address of the daemon."""

PARTLY: Final = 0.2
"""Share of a run's questions without a usable answer above which its quiet findings mean little.
``CliffwatchUnmeasured`` alerts above it, too."""
PERIODS: Final = 2
"""Intervals without a success after which a suite is late. ``CliffwatchUnmeasured`` alerts then, too, and
``CliffwatchEmailFailed`` after the same number of mail intervals."""
IDENTITY_SECONDS: Final = 2 * 86_400
"""Longest time without an identity check of a target; ``CliffwatchUnmeasured`` alerts after it, too."""
RETIRES_SECONDS: Final = 30 * 86_400
"""``CliffwatchModelRetiring`` alerts this long before a model is shut down."""
CAUGHT: Final = 0.9
"""Share of a self-test's trials from which a fault counts as detected; ``CliffwatchSelfTestFailed`` alerts below it.
The rest, 1 - ``CAUGHT``, is the largest share of its own healthy days on which a usable monitor may alarm."""
MAIL_WAITS_SECONDS: Final = 6 * 3600
"""Longest time that a mail may wait; after it, ``CliffwatchEmailFailed`` alerts."""
TICK_SECONDS: Final = 300
"""Longest time without a tick of the daemon; after it, ``CliffwatchDown`` alerts."""
ASKS_NOTHING_SECONDS: Final = 900
"""Longest time for which the daemon may ask nothing while runs are due; after it, it is not ready, and
``CliffwatchDown`` alerts."""
MOVED_LOG10: Final = 1.0
"""Evidence of one evaluation, or distance to the threshold, from which a finding must not report no change."""
FEW_LIKE_BASE: Final = 0.1
"""Share of answers nearer to the base's than to the approved ones up to which they are said not to be the base's."""
ENOUGH_DAYS: Final = 7
"""Days that a baseline must span to arm pages. With fewer, its spread from day to day is mostly assumed."""
CAPTURE_DAYS: Final = 14
"""Recommended days of a new baseline. It detects changes a quarter smaller than one of ``ENOUGH_DAYS``."""


def asks_nothing_limit(day_seconds: float) -> float:
    """``ASKS_NOTHING_SECONDS``, or less on short days, in seconds."""
    return min(ASKS_NOTHING_SECONDS, max(20.0, day_seconds / 4))


class Gap(StrEnum):
    """Why quiet findings of a suite do not mean that it is healthy, the worst first."""

    LOST = "unmeasured"
    """In the last run, the subject gave no usable answer, whatever the other arms did: the findings are out of date."""
    LATE = "late"
    """No run has succeeded for ``PERIODS`` intervals."""
    PARTLY = "partly unmeasured"
    """More than ``PARTLY`` of the last run's questions have no usable answer."""


def gap(outcome: RunOutcome | None, share: float | None, *, late: bool) -> Gap | None:
    """The gap in a suite's measurements, ``None`` without one: the same rule for commands, pages and mail.

    ``outcome``, ``share``: of the last finished run, if there is one; ``share`` as in ``is_partly``. ``late``: as from
    ``is_late``.
    """
    if outcome is RunOutcome.UNMEASURED:
        return Gap.LOST
    if late:
        return Gap.LATE
    return Gap.PARTLY if is_partly(share) else None


def is_late(success: datetime | None, interval_seconds: float, now: datetime) -> bool:
    """Whether a suite's last success is too long ago. A suite that never succeeded is not late: it is lost or new."""
    return success is not None and (now - success).total_seconds() > PERIODS * interval_seconds


def is_partly(share: float | None) -> bool:
    """Whether the share of a run's questions without a usable answer, 0 to 1, is above ``PARTLY``."""
    return share is not None and share > PARTLY


def too_short(days: int, *, at_once: bool) -> str:
    """Why a baseline of ``days`` full days does not arm pages, and what is enough; empty where it does."""
    if at_once:
        return (
            f"The baseline was captured at once, so the difference between days is unknown. "
            f"A baseline captured over {ENOUGH_DAYS} days or more arms pages."
        )
    if days < ENOUGH_DAYS:
        return (
            f"The baseline spans {many(days, 'full day')}, too few to measure how much days differ. "
            f"{ENOUGH_DAYS} days arm pages. {CAPTURE_DAYS} days detect changes a quarter smaller."
        )
    return ""
