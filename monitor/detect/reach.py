"""How much change one unit of a score stands for, by what the score would say of a change that is put in."""

import numpy as np

from monitor.detect.surprise import Sample, day_scores


def effect_per_score(sample: Sample, changed: float, tolerance: float = 0.0) -> float:
    """Share of today's answers per unit of score, where every third of them takes the value ``changed``.

    A third, because a score grows with the share less than in proportion, and small shares are what is hard to see.
    """
    lost = np.flatnonzero(sample.now)[::3]
    value = sample.value.copy()
    value[lost] = changed
    score = day_scores(Sample(sample.stratum, sample.day, value), tolerance=tolerance).now
    return float(lost.size / int(sample.now.sum()) / max(1.0, score))
