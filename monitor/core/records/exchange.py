"""What is asked, what came back, and what it cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Literal

PRODUCTION_SUITE: Final = "production"
"""The suite name of a run over sampled production inputs; no suite file may take it."""


JUDGE_GRADER: Final = "judge"
"""The grader's name of the LLM judge's scores."""

JUDGE_TARGET: Final = "judge"
"""The target that the judge itself is, asked about its anchors; no other target may take the name."""

JUDGE_DRIFT: Final = frozenset({"negative_flips"})
"""Signals of ``JUDGE_TARGET`` that read its verdicts: only they say that it no longer agrees with people. The others
(its length, its metadata) are news of an endpoint like any other's."""


class Arm(StrEnum):
    """Whom a question is put to."""

    SUBJECT = "subject"
    BASE = "base"
    SNAPSHOT = "snapshot"
    """The version to roll back to: asked a little, to know that it still answers. Never compared."""
    JUDGE_SUBJECT = "judge-subject"
    """The judge, about the subject's answer to the same probe and replicate."""
    JUDGE_BASE = "judge-base"
    """The judge, about the base's answer to the same probe and replicate."""


class Severity(StrEnum):
    PAGE = "page"
    TICKET = "ticket"


class RunOutcome(StrEnum):
    """How a finished run went: every question answered, some, or none."""

    MEASURED = "measured"
    PARTIAL = "partial"
    UNMEASURED = "unmeasured"


class Reason(StrEnum):
    """Why a question has no usable answer. None of these is ever a reading."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    REJECTED = "rejected"
    """The request itself was refused: 400, 404, 422."""
    UNAUTHORIZED = "unauthorized"
    QUOTA = "quota"
    """The provider's own quota or credit is spent; not retried."""
    MALFORMED = "malformed"
    """HTTP 200, but not a completion that can be read."""
    TRUNCATED = "truncated"
    """Nothing but a cut: our own max_tokens was spent before any text came."""
    BUDGET = "budget"
    """The call was never made: it would have gone over the target's budget."""
    UNPRICED = "unpriced"
    """The call was never made: its cost is unknown and the target has a budget in USD."""


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Check:
    """One deterministic check of a suite: ``kind`` names the function in ``judge.checks.CHECKS``."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn. ``None`` leaves the endpoint's default; what it refuses is left out."""

    temperature: float | None = None
    max_tokens: int = 256
    logprobs: int = 0
    """Top alternatives to ask for per token, 0 to 20; 0 asks for none."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One prompt with what is expected of the answer."""

    id: str
    messages: tuple[Message, ...]
    reference: str | None = None
    checks: tuple[Check, ...] = ()
    rubric: str | None = None
    """The judge's rubric; the suite's when the probe has none; no judging when neither has."""

    @property
    def prompt(self) -> str:
        """What a person would call the prompt: the last user message."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), self.messages[-1].content)


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    digest: str
    """sha256 of the suite's canonical content: a changed suite is another suite for any baseline."""
    probes: tuple[Probe, ...]
    replicates: int = 1
    """Answers asked of the subject for each probe in one run."""
    sampling: Sampling = Sampling()
    rubric: str | None = None
    base_replicates: int = 1
    """The base's share of them, 1 to ``replicates``."""
    response_schema: Mapping[str, Any] | None = None
    """JSON Schema that every answer must have, sent where the provider takes one: the verdict's, of anchors."""


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt to one arm, replicate k, as it will be asked."""

    run_id: int
    target: str
    suite: str
    arm: Arm
    probe: str
    replicate: int
    provider: str
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int | None = None
    response_schema: Mapping[str, Any] | None = None
    """JSON Schema that the answer must have, sent where the provider takes one."""
    due_at: datetime | None = None

    @property
    def key(self) -> tuple[Arm, str, int]:
        """Identity inside its run."""
        return (self.arm, self.probe, self.replicate)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token: its log-probability (natural log) and the top alternatives'."""

    token: str
    logprob: float
    top: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The raw exchange, kept beside the parsed answer. Headers hold no credentials."""

    request: Mapping[str, Any]
    response: Mapping[str, Any] | str | None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, usable."""

    text: str
    finish_reason: str | None
    refusal: bool
    model: str | None
    """The model id that the reply names, not the one that was asked for."""
    fingerprint: str | None
    request_id: str | None
    prompt_tokens: int
    completion_tokens: int
    latency_seconds: float
    asked_at: datetime
    exchange: Exchange
    logprobs: tuple[TokenLogprob, ...] | None = None
    attempts: int = 1
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Asked (or withheld), and no usable answer."""

    reason: Reason
    detail: str
    asked_at: datetime
    attempts: int = 1
    usd: float = 0.0
    exchange: Exchange | None = None


Outcome = Answer | Unmeasured


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one call may cost at most, set aside before it is made."""

    target: str
    run_id: int
    day: date
    """The UTC day whose budget it is taken from."""
    usd: float
    requests: int
    usd_limit: float | None
    requests_limit: int | None
    """The target's budget for that day; ``None`` is unlimited."""
    expires_at: datetime
    """When its caller is surely dead; the store then counts it as spent, since the call may have been made."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One outcome on its way into the store, with the fence under which it was asked."""

    question: Question
    outcome: Outcome
    fence: int
    lease_until: datetime
    reservation_id: int | None = None
    retry_reservation_ids: tuple[int, ...] = ()
    """Reservations of further attempts; settled with the first by the outcome's total ``usd`` and ``attempts``."""


@dataclass(frozen=True, slots=True)
class Spend:
    """What one target has used of one UTC day's budget, and what is set aside for calls in flight."""

    usd: float = 0.0
    requests: int = 0
    reserved_usd: float = 0.0
    reserved_requests: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls counted for ever, by what became of their question: ``ok`` or a ``Reason``."""

    target: str
    arm: Arm
    provider: str
    model: str
    outcome: str
    requests: int
    """Attempts, so retries count."""
    prompt_tokens: int
    completion_tokens: int
    usd: float


@dataclass(frozen=True, slots=True)
class SuiteProgress:
    """How a target's runs of one suite have gone so far."""

    target: str
    suite: str
    last_attempt: datetime | None
    """When a worker last took up one of its runs."""
    last_success: datetime | None
    """When a run last finished measured or partial."""
    runs: Mapping[RunOutcome, int]
    """Finished runs by outcome, since the store was made."""
