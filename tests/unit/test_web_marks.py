"""Which words of two answers are marked, and that looking for them ends soon whatever the answers are."""

import sys
from typing import Any

import pytest

from monitor.report.web import word_diff
from monitor.report.web.word_diff import marked


def joined(pieces: list[word_diff.Piece]) -> str:
    return "".join(text for text, _ in pieces)


def only_here(pieces: list[word_diff.Piece]) -> list[str]:
    return [text for text, only in pieces if only]


def test_words_that_only_one_side_has_are_marked() -> None:
    before, after = marked("the quick brown fox jumps", "the quick red fox jumps")
    assert before == [("the quick ", False), ("brown", True), (" fox jumps", False)]
    assert after == [("the quick ", False), ("red", True), (" fox jumps", False)]


def test_the_space_between_words_is_marked_where_it_is_another() -> None:
    before, after = marked("a b  c d e f", "a b c\nd e x y f")
    assert before == [("a b", False), ("  ", True), ("c", False), (" ", True), ("d e f", False)]
    assert after == [
        ("a b", False), (" ", True), ("c", False), ("\n", True), ("d e ", False), ("x y", True), (" f", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("same", "same"), ("nothing in common", "other words entirely!"), ("a " * 5000, "b " * 5000), ("", "new"),
        ("", " "), ("\n", " "),
    ],
)  # fmt: skip
def test_no_marks_where_they_would_tell_nothing(before: str, after: str) -> None:
    assert marked(before, after) == ([(before, False)], [(after, False)])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a  b\n\nc, d e f g", "a  b\n\nc; d e f g\t!"),
        ("  a b c d", "a b c d  "),
        ("one two three four", "two three four one"),
        ("a a a b a a", "a b a a a a"),
    ],
)
def test_pieces_are_the_whole_text(before: str, after: str) -> None:
    left, right = marked(before, after)
    assert (joined(left), joined(right)) == (before, after)
    assert only_here([*left, *right])


LOOPS = [
    ("- item\n" * 350, "- item\n- thing\n" * 170),
    ("a b " * 700, "b a c " * 500),
    ("0, " * 450, "0, 1, " * 300),
    ("!" * 20_000, "!a" * 10_000),
    (" ".join(map(str, range(3_000))), " ".join(str(n ^ 1) for n in range(3_000))),
]


@pytest.mark.parametrize(("before", "after"), LOOPS)
def test_a_model_that_repeats_itself_is_looked_through_only_so_far(before: str, after: str) -> None:
    calls = 0

    def count(frame: object, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "c_call"

    sys.setprofile(count)
    try:
        shown = marked(before, after)
    finally:
        sys.setprofile(None)
    assert shown == ([(before, False)], [(after, False)])
    # difflib looks into a table at each step; the rest is done once for each word.
    assert calls < 1.2 * word_diff.WORK + 10 * (len(before) + len(after))


def test_one_difference_in_a_long_loop_is_marked() -> None:
    loop = "- item\n" * 350
    before, after = marked(loop, f"{loop[:700]}- thing\n{loop[707:]}")
    assert (only_here(before), only_here(after)) == (["item"], ["thing"])
    before, after = marked(loop, loop[:-70])
    assert (only_here(before), only_here(after)) == ([loop[:69]], [])


def test_long_prose_with_changes_all_over_is_marked() -> None:
    words = [f"word{n * n % 997}" for n in range(600)]
    other = [f"{word}x" if n % 10 == 0 else word for n, word in enumerate(words)]
    before, _ = marked(" ".join(words), " ".join(other))
    assert only_here(before) == words[::10]
