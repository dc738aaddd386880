"""``length``: answers became longer, shorter, or more uneven.

Three channels on log(1 + characters), so that a probe with long answers does not drown the others:

* ``variance``: Brown and Forsythe's absolute deviations from the probe's centre (JASA 69, 1974), after each day's
  common shift is removed;
* ``mean``: changes below ``TOLERANCE`` are ignored;
* ``ks``: Kolmogorov and Smirnov's greatest distance between the day's distribution of within-probe ranks and that of
  all answers, for changes of shape that move neither: a cut at a token limit, a second kind of answer.

Of fresh samples, each channel is the least of three views (``fresh_views``), so that a change of the inputs is not
taken for one of the answers.

The effect is the variance ratio, now over baseline, both corrected for the bias of a centre estimated from few
answers; ``FLOOR`` keeps it finite where answers never varied.
"""

from collections.abc import Sequence
from math import exp, log, log1p, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.limits import MOVED_LOG10
from monitor.core.records import Advice, Arm, Comparison, Exhibit, GradedAnswer
from monitor.core.wording import share
from monitor.detect import evidence
from monitor.detect.common import (
    alarming,
    by_probe,
    exhibits,
    means,
    no_longer,
    quiet,
    quiet_but_moved,
    sample,
    stratum,
    t_quantile,
)
from monitor.detect.day_scores import FARTHEST, NOW, DayScores, FloatArray, Sample, day_scores, full_days
from monitor.detect.fresh_views import least, views
from monitor.detect.measurement import Channel, Reading, Told, Verdict

