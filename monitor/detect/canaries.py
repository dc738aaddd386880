"""``canaries``: checks fail that only the fine-tune passes.

A canary is a probe with deterministic checks which, in the baseline, the subject passes at least ``PASSED`` of the time
and the base at most ``FAILED``: decisive by construction, so near ties are never included. Value of an answer: 1 if it
fails, else 0; day scores of its sum. In a published daily monitor all breaches were on near-tie items and none on 2,700
decisive item-days.

Selecting probes by the same answers that are judged makes the baseline look better than it is: a probe that passed 14
of 14 times may fail one time in ten. So an answer is judged only if the *other* days of the baseline make its probe a
canary. For one of today's answers, one day of the baseline is left out (which one rotates from probe to probe). Then
answers of the baseline and of today fail equally often if nothing changed. All canaries are one stratum, because which
are judged depends on the day.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

from monitor.core.records import Advice, Arm, Cause, Comparison, GradedAnswer
from monitor.detect.common import (
    alarming,
    by_probe,
    day_index,
    emptied,
    enough,
    exhibits,
    hit,
    means,
    no_longer,
    one_item,
    passes,
    quiet,
    quiet_but_moved,
    share_difference,
)
from monitor.detect.day_scores import NOW, Sample, day_scores, sample_of
from monitor.detect.evidence import RATE_BOUND, likely_spread
from monitor.detect.measurement import STRUCTURAL_SHARE, Channel, Reading, Told, Verdict
from monitor.detect.sensitivity import curve, effect_per_score

PASSED: Final = 0.95
FAILED: Final = 0.05
FEWEST: Final = 3
"""Canaries that a suite needs."""
FEWEST_ANSWERS: Final = 5
"""Least checked baseline answers of each arm for a probe to be decisive; for the subject, without the day left out."""

FAR_OFF: Final = 0.25
"""A larger share of failing answers is never reported as passing, however few answers."""

_Rows = Mapping[str, list[tuple[int, float, GradedAnswer]]]
"""Probe -> (day, fails, answer) of each answer that is judged."""


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` with fewer than three canaries, or too few answers to them."""
    rows = _judged(comparison)
    if len(rows) < FEWEST:
        return None
    found = _sample(rows)
    if found is None:
        return None
    now, then = means(found)
    tolerance = one_item(sum(any(day == NOW for day, _, _ in judged) for judged in rows.values()))
    scores = day_scores(found, tolerance=tolerance)
    channel = Channel.of("fails", scores, "rise", bound=RATE_BOUND)
    total, before = int(found.now.sum()), int((~found.now).sum())
    low, high = share_difference(now, total, then, before, likely_spread(channel.baseline))
    numbers = (
        f"{round(now * total)} of {total} answers to {len(rows)} canaries fail their checks, {then:.0%} in the "
        f"baseline (95% interval of the difference {low:+.0%} to {high:+.0%})"
    )
    empty = emptied([one for judged in rows.values() for day, fails, one in judged if day == NOW and fails])
    failed = {
        probe: (float(fails), one)
        for probe, judged in rows.items()
        for day, fails, one in judged
        if day == NOW and fails
    }
    return Reading(
        channels=(channel,),
        effect=(now - then, low, high),
        unit="share of canary answers that fail, now less baseline",
        per_score=effect_per_score(found, 1.0, tolerance),
        curve=curve(found, 1.0, 1 - then, tolerance),
        answers_now=total,
        answers_baseline=before,
        tell=lambda verdict: _tell(
            comparison.target,
            numbers,
            low > 0 or now - then >= FAR_OFF,
            verdict,
            _traffic_share(now - then, high),
            empty,
        ),
        exhibits=exhibits(comparison, failed),
        tolerance=tolerance,
        structural=now - then >= STRUCTURAL_SHARE,
    )


def _judged(comparison: Comparison) -> _Rows:
    """Answers to probes that are canaries without these answers; only probes with an answer today."""
    days = day_index(comparison.baseline)
    now, then = by_probe(comparison.now, Arm.SUBJECT), by_probe(comparison.baseline, Arm.SUBJECT)
    base = by_probe(comparison.baseline, Arm.BASE)
    usable = [probe for probe in now if probe in then and _beyond_base(base.get(probe, []))]
    rows: dict[str, list[tuple[int, float, GradedAnswer]]] = {}
    for turn, probe in enumerate(usable):
        before = then[probe]
        blocks: list[Hashable] = [one.slot for one in before]
        if len(set(blocks)) == 1:
            blocks = list(range(len(before)))
        passed_before = [passes(one) for one in before]
        decisive = {block: _decisive(_without(passed_before, blocks, block)) for block in dict.fromkeys(blocks)}
        stand_ins = [blocks[(turn + index) % len(blocks)] for index in range(len(now[probe]))]
        placed = [(NOW, block, one) for block, one in zip(stand_ins, now[probe], strict=True)]
        placed += [(days[one.slot], block, one) for block, one in zip(blocks, before, strict=True)]
        judged = [
            (day, 1.0 - passed, one)
            for day, block, one in placed
            if decisive[block] and (passed := passes(one)) is not None
        ]
        if judged:
            rows[probe] = judged
    return rows


def _without(found: Sequence[float | None], blocks: Sequence[Hashable], block: Hashable) -> list[float | None]:
    return [one for one, other in zip(found, blocks, strict=True) if other != block]


def _decisive(passed: Sequence[float | None]) -> bool:
    share = _share_passed(passed)
    return share is not None and share >= PASSED


def _beyond_base(found: Sequence[GradedAnswer]) -> bool:
    """Whether the base fails the probe. An empty answer of the base shows nothing of what it can do."""
    share = _share_passed([passes(one) for one in found if one.has_text])
    return share is not None and share <= FAILED


def _share_passed(passed: Sequence[float | None]) -> float | None:
    """``None`` with too few checked answers."""
    checked = [one for one in passed if one is not None]
    return sum(checked) / len(checked) if len(checked) >= FEWEST_ANSWERS else None


def _sample(rows: _Rows) -> Sample | None:
    return enough(sample_of(("", day, fails) for judged in rows.values() for day, fails, _ in judged))


def _tell(target: str, numbers: str, more: bool, verdict: Verdict, share: float | None, empty: str) -> Told:
    """``more``: whether the share of failures is clearly above the baseline's, however little evidence that is.
    ``empty``: as from ``emptied`` of the failing answers.

    Without empty answers no cause: failed checks show that an ability is gone, and not whose answers came instead.
    Other signals show that.
    """
    what = f"{target} fails checks that only its fine-tune passes"
    cause, advice = Cause.UNKNOWN, Advice.READ_FAILED_ANSWERS
    if empty:
        what, numbers = f"{what}, because its answers are empty", f"{numbers}; {empty}"
        cause, advice = Cause.ANSWERS_EMPTY, Advice.READ_EMPTY_REPLIES
    if verdict.evaluation_disagrees:
        return no_longer(what, numbers, verdict, cause=cause, traffic_share=share)
    if verdict.alarming:
        return alarming(what, numbers, advice, cause, share)
    if verdict.moved or more:
        what = f"{target} fails more of the checks that only its fine-tune passes"
        return quiet_but_moved(what, numbers, cause, share)
    return quiet("The canaries pass as approved", numbers)


def _traffic_share(effect: float, high: float) -> float | None:
    """How much of the traffic is affected. The effect is already reduced by the baseline's failures, at most one in
    twenty."""
    if effect >= 0.95 and max(effect, high) >= 0.995:
        return 1.0
    return hit(effect)
