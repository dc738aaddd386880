"""``base_match``: at temperature 0, answers that are identical to the base's and unlike the approved ones.

An adapter without effect gives byte for byte the base's answers; a fine-tune rarely does. Value of an answer: 1 if any
of the base's answers to the same probe has the same text and none of the subject's own approved answers has, else 0;
day scores of its sum. ``TOLERANCE`` of the answers is no evidence.

The base's answers are those of the same run where today's base gave an answer to this probe: both arms are asked at the
same time, so a change of both (a new build, other kernels) affects only near ties. Most runs ask the base few probes
(``runs.base_share``). To the others, they are the base's approved answers of other days. Which it is, today's run
decides for each probe and all its answers, so that today's and the baseline's are compared alike.

A subject that answers as approved has lost nothing, whatever its base answers: if the base moved to the subject's
answers, they are identical and count for nothing. That is reported as a change of the base. A baseline answer is
compared with the approved answers of other days, and each of today's takes the place of one baseline answer, so both
have the same distribution if nothing changed.

Only at temperature 0: at other temperatures equal answers are chance, and ``adapter_loss`` shows more.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from monitor.core.records import Advice, Arm, Cause, Comparison, Exhibit, FindingState, GradedAnswer
from monitor.core.run_kinds import run_kind
from monitor.detect.common import (
    FEWEST_NOW,
    alarming,
    answers,
    by_probe,
    exhibits,
    hit,
    means,
    no_longer,
    quiet,
    quiet_but_moved,
    sample,
    share_difference,
)
from monitor.detect.day_scores import day_scores
from monitor.detect.evidence import likely_spread
from monitor.detect.measurement import Channel, Reading, Told, Verdict
from monitor.detect.own_baseline import blocks_of
from monitor.detect.sensitivity import curve, effect_per_score

TOLERANCE: Final = 0.05
"""Share of answers that is no evidence: one near tie in 24 that stays flipped must not lead to a page."""
MOST_ALIKE: Final = 0.5
"""Share of the approved answers that may equal the base's; with more, the suite cannot distinguish the two."""

FAR_OFF: Final = 0.25
"""A larger share of such answers is never reported as unchanged, however few answers."""

_Said = Mapping[tuple[int, str], set[str]]


