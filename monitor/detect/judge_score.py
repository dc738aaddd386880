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
from monitor.detect.parts import PLAIN, by_probe, exhibits, finding, means, quiet_but_moved, sample, share_difference
from monitor.records import JUDGE_GRADER as GRADER
from monitor.records import Arm, Comparison, Finding, GradedAnswer, Severity

NAME: Final = "judge_score"
SEVERITY: Final = Severity.PAGE
MOSTLY: Final = 0.8
"""Share of the subject's judged answers, on both sides, that need a judged base answer for the difference to be
taken."""
FAR_OFF: Final = 0.25
"""A drop of this much is never called no drop, however wide its interval."""


def detect(comparison: Comparison) -> Finding | None:
    """See the module. ``None`` where nothing was judged or too few answers of the same probes were."""
    scores = sample(comparison, lambda one: one.scores.get(GRADER))
    if scores is None:
        return None
    once = comparison.baseline_at_once
    now, then = means(scores)
    own = look(scores, "drop", at_once=once)
    p_value, shared, beside = own.p_value, False, ""
    differences = _minus_base(comparison, scores)
    if differences is not None:
        p_value = max(p_value, look(differences, "drop", at_once=once).p_value)
        minus_now, minus_then = means(differences)
        shared = minus_then - minus_now < (then - now) / 2
        beside = f", and by {minus_then - minus_now:+z.2f} against the base"
    answers_now, answers_then = int(scores.now.sum()), int((~scores.now).sum())
    low, high = share_difference(now, answers_now, then, answers_then, own.inflation)
    difference = f"difference {now - then:+z.2f}, 95 % interval {low:+z.2f} to {high:+z.2f}"
    numbers = f"mean score {now:.2f}, {then:.2f} in the baseline ({difference})"
    dropped = f"the judge's score of {comparison.target} dropped by {then - now:z.2f}{beside}: {numbers}"
    moved = min(p_value, own.p_value) <= PLAIN or high < 0 or then - now >= FAR_OFF
    return finding(
        comparison,
        NAME,
        SEVERITY,
        effect=(now - then, low, high),
        unit="mean score, now minus baseline",
        p_value=p_value,
        answers_now=answers_now,
        answers_baseline=answers_then,
        summary=_summary(comparison, p_value, shared, moved, dropped, numbers) + own.caveat,
        measures={"judge_score": now, "judge_score_baseline": then},
        exhibits=exhibits(comparison, _telling(comparison, then)),
    )


def _summary(comparison: Comparison, p_value: float, shared: bool, moved: bool, dropped: str, numbers: str) -> str:
    """``shared``: whether the base's answers lost most of what the subject's lost."""
    if p_value <= comparison.alpha:
        advice = "Read the answers below, then look for a changed model, prompt or adapter."
        return f"The {dropped.removeprefix('the ')}. {advice}"
    if not moved:
        return f"The judge sees no drop: {numbers}."
    if shared:
        dropped += ". The base lost most of it too: the judge, or what both arms share, may have changed"
    return quiet_but_moved(dropped, p_value, comparison.alpha)


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
