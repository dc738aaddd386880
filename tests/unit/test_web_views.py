"""The words and pictures of the pages, apart from HTML."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, nan
from types import MappingProxyType
from typing import Any

import pytest

from monitor.core import signals, wording
from monitor.core.jsonable import plain
from monitor.core.measured import Standing
from monitor.core.records import (
    Alarm,
    AlarmState,
    Arm,
    Confirmation,
    Exhibit,
    Finding,
    FindingState,
    IdentityCheck,
    Match,
    Point,
    RunOutcome,
    Severity,
)
from monitor.report.web import evidence, fleet_headline, fleet_overview, formatting, runbooks, sparklines
from tests import fleet as fleets

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SETTINGS = fleets.settings()

FINDING = Finding(
    1, "t", "s", "adapter_loss", Severity.PAGE, FindingState.ALARMING, 0.1, 0.0, 0.2, "share", 8.7, 3.2, 4.04, 3, 40,
    120, NOW, NOW, "lost",
)  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s ago"), (200, "3 min ago"), (7200, "2 h ago"), (10 * 86_400, "10 d ago"), (-120, "in 2 min")],
)
def test_ago(seconds: int, words: str) -> None:
    assert formatting.ago(NOW - timedelta(seconds=seconds), NOW) == words


def test_never() -> None:
    assert formatting.ago(None, NOW) == "never"


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
    assert formatting.number(value) == shown


def test_the_interval_lies_in_the_picture_in_its_order() -> None:
    shown = sparklines.interval(FINDING)
    assert shown is not None
    assert 0 < shown.low < shown.effect < shown.high < shown.reference < 1000
    assert shown.reference_label == "as approved"


def test_an_interval_without_width_and_a_signal_without_a_name_are_shown_too() -> None:
    shown = sparklines.interval(replace(FINDING, signal="other", effect=0.0, effect_low=0.0, effect_high=0.0))
    assert shown is not None
    assert shown.low == shown.effect == shown.reference == 500


@pytest.mark.parametrize(
    ("signal", "effect", "scale"),
    [
        ("adapter_loss", (0.04, -0.02, 0.1), ["0%, gone", "50%", "100%"]),
        ("adapter_loss", (-0.3, -0.5, 0.1), ["0%, gone", "50%", "100%"]),
        ("judge_score", (-0.31, -0.4, -0.2), ["-0.40", "-0.30", "-0.20", "-0.10", "0.00"]),
        ("negative_flips", (0.25, -0.2, 0.7), ["0%", "+50%"]),
        ("base_match", (0.001, -0.002, 0.004), ["0%"]),
        ("length", (1.0, 1.0, 1.0), ["0.90", "0.95", "1.00", "1.05", "1.10"]),
        ("length", (14.0, 1.6, 303.5), ["0", "100", "200", "300"]),
        ("other", (0.0, 0.0, 0.0), ["-0.1", "-0.05", "0", "0.05", "0.1"]),
        ("other", (5e-324, 0.0, 5e-324), []),
        ("contract", (1e300, 0.0, 1.7e300), []),
    ],
)
def test_the_interval_has_a_scale_of_round_numbers(
    signal: str, effect: tuple[float, float, float], scale: list[str]
) -> None:
    middle, low, high = effect
    finding = replace(FINDING, signal=signal, effect=middle, effect_low=low, effect_high=high)
    shown = sparklines.interval(finding)
    assert shown is not None
    assert [tick.label for tick in shown.ticks] == scale
    places = [tick.x for tick in shown.ticks]
    assert places == sorted(places)
    assert all(0 <= place <= 1000 for place in places)


def test_a_number_of_the_scale_stands_where_it_is() -> None:
    shown = sparklines.interval(replace(FINDING, effect_low=0.0))
    assert shown is not None
    assert [tick.x for tick in shown.ticks] == [
        shown.low,
        pytest.approx((shown.low + shown.reference) / 2),
        shown.reference,
    ]


@pytest.mark.parametrize("value", [nan, inf])
def test_no_picture_of_what_is_no_number(value: float) -> None:
    assert sparklines.interval(replace(FINDING, effect_high=value)) is None


def test_plain_json() -> None:
    assert plain({"f": FINDING, "n": nan})["n"] is None
    assert plain(FINDING)["window_start"] == "2026-11-22T12:00:00+00:00"
    kept = replace(FINDING, measures=MappingProxyType({"adapter_effect_ratio": nan, "base_like_ratio": 0.5}))
    assert plain(kept)["measures"] == {"adapter_effect_ratio": None, "base_like_ratio": 0.5}, "any mapping is one"


WATCH = fleet_overview.Watch("t", "s", 1, NOW, 1, RunOutcome.MEASURED, 9, 0.0, False, False, standing=Standing.COMPARED)
LOST = RunOutcome.UNMEASURED
PAGE = Alarm("t", "s", "adapter_loss", Severity.PAGE, AlarmState.CONFIRMED, NOW, 1)


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({}, ("good", "All quiet")),
        ({"unmeasured": 0.1}, ("good", "All quiet")),
        ({"unmeasured": 0.5}, ("warn", "No alarm raised; 1 partly measured")),
        ({"unmeasured": 0.5, "last_outcome": LOST}, ("warn", "No alarm raised; 1 not measured")),
        ({"last_outcome": LOST, "late": True}, ("warn", "No alarm raised; 1 not measured")),
        ({"late": True}, ("warn", "No alarm raised; 1 late: no success in two intervals")),
        (
            {"standing": Standing.SUITE_CHANGED},
            ("warn", "No alarm raised; 1 not armed: suite changed since its baseline"),
        ),
        ({"standing": Standing.TO_APPROVE}, ("warn", "No alarm raised; 1 of 2 not armed")),
        ({"alarms": (PAGE,), "last_outcome": LOST}, ("bad", "1 page raised; 1 not measured")),
        ({"alarms": (PAGE, PAGE, replace(PAGE, severity=Severity.TICKET))}, ("bad", "2 pages raised, 1 ticket")),
        ({"alarms": (replace(PAGE, severity=Severity.TICKET),)}, ("warn", "1 ticket raised")),
        ({"alarms": (replace(PAGE, state=AlarmState.RAISED),)}, ("bad", "1 page raised (1 being confirmed)")),
    ],
)
def test_silence_is_good_only_where_it_was_listened_to(changed: dict[str, Any], shown: tuple[str, str]) -> None:
    assert fleet_headline.headline([replace(WATCH, **changed), WATCH]) == shown


@pytest.mark.parametrize(
    ("targets", "alarms", "shown"),
    [
        (("t",), (), ("bad", "t serves something other than declared")),
        (("t", "t"), (), ("bad", "t serves something other than declared")),
        (("t", "u"), (), ("bad", "2 targets serve something other than declared")),
        (("t",), (PAGE,), ("bad", "1 page raised; t serves something other than declared")),
    ],
)
def test_what_is_not_as_declared_is_never_quiet(
    targets: Sequence[str], alarms: tuple[Alarm, ...], shown: tuple[str, str]
) -> None:
    checks = [IdentityCheck(name, Arm.SUBJECT, "root", Match.DIFFERS, "lora", "base", NOW, NOW) for name in targets]
    assert fleet_headline.headline([replace(WATCH, alarms=alarms)], checks) == shown


def test_evidence_is_told_as_odds_with_what_it_is_held_against() -> None:
    assert wording.evidence(FINDING) == (
        "1,000,000,000 to 1",
        "threshold: 10,965 to 1; 3 evaluations so far; this one alone: 1,585 to 1",
    )


RAISED_AT = datetime(2026, 12, 6, 11, 11, tzinfo=UTC)
WAITING = "Waiting since 11:11 UTC for a fresh sample, which the daemon requests."


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"state": AlarmState.RAISED, "raised_at": RAISED_AT}, WAITING),
        (
            {"confirmation": Confirmation.FRESH_SAMPLE, "confirmed_at": RAISED_AT, "confirmed_run_id": 23},
            "Confirmed 11:11 UTC by a fresh sample (run 23).",
        ),
        (
            {"confirmation": Confirmation.LATER_LOOK, "confirmed_at": RAISED_AT, "confirmed_run_id": 24},
            "Confirmed 11:11 UTC by a later evaluation (run 24).",
        ),
        ({"severity": Severity.TICKET}, "A ticket: the evidence is over the threshold."),
        ({"state": AlarmState.CLEARED, "cleared_by": "jo", "cleared_why": "on purpose"}, "Cleared by jo: on purpose"),
        (
            {"state": AlarmState.CLEARED, "cleared_run_id": 7},
            "Cleared automatically: the answers up to run 7 show that it recovered.",
        ),
    ],
)
def test_an_alarm_says_where_it_stands(changed: dict[str, Any], told: str) -> None:
    assert wording.alarm_state(replace(PAGE, **changed), RAISED_AT) == told


def test_causes_stand_before_what_follows_from_them() -> None:
    assert sorted(["length", "other", "judge_score", "adapter_loss"], key=signals.rank) == [
        "adapter_loss", "judge_score", "length", "other",
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "told"), [(0, "0 days"), (1, "1 day"), (7, "7 days")])
def test_counted(count: int, told: str) -> None:
    assert wording.many(count, "day") == told


def test_a_runbook_is_text_with_headings_and_lists() -> None:
    page = runbooks.page("CliffwatchFineTuneLost")
    assert page is not None
    title, body = page
    assert title == "CliffwatchFineTuneLost"
    assert "<h2>Meaning</h2>" in body
    assert "<ol>\n<li>Open the evidence page" in body
    assert "<code>cliffwatch ask TARGET PROBE --debug</code>" in body


@pytest.mark.parametrize("name", runbooks.names())
def test_a_runbooks_words_all_stand_on_its_page(name: str) -> None:
    """Tags apart, the page has the file's text: no mark of Markdown is left, and nothing is lost."""
    page, written = runbooks.page(name), runbooks.text(name)
    assert page is not None
    assert written is not None
    marks = re.compile(r"^(?:#+|-|\d+\.) |`|\s", re.MULTILINE)
    assert marks.sub("", page[0] + page[1].striptags()) == marks.sub("", written)
    assert set(re.findall(r"</?(\w+)", page[1])) <= {"p", "h2", "ul", "ol", "li", "code", "strong", "em", "pre", "a"}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a <b onclick='x'>b</b> & \"c\"", "<p>a &lt;b onclick='x'&gt;b&lt;/b&gt; &amp; &quot;c&quot;</p>\n"),
        ("`<img src=x onerror=y>`", "<p><code>&lt;img src=x onerror=y&gt;</code></p>\n"),
        ("    <i>indented</i>", "<pre><code>&lt;i&gt;indented&lt;/i&gt;\n</code></pre>\n"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        ("[x](&#106;avascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        ("[x](data:text/html,hello)", "<p>[x](data:text/html,hello)</p>\n"),
        ("[x](//evil.example/)", "<p>[x](//evil.example/)</p>\n"),
        ("[x](/\\evil.example/)", '<p><a href="/%5Cevil.example/">x</a></p>\n'),
        ("![x](https://evil.example/pixel.png)", '<p>!<a href="https://evil.example/pixel.png">x</a></p>\n'),
        ('[x](https://a.example/"onclick=")', '<p><a href="https://a.example/%22onclick=%22">x</a></p>\n'),
        ("[docs](https://a.example/b?c=d&e)", '<p><a href="https://a.example/b?c=d&amp;e">docs</a></p>\n'),
        ("<https://a.example/>", '<p><a href="https://a.example/">https://a.example/</a></p>\n'),
        ("[targets](/targets/a)", '<p><a href="/targets/a">targets</a></p>\n'),
    ],
)
def test_hostile_markdown_stays_text_and_only_safe_links_lead_anywhere(written: str, shown: str) -> None:
    body = runbooks.rendered(written)
    assert shown in body
    assert "<script" not in body
    assert "<img" not in body


