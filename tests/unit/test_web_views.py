"""The words and pictures of the pages, apart from HTML."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, nan
from typing import Any

import pytest

from monitor import words
from monitor.records import Alarm, AlarmState, Finding, Severity
from monitor.web import runbooks, views

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

FINDING = Finding(
    1, "t", "s", "adapter_loss", Severity.PAGE, True, 0.1, 0.0, 0.2, "share", 8.7, 3.2, 4.04, 3, 40, 120, NOW, NOW,
    "lost",
)  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s ago"), (200, "3 min ago"), (7200, "2 h ago"), (10 * 86_400, "10 d ago"), (-120, "in 2 min")],
)
def test_ago(seconds: int, words: str) -> None:
    assert views.ago(NOW - timedelta(seconds=seconds), NOW) == words


def test_never() -> None:
    assert views.ago(None, NOW) == "never"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.0399, "0.0399"),
        (2.1e-11, "2.1e-11"),
        (1234.5, "1,234"),
        (-0.31, "-0.31"),
        (nan, "–"),
        (None, "–"),
    ],
)
def test_number(value: float | None, shown: str) -> None:
    assert views.number(value) == shown


def test_words_that_only_one_side_has_are_marked() -> None:
    before, after = views.marked("the quick brown fox jumps", "the quick red fox jumps")
    assert before == [("the quick ", False), ("brown", True), (" fox jumps", False)]
    assert after == [("the quick ", False), ("red", True), (" fox jumps", False)]


@pytest.mark.parametrize(
    ("before", "after"),
    [("same", "same"), ("nothing in common", "other words entirely!"), ("a " * 5000, "b " * 5000), ("", "new")],
)
def test_no_marks_where_they_would_tell_nothing(before: str, after: str) -> None:
    assert views.marked(before, after) == ([(before, False)], [(after, False)])


def test_pieces_are_the_whole_text() -> None:
    before, after = "a  b\n\nc, d e f g", "a  b\n\nc; d e f g\t!"
    left, right = views.marked(before, after)
    assert ("".join(text for text, _ in left), "".join(text for text, _ in right)) == (before, after)


def test_the_interval_lies_in_the_picture_in_its_order() -> None:
    shown = views.interval(FINDING)
    assert shown is not None
    assert 0 < shown.low < shown.effect < shown.high < shown.reference < 1000
    assert shown.reference_label == "as approved"


def test_an_interval_without_width_and_a_signal_without_a_name_are_shown_too() -> None:
    shown = views.interval(replace(FINDING, signal="other", effect=0.0, effect_low=0.0, effect_high=0.0))
    assert shown is not None
    assert shown.low == shown.effect == shown.reference == 500


@pytest.mark.parametrize("value", [nan, inf])
def test_no_picture_of_what_is_no_number(value: float) -> None:
    assert views.interval(replace(FINDING, effect_high=value)) is None


def test_plain_json() -> None:
    assert views.plain({"f": FINDING, "n": nan})["n"] is None
    assert views.plain(FINDING)["window_start"] == "2026-11-22T12:00:00+00:00"


WATCH = views.Watch("t", "s", "m", None, True, "armed", None, None, 0.0, False, False, (), ())
PAGE = Alarm("t", "s", "adapter_loss", Severity.PAGE, AlarmState.CONFIRMED, NOW, 1)


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({}, ("good", "All quiet")),
        ({"unmeasured": 0.1}, ("good", "All quiet")),
        ({"unmeasured": 0.5}, ("warn", "No alarm raised; 1 partly measured")),
        ({"unmeasured": 1.0}, ("warn", "No alarm raised; 1 not measured")),
        ({"unmeasured": 1.0, "late": True}, ("warn", "No alarm raised; 1 not measured")),
        ({"late": True}, ("warn", "No alarm raised; 1 late: no success in two intervals")),
        ({"state": "suite changed"}, ("warn", "No alarm raised; 1 not armed: suite changed since its baseline")),
        ({"state": "to approve"}, ("warn", "No alarm raised; 1 of 2 not armed")),
        ({"alarms": (PAGE,), "unmeasured": 1.0}, ("bad", "1 page raised; 1 not measured")),
        ({"alarms": (PAGE, PAGE, replace(PAGE, severity=Severity.TICKET))}, ("bad", "2 pages raised, 1 ticket")),
        ({"alarms": (replace(PAGE, severity=Severity.TICKET),)}, ("warn", "1 ticket raised")),
        ({"alarms": (replace(PAGE, state=AlarmState.RAISED),)}, ("bad", "1 page raised (1 being confirmed)")),
    ],
)
def test_silence_is_good_only_where_it_was_listened_to(changed: dict[str, Any], shown: tuple[str, str]) -> None:
    assert views.headline([replace(WATCH, **changed), WATCH]) == shown


def test_evidence_is_told_as_odds_with_what_it_is_held_against() -> None:
    assert words.evidence(FINDING) == (
        "10^9 to 1",
        "line 10,965 to 1; 3 looks counted, this one alone 1,585 to 1",
    )


RAISED_AT = datetime(2026, 12, 6, 11, 11, tzinfo=UTC)
WAITING = "Waiting since 11:11 for a fresh sample, which the daemon asks."


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"state": AlarmState.RAISED, "raised_at": RAISED_AT}, WAITING),
        (
            {"note": words.AGREED, "confirmed_at": RAISED_AT, "confirmed_run_id": 23},
            "Confirmed 11:11 by a fresh sample (run 23).",
        ),
        (
            {"note": words.AGREED_LATER, "confirmed_at": RAISED_AT, "confirmed_run_id": 24},
            "Confirmed 11:11 by a later look (run 24).",
        ),
        ({"severity": Severity.TICKET}, "A ticket: the evidence is over its line."),
        ({"state": AlarmState.CLEARED, "cleared_by": "jo", "cleared_why": "on purpose"}, "Cleared by jo: on purpose"),
        (
            {"state": AlarmState.CLEARED, "cleared_run_id": 7},
            "Cleared by the answers: up to run 7 they are evidence of recovery.",
        ),
    ],
)
def test_an_alarm_says_where_it_stands(changed: dict[str, Any], told: str) -> None:
    assert words.alarm_state(replace(PAGE, **changed)) == told


def test_causes_stand_before_what_follows_from_them() -> None:
    assert sorted(["length", "other", "judge_score", "adapter_loss"], key=views.rank) == [
        "adapter_loss", "judge_score", "length", "other",
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "words"), [(0, "0 days"), (1, "1 day"), (7, "7 days")])
def test_counted(count: int, words: str) -> None:
    assert views.counted(count, "day") == words


def test_a_runbook_is_text_with_headings_and_lists() -> None:
    page = runbooks.page("CliffwatchFineTuneLost")
    assert page is not None
    title, body = page
    assert title == "CliffwatchFineTuneLost"
    assert "<h2>Meaning</h2>" in body
    assert "<ol><li>Open the evidence page" in body
    assert "<code>cliffwatch ask TARGET PROBE --debug</code>" in body


@pytest.mark.parametrize("name", ["../alertmanager", "Nope", "", "CliffwatchDown.md"])
def test_no_other_file_is_a_runbook(name: str) -> None:
    assert runbooks.page(name) is None
