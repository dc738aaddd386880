from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.text_similarity import BY_PLACE, LONGEST, hamming_matrix, similarity_matrix


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


def test_equal_characters_at_equal_places_of_the_longer_text() -> None:
    alike = hamming_matrix(["abcd", "abxd", "ab", "", ""])
    expected = [[1, 3 / 4, 1 / 2, 0, 0], [3 / 4, 1, 1 / 2, 0, 0], [1 / 2, 1 / 2, 1, 0, 0]]
    np.testing.assert_allclose(alike[:3], expected)
    np.testing.assert_allclose(alike[3:], [[0, 0, 0, 1, 1]] * 2)
    assert hamming_matrix([]).shape == (0, 0)
    assert hamming_matrix(["\ud800", "x" * 50_000, "x" * BY_PLACE])[1, 2] == 1


@given(st.lists(st.text(max_size=12), min_size=2, max_size=8))
def test_both_are_kernels(texts: list[str]) -> None:
    """No negative eigenvalue: what the maximum mean discrepancy needs."""
    for gram in (similarity_matrix(texts), hamming_matrix(texts)):
        assert np.linalg.eigvalsh(gram).min() > -1e-9
