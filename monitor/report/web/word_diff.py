"""Marks the words that only one of two texts has, in bounded time."""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby, pairwise
from operator import itemgetter
from typing import Final, NamedTuple

ALIKE: Final = 0.5
"""Minimum share of two answers that must be equal for the rest to be marked: if most is marked, marks do not help."""

MAX_PAIRS: Final = 100_000_000
"""Words of one text times words of the other above which both are shown without marks: 10,000 words each.

Time grows with this product: 20 to 50 ms at the limit. Memory grows with the sum. Words that both texts begin or end
with do not count.
"""

Piece = tuple[str, bool]
"""Text, and whether it is only on this side."""


class Block(NamedTuple):
    """``size`` words that both texts share, starting at word ``mine`` of one and word ``theirs`` of the other."""

    mine: int
    theirs: int
    size: int


def marked(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces. If they are mostly equal, the words that only one of them has are marked."""
    left, right = _split(before), _split(after)
    blocks = [] if before == after else _common(left[1::2], right[1::2])
    same = sum(len(word) for one in blocks for word in left[2 * one.mine + 1 : 2 * (one.mine + one.size) : 2])
    if not same or 2 * same < ALIKE * sum(map(len, (*left[1::2], *right[1::2]))):
        return [(before, False)], [(after, False)]
    flipped = [Block(one.theirs, one.mine, one.size) for one in blocks]
    return _merged(_pieces(left, right, blocks)), _merged(_pieces(right, left, flipped))


def _split(text: str) -> list[str]:
    """Words and signs, with the possibly empty space before, between and after them: an odd number of parts."""
    return re.split(r"(\w+|[^\w\s])", text)


def _common(left: Sequence[str], right: Sequence[str]) -> list[Block]:
    """The blocks that stay when the fewest words are inserted, deleted or replaced. Empty above ``MAX_PAIRS``."""
    # Imported here: the daemon needs it only when a page shows answers.
    from rapidfuzz.distance import Levenshtein, Postfix, Prefix

    # The library compares hashes. A number for each word keeps two words with equal hashes apart.
    numbers: dict[str, int] = {}
    mine, theirs = ([numbers.setdefault(word, len(numbers)) for word in words] for words in (left, right))
    alike = Prefix.similarity(mine, theirs) + Postfix.similarity(mine, theirs)
    if (len(mine) - alike) * (len(theirs) - alike) > MAX_PAIRS:
        return []
    blocks = [Block(*one) for one in Levenshtein.opcodes(mine, theirs).as_matching_blocks()]
    return _without_islands(left, right, blocks)


def _without_islands(left: Sequence[str], right: Sequence[str], blocks: Sequence[Block]) -> list[Block]:
    """``blocks`` without single words that are shorter than the changes on both sides of them.

    Rewritten passages share an "of" or a comma by chance. Such a passage is easier to read as one mark.
    """
    on_left, on_right = ([0, *accumulate(map(len, words))] for words in (left, right))

    def changed(one: Block, other: Block) -> int:
        """Characters between two blocks, in the text that has more of them."""
        return max(
            on_left[other.mine] - on_left[one.mine + one.size], on_right[other.theirs] - on_right[one.theirs + one.size]
        )

    kept = [Block(0, 0, 0)]
    for block in (*blocks, Block(len(left), len(right), 0)):
        while kept[-1].size == 1 and len(left[kept[-1].mine]) < min(changed(*kept[-2:]), changed(kept[-1], block)):
            kept.pop()
        kept.append(block)
    return [one for one in kept if one.size]


def _pieces(mine: Sequence[str], theirs: Sequence[str], blocks: Sequence[Block]) -> Iterator[Piece]:
    """``mine`` in pieces. Of the space around a mark, only what lies inside it is marked."""
    begin, end = Block(-1, -1, 1), Block(len(mine) // 2, len(theirs) // 2, 0)
    for last, block in pairwise((begin, *blocks, end)):
        word, other = last.mine + last.size, last.theirs + last.size
        if word < block.mine:
            yield mine[2 * word], False
            yield "".join(mine[2 * word + 1 : 2 * block.mine]), True
            yield mine[2 * block.mine], False
        else:  # space that both texts have at this place, unless the other has words here
            yield mine[2 * word], other == block.theirs and mine[2 * word] != theirs[2 * other]
        yield from _inside(
            mine[2 * block.mine + 1 : 2 * (block.mine + block.size)],
            theirs[2 * block.theirs + 1 : 2 * (block.theirs + block.size)],
        )


def _inside(mine: Sequence[str], theirs: Sequence[str]) -> Iterator[Piece]:
    """A block's words and the space between them; space that differs is marked."""
    if mine == theirs:
        yield "".join(mine), False
    else:
        yield from ((part, part != other) for part, other in zip(mine, theirs, strict=True))


def _merged(pieces: Iterator[Piece]) -> list[Piece]:
    runs = groupby((piece for piece in pieces if piece[0]), itemgetter(1))
    return [("".join(text for text, _ in run), only_here) for only_here, run in runs]
