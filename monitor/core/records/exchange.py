"""Questions, answers and costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Literal

PRODUCTION_SUITE: Final = "production"
"""Suite name of runs over sampled production inputs; reserved."""
FROZEN_SUITE: Final = "production-frozen"
"""Suite name of runs over the frozen sample of production inputs; reserved."""


JUDGE_GRADER: Final = "judge"
"""Grader name of the LLM judge's scores."""

JUDGE_TARGET: Final = "judge"
"""Target name of the judge, which is asked about its anchors; reserved."""


class Arm(StrEnum):
    """Who gets a question."""

    SUBJECT = "subject"
    BASE = "base"
    SNAPSHOT = "snapshot"
    """The version to roll back to. Gets a few probes to check that it still answers; never compared."""
    JUDGE_SUBJECT = "judge-subject"
    """The judge, about the subject's answer to the same probe and replicate."""
    JUDGE_BASE = "judge-base"
    """The judge, about the base's answer to the same probe and replicate."""
    CACHE_CHECK = "cache-check"
    """The subject, about a few probes once more, past the server's prefix cache; see ``runs.cache_check``."""


NOT_COUNTED: Final = (Arm.SNAPSHOT, Arm.CACHE_CHECK)
"""Arms that a run asks in addition: their questions are not among those that the run measures."""


class Severity(StrEnum):
    PAGE = "page"
    TICKET = "ticket"


class RunOutcome(StrEnum):
    """Result of a finished run: all questions answered, some, or none."""

    MEASURED = "measured"
    PARTIAL = "partial"
    UNMEASURED = "unmeasured"


