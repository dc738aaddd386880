"""The lab's real answers in the worlds of ``benchmarks.worlds``: the same days, another source of answers.

A day tilts the odds with which the pool's answers are drawn (see ``resample``); here the tilt follows the world's law
instead of independent normals. Every evaluation has one answer a probe. What a partial run loses, ``adapter_loss``
still has, since its densities are made once from the whole baseline.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np

from benchmarks.channels import Alike, Scores, Watched
from benchmarks.resample import FEATURES, Kinds, source, tilted
from benchmarks.worlds import ODD_SHIFT, SLOW_FROM, Design, Effects, FloatArray, World
from benchmarks.worlds_scores import IntArray, Measured, canaries, contract, judge_score, length, negative_flips

WORSE: Final = {"contrast": -1.0, "right": -1.0}
"""The direction of an odd day, by feature."""
_HALVINGS: Final = 40


@dataclass(frozen=True)
class Kept:
    """Kinds of answers of some days, (days, probes), of the subject and of the base, and what is lost of them."""

    subject: IntArray
    base: IntArray
    lost: FloatArray
    """NaN where an answer did not come, else 0: (days, probes, 1)."""
    noise: FloatArray
    """1 where the judge's verdict is turned around: (2, days, probes, 1), of the subject and of the base."""


class Lab:
    """One approved baseline of the lab's answers."""

    def __init__(
        self, world: World, design: Design, effects: Effects, rng: np.random.Generator, pooled: "Pooled | None" = None
    ) -> None:
        """``pooled``: the answers; by default those of the pool of seed 1. Their number and pass rates are given."""
        self.world, self.design, self.pooled = world, design, pooled or _pooled(world.spread)
        self.axis = _axis(rng, effects)
        self.before = self.draw(effects, rng)

    def draw(self, effects: Effects, rng: np.random.Generator) -> Kept:
        """The answers of the effects' days. The base has effects of its own, which are independent from day to day."""
        usual = Effects(rng.standard_normal(effects.sizes.shape), np.zeros(effects.odd.size, dtype=bool))
        subject, base = (self._drawn(arm, one, rng) for arm, one in ((0, effects), (1, usual)))
        shape = (*subject.shape, 1)
        noise = (rng.random((2, *shape)) < self.world.judge_noise).astype(np.float64)
        return Kept(subject, base, self._lost(subject, rng)[:, :, None], noise)

    def _drawn(self, arm: int, effects: Effects, rng: np.random.Generator) -> IntArray:
        one = (self.pooled.alike.subject, self.pooled.alike.base)[arm]
        normals = effects.sizes.T @ (np.eye(len(FEATURES)) if arm else self.axis)
        added = np.zeros((effects.odd.size, one.kinds.features.shape[2]))
        if one.mixing is not None:
            added = normals[:, : one.mixing.shape[0]] @ one.mixing
        if effects.odd.any():
            added[effects.odd] += self.pooled.odd
        reached = np.cumsum(tilted(one.kinds, added), axis=2)
        place = rng.random((len(added), one.kinds.probes, 1)) * reached[:, :, -1:]
        return np.asarray((reached <= place).sum(axis=2), dtype=np.int64)

    def _lost(self, subject: IntArray, rng: np.random.Generator) -> FloatArray:
        share = self.world.partial
        if not share:
            return np.zeros(subject.shape)
        logs = np.log1p(self._table("chars")[np.arange(subject.shape[1]), subject])
        slow = logs - logs.mean(axis=0) > SLOW_FROM * np.maximum(logs.std(axis=0), 1e-9)
        lost = (rng.random(logs.shape) < share) | (slow & (rng.random(logs.shape) < 3 * share))
        return np.where(lost, np.nan, 0.0)

    def _table(self, what: str) -> FloatArray:
        return self.pooled.tables[what]

    def scores(self, now: Kept) -> list[Scores]:
        """Every live signal's channels, as of ``worlds.Synthetic``."""
        then = self.before
        found: list[Measured] = [
            self._loss(now),
            canaries(self._of(then, "right"), self._of_base(then, "base right")[:, :, 0], self._of(now, "right")),
            negative_flips(self._of(then, "right"), self._of(now, "right")),
            judge_score(*(side for one in (then, now) for side in (self._verdicts(one, 0), self._verdicts(one, 1)))),
            length(self._of(then, "chars"), self._of(now, "chars")),
            contract(
                {
                    name: (self._of(then, table), self._of(now, table))
                    for name, table in (("passed", "right"), ("cut", "cut"), ("refused", "refused"))
                }
            ),
        ]
        return [channel for one in found for channel in one]

    def _loss(self, now: Kept) -> Measured:
        evaluated = self._watched.adapter_loss(now.subject, now.base)["text"]
        return [Scores("adapter_loss", "text", "rise", self._loss_before, evaluated)]

    @cached_property
    def _watched(self) -> Watched:
        return Watched(self.pooled.alike, self.before.subject, self.before.base)

    @cached_property
    def _loss_before(self) -> FloatArray:
        """By the product itself, which must give the first evaluation the same score."""
        found = self._watched.scores(self.before.subject[:1], self.before.base[:1])
        return next((one.baseline for one in found if one.signal == "adapter_loss"), np.empty(0))

    def _of(self, one: Kept, table: str) -> FloatArray:
        return np.asarray(self._table(table)[np.arange(one.subject.shape[1]), one.subject][:, :, None] + one.lost)

    def _of_base(self, one: Kept, table: str) -> FloatArray:
        return np.asarray(self._table(table)[np.arange(one.base.shape[1]), one.base][:, :, None])

    def _verdicts(self, one: Kept, arm: int) -> FloatArray:
        told = self._of_base(one, "base judged") if arm else self._of(one, "judged")
        return np.asarray(np.abs(told - one.noise[arm]))


