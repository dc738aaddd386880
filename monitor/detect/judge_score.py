"""``judge_score``: the judge scores the answers lower than the baseline's.

Scores (0 to 1, usually pass or fail) are compared probe by probe. If the base's answers were judged as well, both must
drop: the subject's own score, and its score minus the base's mean of the same run and probe. The second excludes
changes of both, such as a judge that became stricter; the first excludes a base that became better. A day's score is
the smaller of its two drops, also for healthy days of the baseline. A judge that became stricter only on answers that
the base already fails cannot be distinguished from a drop this way; the judge's own anchors show it. Of fresh samples,
the score less what is expected for such inputs must drop as well (``fresh_views``).

Most runs ask the base few probes (``runs.base_share``). The day's score is then the subject's own drop, moved to where
the smaller of two drops usually is, so that it has the mean and the spread of the baseline's days. If the few answers
show that the base dropped as well, it is no evidence. After a drop, the next run asks the base all probes.

The interval is Newcombe's, which keeps its width at 0 and 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core.records import JUDGE_GRADER as GRADER
from monitor.core.records import Advice, Arm, Cause, Comparison, GradedAnswer
from monitor.core.run_kinds import run_kind
from monitor.detect import evidence
from monitor.detect.common import (
    FEWEST_OF_BASE,
    alarming,
    answers,
    by_probe,
    exhibits,
    means,
    no_longer,
    one_item,
    per_score,
    quiet,
    quiet_but_moved,
    sample,
    share_difference,
)
from monitor.detect.day_scores import DayScores, Sample, day_scores
from monitor.detect.fresh_views import least, views
from monitor.detect.measurement import STRUCTURAL_SHARE, Channel, Reading, Told, Verdict
from monitor.detect.sensitivity import curve

MOSTLY: Final = 0.8
"""Share of the subject's judged answers, on both sides, that need a judged base answer for the difference to be
taken."""
FAR_OFF: Final = 0.25
"""A drop of this size is never reported as no drop, however wide its interval."""


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` if no answers, or too few of the same probes, were judged."""
    scores = sample(comparison, _own)
    if scores is None:
        return None
    tolerance = one_item(scores.strata)
    drops, shared, beside = day_scores(scores, tolerance=tolerance), False, ""
    now, then = means(scores)
    base = _Base.of(comparison)
    if (both := base.beside(comparison, scores)) is not None:
        own, difference = (day_scores(one, tolerance=one_item(one.strata)) for one in both)
        if base.asked_few(comparison):
            shared = base.dropped(comparison, then - now)
            drops = _own_alone(own, difference, shared=shared)
        else:
            drops = _smaller(own, difference, *map(day_scores, views(comparison, _own, scores)[2:]))
            minus_now, minus_then = means(both[1])
            lost = minus_then - minus_now
            shared = lost < (then - now) / 2
            beside = f", {'but rose' if lost < -0.005 else 'and'} by {abs(lost):.2f} relative to the base"
    channel = Channel.of("drop", drops, "drop", bound=evidence.RATE_BOUND)
    answers_now, answers_then = int(scores.now.sum()), int((~scores.now).sum())
    spread = evidence.likely_spread(channel.baseline)
    low, high = share_difference(now, answers_now, then, answers_then, spread)
    numbers = f"mean score {now:.2f}, {then:.2f} in the baseline"
    numbers += f" (difference {now - then:+z.2f}, 95% interval {low:+z.2f} to {high:+z.2f})"
    size = f"by {then - now:z.2f}{beside}"
    far = high < 0 or then - now >= FAR_OFF
    return Reading(
        channels=(channel,),
        effect=(now - then, low, high),
        unit="mean score, now minus baseline",
        per_score=per_score(scores),
        curve=curve(scores, 0.0, then, tolerance),
        answers_now=answers_now,
        answers_baseline=answers_then,
        tell=lambda verdict: _tell(comparison.target, verdict, shared, far, size, numbers),
        measures={"judge_score": now, "judge_score_baseline": then},
        exhibits=exhibits(comparison, _telling(comparison, then)),
        judged=True,
        tolerance=tolerance,
        structural=then - now >= STRUCTURAL_SHARE,
    )


def _own(one: GradedAnswer) -> float | None:
    return one.scores.get(GRADER)


def _tell(target: str, verdict: Verdict, shared: bool, far: bool, size: str, numbers: str) -> Told:
    """``shared``: whether the base's score dropped by more than half of the subject's drop."""
    if verdict.evaluation_disagrees:
        return no_longer(f"the judge's score of {target} dropped", numbers, verdict)
    if verdict.alarming:
        return alarming(f"The judge's score of {target} dropped {size}", numbers, Advice.READ_FAILED_ANSWERS)
    if not (far or verdict.moved):
        return quiet("The judge sees no drop", numbers)
    cause = Cause.SHARED_CHANGE if shared else Cause.UNKNOWN
    return quiet_but_moved(f"the judge's score of {target} dropped {size}", numbers, cause)


