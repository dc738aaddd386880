"""Numbers of answers to fresh samples, seen in three ways, so that a change of what users ask is not one of the model.

A week of other inputs changes lengths, scores and refusals although the model is the same. Three views of a number
exclude different parts of that:

* *own*: the number itself. It shows a change that users get.
* *difference*: less the number of the base's answer to the same input in the same run. It excludes what moves both arms
  alike: longer inputs, a stricter judge, a server that cuts.
* *adjusted*: less what is expected for such an input: ridge regression (A. E. Hoerl, R. W. Kennard, Technometrics 12,
  1970) on the words and the length of the base's answer and on the prompt's tokens, fitted on the baseline. It excludes
  topics and languages on which the arms differ by another amount. A day of the baseline is predicted from the other
  days, so that its rest is like today's.

A day's score is the least of its three, in the same direction, also for the days of the baseline: a change of the model
shows in all three.
"""

from collections.abc import Sequence
from math import log1p
from typing import Final

import numpy as np

from monitor.core.records import Arm, Comparison, GradedAnswer
from monitor.core.run_kinds import run_kind
from monitor.detect.common import Value, answers, sample
from monitor.detect.day_scores import DayScores, Sample
from monitor.detect.distribution import hashed_words
from monitor.detect.evidence import Side
from monitor.detect.fresh_pairs import firsts
from monitor.detect.text_similarity import FloatArray

MOSTLY: Final = 0.8
"""Share of the answers, on both sides, that need an answer of the base for the views to be taken."""
RIDGE: Final = 0.3
"""Penalty of the squared coefficients, in answers with a standard deviation of 1."""


def views(comparison: Comparison, value: Value, own: Sample | None = None) -> tuple[Sample, ...]:
    """The three views, of the same answers; for fixed probes, without enough answers of the base or of numbers, the
    first one at most. ``own``: ``common.sample`` of the number, where the caller has it."""
    own = sample(comparison, value) if own is None else own
    if own is None or run_kind(comparison.target, comparison.suite).frozen_items:
        return () if own is None else (own,)
    beside = _beside(comparison, value)
    paired = sample(comparison, lambda one: value(one) if id(one) in beside else None)
    if paired is None or not _mostly(paired, own):
        return (own,)
    rest = _adjusted(comparison, value, beside)
    difference = sample(comparison, lambda one: _minus(value(one), beside.get(id(one)), value))
    adjusted = sample(comparison, lambda one: rest.get(id(one)))
    return tuple(one for one in (paired, difference, adjusted) if one is not None)


def least(found: Sequence[DayScores], side: Side) -> DayScores:
    """For each day the score that is the least change among the views; 0 if they differ in direction and ``side`` is
    either."""
    days = zip(*(one.baseline for one in found), strict=True)
    return DayScores(_least([one.now for one in found], side), tuple(_least(day, side) for day in days))


def _least(scores: Sequence[float], side: Side) -> float:
    if side == "drop":
        return max(scores)
    if side == "rise":
        return min(scores)
    return max(0.0, min(scores)) + min(0.0, max(scores))


def _mostly(paired: Sample, own: Sample) -> bool:
    sides = ((paired.now, own.now), (~paired.now, ~own.now))
    return all(ours.sum() >= MOSTLY * every.sum() for ours, every in sides)


def _minus(mine: float | None, base: GradedAnswer | None, value: Value) -> float | None:
    other = None if base is None else value(base)
    return None if mine is None or other is None else mine - other


def _beside(comparison: Comparison, value: Value) -> dict[int, GradedAnswer]:
    """Identity of a subject's answer -> the base's answer to the same input, where both have the number."""
    found = {}
    for side in (comparison.now, comparison.baseline):
        base = firsts(side, Arm.BASE)
        for one in answers(side, Arm.SUBJECT):
            other = base.get((one.run_id, one.probe))
            if other is not None and value(one) is not None and value(other) is not None:
                found[id(one)] = other
    return found


def _adjusted(comparison: Comparison, value: Value, beside: dict[int, GradedAnswer]) -> dict[int, float]:
    """Identity of a subject's answer -> its number less the expected one."""
    now = [one for one in answers(comparison.now, Arm.SUBJECT) if id(one) in beside]
    then = [one for one in answers(comparison.baseline, Arm.SUBJECT) if id(one) in beside]
    mine = [*then, *now]
    known = _features([beside[id(one)] for one in mine], len(then))
    numbers = np.array([value(one) for one in mine], dtype=np.float64)
    slots = [one.slot for one in then]
    rest = numbers.copy()
    everything = _Sums.of(known[: len(then)], numbers[: len(then)])
    rest[len(then) :] -= everything.predicted(known[len(then) :])
    for slot in sorted(set(slots)):
        day = np.flatnonzero([one == slot for one in slots])
        others = everything.without(_Sums.of(known[day], numbers[day]))
        rest[day] -= others.predicted(known[day])
    return {id(one): float(left) for one, left in zip(mine, rest, strict=True)}


def _features(found: Sequence[GradedAnswer], before: int) -> FloatArray:
    """One row an answer of the base; each column has mean 0 and at most a standard deviation of 1 over the ``before``
    first."""
    words = hashed_words([one.text for one in found]).astype(np.float64)
    sizes = [[log1p(len(one.text)), log1p(max(0, one.prompt_tokens))] for one in found]
    numbers = np.array(sizes, dtype=np.float64)
    numbers /= np.maximum(numbers[:before].std(axis=0), 1e-6)
    rows = np.concatenate([words, numbers], axis=1)
    return np.asarray(rows - rows[:before].mean(axis=0))


class _Sums:
    """What a ridge regression needs of its rows, so that a day's can be taken away."""

    def __init__(self, count: float, rows: FloatArray, numbers: float, gram: FloatArray, cross: FloatArray) -> None:
        self.count, self.rows, self.numbers, self.gram, self.cross = count, rows, numbers, gram, cross

    @classmethod
    def of(cls, rows: FloatArray, numbers: FloatArray) -> "_Sums":
        return cls(float(len(rows)), rows.sum(axis=0), float(numbers.sum()), rows.T @ rows, rows.T @ numbers)

    def without(self, day: "_Sums") -> "_Sums":
        return _Sums(
            self.count - day.count, self.rows - day.rows, self.numbers - day.numbers, self.gram - day.gram,
            self.cross - day.cross,
        )  # fmt: skip

    def predicted(self, rows: FloatArray) -> FloatArray:
        """The expected number of each row; 0 without any row to learn from."""
        if self.count < 1:
            return np.zeros(len(rows))
        middle, mean = self.rows / self.count, self.numbers / self.count
        gram = self.gram - self.count * np.outer(middle, middle) + RIDGE * np.eye(middle.size)
        slopes = np.linalg.solve(gram, self.cross - self.numbers * middle)
        return np.asarray(mean + (rows - middle) @ slopes)
