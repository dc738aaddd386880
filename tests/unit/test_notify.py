"""What the mail says, and that it stays readable whatever the fleet is like."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from monitor.chores.mailer import SMALLER
from monitor.notify import page
from monitor.notify.facts import Facts
from monitor.notify.message import LARGEST_HTML, letter, preview
from monitor.notify.pictures import Picture, picture
from monitor.notify.report import Report, report
from monitor.notify.smtp import GIVEN_UP, next_try
from monitor.records import (
    AlarmState,
    Arm,
    BaselineStatus,
    Mail,
    MailStatus,
    Retirement,
    RunSummary,
    Severity,
)
from monitor.words import TITLES
from tests.fleet import HOSTILE
from tests.mail_story import NOW, SUITE, TWELVE, a_week, alarm, baseline, facts, finding, progress, series

ADDRESS = "https://cliffwatch.example.com"
LONG = [f"{n:03d}-{'a-long-name-for-a-target-' * 3}"[:63] for n in range(300)]


def told(found: Facts, **more: Any) -> Report:
    return report(found, ADDRESS, **more)


def pictures_of(shown: Report) -> dict[tuple[str, str, str], Picture]:
    since = NOW - timedelta(days=28)
    drawn = {key: picture(key[2], TITLES[key[2]], found, since, NOW) for key, found in series(shown.charts).items()}
    return {key: one for key, one in drawn.items() if one is not None}


class Tags(HTMLParser):
    """Every tag with its attributes, and the text between."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_first_line_is_the_answer() -> None:
    shown = told(a_week())
    assert shown.headline == (
        "4 of 12 targets need you: support-bot answers like its base since Tuesday; summariser answers at another "
        "length since Saturday, and 2 more"
    )
    assert shown.subject == "[Cliffwatch] 4 of 12 targets need you: support-bot answers like its base"
    assert shown.tone == "bad"
    assert page.text(shown).startswith("4 of 12 targets need you: ")


def test_one_target_in_trouble_is_one_sentence() -> None:
    found = facts(TWELVE, alarms={"triage": [alarm("triage", "canaries", 3)]})
    assert told(found).headline == "1 of 12 targets needs you: triage fails its canaries since Friday"


def test_a_quiet_week_says_so() -> None:
    shown = told(facts(TWELVE))
    assert (shown.tone, shown.cards, shown.quiet_count) == ("good", (), 12)
    assert shown.headline == "All 12 targets are quiet: no change in all of them since Mon 16 Nov"
    assert shown.subject == "[Cliffwatch] All quiet: 12 targets"
    assert told(facts(["bot"])).headline == "The one target is quiet: no change in it since Mon 16 Nov"


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        (
            {"last": {("bot", SUITE): RunSummary(1, 9, 9, None, None, None)}},
            "bot has given no usable answer since 05:00",
        ),
        ({"last": {("bot", SUITE): RunSummary(1, 9, 3, None, None, None)}}, "bot is only partly measured"),
        ({"progress": {("bot", SUITE): progress("bot", SUITE, NOW, 80)}}, "bot has not been measured since Friday"),
        ({"baselines": {}}, "bot has no baseline, so nothing is compared"),
        ({"outdated": {("bot", SUITE)}}, "bot is not compared: its suite changed since the baseline"),
        (
            {"baselines": {("bot", SUITE): [baseline("bot", BaselineStatus.CAPTURED)]}},
            "bot waits for its baseline to be approved",
        ),
        (
            {"blind": {"bot": ["bot/support: truncation was caught in 3 of 20 trials"]}},
            "bot could lose its fine-tune unseen",
        ),
    ],
)  # fmt: skip
def test_a_silence_that_says_nothing_is_told_too(change: Mapping[str, Any], headline: str) -> None:
    shown = told(facts(["bot"], **change))
    assert shown.headline == f"1 of 1 target needs you: {headline}"
    assert shown.tone == "warn", "nobody is to be woken for it"
    assert shown.quiet_count == 0


def test_a_target_that_learns_needs_nobody() -> None:
    capturing = baseline("bot", BaselineStatus.CAPTURING, ends_at=NOW + timedelta(days=3), approved_at=None)
    shown = told(facts(["bot"], baselines={("bot", SUITE): [capturing]}))
    assert shown.quiet[0].text == "Learning its baseline until Thu 26 Nov."
    assert "the capture of support ends" in page.text(shown)


