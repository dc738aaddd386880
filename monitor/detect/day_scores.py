"""From one number per answer to one number per day: how far a day's answers are from those of the other days.

If nothing changed, a day's answer could have been any of its probe's answers: a random pick from the probe's pooled
answers (Fisher's randomisation test, stratified by probe). A day's *score* is its place in that distribution, in
standard deviations of a normal one, so that days of the baseline and of now are on one scale: about normal with a
standard deviation of 1 where answers are independent, wider where days differ.

The tail is Barndorff-Nielsen's modified signed root r* of the saddlepoint approximation, which is accurate for skewed
and discrete sums far out where a plain z is not: three odd answers in 24 where one in 300 is usual are a score of 3,
not of 6. J. Robinson, Saddlepoint approximations for permutation tests and confidence intervals (J. R. Statist. Soc. B
44, 1982); O. E. Barndorff-Nielsen, Inference on full or partial parameters (Biometrika 73, 1986).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NOW: Final = -1
"""The day index of the answers that are judged; the baseline's days count from 0."""
SMOOTHING: Final = 0.15
"""Standard deviation of the noise that each answer's number is assumed to have, in pooled standard deviations within
probes. It makes sums of a few discrete values continuous (as a mid-p-value does) and keeps far-out scores finite; it
widens the distribution by 1 %."""
LEAST_SHARE: Final = 0.5
"""Days of the baseline with less than this share of a usual day's answers are left out: their scores vary more."""
FARTHEST: Final = 40.0
"""Bound of scores. Beyond it, the assumptions limit the accuracy, not the arithmetic."""
_STEPS: Final = 100


@dataclass(frozen=True)
class Sample:
    """One number per answer, today's and the baseline's. Arrays of one length, sorted, without NaN.

    ``stratum``: index of the probe; only answers of one stratum are exchanged. ``day``: ``NOW`` or 0 .. J - 1.
    Every stratum holds at least one answer of today and one of the baseline.
    """

    stratum: IntArray
    day: IntArray
    value: FloatArray

    @property
    def now(self) -> NDArray[np.bool_]:
        return np.asarray(self.day == NOW)

    @property
    def strata(self) -> int:
        return int(np.unique(self.stratum).size)


def sample_of(rows: Iterable[tuple[str, int, float]]) -> Sample | None:
    """A sample from (stratum, day, value); strata with one side only are left out; ``None`` if no stratum is left.

    Rows may have any order: they are sorted, so that sums and verdicts do not depend on it.
    """
    ordered = sorted(rows)
    now = {stratum for stratum, day, _ in ordered if day == NOW}
    then = {stratum for stratum, day, _ in ordered if day != NOW}
    place = {stratum: index for index, stratum in enumerate(sorted(now & then))}
    if not place:
        return None
    strata, days, values = zip(*(row for row in ordered if row[0] in place), strict=True)
    return Sample(
        np.array([place[one] for one in strata], dtype=np.int64),
        np.array(days, dtype=np.int64),
        np.array(values, dtype=np.float64),
    )


@dataclass(frozen=True)
class DayScores:
    """The days of one sample on one scale: standard deviations that independent answers would have."""

    now: float
    baseline: tuple[float, ...]
    """One for each full day of the baseline, in their order."""


def day_scores(sample: Sample, *, tolerance: float = 0.0) -> DayScores:
    """The score of today's sum and of each baseline day's, each against its probes' pooled answers.

    Positive means larger values than usual. Today is compared with the baseline and itself, a day of the baseline
    with the baseline (which includes it): each is pulled slightly toward 0 by its own share of the pool. If all pooled
    values are equal, the score is 0. ``tolerance`` (in the value's unit, >= 0): today's mean is first moved toward the
    usual by this much, so that a change no larger scores about 0.

    >>> rows = [(probe, day, float(day == NOW)) for probe in "abcdefgh" for day in (NOW, *range(10))]
    >>> found = day_scores(sample_of(rows))
    >>> round(found.now, 1), set(found.baseline)
    (6.0, {0.0})
    """
    then = ~sample.now
    stratum, day, value = sample.stratum[then], sample.day[then], sample.value[then]
    baseline = _Pool(stratum, value).scores(
        [(stratum[day == one], value[day == one]) for one in full_days(day).tolist()]
    )
    return DayScores(score_now(sample, tolerance=tolerance), tuple(baseline.tolist()))


def score_now(sample: Sample, *, tolerance: float = 0.0) -> float:
    """Today's score alone, for signals whose samples differ from day to day."""
    pooled = _Pool(sample.stratum, sample.value)
    return float(pooled.scores([(sample.stratum[sample.now], sample.value[sample.now])], tolerance)[0])


def full_days(days: IntArray) -> IntArray:
    """The baseline's days that hold at least ``LEAST_SHARE`` of the median day's answers."""
    answers = np.bincount(days)
    return np.flatnonzero(answers >= max(1.0, LEAST_SHARE * float(np.median(answers[answers > 0]))))


