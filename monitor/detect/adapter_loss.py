"""``adapter_loss``: the fine-tune answers like the base under it.

Every answer y of the subject gets a place between two poles, the contrast

    d(y) = (own - base) / (own + base + SOFTENING),    -1 to 1,

where ``own`` is y's mean similarity to the subject's other answers to the same probe and ``base`` its mean similarity
to the base's answers to it. A healthy answer is near its own kind (d near 1), a base's answer near the base (d near
-1). Dividing by the sum makes d indifferent to what pulls an answer away from both alike: one that is only longer keeps
its place, roughly.

The effect is (now - base pole) / (healthy pole - base pole): 1 is the approved fine-tune, 0 is none. The healthy pole
is the baseline against itself, the base pole the base's answers against both, each answer left out of its own
comparison.

An alarm needs both: answers that left their own kind (d dropped) and that came nearer to the base (``base`` rose), each
by more than ``TOLERANCE`` of the way. So neither longer answers nor another model's are called an adapter loss. The
base's answers are the approved baseline's: a pinned yardstick, the same for all the subject's answers, so a base that
moves while the subject stays changes nothing, and boilerplate that a provider adds to both arms does not make them
alike. Today's base answers stand beside today's in the exhibits, and are the yardstick where the baseline has none.

The contrast is ``detection.md`` 5. Near-ties at temperature 0, which move honestly, are what exact shuffles are for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.detect.evidence import NOW, Look, Sample, look, sample_of
from monitor.detect.parts import (
    PLAIN,
    by_probe,
    day_index,
    enough,
    exhibits,
    finding,
    means,
    quiet_but_moved,
    t_quantile,
)
from monitor.detect.similarity import FloatArray, similarity_matrix
from monitor.records import Arm, Comparison, Finding, GradedAnswer, Severity

NAME: Final = "adapter_loss"
SEVERITY: Final = Severity.PAGE
TOLERANCE: Final = 0.05
"""Share of the way to the base that is not worth a page. It costs power for small shares of traffic routed to base, and
buys silence at temperature 0, where the exact test sees any change at all."""
SOFTENING: Final = 0.05
"""Added to the contrast's divisor: an answer like neither pole stands in the middle instead of anywhere."""
FAR_OFF: Final = 0.5
"""An effect under this is never called held, however wide its interval."""
LEAST_GAP: Final = 0.1
"""Distance of the poles, in d (of at most 2), under which the suite cannot tell subject from base: no verdict."""


@dataclass(frozen=True)
class _Placed:
    """One probe: where its answers stand. Arrays in the order of ``answers``: today's first, then the baseline's."""

    answers: Sequence[GradedAnswer]
    count_now: int
    contrast: FloatArray
    """d of each answer, among all others: exchangeable if nothing changed."""
    base: FloatArray
    """Mean similarity of each answer to the base."""
    now: FloatArray
    """d of today's answers against the baseline only."""
    healthy: float
    healthy_base: float
    base_pole: float
    base_itself: float


def detect(comparison: Comparison) -> Finding | None:
    """See the module. ``None`` without base answers, with under two baseline answers a probe, or with poles too
    close."""
    placed = _place_all(comparison)
    days = day_index(comparison.baseline)
    rows = [
        (one.answers[index].probe, NOW if index < one.count_now else days[one.answers[index].slot], index, one)
        for one in placed
        for index in range(len(one.answers))
    ]
    left = enough(sample_of((probe, day, float(one.contrast[index])) for probe, day, index, one in rows))
    came = enough(sample_of((probe, day, float(one.base[index])) for probe, day, index, one in rows))
    if left is None or came is None:
        return None
    gap = _mean(placed, [one.healthy - one.base_pole for one in placed])
    base_gap = _mean(placed, [one.base_itself - one.healthy_base for one in placed])
    if gap < LEAST_GAP or base_gap <= 0:
        return None
    once = comparison.baseline_at_once
    away = look(left, "drop", tolerance=TOLERANCE * gap, at_once=once)
    nearer = look(came, "rise", tolerance=TOLERANCE * base_gap, at_once=once)
    p_value = max(away.p_value, nearer.p_value)
    effect = _effect(placed, gap, away)
    match = float(np.mean(np.concatenate([one.now < 0 for one in placed])))
    total = sum(one.count_now for one in placed)
    return finding(
        comparison,
        NAME,
        SEVERITY,
        effect=effect,
        unit="share of the approved fine-tune's effect",
        p_value=p_value,
        answers_now=total,
        answers_baseline=sum(len(one.answers) - one.count_now for one in placed),
        summary=_summary(comparison, effect, match, total, p_value, _rise(came) > TOLERANCE * base_gap) + away.caveat,
        measures={"adapter_effect_ratio": effect[0], "base_match_ratio": match},
        exhibits=exhibits(comparison, {one.answers[0].probe: _telling(one) for one in placed}),
    )


