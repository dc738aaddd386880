"""How the mail tells times, shares, odds and effects; and its pictures."""

from datetime import UTC, datetime, timedelta

from monitor.core.records import Reason
from monitor.core.wording import SERVED
from monitor.identify import CHECKS
from monitor.report.email.charts import picture, worded
from monitor.report.email.wording import LINE, LOST, Times, cut, cut_summary, odds, percent, usd
from monitor.report.explain.blame import BLAME
from tests.mail_story import NOW, finding, points


def test_a_picture_is_small_and_says_what_it_shows() -> None:
    since = NOW - timedelta(days=28)
    drawn = picture("adapter_loss", "Fine-tune's effect", points("adapter_loss", 0.04, fell=5.9), since, NOW)
    assert drawn is not None
    assert drawn.png.startswith(b"\x89PNG")
    assert len(drawn.png) < 6_000
    assert drawn.alt == "Fine-tune's effect from 98% to 4% in 28 evaluations, 6 alarming"
    assert drawn.now == "now 4% left"
    dark = [one for one in points("adapter_loss", 0.9) if one.at < NOW - timedelta(days=6)]
    unread = picture("adapter_loss", "Fine-tune's effect", dark, since, NOW)
    assert unread is not None
    assert unread.now == "not measured since 16 Nov"
    assert unread.alt.endswith("; not measured since 2026-11-16")
    assert unread.png != drawn.png
    many = picture("adapter_loss", "Fine-tune's effect", points("adapter_loss", 0.9, count=4000), since, NOW)
    assert many is not None
    assert len(many.png) < 12_000
    assert picture("length", "Length", points("length", 1.0, count=1), since, NOW) is None


def test_times_are_told_as_people_say_them() -> None:
    times = Times("Europe/Berlin", NOW)
    assert times.since(NOW - timedelta(hours=2)) == "since 06:00"
    assert times.since(NOW - timedelta(days=3)) == "since Friday"
    assert times.since(NOW - timedelta(days=20)) == "since 3 November"
    assert times.since(datetime(2025, 12, 31, 23, 30, tzinfo=UTC)) == "since 1 January"
    assert times.since(datetime(2025, 12, 31, tzinfo=UTC)) == "since 31 December 2025"
    assert times.since(None) == ""
    assert times.stamp(NOW) == "Mon 23 Nov 08:00"
    assert [times.ahead(NOW + timedelta(days=days)) for days in (0, 1, 12, -3)] == [
        "today",
        "in 1 day",
        "in 12 days",
        "3 days ago",
    ]


def test_a_period_is_told_by_the_days_that_are_most_of_it() -> None:
    def period(now: datetime, days: float) -> str:
        return Times("Europe/Berlin", now).period(now - timedelta(days=days))

    assert period(NOW, 7) == "Mon 16 to Sun 22 Nov"
    assert period(NOW + timedelta(hours=12), 7) == "Tue 17 to Mon 23 Nov"
    assert period(NOW + timedelta(days=14), 7) == "Mon 30 Nov to Sun 6 Dec"
    assert period(NOW, 1) == "Sun 22 Nov"
    assert period(NOW, 1 / 24) == "Mon 23 Nov 07:00 to Mon 23 Nov 08:00"


def test_effects_and_odds_are_told_as_people_say_them() -> None:
    assert [odds(one) for one in (0.3, 3.56, 5.99, 7.2)] == [
        "about 2 to 1", "about 3,600 to 1", "about 980,000 to 1", "more than a million to 1",
    ]  # fmt: skip
    told = {("adapter_loss", 0.04): "4% left", ("adapter_loss", 1.03): "all left",
            ("adapter_loss", -0.1): "nothing left", ("adapter_loss", 0.001): "nothing left",
            ("length", 2.4): "spread 2.40 ×",
            ("length", 4161.9): "spread over 100.00 ×", ("distribution", -0.05): "0.0%",
            ("contract", 0.7): "+70 points", ("contract", 0.001): "unchanged",
            ("border", 0.123): "0.12"}  # fmt: skip
    assert {key: worded(*key) for key in told} == told
    ago = [Times("UTC", NOW).ago(NOW - timedelta(hours=hours)) for hours in (0, 0.5, 5, 40, 142)]
    assert ago == ["1 minute", "30 minutes", "5 hours", "2 days", "6 days"]


def test_no_share_reads_as_none_or_all_that_is_neither() -> None:
    assert [percent(share) for share in (0, 0.004, 0.5, 0.997, 1)] == ["0 %", "under 1 %", "50 %", "over 99 %", "100 %"]
    assert [usd(amount) for amount in (0, 0.004, 1234.5)] == ["$0.00", "under $0.01", "$1,234.50"]
    assert cut("a\r\nb\x1b[0m " + "c" * 300, 20) == "a b\\u{1b}[0m cccccc…"
    assert [cut("Read the answers, all of them.", limit) for limit in (30, 29, 21, 18, 10)] == [
        "Read the answers, all of them.", "Read the answers, all of…", "Read the answers…", "Read the…", "Read the…",
    ]  # fmt: skip


def said(summary: str) -> str:
    return cut_summary(finding("bot", "negative_flips", summary, 0.5, alarming=True))


def test_where_room_is_short_a_summarys_numbers_go_before_its_advice() -> None:
    numbers = ", ".join(f"{n} of 40 answers to question {n} fail their checks" for n in range(9))
    told = said(f"bot fails what it passed: {numbers}. Read the flipped answers, then look for a changed model.")
    assert told.startswith("bot fails what it passed: 0 of 40 answers")
    assert told.endswith("… Read the flipped answers, then look for a changed model.")
    assert len(told) <= LINE
    assert said(f"bot: {numbers}.") == cut(f"bot: {numbers}.")
    assert said("bot is longer: by 40%. Look.") == "bot is longer: by 40%. Look."


def test_every_check_and_every_reason_has_plain_words() -> None:
    assert set(SERVED) == {check for checks in CHECKS.values() for check in checks}
    assert set(LOST) == set(BLAME) == set(Reason)
