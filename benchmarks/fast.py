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
from monitor.detect.evidence import PRIOR, SHIFTS, Days, Prior, Side

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
    taken for 1, or for a half where the mean fell. Partly in single precision, for speed: ``_SLACK`` allows for it."""
    scores = np.concatenate([before, after])
    grown, unchanged = [], []
    for way, weight in prior:
        table = _table(way, before.size, after.size)
        whitened = table.whitener @ scores
        level = np.cumsum(whitened * table.ones)[before.size :]
        null = table.constant - 0.5 * (np.cumsum(whitened**2)[before.size :] - level**2 / table.information)
        raw = np.cumsum((whitened[before.size :, None] * table.steps[before.size :]).astype(np.float32), axis=0)
        raw += (whitened[: before.size] @ table.steps[: before.size]).astype(np.float32)
        shift = raw - table.common * (level / table.information).astype(np.float32)[:, None]
        square = shift**2
        factor = np.zeros_like(square)
        with np.errstate(over="ignore"):
            for certainty, price in zip(table.certainties, table.prices, strict=True):
                factor += price * np.exp(certainty * square)
            total = (np.where(shift > 0, 2.0, 1.0) * factor).sum(axis=1, dtype=np.float64) / len(SHIFTS)
        grown.append(np.log(weight) + null + np.log(np.maximum(total, 1e-300)))
        unchanged.append(np.log(weight) + null)
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(np.logaddexp.reduce(grown) - np.logaddexp.reduce(unchanged)))


@dataclass(frozen=True)
class _Table:
    """What ``at_most`` needs of one way in which days differ, for every pair (last evaluation, first one after the
    change). The first n scores' covariance is whitened by the first n rows of ``whitener``."""

    whitener: FloatArray
    ones: FloatArray
    """The whitened column of ones."""
    steps: FloatArray
    """(scores, first): the whitened shift from an evaluation on."""
    information: FloatArray
    """Of the mean, at each last evaluation."""
    constant: FloatArray
    """The part of the log likelihood that does not depend on the scores."""
    common: Singles
    certainties: tuple[Singles, ...]
    prices: tuple[Singles, ...]


@cache
def _table(way: Days, healthy: int, evaluations: int) -> _Table:
    count = healthy + evaluations
    apart = np.abs(np.arange(count)[:, None] - np.arange(count))
    shared = way.memory**apart if way.memory else np.eye(count)
    root = np.linalg.cholesky(np.eye(count) + way.effect**2 * shared)
    whitener = np.asarray(np.linalg.inv(root), dtype=np.float64)
    ones = whitener.sum(axis=1)
    steps = np.cumsum(whitener[:, ::-1], axis=1)[:, ::-1][:, healthy:]
    information = np.cumsum(ones**2)
    common = np.cumsum(steps * ones[:, None], axis=0)[healthy:]
    precision = np.cumsum(steps**2, axis=0)[healthy:] - common**2 / information[healthy:, None]
    pairs = np.tril(np.ones((evaluations, evaluations), dtype=np.bool_))
    precision = np.where(pairs, np.maximum(precision, 1e-12), 1.0)
    scales = [(width * way.spread) ** 2 for width in SHIFTS]
    return _Table(
        whitener=whitener,
        ones=ones,
        steps=steps,
        information=information[healthy:],
        constant=(-np.cumsum(np.log(np.diag(root))) - 0.5 * np.log(information))[healthy:],
        common=_single(common),
        certainties=tuple(_single(0.5 * g / (1.0 + g * precision)) for g in scales),
        prices=tuple(_single(np.where(pairs, 1.0 / np.sqrt(1.0 + g * precision), 0.0)) for g in scales),
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
