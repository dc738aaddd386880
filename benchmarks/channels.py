"""Scores of the page signals for thousands of evaluations on one baseline, without reading each text again.

Texts recur, so their similarity is computed once per pool. The product's own densities (``likelihood_ratio``) give the
value of each distinct answer on a baseline once, and ``fast`` computes the scores. On every baseline the product itself
measures the first evaluation: it gives the baseline's day scores, and its score of that evaluation must equal ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.fast import FloatArray, now_scores
from benchmarks.pool import PoolAnswer
from benchmarks.resample import IntArray, Source, comparison
from monitor.core.records import Comparison, Severity
from monitor.core.signals import SEVERITIES
from monitor.detect import SIGNALS, adapter_loss, adapter_loss_text, canaries, likelihood_ratio, negative_flips
from monitor.detect.common import one_item
from monitor.detect.evidence import BOUND, FAR, RATE_BOUND, Side
from monitor.detect.likelihood_ratio import Nulls, Places
from monitor.detect.measurement import striking
from monitor.detect.text_similarity import similarity_matrix

PAGES: Final = tuple(name for name, severity in SEVERITIES.items() if severity is Severity.PAGE)
STRUCTURAL: Final = frozenset({"adapter_loss", "base_match"})
"""Signals of which every evaluation is structural. Page signals that watch a rate are so from half of the answers on,
which no healthy day changes."""
FACTS: Final = ("model id", "fingerprint", "prompt tokens")
"""Channels that no healthy day changes."""
CLOSE: Final = 1e-6
"""How far the two ways to a score may be apart: Newton's steps end a little earlier or later."""


@dataclass(frozen=True)
class Scores:
    """One channel of one signal: the baseline's day scores, and those of the evaluations."""

    signal: str
    channel: str
    side: Side
    baseline: FloatArray
    evaluations: FloatArray

    @property
    def bound(self) -> float:
        """Of an ordinary day's score."""
        if self.signal in STRUCTURAL:
            return FAR
        return RATE_BOUND if SEVERITIES.get(self.signal) is Severity.PAGE else BOUND

    def counted(self, answers: int) -> Self:
        """With scores within their bound, as the evidence takes them. ``answers``: of one evaluation."""
        if self.channel in FACTS:
            return self
        far = np.abs(self.evaluations) >= striking(answers)
        bounds = np.where(far & (SEVERITIES[self.signal] is Severity.TICKET), FAR, self.bound)
        return replace(
            self,
            baseline=np.clip(self.baseline, -self.bound, self.bound),
            evaluations=np.clip(self.evaluations, -bounds, bounds),
        )


class Alike:
    """How alike the subject's and the base's answers are, by probe and kind."""

    def __init__(self, subject: Source, base: Source) -> None:
        self.subject, self.base = subject, base
        self.grams: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        for mine, others in zip(subject.kinds.members, base.kinds.members, strict=True):
            texts = [kind[0].text for kind in (*mine, *others)]
            gram, cut = similarity_matrix(texts), len(mine)
            self.grams.append((gram[:cut, :cut], gram[:cut, cut:], gram[cut:, cut:]))

    @cached_property
    def right(self) -> FloatArray:
        """(probes, kinds): 1 where all checks pass."""
        return _table(self.subject, lambda one: one.right)

    @cached_property
    def judged(self) -> tuple[FloatArray, FloatArray]:
        """(probes, kinds) of the subject and of the base: the judge's scores."""
        return _table(self.subject, _judged), _table(self.base, _judged)


def _table(source: Source, value: Callable[[PoolAnswer], float]) -> FloatArray:
    found = np.full(source.kinds.share.shape, np.nan)
    for place, kinds in enumerate(source.kinds.members):
        found[place, : len(kinds)] = [value(kind[0]) for kind in kinds]
    return found


def _judged(one: PoolAnswer) -> float:
    return np.nan if one.judge is None else one.judge


