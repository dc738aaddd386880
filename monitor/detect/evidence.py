"""Evidence that may be evaluated every day: e-values, and the e-detector that accumulates them.

A signal's day scores (``day_scores``) are modelled as a constant mean, plus chance, plus an effect of the day, while
nothing changes. Chance has standard deviation 1 by the scale of the scores. How much days differ beyond chance, and how
long a day's effect lasts, is not known. A prior over both (``Prior``) is weighed against the days that were seen: the
baseline's and all evaluations since. So the day-to-day spread and the dependence between days are *measured*, the
baseline's finite length is *accounted for* (its mean is as uncertain as its days make it), and evaluations that share
one baseline are valid together, not only one by one: each is weighed jointly with all before.

* ``running`` weighs evaluations by e-values: the Bayes factor of "the mean moved at evaluation k" against "nothing
  changed", with a flat prior on the mean. For every mean, and on average over the prior, it is a test martingale, so
  its expectation is at most 1 at any stopping time. M. F. Pérez-Ortiz, T. Lardy, R. de Heide, P. Grünwald,
  E-statistics, group invariance and anytime-valid testing (Annals of Statistics 52, 2024; arXiv 2208.07610).
* The sum over all k is the Shiryaev-Roberts e-detector: it grows by at most 1 per evaluation in expectation, so on
  average at least A evaluations pass before it reaches A. J. Shin, A. Ramdas, A. Rinaldo, E-detectors: a nonparametric
  framework for sequential change detection (arXiv 2203.03532), section 2.
* The effect of a day decays with the days between two evaluations as in an Ornstein-Uhlenbeck process (AR(1) for daily
  evaluations). Evaluations on one day share their effect, so a fresh sample on a bad day is no second witness.

Assumed, and not proven: day scores are about normal. ``day_scores`` makes them so as far as answers are concerned, and
``bounded`` limits what one odd day can say. ``benchmarks/null.py`` measures what remains. Averaging several signals'
e-detectors bounds the expectation at any fixed evaluation. A bound at the evaluation that alarms would need one
filtration for all (Y. J. Choe and A. Ramdas, Combining evidence across filtrations, arXiv 2402.09698); the simulation
covers it instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Side = Literal["rise", "drop", "either"]


@dataclass(frozen=True)
class Days:
    """One way in which the days of a healthy endpoint may differ."""

    effect: float
    """Standard deviation of a day's effect, in scores: days spread sqrt(1 + effect^2) times as much as chance."""
    memory: float
    """Correlation of the effects of two consecutive days, 0 to below 1."""

    @property
    def spread(self) -> float:
        return float(np.sqrt(1.0 + self.effect**2))


Prior = tuple[tuple[Days, float], ...]
"""Ways in which days may differ, each with its weight before any day is seen. Weights add up to 1."""

PRIOR: Final[Prior] = (
    (Days(0.66, 0.0), 0.64),
    (Days(1.12, 0.0), 0.22),
    (Days(2.0, 0.0), 0.06),
    (Days(0.66, 0.5), 0.03),
    (Days(1.12, 0.5), 0.02),
    (Days(0.66, 0.85), 0.02),
    (Days(1.12, 0.85), 0.01),
)
"""Spreads of 1.2, 1.5 and 2.2, mostly without memory. Days that differ by chance only are not among them: a rate of
rare failures looks calmer than chance for months, and then the first bad days would count as a wonder."""
AT_ONCE: Final[Prior] = ((Days(1.12, 0.0), 0.8), (Days(2.0, 0.0), 0.2))
"""For a baseline captured at once, which shows nothing about days: a cautious assumption."""
WAYS: Final = tuple(way for way, _ in PRIOR)
OWN: Final = 5.0
"""Weight of ``PRIOR`` against what the fleet shows, in suites."""
MOST_BORROWED: Final = 20.0
"""Largest weight of the fleet, in suites. A target may be unlike all others, so each way keeps a fifth of its own."""
BOUND: Final = 4.0
"""Largest score that counts of a day: one odd day of a healthy endpoint may have any score, so it must not decide."""
RATE_BOUND: Final = 3.5
"""The same for a page signal that watches a rate: rare failures come in clumps, and a page costs more than a ticket."""
FAR: Final = 8.0
"""The same for an evaluation that shows what no odd day of a healthy endpoint could (``Reading.structural``)."""
SHIFTS: Final = (1.0, 3.0, 10.0)
"""Prior standard deviations of the shift, in day standard deviations, mixed in equal parts: slow slides, clear
changes, losses. Mixing costs at most log 3."""
LONGEST: Final = 400
"""Largest number of evaluations in the running evidence. A slower change is left to the next baseline."""
ASSUMED_DAYS: Final = 6.0
ASSUMED_SPREAD: Final = 1.2
"""The spread that intervals assume before any day is seen, and its weight in days."""
_STEPS: Final = 30
_LN10: Final = float(np.log(10.0))


