"""``base_match``: at temperature 0, answers that are identical to the base's.

An adapter without effect gives byte for byte the answers of the base that is asked in the same run; a fine-tune rarely
does. Value of an answer: 1 if any of the base's answers of the same run to the same probe has the same text, else 0;
day scores of its sum. Both arms are asked at the same time, so a change of both (a new build, other kernels) affects
only near ties, and ``TOLERANCE`` of the answers is no evidence.

Only at temperature 0: at other temperatures equal answers are chance, and ``adapter_loss`` shows more.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from monitor.core.records import Advice, Arm, Cause, Comparison, Exhibit, GradedAnswer
from monitor.detect.common import (
    alarming,
    answers,
    exhibits,
    hit,
    means,
    no_longer,
    quiet,
    quiet_but_moved,
    sample,
    share_difference,
)
from monitor.detect.day_scores import day_scores
from monitor.detect.evidence import likely_spread
from monitor.detect.measurement import Channel, Reading, Told, Verdict
from monitor.detect.sensitivity import curve, effect_per_score

TOLERANCE: Final = 0.05
"""Share of answers that is no evidence: one near tie in 24 that stays flipped must not lead to a page."""
MOST_ALIKE: Final = 0.5
"""Share of the approved answers that may equal the base's; with more, the suite cannot distinguish the two."""

_Said = Mapping[tuple[int, str], set[str]]


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` at temperatures other than 0, without base answers in both, or with arms that agree
    anyway.

    >>> measure(Comparison(1, "t", "s", (), (), {}, 3.5, 3.5, temperature=0.7)) is None
    True
    """
    if comparison.temperature != 0:
        return None
    said = _base_said(comparison)
    found = sample(comparison, lambda one: _equal(one, said))
    if found is None:
        return None
    now, then = means(found)
    if then > MOST_ALIKE:
        return None
    scores = day_scores(found, tolerance=TOLERANCE)
    channel = Channel.of("equal", scores, "rise")
    # at temperature 0, further answers to a probe are nearly the same answer, so probes are counted
    count = found.strata
    low, high = share_difference(now, count, then, count, likely_spread(channel.baseline))
    total = int(found.now.sum())
    numbers = (
        f"{round(now * total)} of {total} answers are identical to the base's, {then:.0%} in the baseline "
        f"(95% interval of the difference {low:+.0%} to {high:+.0%})"
    )
    return Reading(
        channels=(channel,),
        effect=(now - then, low, high),
        unit="share of answers equal to the base's, now less baseline",
        per_score=effect_per_score(found, 1.0, TOLERANCE),
        curve=curve(found, 1.0, 1 - then, TOLERANCE),
        answers_now=total,
        answers_baseline=int((~found.now).sum()),
        tell=lambda verdict: _tell(comparison.target, numbers, low > 0, verdict, now - then),
        exhibits=_exhibits(comparison, said),
    )


def equal_answers(comparison: Comparison) -> tuple[int, int]:
    """How many of the subject's baseline answers equal one of the base's answers of the same run to the same probe, and
    how many could be compared."""
    said = _base_said(comparison)
    equal = [_equal(one, said) for one in answers(comparison.baseline, Arm.SUBJECT)]
    return sum(one == 1.0 for one in equal), sum(one is not None for one in equal)


def _base_said(comparison: Comparison) -> _Said:
    said: dict[tuple[int, str], set[str]] = defaultdict(set)
    for one in (*comparison.now, *comparison.baseline):
        if one.arm == Arm.BASE:
            said[one.run_id, one.probe].add(one.text)
    return dict(said)


def _equal(one: GradedAnswer, said: _Said) -> float | None:
    """``None`` if the base was not asked in the same run."""
    base = said.get((one.run_id, one.probe))
    return None if base is None else float(one.text in base)


def _exhibits(comparison: Comparison, said: _Said) -> tuple[Exhibit, ...]:
    """Answers identical to the base's, those first whose probes had fewest in the baseline."""
    usual: dict[str, list[float]] = defaultdict(list)
    for one in answers(comparison.baseline, Arm.SUBJECT):
        if (equal := _equal(one, said)) is not None:
            usual[one.probe].append(equal)
    return exhibits(
        comparison,
        {
            one.probe: (1.0 - sum(usual[one.probe]) / len(usual[one.probe]), one)
            for one in answers(comparison.now, Arm.SUBJECT)
            if one.probe in usual and _equal(one, said)
        },
    )


def _tell(target: str, numbers: str, more: bool, verdict: Verdict, effect: float) -> Told:
    """``more``: whether the interval is above the baseline's share, however little evidence that is."""
    what = f"{target} gives exactly its base model's answers at temperature 0"
    share = hit(effect)  # a lower bound: the base itself varies
    if verdict.evaluation_disagrees:
        return no_longer(what, numbers, verdict, cause=Cause.ADAPTER_LOST, traffic_share=share)
    if verdict.alarming:
        return alarming(what, numbers, Advice.CHECK_ADAPTER, Cause.ADAPTER_LOST, share)
    if verdict.moved or more:
        what = f"{target} gives more answers identical to its base model's"
        return quiet_but_moved(what, numbers, Cause.ADAPTER_LOST, share)
    return quiet("No more answers than approved are identical to the base's", numbers)
