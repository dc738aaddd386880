"""What a baseline can detect: the smallest change of each signal that would probably alarm, at the promised rate.

No questions are asked. A day of the approved baseline is read as if it were today, against the whole baseline, which
gives each channel the same baseline scores as a real evaluation. Then evaluations after a shift of d scores are
simulated:

    score of an evaluation = the baseline's true mean + d + noise,    noise ~ N(0, s^2), s = ``evidence.likely_spread``

where the true mean is itself drawn once per path, from the uncertainty of the baseline's days: N(their mean, s^2 /
days). The smallest d whose paths cross the signal's threshold within a number of evaluations in ``CHANCE`` of all cases
is found by bisection on fixed noise. The change is assumed to move only the signal's first channel; a change that moves
several is detected earlier.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from math import log10
from typing import Final

import numpy as np

from monitor.core.records import Arm, Comparison, GradedAnswer, Severity
from monitor.core.signals import OF_BASE
from monitor.detect import evidence
from monitor.detect.evidence import FAR, FloatArray, Side
from monitor.detect.measurement import STRUCTURAL_SHARE, Reading, striking
from monitor.detect.policy import full_days, held_back

WINDOWS: Final = (1, 7, 30)
"""Numbers of evaluations within which a change is to be detected."""
CHANCE: Final = 0.8
PATHS: Final = 300
"""Simulated paths. The chance is known to 2.3 %, and so a shift to about a tenth of a score."""
SEED: Final = 20_261_122
NEAR: Final = 0.03
"""Precision of a solved shift, in scores; finer than its simulation."""


@dataclass(frozen=True)
class Sight:
    """What one signal detects with one baseline."""

    signal: str
    severity: Severity
    """Severity of its alarm: ``ticket`` for a page signal that this baseline does not arm."""
    unarmed: str
    """Why a page signal is only a ticket, and what would be enough; empty for other signals."""
    days: int
    """Full days of its baseline."""
    answers_a_day: int
    """Answers of the day that was read as today's."""
    spread: float
    """Standard deviation of the days' scores, relative to independent answers: 1 is chance alone."""
    threshold_log10: float
    """Running evidence at which it alarms alone."""
    unit: str
    smallest: Mapping[int, float | None]
    """Number of evaluations -> the smallest change of the effect, in ``unit``, that they detect with ``CHANCE``;
    ``None`` if the baseline is too short for the threshold."""
    answers_times: float | None
    """Factor on the answers per run with which one evaluation would detect the whole change, if days differ no more
    than now. ``None`` if one evaluation already does, or if no number of answers would because the baseline is too
    short for the threshold."""


def as_today(baseline: Sequence[GradedAnswer]) -> tuple[GradedAnswer, ...]:
    """The latest day of a baseline with as many of the subject's answers as its median day, as today's answers."""
    answered: dict[datetime, int] = {}
    for one in baseline:
        answered[one.slot] = answered.get(one.slot, 0) + (one.arm == Arm.SUBJECT)
    if not answered:
        return ()
    usual = float(np.median(list(answered.values())))
    day = max(slot for slot, count in answered.items() if count >= usual)
    return tuple(one for one in baseline if one.slot == day)


def sights(
    comparison: Comparison, readings: Mapping[str, Reading], severities: Mapping[str, Severity]
) -> tuple[Sight, ...]:
    """What each measurable signal detects, in the order of ``readings``.

    ``comparison``: ``as_today`` of the baseline against the whole baseline, with the thresholds of its evaluations.
    """
    count = Counter((severities[name], name in OF_BASE) for name in readings)
    lines = {Severity.PAGE: comparison.page_threshold_log10, Severity.TICKET: comparison.ticket_threshold_log10}
    found = []
    for name, reading in readings.items():
        reading = reading.counted()
        kind, channel = severities[name], reading.channels[0]
        why = held_back(comparison, channel) if kind is Severity.PAGE else ""
        line = lines[kind] + log10(count[kind, name in OF_BASE])
        mine = line + log10(len(reading.channels))
        at_once = comparison.baseline_at_once
        shifts = {
            (evaluations, bound): smallest_shift(
                channel.baseline, channel.side, mine, evaluations, bound, at_once=at_once
            )
            for evaluations in WINDOWS
            for bound in (channel.bound, FAR)
        }
        found.append(
            Sight(
                signal=name,
                severity=Severity.TICKET if why else kind,
                unarmed=why,
                days=full_days(comparison, channel),
                answers_a_day=reading.answers_now,
                spread=evidence.measured_spread(channel.baseline),
                threshold_log10=line,
                unit=reading.unit,
                smallest={n: _smallest(reading, shifts[n, channel.bound], shifts[n, FAR]) for n in WINDOWS},
                answers_times=_answers_times(reading, shifts[WINDOWS[0], FAR]),
            )
        )
    return tuple(found)


