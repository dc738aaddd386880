"""``judge_score``: the judge scores the answers lower than the baseline's.

Scores (0 to 1, usually pass or fail) are compared probe by probe. If the base's answers were judged as well, both must
drop: the subject's own score, and its score minus the base's mean of the same run and probe. The second excludes
changes of both, such as a judge that became stricter; the first excludes a base that became better. A day's score is
the smaller of its two drops, also for healthy days of the baseline. A judge that became stricter only on answers that
the base already fails cannot be distinguished from a drop this way; the judge's own anchors show it.

Most runs ask the base few probes (``runs.base_share``). The second drop is then that of these probes alone, today and
on the baseline's days. It rarely is large, so such a run is little evidence; if the subject's own score dropped, the
next run asks the base all probes.

The interval is Newcombe's, which keeps its width at 0 and 1.
"""

from dataclasses import dataclass
from typing import Final

from monitor.core.records import JUDGE_GRADER as GRADER
from monitor.core.records import Advice, Arm, Cause, Comparison, GradedAnswer
from monitor.detect import evidence
from monitor.detect.common import (
    FEWEST_OF_BASE,
    alarming,
    answers,
    by_probe,
    exhibits,
    means,
    no_longer,
    per_score,
    quiet,
    quiet_but_moved,
    sample,
    share_difference,
)
from monitor.detect.day_scores import DayScores, Sample, day_scores, full_days
from monitor.detect.measurement import Channel, Reading, Told, Verdict
from monitor.detect.sensitivity import curve

MOSTLY: Final = 0.8
"""Share of the subject's judged answers that need a judged base answer for the difference to be taken: on both sides,
or in the baseline's answers to the probes that today's base was asked."""
FAR_OFF: Final = 0.25
"""A drop of this size is never reported as no drop, however wide its interval."""


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` if no answers, or too few of the same probes, were judged."""
    scores = sample(comparison, _own)
    if scores is None:
        return None
    drops, shared, beside = day_scores(scores), False, ""
    now, then = means(scores)
    beside_base = _minus_base(comparison, scores)
    if beside_base is not None:
        drops, shared = _smaller(beside_base), beside_base.lost < beside_base.own_lost / 2
        lost = beside_base.lost
        if beside_base.own is not scores:
            beside = f", {'but rose' if lost < -0.005 else 'and'} by {abs(lost):.2f} relative to the base"
    channel = Channel.of("drop", drops, "drop")
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
        curve=curve(scores, 0.0, then),
        answers_now=answers_now,
        answers_baseline=answers_then,
        tell=lambda verdict: _tell(comparison.target, verdict, shared, far, size, numbers),
        measures={"judge_score": now, "judge_score_baseline": then},
        exhibits=exhibits(comparison, _telling(comparison, then)),
        judged=True,
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


@dataclass(frozen=True)
class _BesideBase:
    """The subject's scores with and without the base's."""

    own: Sample
    """Those of the answers with a judged base answer; all if today's base was asked few probes."""
    differences: Sample
    """Own scores minus the base's mean of the same run and probe."""
    own_lost: float
    """Drop of the own scores of the answers in ``differences``."""

    @property
    def lost(self) -> float:
        now, then = means(self.differences)
        return then - now


def _smaller(beside: _BesideBase) -> DayScores:
    """The smaller of two drops for each day that has both; a drop is a score below 0."""
    own, difference = (
        (found := day_scores(one), dict(zip(full_days(one.day[~one.now]).tolist(), found.baseline, strict=True)))
        for one in (beside.own, beside.differences)
    )
    days = sorted(own[1].keys() & difference[1].keys())
    return DayScores(max(own[0].now, difference[0].now), tuple(max(own[1][day], difference[1][day]) for day in days))


def _minus_base(comparison: Comparison, scores: Sample) -> _BesideBase | None:
    """``None`` if too few answers have a judged base answer."""
    judged: dict[tuple[int, str], list[float]] = {}
    for one in (*comparison.now, *comparison.baseline):
        if one.arm == Arm.BASE and GRADER in one.scores:
            judged.setdefault((one.run_id, one.probe), []).append(one.scores[GRADER])
    base = {key: sum(sorted(found)) / len(found) for key, found in judged.items()}

    def own(one: GradedAnswer) -> float | None:
        return _own(one) if (one.run_id, one.probe) in base else None

    def difference(one: GradedAnswer) -> float | None:
        mine = own(one)
        return None if mine is None else mine - base[one.run_id, one.probe]

    paired = sample(comparison, own, FEWEST_OF_BASE)
    differences = sample(comparison, difference, FEWEST_OF_BASE)
    if paired is None or differences is None:
        return None
    now, then = means(paired)
    if all(ours.sum() >= MOSTLY * all_.sum() for ours, all_ in ((paired.now, scores.now), (~paired.now, ~scores.now))):
        return _BesideBase(paired, differences, then - now)
    asked = {one.probe for one in comparison.now if own(one) is not None}
    comparable = sum(one.probe in asked and _own(one) is not None for one in answers(comparison.baseline, Arm.SUBJECT))
    if (~paired.now).sum() < max(1.0, MOSTLY * comparable):
        return None
    return _BesideBase(scores, differences, then - now)


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
