"""The account of a sample of production inputs: what was read, what was left out, why, and where."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

EXAMPLES: Final = 3
"""Most places of left-out requests that an account keeps for one reason."""


class LeftOut(StrEnum):
    """Classes of requests that a sample does not ask."""

    OUTSIDE = "outside"
    """Not a request that the model answered in the window of the run."""
    UNSUPPORTED = "unsupported"
    """Text alone cannot repeat the request."""
    MALFORMED = "malformed"
    """No request can be read."""
    TRUNCATED = "truncated"
    """A logger cut the request."""


class LeftOutReason(StrEnum):
    """Why requests are left out."""

    BEFORE = "before"
    AFTER = "after"
    FUTURE = "future"
    OTHER_CALL = "other_call"
    CACHE_HIT = "cache_hit"
    FAILED = "failed"
    TOOL_CALLS = "tool_calls"
    TOOL_RESULTS = "tool_results"
    TOOLS_OFFERED = "tools_offered"
    MEDIA = "media"
    OTHER_CONTENT = "other_content"
    STATE_ELSEWHERE = "state_elsewhere"
    PARAMETERS = "parameters"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    NOT_A_ROW = "not_a_row"
    LINE_TOO_LONG = "line_too_long"
    DAMAGED = "damaged"
    NO_TIME = "no_time"
    NO_MESSAGES = "no_messages"
    NO_USER_MESSAGE = "no_user_message"
    UNKNOWN_ROLE = "unknown_role"
    BAD_CONTENT = "bad_content"
    NOT_STORED = "not_stored"
    PLACEHOLDER = "placeholder"
    SERIALISED = "serialised"
    MARKER = "marker"
    CUT_SHORT = "cut_short"


class UnreadReason(StrEnum):
    """Why files are not read, or not read to their end."""

    ANOTHER_NAME = "another_name"
    """It shares its stem with a file that is read, but its name is not that of a rotated file."""
    UNKNOWN_FORMAT = "unknown_format"
    """It is compressed or packed in a form that cannot be read."""
    NO_ACCESS = "no_access"
    TOO_MANY_FILES = "too_many_files"
    """The listing reached its limit of files, entries or depth."""
    TOO_LARGE = "too_large"
    """Decompression reached its limit of bytes, or its limit of the ratio."""


CLASS_OF: Final[dict[LeftOutReason, LeftOut]] = {
    LeftOutReason.BEFORE: LeftOut.OUTSIDE,
    LeftOutReason.AFTER: LeftOut.OUTSIDE,
    LeftOutReason.FUTURE: LeftOut.OUTSIDE,
    LeftOutReason.OTHER_CALL: LeftOut.OUTSIDE,
    LeftOutReason.CACHE_HIT: LeftOut.OUTSIDE,
    LeftOutReason.FAILED: LeftOut.OUTSIDE,
    LeftOutReason.TOOL_CALLS: LeftOut.UNSUPPORTED,
    LeftOutReason.TOOL_RESULTS: LeftOut.UNSUPPORTED,
    LeftOutReason.TOOLS_OFFERED: LeftOut.UNSUPPORTED,
    LeftOutReason.MEDIA: LeftOut.UNSUPPORTED,
    LeftOutReason.OTHER_CONTENT: LeftOut.UNSUPPORTED,
    LeftOutReason.STATE_ELSEWHERE: LeftOut.UNSUPPORTED,
    LeftOutReason.PARAMETERS: LeftOut.UNSUPPORTED,
    LeftOutReason.MARKER: LeftOut.TRUNCATED,
    LeftOutReason.CUT_SHORT: LeftOut.TRUNCATED,
}
"""Reason -> its class, for all reasons but those of ``LeftOut.MALFORMED``."""


def class_of(reason: LeftOutReason) -> LeftOut:
    return CLASS_OF.get(reason, LeftOut.MALFORMED)


@dataclass(frozen=True, slots=True)
class LeftOutCount:
    """The requests that are left out for one reason."""

    left_out: LeftOut
    reason: LeftOutReason
    count: int
    place: str
    """File and line of the first one."""
    detail: str
    """What was found at ``place``. Never a text of the request."""
    also: tuple[str, ...] = ()
    """File and line of the next ones, at most ``EXAMPLES`` with the first."""


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """Files that are not read for one reason."""

    reason: UnreadReason
    count: int
    names: tuple[str, ...]
    """The first few of them."""
    detail: str
    """What was found, or the limit that was reached."""


@dataclass(frozen=True, slots=True)
class SampleAccount:
    """One sample.

    ``lines = filtered + outside + malformed + read`` and
    ``read = unsupported + truncated + duplicates + not_drawn + kept``.
    """

    files: int = 0
    """Number of files that were read."""
    lines: int = 0
    """Number of logged requests, whether they can be read or not. A damaged file counts as one."""
    filtered: int = 0
    """Requests that do not match ``where``."""
    outside: int = 0
    malformed: int = 0
    read: int = 0
    """Requests in the window that match ``where``."""
    unsupported: int = 0
    truncated: int = 0
    duplicates: int = 0
    """Requests that repeat a kept input."""
    not_drawn: int = 0
    """Requests that can be asked and were not drawn."""
    kept: int = 0
    """Distinct inputs to ask."""
    same: int = 0
    """Requests with the most frequent text, placeholders included; exact unless there are thousands of texts."""
    reasons: tuple[LeftOutCount, ...] = ()
    """By class, then the most frequent first."""
    unread: tuple[UnreadFile, ...] = ()
    problem: str = ""
    """Why the source could not be read at all."""

    @property
    def considered(self) -> int:
        """Requests that a sample of the window should represent."""
        return self.read + self.malformed

    @property
    def left_out(self) -> int:
        """Of ``considered``, the requests that cannot be asked."""
        return self.unsupported + self.truncated + self.malformed

    @property
    def left_out_ratio(self) -> float:
        """Share of ``considered`` that cannot be asked, 0 to 1. 0 if there were no requests."""
        return self.left_out / self.considered if self.considered else 0.0
