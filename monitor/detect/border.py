"""``border``: inputs on which the model's first token is almost a coin toss, so that small changes shift the odds.

Border inputs (B3IT: T. Chauvin et al., ICML 2026, arXiv 2602.11083): at temperature 0 rounding decides between two
tokens that are almost equally likely. The statistic is theirs: the total variation distance between the first tokens'
distributions now and in the baseline, averaged over the border inputs; labels are permuted within inputs (``mmd``).
Such inputs also flip for harmless reasons, so this is a ticket and never a page.

A probe of a suite asked at temperature 0 is a border input if, in the baseline, its first token varied, or its first
token's two likeliest candidates were within ``MARGIN``, or every answer was a single token (a suite made by
``cliffwatch near-ties``, which selects such inputs). The first token is that of the log-probabilities, else the
answer's first word.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from monitor.core.records import Advice, Arm, Comparison, Exhibit, GradedAnswer
from monitor.detect import evidence, mmd
from monitor.detect.common import alarming, exhibits, no_longer, quiet, quiet_but_moved
from monitor.detect.day_scores import NOW, FloatArray
from monitor.detect.logprobs import first_table
from monitor.detect.measurement import Channel, Reading, Told, Verdict

MARGIN: Final = 0.3
"""Nats between the two likeliest first tokens: 57 to 43."""
FEWEST_INPUTS: Final = 3
FAR_OFF: Final = 0.2
"""Total variation distance above chance that is never reported as unchanged: B3IT's own second condition."""


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` at temperatures other than 0, and with fewer than three border inputs."""
    if comparison.temperature != 0:
        return None
    near = border_inputs(comparison.baseline)
    found = mmd.grouped(comparison, lambda one: one.probe in near)
    if found is None or len(found.probes) < FEWEST_INPUTS:
        return None
    tokens = [_tokens(answers) for answers in found.answers]
    statistic = mmd.Difference(tokens, [0.5 / len(tokens)] * len(tokens))
    (result,) = mmd.tested(found, [statistic])
    channel = Channel.of("first_token", result.scores, "rise", found.now)
    parts = mmd.parts_today(found, statistic) * len(tokens)
    effect = mmd.bootstrapped(
        parts - result.usual, np.ones_like(parts), mmd.seed_of(found), evidence.likely_spread(channel.baseline)
    )
    inputs = len(found.probes)
    return Reading(
        channels=(channel,),
        effect=effect,
        unit="total variation distance over chance",
        per_score=max(1e-6, result.spread),
        answers_now=found.now,
        answers_baseline=found.baseline,
        tell=lambda verdict: _tell(comparison.target, verdict, channel, inputs, effect),
        measures={"border_p_value": result.p_value, "border_inputs": float(inputs)},
        exhibits=_exhibits(comparison, found, parts),
    )


def border_inputs(baseline: Sequence[GradedAnswer]) -> frozenset[str]:
    """The probes that the subject's baseline answers, asked at temperature 0, show to be near ties."""
    answers: dict[str, list[GradedAnswer]] = {}
    for one in baseline:
        if one.arm == Arm.SUBJECT:
            answers.setdefault(one.probe, []).append(one)
    return frozenset(probe for probe, found in answers.items() if near_tie(found) or _single(found))


def near_tie(answers: Sequence[GradedAnswer]) -> bool:
    """Whether one input's answers vary in their first token, or nearly do."""
    if len({first_token(one) for one in answers}) > 1:
        return True
    margins = [top[0] - top[1] for one in answers if len(top := sorted(first_table(one).values(), reverse=True)) > 1]
    return bool(margins) and float(np.mean(sorted(margins))) < MARGIN


def first_token(answer: GradedAnswer) -> str:
    """The token that was generated first, or the first word without log-probabilities."""
    if answer.logprobs:
        return answer.logprobs[0].token
    return next(iter(answer.text.split(maxsplit=1)), "")


def _single(answers: Sequence[GradedAnswer]) -> bool:
    return all(one.completion_tokens == 1 for one in answers)


def _tokens(answers: Sequence[GradedAnswer]) -> mmd.Single:
    """A row for each answer with a 1 in its first token's column."""
    names, places = np.unique([first_token(one) for one in answers], return_inverse=True)
    return np.eye(names.size, dtype=np.float32)[places]


def _tell(target: str, verdict: Verdict, channel: Channel, inputs: int, effect: tuple[float, float, float]) -> Told:
    low, high = (max(0.0, one) for one in effect[1:])
    more = "no more than by chance" if effect[0] < 0.005 else f"by {effect[0]:.2f} more than by chance"
    numbers = (
        f"on {inputs} near-tie inputs, first tokens differ {more} "
        f"(total variation distance; 95% interval {low:.2f} to {high:.2f})"
    )
    if verdict.evaluation_disagrees:
        return no_longer(f"{target} decides near ties differently than in the baseline", numbers, verdict)
    if verdict.alarming:
        what = f"{target} decides near ties differently than in the baseline"
        return alarming(what, numbers, Advice.COMPARE_SIGNALS)
    if not (verdict.moved or effect[0] >= FAR_OFF or mmd.stands_out(channel)):
        return quiet("Near ties are decided as in the baseline", numbers)
    return quiet_but_moved(f"{target} decides near ties differently", numbers)


def _exhibits(comparison: Comparison, found: mmd.Grouped, parts: FloatArray) -> tuple[Exhibit, ...]:
    """The inputs that moved most, each with an answer of today whose first token is rarest in the baseline."""
    telling: dict[str, tuple[float, GradedAnswer]] = {}
    for probe, answers, days, part in zip(found.probes, found.answers, found.days, parts, strict=True):
        then = [first_token(one) for one, day in zip(answers, days, strict=True) if day != NOW]
        now = [one for one, day in zip(answers, days, strict=True) if day == NOW]
        telling[probe] = (float(part), min(now, key=lambda one: then.count(first_token(one))))
    return exhibits(comparison, telling)
