"""Fresh samples, whose inputs never repeat: each answer of the subject next to another arm's answer to the same input.

Both arms get an input in the same run, so what the two answers have in common, and where they differ, depends little on
what users ask that week. What is left depends on the kind of input, and is matched: answers are exchangeable only
within a *cell* of similar inputs. A cell is a range of the other arm's length of answer and of the prompt's tokens; its
borders are fitted on the baseline. The subject's own answer defines no cell, because a fault changes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p
from typing import Final

import numpy as np

from monitor.core.records import Arm, Comparison, GradedAnswer
from monitor.detect.common import answers, day_index
from monitor.detect.day_scores import NOW
from monitor.detect.text_similarity import FloatArray, IntArray, similarity_matrix

MOST_CELLS: Final = 4
"""Ranges of the length of answer; each is halved by the prompt's tokens."""
LEAST_CELL: Final = 25
"""Least answers of the baseline in a half cell, on average."""

Key = tuple[int, str]


@dataclass(frozen=True)
class Pair:
    """One answer of the subject and another arm's answer to the same input of the same run."""

    mine: GradedAnswer
    other: GradedAnswer
    day: int
    """``NOW``, or the place of the baseline's day."""


def pairs(comparison: Comparison, arm: Arm) -> list[Pair]:
    """The pairs of today and of the baseline whose answers both have a text, in a fixed order. The other arm's first
    answer to an input counts."""
    days = day_index(comparison.baseline)
    found: list[Pair] = []
    for now, side in ((True, comparison.now), (False, comparison.baseline)):
        others = firsts(comparison.snapshots if arm is Arm.SNAPSHOT else side, arm)
        found += [
            Pair(one, other, NOW if now else days[one.slot])
            for one in answers(side, Arm.SUBJECT)
            if one.has_text and (other := others.get((one.run_id, one.probe))) is not None and other.has_text
        ]
    return found


def firsts(side: Sequence[GradedAnswer], arm: Arm) -> dict[Key, GradedAnswer]:
    """(run, input) -> the arm's first answer."""
    found: dict[Key, GradedAnswer] = {}
    for one in answers(side, arm):
        found.setdefault((one.run_id, one.probe), one)
    return found


def repeats(side: Sequence[GradedAnswer], arm: Arm) -> list[tuple[GradedAnswer, GradedAnswer]]:
    """Pairs of two answers that the arm itself gave to one input of one run: its first, and each later one."""
    first = firsts(side, arm)
    both = [(first[one.run_id, one.probe], one) for one in answers(side, arm)]
    return [(one, later) for one, later in both if one is not later and one.has_text and later.has_text]


@dataclass(frozen=True)
class Cells:
    """Borders of the cells, fitted on the baseline."""

    lengths: FloatArray
    tokens: FloatArray
    """Median of the prompt's tokens, for each range of lengths."""

    @classmethod
    def of(cls, found: Sequence[GradedAnswer]) -> "Cells":
        """``found``: the other arm's answers in the baseline."""
        sizes, tokens = _sizes(found), np.array([one.prompt_tokens for one in found], dtype=np.float64)
        ranges = int(np.clip(len(found) // (2 * LEAST_CELL), 1, MOST_CELLS))
        borders = np.unique(np.quantile(sizes, np.arange(1, ranges) / ranges))
        places = np.searchsorted(borders, sizes, side="right")
        halves = [np.median(tokens[places == one]) if (places == one).any() else 0.0 for one in range(borders.size + 1)]
        return cls(borders, np.array(halves))

    @property
    def count(self) -> int:
        return 2 * self.tokens.size

    def places(self, found: Sequence[GradedAnswer]) -> IntArray:
        """The cell of each pair, by the other arm's answer."""
        places = np.searchsorted(self.lengths, _sizes(found), side="right")
        tokens = np.array([one.prompt_tokens for one in found], dtype=np.float64)
        return np.asarray(2 * places + (tokens > self.tokens[places]), dtype=np.int64)


def _sizes(found: Sequence[GradedAnswer]) -> FloatArray:
    return np.array([log1p(len(one.text)) for one in found], dtype=np.float64)


def closeness(found: Sequence[tuple[str, str]]) -> FloatArray:
    """Similarity of the two texts of each pair, 0 to 1; equal pairs are compared once."""
    known = {pair: alike(*pair) for pair in set(found)}
    return np.array([known[pair] for pair in found], dtype=np.float64)


def alike(one: str, other: str) -> float:
    """Trigram F1 of two texts."""
    return 1.0 if one == other else float(similarity_matrix([one, other])[0, 1])
