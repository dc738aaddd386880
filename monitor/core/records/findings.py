"""Results of graders and detectors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from monitor.core.records.exchange import Arm, RunOutcome, Severity, TokenLogprob
from monitor.core.records.states import Advice, Cause, FindingState
from monitor.core.texts import is_empty, place_of

SHARE_SUFFIX: Final = ":share"
"""Suffix of the keys of ``Finding.scores`` that are no scores: the share of answers that showed a channel's fact."""
AT: Final = ":at"
"""Key in ``Comparison.history`` of an evaluation's time: its run's slot, seconds since the epoch."""


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
class Unscored:
    """One check that has no score for one answer. ``reason``: a value of ``judge.unfinished.Unfinished``."""

    arm: Arm
    probe: str
    replicate: int
    grader: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A finished run in a few numbers. Means are over usable subject answers; ``None`` without any."""

    run_id: int
    outcome: RunOutcome
    questions: int
    """Questions of all arms but those of ``NOT_COUNTED``, the judge's included; 0 if the run ended before it could
    ask any."""
    unmeasured: int
    answer_chars: float | None
    judge_score: float | None
    pass_ratio: float | None
    """Share of the answers with checks that pass all checks."""
    refused: int = 0
    """Questions that were not sent because the budget was spent."""
    base_chars: float | None = None
    base_score: float | None = None
    base_pass_ratio: float | None = None
    """The same three numbers of the base's usable answers."""
    unfinished: Mapping[str, int] = field(default_factory=dict)
    """Reason -> checks of all arms without a score for this reason."""

    @property
    def unmeasured_ratio(self) -> float:
        """Share of the questions without a measurement, 0 to 1. It is 1 if the subject gave no usable answer, because
        the base's answers are then not compared with anything."""
        return 1.0 if self.outcome is RunOutcome.UNMEASURED else self.unmeasured / max(self.questions, 1)


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """An answer as detectors read it from the store, with its scores by grader."""

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
    """Unit vector of the text's meaning, if embeddings are configured."""
    text_in: str | None = None
    """For an empty text: the field of the reply that contains text instead."""
    served: Mapping[str, str] = field(default_factory=dict)
    """What the reply says about who served it, by name."""
    cached_tokens: int | None = None

    @property
    def empty(self) -> bool:
        """Whether the answer has no text. An empty answer is counted, and never compared as a text."""
        return not self.refusal and not self.has_text

    @property
    def has_text(self) -> bool:
        """Whether it has a text that can be compared. Empty answers have none, and some refusals."""
        return not is_empty(self.text)

    @property
    def place(self) -> str | None:
        """For an answer without text: where its text is, if the reply says so."""
        return place_of(self.text, self.text_in)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that a verdict on one run depends on: its answers, the approved baseline's, and earlier evaluations.

    ``now`` and ``baseline`` have the subject's and the base's answers. Findings are a pure function of this record.
    """

    run_id: int
    target: str
    suite: str
    now: tuple[GradedAnswer, ...]
    baseline: tuple[GradedAnswer, ...]
    prompts: Mapping[str, str]
    """Probe id -> prompt, for the exhibits."""
    page_threshold_log10: float
    """log10 of the evidence at which page signals of this suite alarm; see ``detect.policy``."""
    ticket_threshold_log10: float
    """The same for ticket signals, adjusted for the size of the fleet."""
    baseline_id: int = 0
    baseline_at_once: bool = False
    """The baseline's runs were captured in a row, so that they do not show the spread between days."""
    baseline_days: int | None = None
    """The baseline's ``days``; ``None``: each of its slots is a separate day."""
    temperature: float | None = None
    """Temperature of the suite's questions; ``None`` is the endpoint's default."""
    history: Mapping[str, tuple[Mapping[str, float], ...]] = field(default_factory=dict)
    """Signal -> scores by channel of each earlier evaluation that still counts, oldest first. ``AT``: its time."""
    at: float | None = None
    """Time of this run's slot, seconds since the epoch; ``None``: evaluations are a day apart."""
    day_seconds: float = 86_400.0
    """Length of a day of the schedule, seconds."""
    days_apart: int = 1
    """Days between two runs of the baseline."""
    fleet: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Signal -> weights of ``evidence.WAYS``, with what other suites show of them; without it, ``evidence.PRIOR``."""
    raised: Mapping[str, int] = field(default_factory=dict)
    """Signal with an open alarm -> number of evaluations in its history up to the one that raised it."""
    confirming: bool = False
    """Whether these answers are a fresh sample to confirm a page."""
    judge_moved: bool = False
    """Whether the judge has an open alarm: signals that use its verdicts then do not page."""
    accepted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Part of the contract -> values that a person accepted before this verdict. They count as the baseline's."""
    unread: frozenset[str] = frozenset()
    """Signals that are not read, because the baseline lacks a condition that they need."""
    cache_checks: tuple[GradedAnswer, ...] = ()
    """The run's answers of ``Arm.CACHE_CHECK``; see ``detect.cache_check``."""
    snapshots: tuple[GradedAnswer, ...] = ()
    """Answers of ``Arm.SNAPSHOT`` in this run and in the baseline's; see ``detect.alias_moved``."""
    texts_kept: bool = True
    """Whether the answers' texts are stored. Otherwise ``text`` only has the length of the answer, and is equal for
    equal answers (``core.texts.stand_in``)."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One probe's answers side by side, as evidence for a finding."""

    probe: str
    prompt: str
    baseline: str | None
    """``None`` if the baseline has no answer to this probe, as for production samples."""
    now: str
    base: str | None
    """``None`` if the base was not asked."""
    weight: float
    """How much this probe supports the finding, in the signal's unit; exhibits are sorted by it, strongest first."""
    leaning: float | None = None
    """Position of the answer between the base's (-1) and the baseline's (1); ``None`` if the signal has none."""
    uncached: str | None = None
    """Today's answer past the server's prefix cache, if it differs from ``now``."""


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
    """log10 of the running evidence: all evaluations on this baseline since the signal's last alarm was cleared."""
    evaluation_log10: float
    """log10 of this evaluation's e-value alone."""
    threshold_log10: float
    """log10 of the running evidence at which this signal alarms alone; with others it may alarm below."""
    evaluations: int
    """Evaluations in the running evidence, including this one."""
    answers_now: int
    answers_baseline: int
    window_start: datetime
    window_end: datetime
    what: str
    """What changed or did not: a clause without numbers, as part of the sentence that ``report.explain`` renders. Text
    only, like ``numbers`` and ``caveat``: never parsed."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Further numbers of this signal, by metric name without prefix."""
    exhibits: tuple[Exhibit, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    """Channel -> this evaluation's score, in standard deviations of independent answers. Later evaluations add them."""
    recovered: bool = False
    """Whether the evaluations since the signal's alarm was raised are evidence that the change is over."""
    confirming: bool = False
    """Whether this is a verdict on a fresh sample to confirm a page."""
    judge_moved: bool = False
    """Whether it is a ticket instead of a page because it uses the judge's verdicts and the judge drifted."""
    baseline_id: int = 0
    cause: Cause = Cause.UNKNOWN
    advice: Advice = Advice.NONE
    traffic_share: float | None = None
    """Affected share of the sampled traffic, 0 to 1 in steps of 0.01. For ``base_match`` it is a lower bound. ``None``:
    the signal cannot tell, or nothing changed."""
    ways: tuple[float, ...] = ()
    """How well each of ``evidence.WAYS`` in which days may differ explains the scores of the first channel: ln of the
    likelihood if nothing changed. Other suites borrow from it. Empty in findings from before it was kept."""
    structural: bool = False
    """Whether this evaluation shows what no odd day of a healthy endpoint could give; see ``Reading.structural``."""
    disagrees: bool = False
    """Whether this evaluation alone contradicts the change that earlier evaluations show."""
    numbers: str = ""
    """Text of the measured numbers."""
    caveat: str = ""
    """Closing sentences, such as why it is a ticket and not a page."""

    @property
    def alarming(self) -> bool:
        """Whether the evidence is over its threshold."""
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
    """One verdict in the history of a signal; missing numbers are NaN."""

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
    """State of one suite of one target, with the few facts that long lists show."""

    target: str
    suite: str
    last_success: datetime | None
    """When a run last finished measured or partial."""
    runs: int
    """Finished runs since the store was created."""
    last_run_id: int | None
    """The run that finished last."""
    last_outcome: RunOutcome | None
    baseline_id: int | None
    """The approved baseline, or else the captured one, or the one being captured."""
    baseline_status: str | None
    outdated: bool
    """Whether the approved baseline belongs to another version of the suite than the configured one."""
    approved_at: datetime | None = None
    """When that baseline was approved; ``None`` if it is not."""
