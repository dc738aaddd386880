"""The frozen records that travel through the stages, and nothing else.

Every stage imports this module and no other stage. Times are aware and in UTC; money is in US dollars;
lengths are in characters unless the name says tokens; a score lies in 0 to 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Literal

PRODUCTION_SUITE: Final = "production"
"""The suite name of a run over sampled production inputs; no suite file may take it."""


JUDGE_GRADER: Final = "judge"
"""The grader's name of the LLM judge's scores."""


class Arm(StrEnum):
    """Whom a question is put to."""

    SUBJECT = "subject"
    BASE = "base"
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


@dataclass(frozen=True, slots=True)
class Score:
    """One grader's number for one answer. ``grader``: ``check:<kind>``, ``checks`` (all), ``judge``, ``similarity``."""

    arm: Arm
    probe: str
    replicate: int
    grader: str
    value: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A finished run in a few numbers. Means are over usable subject answers; ``None``: there are none."""

    run_id: int
    questions: int
    """Of all arms, the judge's included."""
    """0 where the run ended before anything could be asked."""
    unmeasured: int
    answer_chars: float | None
    judge_score: float | None
    pass_ratio: float | None
    """Share of the answers with checks that pass all of them."""

    @property
    def unmeasured_ratio(self) -> float:
        """Share of the questions without a usable answer; all of it where none could even be asked."""
        return self.unmeasured / self.questions if self.questions else 1.0


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """An answer as the detectors read it back from the store, with its scores by grader."""

    run_id: int
    slot: datetime
    arm: Arm
    probe: str
    replicate: int
    text: str
    finish_reason: str | None
    refusal: bool
    model: str | None
    fingerprint: str | None
    prompt_tokens: int
    completion_tokens: int
    scores: Mapping[str, float] = field(default_factory=dict)
    logprobs: tuple[TokenLogprob, ...] | None = None
    embedding: tuple[float, ...] | None = None
    """Unit vector of the text's meaning, where embeddings are configured."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that a verdict on one run may depend on: the answers now, the approved baseline's, and the earlier looks.

    ``now`` and ``baseline`` hold the subject's and the base's answers. Findings are a pure function of this.
    """

    run_id: int
    target: str
    suite: str
    now: tuple[GradedAnswer, ...]
    baseline: tuple[GradedAnswer, ...]
    prompts: Mapping[str, str]
    """Probe id -> prompt, for the exhibits."""
    page_line_log10: float
    """log10 of the evidence at which the page signals of this suite alarm; see ``detect.policy``."""
    ticket_line_log10: float
    """The same for the ticket signals, with the fleet's share in it."""
    baseline_id: int = 0
    baseline_at_once: bool = False
    """The baseline's runs were captured in a row: their slots say nothing about the spread between days."""
    temperature: float | None = None
    """What the suite's questions are asked with; ``None`` is the endpoint's default."""
    history: Mapping[str, tuple[Mapping[str, float], ...]] = field(default_factory=dict)
    """Signal -> the scores by channel of each earlier look that still counts, oldest first."""
    raised: Mapping[str, int] = field(default_factory=dict)
    """Signal with an open alarm -> how many looks of its history were up to the one that raised it."""
    confirming: bool = False
    """These answers are a fresh sample, asked to confirm a page."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One probe's answers side by side: the proof that a finding carries."""

    probe: str
    prompt: str
    baseline: str
    now: str
    base: str | None
    weight: float
    """How much this probe speaks for the finding, in the signal's unit; exhibits come strongest first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One signal's verdict for one run."""

    run_id: int
    target: str
    suite: str
    signal: str
    severity: Severity
    alarming: bool
    effect: float
    effect_low: float
    effect_high: float
    """95 % interval of ``effect``, in ``unit``."""
    unit: str
    evidence_log10: float
    """log10 of the running evidence: all looks on this baseline since the signal's last alarm was cleared."""
    look_log10: float
    """log10 of this look's e-value alone."""
    line_log10: float
    """The running evidence at which this signal alarms by itself; with others it may alarm below."""
    looks: int
    """Looks in the running evidence, this one included."""
    answers_now: int
    answers_baseline: int
    window_start: datetime
    window_end: datetime
    summary: str
    """One sentence that an SRE can act on."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Further numbers of this signal, by the metric name they are exported under, without prefix."""
    exhibits: tuple[Exhibit, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    """Channel -> this look's score, in standard deviations of independent answers: what later looks add up."""
    recovered: bool = False
    """The looks since the signal's alarm was raised are evidence that the change is over."""
    confirming: bool = False
    """A verdict on a fresh sample that was asked to confirm a page."""
    baseline_id: int = 0


@dataclass(frozen=True, slots=True)
class FindingNumbers:
    """A finding's numbers without its evidence, for the metrics."""

    effect: float
    effect_low: float
    effect_high: float
    measures: Mapping[str, float]
    evidence_log10: float
    line_log10: float


class BaselineStatus(StrEnum):
    CAPTURING = "capturing"
    CAPTURED = "captured"
    APPROVED = "approved"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Baseline:
    id: int
    target: str
    suite: str
    status: BaselineStatus
    suite_digest: str
    subject_model: str
    base_model: str | None
    starts_at: datetime
    ends_at: datetime
    """End of the capture window; runs whose slot lies in [starts_at, ends_at) belong to it."""
    run_ids: tuple[int, ...]
    answers: int
    """Usable subject answers in it."""
    days: int
    """Distinct days (of the schedule's length) that its runs span."""
    at_once: bool
    approved_by: str | None = None
    approved_why: str | None = None
    approved_at: datetime | None = None
    retired_by: str | None = None
    retired_why: str | None = None
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One row of the run ledger."""

    id: int
    target: str
    suite: str
    slot: datetime
    status: Literal["due", "running", "waiting", "done"]
    outcome: RunOutcome | None
    attempt: int
    fence: int
    lease_until: datetime | None
    next_at: datetime
    """When there is something to do for it again: the slot, then the next batch."""
    seed: int
    suite_digest: str
    finished_at: datetime | None = None
    confirms: int | None = None
    """The run whose page this one, a fresh sample asked at once, is to confirm."""
    starts_at: datetime | None = None
    """When its work began to be due: the slot, or later where the run was made late (a new target, a daemon
    that was down). Its batches are spread over what was left of the period then."""


class AlarmState(StrEnum):
    RAISED = "raised"
    """The line was crossed; a fresh sample is being asked before anybody is woken."""
    CONFIRMED = "confirmed"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A finding that crossed its line, from raised over confirmed to cleared."""

    target: str
    suite: str
    signal: str
    severity: Severity
    """What it wakes: a page that its fresh sample did not confirm is a ticket."""
    state: AlarmState
    raised_at: datetime
    raised_run_id: int
    confirmed_at: datetime | None = None
    confirmed_run_id: int | None = None
    note: str = ""
    """How it was confirmed, or why it was not."""
    cleared_at: datetime | None = None
    cleared_run_id: int | None = None
    """The run whose answers showed the recovery; ``None`` where a person cleared it."""
    cleared_by: str | None = None
    cleared_why: str | None = None
    id: int | None = None
    """Set by the store."""


@dataclass(frozen=True, slots=True)
class VerdictContext:
    """What a run's verdict depended on besides answers, kept so that it can be computed again."""

    run_id: int
    baseline_id: int
    page_line_log10: float
    ticket_line_log10: float
    cliffwatch: str
    """The version that reached it."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """How many copies of stored answers with one fault injected were caught."""

    target: str
    suite: str
    fault: str
    caught: int
    trials: int
    tested_at: datetime