class _Pool:
    """The pooled numbers of each probe, centred and in pooled standard deviations, as rows of one padded array."""

    def __init__(self, stratum: IntArray, value: FloatArray) -> None:
        order = np.argsort(stratum, kind="stable")
        self.names, counts = np.unique(stratum[order], return_counts=True)
        rows = np.repeat(np.arange(counts.size), counts)
        columns = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
        self.means = np.bincount(rows, value[order]) / counts
        centred = value[order] - self.means[rows]
        freedom = max(1, centred.size - counts.size)
        self.spread = float(np.sqrt((centred**2).sum() / freedom))
        self.table = np.zeros((counts.size, int(counts.max())))
        self.chance = np.zeros_like(self.table)
        if self.spread > 1e-12:
            self.table[rows, columns] = centred / self.spread
        self.chance[rows, columns] = 1.0 / counts[rows]

    def scores(self, days: list[tuple[IntArray, FloatArray]], tolerance: float = 0.0) -> FloatArray:
        """The score of each day's (strata, values) as picks from the pool; 0 if all pooled values are equal."""
        if self.spread <= 1e-12:
            return np.zeros(len(days))
        picked = np.zeros((len(days), self.names.size))
        total = np.zeros(len(days))
        for index, (stratum, value) in enumerate(days):
            places = np.searchsorted(self.names, stratum)
            picked[index] = np.bincount(places, minlength=self.names.size)
            away = float((value - self.means[places]).sum())
            total[index] = np.sign(away) * max(0.0, abs(away) - tolerance * value.size) / self.spread
        return modified_roots(self.table[None], self.chance[None], picked, total)


def modified_roots(table: FloatArray, chance: FloatArray, picked: FloatArray, total: FloatArray) -> FloatArray:
    """r* of each day's sum: shape (days,).

    Args:
        table: values of each probe's pool, centred, (days or 1, probes, answers).
        chance: of each value to be picked, the same shape; 0 where there is none, each row sums to 1 or is 0.
        picked: picks from each probe's pool, (days, probes).
        total: the day's sum of centred values, (days,).

    r* = r + log(u / r) / r at the saddlepoint s with K'(s) = ``total``, found by safeguarded Newton steps. Near the
    middle, where r* of a few rare events has the wrong sign, the plain score is used.
    """
    variance = (picked * (chance * table**2).sum(2)).sum(1) + SMOOTHING**2 * picked.sum(1)
    spread = np.sqrt(np.maximum(variance, 1e-300))
    plain = total / spread
    s, cumulant, curve = _saddlepoints(table, chance, picked, total, variance)
    root = np.sign(s) * np.sqrt(np.maximum(0.0, 2.0 * (s * total - cumulant)))
    far = np.abs(root) > 1e-3
    safe, at = np.where(far, root, 1.0), np.where(far, s, 1.0)
    bent = safe + np.log(np.maximum(at * np.sqrt(curve) / safe, 1e-300)) / safe
    return np.clip(np.where(far & (np.sign(bent) == np.sign(total)), bent, plain), -FARTHEST, FARTHEST)


def _saddlepoints(
    table: FloatArray, chance: FloatArray, picked: FloatArray, total: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """s with K'(s) = ``total`` of each day, K(s) and K''(s)."""
    s, low, high = total / np.maximum(variance, 1e-300), np.full(total.size, -np.inf), np.full(total.size, np.inf)
    cumulant, curve = np.zeros(total.size), np.ones(total.size)
    going = np.flatnonzero(np.abs(total) > 0)
    for _ in range(_STEPS):
        rows = going if len(table) > 1 else slice(None)
        cumulant[going], slope, curve[going] = _cumulants(table[rows], chance[rows], picked[going], s[going])
        gap = slope - total[going]
        left = np.abs(gap) > 1e-9 * np.maximum(1.0, np.abs(total[going]))
        going, gap = going[left], gap[left]
        if not going.size:
            break
        low[going] = np.where(gap < 0, s[going], low[going])
        high[going] = np.where(gap < 0, high[going], s[going])
        step = s[going] - gap / curve[going]
        bounded = np.isfinite(low[going]) & np.isfinite(high[going])
        middle = 0.5 * (np.where(bounded, low[going], 0.0) + np.where(bounded, high[going], 0.0))
        inside = (low[going] < step) & (step < high[going])
        s[going] = np.where(inside, step, np.where(bounded, middle, 2.0 * s[going]))
    return s, cumulant, curve


def _cumulants(
    table: FloatArray, chance: FloatArray, picked: FloatArray, s: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """K(s) and its first two derivatives for the sum of ``picked`` independent picks a row, with the smoothing."""
    exponent = s[:, None, None] * table
    top = np.where(chance > 0, exponent, -np.inf).max(2)
    top = np.where(np.isfinite(top), top, 0.0)
    weight = chance * np.exp(np.minimum(exponent - top[:, :, None], 0.0))
    mass = np.maximum(weight.sum(2), 1e-300)
    weighted = weight * table
    mean = weighted.sum(2) / mass
    spread = (weighted * table).sum(2) / mass - mean**2
    noise, count = SMOOTHING**2, picked.sum(1)
    return (
        (picked * np.where(picked > 0, np.log(mass) + top, 0.0)).sum(1) + 0.5 * noise * s * s * count,
        (picked * mean).sum(1) + noise * s * count,
        (picked * np.maximum(spread, 0.0)).sum(1) + noise * count,
    )
