from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.similarity import LONGEST, similarity_matrix


def by_definition(one: str, other: str) -> float:
    """Trigram F1 in its plainest form."""
    counted = [Counter(zip(*(f"\0\0{text}\0\0"[start:] for start in range(3)), strict=False)) for text in (one, other)]
    shared = sum((counted[0] & counted[1]).values())
    return 2 * shared / (counted[0].total() + counted[1].total())


def test_counted_by_hand() -> None:
    """'ab' has ##a #ab ab# b##, 'abc' has ##a #ab abc bc# c##: two in common of nine."""
    assert similarity_matrix(["ab", "abc"])[0, 1] == pytest.approx(2 * 2 / 9)


def test_repetition_counts() -> None:
    assert similarity_matrix(["aaaa", "a" * 40])[0, 1] < 0.3


@given(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=30), min_size=1, max_size=5))
def test_equals_its_definition_for_any_text(texts: list[str]) -> None:
    alike = similarity_matrix(texts)
    expected = np.array([[by_definition(one, other) for other in texts] for one in texts])
    np.testing.assert_allclose(alike, expected)


def test_empty_and_lone_surrogates_and_huge() -> None:
    assert similarity_matrix([]).shape == (0, 0)
    alike = similarity_matrix(["", "", "\ud800", "日本語のテキスト", "x" * 100_000, "x" * LONGEST])
    assert np.isfinite(alike).all()
    np.testing.assert_allclose(np.diag(alike), 1)
    assert alike[0, 1] == 1
    assert alike[4, 5] == 1
