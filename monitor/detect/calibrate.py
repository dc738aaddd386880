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
from monitor.detect.day_scores import FARTHEST
from monitor.detect.evidence import PRIOR, FloatArray, Prior, Side
from monitor.detect.measurement import Reading
from monitor.detect.policy import full_days, held_back, prior_of

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
        kind, channel = severities[name], reading.channels[0]
        why = held_back(comparison, channel) if kind is Severity.PAGE else ""
        line = lines[kind] + log10(count[kind, name in OF_BASE])
        prior = prior_of(channel, at_once=comparison.baseline_at_once)
        mine = line + log10(len(reading.channels))
        shifts = {
            evaluations: smallest_shift(channel.baseline, channel.side, mine, evaluations, prior)
            for evaluations in WINDOWS
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
                smallest={n: _change(reading, shift) for n, shift in shifts.items()},
                answers_times=_answers_times(reading, shifts[WINDOWS[0]]),
            )
        )
    return tuple(found)


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
    baseline: Sequence[float], side: Side, threshold_log10: float, evaluations: int, prior: Prior = PRIOR
) -> float | None:
    """The smallest shift, in scores, that crosses the threshold within ``evaluations`` with ``CHANCE``; see the module.

    ``None`` if not even the farthest score (``FARTHEST``) would. Seeded: the same baseline gives the same number.

    >>> week = (-1.0, 1.0, 0.0, -1.0, 1.0, 0.0, 0.0)
    >>> [round(smallest_shift(days, "rise", 3.56, looks), 1) for days, looks in ((week, 1), (week, 7), (week * 2, 7))]
    [9.4, 4.0, 3.1]
    """
    # the evidence depends only on the number of days and their differences, not on their mean or direction
    squares = len(baseline) * float(np.var(np.asarray(baseline, dtype=np.float64)))
    return _solved(len(baseline), round(squares, 2), side == "either", round(threshold_log10, 3), evaluations, prior)


@cache
def _solved(
    days: int, squares: float, either: bool, threshold_log10: float, evaluations: int, prior: Prior
) -> float | None:
    """``smallest_shift`` for days with this sum of squares around their mean, which is set to 0."""
    half = np.sqrt(squares / days) * np.ones(days)
    half[1::2] *= -1.0
    before = half - half.mean()
    before *= np.sqrt(squares / max(1e-12, float((before**2).sum())))
    scale = evidence.likely_spread(before.tolist(), prior)
    rng = np.random.default_rng(SEED)
    means = rng.standard_normal(PATHS) / np.sqrt(days)
    noise = scale * (means + rng.standard_normal((evaluations, PATHS))).T
    side: Side = "either" if either else "rise"
    # on the same noise, a longer window detects what a shorter one detects
    sooner = (
        _solved(days, squares, either, threshold_log10, max(1, evaluations // 4), prior) if evaluations > 1 else None
    )
    low, high = 0.0, sooner or FARTHEST
    if sooner is None and _caught(before, noise + high, side, threshold_log10, prior) < CHANCE:
        return None
    while high - low > NEAR:
        middle = 0.5 * (low + high)
        enough = _caught(before, noise + middle, side, threshold_log10, prior) >= CHANCE
        low, high = (low, middle) if enough else (middle, high)
    return high


def _caught(before: FloatArray, paths: FloatArray, side: Side, threshold_log10: float, prior: Prior) -> float:
    """Share of the paths whose running evidence crosses the threshold at any evaluation."""
    caught = np.zeros(len(paths), dtype=np.bool_)
    for evaluations in range(1, paths.shape[1] + 1):
        open_ = np.flatnonzero(~caught)
        # one-sided evidence is at most twice the two-sided, whose cost is a twentieth
        hopeful = open_[
            running_log10(before, paths[open_, :evaluations], "either", prior) >= threshold_log10 - log10(2)
        ]
        caught[hopeful] = running_log10(before, paths[hopeful, :evaluations], side, prior) >= threshold_log10
    return float(caught.mean())


def running_log10(
    baseline: Sequence[float] | FloatArray, paths: FloatArray, side: Side, prior: Prior = PRIOR
) -> FloatArray:
    """``evidence.running`` of many paths at once: log10 of the evidence at their last evaluation; shape (paths,).

    ``paths``: one row of evaluations per path, oldest first.
    """
    sign = -1.0 if side == "drop" else 1.0
    before = sign * np.broadcast_to(np.asarray(baseline, dtype=np.float64), (len(paths), len(baseline)))
    since = evidence.log_factors(before, sign * paths, prior, rises=side != "either")
    return np.asarray(np.logaddexp.reduce(since, axis=1) / np.log(10.0))