@pytest.mark.parametrize("name", ["../alertmanager", "Nope", "", "CliffwatchDown.md"])
def test_no_other_file_is_a_runbook(name: str) -> None:
    assert runbooks.page(name) is None


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({}, "quiet"),
        ({"unmeasured": 0.1}, "quiet"),
        ({"unmeasured": 0.5}, "partly"),
        ({"unmeasured": 0.5, "last_outcome": LOST, "late": True}, "unmeasured"),
        ({"unmeasured": 0.5, "late": True}, "late"),
        ({"standing": Standing.SUITE_CHANGED}, "suite-changed"),
        ({"standing": Standing.NO_BASELINE}, "not-armed"),
        ({"alarms": (replace(PAGE, severity=Severity.TICKET),), "late": True}, "ticket"),
        ({"alarms": (replace(PAGE, severity=Severity.TICKET), PAGE)}, "page"),
    ],
)
def test_a_suite_s_state_is_what_needs_somebody_most(changed: dict[str, Any], state: str) -> None:
    watch = replace(WATCH, **changed)
    assert watch.attention == state
    assert state in fleet_overview.STATES


def test_a_target_is_as_bad_as_its_worst_suite_and_the_worst_stands_first() -> None:
    targets = dict.fromkeys(("a", "b", "c"), SETTINGS.targets["summariser"])
    watches = [
        replace(WATCH, target="a"),
        replace(WATCH, target="b", suite="x"),
        replace(WATCH, target="b", suite="y", alarms=(PAGE,)),
        replace(WATCH, target="c", last_success=None, late=True),
    ]
    rows = fleet_overview.rows(watches, targets)
    assert [(row.target, row.state) for row in rows] == [("b", "page"), ("c", "late"), ("a", "quiet")]
    assert fleet_overview.counts(rows) == {"page": 1, "late": 1, "quiet": 1}
    assert [row.target for row in fleet_overview.chosen(rows, " B ", None)] == ["b"]
    assert [row.target for row in fleet_overview.chosen(rows, "SUMMARISER-LORA", "late")] == ["c"]
    assert rows[1].last_success is None, "one suite was never measured"


