"""What a baseline's answers must fulfil so that signals can be read, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from monitor.core.records.exchange import Arm


class Condition(StrEnum):
    """What signals need of the answers and of the endpoint."""

    TEXTS = "texts"
    """Answers have a text."""
    TEMPERATURE = "temperature"
    """Temperature 0 has its effect: the same question gets the same answer. Only of suites that are asked at it."""
    LOGPROBS = "logprobs"
    """Answers have the requested log-probabilities. Only of suites that request them."""
    BASE_DIFFERS = "base_differs"
    """The base answers differently than the subject."""


class Holds(StrEnum):
    """Whether a condition holds."""

    HOLDS = "holds"
    PARTLY = "partly"
    """It does not hold for some answers. The signals that need all of them are not read."""
    FAILS = "fails"
    UNKNOWN = "unknown"
    """The answers cannot tell."""


class ConditionReason(StrEnum):
    """Why a condition does not hold."""

    EMPTY = "empty"
    """Answers are empty."""
    NEVER_SENT = "never_sent"
    """The provider's kind never sends the parameter."""
    REJECTED = "rejected"
    """The endpoint rejects the parameter."""
    NOT_REPEATED = "not_repeated"
    """The same question gets different answers."""
    SAMPLED = "sampled"
    """Answers contain tokens that temperature 0 does not choose."""
    NOT_RETURNED = "not_returned"
    """Replies do not contain what was requested."""
    ALIKE = "alike"
    """The base's answers are like the subject's."""


@dataclass(frozen=True, slots=True)
class ConditionState:
    """One condition of one arm's answers."""

    condition: Condition
    arm: Arm
    holds: Holds
    reason: ConditionReason | None = None
    """``None`` if it holds, or if that is unknown."""
    count: int = 0
    """Number of answers, or of pairs of answers, that do not fulfil it."""
    total: int = 0
    signals: tuple[str, ...] = ()
    """Signals that are not read because of it."""
    places: Mapping[str, int] = field(default_factory=dict)
    """For empty answers: field of the reply that contains their text -> number of answers."""
    probes: tuple[str, ...] = ()
    """For empty answers: their probes."""
