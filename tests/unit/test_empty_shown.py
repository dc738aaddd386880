"""Empty answers are shown as ``(empty)`` wherever an answer is shown, and never as an answer that was not asked for."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from monitor.cli import output
from monitor.core.records import Exhibit
from monitor.report.web.evidence import most_telling, side_by_side
from tests.unit.test_detect_empty import BASELINE, day, emptied, read


def exhibit(baseline: str | None, now: str, base: str | None, weight: float = 1.0) -> Exhibit:
    return Exhibit("q", "Question?", baseline, now, base, weight)


@pytest.mark.parametrize("empty", ["", " \n", "\u200b"])
def test_a_page_marks_an_empty_answer_and_calls_it_no_match(empty: str) -> None:
    (pair,) = side_by_side([exhibit("You have 21 days.", empty, empty)])
    assert pair.now[0][0].startswith("(empty)")
    assert (pair.verdict, pair.well, pair.marked) == ("empty", False, False)
    (both,) = side_by_side([exhibit(empty, empty, None)])
    assert both.baseline[0][0].startswith("(empty)")
    assert both.verdict == "empty"


def test_an_answer_that_was_not_asked_for_is_not_called_empty() -> None:
    (pair,) = side_by_side([exhibit(None, "You have 21 days.", None)])
    assert pair.baseline == [("—", False)]
    assert pair.now == [("You have 21 days.", False)]


def test_the_most_telling_exhibit_is_not_one_of_two_empty_answers() -> None:
    found = read(emptied(day(20), 24))["contract"]
    empties, equal = exhibit("a", "", ""), exhibit("a", "b", "b", 0.99)
    assert most_telling(replace(found, exhibits=(empties, equal))) == equal


def test_a_terminal_shows_empty_answers_of_every_arm() -> None:
    found = read(emptied(day(20), 24), BASELINE)["contract"]
    out = Console(file=StringIO(), width=100_000)
    output.finding_view(out, found)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("now       (empty)") == text.count("base      (empty)") == output.EXHIBITS_SHOWN
