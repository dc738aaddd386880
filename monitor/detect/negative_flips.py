"""``negative_flips``: items that used to be answered right are now wrong, and fewer that were wrong are now right.

Items are frozen probes, paired with themselves. An answer is right when it passes all its checks, or, without checks,
when the judge gives it ``RIGHT_SCORE`` or more. The former state of an item comes from all its baseline answers: right
at a pass rate of ``USUALLY`` or more, wrong at 1 - ``USUALLY`` or less. Items between are near ties: counted and shown,
but no evidence, since such items flip on any day of a healthy endpoint (``detection.md`` 2, noise evidence).

The evidence is McNemar's (Psychometrika 12, 1947): among decisive items only flips count, and gains offset losses. A
day's score is

    (negative flips - expected - gains) / sqrt(max(1, variance)),    gains = max(0, positive flips - expected - 1 sd),

where expectation and variance come from each item's own pass rate, and gains count only above their usual churn, so
that the churn does not hide the losses. With the variance's floor, one flip more than ever is at most one standard
deviation. Which items are decisive, and their usual rates, come from the *other* days for each day: an item that looks
decisive by chance falls back on a day of the baseline as it would today. A net change below ``TOLERANCE`` is ignored.

Unlike the scores of ``day_scores``, these are plain ratios and more skewed: if answers fail now and then, days with
several failures are more frequent than in a normal distribution. So a day counts at most ``evidence.RATE_BOUND``,
unless half of all items flipped. Simulations in the tests show that e-values stay valid for sparse and frequent flips,
on days that differ more than by chance.

The effect is NFR - PFR (``flips``), the net share of today's answers that flipped, including the usual flips.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from statistics import median
from typing import Final

from monitor.core.records import (
    JUDGE_GRADER,
    Advice,
    Arm,
    Cause,
    Comparison,
    GradedAnswer,
)
from monitor.core.run_kinds import JUDGE, run_kind
from monitor.detect import evidence, flips
from monitor.detect.common import (
    FEWEST_NOW,
    alarming,
    answers,
    by_probe,
    emptied,
    exhibits,
    no_longer,
    one_item,
    passes,
    quiet,
    quiet_but_moved,
    typical,
)
from monitor.detect.day_scores import LEAST_SHARE
from monitor.detect.measurement import STRUCTURAL_SHARE, Channel, Reading, Told, Verdict

TOLERANCE: Final = 0.01
"""Net share of the decisive items' answers that never pages, however many evaluations it lasts."""
CLEAR: Final = 2.0
"""Standard deviations from which the tolerance is not subtracted: such a day is no tolerable day plus chance."""
USUALLY: Final = 0.9
"""Least pass rate of an item that was right; 1 minus it is the largest of one that was wrong."""
MANY: Final = 10
"""Answers from which an item's pass rate is used as it is. With fewer, it is smoothed by half a right and half a wrong
answer (Jeffreys), so that three of three are below 0.9."""
PRIOR: Final = 0.15
"""Right and wrong answers that are each added to an item's for its variance, because an item that never flipped may
still flip. By simulation, the least that keeps e-values valid if many items flip now and then."""
RIGHT_SCORE: Final = 0.5
FAR_OFF: Final = 0.25
"""A net share of flips that is never reported as unchanged, however few answers."""
_SIMILARITY: Final = "similarity"

Tally = Mapping[str, tuple[int, int]]
"""Item -> number of its answers, and how many of them are right."""


