"""Which answer of a run is least like its baseline's, and that looking for it costs no more than it must."""

from collections import Counter

import pytest

from monitor.report.web.answers import COMPARED, NEAREST, least_like


def apart(one: str, other: str) -> float:
    """The share of words not in common, as it is defined."""
    mine, theirs = Counter(one.split()), Counter(other.split())
    return 1 - (mine & theirs).total() / (mine | theirs).total()


def test_the_answer_furthest_from_the_nearest_of_the_baseline() -> None:
    baseline = ["refunds take 5 days", "a refund takes 5 days days", "5 working days"]
    answers = ["refunds take 6 days", "sure happy to help days days", "5 days", "refunds take 5 days"]
    expected = {one: min(apart(one, other) for other in baseline) for one in answers}
    text, weight = least_like(answers, baseline)
    assert text == "sure happy to help days days" == max(answers, key=expected.__getitem__)
    assert weight == pytest.approx(expected[text])


@pytest.mark.parametrize(
    ("answers", "baseline", "found"),
    [
        (["a b", "c d"], ["c d", "a b"], ("a b", 0.0)),
        (["a b"], [], ("a b", 1.0)),
        (["a b", ""], ["a b"], ("", 1.0)),
        ([" ", ""], [""], (" ", 0.0)),
        (["b a"], ["a b"], ("b a", 0.0)),
        (["x", "y"], ["a"], ("x", 1.0)),
    ],
)
def test_the_same_is_nothing_and_without_a_baseline_it_is_all(
    answers: list[str], baseline: list[str], found: tuple[str, float]
) -> None:
    assert least_like(answers, baseline) == found


class Counted(str):
    """A text that knows how often it was read into words."""

    read: int = 0

    def __getitem__(self, place: object) -> str:
        self.read += 1
        return str(self)[place]  # type: ignore[index]


def test_texts_are_read_once_and_of_a_large_baseline_some_of_every_day() -> None:
    baseline = [Counted(f"day {n // 10} answer {n}") for n in range(140)]
    answers = [Counted(f"now answer {n}") for n in range(10)]
    least_like(answers, baseline)
    read = [n for n, text in enumerate(baseline) if text.read]
    assert {text.read for text in (*answers, *baseline)} == {0, 1}
    assert len(read) == NEAREST
    assert {n // 10 for n in read} == set(range(14))


def test_whatever_the_baseline_s_size_what_it_has_word_for_word_is_nothing_new() -> None:
    baseline = [f"answer {n}" for n in range(140)]
    assert least_like(["answer 139"], baseline) == ("answer 139", 0.0)


def test_an_endless_answer_is_compared_as_far_as_it_is_read() -> None:
    start = "word " * (COMPARED // 5)
    assert least_like([start + "other " * 1_000_000], [start]) == (start + "other " * 1_000_000, 0.0)
