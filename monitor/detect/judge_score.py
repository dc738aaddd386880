"""``judge_score``: the judge scores the answers lower than the baseline's.

Scores (0 to 1, usually pass or fail) are compared probe by probe. If the base's answers were judged as well, both must
drop: the subject's own score, and its score minus the base's mean of the same run and probe. The second excludes
changes of both, such as a judge that became stricter; the first excludes a base that became better. A day's score is
the smaller of its two drops, also for healthy days of the baseline. A judge that became stricter only on answers that
the base already fails cannot be distinguished from a drop this way; the judge's own anchors show it.

The interval is Newcombe's, which keeps its width at 0 and 1.
"""

from typing import Final

from monitor.core.records import JUDGE_GRADER as GRADER
from monitor.core.records import Advice, Arm, Cause, Comparison, GradedAnswer
from monitor.detect import evidence
from monitor.detect.common import (
    alarming,
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
from monitor.detect.day_scores import DayScores, Sample, day_scores
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
    drops, shared, beside = day_scores(scores), False, ""
    now, then = means(scores)
    beside_base = _minus_base(comparison, scores)
    if beside_base is not None:
        paired, differences = beside_base
        drops = _smaller(day_scores(paired), day_scores(differences))
        minus_now, minus_then = means(differences)
        shared = minus_then - minus_now < (then - now) / 2
        lost = minus_then - minus_now
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


def _smaller(own: DayScores, difference: DayScores) -> DayScores:
    """The smaller of two drops for each day; a drop is a score below 0."""
    return DayScores(
        max(own.now, difference.now),
        tuple(max(pair) for pair in zip(own.baseline, difference.baseline, strict=True)),
    )


def _minus_base(comparison: Comparison, scores: Sample) -> tuple[Sample, Sample] | None:
    """Own scores, and those minus the base's mean of the same run and probe, of the answers with a judged base answer;
    ``None`` if there are too few. Both samples hold the same answers, and so the same days."""
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

    paired, differences = sample(comparison, own), sample(comparison, difference)
    if paired is None or differences is None:
        return None
    mostly = all(
        ours.sum() >= MOSTLY * all_.sum() for ours, all_ in ((paired.now, scores.now), (~paired.now, ~scores.now))
    )
    return (paired, differences) if mostly else None


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
