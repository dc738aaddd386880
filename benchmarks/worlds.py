"""Worlds to be measured in: an endpoint on days that are not alike, not independent or not normal.

A *world* is the law of the days, a *design* is what is asked. A day has one effect on quality, one on the contrast to
the base and one on length, each shared by all probes and all replicates of the day, also by a fresh sample. Effects
have unit variance and follow the world's law; ``spread`` says how much they add: the standard deviation of a day's sum
over that of independent answers, for ``REFERENCE`` answers a day. An effect has a fixed size, so more probes or
replicates make it larger in day scores.

``Synthetic`` answers are made up. An answer passes by chance, with the day's effect on the logit scale; the judge
mostly agrees with the checks; lengths are log-normal; a place (contrast and lift) stands for the texts that
``adapter_loss`` compares. Scores are then computed as the signals do, by their own functions where they are pure
(``likelihood_ratio``, ``day_scores``, ``negative_flips``). ``distribution`` is left out: it takes thousands of
permutations an evaluation. With ``partial``, a baseline day counts with the probes that it has, while the product
leaves out of all days what was not answered today.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.channels import Scores
from benchmarks.worlds_scores import (
    Measured,
    canaries,
    contract,
    judge_score,
    length,
    loss,
    negative_flips,
)

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]
Law = Literal["iid", "t3", "ar", "weekly", "two-state", "real"]

FACTORS: Final = ("quality", "contrast", "length", "other")
"""``other`` moves nothing that is made up; of the lab's answers, it is a direction of their texts."""
REFERENCE: Final = 24
"""Answers a day for which ``spread`` is stated."""
ODD_SHIFT: Final = 3.0
"""Size of an odd day, in standard deviations of the sum of ``REFERENCE`` independent answers."""
_GRID: Final = 20_001
"""Points of a law's marginal distribution for the calibration."""
JUDGE_AGREES: Final = 0.98
"""Chance that the judge's verdict is that of the checks."""
CONTRASTS: Final = {"subject": (0.3, 0.25), "base": (-0.3, 0.25)}
LIFTS: Final = {"subject": (0.0, 0.1), "base": (0.25, 0.12)}
"""Mean and standard deviation of places: a base that is close to the subject."""
LENGTHS: Final = (4.0, 7.0, 0.2)
"""Least and greatest log length of a probe, and the standard deviation within a probe."""
ODDITIES: Final = 0.01
"""Share of refusals, and of answers that a limit cuts."""
BASE_PASSES: Final = (0.0, 0.0, 0.0, 0.5)
"""Pass rates of the base, by turns."""
SLOW_FROM: Final = 0.2
"""Standard deviations over a probe's usual log length from which an answer may time out."""


@dataclass(frozen=True)
class World:
    """The law of the days."""

    law: Law = "iid"
    spread: float = 1.2
    memory: float = 0.0
    """Of ``ar``: the autocorrelation from day to day. Of ``two-state``: days that a state lasts on average."""
    odd: float = 0.0
    """Chance of a day that is worse by ``ODD_SHIFT`` in everything at once."""
    odd_in_baseline: bool = False
    """Whether one day of the baseline is odd. The others never are."""
    judge_noise: float = 0.0
    """Chance of each verdict of the judge to be the opposite."""
    partial: float = 0.0
    """Chance of an answer to be missing, of a slow one to time out (three times that), of a day to be missed."""

    def effects(self, before: int, after: int, rng: np.random.Generator) -> "Effects":
        """Of the baseline's days and of the evaluations'."""
        days = before + after
        shared = self.law in ("weekly", "two-state")
        drawn = [self._drawn(days, rng) for _ in FACTORS[: 1 if shared else None]]
        sizes = np.stack(drawn * len(FACTORS) if shared else drawn) if self.law != "real" else _real(days, rng)
        odd = rng.random(days) < self.odd
        odd[:before] = False
        if self.odd_in_baseline:
            odd[rng.integers(before)] = True
        return Effects(sizes, odd)

    def _drawn(self, days: int, rng: np.random.Generator) -> FloatArray:
        if self.law == "t3":
            return np.asarray(rng.standard_t(3, days) / np.sqrt(3.0))
        if self.law == "weekly":
            return np.asarray(np.sqrt(2.0) * np.sin(2 * np.pi * (np.arange(days) + rng.integers(7)) / 7))
        if self.law == "two-state":
            turns = np.cumsum(rng.random(days) < 1 / self.memory) + rng.integers(2)
            return np.asarray(np.where(turns % 2, 1.0, -1.0))
        found = rng.standard_normal(days)
        if self.law == "ar":
            for day in range(1, days):
                found[day] = self.memory * found[day - 1] + np.sqrt(1 - self.memory**2) * found[day]
        return found

    def marginal(self) -> FloatArray:
        """Equally likely effects."""
        from scipy.special import ndtri, stdtrit

        shares = (np.arange(_GRID) + 0.5) / _GRID
        if self.law == "t3":
            return np.asarray(stdtrit(3, shares) / np.sqrt(3.0))
        if self.law == "weekly":
            return np.asarray(np.sqrt(2.0) * np.sin(2 * np.pi * np.arange(7) / 7))
        return np.array([-1.0, 1.0]) if self.law == "two-state" else np.asarray(ndtri(shares))