def _axis(rng: np.random.Generator, effects: Effects) -> FloatArray:
    """Which of the tilt's independent parts each factor moves, (factors, parts): one each; where all factors are one, a
    direction drawn at random."""
    factors, parts = effects.sizes.shape[0], len(FEATURES)
    if not np.array_equal(effects.sizes[0], effects.sizes[1]):
        return np.eye(factors, parts)
    turned = rng.standard_normal(parts)
    found = np.zeros((factors, parts))
    found[0] = turned / np.linalg.norm(turned) * np.sqrt(parts)
    return found


class Pooled:
    """The kinds of answers of the subject and of the base, with what the signals read of each."""

    def __init__(self, alike: Alike) -> None:
        self.alike = alike

    @cached_property
    def tables(self) -> dict[str, FloatArray]:
        """Numbers of each kind of answer, (probes, kinds)."""
        mine, others = self.alike.judged
        found = {"right": self.alike.right, "judged": mine, "base judged": others}
        found["base right"] = np.full(others.shape, np.nan)
        for name in ("chars", "cut", "refused"):
            found[name] = np.full(mine.shape, np.nan)
        for probe, kinds in enumerate(self.alike.subject.kinds.members):
            for place, (first, *_) in enumerate(kinds):
                found["chars"][probe, place] = len(first.text)
                found["cut"][probe, place] = float(first.finish_reason != "stop")
                found["refused"][probe, place] = float(first.refusal)
        for probe, kinds in enumerate(self.alike.base.kinds.members):
            found["base right"][probe, : len(kinds)] = [first.right for first, *_ in kinds]
        return found

    @cached_property
    def odd(self) -> FloatArray:
        """The tilt of an odd day: along ``WORSE``, until one feature's sum has moved by ``ODD_SHIFT``."""
        kinds = self.alike.subject.kinds
        worse = np.array([WORSE.get(name, 0.0) for name in FEATURES])[: kinds.features.shape[2]]
        low, high = 0.0, 20.0
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if _moved(kinds, middle * worse) < ODD_SHIFT else (low, middle)
        return np.asarray(low * worse)


@cache
def _pooled(spread: float) -> Pooled:
    return Pooled(Alike(*(source(case, spread, judged=True) for case in ("healthy", "base"))))


def _moved(kinds: Kinds, tilt: FloatArray) -> float:
    """The greatest shift of a feature's sum over the probes, in standard deviations of independent answers."""
    means = np.einsum("pg,pgk->k", tilted(kinds, tilt[None])[0], kinds.features)
    return float(np.abs(means).max() / np.sqrt(kinds.probes))
