"""``adapter_loss``: the fine-tune answers like the base under it.

Every answer y of the subject gets a position between two poles, the contrast

    d(y) = (own - base) / (own + base + SOFTENING),    -1 to 1,

where ``own`` is y's mean similarity to the subject's approved answers to the same probe and ``base`` its mean
similarity to the base's answers to it. Dividing by the sum makes d insensitive to changes that move an answer away from
both alike. The second coordinate is the lift: ``base`` minus its mean over the probe's approved answers.

The evidence is a log-likelihood ratio between two pinned nulls, densities of (d, lift) over the baseline's answers of
the subject and of the base (``likelihood_ratio``): an answer's value is ln((1 - m) + m LR), the evidence that a share
of the traffic comes from the base, bounded on both sides. LR is also taken against a third density, of answers that are
neither. Another model's answers, longer or cut answers and refusals moved away from the approved answers, but not
toward the base, so they are not called an adapter loss. Where log-probabilities are exposed, the ratio against the
fine-tune is exact (``token_likelihood``). Values become day scores (``day_scores``) after today's mean is moved back by
``TOLERANCE`` of the way to the base.

A baseline answer is judged without its own block: the answers of its day to its probe, or only itself if there is one
day. Each of today's answers takes the place of one baseline answer and is judged against the same others, so both have
the same distribution if nothing changed, however short the baseline. Which one it replaces rotates from probe to probe.

The reference is the base of the approved baseline. So boilerplate that a provider adds to both arms does not make them
alike, and a base that moves while the subject does not changes nothing. The base asked today is a second reference: if
the answers look like the old base, but today's base is clearly elsewhere, a change of the stack moved both, and the
answers count as no evidence. If the baseline has no base answers, today's are the reference.

The effect is (now - base pole) / (healthy pole - base pole) in d: 1 is the approved fine-tune, 0 is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core.records import Arm, Comparison, GradedAnswer
from monitor.core.run_kinds import run_kind
from monitor.detect import adapter_loss_fresh, likelihood_ratio
from monitor.detect.adapter_loss_text import TOLERANCE, Measured
from monitor.detect.common import (
    FEWEST_OF_BASE,
    by_probe,
    day_index,
    enough,
    exhibits,
    t_quantile,
)
from monitor.detect.day_scores import NOW, DayScores, Sample, day_scores, sample_of
from monitor.detect.evidence import likely_spread
from monitor.detect.likelihood_ratio import Nulls, Places
from monitor.detect.measurement import Channel, Reading
from monitor.detect.own_baseline import averaging, blocks_of, similarities
from monitor.detect.sensitivity import curve, effect_per_score
from monitor.detect.text_similarity import FloatArray, IntArray
from monitor.detect.token_likelihood import TokenTree

SOFTENING: Final = 0.05
"""Added to the contrast's divisor: an answer like neither pole gets a contrast near 0 instead of an arbitrary one."""
LEAST_GAP: Final = 0.1
"""Distance of the poles, in d (at most 2) and in an answer's value (nats), below which the suite cannot distinguish
subject and base: no reading."""
COVERED: Final = 0.8
"""Share of the subject's answers, now and then, that log-probabilities must cover to be used."""


@dataclass(frozen=True)
class _Probe:
    """One probe's answers, today's first, then the baseline's, and the measures against the base's."""

    answers: Sequence[GradedAnswer]
    count_now: int
    places: Places
    stand_in: IntArray
    """For each of today's answers, the index in ``answers`` of the baseline answer that it replaces."""
    base_places: Places
    now: FloatArray
    """d of today's answers against the whole baseline."""
    exact: FloatArray
    """ln p_base - ln p_healthy of each answer; NaN if log-probabilities do not cover it."""
    base_exact: FloatArray
    concurrent: FloatArray
    """Similarity of today's answers to today's base, minus that of the approved answers to the pinned base; may be
    empty."""

    @property
    def pole(self) -> float:
        return float(self.base_places.contrast.mean())

    @property
    def healthy(self) -> float:
        return float(self.places.contrast[self.count_now :].mean())


