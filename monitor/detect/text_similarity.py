"""Similarity of answers, in any script and without a tokenizer: F1 over character trigrams, and equal characters."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LONGEST: Final = 4_000
"""Characters of an answer that are compared. The rest adds little and costs as much."""
BY_PLACE: Final = 400
"""Characters of an answer that are compared place by place."""

_EDGE: Final = 0x1FFFFF
"""Code before and after a text, so that the shortest text has trigrams too; no character has it."""
_BLOCK: Final = 8_192
"""Columns that are multiplied at once: bounds the memory to answers x 32 KiB."""


def similarity_matrix(texts: Sequence[str]) -> FloatArray:
    """Trigram F1 of every pair: shape (n, n), symmetric, 0 to 1, 1 on the diagonal and for equal texts.

    F1 is twice the trigrams in common (counted with multiplicity) over the trigrams of both. Two empty answers
    are equal (1.0); an empty one and any other share only the edges. Only ``LONGEST`` characters count.
    Cost: one matrix product; 16 answers of 4,000 characters take a few milliseconds.
    """
    if not texts:
        return np.zeros((0, 0))
    trigrams = [_trigrams(text) for text in texts]
    counts = np.array([one.size for one in trigrams])
    rows, columns = _items(np.concatenate(trigrams), np.repeat(np.arange(len(texts)), counts))
    width = min(_BLOCK, int(columns[-1]) + 1)
    shared = np.zeros((len(texts), len(texts)))
    for start in range(0, int(columns[-1]) + 1, width):
        first, last = np.searchsorted(columns, (start, start + width))
        block = np.zeros((len(texts), width), dtype=np.float32)
        block[rows[first:last], columns[first:last] - start] = 1.0
        shared += block @ block.T  # whole numbers under 2**24: exact in float32
    return np.asarray(2.0 * shared / (counts[:, None] + counts[None, :]))


def hamming_matrix(texts: Sequence[str]) -> FloatArray:
    """Share of equal characters at equal places, of the longer text, for every pair: shape (n, n), 0 to 1, 1 for equal
    texts. Only the first ``BY_PLACE`` characters count: after an insertion, places no longer match.

    A kernel: it is the count of equal characters times min(1/length, 1/other length), each positive semidefinite.
    """
    if not texts:
        return np.zeros((0, 0))
    codes = [np.frombuffer(one[:BY_PLACE].encode("utf-32-le", "surrogatepass"), dtype=np.uint32) for one in texts]
    lengths = np.array([one.size for one in codes])
    rows = np.full((len(texts), max(1, int(lengths.max()))), _EDGE, dtype=np.uint32)
    for row, one in zip(rows, codes, strict=True):
        row[: one.size] = one
    longer = np.maximum(lengths[:, None], lengths[None, :])
    both_over = rows.shape[1] - longer
    equal = np.array([(rows == row).sum(1) for row in rows]) - both_over
    return np.asarray(np.where(longer > 0, equal / np.maximum(1, longer), 1.0))


def _trigrams(text: str) -> IntArray:
    """Each trigram as one number: three code points of 21 bits, so that no two ever collide."""
    codes = np.frombuffer(text[:LONGEST].encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
    padded = np.concatenate(([_EDGE, _EDGE], codes, [_EDGE, _EDGE]))
    return np.asarray(padded[:-2] | (padded[1:-1] << 21) | (padded[2:] << 42))


def _items(names: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Row and column of every trigram of every text, by column: the k-th time that a trigram occurs in a text it is the
    item (trigram, k), so that multisets become sets."""
    _, names = np.unique(names, return_inverse=True)
    ordered = np.sort(names * (int(rows[-1]) + 1) + rows)
    names, rows = np.divmod(ordered, int(rows[-1]) + 1)
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    times = np.arange(ordered.size) - np.repeat(starts, np.diff(np.concatenate((starts, [ordered.size]))))
    _, columns = np.unique(names * (int(times.max()) + 1) + times, return_inverse=True)
    order = np.argsort(columns, kind="stable")
    return rows[order], columns[order]
