"""``adapter_loss`` on fresh samples, whose inputs never repeat: the subject gives the base's answers of the same hour.

No earlier answer is there to compare with, so an answer is compared with the base's answer to the same input in the
same run. Its *closeness* is the similarity of the two texts. A subject with its fine-tune has a usual closeness, which
the baseline's samples show. A lost fine-tune answers what the base answers, so its closeness is that of the base to
itself: known from the inputs that the base is asked twice (``runs.questions``). At temperature 0 that is 1.

The evidence is a log-likelihood ratio between these two densities, and the share of the traffic from the base is the
weight of a two-point mixture, both as in ``adapter_loss``. Closeness depends on the input: short answers are more
alike. So answers are exchanged only within cells of similar inputs (``fresh_pairs``), and each cell has its own
densities. A week of other questions changes the share of the cells, not what is compared.

Closeness rises as well if the base moves to the subject. Which of the two moved is seen in their wording: along the
axis between the approved answers of both arms, a lost fine-tune moves to the base's end. If the subject stays clearly
behind that, or the base clearly came to it, closeness is no evidence.

The effect is (base's closeness to itself - closeness now) / (base's closeness to itself - closeness in the baseline):
1 is the approved fine-tune, 0 is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.records import Advice, Arm, Cause, Comparison, FindingState, GradedAnswer
from monitor.detect import likelihood_ratio
from monitor.detect.adapter_loss_text import FAR_OFF, NOT_NEARER, TOLERANCE, Measured
from monitor.detect.common import FEWEST_NOW, enough, exhibits, quiet, t_quantile
from monitor.detect.day_scores import NOW, DayScores, Sample, day_scores, sample_of
from monitor.detect.distribution import hashed_words
from monitor.detect.evidence import likely_spread
from monitor.detect.fresh_pairs import Cells, Pair, closeness, pairs, repeats
from monitor.detect.measurement import Channel, Reading, Told, Verdict
from monitor.detect.sensitivity import curve, effect_per_score
from monitor.detect.text_similarity import FloatArray, IntArray

Mask = NDArray[np.bool_]

LEAST_GAP: Final = 0.1
"""Distance of the base's closeness to itself from the subject's usual one, and of their values in nats, below which
answers cannot be told apart: no reading."""
FEWEST_REPEATS: Final = 10
"""Least inputs to which the base has two answers."""
BORROWED: Final = 20.0
"""Answers' worth of all cells' density in that of one cell."""
ANYWHERE: Final = 0.01
"""Share of answers that may have any closeness, in both densities: one odd answer is bounded evidence."""
NARROWEST: Final = 0.03
_GRID: Final = np.linspace(0.0, 1.0, 201)


@dataclass(frozen=True)
class _Found:
    """The pairs, with what is measured of each."""

    pairs: Sequence[Pair]
    cell: IntArray
    close: FloatArray
    ratio: FloatArray
    """ln of the base's density over the approved one, at its closeness."""
    usual: FloatArray
    """Mean closeness of each cell in the baseline."""
    repeat_close: FloatArray
    repeat_ratio: FloatArray

    @property
    def now(self) -> Mask:
        return np.array([one.day == NOW for one in self.pairs], dtype=bool)

    @property
    def gap(self) -> float:
        """How far the base's values are above those of the approved answers, in nats."""
        values = likelihood_ratio.value(self.ratio[~self.now])
        return float(likelihood_ratio.value(self.repeat_ratio).mean() - values.mean())

    @property
    def apart(self) -> bool:
        poles = float(self.repeat_close.mean() - self.close[~self.now].mean())
        return poles >= LEAST_GAP and self.gap >= LEAST_GAP


