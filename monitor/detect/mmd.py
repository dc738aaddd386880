"""Comparison of two groups of answers as a whole: permutation tests by matrix products.

Null hypothesis: within a probe, any of its pooled answers could have been today's. So labels are permuted within each
probe (a stratified permutation test) and statistics are computed from *contrasts*: a row of weights per permutation,
1/m for the m answers labelled as today's and -1/(n - m) for the others. With the contrast w, w K w is the squared
maximum mean discrepancy (MMD) in the kernel K (A. Gretton et al., A kernel two-sample test, JMLR 13, 2012; its biased
form, of which the unbiased one is a shift where group sizes are fixed) and w X is the difference of the groups' mean
vectors, so that thousands of permutations are a few products. A probe with few answers has few distinct labellings
("ways"): each is computed once, and a permutation picks one for each probe.

A day's score is its place among the permutations as a normal quantile: by rank up to the 99th percentile, and beyond by
Wilson and Hilferty's cube root of the gamma distribution with the permutations' first three moments, set to meet there
(E. B. Wilson and M. M. Hilferty, PNAS 17, 1931; tails fitted beyond what was drawn: T. A. Knijnenburg et al.,
Bioinformatics 25, 2009), so that a complete change scores far beyond what 10,000 permutations can resolve.

Cost: per way and probe of n answers O(n d), with d features or kernel vectors (at most n), in single precision.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from math import comb
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.core.records import Arm, Comparison, GradedAnswer
from monitor.detect import evidence
from monitor.detect.common import FEWEST_BASELINE, FEWEST_NOW, by_probe, day_index
from monitor.detect.day_scores import FARTHEST, NOW, DayScores, FloatArray, IntArray, full_days
from monitor.detect.measurement import Channel

Single = NDArray[np.float32]

PERMUTATIONS: Final = 10_000
"""Permutations for today's score; its p-value is at least 1/10,001."""
PERMUTATIONS_A_DAY: Final = 1_000
"""Permutations for a baseline day's score; days with the same numbers of answers share them."""
WHITENING: Final = 0.75
"""Power of the standard deviation that ``Shift`` divides by; measured on the lab's faults, flat from 0.5 to 1."""
_NUMBERS: Final = 2_000_000
"""Weights in memory at once, 8 MB, so that they fit the processor's cache."""
_BITS: Final = 52
"""Number of labels that fit the mantissa of a double."""
_BY_RANK: Final = 0.01
"""Share of the permutations beyond which a score uses the fitted tail instead of ranks."""
_BOOTSTRAPS: Final = 1_000


@dataclass(frozen=True)
class Grouped:
    """The subject's answers by probe, probes with answers on both sides only, each answer with its day."""

    probes: tuple[str, ...]
    answers: tuple[tuple[GradedAnswer, ...], ...]
    days: tuple[IntArray, ...]
    """``NOW`` or the index of the baseline's day, for each of ``answers``."""

    @property
    def now(self) -> int:
        return sum(int((days == NOW).sum()) for days in self.days)

    @property
    def baseline(self) -> int:
        return sum(int((days != NOW).sum()) for days in self.days)


def grouped(comparison: Comparison, wanted: Callable[[GradedAnswer], bool] = lambda _: True) -> Grouped | None:
    """The subject's wanted answers; ``None`` if there are too few for a verdict."""
    index = day_index(comparison.baseline)
    now, then = by_probe(filter(wanted, comparison.now), Arm.SUBJECT), by_probe(
        filter(wanted, comparison.baseline), Arm.SUBJECT
    )  # fmt: skip
    probes = tuple(sorted(now.keys() & then.keys()))
    found = Grouped(
        probes,
        tuple((*now[probe], *then[probe]) for probe in probes),
        tuple(np.array([NOW] * len(now[probe]) + [index[one.slot] for one in then[probe]]) for probe in probes),
    )
    return found if found.now >= FEWEST_NOW and found.baseline >= FEWEST_BASELINE else None


@dataclass(frozen=True)
class Dealt:
    """Permuted labels as contrasts: ``ways``, a row for each distinct labelling of a stratum, and ``picks``, the row of
    each stratum in every permutation."""

    ways: Sequence[Single]
    picks: Sequence[IntArray]

    def total(self, part: Callable[[int, Single], Single]) -> Single:
        """The sum of ``part`` of (stratum, ways) over the strata, for every permutation."""
        pairs = enumerate(zip(self.ways, self.picks, strict=True))
        return np.asarray(sum(part(stratum, ways).take(picks) for stratum, (ways, picks) in pairs))

    def weights(self) -> Iterator[Single]:
        """Contrasts in batches of permutations: a row for each permutation, strata side by side."""
        batch = _batch(sum(ways.shape[1] for ways in self.ways))
        for start in range(0, self.picks[0].size, batch):
            pairs = zip(self.ways, self.picks, strict=True)
            yield np.concatenate([ways.take(picks[start : start + batch], axis=0) for ways, picks in pairs], axis=1)