@dataclass(frozen=True)
class Effects:
    """What days add: (factors, days) of unit variance, positive for worse, nearer to the base, longer."""

    sizes: FloatArray
    odd: Flags

    def on(self, days: slice | Flags | NDArray[np.int64]) -> "Effects":
        return Effects(self.sizes[:, days], self.odd[days])


def _real(days: int, rng: np.random.Generator) -> FloatArray:
    """Days recorded on real servers: ``real_days.day_effects(days, rng)`` gives the first three factors, (3, days), in
    the order of ``FACTORS``, of unit variance. Raises ModuleNotFoundError or OSError where there is no recording."""
    found = np.asarray(import_module("benchmarks.real_days").day_effects(days, rng), dtype=np.float64)
    return np.concatenate([found, rng.standard_normal((len(FACTORS) - len(found), days))])


CASES: Final[Mapping[str, World]] = {
    "iid-1.0": World(spread=1.0),
    "iid-1.2": World(),
    "iid-1.5": World(spread=1.5),
    "t3-1.2": World("t3"),
    "ar5-1.2": World("ar", memory=0.5),
    "ar8-1.2": World("ar", memory=0.8),
    "weekly": World("weekly"),
    "two-state": World("two-state", memory=5.0),
    "odd-day": World(odd=1 / 30),
    "odd-day-in-baseline": World(odd=1 / 30, odd_in_baseline=True),
    "judge-noise": World(judge_noise=0.05),
    "partial": World(partial=0.05),
    "real-days": World("real"),
}
FURTHER: Final[Mapping[str, World]] = {
    "two-state, stays of 20 days": World("two-state", memory=20.0),
    "t3-1.5": World("t3", spread=1.5),
    "ar5-1.5": World("ar", spread=1.5, memory=0.5),
    "ar5, odd days, judge noise, partial": World("ar", memory=0.5, odd=1 / 30, judge_noise=0.05, partial=0.05),
}
"""Further worlds and mixtures."""


@dataclass(frozen=True)
class Design:
    """What is asked of the endpoint, and how often it is right."""

    probes: int = 24
    replicates: int = 1
    pass_rate: float = 0.98
    days: int = 14
    """Of the baseline."""


@dataclass(frozen=True)
class Logit:
    """A share of answers on a day: sigmoid(``intercept`` + ``slope`` x effect), and ``odd`` more on an odd day."""

    intercept: float
    slope: float
    odd: float

    @classmethod
    @cache
    def of(cls, share: float, world: World) -> "Logit":
        """Such that the mean is ``share`` and the sum of ``REFERENCE`` answers has the world's spread, or the greatest
        that its law allows (two equally likely states of one wrong answer in a thousand differ by two at most)."""
        grid, usual = world.marginal(), share * (1 - share)
        wanted = (world.spread**2 - 1) * usual / (REFERENCE - 1)
        low, high = 0.0, 12.0
        for _ in range(60 if wanted > 0 else 0):
            middle = 0.5 * (low + high)
            reached = _sigmoid(_intercept(share, middle, grid) + middle * grid).var()
            low, high = (middle, high) if reached < wanted else (low, middle)
        return cls(_intercept(share, low, grid), low, float(ODD_SHIFT * np.sqrt(usual / REFERENCE)))

    def shares(self, effects: Effects) -> FloatArray:
        """The share on each day."""
        return np.minimum(1.0, _sigmoid(self.intercept + self.slope * effects.sizes[0]) + self.odd * effects.odd)


def _intercept(share: float, slope: float, grid: FloatArray) -> float:
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _sigmoid(middle + slope * grid).mean() < share else (low, middle)
    return 0.5 * (low + high)


def _sigmoid(number: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * number)))


@dataclass(frozen=True)
class Drawn:
    """Answers of some days: (days, probes, replicates) of the subject, (days, probes, 1) of the base. NaN: missing."""

    passed: FloatArray
    judged: FloatArray
    base_judged: FloatArray
    contrast: FloatArray
    lift: FloatArray
    chars: FloatArray
    refused: FloatArray
    cut: FloatArray

    def on(self, days: slice) -> "Drawn":
        return Drawn(**{name: value[days] for name, value in vars(self).items()})


