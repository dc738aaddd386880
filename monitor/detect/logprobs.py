"""``logprobs``: the first token's log-probabilities moved, long before any answer looks different.

Log-probability tracking (T. Chauvin et al., ICLR 2026, arXiv 2512.03816): for each probe the mean absolute difference
of the mean first-token log-probabilities, now and in the baseline, over all tokens in a top table. A token missing from
an answer's table counts with the table's least value. Averaged over probes; labels are permuted within probes
(``mmd``). The paper asks one prompt for one token; here every probe's first token is used.

Differences below ``TOLERANCE`` count as 0: if an endpoint computes the same numbers every day, another batch size,
which changes the last digits, would otherwise be as certain a change as a new model.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Final

import numpy as np

from monitor.core.records import Advice, Arm, Comparison, Exhibit, GradedAnswer
from monitor.core.run_kinds import run_kind
from monitor.detect import evidence, mmd
from monitor.detect.common import alarming, exhibits, no_longer, quiet, quiet_but_moved
from monitor.detect.day_scores import NOW, FloatArray
from monitor.detect.measurement import Channel, Reading, Told, Verdict

TOLERANCE: Final = 0.005
"""Nats: half a percent of a token's probability. The lab's 8-bit weights move tokens by 0.03, its 4-bit weights by 0.3,
its unchanged model by 0.00001."""
FAR_OFF: Final = 0.5
"""Nats that are never reported as unchanged, however few answers."""
LEAST_SHARE: Final = 0.5
"""Share of the answers, on each side, that must have log-probabilities."""


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` if fewer than half of the answers have first-token log-probabilities."""
    frozen = run_kind(comparison.target, comparison.suite).frozen_items
    if not frozen or not (_told(comparison.now) and _told(comparison.baseline)):
        return None
    found = mmd.grouped(comparison, _tells)
    if found is None:
        return None
    tables = [_table(answers) for answers in found.answers]
    statistic = mmd.Difference(tables, [1 / (table.shape[1] * len(tables)) for table in tables], TOLERANCE)
    (result,) = mmd.tested(found, [statistic])
    channel = Channel.of("first_token", result.scores, "rise")
    parts = mmd.parts_today(found, statistic) * len(tables)
    effect = mmd.bootstrapped(
        parts, np.ones_like(parts), mmd.seed_of(found), evidence.likely_spread(channel.baseline)
    )  # fmt: skip
    return Reading(
        channels=(channel,),
        effect=effect,
        unit="nats of mean first-token log-probability",
        per_score=max(1e-6, result.spread),
        answers_now=found.now,
        answers_baseline=found.baseline,
        tell=lambda verdict: _tell(comparison.target, verdict, channel, effect),
        measures={"logprobs_p_value": result.p_value},
        exhibits=_exhibits(comparison, found, parts),
        tolerance=TOLERANCE,
    )


def first_table(answer: GradedAnswer) -> Mapping[str, float]:
    """First token's top log-probabilities; only the chosen token's if no others are known; empty without any.

    A chosen token outside the top table is left out: whether it was drawn depends on sampling, not on the model."""
    if not answer.logprobs:
        return {}
    first = answer.logprobs[0]
    table = first.top or {first.token: first.logprob}
    if all(map(isfinite, table.values())):
        return table
    return {token: value for token, value in table.items() if isfinite(value)}


def _tell(target: str, verdict: Verdict, channel: Channel, effect: tuple[float, float, float]) -> Told:
    size, low, high = (max(0.0, one) for one in effect)
    numbers = f"{size:.2f} nats on average (95% interval {low:.2f} to {high:.2f})"
    if verdict.evaluation_disagrees:
        return no_longer(f"first-token log-probabilities of {target} moved", f"they differ by {numbers}", verdict)
    if verdict.alarming:
        what = f"First-token log-probabilities of {target} moved"
        return alarming(what, f"by {numbers}", Advice.FIND_NEW_WEIGHTS_OR_TEMPLATE)
    if not (verdict.moved or effect[0] >= FAR_OFF or mmd.stands_out(channel)):
        return quiet("First-token log-probabilities are as in the baseline", f"they differ by {numbers}")
    return quiet_but_moved(f"first-token log-probabilities of {target} moved", f"by {numbers}")


def _tells(answer: GradedAnswer) -> bool:
    """Whether its ``first_table`` is not empty."""
    if not answer.logprobs:
        return False
    first = answer.logprobs[0]
    return any(map(isfinite, first.top.values() if first.top else (first.logprob,)))


def _told(answers: tuple[GradedAnswer, ...]) -> bool:
    mine = [_tells(one) for one in answers if one.arm == Arm.SUBJECT]
    return bool(mine) and sum(mine) >= LEAST_SHARE * len(mine)


def _table(answers: tuple[GradedAnswer, ...]) -> mmd.Single:
    """A row for each answer, a column for each token that any of them has."""
    tops = [first_table(one) for one in answers]
    place = {token: column for column, token in enumerate(sorted({token for top in tops for token in top}))}
    rows = np.empty((len(tops), len(place)))
    for row, top in zip(rows, tops, strict=True):
        row[:] = min(top.values())
        row[[place[token] for token in top]] = list(top.values())
    # centred, because single precision has too few digits for the part that all answers share
    return np.asarray(rows - rows.mean(0), dtype=np.float32)


def _exhibits(comparison: Comparison, found: mmd.Grouped, parts: FloatArray) -> tuple[Exhibit, ...]:
    """The probes whose first token moved most."""
    firsts = [answers[int(np.argmax(days == NOW))] for answers, days in zip(found.answers, found.days, strict=True)]
    return exhibits(
        comparison, {probe: (float(part), one) for probe, part, one in zip(found.probes, parts, firsts, strict=True)}
    )