def answers(kinds: IntArray, source: Source) -> tuple[PoolAnswer, ...]:
    """One day's answers, (probes, 1) kinds; without log-probabilities, as most endpoints tell none."""
    return tuple(
        replace(source.kinds.members[probe][kind][0], logprobs=None)
        for probe, row in enumerate(kinds.tolist())
        for kind in row
    )


class Watched:
    """One approved baseline, and the evaluations that came after it. Kinds of (days or evaluations, probes), an answer
    each."""

    def __init__(self, alike: Alike, subject: IntArray, base: IntArray, *, at_once: bool = False) -> None:
        self.alike, self.subject, self.base, self.at_once = alike, subject, base, at_once

    def comparison(self, now: IntArray, base_now: IntArray) -> Comparison:
        mine, others = answers(now[:, None], self.alike.subject), answers(base_now[:, None], self.alike.base)
        today = comparison(mine, others, (), ())
        after = tuple(replace(one, run_id=self._before.run_id, slot=self._before.now[0].slot) for one in today.now)
        return replace(self._before, now=after)

    @cached_property
    def _before(self) -> Comparison:
        mine, others = self.alike.subject, self.alike.base
        days = [answers(day[:, None], mine) for day in self.subject]
        base_days = [answers(day[:, None], others) for day in self.base]
        return comparison(days[0], base_days[0], days, base_days, at_once=self.at_once)

    def scores(self, evaluations: IntArray, base_looks: IntArray) -> list[Scores]:
        """Every page signal's channels; asserts that the first evaluation's scores are those that the product gives."""
        made = self.comparison(evaluations[0], base_looks[0])
        readings = {name: reading for name in PAGES if (reading := SIGNALS[name](made)) is not None}
        found = []
        for name, reading in readings.items():
            ours = FAST[name](self, evaluations, base_looks)
            for channel in reading.channels:
                scored = ours[channel.name]
                assert abs(scored[0] - channel.score) < CLOSE, f"{name} {channel.name}: {scored[0]}, {channel.score}"
                found.append(Scores(name, channel.name, channel.side, np.array(channel.baseline), scored))
        return found

    def order(self) -> NDArray[np.int64]:
        """The probes' turns: their places in alphabetical order, as detectors take them."""
        names = [kinds[0][0].probe for kinds in self.alike.subject.kinds.members]
        return np.argsort(np.argsort(names))

    def adapter_loss(self, evaluations: IntArray, base_looks: IntArray) -> Mapping[str, FloatArray]:
        """As `adapter_loss`, of the texts alone."""
        placed = [_Placed.of(self, probe, int(turn)) for probe, turn in enumerate(self.order())]
        by_turn = [placed[probe] for probe in np.argsort(self.order())]
        base = likelihood_ratio.together([one.base for one in by_turn])
        pinned = Nulls.of(likelihood_ratio.together([one.then for one in by_turn]), base)
        then = [likelihood_ratio.value(pinned.from_base(one.then, healthy=one.then).least()) for one in placed]
        kinds = [likelihood_ratio.value(pinned.from_base(one.kinds, healthy=one.stand_in).least()) for one in placed]
        gap = float(
            likelihood_ratio.value(pinned.from_base(base, base=base).least()).mean() - np.concatenate(then).mean()
        )
        now = np.stack([value[evaluations[:, probe]] for probe, value in enumerate(kinds)], axis=1)[:, :, None]
        scores = now_scores(np.stack(then), now, adapter_loss_text.TOLERANCE * gap)
        gaps = np.stack([one.beside(evaluations[:, p], base_looks[:, p]) for p, one in enumerate(placed)], axis=1)
        shared = gaps.mean(axis=1) + 2 * gaps.std(axis=1, ddof=1) / np.sqrt(gaps.shape[1]) < 0
        return {"text": np.where(shared, np.minimum(0.0, scores), scores)}

    def negative_flips(self, evaluations: IntArray, base_looks: IntArray) -> Mapping[str, FloatArray]:
        """By `negative_flips` itself, once for each different pattern of right and wrong answers: there are few."""
        right = self.alike.right[np.arange(evaluations.shape[1]), evaluations]
        _, first, place = np.unique(right, axis=0, return_index=True, return_inverse=True)
        scored = []
        for evaluation in first.tolist():
            reading = negative_flips.measure(self.comparison(evaluations[evaluation], base_looks[evaluation]))
            scored.append(np.nan if reading is None else reading.channels[0].score)
        return {"flips": np.array(scored)[place.reshape(-1)]}

    def canaries(self, evaluations: IntArray, base_looks: IntArray) -> Mapping[str, FloatArray]:
        """As `canaries`, where every probe has checks and the base passes none."""
        right, days = self.alike.right, len(self.subject)
        probes = np.arange(evaluations.shape[1])
        then = right[probes, self.subject]
        decisive = (then.sum(axis=0) - then) / (days - 1) >= canaries.PASSED
        kept = decisive[self.order() % days, probes]
        return {
            "fails": now_scores(
                (1.0 - then[decisive])[None], 1.0 - right[probes, evaluations][:, None, kept], one_item(int(kept.sum()))
            )
        }

    def judge_score(self, evaluations: IntArray, base_looks: IntArray) -> Mapping[str, FloatArray]:
        """As `judge_score`, where the judge scored every answer of both arms."""
        probes = np.arange(evaluations.shape[1])
        mine, others = self.alike.judged
        then, now = mine[probes, self.subject], mine[probes, evaluations]
        own = now_scores(then.T, now[:, :, None], one_item(len(then.T)))
        less = now_scores(
            (then - others[probes, self.base]).T, (now - others[probes, base_looks])[:, :, None], one_item(len(then.T))
        )
        return {"drop": np.maximum(own, less)}