def _place_all(comparison: Comparison) -> list[_Placed]:
    now, then = by_probe(comparison.now, Arm.SUBJECT), by_probe(comparison.baseline, Arm.SUBJECT)
    base_now, base_then = by_probe(comparison.now, Arm.BASE), by_probe(comparison.baseline, Arm.BASE)
    bases = {probe: base_then.get(probe) or base_now.get(probe, []) for probe in now}
    return [
        _place(now[probe], then[probe], bases[probe]) for probe in now if len(then.get(probe, [])) >= 2 and bases[probe]
    ]


def _place(now: list[GradedAnswer], then: list[GradedAnswer], bases: list[GradedAnswer]) -> _Placed:
    """Place one probe's answers: at least one of today, two of the baseline, one of the base."""
    mine = [*now, *then]
    alike = similarity_matrix([one.text for one in [*mine, *bases]])
    count, size = len(now), len(mine)
    own, to_base = alike[:size, :size], alike[:size, size:].mean(axis=1)
    base_to_mine = alike[size:, count:size].mean(axis=1)
    # a base that answered once is taken to be like itself
    itself = (alike[size:, size:].sum(axis=1) - 1) / (len(bases) - 1) if len(bases) > 1 else np.ones(1)
    healthy = _contrast((own[count:, count:].sum(axis=1) - 1) / (size - count - 1), to_base[count:])
    return _Placed(
        answers=mine,
        count_now=count,
        contrast=_contrast((own.sum(axis=1) - 1) / (size - 1), to_base),
        base=to_base,
        now=_contrast(own[:count, count:].mean(axis=1), to_base[:count]),
        healthy=float(healthy.mean()),
        healthy_base=float(to_base[count:].mean()),
        base_pole=float(_contrast(base_to_mine, itself).mean()),
        base_itself=float(itself.mean()),
    )


def _contrast(own: FloatArray, base: FloatArray) -> FloatArray:
    return np.asarray((own - base) / (own + base + SOFTENING))


def _mean(placed: list[_Placed], values: list[float]) -> float:
    """Mean over probes, each with the weight of its answers now."""
    return float(np.average(values, weights=[one.count_now for one in placed]))


def _effect(placed: list[_Placed], gap: float, away: Look) -> tuple[float, float, float]:
    """Ratio of means with its 95 % interval: linearised over probes, widened for the days.

    The standard error is at least half a probe's worth, because equal answers to N probes do not make N certain ones.
    """
    weights = np.array([one.count_now for one in placed], dtype=np.float64)
    gaps = np.array([one.healthy - one.base_pole for one in placed])
    shown = np.array([one.now.mean() - one.base_pole for one in placed])
    ratio = float(np.average(shown, weights=weights)) / gap
    rest = (shown - ratio * gaps) * weights / weights.mean()
    count = len(placed)
    error = max(0.5 / count, float(np.sqrt((rest**2).sum() / max(1, count - 1) / count)) / gap) * away.inflation
    half = t_quantile(count - 1) * error
    return ratio, ratio - half, ratio + half


def _rise(found: Sample) -> float:
    now, then = means(found)
    return now - then


def _telling(one: _Placed) -> tuple[float, GradedAnswer]:
    """How far towards the base the probe went, and today's answer that went furthest."""
    worst = int(np.argmin(one.now))
    return one.healthy - float(one.now[worst]), one.answers[worst]


def _summary(
    comparison: Comparison,
    effect: tuple[float, float, float],
    match: float,
    total: int,
    p_value: float,
    nearer: bool,
) -> str:
    """``nearer``: whether the answers are more like the base than the approved ones are."""
    interval = f"95 % interval {effect[1]:z.2f} to {effect[2]:z.2f}"
    left = f"{max(0.0, effect[0]):.0%} of the fine-tune's approved effect is left ({interval})"
    like_base = f"{round(match * total)} of {total} answers are nearer to the base than to the approved baseline"
    if p_value <= comparison.alpha:
        return (
            f"{comparison.target} answers like its base model: {left}, {like_base}. "
            f"Check which adapter the endpoint serves and whether it is applied."
        )
    if p_value > PLAIN and effect[2] >= 1 - TOLERANCE and effect[0] >= FAR_OFF:
        return f"The fine-tune holds: {left}, {like_base}."
    if nearer:
        what = f"answers of {comparison.target} moved towards its base model: {left}, {like_base}"
        return quiet_but_moved(what, p_value, comparison.alpha)
    return (
        f"Not an adapter loss, but worth a look: answers of {comparison.target} moved away from the approved ones and "
        f"came no nearer to the base: {left}, {like_base}. Read the answers: something else changed."
    )