def bounded(score: float, bound: float) -> float:
    """What counts of a day's score."""
    return min(bound, max(-bound, score))


@dataclass(frozen=True)
class Weight:
    """Evidence of a sequence of evaluations against "nothing changed", in log10."""

    evaluation_log10: float
    """The e-value of the latest evaluation alone: expectation at most 1 if nothing changed."""
    running_log10: float
    """The e-detector: the sum over every evaluation at which the change may have begun."""
    began: int
    """Index of the evaluation at which the change most likely began."""


def running(
    baseline: Sequence[float],
    evaluations: Sequence[float],
    side: Side,
    *,
    prior: Prior = PRIOR,
    days: Sequence[int] | None = None,
) -> Weight:
    """Weigh all evaluations so far, oldest first, against the baseline's day scores.

    ``days``: the day of each score, the baseline's first; ``None``: consecutive days. Two-sided evidence is the average
    of both one-sided ones. Raises ValueError without a day of baseline or without an evaluation.

    >>> [round(10 ** running([-1, 0, 1, 0, 0.5, -0.5, 0], [look], "rise").evaluation_log10, 2) for look in (0, 4, 12)]
    [0.39, 21.75, 7672823.62]
    """
    if not evaluations or not baseline:
        raise ValueError("evidence needs at least one day of baseline and one evaluation")
    if side == "either":
        both = [running(baseline, evaluations, one, prior=prior, days=days) for one in ("rise", "drop")]
        return average(both)
    sign = 1.0 if side == "rise" else -1.0
    before = sign * np.asarray(baseline, dtype=np.float64)
    after = sign * np.asarray(evaluations[-LONGEST:], dtype=np.float64)
    dropped = len(evaluations) - after.size
    places = tuple(range(before.size + len(evaluations))) if days is None else tuple(days)
    head = places[: before.size]
    since = log_factors(before, after, prior, days=head + places[before.size + dropped :])
    alone = since if after.size == 1 else log_factors(before, after[-1:], prior, days=(*head, places[-1]))
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


def likely_spread(baseline: Sequence[float]) -> float:
    """The spread between days with an assumption of ``ASSUMED_DAYS`` days included: the factor that widens intervals,
    at least 1."""
    free = max(0, len(baseline) - 1)
    squares = free * measured_spread(baseline) ** 2
    return float(max(1.0, np.sqrt((ASSUMED_DAYS * ASSUMED_SPREAD**2 + squares) / (ASSUMED_DAYS + free))))


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


def log_factors(
    before: FloatArray,
    after: FloatArray,
    prior: Prior = PRIOR,
    *,
    days: tuple[int, ...] | None = None,
) -> FloatArray:
    """ln of the Bayes factor for a rise from evaluation k on, for each k: shape (..., evaluations).

    ``before``: (..., days), ``after``: (..., evaluations); paths are weighed in parallel. ``days``: as in ``running``.

    With C the covariance of the scores under one way in which days differ, e_k the generalised least squares estimate
    of the shift times its precision q_k, and N(0, g) the prior of the shift, the factor is

        sqrt(1 / (1 + g q_k)) exp(g e_k^2 / (2 (1 + g q_k))) times twice the posterior chance of a rise.

    Both sides are averaged over the prior with the likelihoods of the scores.
    """
    from scipy.special import ndtr

    scores = np.concatenate([before, after], axis=-1)
    places = tuple(range(scores.shape[-1])) if days is None else days
    unchanged, moved = [], []
    for way, weight in prior:
        shape = _shape(way, places)
        null, estimate = shape.weigh(scores)
        estimate, precision = estimate[..., before.shape[-1] :], shape.precision[before.shape[-1] :]
        factors = []
        for width in SHIFTS:
            scale = (width * way.spread) ** 2
            share = scale * precision / (1.0 + scale * precision)
            root = estimate * np.sqrt(share / precision)
            factor = 0.5 * np.log1p(-share) + 0.5 * root**2
            factors.append(factor + np.log(np.maximum(2.0 * ndtr(root), 1e-300)))
        unchanged.append(np.log(weight) + null)
        moved.append(np.log(weight) + null + np.logaddexp.reduce(factors, axis=0) - np.log(len(SHIFTS)))
    return np.asarray(np.logaddexp.reduce(moved, axis=0) - np.logaddexp.reduce(unchanged, axis=0))


