"""Which words of two answers are marked, and that looking for them ends soon whatever the answers are."""

import math
import re
import subprocess
import sys
import time

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
    ("- item\n" * 350, "- item\n- thing\n" * 170, {"item", "thing"}),
    ("a b " * 500, "a b c " * 500, {"c"}),
    ("0, " * 450, "0, 1, " * 300, {"0", "1"}),
    (" ".join(map(str, range(3_000))), " ".join(str(n ^ 1) for n in range(3_000)), None),
]


@pytest.mark.parametrize(("before", "after", "words"), LOOPS)
def test_a_model_that_repeats_itself_is_marked(before: str, after: str, words: set[str] | None) -> None:
    left, right = marked(before, after)
    assert (joined(left), joined(right)) == (before, after)
    found = {word for text in only_here([*left, *right]) for word in re.findall(r"\w+", text)}
    assert found
    assert words is None or found <= words


def test_answers_of_5000_words_are_marked() -> None:
    words = [f"word{n * n % 997}" for n in range(5_000)]
    other = [f"{word}x" if n % 10 == 0 else word for n, word in enumerate(words)]
    before, after = marked(" ".join(words), " ".join(other))
    assert only_here(before) == words[::10]
    assert only_here(after) == other[::10]


def test_a_sentence_repeated_to_the_limit_is_marked_where_it_begins_and_ends() -> None:
    loop = "Thank you for your patience. " * 900
    before, after = marked(f"Refunds take five days. {loop}", f"{loop}I am sorry.")
    assert "Refunds take five days" in only_here(before)[0]
    assert "I am sorry" in only_here(after)[-1]
    assert len([*only_here(before), *only_here(after)]) < 10


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("!" * 20_000, "!a" * 10_000),
        (",;" * 10_000, ";:" * 10_000),
        ("a b " * 300_000, "b a c " * 200_000),
        (" ".join(map(str, range(100_000))), " ".join(map(str, range(50_000, 150_000)))),
    ],
)
def test_above_the_limit_no_work_is_done(before: str, after: str) -> None:
    began = time.process_time()
    assert marked(before, after) == ([(before, False)], [(after, False)])
    assert time.process_time() - began < 20, "600,000 words are only counted; a comparison would take minutes"


def test_at_the_limit_memory_grows_with_the_words_not_with_their_product() -> None:
    """A table of the product, even of bits, would be 12 MB for each of the two directions."""
    words = math.isqrt(word_diff.MAX_PAIRS)
    code = (
        "import resource\n"
        "from monitor.report.web.word_diff import marked\n"
        "marked('a b', 'a c')\n"
        f"texts = ['; '.join(str(n * n % 97 + step * (n % 7 == 0)) for n in range({words} // 2)) for step in (0, 50)]\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "shown, _ = marked(*texts)\n"
        "assert len(shown) > 1\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 12 * 1024


def test_a_rewritten_passage_is_one_mark_in_spite_of_a_word_in_common() -> None:
    text = "We ship it on Monday. {} Then it is yours, and you may write to us at any time."
    before, after = marked(
        text.format("The government of Germany agreed."), text.format("The parliament of Portugal agreed.")
    )
    assert only_here(before) == ["government of Germany"]
    assert only_here(after) == ["parliament of Portugal"]


def test_a_long_word_in_common_is_not_marked() -> None:
    text = "We ship it on Monday. {} Then it is yours, and you may write to us at any time."
    before, after = marked(text.format("Big international deal."), text.format("Tiny international mess."))
    assert only_here(before) == ["Big", "deal"]
    assert only_here(after) == ["Tiny", "mess"]


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
