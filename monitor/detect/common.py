"""What every signal needs in addition to its statistic: answers by probe, samples, intervals, exhibits, findings."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Final

import numpy as np

from monitor.core.records import Advice, Arm, Cause, Comparison, Exhibit, FindingState, GradedAnswer
from monitor.core.run_kinds import run_kind
from monitor.core.texts import located
from monitor.core.wording import power as power
from monitor.detect.day_scores import NOW, Sample, sample_of
from monitor.detect.measurement import Told, Verdict

ENOUGH_ITEMS: Final = 20
"""Items from which one of them is too small a part of a suite to page for."""
FEWEST_NOW: Final = 5
"""Least answers of today for a verdict. Fewer must not cross a threshold that can raise a page."""
FEWEST_OF_BASE: Final = 3
"""Least answers of today's base for a ticket about it, or to lower a page: most runs ask it few probes."""
FEWEST_BASELINE: Final = 10
EXHIBITS: Final = 5
LEAST_TEXTS: Final = 0.5
"""Share of the subject's answers, on both sides, that must have a text for texts to be compared. The others may be
empty for a reason that also changes what is compared."""
MOSTLY_EMPTY: Final = 0.5
"""Share of the failing answers from which empty answers are told as the cause."""
LEAST_HIT: Final = 0.05
"""Excess below which an affected share of the traffic cannot be distinguished from none."""
SHOWN: Final = 4_000
"""Characters of an answer that an exhibit shows."""

Value = Callable[[GradedAnswer], float | None]


def answers(found: Iterable[GradedAnswer], arm: Arm) -> list[GradedAnswer]:
    """The answers of one arm, in an order that does not depend on the input's."""
    return sorted(
        (one for one in found if one.arm == arm),
        key=lambda one: (one.probe, one.slot, one.replicate, one.run_id, one.text),
    )


def with_texts(comparison: Comparison) -> Comparison | None:
    """The comparison without the answers that have no text; ``None`` if the subject has too few others."""
    now, baseline = ([one for one in found if one.has_text] for found in (comparison.now, comparison.baseline))
    if len(now) == len(comparison.now) and len(baseline) == len(comparison.baseline):
        return comparison
    for kept, found in ((now, comparison.now), (baseline, comparison.baseline)):
        if _of_subject(kept) < LEAST_TEXTS * _of_subject(found):
            return None
    return replace(comparison, now=tuple(now), baseline=tuple(baseline))


def _of_subject(found: Iterable[GradedAnswer]) -> int:
    return sum(one.arm == Arm.SUBJECT for one in found)


def where_empty(found: Iterable[GradedAnswer]) -> str:
    """Where the texts of empty answers are, as a clause; empty if the replies do not say it."""
    empty = [one.place for one in found if one.empty]
    return located(Counter(place for place in empty if place is not None), len(empty))


def emptied(failing: Sequence[GradedAnswer]) -> str:
    """How many of the failing answers are empty, if that explains the failures; otherwise an empty string."""
    empty = sum(one.empty for one in failing)
    if not failing or empty < MOSTLY_EMPTY * len(failing):
        return ""
    many = "all of them are" if empty == len(failing) else f"{empty} of them {'is' if empty == 1 else 'are'}"
    return "; ".join(filter(None, (f"{many} empty", where_empty(failing))))


def by_probe(found: Iterable[GradedAnswer], arm: Arm) -> dict[str, list[GradedAnswer]]:
    """Probe -> its answers, probes in alphabetical order, answers in the order of ``answers``."""
    grouped: dict[str, list[GradedAnswer]] = {}
    for one in answers(found, arm):
        grouped.setdefault(one.probe, []).append(one)
    return grouped


def day_index(baseline: Iterable[GradedAnswer]) -> Mapping[object, int]:
    """Slot -> its place among the baseline's slots."""
    return {slot: index for index, slot in enumerate(sorted({one.slot for one in baseline}))}


def stratum(comparison: Comparison, probe: str) -> str:
    """The group within which answers are exchangeable: the probe's. Empty for production samples, whose inputs never
    repeat."""
    return probe if run_kind(comparison.target, comparison.suite).frozen_items else ""


def sample(comparison: Comparison, value: Value) -> Sample | None:
    """The subject's answers as numbers; ``None`` if too few have one. Answers whose ``value`` is ``None`` are left
    out."""
    days = day_index(comparison.baseline)
    dated = [(NOW, one) for one in comparison.now] + [(days[one.slot], one) for one in comparison.baseline]
    return enough(
        sample_of(
            (stratum(comparison, one.probe), day, number)
            for day, one in dated
            if one.arm == Arm.SUBJECT and (number := value(one)) is not None
        )
    )


def enough(found: Sample | None, least: int = FEWEST_NOW) -> Sample | None:
    """``found`` if it holds enough answers for a verdict: ``least`` of today, and ``FEWEST_BASELINE`` before."""
    if found is None or found.now.sum() < least or (~found.now).sum() < FEWEST_BASELINE:
        return None
    return found


def passes(one: GradedAnswer) -> float | None:
    """1 if all checks pass, 0 if one fails or the answer has no text, ``None`` without checks."""
    checks = [value for grader, value in one.scores.items() if grader == "checks" or grader.startswith("check:")]
    return float(one.has_text and min(checks) >= 1.0) if checks else None


def one_item(items: int) -> float:
    """Share of the answers that a page signal ignores, however long it lasts: those of one item, of ``ENOUGH_ITEMS`` or
    more. A near tie that flips for good is then a ticket at most (``contract``)."""
    return 1 / items if items >= ENOUGH_ITEMS else 0.0