@dataclass(frozen=True)
class _Flips:
    """Today's answers with the former state of their items."""

    was: Mapping[str, bool | None]
    """Item -> right, wrong, or ``None`` for a near tie."""
    now: Sequence[tuple[GradedAnswer, bool]]
    """Today's answers to such items, and whether each is right."""

    def of(self, was: bool, right: bool) -> list[GradedAnswer]:
        return [one for one, is_right in self.now if self.was[one.probe] is was and is_right is right]

    @property
    def net(self) -> int:
        """Negative minus positive flips."""
        return len(self.of(True, False)) - len(self.of(False, True))

    @property
    def decisive(self) -> int:
        """Today's answers to items that are no near ties."""
        return sum(self.was[one.probe] is not None for one, _ in self.now)


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` for production samples (items never repeat), without checks and judge, with too few
    answers to decisive items, and if the baseline's days cannot be compared with each other (fewer than two days, or
    fewer than five answers per item)."""
    kind = run_kind(comparison.target, comparison.suite)
    if not kind.frozen_items:
        return None
    items = {one.probe for one in comparison.baseline if one.arm == Arm.SUBJECT and _grade(one) is not None}
    then, now = _graded(comparison.baseline, items), _graded(comparison.now, items)
    whole = _tally(then)
    was = {item: _was(*known) for item, known in whole.items()}
    found = _Flips(was, [pair for pair in now if pair[0].probe in was])
    today = _day(_tally(found.now), whole)
    tolerance = ignored(today)
    baseline = _baseline_scores(then, whole)
    if today.answered < FEWEST_NOW or not baseline:
        return None
    effect = _net(found, evidence.likely_spread(baseline))
    bound = evidence.RATE_BOUND if kind.may_page else evidence.BOUND
    return Reading(
        channels=(Channel("flips", today.score(tolerance), baseline, "rise", bound),),
        effect=effect,
        unit="negative minus positive flips, share of answers",
        per_score=today.spread / len(found.now),
        answers_now=len(found.now),
        answers_baseline=len(then),
        tell=lambda verdict: _tell(comparison.target, found, effect, verdict),
        measures=_measures(comparison, found),
        exhibits=exhibits(comparison, _telling(found, whole)),
        tolerance=tolerance,
        judged=any(passes(one) is None for one, _ in found.now),
        structural=found.net >= STRUCTURAL_SHARE * found.decisive,
    )


def _graded(found: Sequence[GradedAnswer], items: Collection[str]) -> list[tuple[GradedAnswer, bool]]:
    """The subject's answers that are known to be right or wrong. An empty answer to a graded item is wrong."""
    known = [(one, False if one.empty else _grade(one)) for one in answers(found, Arm.SUBJECT) if one.probe in items]
    return [(one, right) for one, right in known if right is not None]


def _grade(one: GradedAnswer) -> bool | None:
    passed, judged = passes(one), one.scores.get(JUDGE_GRADER)
    if passed is not None:
        return passed == 1
    return None if judged is None else judged >= RIGHT_SCORE


def _tally(found: Sequence[tuple[GradedAnswer, bool]]) -> Tally:
    """Items in alphabetical order, so that sums do not depend on the order of the answers."""
    answered = Counter(one.probe for one, _ in found)
    right = Counter(one.probe for one, is_right in found if is_right)
    return {item: (answered[item], right[item]) for item in sorted(answered)}


def _rate(answered: int, right: int) -> float:
    """Pass rate, smoothed with few answers."""
    return right / answered if answered >= MANY else (right + 0.5) / (answered + 1)


def _was(answered: int, right: int) -> bool | None:
    """Whether an item was right, wrong, or a near tie (``None``)."""
    rate = _rate(answered, right)
    return None if min(rate, 1 - rate) > 1 - USUALLY + 1e-9 else rate > 0.5


def ignored(day: "_Day") -> float:
    """Net share of a day's answers that is ignored."""
    return max(TOLERANCE, one_item(day.items))


@dataclass(frozen=True)
class _Day:
    """One day's flips relative to the other days: ``losses`` and ``gains`` are counts above the expected ones, with
    their variances."""

    answered: int
    items: int
    losses: float
    losses_variance: float
    gains: float
    gains_variance: float

    @property
    def spread(self) -> float:
        return sqrt(max(1.0, self.losses_variance))

    def score(self, tolerance: float) -> float:
        net = self.losses - max(0.0, self.gains - sqrt(max(1.0, self.gains_variance)))
        let_be = tolerance * self.answered if abs(net) < CLEAR * self.spread else 0.0
        return (net - let_be) / self.spread


def _day(day: Tally, others: Tally) -> _Day:
    """A day compared with the other days, over the items that are decisive in those."""
    answered, items, over, variance = 0, 0, {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
    for item, (asked, right) in day.items():
        known = others.get(item, (0, 0))
        was = _was(*known) if known[0] else None
        if was is None:
            continue
        usual = (known[0] - known[1] if was else known[1]) / known[0]
        answered, items = answered + asked, items + 1
        over[was] += (asked - right if was else right) - asked * usual
        wary = (known[0] * usual + PRIOR) / (known[0] + 2 * PRIOR)
        variance[was] += asked * wary * (1 - wary)
    return _Day(answered, items, over[True], variance[True], over[False], variance[False])


def _baseline_scores(then: Sequence[tuple[GradedAnswer, bool]], whole: Tally) -> tuple[float, ...]:
    """The score of each full day of the baseline against its other days; like today's, without the tolerance."""
    by_day: dict[datetime, list[tuple[GradedAnswer, bool]]] = {}
    for pair in then:
        by_day.setdefault(pair[0].slot, []).append(pair)
    usual = median(map(len, by_day.values())) if by_day else 0
    scores = []
    for slot in sorted(by_day):
        mine = _tally(by_day[slot])
        others = {
            item: (answered - mine.get(item, (0, 0))[0], right - mine.get(item, (0, 0))[1])
            for item, (answered, right) in whole.items()
        }
        found = _day(mine, others)
        if found.answered and len(by_day[slot]) >= LEAST_SHARE * usual:
            scores.append(found.score(0.0))
    return tuple(scores)


def _net(found: _Flips, spread: float) -> tuple[float, float, float]:
    """NFR - PFR with its 95% interval: Agresti and Min's for paired shares, with half a flip added to each of the four
    kinds of pairs (Statistics in Medicine 24, 2005), widened for the days."""
    negative, positive = len(found.of(True, False)), len(found.of(False, True))
    total = len(found.now)
    net, pairs = (negative - positive) / total, total + 2
    middle = (negative - positive) / pairs
    half = 1.959964 * spread * sqrt((negative + positive + 1) / pairs - middle**2) / sqrt(pairs)
    return net, max(-1.0, min(net, middle - half)), min(1.0, max(net, middle + half))


def _measures(comparison: Comparison, found: _Flips) -> dict[str, float]:
    """The rates of ``flips`` over today's answers.

    A near tie was neither right nor wrong, so it cannot flip. The old answer of other items is the most common one of
    the baseline, the old score the baseline's median.
    """
    old = by_probe(comparison.baseline, Arm.SUBJECT)
    usual = {probe: one.text for probe, all_ in old.items() if (one := typical(all_)) is not None}
    now, right = [one for one, _ in found.now], [right for _, right in found.now]
    was = [found.was[one.probe] for one in now]
    measures = {
        "negative_flip_ratio": flips.negative_flip_rate([one is True for one in was], right),
        "positive_flip_ratio": flips.positive_flip_rate([one is not False for one in was], right),
        "inconsistent_wrong_ratio": flips.inconsistent_wrong_rate(
            [usual[one.probe] for one in now], [one.text for one in now], right
        ),
    }
    before = {probe: [score for one in all_ if (score := _likeness(one)) is not None] for probe, all_ in old.items()}
    pairs = [(median(before[one.probe]), score) for one in now
             if before[one.probe] and (score := _likeness(one)) is not None]  # fmt: skip
    if pairs:
        measures["generative_negative_flip_ratio"] = flips.generative_negative_flip_rate(*zip(*pairs, strict=True))
    return measures


def _likeness(one: GradedAnswer) -> float | None:
    """S of an answer: its similarity to the reference, or without one the judge's score."""
    return one.scores.get(_SIMILARITY, one.scores.get(JUDGE_GRADER))


def _telling(found: _Flips, then: Tally) -> dict[str, tuple[float, GradedAnswer]]:
    """Flipped item -> its former pass rate, and today's wrong answer."""
    return {one.probe: (_rate(*then[one.probe]), one) for one in reversed(found.of(True, False))}


def _tell(target: str, found: _Flips, effect: tuple[float, float, float], verdict: Verdict) -> Told:
    negative, positive = len(found.of(True, False)), len(found.of(False, True))
    right, wrong = negative + len(found.of(True, True)), positive + len(found.of(False, False))
    told = [f"{negative} of {right} answers that used to be right are wrong"] if right else []
    if wrong:
        told.append(f"{positive} of {wrong} {'' if told else 'answers '}that used to be wrong are right")
    if ties := sum(found.was[one.probe] is None for one, _ in found.now):
        told.append(f"{ties} to near ties do not count")
    numbers = f"{'; '.join(told)} (net {effect[0]:+z.1%}, 95% interval {effect[1]:+z.1%} to {effect[2]:+z.1%})"
    claim = f"{target} gets wrong what it used to get right"
    cause, advice = Cause.UNKNOWN, Advice.READ_FLIPPED_ANSWERS
    if empty := emptied(found.of(True, False)):
        claim, numbers = f"{claim}, because its answers are empty", f"{numbers}; {empty}"
        cause, advice = Cause.ANSWERS_EMPTY, Advice.READ_EMPTY_REPLIES
    if run_kind(target) is JUDGE:
        claim = f"{target} no longer agrees with people as before"
        cause, advice = Cause.JUDGE_DRIFTED, Advice.DISTRUST_SCORES
    if verdict.evaluation_disagrees:
        return no_longer(claim, numbers, verdict, cause=cause)
    if verdict.alarming:
        return alarming(claim, numbers, advice, cause)
    if verdict.moved or effect[0] >= FAR_OFF:
        return quiet_but_moved(f"for {target}, {numbers}", cause=cause)
    return quiet("No more answers flip than usual", numbers)
