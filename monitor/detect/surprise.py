"""From one number per answer to one number per day: how far a day's answers stand from those of the other days.

If nothing changed, an answer of a day could have been any of those that its probe ever got: picks at random from the
probe's pooled answers (Fisher's randomisation test, stratified by probe). A day's *score* is its place in that
distribution, told in standard deviations of a normal one, so that days of the baseline and of now stand on one scale:
about normal with a standard deviation of 1 where answers are independent, wider where days differ.

The tail is Barndorff-Nielsen's modified signed root r* of the saddlepoint approximation, which follows skewed and
discrete sums far out where a plain z does not: three odd answers in 24 where one in 300 is usual are a score of 3,
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
"""Standard deviation of the noise that each answer's number is thought to have, in pooled standard deviations within
probes. It makes sums of a few discrete values continuous (as a mid-p-value does) and keeps far-out scores finite; it
widens the distribution by 1 %."""
LEAST_SHARE: Final = 0.5
"""Days of the baseline with under this share of a usual day's answers are left out: they spread more."""
FARTHEST: Final = 40.0
"""No score is farther out: beyond, the assumptions are what could be wrong, not the arithmetic."""
_STEPS: Final = 60


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
    """A sample from (stratum, day, value); strata with one side only are left out; ``None`` when none is left.

    Rows may come in any order: they are sorted, so that sums, and with them verdicts, do not depend on it.
    """
    ordered = sorted(rows)
    now = {stratum for stratum, day, _ in ordered if day == NOW}
    then = {stratum for stratum, day, _ in ordered if day != NOW}
    kept = [row for row in ordered if row[0] in now & then]
    if not kept:
        return None
    _, strata = np.unique([row[0] for row in kept], return_inverse=True)
    days = np.array([row[1] for row in kept], dtype=np.int64)
    return Sample(strata.astype(np.int64), days, np.array([row[2] for row in kept], dtype=np.float64))


@dataclass(frozen=True)
class DayScores:
    """The days of one sample on one scale: standard deviations that independent answers would have."""

    now: float
    baseline: tuple[float, ...]
    """One for each full day of the baseline, in their order."""


def day_scores(sample: Sample, *, tolerance: float = 0.0) -> DayScores:
    """The score of today's sum and of each baseline day's, each against its probes' pooled answers.

    Positive means larger values than usual. Today is compared with the baseline and itself, a day of the baseline
    with the baseline (which it is part of): each is pulled towards 0 by its own share of the pool, a little.
    A day whose values leave no room for surprise (all pooled values equal) scores 0. ``tolerance`` (in the value's unit,
    >= 0): today's mean is first moved towards the usual by as much, so that a change no larger scores about 0.

    >>> rows = [(probe, day, float(day == NOW)) for probe in "abcdefgh" for day in (NOW, *range(10))]
    >>> found = day_scores(sample_of(rows))
    >>> round(found.now, 1), set(found.baseline)
    (6.0, {0.0})
    """
    then = ~sample.now
    pooled = _Pool(sample.stratum, sample.value)
    before = _Pool(sample.stratum[then], sample.value[then])
    full = full_days(sample.day[then])
    baseline = tuple(
        before.score(sample.stratum[sample.day == day], sample.value[sample.day == day]) for day in full.tolist()
    )
    now = pooled.score(sample.stratum[sample.now], sample.value[sample.now], tolerance)
    return DayScores(now, baseline)


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

    def score(self, stratum: IntArray, value: FloatArray, tolerance: float = 0.0) -> float:
        """r* of the sum of ``value``, picked from the pool of its strata; 0 where nothing can surprise."""
        if self.spread <= 1e-12 or value.size == 0:
            return 0.0
        places = np.searchsorted(self.names, stratum)
        picked = np.bincount(places, minlength=self.names.size).astype(np.float64)
        total = float((value - self.means[places]).sum())
        total = float(np.sign(total)) * max(0.0, abs(total) - tolerance * value.size) / self.spread
        used = picked > 0
        return _modified_root(self.table[used], self.chance[used], picked[used], total)


def _modified_root(table: FloatArray, chance: FloatArray, picked: FloatArray, total: float) -> float:
    """r* = r + log(u / r) / r at the saddlepoint s with K'(s) = ``total`` (found by safeguarded Newton steps)."""
    variance = float((picked * ((chance * table**2).sum(1))).sum()) + SMOOTHING**2 * float(picked.sum())
    if abs(total) < 1e-6 * np.sqrt(variance):
        return 0.0
    s, low, high = total / variance, -np.inf, np.inf
    cumulant = slope = curve = 0.0
    for _ in range(_STEPS):
        cumulant, slope, curve = _cumulants(table, chance, picked, s)
        gap = slope - total
        if abs(gap) <= 1e-9 * max(1.0, abs(total)):
            break
        low, high = (s, high) if gap < 0 else (low, s)
        step = s - gap / curve
        inside = low < step < high
        s = step if inside else (0.5 * (low + high) if np.isfinite(low + high) else 2.0 * s)
    root = np.sign(s) * np.sqrt(max(0.0, 2.0 * (s * total - cumulant)))
    if abs(root) < 1e-4:
        return float(total / np.sqrt(variance))
    score = root + np.log(s * np.sqrt(curve) / root) / root
    return float(np.clip(score, -FARTHEST, FARTHEST))


def _cumulants(table: FloatArray, chance: FloatArray, picked: FloatArray, s: float) -> tuple[float, float, float]:
    """K(s) and its first two derivatives for the sum of ``picked`` independent picks a row, with the smoothing."""
    exponent = s * table
    top = np.where(chance > 0, exponent, -np.inf).max(1, keepdims=True)
    weight = chance * np.exp(exponent - top)
    mass = weight.sum(1)
    mean = (weight * table).sum(1) / mass
    spread = (weight * table**2).sum(1) / mass - mean**2
    noise, count = SMOOTHING**2, float(picked.sum())
    return (
        float((picked * (np.log(mass) + top[:, 0])).sum()) + 0.5 * noise * s * s * count,
        float((picked * mean).sum()) + noise * s * count,
        float((picked * np.maximum(spread, 0.0)).sum()) + noise * count,
    )
