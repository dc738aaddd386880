"""Two pinned nulls, "as approved" and "the base", as densities of an answer's place, and the share of the base's.

An answer's place is a point: its *contrast* (-1 like the base, 1 like its own kind) and its *lift* (how much more like
the base than its probe's approved answers are, -1 to 1). Both nulls are Gaussian kernel densities over the baseline's
answers, pooled over probes (B. W. Silverman, Density Estimation, 1986, section 4.2), kept on a grid so that the cost
does not grow with the answers. A third density covers answers that are neither: any contrast, and the lift of approved
answers or any lift. So an answer that only moved away from the approved ones does not count as the base's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.detect.text_similarity import FloatArray, IntArray

MIX: Final = 0.3
"""Share of answers from the base to which an answer's value is tuned: it detects routed mixtures and a total loss."""
MOST: Final = float(np.log(1000.0))
"""Bound of an answer's log ratio, up and down: one odd answer cannot page."""
NARROWEST: Final = 0.04
"""Least kernel width: answers that never varied may vary a little tomorrow."""
ELSEWHERE: Final = 0.1
"""Kernel width of the lift of answers that are neither."""
_CELLS: Final = 101
_GRID: Final = np.linspace(-1.0, 1.0, _CELLS)
_ANYWHERE: Final = 0.25
"""Density of an answer with any place: contrast and lift both span 2."""


@dataclass(frozen=True)
class Places:
    """Places of answers; arrays of one length."""

    contrast: FloatArray
    lift: FloatArray

    def cells(self) -> tuple[IntArray, IntArray]:
        return _cell(self.contrast), _cell(self.lift)


def together(found: Sequence[Places]) -> Places:
    return Places(np.concatenate([one.contrast for one in found]), np.concatenate([one.lift for one in found]))


class Density:
    """A kernel density over ``places``, from which an answer's own kernel can be left out."""

    def __init__(self, places: Places) -> None:
        self.count = places.contrast.size
        self._across = _kernel(_width(places.contrast))
        self._along = _kernel(_width(places.lift))
        seen = np.zeros((_CELLS, _CELLS))
        np.add.at(seen, places.cells(), 1.0)
        self._sum = self._across @ seen @ self._along

    def at(self, places: Places, without: Places | None = None) -> FloatArray:
        """Density at ``places``, each without the kernel of the same row of ``without`` (one of the density's
        places)."""
        across, along = places.cells()
        found = self._sum[across, along]
        if without is None or self.count < 2:
            return np.asarray(found / self.count)
        left_out = self._across[across, _cell(without.contrast)] * self._along[along, _cell(without.lift)]
        return np.asarray(np.maximum(0.0, found - left_out) / (self.count - 1))


@dataclass(frozen=True)
class Nulls:
    """The densities of one baseline."""

    healthy: Density
    base: Density
    beside: FloatArray
    """Density of an answer that is neither, by the cell of its lift."""

    @classmethod
    def of(cls, healthy: Places, base: Places) -> "Nulls":
        usual = np.bincount(_cell(healthy.lift), minlength=_CELLS) / healthy.lift.size
        beside = np.maximum(0.5 * (_kernel(ELSEWHERE) @ usual), _ANYWHERE)
        return cls(Density(healthy), Density(base), np.asarray(beside))

    def from_base(self, places: Places, *, healthy: Places | None = None, base: Places | None = None) -> "Ratios":
        """Log ratios at ``places``. ``healthy``, ``base``: places whose kernels are left out of that null."""
        likely = np.log(np.maximum(self.base.at(places, base), 1e-12))
        usual = np.log(np.maximum(self.healthy.at(places, healthy), 1e-12))
        neither = np.log(self.beside[_cell(places.lift)])
        return Ratios(likely - usual, likely - neither)


@dataclass(frozen=True)
class Ratios:
    """Log likelihood ratios of each answer: the base against the approved fine-tune, and against neither."""

    healthy: FloatArray
    neither: FloatArray

    def least(self, exact: FloatArray | None = None) -> FloatArray:
        """Evidence that each answer is the base's, against the best other explanation. ``exact`` replaces the ratio
        against the fine-tune where it is a number."""
        healthy = self.healthy if exact is None else np.where(np.isnan(exact), self.healthy, exact)
        return np.asarray(np.clip(np.minimum(healthy, self.neither), -MOST, MOST))


def value(log_ratio: FloatArray) -> FloatArray:
    """ln((1 - m) + m LR): one answer's evidence that a share m of the traffic comes from the base; bounded."""
    return np.asarray(np.log1p(MIX * np.expm1(log_ratio)))


def base_share(log_ratio: FloatArray, inflation: float = 1.0) -> tuple[float, float, float]:
    """Most likely share of answers from the base (the limit of EM for the two-point mixture), low, high.

    The interval holds every share whose log-likelihood is within 1.92 of the best (95 %, one degree of freedom), times
    ``inflation`` squared for days that differ more than by chance.

    >>> from numpy import array
    >>> [round(x, 2) for x in base_share(array([6.0] * 6 + [-6.0] * 14))]
    [0.3, 0.13, 0.52]
    """
    shares = np.linspace(0.0, 1.0, 401)
    ratios = np.exp(np.clip(log_ratio, -MOST, MOST))
    likely = np.log((1.0 - shares)[:, None] + shares[:, None] * np.sort(ratios)).sum(axis=1)
    held = shares[likely >= likely.max() - 1.92 * inflation**2]
    return float(shares[int(np.argmax(likely))]), float(held[0]), float(held[-1])


def _cell(numbers: FloatArray) -> IntArray:
    return np.asarray(np.rint((np.clip(numbers, -1.0, 1.0) + 1.0) * (_CELLS - 1) / 2), dtype=np.int64)


def _width(numbers: FloatArray) -> float:
    """Silverman's rule for two dimensions, within bounds."""
    return float(np.clip(np.std(numbers) * numbers.size ** (-1 / 6), NARROWEST, 2 * ELSEWHERE))


def _kernel(width: float) -> FloatArray:
    """Normal densities between all pairs of grid points: symmetric."""
    steps = (_GRID[:, None] - _GRID[None, :]) / width
    return np.asarray(np.exp(-0.5 * steps**2) / (width * np.sqrt(2 * np.pi)))
