"""``alias_moved``: what the alias serves has left the snapshot that is asked next to it.

With ``snapshot.compare``, the snapshot (a dated or pinned version) gets every question of the subject in the same run.
Value of an answer: similarity (``text_similarity``) of the subject's answer to the snapshot's answer to the same
question of the same run; day scores of its sum. ``TOLERANCE`` of the similarity is no evidence. Fixed probes are
compared probe by probe, production inputs within cells of similar inputs (``fresh_pairs``).

Both are asked the same at the same time, so what moves both alike leaves the similarity as it is, unless their answers
also become less alike by chance, as at a higher temperature. So a fall counts only if the snapshot has not moved by
half as much itself: fixed probes show how like its approved answers it is, and of production inputs it gets some twice.
A change that other signals see, while this one is quiet, is not the alias's: the cause is the judge, the inputs or the
stack. It needs no judge.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.core.records import Advice, Arm, Cause, Comparison, FindingState, GradedAnswer
from monitor.core.run_kinds import run_kind
from monitor.detect.common import (
    alarming,
    answers,
    enough,
    exhibits,
    means,
    no_longer,
    quiet,
    quiet_but_moved,
    share_difference,
)
from monitor.detect.day_scores import NOW, DayScores, Sample, day_scores, sample_of
from monitor.detect.evidence import likely_spread
from monitor.detect.fresh_pairs import Cells, Pair, closeness, pairs, repeats
from monitor.detect.measurement import Channel, Reading, Told, Verdict
from monitor.detect.own_baseline import placed
from monitor.detect.sensitivity import curve, effect_per_score
from monitor.detect.text_similarity import FloatArray

TOLERANCE: Final = 0.03
"""Mean similarity that may be lost without evidence: one near tie in 24 that stays flipped is no other version."""
CLEAR: Final = 0.1
"""A loss of similarity, beyond the tolerance, that no odd day of a healthy endpoint gives: it is as large as if more
than a tenth of the answers had nothing in common with the snapshot's."""
FEWEST: Final = 5
"""Least answers of the snapshot, now and before, that show whether it moved."""
FAR_OFF: Final = 0.25
"""A larger loss of similarity, beyond the tolerance, is never reported as unchanged, however few answers."""
MOSTLY: Final = 0.8
"""Share of the subject's answers, on both sides, that need an answer of the snapshot: one that only gets a few probes,
to see whether it still answers, is not compared."""


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` unless the snapshot answered most questions of the run and of the baseline."""
    found = pairs(comparison, Arm.SNAPSHOT)
    if not _mostly(comparison, found):
        return None
    close = closeness([(one.mine.text, one.other.text) for one in found])
    sample = _sample(comparison, found, close)
    if sample is None:
        return None
    now, then = means(sample)
    scores, shared = day_scores(sample, tolerance=TOLERANCE), _shared(comparison, then - now)
    if shared:
        scores = DayScores(max(0.0, scores.now), scores.baseline)
    channel = Channel.of("likeness", scores, "drop", int(sample.now.sum()))
    items = sample.strata if _frozen(comparison) else int(sample.now.sum())
    low, high = share_difference(then, items, now, items, likely_spread(channel.baseline))
    moved = low > TOLERANCE or then - now - TOLERANCE >= FAR_OFF
    numbers = f"{_equal(found)}; mean similarity to its answers lower by {max(0.0, then - now):.0%} of the maximum"
    return Reading(
        channels=(channel,),
        effect=(then - now, low, high),
        unit="mean similarity to the snapshot's answers, baseline minus now",
        per_score=effect_per_score(sample, 0.0, TOLERANCE),
        curve=curve(sample, 0.0, then, TOLERANCE),
        answers_now=int(sample.now.sum()),
        answers_baseline=int((~sample.now).sum()),
        tell=lambda verdict: _tell(comparison.target, numbers, moved=moved, shared=shared, verdict=verdict),
        exhibits=exhibits(comparison, _telling(found, close)),
        structural=then - now - TOLERANCE >= CLEAR,
    )


def _mostly(comparison: Comparison, found: Sequence[Pair]) -> bool:
    """Whether enough answers of both sides have one of the snapshot."""
    for today, side in ((True, comparison.now), (False, comparison.baseline)):
        asked = sum(one.has_text for one in answers(side, Arm.SUBJECT))
        if not asked or sum((one.day == NOW) is today for one in found) < MOSTLY * asked:
            return False
    return True


def _sample(comparison: Comparison, found: Sequence[Pair], close: FloatArray) -> Sample | None:
    strata = [one.mine.probe for one in found]
    if not _frozen(comparison):
        cells = Cells.of([one.other for one in found if one.day != NOW])
        strata = [f"{place:02}" for place in cells.places([one.other for one in found]).tolist()]
    days = (one.day for one in found)
    return enough(sample_of(zip(strata, days, np.asarray(close).tolist(), strict=True)))


def _frozen(comparison: Comparison) -> bool:
    return run_kind(comparison.target, comparison.suite).frozen_items


def _shared(comparison: Comparison, lost: float) -> bool:
    """Whether the snapshot moved too: clearly, and by more than half of ``lost``, the similarity between the arms."""
    today = {one.run_id for one in comparison.now}
    if _frozen(comparison):
        sides = [tuple(one for one in comparison.snapshots if (one.run_id in today) is now) for now in (True, False)]
        alone = placed(replace(comparison, now=sides[0], baseline=sides[1]), Arm.SNAPSHOT)
        now, then = (np.array([one.alike for one in alone if one.now is side]) for side in (True, False))
    else:
        twice = repeats(comparison.snapshots, Arm.SNAPSHOT)
        alike = closeness([(later.text, first.text) for first, later in twice])
        mine = np.array([first.run_id in today for first, _ in twice], dtype=bool)
        now, then = alike[mine], alike[~mine]
    if min(now.size, then.size) < FEWEST:
        return False
    fell = float(then.mean() - now.mean())
    error = float(np.sqrt(now.var(ddof=1) / now.size + then.var(ddof=1) / then.size))
    return fell > max(lost / 2, 2 * error)


def _equal(found: Sequence[Pair]) -> str:
    """How many answers equal the snapshot's, now and before."""
    sides = [[one.mine.text == one.other.text for one in found if (one.day == NOW) is now] for now in (True, False)]
    usual = sum(sides[1]) / len(sides[1])
    return f"{sum(sides[0])} of {len(sides[0])} answers equal the snapshot's, {usual:.0%} in the baseline"


def _tell(target: str, numbers: str, *, moved: bool, shared: bool, verdict: Verdict) -> Told:
    """``moved``: whether the similarity fell by more than the tolerance, however little evidence that is. ``shared``:
    whether the snapshot moved too."""
    if shared and not verdict.alarming:
        what = f"answers of {target} and of its snapshot both moved"
        return Told(FindingState.LOOK, what, numbers, Cause.SHARED_CHANGE, Advice.CHECK_WHAT_BOTH_SHARE)
    what = f"{target} no longer answers like its snapshot"
    if verdict.evaluation_disagrees:
        return no_longer(what, numbers, verdict, cause=Cause.ALIAS_MOVED)
    if verdict.alarming:
        return alarming(what, numbers, Advice.COMPARE_RELEASES, Cause.ALIAS_MOVED)
    if verdict.moved or moved:
        return quiet_but_moved(what, numbers, Cause.ALIAS_MOVED)
    return quiet("The subject answers like its snapshot, as in the baseline", numbers)


def _telling(found: Sequence[Pair], close: FloatArray) -> dict[str, tuple[float, GradedAnswer]]:
    """Question -> how unlike the snapshot's answer today's least alike one is, and that answer."""
    telling: dict[str, tuple[float, GradedAnswer]] = {}
    for one, alike in zip(found, close.tolist(), strict=True):
        if one.day == NOW and 1.0 - alike > telling.get(one.mine.probe, (0.0, one.mine))[0]:
            telling[one.mine.probe] = (1.0 - alike, one.mine)
    return telling
