"""Evidence that may be evaluated every day: e-values, and the e-detector that accumulates them.

A signal's day scores (``day_scores``) are modelled as draws from one normal distribution while nothing changes: unknown
mean, unknown spread, one draw a day, however many answers a day has. So the day-to-day spread is *measured* on the
baseline's days, the baseline's finite length is *accounted for* (its mean is as uncertain as its days make it), and
evaluations that share one baseline are valid together, not only one by one: each is weighed jointly with all before.

* ``running`` weighs evaluations by e-values: the Bayes factor of "the mean moved at evaluation k" against "nothing
changed", with
  the right-Haar (flat) prior on the mean and a conjugate prior on the spread. For every mean it is a test martingale,
  so its expectation is at most 1 at any stopping time. M. F. Pérez-Ortiz, T. Lardy, R. de Heide, P. Grünwald,
  E-statistics, group invariance and anytime-valid testing (Annals of Statistics 52, 2024; arXiv 2208.07610).
* The sum over all k is the Shiryaev-Roberts e-detector: it grows by at most 1 per evaluation in expectation, so on
average
  at least A evaluations pass before it reaches A. J. Shin, A. Ramdas, A. Rinaldo, E-detectors: a nonparametric
  framework for sequential change detection (arXiv 2203.03532), section 2.

Assumed, and not proven: day scores are about normal (``day_scores`` makes them so) and days are independent given the
mean. The prior on the spread (``PRIOR``) makes the e-value exact on average over spreads near it: by simulation its
mean is 0.6 where days differ by chance only, 0.7 at 1.2 times, 0.9 at 1.5, and passes 1 only beyond (1.4 at 2, with
seven days). ``benchmarks/null.py`` measures what that does to false pages. Averaging several signals' e-detectors
bounds the expectation at any fixed evaluation. A bound at the evaluation that alarms would need one filtration for all
(Y. J. Choe and A. Ramdas, Combining evidence across filtrations, arXiv 2402.09698); the simulation covers it instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Side = Literal["rise", "drop", "either"]


@dataclass(frozen=True)
class Prior:
    """The assumption about the spread between days before any day is seen."""

    spread: float
    """Standard deviation of a day's score."""
    days: float
    """Weight of the assumption, in days."""


PRIOR: Final = Prior(1.2, 6.0)
"""1.2 is assumed for healthy endpoints."""
COUNTED: Final = Prior(1.2, 40.0)
"""For scores that are counts of rare events: chance makes most of their spread, so it is mostly known. Their tails are
heavier than normal, so such scores must be reduced (see ``negative_flips``)."""
ASSUMED_SPREAD: Final = 1.5
"""The prior's spread for a baseline captured at once, which shows nothing about it: a cautious value."""
SHIFTS: Final = (1.0, 3.0, 10.0)
"""Prior standard deviations of the shift, in day standard deviations, mixed in equal parts: slow slides, clear
changes, losses. Mixing costs at most log 3."""
LONGEST: Final = 400
"""Largest number of evaluations in the running evidence. A slower change is left to the next baseline."""
_LN10: Final = float(np.log(10.0))


@dataclass(frozen=True)
class Weight:
    """Evidence of a sequence of evaluations against "nothing changed", in log10."""

    evaluation_log10: float
    """The e-value of the latest evaluation alone: expectation at most 1 if nothing changed."""
    running_log10: float
    """The e-detector: the sum over every evaluation at which the change may have begun."""
    began: int
    """Index of the evaluation at which the change most likely began."""


def running(baseline: Sequence[float], evaluations: Sequence[float], side: Side, *, prior: Prior = PRIOR) -> Weight:
    """Weigh all evaluations so far, oldest first, against the baseline's day scores.

    Two-sided evidence is the average of both one-sided ones. Cost O(evaluations). Raises ValueError without a day of
    baseline or without an evaluation.

    >>> [round(10 ** running([-1, 0, 1, 0, 0.5, -0.5, 0], [look], "rise").evaluation_log10, 2) for look in (0, 4, 12)]
    [0.39, 16.68, 101103.84]
    """
    if not evaluations or not baseline:
        raise ValueError("evidence needs at least one day of baseline and one evaluation")
    if side == "either":
        return average(
            [running(baseline, evaluations, "rise", prior=prior), running(baseline, evaluations, "drop", prior=prior)]
        )
    sign = 1.0 if side == "rise" else -1.0
    before = sign * np.asarray(baseline, dtype=np.float64)
    after = sign * np.asarray(evaluations[-LONGEST:], dtype=np.float64)
    since = log_factors(before, after, prior)
    alone = since if after.size == 1 else log_factors(before, after[-1:], prior)
    dropped = len(evaluations) - after.size
    return Weight(float(alone[0]) / _LN10, _log_sum(since) / _LN10, dropped + int(np.argmax(since)))


