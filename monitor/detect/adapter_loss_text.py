"""What a finding of ``adapter_loss`` says."""

from dataclasses import dataclass
from typing import Final

from monitor.core.records import Advice, Cause, FindingState
from monitor.detect.common import alarming, no_longer, percent, quiet, quiet_but_moved
from monitor.detect.measurement import Told, Verdict

TOLERANCE: Final = 0.05
"""Share of the way to the base that is no evidence: one near tie in 24 that stays flipped must not lead to a page."""
NOT_NEARER: Final = "Answers are not clearly nearer to the base's than approved"
FAR_OFF: Final = 0.5
"""An effect below this is never reported as unchanged, however wide its interval."""


@dataclass(frozen=True)
class Measured:
    """The measured values from which the finding is worded."""

    target: str
    effect: tuple[float, float, float]
    share: tuple[float, float, float]
    match: float
    total: int
    nearer: bool
    shared: bool

    def tell(self, verdict: Verdict) -> Told:
        effect = self.effect
        if verdict.alarming:
            return self._alarm(verdict)
        if not verdict.moved and effect[2] >= 1 - TOLERANCE and effect[0] >= FAR_OFF:
            return quiet(NOT_NEARER, self.whole())
        if self.shared:
            what = f"answers of {self.target} and of its base both moved, and not toward each other"
            return self._no_loss(what, Cause.SHARED_CHANGE, Advice.CHECK_WHAT_BOTH_SHARE)
        if verdict.evaluation_disagrees:
            return self._no_longer(verdict)
        if self.nearer or verdict.moved:
            what = f"answers of {self.target} moved toward its base model"
            return quiet_but_moved(what, self._part(), Cause.ADAPTER_LOST, percent(self.share[0]))
        what = f"answers of {self.target} moved away from the approved ones, but not toward the base"
        return self._no_loss(what, Cause.NOT_ADAPTER_LOSS, Advice.READ_ANSWERS)

    def _no_loss(self, what: str, cause: Cause, advice: Advice) -> Told:
        return Told(FindingState.LOOK, what, self.whole(), cause, advice)

    def _alarm(self, verdict: Verdict) -> Told:
        """With one interval: of the effect, or, where not all answers come from the base, of the share that does."""
        if verdict.evaluation_disagrees:
            return self._no_longer(verdict)
        whole = round(100 * self.share[0]) >= 100
        numbers, share = (self.whole(), self._all()) if whole else (self._part(), percent(self.share[0]))
        part, advice = "", Advice.CHECK_ADAPTER
        if self.share[2] < 1:
            part, advice = " on part of the traffic", Advice.CHECK_EVERY_REPLICA
        what = f"{self.target} answers like its base model{part}"
        return alarming(what, numbers, advice, Cause.ADAPTER_LOST, share)

    def _no_longer(self, verdict: Verdict) -> Told:
        what = f"{self.target} lost its fine-tune or part of it"
        advice = Advice.CHECK_EVERY_REPLICA
        return no_longer(what, self.whole(), verdict, advice, Cause.ADAPTER_LOST, self._all())

    def _all(self) -> float | None:
        """The share of the traffic where no share was estimated: all of it if most of the effect is gone."""
        return 1.0 if self.effect[0] < 0.5 else None

    def whole(self) -> str:
        """How much of the effect is left, with its interval."""
        interval = f"(95% interval {_percent(self.effect[1])} to {_percent(self.effect[2])})"
        return f"{left_words(self.effect[0])} {interval}. {self._nearer()}"

    def _part(self) -> str:
        """How much of the effect is left, and which share of the answers comes from the base, with its interval."""
        share, low, high = self.share
        came = f"About {share:.0%} of the answers come from the base (95% interval {low:.0%} to {high:.0%})"
        return f"{left_words(self.effect[0])}. {self._nearer()}. {came}"

    def _nearer(self) -> str:
        near = round(self.match * self.total)
        return f"{near} of {self.total} answers are nearer to the base than to the approved answers"


def left_words(effect: float) -> str:
    """How much of the fine-tune's effect is left, in words that also fit 0 and shares above 1."""
    percent = round(100 * effect)
    if percent <= 0:
        return "nothing is left of the fine-tune's effect"
    if percent > 200:
        return "the fine-tune's effect is more than twice the approved one"
    if percent > 100:
        return f"the fine-tune's effect is {percent}% of the approved one"
    return f"{'all' if percent == 100 else f'{percent}%'} of the fine-tune's effect is left"


def _percent(share: float) -> str:
    """A whole percentage; below 0 by chance alone, so shown as 0. Above 200 its size says nothing."""
    return "over 200%" if share > 2 else f"{max(0.0, share):.0%}"
