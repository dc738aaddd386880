"""The product's arithmetic for thousands of evaluations at once. Tests compare every number with the product's own
code.

``now_scores`` is ``day_scores.day_scores(...).now`` for many evaluations on one baseline. ``crossings`` finds the
evaluations at which a stream's evidence reaches its threshold. It skips evaluations whose evidence cannot reach it (by
a bound that omits one factor of at most 2), and computes the others with ``evidence.running`` itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.detect import evidence
from monitor.detect.day_scores import modified_roots
from monitor.detect.evidence import PRIOR, SHIFTS, Prior, Side

FloatArray = NDArray[np.float64]
Singles = NDArray[np.float32]
_SLACK: Final = 1e-2


@dataclass(frozen=True)
class Track:
    """One channel over time: the baseline's day scores, the evaluations', and its weight in the stream's average."""

    baseline: FloatArray
    evaluations: FloatArray
    side: Side
    weight: float
    signal: str = ""
    prior: Prior = PRIOR
    """On the spread, as ``evidence.running`` takes it."""


def now_scores(before: FloatArray, now: FloatArray, tolerance: float = 0.0) -> FloatArray:
    """The score of each evaluation.

    Args:
        before: the baseline's numbers, (probes, answers), NaN where there is none.
        now: the evaluations' numbers, (evaluations, probes, answers), NaN likewise.
        tolerance: as ``day_scores.day_scores`` takes it.
    """
    pooled = np.concatenate([now, np.repeat(before[None], len(now), axis=0)], axis=2)
    known: NDArray[np.bool_] = np.asarray(np.isfinite(before).any(axis=1))
    today: NDArray[np.bool_] = np.asarray(np.isfinite(now).any(axis=2))
    both = today & known[None, :]
    there = np.asarray(~np.isnan(pooled) & both[:, :, None])
    answered = (~np.isnan(now) & both[:, :, None]).sum(axis=2)
    value = np.where(there, pooled, 0.0)
    counts = there.sum(axis=2)
    means = value.sum(axis=2) / np.maximum(counts, 1)
    centred = np.where(there, value - means[:, :, None], 0.0)
    freedom = np.maximum(1, counts.sum(axis=1) - both.sum(axis=1))
    spread = np.sqrt((centred**2).sum(axis=(1, 2)) / freedom)
    varied = spread > 1e-12
    scale = np.where(varied, spread, 1.0)
    chance = there / np.maximum(counts, 1)[:, :, None]
    total = np.where(there[:, :, : now.shape[2]], centred[:, :, : now.shape[2]], 0.0).sum(axis=(1, 2))
    total = np.sign(total) * np.maximum(0.0, np.abs(total) - tolerance * answered.sum(axis=1)) / scale
    scores = modified_roots(centred / scale[:, None, None], chance, answered.astype(np.float64), total)
    return np.where(varied, scores, 0.0)


@dataclass(frozen=True)
class Crossing:
    """An evaluation at which a stream reached its threshold: evaluations ``start`` to ``evaluation`` are the
    evidence."""

    start: int
    evaluation: int
    holders: tuple[str, ...]
    """The signals that alarm: over their own threshold, or with at least an average part of the evidence."""


def crossings(tracks: Sequence[Track], threshold_log10: float) -> list[Crossing]:
    """Every evaluation at which the averaged evidence reaches the threshold, each followed by a fresh start on the same
    baseline."""
    found: list[Crossing] = []
    start, evaluations = 0, tracks[0].evaluations.size
    while start < evaluations and (crossed := _first(tracks, start, threshold_log10)) is not None:
        found.append(crossed)
        start = crossed.evaluation + 1
    return found


def _first(tracks: Sequence[Track], start: int, threshold_log10: float) -> Crossing | None:
    bound = np.zeros(tracks[0].evaluations.size - start)
    for one in tracks:
        sides = (1.0, -1.0) if one.side == "either" else (1.0,) if one.side == "rise" else (-1.0,)
        for sign in sides:
            bound += one.weight / len(sides) * at_most(sign * one.baseline, sign * one.evaluations[start:], one.prior)
    for evaluation in (start + np.flatnonzero(bound >= 10.0**threshold_log10 * (1 - _SLACK))).tolist():
        grown = grown_log10(tracks, start, evaluation)
        together = log10_sum(list(grown.values()))
        if together >= threshold_log10:
            share = {one.signal: 0.0 for one in tracks}
            for one in tracks:
                share[one.signal] += one.weight
            own_line = min(together, threshold_log10 + np.log10(len(share))) - 1e-12
            holders = [name for name, value in grown.items() if value - np.log10(share[name]) >= own_line]
            return Crossing(start, evaluation, tuple(holders))
    return None


