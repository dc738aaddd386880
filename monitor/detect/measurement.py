"""What a signal measures, before it is weighed with the earlier evaluations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Final

from monitor.core.limits import MOVED_LOG10
from monitor.core.records import SHARE_SUFFIX, Advice, Cause, Exhibit, FindingState, Severity
from monitor.detect.day_scores import DayScores
from monitor.detect.evidence import BOUND, FAR, Side, bounded

STRUCTURAL_SHARE: Final = 0.5
"""Change of an evaluation, as a share of its answers or of the largest possible drop of a mean, from which a signal
that watches a rate is structural. The odd days of healthy endpoints that were measured (a restart, a busy replica, a
batch job) change the result of a few answers. Half of all answers at once means that something else answers."""
STRIKING: Final = 6.0
STRIKING_EACH: Final = 1.5
"""Scores from which a change is structural by its size: the first at least, and the second, a shift of each answer in
its own standard deviations, times the root of the number of answers. An odd day shifts each answer by a fixed amount,
so its score grows with that root too."""


def striking(answers: int) -> float:
    """The size of a day's score from this number of answers from which it is structural."""
    return max(STRIKING, STRIKING_EACH * sqrt(answers))


@dataclass(frozen=True)
class Seen:
    """How often the evaluations since a fact first appeared saw it."""

    evaluations: int
    """Evaluations that saw it."""
    of: int
    """All evaluations from the first to the latest that saw it."""
    clean: int
    """Evaluations after the latest that saw it."""
    share: float
    """Mean share of the answers that showed it, over the ``of`` evaluations."""

    @property
    def rare(self) -> bool:
        """Whether not every answer shows it, so that an evaluation may miss it by chance."""
        return self.share < 1


@dataclass(frozen=True)
class Channel:
    """One number a day that a signal watches: today's and each baseline day's, made in the same way.

    Scores are in standard deviations that independent answers would have, about normal, and comparable: today's
    answers and each baseline day's are treated alike. A signal's evidence is the average over its channels.
    """

    name: str
    score: float
    baseline: tuple[float, ...]
    side: Side
    bound: float = BOUND
    """Largest score that counts of a day."""
    share: float = 0.0
    """For a channel that watches a fact, such as a name in the replies: share of today's answers with a new one."""

    @classmethod
    def of(
        cls, name: str, scores: DayScores, side: Side, answers: int | None = None, bound: float = BOUND
    ) -> "Channel":
        """``answers``: today's, for a channel whose size alone may show that its change is structural."""
        far = answers is not None and abs(scores.now) >= striking(answers)
        return cls(name, scores.now, scores.baseline, side, FAR if far else bound)

    def counted(self, *, structural: bool) -> "Channel":
        """The channel as the evidence takes it: with scores within their bound."""
        bound = max(self.bound, FAR) if structural else self.bound
        days = tuple(bounded(day, bound) for day in self.baseline)
        return replace(self, score=bounded(self.score, bound), baseline=days)


@dataclass(frozen=True)
class Verdict:
    """The result of the evidence for one reading. A signal words its finding accordingly."""

    alarming: bool
    severity: Severity
    """``ticket`` for a page signal whose baseline cannot keep the promised rate, or that is held back by the judge."""
    evidence_log10: float
    evaluation_log10: float
    threshold_log10: float
    evaluations: int
    recovered: bool
    judge_moved: bool
    """A ticket only because the judge itself changed."""
    caveat: str
    """A sentence for the end of the summary; empty without a caveat, such as for a finding that did not move."""
    ways: tuple[float, ...] = ()
    """See ``Finding.ways``."""

    @property
    def moved(self) -> bool:
        """Whether there is too much evidence to report no change, with or without an alarm."""
        return (
            self.alarming
            or self.evaluation_log10 >= MOVED_LOG10
            or self.evidence_log10 >= self.threshold_log10 - MOVED_LOG10
        )

    @property
    def evaluation_disagrees(self) -> bool:
        """Whether earlier evaluations made it move and this one alone is evidence against a change."""
        return self.moved and self.evaluation_log10 < 0


@dataclass(frozen=True)
class Told:
    """The content of a finding from a reading and its verdict: values, and the signal's own words. Fields as in
    ``Finding``."""

    state: FindingState
    what: str
    numbers: str = ""
    cause: Cause = Cause.UNKNOWN
    advice: Advice = Advice.NONE
    traffic_share: float | None = None
    disagrees: bool = False
    caveat: str = ""


@dataclass(frozen=True)
class Reading:
    """One signal's measurement of one run."""

    channels: tuple[Channel, ...]
    """At least one. ``per_score`` refers to the first."""
    effect: tuple[float, float, float]
    """Estimate, low, high: the 95 % interval, widened by ``evidence.likely_spread`` of the first channel."""
    unit: str
    per_score: float
    """How far the effect moves when the first channel's score moves by one, for ``calibrate``. > 0."""
    answers_now: int
    answers_baseline: int
    tell: Callable[[Verdict], Told]
    """The content of the finding for a verdict, without the verdict's caveat."""
    measures: dict[str, float] = field(default_factory=dict)
    """Further numbers, by the name of their exported metric, without prefix."""
    exhibits: tuple[Exhibit, ...] = ()
    judged: bool = False
    """It depends on the judge's verdicts."""
    structural: bool = False
    """It shows what no odd day of a healthy endpoint could give: answers that are the base's, or a change of at least
    ``STRUCTURAL_SHARE``. A page of such an evaluation is confirmed by a fresh sample at once, other pages on another
    day. Its score has a wider bound."""
    curve: Callable[[], Sequence[tuple[float, float]]] | None = None
    """If scores are not proportional to the change: points (score, change of the effect) from no change to the whole
    change, computed on call. ``calibrate`` uses it instead of ``per_score``."""
    tolerance: float = 0.0
    """Change of the effect that is ignored; ``per_score`` applies beyond it."""

    def counted(self) -> "Reading":
        """The reading as the evidence takes it; see ``Channel.counted``. Repeating it changes nothing."""
        return replace(self, channels=tuple(one.counted(structural=self.structural) for one in self.channels))

    @property
    def scores(self) -> dict[str, float]:
        """What later evaluations need of this one, as ``Finding.scores``."""
        channels = self.counted().channels
        shares = {one.name + SHARE_SUFFIX: one.share for one in channels if one.share}
        return {one.name: one.score for one in channels} | shares