def average(weights: Sequence[Weight], count: int | None = None) -> Weight:
    """The mean of several evidences, which is again evidence, however they depend on each other (V. Vovk and R. Wang,
    E-values: calibration, combination and applications, Annals of Statistics 49, 2021, section 3). ``count``: the
    number with further ones that are 0."""
    total = count or len(weights)
    evaluation = _log_sum(np.array([one.evaluation_log10 for one in weights]) * _LN10) / _LN10 - np.log10(total)
    grown = _log_sum(np.array([one.running_log10 for one in weights]) * _LN10) / _LN10 - np.log10(total)
    strongest = max(weights, key=lambda one: one.running_log10)
    return Weight(float(evaluation), float(grown), strongest.began)


def measured_spread(baseline: Sequence[float]) -> float:
    """Standard deviation of the baseline's day scores, relative to independent answers; 1 with fewer than two days."""
    return float(np.std(np.asarray(baseline, dtype=np.float64), ddof=1)) if len(baseline) > 1 else 1.0


def likely_spread(baseline: Sequence[float], prior: Prior = PRIOR) -> float:
    """The spread with the prior's days included: the factor that widens intervals, at least 1."""
    days = len(baseline)
    squares = max(0, days - 1) * measured_spread(baseline) ** 2 if days > 1 else 0.0
    return float(max(1.0, np.sqrt((prior.days * prior.spread**2 + squares) / (prior.days + max(0, days - 1)))))


def recovery_log10(
    baseline: Sequence[float], changed: Sequence[float], evaluations: Sequence[float], side: Side
) -> float:
    """Evidence that a change is over: log10 of an e-value against "still at least half of the shift".

    ``changed``: the scores while the alarm built up, ``evaluations``: those after it, oldest first. A normal likelihood
    ratio of "as in the baseline" against "half the shift", with the baseline's likely spread, summed over every
    evaluation at which the recovery may have begun (Shiryaev-Roberts, as in ``running``), so that a change of a month
    does not outweigh the first healthy days. For any shift of half or more, it takes at least 20 evaluations on average
    to reach 1.3.
    """
    if not evaluations:
        return 0.0
    usual, spread = float(np.mean(baseline)), likely_spread(baseline)
    shift = 0.5 * (float(np.mean(changed)) - usual)
    if shift == 0 or side == ("drop" if shift > 0 else "rise"):
        return 0.0
    gaps = np.asarray(evaluations, dtype=np.float64) - usual
    ratios = ((gaps - shift) ** 2 - gaps**2) / (2 * spread**2)
    return _log_sum(np.cumsum(ratios[::-1])) / _LN10


def absent_log10(share: float, answers: int) -> float:
    """Evidence that a fact which ``share`` of the answers showed is gone, from ``answers`` that do not show it.

    log10 of the likelihood ratio of "gone" against "as frequent as before".

    >>> [round(absent_log10(1 / 26, 26 * evaluations), 2) for evaluations in (1, 2, 3)]
    [0.44, 0.89, 1.33]
    """
    return float("inf") if share >= 1 and answers else -answers * float(np.log10(1.0 - min(share, 1.0 - 1e-12)))


def log_factors(before: FloatArray, after: FloatArray, prior: Prior, *, rises: bool = True) -> FloatArray:
    """ln of the Bayes factor for a rise from evaluation k on, for each k: shape (..., evaluations).

    ``before``: (..., days), ``after``: (..., evaluations); paths are weighed in parallel.

    With n days in all, m of them from k on, D the difference of the two means and c = 1/(n-m) + 1/m, the shift's
    prior N(0, g) (in units of the spread) gives sqrt(c/(c+g)) [(S + D^2/c) / (S + D^2/(c+g))]^(v/2), where S is the sum
    of squares within the two groups plus the prior's and v its degrees of freedom. The falling half is cut off by a
    factor of twice the posterior chance of a rise. Days are assumed to differ at least by chance, so that a month
    without a refusal does not make the first one extreme. Without ``rises``, nothing is cut off: the average of a rise
    and a fall.
    """
    from scipy.special import stdtr

    scores = np.concatenate([before, after], axis=-1)
    count = scores.shape[-1]
    first = np.arange(before.shape[-1], count)
    sums = np.cumsum(scores, axis=-1)
    healthy, moved = first.astype(np.float64), (count - first).astype(np.float64)
    gap = (sums[..., -1:] - sums[..., first - 1]) / moved - sums[..., first - 1] / healthy
    error = 1.0 / healthy + 1.0 / moved
    squares = ((scores - scores.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1, keepdims=True)
    whole = prior.days * prior.spread**2 + np.maximum(squares, gap**2 / error + count - 2)
    freedom = prior.days + count - 1
    factors = []
    for width in SHIFTS:
        share = width**2 / (error + width**2)
        rest = whole - share * gap**2 / error
        factor = 0.5 * np.log1p(-share) + 0.5 * freedom * (np.log(whole) - np.log(rest))
        if rises:
            rising = stdtr(freedom, gap * share / np.sqrt(rest / freedom * share * error))
            factor += np.log(np.maximum(2.0 * rising, 1e-300))
        factors.append(factor)
    return np.asarray(np.logaddexp.reduce(np.array(factors), axis=0) - np.log(len(SHIFTS)))


def _log_sum(logs: FloatArray) -> float:
    return float(np.logaddexp.reduce(logs))