def test_what_is_not_as_declared_stands_after_a_page_and_before_a_ticket() -> None:
    targets = dict.fromkeys(("a", "b", "c"), SETTINGS.targets["summariser"])
    checks = [
        IdentityCheck(name, Arm.SUBJECT, "root", Match.DIFFERS, "lora", "base", NOW, NOW) for name in ("a", "c", "gone")
    ]
    watches = [
        replace(WATCH, target="a", alarms=(PAGE,)),
        replace(WATCH, target="b", alarms=(replace(PAGE, severity=Severity.TICKET),)),
        replace(WATCH, target="c"),
    ]
    rows = fleet_overview.rows(watches, targets, checks)
    assert [(row.target, row.state) for row in rows] == [("a", "page"), ("c", "identity"), ("b", "ticket")]
    assert [row.mismatched for row in rows] == [(checks[0],), (checks[1],), ()]


@pytest.mark.parametrize(
    ("page", "total", "shown"),
    [(1, 0, (1, 1, 0, 0)), (1, 5, (1, 3, 0, 2)), (3, 5, (3, 3, 4, 5)), (9, 5, (3, 3, 4, 5)), (-1, 4, (1, 2, 0, 2))],
)
def test_leafing_ends_where_the_list_does(page: int, total: int, shown: tuple[int, ...]) -> None:
    where = formatting.turn(page, total, 2)
    assert (where.page, where.pages, where.first, where.last) == shown
    assert len(formatting.cut(range(total), where)) == where.last - where.first