TOLERANCE: Final = log(1.02)
"""A mean change of 2 % is too small for a ticket, even if temperature 0 makes it certain."""
FAR_OFF: Final = (1.5, 4.0)
"""Ratios, up or down, of the mean length and of the variance that are never reported as unchanged."""
RATIOS_SHOWN: Final = (0.01, 100.0)
"""Ratios of variances outside are not shown as numbers."""
LARGE: Final = 100.0
"""Factor of the typical length above which its size says nothing."""
FLOOR: Final = 1e-4
"""Added to both variances of log length: a spread of 1 %, below which lengths count as constant."""
_LEAST_KS: Final = -3.0
"""Score of a day with exactly the distribution of all days."""


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` with too few answers to the same probes on both sides."""
    logs = sample(comparison, _log_length)
    chars = sample(comparison, lambda one: float(len(one.text)))
    if logs is None or chars is None:
        return None
    seen = views(comparison, _log_length, logs)
    now, then = means(logs)
    shift = now - then
    spreads = [_deviations(one) for one in seen]
    answers_now = int(logs.now.sum())
    chars_now, chars_then = means(chars)
    channels = (
        _channel("variance", [day_scores(one, tolerance=sqrt(FLOOR)) for one in spreads], "either", answers_now),
        _channel("mean", [day_scores(one, tolerance=TOLERANCE) for one in seen], "either", answers_now),
        _channel("ks", [kolmogorov_scores(one, TOLERANCE) for one in seen], "rise", answers_now),
    )
    effect = _variance_ratio(logs, shift, evidence.likely_spread(channels[0].baseline))
    agree = (chars_now - chars_then) * shift >= 0
    loudest = _loudest(channels, shift, effect[0], agree=agree)
    moved = _moved(shift, log((chars_now + 1) / (chars_then + 1)), effect, agree=agree)
    numbers = f"{chars_now:,.0f} characters on average, {chars_then:,.0f} in the baseline; {_spread(chars, effect)}"
    return Reading(
        channels=channels,
        effect=effect,
        unit="variance of log length, now over baseline",
        per_score=_per_score(spreads[0]),
        answers_now=answers_now,
        answers_baseline=int((~logs.now).sum()),
        tell=lambda verdict: _tell(comparison.target, verdict, loudest, moved, numbers),
        measures={
            "answer_length_chars": chars_now,
            "answer_length_baseline_chars": chars_then,
            "answer_length_variance_ratio": effect[0],
        },
        exhibits=_exhibits(comparison),
    )


def _channel(name: str, scores: Sequence[DayScores], side: evidence.Side, answers_now: int) -> Channel:
    return Channel.of(name, least(scores, side), side, answers_now)


def _tell(target: str, verdict: Verdict, loudest: str, moved: Sequence[str], numbers: str) -> Told:
    if verdict.evaluation_disagrees:
        return no_longer(f"answers of {target} changed in length", numbers, verdict)
    if verdict.alarming:
        return alarming(f"Answers of {target} are {loudest}", numbers, Advice.FIND_NEW_PROMPT_OR_LIMIT)
    if not moved and not verdict.moved:
        return quiet("Answer lengths are as in the baseline", numbers)
    return quiet_but_moved(f"answers of {target} are {' and '.join(moved or [loudest])}", numbers)


def _spread(chars: Sample, effect: tuple[float, float, float]) -> str:
    """How far lengths are from their prompt's usual one, in characters, and the ratio of the variances if it means
    something: of answers that hardly varied, any difference is a large ratio."""
    now, then = (_usual_distance(chars, side) for side in (chars.now, ~chars.now))
    told = f"answers differ by {_chars(now)} characters from their usual length, {_chars(then)} in the baseline"
    least, most = RATIOS_SHOWN
    if min(now, then) < 1 or not least <= effect[0] <= most:
        return told
    return f"{told}; variance ratio {effect[0]:.2f} (95% interval {_ratio(effect[1])} to {_ratio(effect[2])})"


def _usual_distance(chars: Sample, side: NDArray[np.bool_]) -> float:
    """Root mean square distance, in characters, of this side's answers from this side's mean for their prompt, or from
    the baseline's where there is one answer now."""
    counts = np.bincount(chars.stratum[side], minlength=int(chars.stratum.max()) + 1)
    own = np.bincount(chars.stratum[side], chars.value[side], minlength=counts.size) / np.maximum(1, counts)
    then = ~chars.now
    answered = np.maximum(1, np.bincount(chars.stratum[then], minlength=counts.size))
    before = np.bincount(chars.stratum[then], chars.value[then], minlength=counts.size) / answered
    centre = np.where(counts > 1, own, before)[chars.stratum[side]]
    return float(np.sqrt(np.mean((chars.value[side] - centre) ** 2)))


def _chars(value: float) -> str:
    return "0" if value < 0.05 else f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def _ratio(value: float) -> str:
    least, most = RATIOS_SHOWN
    return f"under {least:g}" if value < least else f"over {most:g}" if value > most else f"{value:.2f}"


def _moved(shift: float, chars: float, effect: tuple[float, float, float], *, agree: bool) -> list[str]:
    """The properties of the lengths that must not be reported as unchanged. ``chars``: log ratio of the mean
    characters. ``agree``: as in ``_by``."""
    moved = []
    if max(abs(shift), abs(chars)) >= log(FAR_OFF[0]):
        moved.append(_by(shift, agree=agree))
    if not effect[1] <= 1 <= effect[2] or abs(log(effect[0])) >= log(FAR_OFF[1]):
        moved.append(_even(effect[0]))
    return moved


def _loudest(channels: Sequence[Channel], shift: float, ratio: float, *, agree: bool) -> str:
    """The change in words, by the channel with the strongest evidence today. Mean and variance take precedence over
    ``ks`` if they are clear, since a shift shows in the ranks too."""
    evaluations = {one.name: evidence.running(one.baseline, [one.score], one.side).evaluation_log10 for one in channels}
    said = {"mean": _by(shift, agree=agree), "variance": _even(ratio), "ks": "distributed differently in length"}
    plain = {
        name: evaluation for name, evaluation in evaluations.items() if name != "ks" and evaluation >= MOVED_LOG10
    } or evaluations
    return said[max(plain, key=lambda name: plain[name])]


def _by(shift: float, *, agree: bool) -> str:
    """The typical change: that of the mean of logs, in which single answers have little weight.

    ``agree``: whether the mean of the characters moved the same way. If not, a few answers moved it the other way.
    """
    times, word = exp(abs(shift)), "longer" if shift > 0 else "shorter"
    typical = "" if agree else "typically "
    if times >= LARGE:
        return f"{typical}over {LARGE:g} times {word}"
    if times >= 3:
        return f"{typical}about {times:.0f} times {word}" if shift > 0 else f"{typical}shorter by {1 - 1 / times:.0%}"
    return f"{typical}{word} by {share(abs(exp(shift) - 1))}"


def _even(ratio: float) -> str:
    return "less even in length" if ratio > 1 else "more even in length"


def _log_length(one: GradedAnswer) -> float:
    return log1p(len(one.text))


def _deviations(logs: Sample) -> Sample:
    """Each answer's distance from its probe's centre, after the common shift of its day is removed, for every day."""
    rest = _from_centre(logs)
    days = logs.day - NOW
    counts = np.maximum(1, np.bincount(days))
    level = Sample(logs.stratum, logs.day, rest - (np.bincount(days, rest) / counts)[days])
    return Sample(logs.stratum, logs.day, np.abs(_from_centre(level)))


def _from_centre(found: Sample) -> FloatArray:
    return np.asarray(
        found.value - (np.bincount(found.stratum, found.value) / np.bincount(found.stratum))[found.stratum]
    )


def kolmogorov_scores(found: Sample, tolerance: float) -> DayScores:
    """How much each day's distribution of within-probe ranks differs from the pool's: the one-sample Kolmogorov-Smirnov
    distance as a normal quantile.

    Values within ``tolerance`` of their probe's mean count as equal to it. Ties only make the distance smaller, equally
    for every day. Tail: Kolmogorov's limit with M. A. Stephens's correction for small samples (J. R. Statist. Soc.
    B 32, 1970).
    """
    then = ~found.now
    before = Sample(found.stratum[then], found.day[then], found.value[then])
    ranks_all, ranks_before = _ranks(found, tolerance), _ranks(before, tolerance)
    baseline = tuple(
        _kolmogorov(ranks_before[before.day == day], ranks_before) for day in full_days(before.day).tolist()
    )
    return DayScores(_kolmogorov(ranks_all[found.now], ranks_all), baseline)


def _ranks(found: Sample, tolerance: float) -> FloatArray:
    """Mid-ranks within the stratum, 0 to 1."""
    rest = _from_centre(found)
    # rounded so that equal lengths stay equal whatever the last digits of the mean
    rest = np.round(np.sign(rest) * np.maximum(0.0, np.abs(rest) - tolerance), 9)
    ranks = np.empty(rest.size)
    for one in np.unique(found.stratum).tolist():
        inside = found.stratum == one
        _, place, counts = np.unique(rest[inside], return_inverse=True, return_counts=True)
        ranks[inside] = ((np.cumsum(counts) - 0.5 * counts) / counts.sum())[place]
    return ranks


def _kolmogorov(day: FloatArray, pool: FloatArray) -> float:
    from scipy.special import kolmogorov, ndtri

    points = np.unique(pool)
    share = np.searchsorted(np.sort(day), points, side="right") / day.size
    usual = np.searchsorted(np.sort(pool), points, side="right") / pool.size
    root = sqrt(day.size)
    chance = float(kolmogorov((root + 0.12 + 0.11 / root) * float(np.abs(share - usual).max())))
    return float(np.clip(-ndtri(chance), _LEAST_KS, FARTHEST))


def _per_score(deviations: Sample) -> float:
    """Change of the variance ratio per score: twice the standard deviation of a day's mean deviation, relative to the
    usual deviation."""
    then = deviations.value[~deviations.now]
    usual, spread = max(float(then.mean()), sqrt(FLOOR)), max(float(then.std()), sqrt(FLOOR))
    return 2 * spread / usual / sqrt(float(deviations.now.sum()))


def _variance_ratio(logs: Sample, shift: float, inflation: float) -> tuple[float, float, float]:
    """Ratio with its 95% interval, from each side's own kurtosis (never under the normal's), widened for the spread
    between days."""
    then = ~logs.now
    sizes = np.bincount(logs.stratum[then])
    centre = np.bincount(logs.stratum[then], logs.value[then]) / sizes
    rest = logs.value - centre[logs.stratum] - np.where(logs.now, shift, 0.0)
    scale = sizes[logs.stratum]
    answered = int(logs.now.sum())
    # a new answer differs from the mean of B others by 1 + 1/B variances; the common shift takes one degree of freedom
    new = rest[logs.now] ** 2 * (scale / (scale + 1))[logs.now] * answered / max(1, answered - 1)
    old = rest[then] ** 2 * int(then.sum()) / max(1, int(then.sum()) - sizes.size)
    ratio = (float(new.mean()) + FLOOR) / (float(old.mean()) + FLOOR)
    error = sqrt(_log_variance(new) + _log_variance(old)) * inflation
    half = min(30.0, t_quantile(answered - 1) * error)
    return ratio, ratio * exp(-half), ratio * exp(half)


def _log_variance(squares: FloatArray) -> float:
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