def _smaller(*drops: DayScores) -> DayScores:
    """The smallest of the drops of each day; a drop is a score below 0."""
    return least(drops, "drop")


def _own_alone(own: DayScores, difference: DayScores, *, shared: bool) -> DayScores:
    """The baseline's days as in ``_smaller``, and today's own drop in their mean and spread. ``shared``: today is as
    usual at least."""
    both = _smaller(own, difference).baseline
    usual, alone = float(np.mean(both)), float(np.mean(own.baseline))
    spreads = float(np.std(both)), float(np.std(own.baseline))
    narrower = min(1.0, spreads[0] / spreads[1]) if spreads[1] > 0 else 1.0
    today = usual + (own.now - alone) * narrower
    return DayScores(max(usual, today) if shared else today, both)


@dataclass(frozen=True)
class _Base:
    """The judge's scores of the base's answers."""

    scores: Mapping[tuple[int, str], float]
    """(run, probe) -> their mean."""
    usual: Mapping[str, float]
    """Probe -> their mean in the baseline; empty for production samples, whose inputs never repeat."""

    @classmethod
    def of(cls, comparison: Comparison) -> "_Base":
        judged: dict[tuple[int, str], list[float]] = {}
        then: dict[str, list[float]] = {}
        for one in answers((*comparison.now, *comparison.baseline), Arm.BASE):
            if GRADER in one.scores:
                judged.setdefault((one.run_id, one.probe), []).append(one.scores[GRADER])
        before = {one.run_id for one in comparison.baseline}
        frozen = run_kind(comparison.target, comparison.suite).frozen_items
        for (run_id, probe), found in judged.items():
            if frozen and run_id in before:
                then.setdefault(probe, []).extend(found)
        return cls({key: _mean(found) for key, found in judged.items()}, {key: _mean(one) for key, one in then.items()})

    def beside(self, comparison: Comparison, scores: Sample) -> tuple[Sample, Sample] | None:
        """Own scores, and those minus the base's mean of the same run and probe, of the answers with a judged base
        answer; ``None`` if there are too few. Today's answers to probes that the base was not asked take the base's
        usual mean, so that they have their baseline. Both samples hold the same answers, and so the same days."""
        today = {one.run_id for one in comparison.now}

        def base(one: GradedAnswer) -> float | None:
            usual = self.usual.get(one.probe) if one.run_id in today else None
            return self.scores.get((one.run_id, one.probe), usual)

        def own(one: GradedAnswer) -> float | None:
            return None if base(one) is None else _own(one)

        def difference(one: GradedAnswer) -> float | None:
            mine, other = _own(one), base(one)
            return None if mine is None or other is None else mine - other

        paired, differences = sample(comparison, own), sample(comparison, difference)
        if paired is None or differences is None:
            return None
        sides = ((paired.now, scores.now), (~paired.now, ~scores.now))
        return (paired, differences) if all(ours.sum() >= MOSTLY * all_.sum() for ours, all_ in sides) else None

    def asked_few(self, comparison: Comparison) -> bool:
        """Whether today's base has judged answers to less than ``MOSTLY`` of the subject's."""
        mine = [one for one in answers(comparison.now, Arm.SUBJECT) if _own(one) is not None]
        return sum((one.run_id, one.probe) in self.scores for one in mine) < MOSTLY * len(mine)

    def dropped(self, comparison: Comparison, lost: float) -> bool:
        """Whether the base dropped as well, at the few probes that it was asked: clearly, and by more than half of
        ``lost``, the subject's drop."""
        today = {one.run_id for one in comparison.now}
        drops = [
            self.usual[probe] - score
            for (run_id, probe), score in self.scores.items()
            if run_id in today and probe in self.usual
        ]
        return len(drops) >= FEWEST_OF_BASE and _mean(drops) >= max(FAR_OFF, lost / 2)


def _mean(found: list[float]) -> float:
    return sum(sorted(found)) / len(found)


def _telling(comparison: Comparison, mean: float) -> dict[str, tuple[float, GradedAnswer]]:
    """Probe -> (drop from its baseline mean, today's answer with the lowest score)."""
    then = by_probe(comparison.baseline, Arm.SUBJECT)
    telling = {}
    for probe, found in by_probe(comparison.now, Arm.SUBJECT).items():
        judged = [one for one in found if GRADER in one.scores]
        before = [one.scores[GRADER] for one in then.get(probe, []) if GRADER in one.scores]
        if judged:
            worst = min(judged, key=lambda one: one.scores[GRADER])
            usual = sum(before) / len(before) if before else mean
            telling[probe] = (usual - worst.scores[GRADER], worst)
    return telling
