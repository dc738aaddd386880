"""From one number per answer to a p-value: exact shuffles inside each probe, and the days as they really spread.

Signals say what to measure on an answer; this module says how surprising today's numbers are. It is the only place
that knows how evidence is made.

Two nulls are tested, and the larger p-value counts, so that a verdict is honest if either one is right:

* *Shuffles.* If nothing changed, today's answer to a probe could have been any of those that the probe ever got. All
  ways to pick today's answers, probe by probe, are counted exactly (no random draws, no normal approximation), so
  the level holds for two answers or fifty, with ties, at temperature 0. The statistic is the sum of today's
  numbers, each rounded to a fine grid so that the count is a convolution. This is Fisher's randomisation test,
  stratified by probe: R. A. Fisher, The Design of Experiments (1935); E. S. Edgington and P. Onghena, Randomization
  Tests (2007), chapter 5. It takes answers of one day as independent.
* *Days.* They are not: a provider has good days and bad ones, and then a baseline the size of many answers says less
  than it seems to. Today's mean is one more day beside the J days of the baseline, so Student's t with J - 1 degrees of
  freedom says whether it belongs there, whatever the spread between days is. It takes day means as normal, which is
  what shuffles guard where answers are few or nearly deterministic.

What it costs: with 7 days the second line stands at 7.6 standard deviations of a day's mean for alpha 1.4e-4, with 14
at 4.9, with 28 at 4.2. With fewer than ``ENOUGH_DAYS``, or a baseline captured at once, the spread between days cannot
be measured: then the shuffles' z is divided by ``ASSUMED_INFLATION`` and the finding says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Side = Literal["drop", "rise", "either"]

NOW: Final = -1
"""The day index of the answers that are judged; the baseline's days count from 0."""
ENOUGH_DAYS: Final = 4
"""Days from which the spread between days is measured; with three degrees of freedom a total loss is still seen."""
ASSUMED_INFLATION: Final = 1.5
"""Standard deviation of z taken where days cannot be compared. 1.2 is what the design reckons with on honest
endpoints; 1.5 is on the safe side of it, and a total loss still stands out."""
P_FLOOR: Final = 1e-15
"""No p-value is reported below: so far out the assumptions, not the arithmetic, are what could be wrong."""
_GRID: Final = 10_000
"""Grid points of the statistic, over all of today's answers together."""
_WORK: Final = 1e8
"""Table entries filled to count the picks of one look: half a second where 100 of 1,000 answers are one stratum."""


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
class Look:
    """What one look at one sample says."""

    p_value: float
    """``P_FLOOR`` to 1."""
    inflation: float
    """Standard deviation of a day's mean over what independent answers would give, at least 1; scales intervals."""
    days: int
    """Days of the baseline that were compared; 0 where the spread between days was assumed, not measured."""

    @property
    def caveat(self) -> str:
        """A sentence for the summary where the spread between days is assumed; empty otherwise."""
        if self.days:
            return ""
        return (
            f" The baseline was captured at once, or spans under {ENOUGH_DAYS} days, so the usual spread between days "
            f"is not known; p-values are widened as if it were {ASSUMED_INFLATION} times chance."
        )


def look(sample: Sample, side: Side, *, tolerance: float = 0.0, at_once: bool = False) -> Look:
    """How surprising today's mean is if nothing changed by more than ``tolerance`` (in the value's own unit, >= 0).

    ``side``: ``drop`` and ``rise`` are one-sided, ``either`` doubles the smaller of the two.

    >>> sample = sample_of([(probe, day, float(day)) for probe in "abc" for day in (NOW, 0, 1, 2)])
    >>> round(look(sample, "drop", at_once=True).p_value, 4)  # z of 1/64, over 1.5
    0.0757
    """
    if side == "either":
        low = look(sample, "drop", tolerance=tolerance, at_once=at_once)
        high = look(sample, "rise", tolerance=tolerance, at_once=at_once)
        return Look(min(1.0, 2 * min(low.p_value, high.p_value)), low.inflation, low.days)
    sign = 1.0 if side == "drop" else -1.0
    by_shuffles = shuffle_p(sample.stratum, sample.now, sign * sample.value, tolerance)
    days = _day_means(sample)
    if at_once or days is None:
        deflated = NormalDist().cdf(NormalDist().inv_cdf(min(by_shuffles, 0.5)) / ASSUMED_INFLATION)
        return Look(max(P_FLOOR, by_shuffles, deflated), ASSUMED_INFLATION, 0)
    now, then, expected = days
    by_days = _day_p(sign * now + tolerance, sign * then)
    inflation = max(1.0, float(then.std(ddof=1)) / expected) if expected > 0 else 1.0
    return Look(max(P_FLOOR, by_shuffles, by_days), inflation, then.size)