def test_the_judge_is_no_target_of_the_users_and_can_need_them() -> None:
    found = facts(["bot"])
    names = ["bot", "judge"]
    watched = facts(names).settings.model_copy(update={"judge": found.settings.judge})
    found = replace(facts(names), settings=watched)
    assert told(found).headline.startswith("The one target is quiet")
    found = replace(found, alarms={"judge": [alarm("judge", "judge_score", 2, severity=Severity.TICKET)]})
    shown = told(found)
    assert shown.headline == "The judge needs you: the judge no longer agrees with the people since Saturday"
    found = replace(found, alarms={**found.alarms, "bot": [alarm("bot", "adapter_loss", 1)]})
    assert told(found).headline == (
        "1 of 1 target needs you: bot answers like its base since Sunday; the judge no longer agrees with the people "
        "since Saturday"
    )


def test_the_worst_comes_first_and_what_is_open_has_since_effect_evidence_and_link() -> None:
    shown = told(a_week())
    assert [card.name for card in shown.cards] == ["support-bot", "summariser", "contract-extractor", "triage"]
    page_, identity = shown.cards[0].items
    assert (page_.label, page_.link) == ("Page", f"{ADDRESS}/targets/support-bot/adapter_loss")
    assert page_.lead == (
        "Users affected for 6 days, since Tue 17 Nov 10:24. "
        "kim looks into it since Wed 18 Nov 08:00: asking the platform team which adapter is up."
    )
    assert page_.text.endswith("Suite support; evidence more than a million to 1.")
    assert page_.text.count("4%") == 1, "a number is told once"
    assert page_.command == "cliffwatch findings support-bot --signal adapter_loss"
    assert identity.text.startswith("The server loads the base model itself under this name. Declared: other weights")
    assert "Likely the same cause. For 6 days, checked Mon 23 Nov 05:00." in identity.text
    assert "(310 timed out, 50 not asked because the budget is spent)" in shown.cards[2].items[0].text
    assert shown.cards[1].items[0].lead.endswith("Nobody has said that they look into it.")
    assert shown.cards[3].items[0].first == ("Read the answers", f"{ADDRESS}/baselines/9")
    assert shown.cards[3].items[0].command == "cliffwatch baseline approve triage --suite support --by YOU --why REASON"


def test_the_numbers_add_up_to_the_fleet() -> None:
    story = a_week()
    identity = {**story.identity, "moderation": [replace(story.identity["support-bot"][0], target="moderation")]}
    counted = told(replace(story, identity=identity)).numbers[:-2]
    assert {word: int(count) for count, word in counted} == {
        "page": 1, "ticket": 1, "not measured": 1, "not armed": 1, "other": 1, "quiet": 7,
    }  # fmt: skip
    assert told(facts(TWELVE)).numbers == (
        ("12", "quiet"),
        ("100 %", "of 10,080 questions answered, enough of every target"),
        ("$9.84", "spent of $192.00 allowed"),
    )


def test_a_page_that_waits_for_its_fresh_sample_says_so() -> None:
    waiting = alarm("bot", "adapter_loss", 0.01, state=AlarmState.RAISED, confirmed_at=None, note="")
    shown = told(facts(["bot"], alarms={"bot": [waiting]}))
    item = shown.cards[0].items[0]
    assert item.label == "Page, being confirmed"
    first, waits = re.findall(r"First seen .* (\d\d:\d\d)\. Waiting since (\d\d:\d\d) for a fresh sample", item.lead)[0]
    assert first == waits, "one zone in one sentence, and it is the schedule's"
    assert first == f"{waiting.raised_at.astimezone(ZoneInfo('Europe/Berlin')):%H:%M}"


def test_every_section_of_the_week_is_there() -> None:
    text = page.text(told(a_week()))
    for line in (
        "Mon 16 to Sun 22 Nov · written Mon 23 Nov 08:00 (Europe/Berlin)",
        "1 page · 1 ticket · 1 not measured · 1 not armed · 8 quiet · 96 % of 10,080 questions answered",
        "too few of contract-extractor · $20.42 spent of $192.00 allowed",
        f"back to normal, as new answers show: {TITLES['negative_flips']}",
        "baseline of support approved by jo@example.com",
        "kim looks into the alarm: asking the platform team",
        "the server loads the base model itself",
        f"Read the answers: {ADDRESS}/baselines/9 $ cliffwatch baseline approve triage",
        "43 % of 840 questions of support without a usable answer",
        "judge-70b-2026-05: agrees with the people on 93 % of the anchors",
        "gpt-4o-2024-08-06 (base) retires in 38 days, on Thu 31 Dec; openai says so",
        "support-bot: $11.40 of $16.00 (71 %), 6,200 requests",
        "To do, triage: read the baseline of support",
        "Mon 30 Nov 08:00: this mail",
    ):
        assert line in " ".join(text.split()), line


