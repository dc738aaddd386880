"""What graders and detectors say of answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitor.core.records.exchange import Arm, RunOutcome, Severity, TokenLogprob
from monitor.core.records.states import Advice, Cause, FindingState


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
    outcome: RunOutcome
    questions: int
    """Of all arms but the snapshot, the judge's included; 0 where the run ended before anything could be asked."""
    unmeasured: int
    answer_chars: float | None
    judge_score: float | None
    pass_ratio: float | None
    """Share of the answers with checks that pass all of them."""
    refused: int = 0
    """Questions that were not asked because the budget was spent."""
    base_chars: float | None = None
    base_score: float | None = None
    base_pass_ratio: float | None = None
    """The same three of the base's usable answers."""

    @property
    def unmeasured_ratio(self) -> float:
        """Share of the questions that measured nothing, 0 to 1: those without a usable answer, and all of them where
        the subject gave none: what the base says then, nothing is compared with."""
        return 1.0 if self.outcome is RunOutcome.UNMEASURED else self.unmeasured / max(self.questions, 1)


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
    page_threshold_log10: float
    """log10 of the evidence at which the page signals of this suite alarm; see ``detect.policy``."""
    ticket_threshold_log10: float
    """The same for the ticket signals, with the fleet's share in it."""
    baseline_id: int = 0
    baseline_at_once: bool = False
    """The baseline's runs were captured in a row: their slots say nothing about the spread between days."""
    baseline_days: int | None = None
    """The baseline's ``days``; ``None``: each of its slots is a day of its own."""
    temperature: float | None = None
    """What the suite's questions are asked with; ``None`` is the endpoint's default."""
    history: Mapping[str, tuple[Mapping[str, float], ...]] = field(default_factory=dict)
    """Signal -> the scores by channel of each earlier look that still counts, oldest first."""
    raised: Mapping[str, int] = field(default_factory=dict)
    """Signal with an open alarm -> how many looks of its history were up to the one that raised it."""
    confirming: bool = False
    """These answers are a fresh sample, asked to confirm a page."""
    judge_moved: bool = False
    """The judge itself has an open alarm: what rests on its verdicts pages nobody."""


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
    leaning: float | None = None
    """Where the answer stands between the base's (-1) and the baseline's (1); ``None`` where the signal has no say."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One signal's verdict for one run."""

    run_id: int
    target: str
    suite: str
    signal: str
    severity: Severity
    state: FindingState
    """``quiet``, ``look`` or ``alarming``."""
    effect: float
    effect_low: float
    effect_high: float
    """95 % interval of ``effect``, in ``unit``."""
    unit: str
    evidence_log10: float
    """log10 of the running evidence: all looks on this baseline since the signal's last alarm was cleared."""
    evaluation_log10: float
    """log10 of this look's e-value alone."""
    threshold_log10: float
    """The running evidence at which this signal alarms by itself; with others it may alarm below."""
    evaluations: int
    """Looks in the running evidence, this one included."""
    answers_now: int
    answers_baseline: int
    window_start: datetime
    window_end: datetime
    what: str
    """What changed or holds: a clause without its numbers, as it stands in the sentence that ``report.explain`` makes
    of it. Wording, as ``numbers`` and ``caveat`` are: nothing is read out of it."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Further numbers of this signal, by the metric name they are exported under, without prefix."""
    exhibits: tuple[Exhibit, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    """Channel -> this look's score, in standard deviations of independent answers: what later looks add up."""
    recovered: bool = False
    """The looks since the signal's alarm was raised are evidence that the change is over."""
    confirming: bool = False
    """A verdict on a fresh sample that was asked to confirm a page."""
    judge_moved: bool = False
    """It would page, but it rests on the judge's verdicts, and the judge itself moved: a ticket."""
    baseline_id: int = 0
    cause: Cause = Cause.UNKNOWN
    advice: Advice = Advice.NONE
    traffic_share: float | None = None
    """Share of the sampled traffic that is hit, 0 to 1 in steps of 0.01; 1 means all of it. Of ``base_match`` it is at
    least so much. ``None``: the signal cannot tell, or nothing changed."""
    disagrees: bool = False
    """Earlier looks made it move, and this one alone speaks against a change."""
    numbers: str = ""
    """What was measured, in words."""
    caveat: str = ""
    """Sentences for the end, such as why it is a ticket and not a page."""

    @property
    def alarming(self) -> bool:
        """Whether the evidence is over its line."""
        return self.state is FindingState.ALARMING


@dataclass(frozen=True, slots=True)
class FindingNumbers:
    """A finding's numbers and state without its evidence, for the metrics."""

    effect: float
    effect_low: float
    effect_high: float
    measures: Mapping[str, float]
    evidence_log10: float
    threshold_log10: float
    state: FindingState = FindingState.QUIET
    cause: Cause = Cause.UNKNOWN
    advice: Advice = Advice.NONE


@dataclass(frozen=True, slots=True)
class Point:
    """One verdict of a signal as its history shows it; a number that could not be had is NaN."""

    run_id: int
    at: datetime
    """When the verdict was reached."""
    effect: float
    effect_low: float
    effect_high: float
    evidence_log10: float
    threshold_log10: float
    alarming: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """Where one suite of one target stands, in the few facts that a list of a thousand of them shows."""

    target: str
    suite: str
    last_success: datetime | None
    """When a run last finished measured or partial."""
    runs: int
    """Finished runs since the store was made."""
    last_run_id: int | None
    """The run that finished last."""
    last_outcome: RunOutcome | None
    baseline_id: int | None
    """The approved baseline; without one the captured one, or the one being captured."""
    baseline_status: str | None
    outdated: bool
    """The approved baseline is of another version of the suite than the daemon is configured to ask."""
    approved_at: datetime | None = None
    """When that baseline was approved; ``None`` where it is not."""
