"""Day scores of made-up answers, for a year of evaluations at once, by the signals' own rules and functions.

Answers are arrays of (days, probes, replicates), NaN where one is missing. Each function gives a signal's channels:
the baseline's day scores, and those of the evaluations, NaN where the signal could not be measured. Tests compare them
with the signals' own readings of the same answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.channels import FACTS, Scores
from benchmarks.fast import now_scores
from monitor.detect import adapter_loss_text, likelihood_ratio
from monitor.detect import canaries as canary
from monitor.detect import day_scores as days
from monitor.detect import length as lengths
from monitor.detect import negative_flips as flips
from monitor.detect.common import ENOUGH_ITEMS, FEWEST_BASELINE, FEWEST_NOW
from monitor.detect.contract_parts import SURE
from monitor.detect.likelihood_ratio import Nulls, Places

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BINARY: Final = np.array([0.0, 1.0])
DIFFERENCES: Final = np.array([-1.0, 0.0, 1.0])


@dataclass(frozen=True)
class Watched(Scores):
    """Scores whose baseline depends on the evaluation, if ``beside`` is given: the baseline at one evaluation."""

    beside: Callable[[int], FloatArray] | None = None


Measured = Sequence[Scores]


def loss(before: tuple[FloatArray, FloatArray], base: tuple[FloatArray, ...], now: tuple[FloatArray, ...]) -> Measured:
    """``adapter_loss``, of answers whose places (contrast and lift) are given. ``base``: (days, probes)."""
    then = Places(*(_by_probe(one) for one in before))
    probes, kept = len(then.contrast), ~np.isnan(then.contrast)
    healthy = Places(then.contrast[kept], then.lift[kept])
    pinned = Nulls.of(healthy, Places(*(one.ravel() for one in base)))
    poles = Places(*(one.ravel() for one in base))
    usual = np.full(then.contrast.shape, np.nan)
    usual[kept] = likelihood_ratio.value(pinned.from_base(healthy, healthy=healthy).least())
    gap = float(likelihood_ratio.value(pinned.from_base(poles, base=poles).least()).mean() - np.nanmean(usual))
    each = now[0].shape[2]
    stand = np.stack([(order := np.flatnonzero(kept[p]))[(p + np.arange(each)) % order.size] for p in range(probes)])
    stand_ins = Places(*(np.take_along_axis(one, stand, axis=1) for one in (then.contrast, then.lift)))
    present = ~np.isnan(now[0])
    places = Places(*(one[present] for one in now))
    replaced = Places(*(np.broadcast_to(one, now[0].shape)[present] for one in vars(stand_ins).values()))
    today = np.full(now[0].shape, np.nan)
    today[present] = likelihood_ratio.value(pinned.from_base(places, healthy=replaced).least())
    return [
        Scores(
            "adapter_loss", "text", "rise", baseline_scores(usual, len(before[0])),
            _enough(today, usual, now_scores(usual, today, adapter_loss_text.TOLERANCE * gap)),
        )
    ]  # fmt: skip


def canaries(passed: FloatArray, base_passed: FloatArray, now: FloatArray) -> Measured:
    """``canaries``. ``base_passed``: (days, probes)."""
    right, each = np.nansum(passed, axis=2), now.shape[2]
    asked = (~np.isnan(passed)).sum(axis=2)
    others, total = asked.sum(axis=0) - asked, right.sum(axis=0) - right
    decisive = (total >= canary.PASSED * others - 1e-12) & (others >= canary.FEWEST_ANSWERS)
    shares = np.nanmean(base_passed, axis=0)
    usable = np.flatnonzero((shares <= canary.FAILED) & (len(base_passed) >= canary.FEWEST_ANSWERS))
    fails = np.where(decisive[:, :, None], 1.0 - passed, np.nan)[:, usable].reshape(len(passed), 1, -1)
    today = np.full((len(now), usable.size, each), np.nan)
    for turn, probe in enumerate(usable.tolist()):
        blocks = np.repeat(np.arange(len(passed)), asked[:, probe])
        stand = blocks[(turn + np.arange(each)) % blocks.size]
        today[:, turn] = np.where(decisive[stand, probe], 1.0 - now[:, probe], np.nan)
    judged = np.isfinite(today).any(axis=2)
    scores = counted(fails, today.reshape(len(now), 1, -1), BINARY, each)
    scores.now[judged.sum(axis=1) < canary.FEWEST] = np.nan
    return _measured([Scores("canaries", "fails", "rise", scores.baseline, scores.now)])


def negative_flips(before: FloatArray, now: FloatArray) -> Measured:
    """``negative_flips``, by its own arithmetic, once for each different day."""
    then, today = _tallies(before), _tallies(now)
    whole = then.sum(axis=0)
    totals = _tally(whole)
    scored = [flips._day(_tally(day), _tally(whole - day)) for day in then]
    usual = float(np.median(then[:, :, 0].sum(axis=1)))
    full = [
        day.score(0.0)
        for day, mine in zip(scored, then, strict=True)
        if day.answered and mine[:, 0].sum() >= days.LEAST_SHARE * usual
    ]
    first, place = _alike(np.concatenate([np.broadcast_to(whole, today.shape), today], axis=2))
    found = np.full(first.size, np.nan)
    for index, evaluation in enumerate(first.tolist()):
        day = flips._day(_tally(today[evaluation]), totals)
        if day.answered >= FEWEST_NOW:
            found[index] = day.score(flips.ignored(day))
    return _measured([Scores("negative_flips", "flips", "rise", np.array(full), found[place])])


def judge_score(before: FloatArray, base_before: FloatArray, now: FloatArray, base_now: FloatArray) -> Measured:
    """``judge_score``, where the judge scored the subject and one answer of the base a probe."""
    own = counted(
        np.where(np.isnan(base_before), np.nan, before), np.where(np.isnan(base_now), np.nan, now), BINARY, now.shape[2]
    )  # fmt: skip
    less = counted(before - base_before, now - base_now, DIFFERENCES, now.shape[2])
    scores = Counted(np.maximum(own.baseline, less.baseline), np.maximum(own.now, less.now))
    return _measured([Scores("judge_score", "drop", "drop", scores.baseline, scores.now)])


def contract(parts: Mapping[str, tuple[FloatArray, FloatArray]]) -> Measured:
    """``contract``: what passes its checks, is cut, is refused, in the baseline and now. Facts never change: also not
    that of a day on which most answers are refused, which is no healthy day."""
    passed, cut, refused = (
        counted(one, other, BINARY)
        for one, other in (parts["passed"], tuple(1.0 - side for side in parts["cut"]), parts["refused"])
    )
    constant, usual = np.where(np.isnan(passed.now), np.nan, 0.0), np.zeros(max(SURE, len(passed.baseline)))
    return [
        Scores("contract", "checks passed", "drop", passed.baseline, passed.now),
        Scores("contract", "finish reason", "either", cut.baseline, cut.now),
        Scores("contract", "refusals", "either", refused.baseline, refused.now),
        *(Scores("contract", one, "rise", usual, constant) for one in FACTS),
    ]


def length(before: FloatArray, now: FloatArray) -> Measured:
    """``length``: its three channels."""
    then, today = np.log1p(_by_probe(before)), np.log1p(now)
    mean = now_scores(then, today, lengths.TOLERANCE)
    day = np.repeat(np.arange(len(before)), before.shape[2])
    deviations = _deviations(then, today, day)
    variance = _pooled(deviations[:, :, : now.shape[2]], deviations, np.sqrt(lengths.FLOOR))
    ks, ks_before = _kolmogorov(then, today, day)
    beside = partial(_beside, deviations[:, :, now.shape[2] :], len(before))
    baseline = baseline_scores(then, len(before))
    return [
        Watched("length", "variance", "either", beside(0), _enough(today, then, variance), beside=beside),
        Scores("length", "mean", "either", baseline, _enough(today, then, mean)),
        Scores("length", "ks", "rise", ks_before, _enough(today, then, ks)),
    ]


def _beside(deviations: FloatArray, count: int, evaluation: int) -> FloatArray:
    return baseline_scores(deviations[evaluation], count)


# --- counts


@dataclass(frozen=True)
class Counted:
    """Day scores of the baseline and of the evaluations."""

    baseline: FloatArray
    now: FloatArray


def counted(before: FloatArray, now: FloatArray, values: FloatArray, item: int = 0) -> Counted:
    """The scores of numbers that are each one of ``values``, once for each different day. ``item``: answers of one
    item, where one is ignored (``one_item``)."""
    then, today = (np.stack([(side == one).sum(axis=2) for one in values], axis=2) for side in (before, now))
    pool = then.sum(axis=0)
    answers = then.sum(axis=(1, 2))
    if not answers.any():
        return Counted(np.empty(0), np.full(len(now), np.nan))
    full = answers >= max(1.0, days.LEAST_SHARE * float(np.median(answers[answers > 0])))
    both = pool.any(axis=1) & today.any(axis=2)
    first, place = _alike(np.concatenate([np.broadcast_to(pool, today.shape), today], axis=2))
    kept = today[first] * both[first][:, :, None]
    found = _roots((pool + today[first]) * both[first][:, :, None], kept, values, item)
    few = (kept.sum(axis=(1, 2)) < FEWEST_NOW) | ((pool * both[first][:, :, None]).sum(axis=(1, 2)) < FEWEST_BASELINE)
    return Counted(_roots(pool[None], then[full], values), np.where(few, np.nan, found)[place])


def _roots(pool: IntArray, picked: IntArray, values: FloatArray, item: int = 0) -> FloatArray:
    """r* of each day's sum. ``pool``: (days or 1, probes, values) counts, ``picked``: (days, probes, values)."""
    counts = pool.sum(axis=2)
    means = (pool @ values) / np.maximum(counts, 1)
    centred = np.where(pool > 0, values - means[:, :, None], 0.0)
    freedom = np.maximum(1, counts.sum(axis=1) - (counts > 0).sum(axis=1))
    spread = np.sqrt((pool * centred**2).sum(axis=(1, 2)) / freedom)
    varied = spread > 1e-12
    scale = np.where(varied, spread, 1.0)[:, None, None]
    total = (picked * centred / scale).sum(axis=(1, 2))
    ignored = np.where(picked.sum(axis=(1, 2)) >= ENOUGH_ITEMS * max(1, item), item, 0) / scale[:, 0, 0]
    total = np.sign(total) * np.maximum(0.0, np.abs(total) - ignored)
    chance = pool / np.maximum(counts, 1)[:, :, None]
    scores = days.modified_roots(centred / scale, chance, picked.sum(axis=2).astype(np.float64), total)
    return np.where(varied, scores, 0.0)


