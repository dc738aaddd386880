"""What a signal measures, before it is known how surprising that is in the light of the earlier looks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from monitor.core.records import Advice, Cause, Exhibit, FindingState, Severity
from monitor.detect.day_scores import DayScores
from monitor.detect.evidence import PRIOR, Prior, Side

MOVED_LOG10: Final = 1.0
"""Evidence (of one look, or short of the line by as much) from which a finding may not call its numbers unchanged."""


@dataclass(frozen=True)
class Channel:
    """One number a day that a signal watches: today's and each baseline day's, made in the same way.

    Scores are in standard deviations that independent answers would have, about normal, and comparable: what was done
    to today's answers was done to each baseline day's. A signal's evidence is the average over its channels.
    """

    name: str
    score: float
    baseline: tuple[float, ...]
    side: Side
    prior: Prior = PRIOR

    @classmethod
    def of(cls, name: str, scores: DayScores, side: Side) -> "Channel":
        return cls(name, scores.now, scores.baseline, side)


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of one reading; a signal goes by it in what it tells."""

    alarming: bool
    severity: Severity
    """``ticket`` for a page signal whose baseline cannot carry the promised rate, or that is held back by the judge."""
    evidence_log10: float
    evaluation_log10: float
    threshold_log10: float
    evaluations: int
    recovered: bool
    judge_moved: bool
    """A ticket for no other reason than that the judge itself moved."""
    caveat: str
    """A sentence for the end of the summary; empty where there is nothing to warn of, as on a finding that did not
    move."""

    @property
    def moved(self) -> bool:
        """Too much evidence to say that nothing changed, alarm or not."""
        return (
            self.alarming
            or self.evaluation_log10 >= MOVED_LOG10
            or self.evidence_log10 >= self.threshold_log10 - MOVED_LOG10
        )

    @property
    def evaluation_disagrees(self) -> bool:
        """Whether earlier looks made it move and this one alone speaks against a change: its numbers show none."""
        return self.moved and self.evaluation_log10 < 0


@dataclass(frozen=True)
class Told:
    """What a signal says of its reading under a verdict: values, and the words that it alone can choose. Fields as in
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
    """At least one; the first is the one that ``per_score`` is about."""
    effect: tuple[float, float, float]
    """Estimate, low, high: the 95 % interval, widened by ``evidence.likely_spread`` of the first channel."""
    unit: str
    per_score: float
    """How far the effect moves when the first channel's score moves by one: what ``calibrate`` translates by. > 0."""
    answers_now: int
    answers_baseline: int
    tell: Callable[[Verdict], Told]
    """What it says under a verdict, without the verdict's caveat."""
    measures: dict[str, float] = field(default_factory=dict)
    """Further numbers, by the metric name they are exported under, without prefix."""
    exhibits: tuple[Exhibit, ...] = ()
    judged: bool = False
    """It rests on the judge's verdicts."""
    curve: Callable[[], Sequence[tuple[float, float]]] | None = None
    """Where scores do not grow in proportion to the change: (score, change of the effect) from none to all of it, made
    when it is asked for. ``calibrate`` reads it in place of ``per_score``."""
    tolerance: float = 0.0
    """Change of the effect that is let be, where ``per_score`` holds beyond it."""