@dataclass(frozen=True)
class _Placed:
    """One probe on one baseline, an answer a day: where its answers stand (see ``adapter_loss._place``)."""

    then: Places
    base: Places
    kinds: Places
    """Every different answer of the subject, as one of today's would be placed."""
    stand_in: Places
    near: FloatArray
    """(subject's kinds, base's kinds): how alike, over what approved answers are to the pinned base."""

    @classmethod
    def of(cls, watched: Watched, probe: int, turn: int) -> "_Placed":
        own, across, others = watched.alike.grams[probe]
        then, bases = watched.subject[:, probe], watched.base[:, probe]
        days = len(then)
        to_base = across[:, bases].mean(axis=1)
        usual = to_base[then].mean()
        alone = (own[np.ix_(then, then)].sum(axis=1) - own[then, then]) / (days - 1)
        lift = to_base[then] - (to_base[then].sum() - to_base[then]) / (days - 1)
        placed = Places(_contrast(alone, to_base[then]), lift)
        itself = (others[np.ix_(bases, bases)].sum(axis=1) - others[bases, bases]) / (days - 1)
        base = Places(_contrast(across[np.ix_(then, bases)].mean(axis=0), itself), itself - usual)
        stand = turn % days
        rest = np.delete(then, stand)
        kinds = Places(_contrast(own[:, rest].mean(axis=1), to_base), to_base - to_base[rest].mean())
        stand_in = Places(*(np.full(len(own), one[stand]) for one in (placed.contrast, placed.lift)))
        return cls(placed, base, kinds, stand_in, across - usual)

    def beside(self, now: IntArray, base_now: IntArray) -> FloatArray:
        return np.asarray(self.near[now, base_now] - 0.5 * self.kinds.lift[now])


def _contrast(own: FloatArray, base: FloatArray) -> FloatArray:
    return np.asarray((own - base) / (own + base + adapter_loss.SOFTENING))


FAST: Final = {
    "adapter_loss": Watched.adapter_loss,
    "canaries": Watched.canaries,
    "judge_score": Watched.judge_score,
    "negative_flips": Watched.negative_flips,
}