def _alike(counts: IntArray) -> tuple[IntArray, IntArray]:
    """One of each kind of days, and the kind of each: days are alike if the same probes' counts occur, in any order.
    ``counts``: (days, probes, numbers)."""
    code = np.ravel_multi_index(tuple(np.moveaxis(counts, 2, 0)), tuple(counts.max(axis=(0, 1)) + 1))
    _, first, place = np.unique(np.sort(code, axis=1), axis=0, return_index=True, return_inverse=True)
    return first, place.reshape(-1)


def _tallies(answers: FloatArray) -> IntArray:
    """(days, probes, 2): answers, and right ones."""
    known = ~np.isnan(answers)
    return np.stack([known.sum(axis=2), np.nansum(answers, axis=2).astype(np.int64)], axis=2)


def _tally(counts: IntArray) -> flips.Tally:
    return {str(item): (asked, right) for item, (asked, right) in enumerate(counts.tolist()) if asked}


# --- numbers


def baseline_scores(values: FloatArray, count: int) -> FloatArray:
    """Of each full day of the baseline. ``values``: (probes, answers), of ``count`` days in turn."""
    day = np.broadcast_to(np.repeat(np.arange(count), values.shape[1] // count), values.shape)
    probe = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    kept = ~np.isnan(values)
    rows = (probe[kept], day[kept], values[kept])
    first = np.unique(rows[0], return_index=True)[1]  # stands for today, on which the baseline's scores do not depend
    merged = [np.concatenate([one, one[first]]) for one in rows]
    merged[1][-first.size :] = days.NOW
    return np.array(days.day_scores(days.Sample(*merged)).baseline)


def _pooled(now: FloatArray, pooled: FloatArray, tolerance: float) -> FloatArray:
    """``now_scores`` of a baseline that depends on the evaluation. ``pooled``: (evaluations, probes, answers), today's
    first."""
    known = np.isfinite(pooled)
    there = known & _any(now)[:, :, None] & _any(pooled[:, :, now.shape[2] :])[:, :, None]
    counts, value = there.sum(axis=2), np.where(there, pooled, 0.0)
    centred = np.where(there, value - (value.sum(axis=2) / np.maximum(counts, 1))[:, :, None], 0.0)
    freedom = np.maximum(1, counts.sum(axis=1) - (counts > 0).sum(axis=1))
    spread = np.maximum(np.sqrt((centred**2).sum(axis=(1, 2)) / freedom), 1e-12)
    answered = there[:, :, : now.shape[2]].sum(axis=2)
    total = centred[:, :, : now.shape[2]].sum(axis=(1, 2))
    total = np.sign(total) * np.maximum(0.0, np.abs(total) - tolerance * answered.sum(axis=1)) / spread
    chance = there / np.maximum(counts, 1)[:, :, None]
    return days.modified_roots(centred / spread[:, None, None], chance, answered.astype(np.float64), total)


def _deviations(then: FloatArray, now: FloatArray, day: IntArray) -> FloatArray:
    """As ``length`` takes them, (evaluations, probes, answers): today's first."""
    rest = _from_centre(_together(then, now))
    each = now.shape[2]
    rest[:, :, :each] -= np.nanmean(rest[:, :, :each], axis=(1, 2), keepdims=True)
    for one in range(int(day.max()) + 1):
        mine = np.r_[np.zeros(each, dtype=bool), day == one]
        rest[:, :, mine] -= np.nanmean(rest[:, :, mine], axis=(1, 2), keepdims=True)
    return np.abs(_from_centre(rest))


def _together(then: FloatArray, now: FloatArray) -> FloatArray:
    """(evaluations, probes, answers): today's first; probes without an answer today have none."""
    pooled = np.concatenate([now, np.broadcast_to(then, (len(now), *then.shape))], axis=2)
    return np.where(_any(now)[:, :, None], pooled, np.nan)


def _any(answers: FloatArray) -> NDArray[np.bool_]:
    """Whether there is an answer, along the last axis."""
    return np.asarray(np.isfinite(answers).any(axis=-1))


def _from_centre(pooled: FloatArray) -> FloatArray:
    there = ~np.isnan(pooled)
    means = np.where(there, pooled, 0.0).sum(axis=-1) / np.maximum(1, there.sum(axis=-1))
    return np.asarray(pooled - means[..., None])


def _kolmogorov(then: FloatArray, now: FloatArray, day: IntArray) -> tuple[FloatArray, FloatArray]:
    """``length.kolmogorov_scores`` of the evaluations and of the baseline's days."""
    ranks, before = _ranks(_together(then, now)), _ranks(then[None])[0]
    each = now.shape[2]
    today = [lengths._kolmogorov(_known(one[:, :each]), _known(one)) for one in ranks]
    answers = np.array([(~np.isnan(before[:, day == one])).sum() for one in range(int(day.max()) + 1)])
    full = np.flatnonzero(answers >= max(1.0, days.LEAST_SHARE * float(np.median(answers[answers > 0]))))
    usual = [lengths._kolmogorov(_known(before[:, day == one]), _known(before)) for one in full.tolist()]
    return np.array(today), np.array(usual)


def _known(values: FloatArray) -> FloatArray:
    return values[~np.isnan(values)]


def _ranks(pooled: FloatArray) -> FloatArray:
    """Mid-ranks within the probe, 0 to 1; NaN where there is no answer."""
    rest = _from_centre(pooled)
    rest = np.round(np.sign(rest) * np.maximum(0.0, np.abs(rest) - lengths.TOLERANCE), 9)
    below = np.zeros(rest.shape)
    for place in range(rest.shape[-1]):
        one = rest[..., place : place + 1]
        below += (rest > one) + 0.5 * (rest == one)
    return np.where(np.isnan(rest), np.nan, below / np.maximum(1, (~np.isnan(rest)).sum(axis=-1))[..., None])


def _by_probe(answers: FloatArray) -> FloatArray:
    """(probes, days x replicates): day by day."""
    return np.asarray(np.moveaxis(answers, 1, 0).reshape(answers.shape[1], -1))


def _enough(now: FloatArray, then: FloatArray, scores: FloatArray) -> FloatArray:
    both = np.isfinite(now) & _any(then)[None, :, None]
    return np.where(both.sum(axis=(1, 2)) >= FEWEST_NOW, scores, np.nan)


def _measured(found: Sequence[Scores]) -> Measured:
    """Without what was never measured."""
    return [one for one in found if one.baseline.size and np.isfinite(one.evaluations).any()]