def grown_log10(tracks: Sequence[Track], start: int, evaluation: int) -> dict[str, float]:
    """Each signal's part of the averaged evidence of evaluations ``start`` to ``evaluation``, by the product's own
    code."""
    parts: dict[str, list[float]] = {}
    for one in tracks:
        evaluations = one.evaluations[start : evaluation + 1].tolist()
        grown = evidence.running(one.baseline.tolist(), evaluations, one.side, prior=one.prior).running_log10
        parts.setdefault(one.signal, []).append(grown + float(np.log10(one.weight)))
    return {name: log10_sum(found) for name, found in parts.items()}


def log10_sum(parts: Sequence[float]) -> float:
    most = max(parts)
    return float(most + np.log10(sum(10 ** (one - most) for one in parts)))


def at_most(before: FloatArray, after: FloatArray, prior: Prior) -> FloatArray:
    """A bound from above on the e-detector after each evaluation: ``evidence.log_factors`` with the chance of a rise
    taken for 1, or for a half where the mean fell. In single precision, for speed: ``_SLACK`` allows for it."""
    evaluations, healthy = after.size, before.size
    pairs = _pairs(evaluations, healthy)
    scores = np.concatenate([before, after])
    sums, squares = np.concatenate([[0.0], np.cumsum(scores)]), np.cumsum(scores**2)
    count = np.arange(healthy + 1.0, healthy + evaluations + 1.0)
    whole = prior.days * prior.spread**2 + squares[healthy:] - sums[healthy + 1 :] ** 2 / count
    ends = (sums[healthy + 1 :], whole, 0.5 * (prior.days + count - 1))
    to_end, within, power = (one.astype(np.float32)[pairs.end] for one in ends)
    to_first = sums[healthy : healthy + evaluations].astype(np.float32)[pairs.first]
    gap = (to_end - to_first) * pairs.moved - to_first * pairs.healthy
    ratio = gap * gap * pairs.certainty
    ratio /= np.maximum(within, prior.days * prior.spread**2 + ratio)
    factor = np.zeros_like(gap)
    for share, price in zip(pairs.shares, pairs.prices, strict=True):
        factor += price * np.exp(-power * np.log(1 - share * ratio))
    factor *= np.where(gap > 0, np.float32(2 / len(SHIFTS)), np.float32(1 / len(SHIFTS)))
    return np.asarray(np.add.reduceat(factor, pairs.starts), dtype=np.float64)


@dataclass(frozen=True)
class _Pairs:
    """Every pair (last evaluation, first evaluation after the change), last by last, and what depends on the counts
    alone."""

    end: NDArray[np.intp]
    first: NDArray[np.intp]
    starts: NDArray[np.intp]
    moved: Singles
    """1 / evaluations after the change."""
    healthy: Singles
    """1 / days before it."""
    certainty: Singles
    shares: tuple[Singles, ...]
    prices: tuple[Singles, ...]


@cache
def _pairs(evaluations: int, healthy: int) -> _Pairs:
    end, first = np.tril_indices(evaluations)
    error = 1.0 / (first + healthy) + 1.0 / (end + 1.0 - first)
    shares = [width**2 / (error + width**2) for width in SHIFTS]
    return _Pairs(
        end=end,
        first=first,
        starts=np.flatnonzero(first == 0),
        moved=_single(1.0 / (end + 1.0 - first)),
        healthy=_single(1.0 / (first + healthy)),
        certainty=_single(1.0 / error),
        shares=tuple(map(_single, shares)),
        prices=tuple(_single(np.sqrt(1.0 - share)) for share in shares),
    )


def _single(numbers: NDArray[Any]) -> Singles:
    return np.asarray(numbers, dtype=np.float32)


def remember_distances() -> None:
    """Let stillsane work out each pair of texts' distance once in this process: resampled evaluations hold the same
    answers again and again. Changes no number: its distances depend on nothing else."""
    from stillsane.signals import semantic, shape

    for kind in (shape.JsonShapeDistance, semantic.SemanticDistance):
        if not hasattr(kind.distance, "known"):
            kind.distance = _remembered(kind.distance)


def _remembered(distance: Any) -> Any:
    known: dict[Any, Any] = {}

    def remembered(self: Any, a: Any, b: Any) -> Any:
        key = (a.text, b.text, a.ok, b.ok)
        if key not in known:
            known[key] = distance(self, a, b)
        return known[key]

    remembered.known = known  # type: ignore[attr-defined]
    return remembered