def test_the_twin_tells_what_the_html_tells() -> None:
    shown = told(a_week())
    html, text = Tags(page.html(shown, {})), page.text(shown)
    flat = " ".join(html.text.split())
    for card in shown.cards:
        for item in card.items:
            assert item.text in flat
            assert item.text in " ".join(text.split())
            if item.command:
                assert f"  $ {item.command}\n" in text, "a command is not broken"
    assert max(len(line) for line in text.splitlines() if not line.startswith("  ")) <= 80


def test_the_judge_without_anchors_and_without_a_judge() -> None:
    week = facts(["bot"])
    judge = week.settings.judge
    assert judge is not None
    bare = week.settings.model_copy(update={"judge": judge.model_copy(update={"anchors": None})})
    assert "set judge.anchors" in told(replace(week, settings=bare)).judge.items[0].text
    none = week.settings.model_copy(update={"judge": None})
    assert "No judge is configured" in told(replace(week, settings=none)).judge.items[0].text


def test_models_retire_within_sixty_days() -> None:
    def soon(days: int) -> Retirement:
        return Retirement("bot", Arm.SUBJECT, "gpt-4", NOW + timedelta(days=days), "config", NOW)

    assert told(facts(["bot"], retirements=[soon(61)])).retiring.items == ()
    texts = [told(facts(["bot"], retirements=[soon(days)])).retiring.items[0].text for days in (60, 0, -2)]
    assert [text.partition(",")[0] for text in texts] == [
        "gpt-4 (subject) retires in 60 days",
        "gpt-4 (subject) retired today",
        "gpt-4 (subject) retired 2 days ago",
    ]


def test_three_hundred_targets_in_trouble_stay_readable_and_small() -> None:
    words = "The answers of this target " + "have changed in a way that takes long to tell " * 8
    found = facts(
        LONG,
        alarms={name: [alarm(name, signal, 2) for signal in TITLES] for name in LONG},
        latest={(n, SUITE): {s: finding(n, s, words, 0.5, alarming=True) for s in TITLES} for n in LONG},
        asked={(name, SUITE): {"": 5, "timeout": 400, "server_error": 30, "budget": 7} for name in LONG},
        retirements=[Retirement(n, Arm.BASE, "m" * 300, NOW + timedelta(days=5), "config", NOW) for n in LONG],
    )
    shown = told(found)
    pictures = pictures_of(shown)
    assert len(pictures) == len(shown.cards) == 10
    assert page.size(shown, pictures) < LARGEST_HTML
    assert len(shown.cards) + len(shown.others.items) + shown.others.more == 300
    assert shown.headline.startswith("300 of 300 targets need you: 000-a-long-name")
    assert shown.changes.more > 2000
    assert len(letter(shown, pictures, "c@example.com", ["a@example.com"], NOW).body) < 400_000


def test_of_three_hundred_the_two_in_trouble_are_told_in_full_and_the_rest_counted() -> None:
    found = facts(LONG, alarms={name: [alarm(name, "canaries", 2)] for name in LONG[7:9]})
    shown = told(found)
    assert [card.name for card in shown.cards] == LONG[7:9]
    assert (shown.quiet_count, len(shown.quiet), len(shown.quiet_names)) == (298, 0, 200)
    html = page.html(shown, {key: ("cid:x", one) for key, one in pictures_of(shown).items()})
    assert len(html.encode()) < 60_000
    assert html.count("<img ") == 2
    assert "and 98 more" in html


def test_a_mail_that_is_still_too_large_is_told_shorter() -> None:
    found = facts(LONG, alarms={name: [alarm(name, "canaries", 2)] for name in LONG})
    sizes = [page.size(told(found, limits=limits), {}) for limits in SMALLER]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < LARGEST_HTML / 3


def parsed(shown: Report, pictures: Mapping[tuple[str, str, str], Picture]) -> EmailMessage:
    made = letter(shown, pictures, "cliffwatch@example.com", ["a@example.com", "b@example.com"], NOW)
    assert made.body.isascii()
    assert max(map(len, made.body.split(b"\r\n"))) <= 998
    message = message_from_bytes(made.body, policy=default)
    assert made.message_id == message["Message-ID"]
    return message