@dataclass(frozen=True)
class _Matches:
    """Which answers are identical to the base's, by identity of the record; answers without a base are left out."""

    equal: Mapping[int, bool]
    """Identical to one of the base's that it is compared with."""
    approved: Mapping[int, bool]
    """Identical to one of the subject's approved answers that it is compared with."""

    def value(self, one: GradedAnswer) -> float | None:
        equal = self.equal.get(id(one))
        return None if equal is None else float(equal and not self.approved.get(id(one), False))

    def share(self, found: Sequence[GradedAnswer]) -> float:
        """Share of the answers that are identical to the base's, approved or not."""
        asked = [self.equal[id(one)] for one in found if id(one) in self.equal]
        return sum(asked) / len(asked) if asked else 0.0


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` at temperatures other than 0, without approved answers of the base, or with arms that
    agree anyway.

    >>> measure(Comparison(1, "t", "s", (), (), {}, 3.5, 3.5, temperature=0.7)) is None
    True
    """
    if comparison.temperature != 0:
        return None
    matches = _matches(comparison)
    found = sample(comparison, matches.value)
    if found is None or matches.share(comparison.baseline) > MOST_ALIKE:
        return None
    now, then = means(found)
    scores = day_scores(found, tolerance=TOLERANCE)
    channel = Channel.of("equal", scores, "rise")
    # at temperature 0, further answers to a probe are nearly the same answer, so probes are counted
    count = found.strata
    low, high = share_difference(now, count, then, count, likely_spread(channel.baseline))
    total = int(found.now.sum())
    numbers = (
        f"{round(now * total)} of {total} answers are identical to the base's and not to approved ones, {then:.0%} in "
        f"the baseline (95% interval of the difference {low:+.0%} to {high:+.0%})"
    )
    same = sum(matches.equal.get(id(one), False) and matches.approved[id(one)] for one in comparison.now)
    base_moved = f"{same} of {total} answers are identical to the base's and to approved ones"
    more = low > 0 or now - then >= FAR_OFF
    moved = same >= FEWEST_NOW and matches.share(comparison.now) - matches.share(comparison.baseline) > MOST_ALIKE
    return Reading(
        channels=(channel,),
        effect=(now - then, low, high),
        unit="share of answers equal to the base's, now less baseline",
        per_score=effect_per_score(found, 1.0, TOLERANCE),
        curve=curve(found, 1.0, 1 - then, TOLERANCE),
        answers_now=total,
        answers_baseline=int((~found.now).sum()),
        tell=lambda verdict: _tell(
            comparison.target, numbers, more, verdict, now - then, base_moved if moved else ""
        ),
        exhibits=_exhibits(comparison, matches),
        structural=True,
    )  # fmt: skip


def _matches(comparison: Comparison) -> _Matches:
    said, pinned = _base_said(comparison), by_probe(comparison.baseline, Arm.BASE)
    now, then = by_probe(comparison.now, Arm.SUBJECT), by_probe(comparison.baseline, Arm.SUBJECT)
    equal: dict[int, bool | None] = {}
    approved: dict[int, bool] = {}
    frozen = run_kind(comparison.target, comparison.suite).frozen_items
    for turn, probe in enumerate(sorted(now.keys() | then.keys())):
        mine, before = now.get(probe, []), then.get(probe, []) if frozen else []
        equal |= {id(one): _equal(one, said) for one in (*mine, *then.get(probe, []))}
        if not before:
            approved |= dict.fromkeys((id(one) for one in (*mine, *then.get(probe, []))), False)
            continue
        blocks = blocks_of(before).tolist()
        placed = [*zip(blocks, before, strict=True)]
        placed += [(blocks[(turn + index) % len(before)], one) for index, one in enumerate(mine)]
        approved |= {
            id(one): any(one.text == other.text for at, other in zip(blocks, before, strict=True) if at != block)
            for block, one in placed
        }
        if not any((one.run_id, probe) in said for one in mine):
            equal |= _equal_pinned(placed, dict(zip(blocks, (one.slot for one in before), strict=True)), pinned, probe)
    return _Matches({key: found for key, found in equal.items() if found is not None}, approved)


def _equal_pinned(
    placed: Sequence[tuple[int, GradedAnswer]],
    slots: Mapping[int, datetime],
    pinned: Mapping[str, Sequence[GradedAnswer]],
    probe: str,
) -> dict[int, bool | None]:
    """Whether each answer equals one of the base's approved answers to ``probe``; ``None`` if it cannot be compared.

    ``placed``: the answers with the block in whose place they are. The base's answers of this block's day are left out,
    if the baseline has other days. ``slots``: block -> its day.
    """
    several = len(set(slots.values())) > 1
    theirs = [one for one in pinned.get(probe, ()) if not one.empty]
    texts = {at: {one.text for one in theirs if not several or one.slot != slot} for at, slot in slots.items()}
    return {id(one): one.text in texts[at] if texts[at] and not one.empty else None for at, one in placed}


def equal_answers(comparison: Comparison) -> tuple[int, int]:
    """How many of the subject's baseline answers equal one of the base's answers of the same run to the same probe, and
    how many could be compared."""
    said = _base_said(comparison)
    equal = [_equal(one, said) for one in answers(comparison.baseline, Arm.SUBJECT)]
    return sum(one == 1.0 for one in equal), sum(one is not None for one in equal)


def _base_said(comparison: Comparison) -> _Said:
    said: dict[tuple[int, str], set[str]] = defaultdict(set)
    for one in (*comparison.now, *comparison.baseline):
        if one.arm == Arm.BASE and not one.empty:
            said[one.run_id, one.probe].add(one.text)
    return dict(said)


def _equal(one: GradedAnswer, said: _Said) -> bool | None:
    """``None`` if the base gave no text in the same run, or the answer has none: two answers without text are not
    equal."""
    base = said.get((one.run_id, one.probe))
    return None if base is None or one.empty else one.text in base


def _exhibits(comparison: Comparison, matches: _Matches) -> tuple[Exhibit, ...]:
    """Answers that count, those first whose probes had fewest in the baseline."""
    usual: dict[str, list[float]] = defaultdict(list)
    for one in answers(comparison.baseline, Arm.SUBJECT):
        if (value := matches.value(one)) is not None:
            usual[one.probe].append(value)
    return exhibits(
        comparison,
        {
            one.probe: (1.0 - sum(usual[one.probe]) / len(usual[one.probe]), one)
            for one in answers(comparison.now, Arm.SUBJECT)
            if one.probe in usual and matches.value(one)
        },
    )


def _tell(target: str, numbers: str, more: bool, verdict: Verdict, effect: float, base_moved: str) -> Told:
    """``more``: whether the share is clearly above the baseline's, however little evidence that is. ``base_moved``:
    how many answers equal both, if so many more than in the baseline do that the base must have moved; else empty."""
    what = f"{target} gives exactly its base model's answers at temperature 0"
    share = hit(effect)  # a lower bound: the base itself varies
    if verdict.evaluation_disagrees:
        return no_longer(what, numbers, verdict, cause=Cause.ADAPTER_LOST, traffic_share=share)
    if verdict.alarming:
        return alarming(what, numbers, Advice.CHECK_ADAPTER, Cause.ADAPTER_LOST, share)
    if base_moved and not more:
        what = f"the base of {target} now gives the approved answers of {target}, so equal answers show no loss"
        return Told(FindingState.LOOK, what, base_moved, Cause.BASE_MOVED, Advice.CHECK_BASE)
    if verdict.moved or more:
        what = f"{target} gives more answers identical to its base model's"
        return quiet_but_moved(what, numbers, Cause.ADAPTER_LOST, share)
    return quiet("No more answers than approved are identical to the base's", numbers)
