"""What is likely at fault if a question has no usable answer: one table for mail and alerts."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from monitor.core.records import Reason


class Blame(NamedTuple):
    """What is likely at fault, and why."""

    who: str
    """A clause without a full stop."""
    why: str
    """A sentence."""


OUTAGE: Final = Blame("the endpoint or the connection to it", "It is an outage.")
NOT_LOADED: Final = Blame(
    "the endpoint", "The model or adapter is not loaded there, or has another name, so every request for it is refused."
)
"""Of a server that refuses the requests and does not list the model."""
_CONFIGURATION: Final = "your own configuration"
BLAME: Final[Mapping[str, Blame]] = {
    Reason.TIMEOUT: OUTAGE,
    Reason.CONNECTION: OUTAGE,
    Reason.SERVER_ERROR: OUTAGE,
    Reason.MALFORMED: OUTAGE,
    Reason.UNKNOWN_FINISH: Blame(
        "the endpoint", "Replies end for a reason that this version does not know, so their text is not trusted."
    ),
    Reason.RATE_LIMITED: Blame(
        "the provider's rate limit", "Other clients share it, or requests_per_minute exceeds it."
    ),
    Reason.UNAUTHORIZED: Blame("the key", "The provider refuses it."),
    Reason.QUOTA: Blame("the account", "The provider's quota or credit is spent."),
    Reason.REJECTED: Blame(_CONFIGURATION, "The provider refuses the request: a model's name or a parameter."),
    Reason.TRUNCATED: Blame(_CONFIGURATION, "max_tokens is used up before any text."),
    Reason.BUDGET: Blame(_CONFIGURATION, "The target's budget is spent."),
    Reason.UNPRICED: Blame(_CONFIGURATION, "The model has no price, and unpriced calls are not allowed."),
}
"""Most frequent reason without an answer -> what is likely at fault, and why."""


def ranked(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    """Reasons with their number of questions, most frequent first."""
    return sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