def per_score(found: Sample) -> float:
    """How much today's mean moves when its score moves by one: the standard deviation of a mean of that many
    independent answers, but at least half an answer's share, so that it is above 0."""
    then = ~found.now
    counts = np.bincount(found.stratum[then])
    centred = found.value[then] - (np.bincount(found.stratum[then], found.value[then]) / counts)[found.stratum[then]]
    spread = sqrt(float((centred**2).sum()) / max(1, centred.size - counts.size))
    answered = int(found.now.sum())
    return max(spread / sqrt(answered), 0.5 / answered)


def means(found: Sample) -> tuple[float, float]:
    """Mean now and in the baseline, probes weighted by their answers now."""
    total_now = total_then = 0.0
    for one in range(found.strata):
        inside = found.stratum == one
        here = found.value[inside & found.now]
        total_now += float(here.sum())
        total_then += here.size * float(found.value[inside & ~found.now].mean())
    answered = int(found.now.sum())
    return total_now / answered, total_then / answered


def t_quantile(freedom: int) -> float:
    """Two-sided 95 % point of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(max(1, freedom), 0.975))


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share of ``count`` answers (E. B. Wilson, JASA 22, 1927); conservative for any mean
    in 0 to 1."""
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * sqrt(max(0.0, share * (1 - share)) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    # rounding must not leave the share itself outside
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def share_difference(now: float, count_now: int, then: float, count_then: int, inflation: float) -> tuple[float, float]:
    """95 % interval of now - then for two means in 0 to 1: Newcombe's method 10 (Statistics in Medicine 17, 1998).

    Correct for shares of 0 or 1, where a z-interval would have no width. ``inflation`` widens both sides for the spread
    between days.
    """
    low_now, high_now = wilson(now, count_now)
    low_then, high_then = wilson(then, count_then)
    below = inflation * sqrt((now - low_now) ** 2 + (high_then - then) ** 2)
    above = inflation * sqrt((high_now - now) ** 2 + (then - low_then) ** 2)
    return max(-1.0, now - then - below), min(1.0, now - then + above)


def quiet(what: str, numbers: str, caveat: str = "") -> Told:
    """A finding whose numbers did not move."""
    return Told(FindingState.QUIET, what, numbers, caveat=caveat)


def alarming(
    what: str, numbers: str, advice: Advice, cause: Cause = Cause.UNKNOWN, traffic_share: float | None = None
) -> Told:
    """A finding that alarms and whose own evaluation shows why."""
    return Told(FindingState.ALARMING, what, numbers, cause, advice, traffic_share)


def quiet_but_moved(
    what: str, numbers: str = "", cause: Cause = Cause.UNKNOWN, traffic_share: float | None = None
) -> Told:
    """A finding that does not alarm although its numbers moved. ``what`` continues a sentence."""
    return Told(FindingState.LOOK, what, numbers, cause, Advice.WAIT, traffic_share)


def no_longer(
    what: str,
    numbers: str,
    verdict: Verdict,
    advice: Advice = Advice.NONE,
    cause: Cause = Cause.UNKNOWN,
    traffic_share: float | None = None,
) -> Told:
    """A finding with ``verdict.evaluation_disagrees``: ``what`` the evaluations so far show, in general words, and the
    ``numbers`` of this one, which do not show it. ``advice`` is left out after a recovery."""
    state = FindingState.ALARMING if verdict.alarming else FindingState.LOOK
    todo = Advice.NONE if verdict.recovered else advice
    return Told(state, what, numbers, cause, todo, traffic_share, disagrees=True)


def percent(share: float) -> float:
    """A share in steps of 0.01, as shown and stored."""
    return round(100 * share) / 100


def hit(share: float) -> float | None:
    """The affected share of the traffic, ``None`` if below ``LEAST_HIT``. ``share``: the excess over the baseline."""
    return percent(share) if share >= LEAST_HIT else None


def typical(found: Sequence[GradedAnswer]) -> GradedAnswer | None:
    """The most common answer; among equals, the one of median length."""
    if not found:
        return None
    commonest = max(Counter(one.text for one in found).values())
    best = sorted(
        (one for one in found if sum(o.text == one.text for o in found) == commonest), key=lambda o: len(o.text)
    )
    return best[len(best) // 2]


def exhibits(
    comparison: Comparison,
    telling: Mapping[str, tuple[float, GradedAnswer]],
    leaning: Mapping[str, float] | None = None,
    *,
    arm: Arm = Arm.SUBJECT,
) -> tuple[Exhibit, ...]:
    """The probes that show the change most clearly, strongest first, at most ``EXHIBITS``.

    ``telling``: probe -> (weight, today's answer). Each exhibit also has the probe's typical baseline answer and the
    base's answer of now, or else of the baseline. ``leaning``: probe -> ``Exhibit.leaning``. ``arm``: whose
    answers they are; those of the base have no other base beside them.
    """
    if not comparison.texts_kept:
        return ()
    strongest = sorted(telling, key=lambda probe: (-telling[probe][0], probe))[:EXHIBITS]
    then = by_probe((one for one in comparison.baseline if one.probe in strongest), arm)
    base_now, base_then = by_probe(comparison.now, Arm.BASE), by_probe(comparison.baseline, Arm.BASE)
    if arm is Arm.BASE:
        base_now, base_then = {}, {}
    shown = []
    for probe in strongest:
        weight, answer = telling[probe]
        before, base = typical(then.get(probe, [])), typical(base_now.get(probe) or base_then.get(probe, []))
        shown.append(
            Exhibit(
                probe=probe,
                prompt=comparison.prompts.get(probe, ""),
                baseline=before.text[:SHOWN] if before else None,
                now=answer.text[:SHOWN],
                base=base.text[:SHOWN] if base else None,
                weight=weight,
                leaning=leaning.get(probe) if leaning else None,
            )
        )
    return tuple(shown)
