"""An arm's answers compared with its own approved ones: how alike they are, and whether they are the same.

A baseline answer is compared without its own block: the answers of its day to its probe, or only itself if there is one
day. Each of today's answers takes the place of one baseline answer and is compared with the same others, so both have
the same distribution if nothing changed. Which one it replaces rotates from probe to probe.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.records import Arm, Comparison, GradedAnswer
from monitor.core.run_kinds import run_kind
from monitor.detect.common import FEWEST_NOW, by_probe
from monitor.detect.text_similarity import FloatArray, IntArray, similarity_matrix

SETTLED: Final = 0.5
"""How often two approved answers to a probe are equal, on average, for equal texts to show an unchanged endpoint. Below
it, as at temperature 0.7, answers differ although nothing changed."""
SLACK: Final = 0.02
"""How much less often than in the baseline today's answers may equal approved ones and still count as the same."""


@dataclass(frozen=True)
class Placed:
    """One answer with the approved answers that it is compared with."""

    answer: GradedAnswer
    now: bool
    alike: float
    """Mean similarity to them, 0 to 1."""
    equal: float
    """Share of them with the same text."""


def placed(comparison: Comparison, arm: Arm) -> list[Placed]:
    """The answers of ``arm`` with text, to probes with answers now and at least two approved ones; in a fixed order."""
    now, then = by_probe(_told(comparison.now), arm), by_probe(_told(comparison.baseline), arm)
    found: list[Placed] = []
    for turn, probe in enumerate(one for one in now if len(then.get(one, [])) >= 2):
        mine, before = now[probe], then[probe]
        blocks = blocks_of(before)
        rows = np.concatenate([(turn + np.arange(len(mine))) % len(before), np.arange(len(before))])
        others = averaging(blocks[rows][:, None] != blocks[None, :])
        alike = similarities([*mine, *before])[:, len(mine) :]
        texts = np.array([one.text for one in before], dtype=object)
        for index, one in enumerate([*mine, *before]):
            equal = float(others[index] @ (texts == one.text))
            found.append(Placed(one, index < len(mine), float(others[index] @ alike[index]), equal))
    return found


def unchanged(comparison: Comparison) -> bool:
    """Whether the subject answers letter for letter as approved.

    Only where that means something: the same prompts, to which the baseline's answers are mostly equal to each other.
    An answer that is rare among the approved ones counts as little as it occurs there.
    """
    if not run_kind(comparison.target, comparison.suite).frozen_items:
        return False
    counts = {probe: Counter(one.text for one in found) for probe, found in _subject(comparison.baseline).items()}
    today = [one for found in _subject(comparison.now).values() for one in found if one.probe in counts]
    if len(today) < FEWEST_NOW or len(today) < sum(one.arm is Arm.SUBJECT for one in comparison.now):
        return False
    then = [_repeats(counts[one.probe]) for one in today]
    now = [counts[one.probe][one.text] / counts[one.probe].total() for one in today]
    usual = float(np.mean(then))
    return usual >= SETTLED and float(np.mean(now)) >= usual - SLACK


def blocks_of(found: Sequence[GradedAnswer]) -> IntArray:
    """The block without which an answer is compared: its day, or itself if all are of one day."""
    slots = sorted({one.slot for one in found})
    return np.array([slots.index(one.slot) if len(slots) > 1 else index for index, one in enumerate(found)])


def averaging(kept: NDArray[np.bool_]) -> FloatArray:
    """Rows of weights that average the kept columns."""
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def similarities(found: Sequence[GradedAnswer]) -> FloatArray:
    """Similarity of every pair; equal texts are compared once."""
    first = {text: index for index, text in enumerate(dict.fromkeys(one.text for one in found))}
    places = [first[one.text] for one in found]
    return similarity_matrix(list(first))[np.ix_(places, places)]


def _told(found: Sequence[GradedAnswer]) -> list[GradedAnswer]:
    return [one for one in found if not one.empty]


def _subject(found: Sequence[GradedAnswer]) -> dict[str, list[GradedAnswer]]:
    return by_probe(_told(found), Arm.SUBJECT)


def _repeats(counts: Counter[str]) -> float:
    """The chance that two of a probe's approved answers, drawn with replacement, have the same text."""
    total = counts.total()
    return sum((count / total) ** 2 for count in counts.values())
