"""Texts that look the same are told apart by what a person cannot see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.lookalikes import difference, holds_alike

ALIKE = [
    ("café", "cafe\u0301", "Unicode normal form (NFC and NFD)"),
    ("10 km", "10\u00a0km", "1 SPACE (U+0020) in one, 1 NO-BREAK SPACE (U+00A0) in the other"),
    ("yes", "y\u200bes", "nothing in one, 1 ZERO WIDTH SPACE (U+200B) in the other"),
    ("\ufeffyes", "yes", "1 ZERO WIDTH NO-BREAK SPACE (U+FEFF) in one, nothing in the other"),
    ("Paris", "P\u0430ris", "1 LATIN SMALL LETTER A (U+0061) in one, 1 CYRILLIC SMALL LETTER A (U+0430) in the other"),
    ("it's", "it\u2019s", "1 RIGHT SINGLE QUOTATION MARK (U+2019) in the other"),
    ("a - b", "a \u2013 b", "1 HYPHEN-MINUS (U+002D) in one, 1 EN DASH (U+2013) in the other"),
    ("a\nb", "a\r\nb", "nothing in one, 1 CARRIAGE RETURN (U+000D) in the other"),
    ("a b", "a  b ", "2 SPACE (U+0020) in the other"),
    ("a\tb", "a b", "1 TAB (U+0009) in one, 1 SPACE (U+0020) in the other"),
    ("fine", "\ufb01ne", "1 LATIN SMALL LIGATURE FI (U+FB01) in the other"),
    ("Ａ", "A", "1 FULLWIDTH LATIN CAPITAL LETTER A (U+FF21) in one"),
    ("one\n two", "one \ntwo", "the same characters are in another order"),
    ("soft\u00adware", "software", "1 SOFT HYPHEN (U+00AD) in one"),
    ("abcdef", "аbсdеf\u200b\u200c\u200d", "1 CYRILLIC SMALL LETTER A (U+0430)"),
]


@pytest.mark.parametrize(("before", "after", "named"), ALIKE)
def test_what_looks_alike_is_told_apart(before: str, after: str, named: str) -> None:
    told = difference(before, after)
    assert told.startswith("They look alike, but ")
    assert named in told
    assert difference(after, before).startswith("They look alike, but ")


SEEN = [("yes", "no"), ("Yes", "yes"), ("", "x"), ("a b", "ab"), ("same", "same")]


@pytest.mark.parametrize(("before", "after"), SEEN)
def test_what_a_person_sees_needs_no_sentence(before: str, after: str) -> None:
    assert difference(before, after) == ""


def test_many_characters_are_counted() -> None:
    told = difference("a b c d e f", "a\u00a0b\u2009c\u202fd\u3000e\u2003f")
    assert told.endswith("1 more in the other.")


def test_a_look_alike_inside_a_text_is_found() -> None:
    assert holds_alike("It costs 10\u00a0km", "10 km")
    assert not holds_alike("It costs 10 km", "10 km"), "equal"
    assert not holds_alike("anything", "\u200b"), "nothing to see"


@given(st.text(), st.text())
def test_any_two_texts_can_be_told_apart(before: str, after: str) -> None:
    assert difference(before, before) == ""
    assert difference(before, after).count("\n") == 0