def _batch(width: int) -> int:
    return max(1, _NUMBERS // max(1, width))


class Statistic(Protocol):
    """A number that grows as two groups differ. Strata are probes; ``vectors``: a row for each answer of a stratum."""

    def on(self, kept: Sequence[IntArray]) -> "Statistic":
        """The same of a subset: the indices kept in each stratum."""

    def values(self, dealt: Dealt) -> Single:
        """One number for each permutation. A stratum without contrast is 0."""


@dataclass(frozen=True)
class Kernel:
    """MMD^2 summed over the strata: kernels of answers to one probe, 0 between probes."""

    vectors: Sequence[Single]
    """Their dot products are the kernel."""

    def on(self, kept: Sequence[IntArray]) -> "Kernel":
        return Kernel(_rows(self.vectors, kept))

    def values(self, dealt: Dealt) -> Single:
        return dealt.total(self.part)

    def part(self, stratum: int, weights: Single) -> Single:
        """One stratum's MMD^2."""
        away = weights @ self.vectors[stratum]
        return np.asarray(np.einsum("ij,ij->i", away, away))


@dataclass(frozen=True)
class Difference:
    """Absolute difference of the groups' mean vectors, summed over coordinates and strata.

    Coordinates that differ by less than ``tolerance`` count as equal, others by the excess.
    """

    vectors: Sequence[Single]
    factors: Sequence[float]
    """What a stratum's sum is multiplied by: 1/coordinates for a mean, 1/2 for a total variation distance."""
    tolerance: float = 0.0

    def on(self, kept: Sequence[IntArray]) -> "Difference":
        return Difference(_rows(self.vectors, kept), self.factors, self.tolerance)

    def values(self, dealt: Dealt) -> Single:
        return dealt.total(self.part)

    def part(self, stratum: int, weights: Single) -> Single:
        """One stratum's difference."""
        away = weights @ self.vectors[stratum]
        np.abs(away, out=away)
        if self.tolerance:
            away -= np.float32(self.tolerance)
            np.maximum(away, 0.0, out=away)
        return np.asarray(away @ np.full(away.shape[1], self.factors[stratum], dtype=np.float32))


@dataclass(frozen=True)
class Shift:
    """Squared length of the mean vectors' difference *summed over the strata first*: the MMD of a kernel that compares
    across probes, each answer after its probe's mean.

    Shifts that all probes share add up (such as a wording that becomes rarer everywhere); individual shifts average
    out. For Q probes, the gain over summed MMDs is up to the root of Q. Coordinates are divided by their within-probe
    standard deviation to the power ``WHITENING``: rare wordings weigh more than their share, but less than common ones.
    """

    vectors: Sequence[Single]

    def on(self, kept: Sequence[IntArray]) -> "Shift":
        return Shift(_rows(self.vectors, kept))

    def values(self, dealt: Dealt) -> Single:
        aways = (weights @ self._scaled for weights in dealt.weights())
        return np.concatenate([np.einsum("ij,ij->i", away, away) for away in aways])

    @cached_property
    def _scaled(self) -> Single:
        centred = [_centred(one) for one in self.vectors]
        variance = np.mean([(one**2).mean(0) for one in centred], axis=0)
        # bounds the scale of a coordinate that hardly varies
        scale = (variance + 0.02 * variance.mean() + 1e-9) ** (-0.5 * WHITENING)
        return _turned(np.asarray(np.concatenate(centred) * scale, dtype=np.float32))


def _turned(vectors: Single) -> Single:
    """The same distances in as few coordinates as possible: answers of few words do not need all."""
    values, axes = np.linalg.eigh(vectors.T @ vectors)
    return np.asarray(vectors @ axes[:, values > 1e-6 * max(1e-12, float(values[-1]))])


def _centred(vectors: Single) -> Single:
    """Removes the common part, which contrasts ignore but single precision does not: equal answers must not differ."""
    return np.asarray(vectors - vectors.mean(0, dtype=np.float64), dtype=np.float32)


def _rows(vectors: Sequence[Single], kept: Sequence[IntArray]) -> list[Single]:
    return [one[rows] for one, rows in zip(vectors, kept, strict=True)]


def kernel_vectors(gram: FloatArray) -> Single:
    """Rows whose dot products are the kernel ``gram``, in as few coordinates as possible (its eigenvectors)."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-6 * max(1e-12, float(values[-1]))
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]), dtype=np.float32)


@dataclass(frozen=True)
class Tested:
    """One statistic's verdict. ``usual`` and ``spread``: mean and standard deviation of today's permutations."""

    scores: DayScores
    p_value: float
    """(b + 1)/(B + 1) with b of the B permutations at least as far as today: valid for any B. B. Phipson and G. K.
    Smyth, Permutation p-values should never be zero (Stat. Appl. Genet. Mol. Biol. 9, 2010)."""
    usual: float
    spread: float


def tested(found: Grouped, statistics: Sequence[Statistic]) -> list[Tested]:
    """Today against the baseline, and each full day of the baseline against the rest of it, by every statistic."""
    sizes, labels = [one.size for one in found.days], np.concatenate(found.days)[None, :] == NOW
    (counts,) = _counts(labels, sizes).tolist()
    observed = _observed(statistics, labels, sizes)[:, 0].tolist()
    draws = _dealt(statistics, sizes, counts, PERMUTATIONS, seed_of(found))
    return [
        Tested(
            DayScores(_score(value, drawn), days),
            float((_reaching(value, drawn) + 1) / (drawn.size + 1)),
            float(drawn.mean()),
            float(drawn.std()),
        )
        for value, drawn, days in zip(observed, draws, _baseline(found, statistics), strict=True)
    ]


def seed_of(found: Grouped, *, baseline: bool = False) -> int:
    """A seed from the answers themselves (``baseline``: only from its answers, so that its days have the same scores at
    every evaluation). The same answers give the same permutations, today and when recomputed."""
    digest = sha256()
    for probe, answers, days in zip(found.probes, found.answers, found.days, strict=True):
        used = [(int(day), one.text) for day, one in zip(days, answers, strict=True) if not (baseline and day == NOW)]
        digest.update(repr((probe, used)).encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest()[:8], "big")


def contrasts(labels: NDArray[np.bool_], sizes: Sequence[int]) -> Single:
    """Rows of weights from rows of labels, strata side by side: 1/m for the m ``True`` of a stratum, -1/(n - m) for
    the others; 0 if all are the same."""
    size, chosen = np.array(sizes), _counts(labels, sizes)
    factor = size / np.maximum(1, chosen * (size - chosen))
    weights = np.repeat(factor, sizes, axis=1) * (labels - np.repeat(chosen / size, sizes, axis=1))
    return np.asarray(weights, dtype=np.float32)


def _counts(labels: NDArray[np.bool_], sizes: Sequence[int]) -> IntArray:
    """Number of ``True`` in the strata of each row."""
    return np.add.reduceat(labels, np.cumsum([0, *sizes[:-1]]), axis=1, dtype=np.int64)


def parts_today(found: Grouped, statistic: Kernel | Difference) -> FloatArray:
    """Each stratum's part of today's statistic."""
    rows = [statistic.part(i, contrasts((days == NOW)[None, :], [days.size]))[0] for i, days in enumerate(found.days)]
    return np.array(rows, dtype=np.float64)


def stands_out(channel: Channel) -> bool:
    """Whether the score is three likely standard deviations above the baseline's days: never reported as unchanged."""
    usual = float(np.mean(channel.baseline)) if channel.baseline else 0.0
    return channel.score - usual >= 3 * evidence.likely_spread(channel.baseline)


def bootstrapped(above: FloatArray, below: FloatArray, seed: int, inflation: float) -> tuple[float, float, float]:
    """Ratio of two sums over probes with its 95 % interval, by resampling probes; widened ``inflation`` times.

    ``inflation`` >= 1, for the spread between days; the interval always contains the ratio. B. Efron (Annals of
    Statistics 7, 1979).
    """
    picks = np.random.default_rng(seed).multinomial(above.size, [1 / above.size] * above.size, size=_BOOTSTRAPS)
    ratio = float(above.sum() / below.sum())
    low, high = np.quantile((picks @ above) / np.maximum(picks @ below, 1e-12), [0.025, 0.975])
    return ratio, ratio - inflation * max(0.0, ratio - float(low)), ratio + inflation * max(0.0, float(high) - ratio)


def _baseline(found: Grouped, statistics: Sequence[Statistic]) -> list[tuple[float, ...]]:
    """For each statistic, the score of each full day of the baseline against its other days."""
    kept = [np.flatnonzero(days != NOW) for days in found.days]
    restricted, sizes = [one.on(kept) for one in statistics], [one.size for one in kept]
    days = np.concatenate([one[one != NOW] for one in found.days])
    labels = days[None, :] == full_days(days)[:, None]
    seed, dealt = seed_of(found, baseline=True), dict[tuple[int, ...], FloatArray]()
    scores: list[tuple[float, ...]] = [() for _ in statistics]
    for counts, values in zip(_counts(labels, sizes).tolist(), _observed(restricted, labels, sizes).T, strict=True):
        if tuple(counts) not in dealt:
            dealt[tuple(counts)] = _dealt(restricted, sizes, counts, PERMUTATIONS_A_DAY, seed)
        day = zip(scores, values.tolist(), dealt[tuple(counts)], strict=True)
        scores = [(*known, _score(value, drawn)) for known, value, drawn in day]
    return scores


def _observed(statistics: Sequence[Statistic], labels: NDArray[np.bool_], sizes: Sequence[int]) -> FloatArray:
    """Every statistic of every row of labels: shape (statistics, rows)."""
    ways = np.split(contrasts(labels, sizes), np.cumsum(sizes)[:-1], axis=1)
    dealt = Dealt(ways, [np.arange(len(labels))] * len(sizes))
    return np.array([one.values(dealt) for one in statistics], dtype=np.float64)


def _dealt(
    statistics: Sequence[Statistic], sizes: Sequence[int], counts: Sequence[int], times: int, seed: int
) -> FloatArray:
    """Every statistic of ``times`` permutations of ``counts`` labels among ``sizes`` answers: shape (statistics,
    times).

    For each pair of sizes, ``times`` random permutations are made once; each stratum draws from them independently.
    """
    rng = np.random.default_rng(seed)
    shapes = list(zip(sizes, counts, strict=True))
    tables = {shape: _dealings(*shape, times, rng) for shape in sorted(set(shapes))}
    runs = [(shape, len(list(alike))) for shape, alike in groupby(shapes)]
    batch = _batch(sum(sizes))
    drawn = []
    for start in range(0, times, batch):
        rows = min(batch, times - start)
        drawn.append([tables[shape][1][rng.integers(times, size=(rows, length))] for shape, length in runs])
    picks = np.concatenate([np.concatenate(one, axis=1) for one in drawn]).T.copy()
    dealt = Dealt([tables[shape][0] for shape in shapes], list(picks))
    return np.array([one.values(dealt) for one in statistics], dtype=np.float64)


def _dealings(size: int, count: int, times: int, rng: np.random.Generator) -> tuple[Single, IntArray]:
    """Distinct labellings of ``size`` answers with ``count`` labels, as contrasts, and the index of each
    permutation's."""
    labels = np.zeros((times, size), dtype=bool)
    if 0 < count < size:
        order = rng.random((times, size), dtype=np.float32).argpartition(count - 1, axis=1)[:, :count]
        np.put_along_axis(labels, order, True, axis=1)
    ways = np.arange(times)
    if size <= _BITS and comb(size, count) < times:  # otherwise hardly any two are equal
        _, first, ways = np.unique(labels @ 2.0 ** np.arange(size), return_index=True, return_inverse=True)
        labels = labels[first]
    return contrasts(labels, [size]), ways


def _reaching(value: float, drawn: FloatArray) -> int:
    """Number of permutations at least as far as ``value``, up to rounding in single precision."""
    return int((drawn >= value - _rounding(drawn)).sum())


def _rounding(drawn: FloatArray) -> float:
    return 1e-5 * float(np.abs(drawn).mean()) + 1e-10


def _score(value: float, drawn: FloatArray) -> float:
    """``value``'s place among the permutations as a normal quantile; 0 if all permutations are equal."""
    spread = float(drawn.std())
    if spread <= _rounding(drawn):
        return 0.0
    score = _rank_score(value, drawn)
    edge = float(np.quantile(drawn, 1 - _BY_RANK))
    if value > edge:
        skew = float((((drawn - drawn.mean()) / spread) ** 3).mean())
        fitted = [_cube_root((one - float(drawn.mean())) / spread, skew) for one in (value, edge)]
        score = _rank_score(edge, drawn) + fitted[0] - fitted[1]
    return float(np.clip(score, -FARTHEST, FARTHEST))


def _rank_score(value: float, drawn: FloatArray) -> float:
    """The score by mid-rank: ties count half."""
    from scipy.special import ndtri

    above, reaching = int((drawn > value + _rounding(drawn)).sum()), _reaching(value, drawn)
    return -float(ndtri((0.5 * (above + reaching) + 0.5) / (drawn.size + 1)))


def _cube_root(away: float, skew: float) -> float:
    """Normal quantile of a gamma (Pearson type III) variable ``away`` standard deviations from its mean."""
    if skew < 0.02:
        return away
    return float(6 / skew * (np.cbrt(max(0.0, 1 + skew * away / 2)) - 1) + skew / 6)
