"""Two texts side by side, with the words marked that only one of them has, in bounded work."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import Match, SequenceMatcher
from itertools import accumulate, groupby, pairwise
from operator import itemgetter
from typing import Final

WORK: Final = 200_000
"""Steps after which two texts are shown without marks: some 30 ms. Two answers of 200 words take 7,000, of a thousand
150,000. A word that stands a hundred times in both takes 10,000 for each piece that the texts have in common, so a
model that repeats itself, as a broken fine-tune does, would take seconds otherwise."""

ALIKE: Final = 0.5
"""Share of two answers that must be the same for the rest to be marked: all marked is nothing marked."""

Piece = tuple[str, bool]
"""Text, and whether it is only on this side."""


class TooMuch(Exception):
    """The texts have more in common, in more ways, than it is worth to look through."""


class Matcher(SequenceMatcher[str]):
    """What two lists of words have in common, within ``WORK`` steps; TooMuch where those do not suffice."""

    def __init__(self, left: Sequence[str], right: Sequence[str]) -> None:
        super().__init__(None, left, right, autojunk=False)
        there = Counter(right)
        # A step for each word on the left, and for each place on the right where the same stands.
        self._steps = [0, *accumulate(1 + there[word] for word in left)]
        self._work = 0

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        self._work += self._steps[-1 if ahi is None else ahi] - self._steps[alo]
        if self._work > WORK:
            raise TooMuch
        return super().find_longest_match(alo, ahi, blo, bhi)


def marked(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, with what only one of them has marked, word by word, where they are mostly the same."""
    left, right = _split(before), _split(after)
    try:
        there = {} if before == after else _common(left[1::2], right[1::2])
    except TooMuch:
        there = {}
    same = sum(len(left[2 * word + 1]) for word in there)
    if not same or 2 * same < ALIKE * sum(map(len, (*left[1::2], *right[1::2]))):
        return [(before, False)], [(after, False)]
    return _pieces(left, right, there), _pieces(right, left, {j: i for i, j in there.items()})


def _split(text: str) -> list[str]:
    """Words and signs, with the space before, between and after them, which may be none: an odd number of parts."""
    return re.split(r"(\w+|[^\w\s])", text)


def _common(left: Sequence[str], right: Sequence[str]) -> dict[int, int]:
    """Place of a word on the left -> its place on the right. Raises TooMuch.

    What both begin and end with is no work, so that one word in a long loop is marked all the same.
    """
    head = _alike(left, right)
    tail = _alike(left[head:][::-1], right[head:][::-1])
    found = {place: place for place in range(head)}
    for block in Matcher(left[head : len(left) - tail], right[head : len(right) - tail]).get_matching_blocks():
        found |= {head + block.a + step: head + block.b + step for step in range(block.size)}
    return found | {len(left) - step: len(right) - step for step in range(tail, 0, -1)}


def _alike(left: Sequence[str], right: Sequence[str]) -> int:
    """How many words both begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(left), len(right)))


def _pieces(mine: Sequence[str], theirs: Sequence[str], there: Mapping[int, int]) -> list[Piece]:
    """``mine`` put together again. ``there``: places of words that are on the other side, too -> where."""
    words = len(mine) // 2
    places = [-1, *map(there.get, range(words)), len(theirs) // 2]
    found: list[Piece] = []
    for word, (before, after) in enumerate(pairwise(places)):
        if before is None or after is None:
            other = before is after
        else:
            other = after == before + 1 and mine[2 * word] != theirs[2 * after]
        found.append((mine[2 * word], other))
        if word < words:
            found.append((mine[2 * word + 1], after is None))
    runs = groupby((piece for piece in found if piece[0]), itemgetter(1))
    return [("".join(text for text, _ in run), other) for other, run in runs]