def points(*evidence: float, line: float = 4.0) -> list[Point]:
    """A look a day, which alarms where its evidence is over the line."""
    return [
        Point(n, NOW + timedelta(days=n), 1.0 - n / 10, 0.9 - n / 10, 1.1 - n / 10, one, line, one >= line)
        for n, one in enumerate(evidence)
    ]


def test_evidence_is_drawn_from_left_to_right_and_upwards() -> None:
    shown = sparklines.evidence_picture(points(-0.5, 0.5, 5.0), NOW, NOW + timedelta(days=4))
    assert shown is not None
    places = [tuple(map(float, place.split(","))) for place in shown.path.split()]
    assert [x for x, _ in places] == [0, 250, 500]
    heights = [y for _, y in places]
    assert heights == sorted(heights, reverse=True)
    assert heights[1] > (shown.level or 0) > heights[2]
    assert shown.dots == ((500, heights[2], True),)
    assert shown.words == (
        "Evidence of a change over 3 evaluations: alarming at 1, first 2026-11-24 12:00 UTC; now 100,000 to 1, "
        "still alarming."
    )


def test_overwhelming_evidence_does_not_press_the_line_to_the_floor() -> None:
    shown = sparklines.evidence_picture(points(0.1, 300.0), NOW, NOW + timedelta(days=1))
    assert shown is not None
    assert shown.level is not None
    assert 0 < shown.level < 75
    assert all(0 <= float(place.split(",")[1]) <= 100 for place in shown.path.split())


def test_quiet_evidence_says_so() -> None:
    shown = sparklines.evidence_picture(points(0.2, -0.3), NOW, NOW + timedelta(days=1))
    assert shown is not None
    assert "over 2 evaluations: never alarming, now none; the threshold is 10,000 to 1." in shown.words
    assert [alarming for *_, alarming in shown.dots] == [False]


def test_no_picture_of_numbers_that_could_not_be_had() -> None:
    lost = [replace(one, evidence_log10=nan, effect=nan) for one in points(1.0, 2.0)]
    assert sparklines.evidence_picture(lost, NOW, NOW) is None
    assert sparklines.effect_picture(lost, "length", NOW, NOW) is None
    assert sparklines.evidence_picture([], NOW, NOW) is None
    assert sparklines.timeline([], "length", [], NOW) is None


def test_the_effect_is_drawn_with_its_interval_against_no_change() -> None:
    shown = sparklines.effect_picture(points(0.0, 0.0, 0.0), "adapter_loss", NOW, NOW + timedelta(days=2))
    assert shown is not None
    assert len(shown.band.split()) == 6
    assert shown.words == "Effect 80% at the last of 3 evaluations, 100% at the first; as approved is 100%."