def expected_spread(weights: Sequence[float] | None = None) -> float:
    """How much healthy days are expected to differ, as a multiple of chance, before any day is seen.

    ``weights``: of ``WAYS``, as in ``borrowed``; ``None``: those of ``PRIOR``.
    """
    known = [weight for _, weight in PRIOR] if weights is None else weights
    return sum(way.spread * weight for way, weight in zip(WAYS, known, strict=True))


def log_likelihoods(scores: Sequence[float], days: Sequence[int]) -> tuple[float, ...]:
    """ln of the likelihood of the scores under each of ``WAYS``, if nothing changed. ``days``: the day of each."""
    values, places = np.array(scores, dtype=np.float64), tuple(days)
    return tuple(float(_shape(way, places).weigh(values)[0][0]) for way in WAYS)


def borrowed(fleet: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The weights of ``WAYS`` for one suite, with what other suites show: empirical Bayes with a Dirichlet prior.

    ``fleet``: ``log_likelihoods`` of the same signal in other suites. The weights of a mixture, by expectation
    maximisation (A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Statist. Soc. B 39, 1977), shrunk to ``PRIOR``.

    >>> quiet = log_likelihoods([0.3, -0.9, 0.2, 1.0, -0.4, 0.1, -1.1, 0.8, 0.5, -0.2], range(10))
    >>> sum(weight for way, weight in zip(WAYS, borrowed([quiet] * 40)) if way.spread > 1.4) < 0.1
    True
    """
    prior = np.array([weight for _, weight in PRIOR])
    if not fleet:
        return tuple(prior.tolist())
    likelihoods = np.asarray(fleet, dtype=np.float64)
    counted = min(MOST_BORROWED, float(len(fleet)))
    weights = prior
    for _ in range(_STEPS):
        logs = np.log(weights) + likelihoods
        chances = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
        weights = (OWN * prior + counted * chances.mean(axis=0)) / (OWN + counted)
    return tuple(weights.tolist())


@dataclass(frozen=True)
class _Shape:
    """What ``log_factors`` needs of one way and one sequence of days, whatever the scores."""

    inverse: FloatArray
    """Of the scores' covariance: (n, n)."""
    ones: FloatArray
    """The inverse times a column of ones."""
    constant: float
    """The part of the log likelihood that does not depend on the scores."""
    common: FloatArray
    """For each of the scores k: how much of a shift from k on the mean could take up."""
    precision: FloatArray
    """q_k, for each k."""

    def weigh(self, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The log likelihood if nothing changed, (..., 1), and the estimates e_k, (..., n)."""
        weighed = scores @ self.inverse
        level = (scores @ self.ones)[..., None] / self.ones.sum()
        null = self.constant - 0.5 * ((scores * weighed).sum(-1, keepdims=True) - level**2 * self.ones.sum())
        since = np.cumsum(weighed[..., ::-1], axis=-1)[..., ::-1]
        return null, since - self.common * level


@lru_cache(maxsize=32)
def _shape(way: Days, days: tuple[int, ...]) -> _Shape:
    place = np.asarray(days, dtype=np.float64)
    apart = np.abs(place[:, None] - place)
    shared = way.memory**apart if way.memory else (apart == 0).astype(np.float64)
    covariance = np.eye(place.size) + way.effect**2 * shared
    inverse = np.linalg.inv(covariance)
    ones = inverse.sum(axis=0)
    constant = -0.5 * (np.linalg.slogdet(covariance)[1] + np.log(ones.sum()))
    common = np.cumsum(ones[::-1])[::-1]
    blocks = np.cumsum(np.cumsum(inverse[::-1, ::-1], axis=0), axis=1).diagonal()[::-1]
    return _Shape(inverse, ones, float(constant), common, np.maximum(blocks - common**2 / ones.sum(), 1e-12))


def _log_sum(logs: FloatArray) -> float:
    return float(np.logaddexp.reduce(logs))