def shuffle_p(stratum: IntArray, now: NDArray[np.bool_], value: FloatArray, tolerance: float = 0.0) -> float:
    """Exact chance that answers picked at random from each stratum, as many as ``now`` has there, sum to as little.

    The sum is that of ``value`` rounded to a grid, plus ``tolerance`` for each of today's answers (which can only
    make the p-value larger). Between the smallest possible chance, 1 over the number of picks, and 1.
    """
    low, high = float(value.min()), float(value.max())
    picks = int(now.sum())
    if high - low <= 1e-12 or picks == 0:
        return 1.0
    step = (high - low) / _levels(stratum, now, value)
    grid = np.rint((value - low) / step).astype(np.int64)
    observed = int(grid[now].sum() + max(0.0, tolerance) * picks / step + 1e-9)
    total = np.ones(1)
    for one in np.unique(stratum):
        inside = stratum == one
        total = _add(total, _pick_sums(grid[inside], int(now[inside].sum())))
    # every term is positive, so that even the smallest tail keeps its digits
    return min(1.0, float(total[: observed + 1].sum()))


def _levels(stratum: IntArray, now: NDArray[np.bool_], value: FloatArray) -> int:
    """Grid steps between the least and the greatest value: as fine as ``_WORK`` allows, 1 where there are but two
    values.

    A coarse grid costs a little power and no honesty: the statistic is that of the rounded values.
    """
    if np.unique(value).size == 2:
        return 1
    sizes, picks = np.bincount(stratum), np.bincount(stratum, now)
    work = float((sizes * picks**2).sum())
    return int(min(200, max(10, min(_GRID / picks.sum(), _WORK / work))))


def _pick_sums(values: IntArray, picks: int) -> FloatArray:
    """Chance of each sum of ``picks`` of ``values`` drawn without replacement; index = the sum."""
    if picks >= values.size:
        return np.asarray(np.eye(1, int(values.sum()) + 1, int(values.sum()))[0])
    if picks == 1:
        return np.asarray(np.bincount(values) / values.size)
    # sums[r, s]: chance, after some values, that r of them were picked and add up to s (sequential sampling)
    sums = np.zeros((picks + 1, int(np.sort(values)[-picks:].sum()) + 1))
    sums[0, 0] = 1.0
    taken = np.arange(picks + 1)[:, None]
    for seen, value in enumerate(values.tolist()):
        chance = np.clip((picks - taken) / (values.size - seen), 0.0, 1.0)
        moved = sums * chance
        sums = sums * (1.0 - chance)
        sums[1:, value:] += moved[:-1, : sums.shape[1] - value]
    return np.asarray(sums[picks])


def _add(total: FloatArray, part: FloatArray) -> FloatArray:
    """Distribution of the sum of two independent whole numbers. Direct, not by FFT: tails stay exact."""
    chances = np.flatnonzero(part)
    if chances.size > 64:
        return np.convolve(total, part)
    out = np.zeros(total.size + part.size - 1)
    for at in chances.tolist():
        out[at : at + total.size] += part[at] * total
    return out


def _day_means(sample: Sample) -> tuple[float, FloatArray, float] | None:
    """Today's mean, the baseline days' means (probe effects removed), and the sd of a mean if answers were independent.

    ``None`` with fewer than ``ENOUGH_DAYS``. Days with under half of the usual answers are left out: their means
    spread more.
    """
    sizes = np.bincount(sample.stratum)
    centred = sample.value - (np.bincount(sample.stratum, sample.value) / sizes)[sample.stratum]
    then = sample.day[~sample.now]
    answers = np.bincount(then)
    full = np.flatnonzero(answers >= max(1.0, 0.5 * float(np.median(answers[answers > 0]))))
    if full.size < ENOUGH_DAYS:
        return None
    means = np.array([centred[sample.day == day].mean() for day in full])
    freedom = max(1, sample.value.size - sizes.size)
    expected = sqrt(float((centred**2).sum()) / freedom / float(answers[full].mean()))
    return float(centred[sample.now].mean()), means, expected


def _day_p(now: float, then: FloatArray) -> float:
    """One-sided p of one new day among J: Student's prediction of one more observation, J - 1 degrees of freedom."""
    from scipy.special import stdtr

    gap = now - float(then.mean())
    spread = float(then.std(ddof=1)) * sqrt(1 + 1 / then.size)
    if spread <= 1e-12:
        # days that never differed say nothing about how far one may stray: the shuffles decide
        return 0.0 if gap < -1e-12 else 1.0
    return float(stdtr(then.size - 1, gap / spread))