def test_the_message_is_built_as_mail_programs_expect() -> None:
    shown = told(a_week())
    pictures = pictures_of(shown)
    message = parsed(shown, pictures)
    assert message.get_content_type() == "multipart/alternative"
    plain, related = list(message.iter_parts())
    assert isinstance(related, EmailMessage)
    assert (plain.get_content_type(), related.get_content_type()) == ("text/plain", "multipart/related")
    html, *images = list(related.iter_parts())
    assert html.get_content_type() == "text/html"
    assert {image.get_content_type() for image in images} == {"image/png"}
    assert {image.get_content_disposition() for image in images} == {"inline"}
    assert [image.get_content() for image in images] == [one.png for one in pictures.values()]
    tags = Tags(html.get_content())
    cids = [str(image["Content-ID"])[1:-1] for image in images]
    assert [image["src"] for image in tags.of("img")] == [f"cid:{cid}" for cid in cids]
    assert all(image["alt"] and image["width"] and image["height"] for image in tags.of("img"))
    assert plain.get_content().replace("\r\n", "\n") == page.text(shown)


def test_the_headers_say_what_it_is() -> None:
    message = parsed(told(a_week()), {})
    assert parsedate_to_datetime(message["Date"]) == NOW.replace(microsecond=0)
    assert message["List-Id"] == "Cliffwatch weekly <cliffwatch-weekly.example.com>"
    assert (message["Auto-Submitted"], message["To"]) == ("auto-generated", "a@example.com, b@example.com")
    assert message["Message-ID"] != parsed(told(a_week()), {})["Message-ID"]
    assert message["Subject"].isascii()


def test_no_name_begins_a_header_of_its_own() -> None:
    shown = replace(told(a_week()), subject="fine\r\nBcc: everybody@example.com\n\nbody – ☃")
    message = parsed(shown, {})
    assert message["Bcc"] is None
    assert message["Subject"] == "fine Bcc: everybody@example.com body – ☃"


def test_outlook_gets_tables_and_nobody_gets_anything_from_elsewhere() -> None:
    html = preview(told(a_week()), pictures_of(told(a_week())))
    tags = Tags(html)
    assert {tag for tag, _ in tags.tags} <= {
        "html", "head", "meta", "title", "style", "body", "div", "table", "tbody", "tr", "td", "h1", "h2", "p", "span",
        "b", "a", "br", "img", "code",
    }  # fmt: skip
    for table in tags.of("table"):
        assert table["role"] == "presentation"
        assert table["cellpadding"] == table["cellspacing"] == table["border"] == "0"
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in tags.of("img"))
    assert all(str(link["href"]).startswith(f"{ADDRESS}/") for link in tags.of("a"))
    assert "<!--[if mso]>" in html
    assert "@media (prefers-color-scheme: dark)" in html
    assert "url(" not in html
    assert all(cell.get("style") for cell in tags.of("td") if cell.get("class")), "inlined, for those who drop <style>"


def test_what_a_model_or_a_person_wrote_is_only_shown() -> None:
    found = facts(
        ["bot"], alarms={"bot": [alarm("bot", "contract", 1, acknowledged_by=HOSTILE, severity=Severity.TICKET)]}
    )
    found = replace(
        found,
        latest={("bot", SUITE): {"contract": finding("bot", "contract", HOSTILE, 1.0, alarming=True)}},
        baselines={("bot", SUITE): [baseline("bot", approved_at=NOW - timedelta(days=1), approved_why=HOSTILE)]},
    )
    html = page.html(told(found), {})
    tags = Tags(html)
    assert not tags.of("script")
    assert not tags.of("img")
    assert "&lt;script&gt;" in html
    for shown in (html, page.text(told(found))):
        assert not {"\x1b", "\u202e", "\u200b"} & set(shown)


def test_pages_that_nobody_knows_are_not_linked() -> None:
    shown = report(a_week(), None)
    assert Tags(page.html(shown, {})).of("a") == []
    assert "http" not in page.text(shown)


def test_tries_come_further_apart_and_end_after_three_days() -> None:
    mail = Mail("weekly", NOW, "<a@b>", "s", ("a@b",), b"", NOW, MailStatus.QUEUED, 1, NOW)
    waits = [next_try(replace(mail, attempts=attempt), NOW) for attempt in range(1, 12)]
    for attempt, at in enumerate(waits):
        assert at is not None
        whole = min(60 * 2**attempt, 4 * 3600)
        assert 0.75 * whole <= (at - NOW).total_seconds() <= 1.25 * whole
    assert next_try(mail, NOW + GIVEN_UP - timedelta(minutes=2)) is not None
    assert next_try(mail, NOW + GIVEN_UP) is None
    others = {next_try(replace(mail, message_id=f"<{n}@b>"), NOW) for n in range(20)}
    assert len(others) == 20, "what failed together does not come back together"
