"""``judge_score``: the judge likes the answers less than it liked the baseline's.

Scores (0 to 1, usually pass or fail) are compared probe by probe. Where the base's answers were judged as well, both
must drop: the subject's own score, and its score minus the base's of the same round. The second takes out what moves
both, such as a judge that became stricter; the first takes out a base that became better. The larger p-value counts, so
both cost power and neither costs honesty. A judge that turns stricter only on what the base already fails cannot be
told from a drop this way: the judge's own anchors are for that.

The test is exact for bounded scores (``evidence``); the interval is Newcombe's, which keeps its width at 0 and 1.
"""

from typing import Final

from monitor.detect.evidence import Sample, look
from monitor.detect.parts import by_probe, exhibits, finding, means, sample, share_difference
from monitor.records import JUDGE_GRADER as GRADER
from monitor.records import Arm, Comparison, Finding, GradedAnswer, Severity

NAME: Final = "judge_score"
SEVERITY: Final = Severity.PAGE
MOSTLY: Final = 0.8
"""Share of the subject's judged answers, on both sides, that need a judged base answer for the difference to be
taken."""


def detect(comparison: Comparison) -> Finding | None:
    """See the module. ``None`` where nothing was judged or too few answers of the same probes were."""
    scores = sample(comparison, lambda one: one.scores.get(GRADER))
    if scores is None:
        return None
    once = comparison.baseline_at_once
    own = look(scores, "drop", at_once=once)
    p_value, beside = own.p_value, ""
    differences = _minus_base(comparison, scores)
    if differences is not None:
        p_value = max(p_value, look(differences, "drop", at_once=once).p_value)
        minus_now, minus_then = means(differences)
        beside = f", and by {minus_then - minus_now:+.2f} against the base"
    now, then = means(scores)
    answers_now, answers_then = int(scores.now.sum()), int((~scores.now).sum())
    low, high = share_difference(now, answers_now, then, answers_then, own.inflation)
    difference = f"difference {now - then:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}"
    numbers = f"mean score {now:.2f}, {then:.2f} in the baseline ({difference})"
    summary = f"The judge sees no drop: {numbers}."
    if p_value <= comparison.alpha:
        summary = (
            f"The judge's score of {comparison.target} dropped by {then - now:.2f}{beside}: {numbers}. "
            f"Read the answers below, then look for a changed model, prompt or adapter."
        )
    return finding(
        comparison,
        NAME,
        SEVERITY,
        effect=(now - then, low, high),
        unit="mean score, now minus baseline",
        p_value=p_value,
        answers_now=answers_now,
        answers_baseline=answers_then,
        summary=summary + own.caveat,
        measures={"judge_score": now, "judge_score_baseline": then},
        exhibits=exhibits(comparison, _telling(comparison, then)),
    )


def _minus_base(comparison: Comparison, scores: Sample) -> Sample | None:
    """Each score of the subject minus the base's of the same run, probe and replicate; ``None`` where too few have
    one."""
    base = {
        (one.run_id, one.probe, one.replicate): one.scores[GRADER]
        for one in (*comparison.now, *comparison.baseline)
        if one.arm == Arm.BASE and GRADER in one.scores
    }

    def difference(one: GradedAnswer) -> float | None:
        beside = base.get((one.run_id, one.probe, one.replicate))
        return one.scores[GRADER] - beside if GRADER in one.scores and beside is not None else None

    paired = sample(comparison, difference)
    if paired is None:
        return None
    mostly = all(
        ours.sum() >= MOSTLY * all_.sum() for ours, all_ in ((paired.now, scores.now), (~paired.now, ~scores.now))
    )
    return paired if mostly else None


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