@dataclass(frozen=True)
class _Judged:
    """The log ratios of all answers, subject's by probe, and of the base's own."""

    channel: str
    found: list[FloatArray]
    base: FloatArray

    def gap(self, probes: Sequence[_Probe]) -> float:
        """How far the base's values are above those of the approved answers, in nats."""
        healthy = np.concatenate([one[probe.count_now :] for probe, one in zip(probes, self.found, strict=True)])
        return float(likelihood_ratio.value(self.base).mean() - likelihood_ratio.value(healthy).mean())


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` without base answers, with fewer than two baseline answers per probe, or if the poles
    are too close. Fresh samples, whose inputs never repeat, are read by ``adapter_loss_fresh``."""
    if not run_kind(comparison.target, comparison.suite).frozen_items:
        return adapter_loss_fresh.measure_fresh(comparison)
    probes = _placed(comparison)
    if not probes:
        return None
    judged = _judge(probes)
    values = [likelihood_ratio.value(one) for one in judged.found]
    sample = _sample(comparison, probes, values)
    if sample is None or not _apart(probes, judged):
        return None
    gap = _poles_apart(probes)
    tolerance = TOLERANCE * judged.gap(probes)
    scores = day_scores(sample, tolerance=tolerance)
    shared = _shared_change(probes)
    channel = Channel.of(judged.channel, DayScores(min(0.0, scores.now), scores.baseline) if shared else scores, "rise")
    inflation, lost = likely_spread(channel.baseline), float(likelihood_ratio.value(judged.base).mean())
    effect = _effect(probes, gap, inflation)
    ratios = np.concatenate([one[: probe.count_now] for probe, one in zip(probes, judged.found, strict=True)])
    measured = Measured(
        target=comparison.target,
        effect=effect,
        share=likelihood_ratio.base_share(ratios, inflation),
        match=float(np.mean(np.concatenate([one.now < 0 for one in probes]))),
        total=ratios.size,
        nearer=_came_nearer(probes),
        shared=shared,
    )
    return Reading(
        channels=(channel,),
        effect=effect,
        unit="share of the approved fine-tune's effect",
        per_score=effect_per_score(sample, lost, tolerance),
        curve=curve(sample, lost, 1.0, tolerance),
        answers_now=ratios.size,
        answers_baseline=sum(len(one.answers) - one.count_now for one in probes),
        tell=measured.tell,
        measures={"adapter_effect_ratio": effect[0], "base_like_ratio": measured.match},
        exhibits=exhibits(
            comparison,
            {one.answers[0].probe: _telling(one) for one in probes},
            {one.answers[0].probe: float(one.now.min()) for one in probes},
        ),
        structural=True,
    )


def separable(comparison: Comparison) -> bool | None:
    """Whether the baseline's answers of the subject and of the base are far enough apart for ``measure``; ``None``
    with too few answers of either."""
    if not run_kind(comparison.target, comparison.suite).frozen_items:
        return adapter_loss_fresh.separable(comparison)
    probes = _placed(comparison)
    if not probes:
        return None
    judged = _judge(probes)
    values = [likelihood_ratio.value(one) for one in judged.found]
    return None if _sample(comparison, probes, values) is None else _apart(probes, judged)


def _apart(probes: Sequence[_Probe], judged: _Judged) -> bool:
    return _poles_apart(probes) >= LEAST_GAP and judged.gap(probes) >= LEAST_GAP


def _poles_apart(probes: Sequence[_Probe]) -> float:
    """Distance of the poles, in d."""
    return _mean(probes, [one.healthy - one.pole for one in probes])


def _placed(comparison: Comparison) -> list[_Probe]:
    now, then = by_probe(comparison.now, Arm.SUBJECT), by_probe(comparison.baseline, Arm.SUBJECT)
    base_now, base_then = by_probe(comparison.now, Arm.BASE), by_probe(comparison.baseline, Arm.BASE)
    bases = {probe: base_then.get(probe) or base_now.get(probe, []) for probe in now}
    usable = [probe for probe in now if len(then.get(probe, [])) >= 2 and bases[probe]]
    return [
        _place(now[probe], then[probe], bases[probe], base_now.get(probe, []), turn)
        for turn, probe in enumerate(usable)
    ]


def _place(
    now: list[GradedAnswer],
    then: list[GradedAnswer],
    bases: list[GradedAnswer],
    base_now: list[GradedAnswer],
    turn: int,
) -> _Probe:
    """Place one probe's answers. ``turn``: the first baseline answer that one of today's replaces."""
    count, size, all_bases = len(now), len(now) + len(then), len(now) + len(then) + len(bases)
    alike = similarities([*now, *then, *bases, *base_now])
    stand_in = (turn + np.arange(count)) % len(then)
    rows = np.concatenate([stand_in, np.arange(len(then))])
    blocks, base_blocks = blocks_of(then), blocks_of(bases)
    others = averaging(blocks[rows][:, None] != blocks[None, :])
    to_mine, to_base = alike[:, count:size], alike[:, size:all_bases].mean(axis=1)
    usual = float(to_base[count:size].mean())
    itself = np.ones(1)  # a base with one answer counts as equal to itself
    if len(bases) > 1:
        itself = (alike[size:all_bases, size:all_bases] * averaging(base_blocks[:, None] != base_blocks)).sum(axis=1)
    tree = TokenTree(
        [(block, one.logprobs) for block, one in zip(base_blocks.tolist(), bases, strict=True)],
        [(block, one.logprobs) for block, one in zip(blocks.tolist(), then, strict=True)],
    )
    return _Probe(
        answers=[*now, *then],
        count_now=count,
        places=Places(
            _contrast((to_mine[:size] * others).sum(axis=1), to_base[:size]),
            to_base[:size] - others @ to_base[count:size],
        ),
        stand_in=stand_in + count,
        base_places=Places(_contrast(to_mine[size:all_bases].mean(axis=1), itself), itself - usual),
        now=_contrast(to_mine[:count].mean(axis=1), to_base[:count]),
        exact=np.array(
            [tree.log_ratio(one.logprobs, healthy=blocks[row]) for row, one in zip(rows, [*now, *then], strict=True)]
        ),
        base_exact=np.array(
            [tree.log_ratio(one.logprobs, base=block) for block, one in zip(base_blocks, bases, strict=True)]
        ),
        concurrent=alike[:count, all_bases:].mean(axis=1) - usual if base_now else np.empty(0),
    )


def _contrast(own: FloatArray, base: FloatArray) -> FloatArray:
    return np.asarray((own - base) / (own + base + SOFTENING))


def _judge(probes: Sequence[_Probe]) -> _Judged:
    """Every answer's log ratio: from the texts, or from the tokens where they cover enough and separate the poles
    more."""
    healthy = likelihood_ratio.together([_only(one.places, slice(one.count_now, None)) for one in probes])
    base = likelihood_ratio.together([one.base_places for one in probes])
    pinned = Nulls.of(healthy, base)
    by_text = [pinned.from_base(one.places, healthy=_own_place(one)) for one in probes]
    base_ratios = pinned.from_base(base, base=base)
    text = _Judged("text", [one.least() for one in by_text], base_ratios.least())
    if not _covered(probes):
        return text
    tokens = _Judged(
        "tokens",
        [ratios.least(one.exact) for one, ratios in zip(probes, by_text, strict=True)],
        base_ratios.least(np.concatenate([one.base_exact for one in probes])),
    )
    return tokens if tokens.gap(probes) >= text.gap(probes) else text


def _only(places: Places, which: slice | IntArray) -> Places:
    return Places(places.contrast[which], places.lift[which])


def _own_place(one: _Probe) -> Places:
    """The place whose kernel is left out for each answer: its own, or for today's that of the answer it replaces."""
    return _only(one.places, np.concatenate([one.stand_in, np.arange(one.count_now, len(one.answers))]))


def _covered(probes: Sequence[_Probe]) -> bool:
    now = np.concatenate([one.exact[: one.count_now] for one in probes])
    then = np.concatenate([one.exact[one.count_now :] for one in probes])
    base = np.concatenate([one.base_exact for one in probes])
    return all(float(np.mean(~np.isnan(side))) >= COVERED for side in (now, then, base))


def _sample(comparison: Comparison, probes: Sequence[_Probe], values: Sequence[FloatArray]) -> Sample | None:
    days = day_index(comparison.baseline)
    return enough(
        sample_of(
            (answer.probe, NOW if index < one.count_now else days[answer.slot], float(value[index]))
            for one, value in zip(probes, values, strict=True)
            for index, answer in enumerate(one.answers)
        )
    )


def _shared_change(probes: Sequence[_Probe]) -> bool:
    """Whether today's base is clearly not where today's answers moved: less than half as near, by two standard errors.

    Both similarities are minus that of the approved answers to the pinned base, and paired by probe.
    """
    asked = [one for one in probes if one.concurrent.size]
    if len(asked) < FEWEST_OF_BASE:
        return False
    pinned = np.array([float(one.places.lift[: one.count_now].mean()) for one in asked])
    gaps = np.array([float(one.concurrent.mean()) for one in asked]) - 0.5 * pinned
    return bool(pinned.mean() > 0 and gaps.mean() + 2 * gaps.std(ddof=1) / np.sqrt(gaps.size) < 0)


def _mean(probes: Sequence[_Probe], values: list[float]) -> float:
    """Mean over probes, weighted by their answers now."""
    return float(np.average(values, weights=[one.count_now for one in probes]))


def _effect(probes: Sequence[_Probe], gap: float, inflation: float) -> tuple[float, float, float]:
    """Ratio of means with its 95% interval: linearised over probes, widened for the days.

    The standard error is at least half a probe's worth, because equal answers to N probes are not N independent
    certainties.
    """
    weights = np.array([one.count_now for one in probes], dtype=np.float64)
    gaps = np.array([one.healthy - one.pole for one in probes])
    shown = np.array([one.now.mean() - one.pole for one in probes])
    ratio = float(np.average(shown, weights=weights)) / gap
    rest = (shown - ratio * gaps) * weights / weights.mean()
    count = len(probes)
    error = max(0.5 / count, float(np.sqrt((rest**2).sum() / max(1, count - 1) / count)) / gap) * inflation
    half = t_quantile(count - 1) * error
    return ratio, ratio - half, ratio + half


def _came_nearer(probes: Sequence[_Probe]) -> bool:
    """Whether today's answers are more like the base than the approved ones are, by more than the tolerance."""
    lift = _mean(probes, [float(one.places.lift[: one.count_now].mean()) for one in probes])
    return lift > TOLERANCE * _mean(probes, [float(one.base_places.lift.mean()) for one in probes])


def _telling(one: _Probe) -> tuple[float, GradedAnswer]:
    """How far the probe moved toward the base, and today's answer that moved furthest."""
    worst = int(np.argmin(one.now))
    return one.healthy - float(one.now[worst]), one.answers[worst]