def _smallest(reading: Reading, shift: float | None, far: float | None) -> float | None:
    """The smallest change, from the shift that is found within the bound of an ordinary day, or within that of a
    structural change."""
    ordinary = None if reading.structural else _change(reading, shift)
    if ordinary is not None:
        return ordinary
    change = _change(reading, far)
    if change is None or reading.structural:
        return change
    least = STRUCTURAL_SHARE if reading.curve is not None else _change(reading, striking(reading.answers_now))
    return None if least is None else max(change, least)


def _change(reading: Reading, shift: float | None) -> float | None:
    """How far the effect moves when the first channel's score moves by ``shift``; ``None`` if nothing moves it that
    far."""
    if shift is None or reading.curve is None:
        return None if shift is None else reading.tolerance + shift * reading.per_score
    scores, changes = zip(*reading.curve(), strict=True)
    return None if shift > scores[-1] else float(np.interp(shift, scores, changes))


def _answers_times(reading: Reading, shift: float | None) -> float | None:
    """See ``Sight``: a change's score grows with the square root of the answers."""
    if shift is None or reading.curve is None:
        return None
    whole = max(score for score, _ in reading.curve())
    return (shift / whole) ** 2 if 0 < whole < shift else None


def smallest_shift(
    baseline: Sequence[float],
    side: Side,
    threshold_log10: float,
    evaluations: int,
    bound: float = FAR,
    *,
    at_once: bool = False,
) -> float | None:
    """The smallest shift, in scores, that crosses the threshold within ``evaluations`` with ``CHANCE``; see the module.

    ``bound``: of a day's score. ``None`` if not even a shift far beyond it would. Seeded: the same baseline gives the
    same number.

    >>> week = (-1.0, 1.0, 0.0, -1.0, 1.0, 0.0, 0.0)
    >>> [round(smallest_shift(days, "rise", 3.56, looks), 1) for days, looks in ((week, 1), (week, 7), (week * 2, 7))]
    [8.2, 4.1, 3.3]
    """
    # the evidence depends only on the number of days and their differences, not on their mean or direction
    squares = len(baseline) * float(np.var(np.asarray(baseline, dtype=np.float64)))
    case = _Case(len(baseline), round(squares, 2), side == "either", round(threshold_log10, 3), bound, at_once)
    return _solved(case, evaluations)


@dataclass(frozen=True)
class _Case:
    """What ``smallest_shift`` depends on: ``squares`` is the sum of squares of the days' scores around their mean."""

    days: int
    squares: float
    either: bool
    threshold_log10: float
    bound: float
    at_once: bool


@cache
def _solved(case: _Case, evaluations: int) -> float | None:
    """``smallest_shift`` of a case, for days with a mean of 0."""
    half = np.sqrt(case.squares / case.days) * np.ones(case.days)
    half[1::2] *= -1.0
    before = half - half.mean()
    before *= np.sqrt(case.squares / max(1e-12, float((before**2).sum())))
    scale = evidence.likely_spread(before.tolist())
    rng = np.random.default_rng(SEED)
    means = rng.standard_normal(PATHS) / np.sqrt(case.days)
    noise = scale * (means + rng.standard_normal((evaluations, PATHS))).T
    # on the same noise, a longer window detects what a shorter one detects
    sooner = _solved(case, max(1, evaluations // 4)) if evaluations > 1 else None
    low, high = 0.0, sooner or 2 * case.bound
    if sooner is None and _caught(case, before, noise + high) < CHANCE:
        return None
    while high - low > NEAR:
        middle = 0.5 * (low + high)
        enough = _caught(case, before, noise + middle) >= CHANCE
        low, high = (low, middle) if enough else (middle, high)
    return high


def _caught(case: _Case, before: FloatArray, paths: FloatArray) -> float:
    """Share of the paths whose running evidence crosses the threshold at any evaluation."""
    caught = np.zeros(len(paths), dtype=np.bool_)
    paths = np.clip(paths, -case.bound, case.bound)
    for evaluations in range(1, paths.shape[1] + 1):
        open_ = np.flatnonzero(~caught)
        grown = running_log10(before, paths[open_, :evaluations], either=case.either, at_once=case.at_once)
        caught[open_] = grown >= case.threshold_log10
    return float(caught.mean())


def running_log10(
    baseline: Sequence[float] | FloatArray, paths: FloatArray, *, either: bool, at_once: bool = False
) -> FloatArray:
    """``evidence.running`` for a rise, of many paths at once: log10 of the evidence at their last evaluation; shape
    (paths,).

    ``paths``: one row of evaluations per path, oldest first. ``either``: the average with that for a drop. ``at_once``:
    the baseline was captured at once.
    """
    count = len(baseline)
    before = np.broadcast_to(np.asarray(baseline, dtype=np.float64), (len(paths), count))
    prior = evidence.AT_ONCE if at_once else evidence.PRIOR
    sides = [
        np.logaddexp.reduce(evidence.log_factors(sign * before, sign * paths, prior), axis=1)
        for sign in ((1.0, -1.0) if either else (1.0,))
    ]
    return np.asarray((np.logaddexp.reduce(sides, axis=0) - np.log(len(sides))) / np.log(10.0))