def test_the_timeline_has_what_became_of_the_alarm() -> None:
    alarm = replace(
        PAGE, raised_at=NOW + timedelta(days=1), confirmed_at=NOW + timedelta(days=1, hours=1), confirmed_run_id=2,
        acknowledged_at=NOW + timedelta(days=2), acknowledged_by="jo", cleared_at=NOW + timedelta(days=3),
        cleared_run_id=4,
    )  # fmt: skip
    other = replace(alarm, signal="length")
    shown = sparklines.timeline(points(0, 5, 13, 1), "adapter_loss", [other, alarm], NOW + timedelta(days=4))
    assert shown is not None
    assert [(event.what, event.run_id, event.by) for event in shown.events] == [
        ("page raised", 1, ""), ("confirmed", 2, ""), ("acknowledged", None, "jo"), ("cleared", 4, ""),
    ]  # fmt: skip
    assert [event.x for event in shown.events] == [250, 260.4, 500, 750]
    assert shown.cut


@pytest.mark.parametrize(
    ("value", "told"), [(0.0, "$0.00"), (0.0042, "$0.0042"), (0.02, "$0.02"), (0.5, "$0.50"), (12.345, "$12.35")]
)
def test_money(value: float, told: str) -> None:
    assert formatting.usd(value) == told


def test_a_request_keeps_what_it_read_whatever_another_forgets_meanwhile() -> None:
    kept = fleet_overview.FleetCache()

    class Runs:
        """A store; while run 2 is read of it, the whole fleet is shown as it was before that run."""

        def lost_shares(self, run_ids: Sequence[int]) -> dict[int, float]:
            if 2 in run_ids:
                kept.of(self, [1], all_runs=True)  # type: ignore[arg-type]
            return {run_id: run_id / 10 for run_id in run_ids}

    assert kept.of(Runs(), [1], all_runs=True) == {1: 0.1}  # type: ignore[arg-type]
    assert kept.of(Runs(), [1, 2], all_runs=False) == {1: 0.1, 2: 0.2}  # type: ignore[arg-type]


def exhibit(probe: str, now: str, weight: float, leaning: float | None = None) -> Exhibit:
    return Exhibit(probe, "?", "ours", now, "base's", weight, leaning)


@pytest.mark.parametrize(
    ("shown", "verdict", "well"),
    [
        (exhibit("a", "base's", 1.0, -0.9), "same as base", False),
        (exhibit("a", "ours", 0.0), "same as baseline", True),
        (exhibit("a", "other", 1.0, -0.1), "nearer to the base", False),
        (exhibit("a", "other", 1.0, 0.1), "nearer to the baseline", True),
        (exhibit("a", "other", 1.0), "", False),
    ],
)
def test_which_of_the_two_an_answer_is_like(shown: Exhibit, verdict: str, well: bool) -> None:
    (found,) = evidence.side_by_side([shown])
    assert (found.verdict, found.well) == (verdict, well)


def test_among_answers_that_tell_as_much_the_base_s_own_is_read_first() -> None:
    near, same, far = exhibit("a", "other", 1.36), exhibit("b", "base's", 1.34), exhibit("c", "base's", 0.7)
    assert evidence.most_telling(replace(FINDING, exhibits=(near, same, far))) is same
    assert evidence.most_telling(replace(FINDING, exhibits=(near, far))) is near
    assert evidence.most_telling(FINDING) is None


def test_effects_are_written_alike_everywhere() -> None:
    ends = replace(FINDING, effect=-0.0069, effect_low=-0.05, effect_high=0.036)
    shown = sparklines.interval(ends)
    assert shown is not None
    assert shown.low == shown.effect < shown.high < shown.reference
    assert [wording.amount("adapter_loss", one) for one in (-0.0069, -0.05, 0.036)] == ["0%", "0%", "4%"]
    assert (wording.amount("judge_score", -0.31), wording.amount("canaries", nan)) == ("-0.31", "–")
    assert wording.unit(replace(FINDING, signal="new")) == "share"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("adapter_effect_ratio", -0.004, "0%"), ("base_like_ratio", 0.975, "98%"),
        ("answer_length_variance_ratio", 2.4, "2.4"), ("answer_length_chars", 51.0, "51"),
        ("contract_changed_model_id", 1.0, "yes"), ("contract_changed_refusals", 0.0, "no"),
    ],
)  # fmt: skip
def test_measures_that_are_shares_are_percent(name: str, value: float, told: str) -> None:
    assert formatting.measure(value, name) == told