class Synthetic:
    """One approved baseline of made-up answers."""

    def __init__(self, world: World, design: Design, effects: Effects, rng: np.random.Generator) -> None:
        self.world, self.design = world, design
        self.usual = rng.uniform(*LENGTHS[:2], design.probes)
        """Mean log length of each probe."""
        self.before = self.draw(effects, rng)
        turns = np.resize(BASE_PASSES, design.probes)
        self.base_passed = (rng.random((design.days, design.probes)) < turns).astype(np.float64)
        self.base_places = tuple(
            rng.normal(*place["base"], (design.days, design.probes)) for place in (CONTRASTS, LIFTS)
        )

    def draw(self, effects: Effects, rng: np.random.Generator) -> Drawn:
        """The answers of the effects' days."""
        world, design, days = self.world, self.design, effects.odd.size
        shape = (days, design.probes, design.replicates)
        wrong = self._happens(1 - design.pass_rate, effects, shape, rng)
        base = rng.random((days, design.probes, 1)) < np.resize(BASE_PASSES, design.probes)[None, :, None]
        lines = [self._line(effects, factor) for factor in (1, 2)]
        contrast = rng.normal(*CONTRASTS["subject"], shape) - CONTRASTS["subject"][1] * lines[0][:, None, None]
        lift = rng.normal(*LIFTS["subject"], shape) + LIFTS["subject"][1] * lines[0][:, None, None]
        logs = rng.normal(0.0, 1.0, shape) + lines[1][:, None, None]
        found = Drawn(
            passed=1.0 - wrong,
            judged=self._verdicts(1.0 - wrong, rng),
            base_judged=self._verdicts(base.astype(np.float64), rng),
            contrast=contrast,
            lift=lift,
            chars=np.rint(np.exp(self.usual[None, :, None] + LENGTHS[2] * logs)),
            refused=self._happens(ODDITIES, effects, shape, rng),
            cut=self._happens(ODDITIES, effects, shape, rng),
        )
        return found if not world.partial else _without(found, _lost(world, logs, rng))

    def _line(self, effects: Effects, factor: int) -> FloatArray:
        """What the day adds to each answer's number, in its standard deviations."""
        usual = np.sqrt((self.world.spread**2 - 1) / (REFERENCE - 1))
        return np.asarray(usual * effects.sizes[factor] + ODD_SHIFT / np.sqrt(REFERENCE) * effects.odd)

    def _happens(
        self, share: float, effects: Effects, shape: tuple[int, int, int], rng: np.random.Generator
    ) -> FloatArray:
        chance = Logit.of(round(share, 9), replace(self.world, odd=0.0, odd_in_baseline=False)).shares(effects)
        return np.asarray(rng.random(shape) < chance[:, None, None], dtype=np.float64)

    def _verdicts(self, passed: FloatArray, rng: np.random.Generator) -> FloatArray:
        other = rng.random(passed.shape) >= JUDGE_AGREES
        noise = rng.random(passed.shape) < self.world.judge_noise
        return np.asarray(np.where(other ^ noise, 1.0 - passed, passed))

    def scores(self, now: Drawn) -> list[Scores]:
        """Every live signal's channels: the baseline's day scores, and those of the days of ``now``, NaN where the
        signal could not be measured."""
        before = self.before
        found: list[Measured] = [
            loss((before.contrast, before.lift), self.base_places, (now.contrast, now.lift)),
            canaries(before.passed, self.base_passed, now.passed),
            negative_flips(before.passed, now.passed),
            judge_score(before.judged, before.base_judged, now.judged, now.base_judged),
            length(before.chars, now.chars),
            contract({name: (vars(before)[name], vars(now)[name]) for name in ("passed", "cut", "refused")}),
        ]
        return [channel for one in found for channel in one]


def _lost(world: World, logs: FloatArray, rng: np.random.Generator) -> Flags:
    """Which answers did not come: some by chance, some because long answers time out."""
    by_chance = rng.random(logs.shape) < world.partial
    timed_out = (logs > SLOW_FROM) & (rng.random(logs.shape) < 3 * world.partial)
    return np.asarray(by_chance | timed_out)


def _without(found: Drawn, lost: Flags) -> Drawn:
    """An answer that did not come has no number at all; the base's are lost by its first replicate."""
    masks = {name: lost[:, :, :1] if name == "base_judged" else lost for name in vars(found)}
    return Drawn(**{name: np.where(masks[name], np.nan, value) for name, value in vars(found).items()})
