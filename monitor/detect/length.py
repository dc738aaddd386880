"""``length``: answers became longer, shorter, or more uneven.

Two statistics on log(1 + characters), so that a probe with long answers does not drown the others:

* the mean, paired by probe: today's against the baseline's; changes under ``TOLERANCE`` are let be;
* the spread: Brown and Forsythe's absolute deviations from the probe's centre (JASA 69, 1974), after the common shift
  is taken out, judged by shuffles instead of their F, which needs independent groups and normal lengths.

The p-value is twice the smaller of the two (Bonferroni). The effect is the variance ratio, now over baseline, both
corrected for what a centre estimated from few answers takes away; ``FLOOR`` keeps it finite where answers never varied.
"""

from math import exp, log, log1p, sqrt
from typing import Final

import numpy as np

from monitor.detect.evidence import Sample, look
from monitor.detect.parts import (
    PLAIN,
    by_probe,
    exhibits,
    finding,
    means,
    quiet_but_moved,
    sample,
    stratum,
    t_quantile,
)
from monitor.records import Arm, Comparison, Exhibit, Finding, GradedAnswer, Severity

NAME: Final = "length"
SEVERITY: Final = Severity.TICKET
TOLERANCE: Final = log(1.02)
"""A mean change of 2 % is nobody's ticket, even where temperature 0 makes it certain."""
FAR_OFF: Final = (1.5, 4.0)
"""Ratios, either way, of the mean length and of the variance that are never called unchanged, however few answers."""
FLOOR: Final = 1e-4
"""Added to both variances of log length: a spread of 1 %, under which lengths count as constant."""


def detect(comparison: Comparison) -> Finding | None:
    """See the module. ``None`` with too few answers to the same probes on both sides."""
    logs = sample(comparison, _log_length)
    chars = sample(comparison, lambda one: float(len(one.text)))
    if logs is None or chars is None:
        return None
    now, then = means(logs)
    shift = now - then
    mean = look(logs, "either", tolerance=TOLERANCE, at_once=comparison.baseline_at_once)
    spread = look(_deviations(logs, shift), "either", tolerance=sqrt(FLOOR), at_once=comparison.baseline_at_once)
    effect = _variance_ratio(logs, shift, spread.inflation)
    chars_now, chars_then = means(chars)
    p_value = min(1.0, 2 * min(mean.p_value, spread.p_value))
    moved = _moved(shift, log((chars_now + 1) / (chars_then + 1)), effect, mean.p_value, spread.p_value)
    loudest = _even(effect[0]) if spread.p_value < mean.p_value else _by(shift)
    numbers = f"{chars_now:.0f} characters on average, {chars_then:.0f} in the baseline; variance ratio {effect[0]:.2f}"
    numbers += f" (95 % interval {effect[1]:.2f} to {effect[2]:.2f})"
    return finding(
        comparison,
        NAME,
        SEVERITY,
        effect=effect,
        unit="variance of log length, now over baseline",
        p_value=p_value,
        answers_now=int(logs.now.sum()),
        answers_baseline=int((~logs.now).sum()),
        summary=_summary(comparison, p_value, loudest, moved, numbers) + mean.caveat,
        measures={"answer_length_chars": chars_now, "answer_length_variance_ratio": effect[0]},
        exhibits=_exhibits(comparison),
    )


def _summary(comparison: Comparison, p_value: float, loudest: str, moved: list[str], numbers: str) -> str:
    if p_value <= comparison.alpha:
        return (
            f"Answers of {comparison.target} are {loudest}: {numbers}. "
            f"Look for a new model version, prompt or token limit."
        )
    if not moved:
        return f"Answer lengths are as they were: {numbers}."
    what = f"answers of {comparison.target} are {' and '.join(moved)}: {numbers}"
    return quiet_but_moved(what, p_value, comparison.alpha)


def _moved(shift: float, chars: float, effect: tuple[float, float, float], mean_p: float, spread_p: float) -> list[str]:
    """What of the lengths may not be called unchanged; ``chars``: log ratio of the mean characters."""
    moved = []
    if 2 * mean_p <= PLAIN or max(abs(shift), abs(chars)) >= log(FAR_OFF[0]):
        moved.append(_by(shift))
    if 2 * spread_p <= PLAIN or not effect[1] <= 1 <= effect[2] or abs(log(effect[0])) >= log(FAR_OFF[1]):
        moved.append(_even(effect[0]))
    return moved


def _by(shift: float) -> str:
    """The typical change: of the mean of logs, in which no single answer weighs much."""
    return f"{'longer' if shift > 0 else 'shorter'} by {abs(exp(shift) - 1):.0%}"


def _even(ratio: float) -> str:
    return "less even in length" if ratio > 1 else "more even in length"


def _log_length(one: GradedAnswer) -> float:
    return log1p(len(one.text))


def _deviations(logs: Sample, shift: float) -> Sample:
    """Each answer's distance from its probe's centre, today's after ``shift`` is taken out."""
    value = logs.value - np.where(logs.now, shift, 0.0)
    centre = np.bincount(logs.stratum, value) / np.bincount(logs.stratum)
    return Sample(logs.stratum, logs.day, np.abs(value - centre[logs.stratum]))


def _variance_ratio(logs: Sample, shift: float, inflation: float) -> tuple[float, float, float]:
    """Ratio with its 95 % interval, from each side's own kurtosis (never under the normal's), widened for the days."""
    then = ~logs.now
    sizes = np.bincount(logs.stratum[then])
    centre = np.bincount(logs.stratum[then], logs.value[then]) / sizes
    rest = logs.value - centre[logs.stratum] - np.where(logs.now, shift, 0.0)
    scale = sizes[logs.stratum]
    answered = int(logs.now.sum())
    # a new answer strays from the mean of B others by 1 + 1/B variances; the common shift took one degree of freedom
    new = rest[logs.now] ** 2 * (scale / (scale + 1))[logs.now] * answered / max(1, answered - 1)
    old = rest[then] ** 2 * int(then.sum()) / max(1, int(then.sum()) - sizes.size)
    ratio = (float(new.mean()) + FLOOR) / (float(old.mean()) + FLOOR)
    error = sqrt(_log_variance(new) + _log_variance(old)) * inflation
    half = min(30.0, t_quantile(answered - 1) * error)
    return ratio, ratio * exp(-half), ratio * exp(half)


def _log_variance(squares: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Variance of the log of a mean of squares."""
    mean = float(squares.mean()) + FLOOR
    return max(2.0, float(squares.var()) / mean**2) / squares.size


def _exhibits(comparison: Comparison) -> tuple[Exhibit, ...]:
    """The answers whose length is furthest, in log, from their probe's baseline mean."""
    then = by_probe(comparison.baseline, Arm.SUBJECT)
    telling: dict[str, tuple[float, GradedAnswer]] = {}
    everything = [_log_length(one) for found in then.values() for one in found]
    for probe, found in by_probe(comparison.now, Arm.SUBJECT).items():
        same = [_log_length(one) for one in then.get(probe, [])]
        before = same if stratum(comparison, probe) else everything
        if before:
            away = [(abs(_log_length(one) - sum(before) / len(before)), one) for one in found]
            telling[probe] = max(away, key=lambda pair: pair[0])
    return exhibits(comparison, telling)
