"""How much change one unit of a score means, measured with an injected change."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from monitor.detect.day_scores import Sample, day_scores, score_now

STEPS: Final = 8
"""Shares of today's answers at which a curve is measured."""


def effect_per_score(sample: Sample, changed: float, tolerance: float = 0.0) -> float:
    """Share of today's answers per unit of score, if every third of them takes the value ``changed``.

    A third, because a score grows less than in proportion to the share, and small shares are hard to detect.
    """
    lost = np.flatnonzero(sample.now)[::3]
    value = sample.value.copy()
    value[lost] = changed
    score = day_scores(Sample(sample.stratum, sample.day, value), tolerance=tolerance).now
    return float(lost.size / int(sample.now.sum()) / max(1.0, score))


def curve(
    sample: Sample, changed: float, whole: float, tolerance: float = 0.0
) -> Callable[[], Sequence[tuple[float, float]]]:
    """``Reading.curve``: the score if a share of today's answers takes the value ``changed``, up to all of them.

    The others have their probe's mean. ``whole``: the change of the effect when all are changed.
    """

    def points() -> Sequence[tuple[float, float]]:
        then = ~sample.now
        usual = np.bincount(sample.stratum[then], sample.value[then]) / np.bincount(sample.stratum[then])
        now, found = np.flatnonzero(sample.now), [(0.0, 0.0)]
        for count in np.unique(np.linspace(1, now.size, STEPS).round().astype(np.int64)).tolist():
            value = sample.value.copy()
            value[now] = usual[sample.stratum[now]]
            value[now[np.linspace(0, now.size - 1, count).round().astype(np.int64)]] = changed
            score = abs(score_now(Sample(sample.stratum, sample.day, value), tolerance=tolerance))
            found.append((max(found[-1][0], score), whole * count / now.size))
        return found

    return points
