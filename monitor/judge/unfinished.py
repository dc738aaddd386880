"""Why a check has no score for an answer."""

from enum import StrEnum
from typing import Final

CPU_SECONDS: Final = 2.0
"""CPU time of one check."""


class Unfinished(StrEnum):
    """Why a check has no score for an answer."""

    TIME = "time"
    MEMORY = "memory"
    UNUSABLE = "unusable"
    """The check itself cannot be applied: its pattern or schema is not valid."""
    AMBIGUOUS = "ambiguous"
    """The answer has several meanings, and not all of them pass or fail."""
    CRASHED = "crashed"
    """The process that ran the check ended unexpectedly."""


class CheckUnfinishedError(Exception):
    """A check could not finish on this answer, so there is no score."""

    def __init__(self, reason: Unfinished, why: str) -> None:
        """
        Args:
            reason: why, as data.
            why: for people.
        """
        super().__init__(why)
        self.reason = reason