class Reason(StrEnum):
    """Why a question has no usable answer. Such a question never counts as a measurement."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    REJECTED = "rejected"
    """The request was rejected: 400, 404, 422."""
    UNAUTHORIZED = "unauthorized"
    QUOTA = "quota"
    """The quota or credit at the provider is used up; not retried."""
    MALFORMED = "malformed"
    """HTTP 200, but not a valid completion."""
    TRUNCATED = "truncated"
    """max_tokens was used up before any text."""
    UNKNOWN_FINISH = "unknown_finish"
    """The reply ended for a reason that ``core.finish_reasons`` does not know."""
    BUDGET = "budget"
    """The call was not made, because it would have exceeded the target's budget."""
    UNPRICED = "unpriced"
    """The call was not made, because its cost is unknown and the target has a budget in USD."""


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
    """How an answer is sampled. ``None`` is the endpoint's default; parameters that it rejects are not sent."""

    temperature: float | None = None
    max_tokens: int = 256
    logprobs: int = 0
    """Top alternatives to request per token, 0 to 20; 0 requests none."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One prompt with the expected answer."""

    id: str
    messages: tuple[Message, ...]
    reference: str | None = None
    checks: tuple[Check, ...] = ()
    rubric: str | None = None
    """Rubric for the judge; default: the suite's. Without either, answers are not judged."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of a logged request, by their name in Chat Completions, that are sent as they are."""

    @property
    def prompt(self) -> str:
        """The last user message."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), self.messages[-1].content)


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    digest: str
    """sha256 of the suite's canonical content. A changed suite needs a new baseline."""
    probes: tuple[Probe, ...]
    replicates: int = 1
    """Answers per probe and run from the subject."""
    sampling: Sampling = Sampling()
    rubric: str | None = None
    base_replicates: int = 1
    """Answers per probe and run from the base, 1 to ``replicates``."""
    response_schema: Mapping[str, Any] | None = None
    """JSON Schema of every answer, sent if the provider accepts one; for anchors, that of a verdict."""


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt to one arm, replicate k, as it is sent."""

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
    """JSON Schema of the answer, sent if the provider accepts one."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of a logged request, by their name in Chat Completions. Without one of them the question is not asked.
    ``sampling`` has its limit of the answer's length."""
    cache_salt: str | None = None
    """Sent so that the server's prefix cache cannot serve the question; without it the question is not asked."""
    due_at: datetime | None = None

    @property
    def key(self) -> tuple[Arm, str, int]:
        """Identity within its run."""
        return (self.arm, self.probe, self.replicate)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token with its log-probability (natural log) and those of the top alternatives."""

    token: str
    logprob: float
    top: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The raw exchange, kept with the parsed answer. Headers contain no credentials."""

    request: Mapping[str, Any]
    response: Mapping[str, Any] | str | None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """The tokens that a reply counts, reasoning and cached tokens included."""

    prompt: int | None = None
    """``None`` if the reply has no readable count."""
    completion: int | None = None
    hidden: int = 0
    """Tokens of the total that the reply assigns to neither part; included in ``completion`` if that is known."""
    contradicts: bool = False
    """The counts contradict each other, so the call may have cost its maximum."""
    note: str = ""
    """Why the counts are not certain; empty if they are."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A usable answer."""

    text: str
    finish_reason: str | None
    refusal: bool
    model: str | None
    """Model id in the reply, not the requested one."""
    fingerprint: str | None
    request_id: str | None
    prompt_tokens: int
    """0 if the reply has no readable count, as for ``completion_tokens``. ``usage`` tells it apart for the cost."""
    completion_tokens: int
    latency_seconds: float
    asked_at: datetime
    exchange: Exchange
    logprobs: tuple[TokenLogprob, ...] | None = None
    attempts: int = 1
    usd: float = 0.0
    text_in: str | None = None
    """For an empty text: the field of the reply that contains text instead, such as ``reasoning_content``."""
    served: Mapping[str, str] = field(default_factory=dict)
    """What the reply and its headers say about who served it, such as a gateway's deployment or fallback, by name."""
    cached_tokens: int | None = None
    """Prompt tokens that the server read from its prefix cache; ``None`` if it does not say."""
    usage: TokenUsage | None = None
    """How the reply counts its tokens, for the cost. ``None``: the counts above are certain. Not stored."""
    hashed: str | None = None
    """Keyed hash of the text, if only hashes are kept; ``text`` is then a placeholder."""
    chars: int | None = None
    """Length of the text in characters, if only hashes are kept."""


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A question without a usable answer, sent or not."""

    reason: Reason
    detail: str
    asked_at: datetime
    attempts: int = 1
    usd: float = 0.0
    exchange: Exchange | None = None


Outcome = Answer | Unmeasured


@dataclass(frozen=True, slots=True)
class Reservation:
    """Maximum cost of one call, reserved before it is made."""

    target: str
    run_id: int
    day: date
    """UTC day of the budget that it counts against."""
    usd: float
    requests: int
    usd_limit: float | None
    requests_limit: int | None
    """The target's budget for that day; ``None`` is unlimited."""
    expires_at: datetime
    """When its caller has certainly ended. The store then counts it as spent, because the call may have been made."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One outcome to store, with the fence of the run when it was asked."""

    question: Question
    outcome: Outcome
    fence: int
    lease_until: datetime
    reservation_id: int | None = None
    retry_reservation_ids: tuple[int, ...] = ()
    """Reservations of further attempts; settled with the first by the outcome's total ``usd`` and ``attempts``."""


@dataclass(frozen=True, slots=True)
class Spend:
    """What one target has used of one UTC day's budget, and what is reserved for calls in flight."""

    usd: float = 0.0
    requests: int = 0
    reserved_usd: float = 0.0
    reserved_requests: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """All calls so far, by the outcome of their question: ``ok`` or a ``Reason``."""

    target: str
    arm: Arm
    provider: str
    model: str
    outcome: str
    requests: int
    """Attempts, including retries."""
    prompt_tokens: int
    completion_tokens: int
    usd: float


@dataclass(frozen=True, slots=True)
class SuiteProgress:
    """Progress of a target's runs of one suite."""

    target: str
    suite: str
    last_attempt: datetime | None
    """When a worker last started one of its runs."""
    last_success: datetime | None
    """When a run last finished measured or partial."""
    runs: Mapping[RunOutcome, int]
    """Finished runs by outcome, since the store was created."""
