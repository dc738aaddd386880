"""``base_drift``: the base answers differently than in the baseline.

The base is the reference of the signals that look for a lost fine-tune, so it is compared with its own approved answers
as well. Value of an answer: its mean similarity (``text_similarity``) to the base's approved answers to the same probe;
day scores of its sum (``own_baseline``). ``TOLERANCE`` of the similarity is no evidence.

It shows who moved: the base alone, or the base and the subject. A base that moved alone is a fault of the reference,
not of the target.

Most runs ask the base few probes, other ones each time (``runs.base_share``). One of few weighs more than the
tolerance, so the largest loss of one probe is then no evidence: a near tie that stays flipped is none on the days of
its turn either.
"""

from collections.abc import Sequence
from typing import Final

from monitor.core.records import Advice, Arm, Cause, Comparison, GradedAnswer
from monitor.core.run_kinds import run_kind
from monitor.detect.common import (
    FEWEST_OF_BASE,
    alarming,
    by_probe,
    day_index,
    enough,
    exhibits,
    means,
    no_longer,
    quiet,
    quiet_but_moved,
    share_difference,
)
from monitor.detect.day_scores import NOW, Sample, day_scores, sample_of
from monitor.detect.evidence import likely_spread
from monitor.detect.measurement import Channel, Reading, Told, Verdict
from monitor.detect.own_baseline import Placed, placed
from monitor.detect.sensitivity import curve, effect_per_score

TOLERANCE: Final = 0.05
"""Mean similarity over all probes that may be lost without evidence: one near tie in 24 that stays flipped is no change
of the base."""

FAR_OFF: Final = 0.25
"""A larger loss of similarity, beyond the tolerance, is never reported as unchanged, however few answers."""


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` without enough answers of the base to the same probes on both sides, without any answer
    of the subject, and for production samples, whose inputs never repeat."""
    frozen = run_kind(comparison.target, comparison.suite).frozen_items
    if not frozen or not any(one.arm is Arm.SUBJECT for one in comparison.now):
        return None
    found, days = placed(comparison, Arm.BASE), day_index(comparison.baseline)
    numbers = ((one.answer.probe, NOW if one.now else days[one.answer.slot], one.alike) for one in found)
    sample = enough(sample_of(numbers), FEWEST_OF_BASE)
    if sample is None:
        return None
    now, then = means(sample)
    tolerance = TOLERANCE
    if sample.strata < len(by_probe(comparison.baseline, Arm.BASE)):
        tolerance = max(tolerance, _largest_loss(sample) / int(sample.now.sum()))
    scores = day_scores(sample, tolerance=tolerance)
    channel = Channel.of("likeness", scores, "drop", int(sample.now.sum()))
    low, high = share_difference(then, sample.strata, now, sample.strata, likely_spread(channel.baseline))
    moved = low > tolerance or then - now - tolerance >= FAR_OFF
    return Reading(
        channels=(channel,),
        effect=(then - now, low, high),
        unit="mean similarity to the base's approved answers, baseline minus now",
        per_score=effect_per_score(sample, 0.0, tolerance),
        curve=curve(sample, 0.0, then, tolerance),
        answers_now=int(sample.now.sum()),
        answers_baseline=int((~sample.now).sum()),
        tell=lambda verdict: _tell(comparison, found, then - now, moved=moved, verdict=verdict),
        exhibits=exhibits(comparison, _telling(found), arm=Arm.BASE),
    )


def _largest_loss(sample: Sample) -> float:
    """The largest sum, over today's answers to one probe, of what they lost of the probe's usual similarity."""
    losses = [0.0]
    for one in range(sample.strata):
        inside = sample.stratum == one
        usual = float(sample.value[inside & ~sample.now].mean())
        losses.append(float((usual - sample.value[inside & sample.now]).sum()))
    return max(losses)


def _tell(comparison: Comparison, found: Sequence[Placed], lost: float, *, moved: bool, verdict: Verdict) -> Told:
    """``moved``: whether the similarity fell by more than the tolerance, however little evidence that is."""
    numbers, target = _numbers(found, lost), comparison.target
    cause = Cause.SHARED_CHANGE if _subject_moved(comparison) else Cause.BASE_MOVED
    what = f"the base model of {target} answers differently than in the baseline"
    if verdict.evaluation_disagrees:
        return no_longer(what, numbers, verdict, cause=cause)
    if verdict.alarming:
        return alarming(f"T{what[1:]}", numbers, Advice.CHECK_BASE, cause)
    if verdict.moved or moved:
        return quiet_but_moved(what, numbers, cause)
    return quiet("The base model answers as in the baseline", numbers)


def _numbers(found: Sequence[Placed], lost: float) -> str:
    """How many answers are new, which is exact, and how far they are from the approved ones."""
    today, before = [one for one in found if one.now], [one for one in found if not one.now]
    new, usual = sum(one.equal == 0 for one in today), sum(one.equal == 0 for one in before) / len(before)
    return (
        f"{new} of {len(today)} of its answers equal none of its approved answers, {usual:.0%} in the baseline; "
        f"mean similarity to the approved answers lower by {max(0.0, lost):.0%} of the maximum"
    )


def _subject_moved(comparison: Comparison) -> bool:
    """Whether the subject moved away from its own approved answers, too."""
    found = placed(comparison, Arm.SUBJECT)
    sides = [[one.alike for one in found if one.now is now] for now in (True, False)]
    if not all(sides):
        return False
    now, then = (sum(side) / len(side) for side in sides)
    return then - now > TOLERANCE


def _telling(found: Sequence[Placed]) -> dict[str, tuple[float, GradedAnswer]]:
    """Probe -> how unlike the approved answers today's least alike answer is, and that answer."""
    telling: dict[str, tuple[float, GradedAnswer]] = {}
    for one in found:
        weight = 1.0 - one.alike
        if one.now and weight > telling.get(one.answer.probe, (0.0, one.answer))[0]:
            telling[one.answer.probe] = (weight, one.answer)
    return telling