def measure_fresh(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` with too few pairs, too few inputs that the base answered twice, or if the base's
    answers are not closer to each other than the subject's are to them."""
    found = _found(comparison)
    sample = None if found is None else _sample(found)
    if found is None or sample is None or not found.apart:
        return None
    tolerance, lost = TOLERANCE * found.gap, float(likelihood_ratio.value(found.repeat_ratio).mean())
    scores = day_scores(sample, tolerance=tolerance)
    inflation = likely_spread(scores.baseline)
    ratios = found.ratio[found.now]
    share = likelihood_ratio.base_share(ratios, inflation)
    base_moved = share[0] > 0 and _base_moved(found, share[0])
    shown = DayScores(min(0.0, scores.now), scores.baseline) if base_moved else scores
    effect = _effect(found, inflation)
    measured = Measured(
        target=comparison.target,
        effect=effect,
        share=share,
        match=float(np.mean(ratios > 0)),
        total=ratios.size,
        nearer=share[0] > TOLERANCE or effect[0] < FAR_OFF,
        shared=False,
    )
    return Reading(
        channels=(Channel.of("closeness", shown, "rise"),),
        effect=effect,
        unit="share of the approved fine-tune's effect",
        per_score=effect_per_score(sample, lost, tolerance),
        curve=curve(sample, lost, 1.0, tolerance),
        answers_now=ratios.size,
        answers_baseline=int((~found.now).sum()),
        tell=lambda verdict: _tell(measured, verdict, base_moved=base_moved),
        measures={"adapter_effect_ratio": effect[0], "base_like_ratio": measured.match},
        exhibits=exhibits(comparison, _telling(found)),
        structural=True,
    )


def separable(comparison: Comparison) -> bool | None:
    """Whether the subject's answers can be told from the base's; ``None`` with too few answers."""
    found = _found(comparison)
    return None if found is None or _sample(found) is None else found.apart


def _tell(measured: Measured, verdict: Verdict, *, base_moved: bool) -> Told:
    if base_moved and not verdict.alarming and measured.effect[0] < 1 - TOLERANCE:
        what = f"the base model of {measured.target} moved toward the answers of {measured.target}"
        numbers = f"{measured.match:.0%} of the answers are as close to the base's as the base's are to each other"
        return Told(FindingState.LOOK, what, numbers, Cause.BASE_MOVED, Advice.CHECK_BASE)
    if not (verdict.alarming or verdict.moved or measured.nearer):
        return quiet(NOT_NEARER, measured.whole())
    return measured.tell(verdict)


def _found(comparison: Comparison) -> _Found | None:
    both = pairs(comparison, Arm.BASE)
    twice = [pair for side in (comparison.now, comparison.baseline) for pair in repeats(side, Arm.BASE)]
    now = np.array([one.day == NOW for one in both], dtype=bool)
    if now.sum() < FEWEST_NOW or now.all() or len(twice) < FEWEST_REPEATS:
        return None
    others = [one.other for one in both]
    cells = Cells.of([one for one, today in zip(others, now, strict=True) if not today])
    cell, repeat_cell = cells.places(others), cells.places([first for first, _ in twice])
    close = closeness([(one.mine.text, one.other.text) for one in both])
    again = closeness([(later.text, first.text) for first, later in twice])
    healthy, base = _Density(close[~now], cell[~now], cells.count), _Density(again, repeat_cell, cells.count)
    low, high = _by_cell(close[~now], cell[~now], cells.count), float(again.mean())
    shown = _within(close, cell, low, high)
    ratio = base.at(shown, cell) - healthy.at(shown, cell, np.where(now, np.nan, close))
    shown = _within(again, repeat_cell, low, high)
    repeat = base.at(shown, repeat_cell, again) - healthy.at(shown, repeat_cell)
    most = likelihood_ratio.MOST
    return _Found(both, cell, close, np.clip(ratio, -most, most), low, again, np.clip(repeat, -most, most))


class _Density:
    """Kernel densities of closeness, one for each cell, each with part of the density of all cells."""

    def __init__(self, close: FloatArray, cell: IntArray, cells: int) -> None:
        width = float(np.clip(1.06 * np.std(close) * close.size ** (-1 / 5), NARROWEST, 0.15))
        steps = (_GRID[:, None] - _GRID[None, :]) / width
        kernel = np.exp(-0.5 * steps**2)
        self._kernel = kernel / kernel.mean(axis=0)
        seen = np.zeros((cells, _GRID.size))
        np.add.at(seen, (cell, _place(close)), 1.0)
        self._sums, self._counts = seen @ self._kernel.T, seen.sum(axis=1)

    def at(self, close: FloatArray, cell: IntArray, own: FloatArray | None = None) -> FloatArray:
        """ln of the density at each closeness in its cell. ``own``: the closeness of an answer of the density, whose
        kernel is left out; NaN for other answers."""
        place, left_out = _place(close), np.zeros(close.size, dtype=bool) if own is None else ~np.isnan(own)
        mine = np.where(left_out, self._kernel[place, _place(np.nan_to_num(close if own is None else own))], 0.0)
        usual = (self._sums.sum(axis=0)[place] - mine) / np.maximum(1.0, self._counts.sum() - left_out)
        mixed = (self._sums[cell, place] - mine + BORROWED * usual) / (self._counts[cell] - left_out + BORROWED)
        return np.asarray(np.log((1 - ANYWHERE) * np.maximum(0.0, mixed) + ANYWHERE))


def _within(close: FloatArray, cell: IntArray, low: FloatArray, high: float) -> FloatArray:
    """Closeness between the usual one of the cell and the base's own: an answer farther from the base than usual is
    only as usual, and one that equals the base's is the base's."""
    return np.asarray(np.clip(close, low[cell], np.maximum(high, low[cell])))


def _place(close: FloatArray) -> IntArray:
    return np.asarray(np.rint(np.clip(close, 0.0, 1.0) * (_GRID.size - 1)), dtype=np.int64)


def _sample(found: _Found) -> Sample | None:
    values = likelihood_ratio.value(found.ratio)
    return enough(
        sample_of(
            (f"{cell:02}", one.day, float(value))
            for one, cell, value in zip(found.pairs, found.cell, values, strict=True)
        )
    )


def _effect(found: _Found, inflation: float) -> tuple[float, float, float]:
    """Ratio of means with its 95 % interval. The usual closeness is that of today's cells. The standard error is at
    least half an answer's worth."""
    now = found.now
    today = found.close[now]
    usual = found.usual[found.cell[now]]
    pole = float(found.repeat_close.mean())
    gap = max(LEAST_GAP, pole - float(usual.mean()))
    lost = (today - usual) / gap
    ratio = 1.0 - float(lost.mean())
    error = max(0.5 / lost.size, float(lost.std(ddof=1)) / np.sqrt(lost.size)) * inflation
    half = t_quantile(lost.size - 1) * float(error)
    return ratio, ratio - half, ratio + half


def _by_cell(close: FloatArray, cell: IntArray, cells: int) -> FloatArray:
    """Mean closeness of each cell; of all cells where a cell has none."""
    counts = np.bincount(cell, minlength=cells)
    sums = np.bincount(cell, close, minlength=cells)
    return np.where(counts > 0, sums / np.maximum(1, counts), close.mean())


def _base_moved(found: _Found, share: float) -> bool:
    """Whether the wording shows that the base moved, not the subject, although ``share`` of the answers are the base's.

    Positions are along the axis from the approved answers' mean to the base's. The subject must have moved by half of
    ``share`` of the way, and the base not by half of it toward the subject; both by more than two standard errors.
    """
    now = found.now
    mine, other = (hashed_words(texts).astype(np.float64) for texts in _texts(found.pairs))
    axis = other[~now].mean(axis=0) - mine[~now].mean(axis=0)
    distance = float(axis @ axis)
    if distance <= 0:
        return False
    came, went = (_moved((arm @ axis) / distance, now) for arm in (mine, other))
    return came[0] + 2 * came[1] < 0.5 * share or -went[0] - 2 * went[1] > 0.5 * share


def _texts(found: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [one.mine.text for one in found], [one.other.text for one in found]


def _moved(position: FloatArray, now: Mask) -> tuple[float, float]:
    """How far today's mean is from the baseline's, and the standard error."""
    today, before = position[now], position[~now]
    error = np.sqrt(today.var(ddof=1) / today.size + before.var() / before.size)
    return float(today.mean() - before.mean()), float(error)


def _telling(found: _Found) -> dict[str, tuple[float, GradedAnswer]]:
    """Input -> today's answer, and how much closer to the base's it is than usual."""
    usual = float(found.close[~found.now].mean())
    return {
        one.mine.probe: (float(close) - usual, one.mine)
        for one, close in zip(found.pairs, found.close, strict=True)
        if one.day == NOW
    }
