"""What the mail says, and that it stays readable whatever the fleet is like."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from monitor.core.records import (
    AlarmState,
    Arm,
    BaselineStatus,
    IdentityCheck,
    Mail,
    MailStatus,
    Match,
    Retirement,
    RunOutcome,
    RunSummary,
    Severity,
)
from monitor.core.signals import TITLES
from monitor.report.email import render
from monitor.report.email.charts import Picture, picture
from monitor.report.email.compose import PLAN, trimmed
from monitor.report.email.data import Facts, Key
from monitor.report.email.message import LARGEST_HTML, letter, preview
from monitor.report.email.report import Report, draft, told_in_full
from monitor.report.email.smtp import GIVEN_UP, next_try
from monitor.report.email.target_cards import SEE_SERVED
from monitor.report.explain import claim as claims
from monitor.report.explain.context import FindingContext
from tests.fleet import HOSTILE
from tests.mail_story import NOW, SUITE, TWELVE, a_week, alarm, baseline, facts, finding, points, progress, series

ADDRESS = "https://cliffwatch.example.com"
LONG = [f"{n:03d}-{'a-long-name-for-a-target-' * 3}"[:63] for n in range(300)]


def told(found: Facts, **more: Any) -> Report:
    return draft(found, ADDRESS).report(**more)


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
        "4 of 12 targets need attention, 1 with a page: support-bot answers like its base since Tuesday; summariser "
        "gives answers of another length since Saturday, and 2 more"
    )
    subject = "[Cliffwatch] 4 of 12 targets need attention, 1 with a page: support-bot answers like its base"
    assert shown.subject == subject
    assert shown.tone == "bad"
    assert render.text(shown).startswith("4 of 12 targets need attention, 1 with a page: ")


def test_one_target_in_trouble_is_one_sentence() -> None:
    found = facts(TWELVE, alarms={"triage": [alarm("triage", "canaries", 3)]})
    assert (
        told(found).headline == "1 of 12 targets needs attention, 1 with a page: triage fails its canaries since Friday"
    )


def test_a_quiet_week_says_so() -> None:
    shown = told(facts(TWELVE))
    assert (shown.tone, shown.cards, shown.quiet_count) == ("good", (), 12)
    assert shown.headline == "All 12 targets are quiet: no change in all of them since Mon 16 Nov"
    assert shown.subject == "[Cliffwatch] All quiet: 12 targets"
    assert told(facts(["bot"])).headline == "The only target is quiet: no change in it since Mon 16 Nov"


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        (
            {"last": {("bot", SUITE): RunSummary(1, RunOutcome.UNMEASURED, 9, 9, None, None, None)}},
            "bot has given no usable answer since 05:00",
        ),
        (
            {"last": {("bot", SUITE): RunSummary(1, RunOutcome.UNMEASURED, 20, 10, None, None, None)}},
            "bot has given no usable answer since 05:00",
        ),
        (
            {"last": {("bot", SUITE): RunSummary(1, RunOutcome.PARTIAL, 9, 3, None, None, None)}},
            "bot is only partly measured",
        ),
        ({"progress": {("bot", SUITE): progress("bot", SUITE, NOW, 80)}}, "bot has not been measured since Friday"),
        ({"baselines": {}}, "bot has no baseline, so it is not compared"),
        ({"outdated": {("bot", SUITE)}}, "bot is not compared: its suite changed since the baseline"),
        (
            {"baselines": {("bot", SUITE): [baseline("bot", BaselineStatus.CAPTURED)]}},
            "bot has a baseline that waits for approval",
        ),
        (
            {"blind": {"bot": ["bot/support: truncation was caught in 3 of 20 trials"]}},
            "bot could lose its fine-tune undetected",
        ),
    ],
)  # fmt: skip
def test_a_silence_that_says_nothing_is_told_too(change: Mapping[str, Any], headline: str) -> None:
    shown = told(facts(["bot"], **change))
    assert shown.headline == f"1 of 1 target needs attention: {headline}"
    assert shown.tone == "warn", "nobody is to be woken for it"
    assert shown.quiet_count == 0


def test_a_target_that_learns_needs_nobody() -> None:
    capturing = baseline("bot", BaselineStatus.CAPTURING, ends_at=NOW + timedelta(days=3), approved_at=None)
    shown = told(facts(["bot"], baselines={("bot", SUITE): [capturing]}))
    assert shown.waiting.items[0].text == "support: baseline being captured: day 14 of 63, until Thu 26 Nov."
    assert (shown.quiet_count, shown.tone) == (0, "none")
    assert "the capture of support ends" in render.text(shown)


def test_beside_quiet_targets_the_first_line_says_how_many_are_not_measured_yet() -> None:
    capturing = baseline("new", BaselineStatus.CAPTURING, starts_at=NOW - timedelta(days=1), days=1, approved_at=None,
                         ends_at=NOW + timedelta(days=2))  # fmt: skip
    names = ["bot", "new", "other"]
    found = facts(names)
    shown = told(replace(found, baselines={**found.baselines, ("new", SUITE): [capturing]}))
    assert shown.subject == "[Cliffwatch] Not measured yet: 1 of 3 targets, 2 quiet"
    assert shown.headline == (
        "2 targets are quiet since Mon 16 Nov; 1 target is not measured yet: new, support: baseline being captured: "
        "day 1 of 3, until Wed 25 Nov"
    )
    assert [value for value, label in shown.numbers if label in ("quiet", "not measured yet")] == ["1", "2"]


def test_the_judge_is_no_target_of_the_users_and_can_need_them() -> None:
    found = facts(["bot"])
    names = ["bot", "judge"]
    watched = facts(names).settings.model_copy(update={"judge": found.settings.judge})
    found = replace(facts(names), settings=watched)
    assert told(found).headline.startswith("The only target is quiet")
    found = replace(found, alarms={"judge": [alarm("judge", "length", 2, severity=Severity.TICKET)]})
    assert "no longer agrees" not in told(found).headline, "its verdicts are as they were"
    found = replace(found, alarms={"judge": [alarm("judge", "negative_flips", 2, severity=Severity.TICKET)]})
    shown = told(found)
    assert (
        shown.headline == "The judge needs attention: the judge no longer agrees with people's verdicts since Saturday"
    )
    found = replace(found, alarms={**found.alarms, "bot": [alarm("bot", "adapter_loss", 1)]})
    assert told(found).headline == (
        "1 of 1 target and the judge need attention, 1 with a page: bot answers like its base since Sunday; the judge "
        "no longer agrees with people's verdicts since Saturday"
    )


def test_the_worst_comes_first_and_what_is_open_has_since_effect_evidence_and_link() -> None:
    shown = told(a_week())
    assert [card.name for card in shown.cards] == ["support-bot", "summariser", "contract-extractor", "triage"]
    page_, identity = shown.cards[0].items
    assert (page_.label, page_.link) == ("Page", f"{ADDRESS}/targets/support-bot/adapter_loss")
    assert page_.lead == "Users affected for 6 days."
    assert page_.state == (
        "Began between Mon 16 Nov 20:00 (last healthy evaluation) and Tue 17 Nov 20:00 (first seen). "
        "Acknowledged by kim, Wed 18 Nov 08:00: asking the platform team which adapter is up."
    )
    assert page_.text.endswith("Suite support; evidence more than a million to 1.")
    assert page_.text.count("4%") == 1, "a number is told once"
    assert page_.command == "cliffwatch findings support-bot --signal adapter_loss"
    assert identity.text.startswith("The server loads the base model itself under this name. Declared: other weights")
    assert (identity.label, identity.lead) == ("Page", "Not as declared for 6 days.")
    assert identity.state == "Checked Mon 23 Nov 05:00."
    assert "(310 timed out, 50 not asked because the budget is spent)" in shown.cards[2].items[0].text
    assert shown.cards[1].items[0].state.endswith("Not acknowledged.")
    assert shown.cards[3].items[0].first == ("Read the answers", f"{ADDRESS}/baselines/9")
    assert shown.cards[3].items[0].command == "cliffwatch baseline approve triage --suite support --by YOU --why REASON"


def counts(shown: Report) -> dict[str, int]:
    """The numbers that are targets."""
    return {word: int(count.replace(",", "")) for count, word in shown.numbers[:-2]}


def test_the_numbers_add_up_to_the_fleet() -> None:
    story = a_week()
    identity = {**story.identity, "moderation": [replace(story.identity["support-bot"][0], target="moderation")]}
    found = replace(story, identity=identity, blind={"onboarding": ["truncation was caught in 3 of 20 trials"]})
    assert counts(told(found)) == {
        "with a page": 2, "with a ticket": 1, "not measured": 1, "not armed": 1, "with another problem": 1, "quiet": 6,
    }  # fmt: skip
    assert told(facts(TWELVE)).numbers == (
        ("12", "quiet"),
        ("100 %", "of 10,080 questions answered, enough for every target"),
        ("$9.84", "spent of $192.00 allowed"),
    )


def watching_the_judge(found: Facts) -> Facts:
    names = [*found.settings.targets, "judge"]
    return replace(found, settings=facts(names).settings.model_copy(update={"judge": found.settings.judge}))


@pytest.mark.parametrize("names", [["bot"], TWELVE, LONG], ids=len)
def test_the_numbers_add_up_to_the_cards(names: Sequence[str]) -> None:
    """Whoever needs somebody is in one of the numbers, and on a card or a line; the judge, too."""
    found = watching_the_judge(facts(names))
    served = mismatch(names[-1])
    found = replace(
        found,
        alarms={
            **{name: [alarm(name, "canaries", 2)] for name in names[: len(names) // 2]},
            "judge": [alarm("judge", "judge_score", 2, severity=Severity.TICKET)],
        },
        identity={names[-1]: [served]},
        baselines={},
    )
    shown = told(found)
    counted = counts(shown)
    listed = len(shown.cards) + len(shown.others.items) + shown.others.more
    assert sum(counted.values()) == listed == len(names) + 1
    assert counted["judge that needs attention"] == 1
    assert counted["with a page"] == len(names) // 2 + 1
    target = "target needs" if len(names) == 1 else "targets need"
    of = f"{len(names)} of {len(names)} {target.partition(' ')[0]}"
    assert shown.headline.startswith(f"{of} and the judge need attention, {len(names) // 2 + 1} with a page: ")


def mismatch(target: str, days: float = 3, **more: Any) -> IdentityCheck:
    at = NOW - timedelta(days=days)
    return replace(
        IdentityCheck(target, Arm.SUBJECT, "listed", Match.DIFFERS, f"{target}-lora", "gone", NOW, at), **more
    )


def test_what_is_not_as_declared_stands_with_the_pages_as_its_alert_does() -> None:
    rules = yaml.safe_load((Path(__file__).parents[2] / "alerts/rules.yaml").read_text(encoding="utf-8"))
    alerts = {rule.get("alert"): rule for group in rules["groups"] for rule in group["rules"]}
    assert alerts["CliffwatchIdentityMismatch"]["labels"]["severity"] == "page", "else the mail is to say otherwise"
    found = facts(
        TWELVE,
        alarms={
            "triage": [alarm("triage", "length", 6, severity=Severity.TICKET)],
            "moderation": [alarm("moderation", "length", 6, severity=Severity.TICKET)],
            "onboarding": [alarm("onboarding", "canaries", 2)],
        },
        identity={"moderation": [mismatch("moderation")]},
    )
    shown = told(found)
    assert [card.name for card in shown.cards] == ["onboarding", "moderation", "triage"], "users notice the first"
    assert [(item.label, item.tone) for item in shown.cards[1].items] == [("Page", "bad"), ("Ticket", "warn")]
    assert shown.cards[1].tone == "bad"
    assert counts(shown) == {"with a page": 2, "with a ticket": 1, "quiet": 9}
    assert shown.headline.startswith(
        "3 of 12 targets need attention, 2 with a page: onboarding fails its canaries since Saturday; moderation "
        "serves something other than declared since Friday, and 1 more"
    )
    one = "page opened, no longer as declared: the server no longer offers this model"
    assert one in [item.text for item in shown.changes.items]


def test_the_cause_stands_before_what_follows_from_it() -> None:
    found = facts(
        ["bot"], alarms={"bot": [alarm("bot", signal, 9 - n) for n, signal in enumerate(reversed([*TITLES]))]},
        identity={"bot": [mismatch("bot", arm=Arm.BASE), mismatch("bot")]},
    )  # fmt: skip
    card = told(found).cards[0]
    assert [item.name for item in card.items] == ["Fine-tune's effect", "Same as base", "What is served"]
    assert "(of the base)" not in card.items[2].text, "the subject's before the base's"
    assert card.more == len(TITLES) - 1


def test_what_is_served_has_its_place_however_many_suites_say_so() -> None:
    suites = (SUITE, "format", "tone", "production")
    lost = [alarm("bot", "adapter_loss", days, suite=suite) for days, suite in enumerate(suites)]
    found = facts(["bot"], alarms={"bot": lost}, identity={"bot": [mismatch("bot")]})
    card = told(found).cards[0]
    assert [item.name for item in card.items] == ["Fine-tune's effect", "Fine-tune's effect", "What is served"]
    assert card.items[0].lead == "Users affected for 3 days.", "the oldest first"


def test_a_judge_without_anchors_that_is_not_as_declared_is_told() -> None:
    found = replace(facts(["bot"]), identity={"judge": [mismatch("judge")]})
    shown = told(found)
    assert shown.headline == (
        "The judge needs attention, 1 with a page: the judge serves something other than declared since Friday"
    )
    assert (shown.cards[0].name, shown.cards[0].model) == ("the judge", "judge-70b-2026-05")
    assert counts(shown) == {"judge that needs attention": 1, "quiet": 1}
    with_anchors = replace(watching_the_judge(facts(["bot"])), identity=found.identity)
    assert told(with_anchors).headline == shown.headline, "what it serves is not how it judges"
    assert told(replace(facts(["bot"]), identity={"gone": [mismatch("gone")]})).cards == ()


def besides(found: Facts, **more: Any) -> dict[Key, FindingContext]:
    """What the mailer reads: of every alarm that is told in full."""
    return {key: FindingContext(points(key[2], 0.5, fell=5.5), **more) for key in told_in_full(found)}


def test_each_alarm_says_whose_fault_it_likely_is_as_its_page_does() -> None:
    week = a_week()
    shown = told(week)
    for card, key in zip(shown.cards[:2], week.beside, strict=True):
        found = week.latest[key[:2]][key[2]]
        claim = claims.claim(found, week.beside[key])
        likely = card.items[0].likely
        assert likely is not None
        assert likely[0] == claim.suspect
        assert likely[1] == (claim.why if key[0] == "summariser" else SEE_SERVED)
    assert shown.cards[0].items[1].likely == ("the served model", "Its answers changed too.")
    assert shown.cards[2].items[0].likely == ("the endpoint or the connection to it", "It is an outage.")
    text = render.text(shown)
    assert "  Likely at fault: your own configuration. The same prompts have a" in text
    assert "Likely at fault: <b>your own configuration</b>. The same prompts have a" in render.html(shown, {})


def test_one_suspect_of_many_signals_is_explained_once() -> None:
    signals = ("adapter_loss", "base_match", "judge_score")
    found = facts(
        ["bot"], alarms={"bot": [alarm("bot", signal, 5.5) for signal in signals]},
        latest={("bot", SUITE): {one: finding("bot", one, f"It is so: {one}.", 0.5, alarming=True) for one in signals}},
    )  # fmt: skip
    found = replace(found, beside=besides(found, moved=["length"]))
    first, second, third = (item.likely for item in told(found).cards[0].items)
    assert first == ("the served model", claims.claim(finding("bot", "adapter_loss", "", 0.5, alarming=True),
                                                    FindingContext()).why)  # fmt: skip
    assert second == ("the served model", "As above.")
    assert third == ("the model", "Signals that do not use the judge moved too (length).")


def test_whose_fault_it_is_that_questions_have_no_answer() -> None:
    def likely(reason: str) -> Any:
        lost = facts(["bot"], last={("bot", SUITE): RunSummary(1, RunOutcome.PARTIAL, 9, 3, None, None, None)},
                     asked={("bot", SUITE): {"": 6, "timeout": 1, reason: 2}})  # fmt: skip
        return told(lost).cards[0].items[0].likely

    assert likely("budget") == ("your own configuration", "The target's budget is spent.")
    assert likely("server_error") == ("the endpoint or the connection to it", "It is an outage.")
    assert likely("unauthorized") == ("the key", "The provider refuses it.")
    assert likely("of another version") is None


@pytest.mark.parametrize(
    ("change", "suspect"),
    [
        ({}, "the declaration, or a deployment since the last run"),
        ({"latest": {}}, "the served model, or its declaration"),
        ({"alarms": {"bot": [alarm("bot", "canaries", 1)]}}, "the served model"),
        ({"alarms": {"bot": [alarm("bot", "distribution", 1)]}}, "the served model"),  # by another adapter
        ({"identity": {"bot": [mismatch("bot", arm=Arm.BASE)]}}, "the model served as the base, or its declaration"),
    ],
)
def test_declaration_or_deployment_the_answers_tell(change: Mapping[str, Any], suspect: str) -> None:
    found = facts(["bot"], **{"identity": {"bot": [mismatch("bot")]}, **change})
    served = next(item for item in told(found).cards[0].items if item.name == "What is served")
    assert served.likely is not None
    assert served.likely[0] == suspect


def test_the_mail_and_the_page_say_the_same_of_when_it_began() -> None:
    week = a_week()
    key = ("support-bot", SUITE, "adapter_loss")
    page_ = claims.claim(week.latest[key[:2]][key[2]], week.beside[key])
    assert (
        page_.since == "Began between 2026-11-16 19:00 (last healthy evaluation) and 2026-11-17 19:00 UTC (first seen)"
    )
    shown = told(week)
    item = shown.cards[0].items[0]
    assert item.state.startswith(
        "Began between Mon 16 Nov 20:00 (last healthy evaluation) and Tue 17 Nov 20:00 (first seen). "
    )
    earlier = {key: replace(week.beside[key], history=points("adapter_loss", 0.04, fell=12.5))}
    shown = told(replace(week, beside=earlier))
    item = shown.cards[0].items[0]
    assert item.lead == "Users affected for 12 days."
    assert item.state.startswith(
        "Began between Mon 9 Nov 20:00 (last healthy evaluation) and Tue 10 Nov 20:00 (first seen). "
    )
    assert "support-bot answers like its base since 10 November" in shown.headline


def test_what_is_told_in_full_is_bounded_and_is_what_is_shown() -> None:
    found = facts(
        LONG,
        alarms={name: [alarm(name, signal, 2) for signal in TITLES] for name in LONG},
        latest={(n, SUITE): {s: finding(n, s, "It moved.", 0.5, alarming=True) for s in TITLES} for n in LONG},
    )
    wanted = told_in_full(found)
    assert len(wanted) == 30
    shown = told(replace(found, beside=besides(found)))
    assert [card.name for card in shown.cards] == list(dict.fromkeys(key[0] for key in wanted))
    assert all(item.likely and item.state.startswith("Began ") for card in shown.cards for item in card.items)


def test_a_page_that_waits_for_its_fresh_sample_says_so() -> None:
    waiting = alarm("bot", "adapter_loss", 0.01, state=AlarmState.RAISED, confirmed_at=None, note="")
    shown = told(facts(["bot"], alarms={"bot": [waiting]}))
    item = shown.cards[0].items[0]
    assert (item.label, item.lead, shown.tone) == ("Page, being confirmed", "", "bad")
    assert counts(shown) == {"with a page being confirmed": 1}, "nobody is paged yet"
    assert "with a page" not in shown.headline
    times = r"First seen .* (\d\d:\d\d)\. Waiting since (\d\d:\d\d) for a fresh sample"
    first, waits = re.findall(times, item.state)[0]
    assert first == waits, "one zone in one sentence, and it is the schedule's"
    assert first == f"{waiting.raised_at.astimezone(ZoneInfo('Europe/Berlin')):%H:%M}"


def test_every_section_of_the_week_is_there() -> None:
    text = render.text(told(a_week()))
    for line in (
        "Mon 16 to Sun 22 Nov · written Mon 23 Nov 08:00 (Europe/Berlin)",
        "1 with a page · 1 with a ticket · 1 not measured · 1 not armed · 8 quiet · 96 % of 10,080 questions answered",
        "too few for contract-extractor · $20.42 spent of $192.00 allowed",
        f"alarm cleared automatically: {TITLES['negative_flips']}",
        "baseline of support approved by jo@example.com",
        "kim acknowledged the alarm: asking the platform team",
        "the server loads the base model itself",
        f"Read the answers: {ADDRESS}/baselines/9 $ cliffwatch baseline approve triage",
        "43 % of 840 questions of support without a usable answer",
        "judge-70b-2026-05: agrees with people's verdicts on 93 % of the anchors",
        "gpt-4o-2024-08-06 (base) retires in 38 days, on Thu 31 Dec; according to openai",
        "support-bot: $11.40 of $16.00 (71 %), 6,200 requests",
        "To do, triage: read the baseline of support",
        "Mon 30 Nov 08:00: this mail",
    ):
        assert line in " ".join(text.split()), line


def test_the_twin_tells_what_the_html_tells() -> None:
    shown = told(a_week())
    html, text = Tags(render.html(shown, {})), render.text(shown)
    flat = " ".join(html.text.split())
    for card in shown.cards:
        for item in card.items:
            assert item.text in flat
            assert item.text in " ".join(text.split())
            assert item.state in flat
            assert item.state in " ".join(text.split())
            if item.likely:
                assert f"Likely at fault: {item.likely[0]}. {item.likely[1]}" in flat
                assert f"  Likely at fault: {item.likely[0]}. " in text
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
    found = replace(found, beside=besides(found, contract=["model id"], lost=0.5))
    shown = told(found)
    assert all(item.likely for card in shown.cards for item in card.items)
    pictures = pictures_of(shown)
    assert len(pictures) == len(shown.cards) == 10
    assert render.size(shown, pictures) < LARGEST_HTML
    assert len(shown.cards) + len(shown.others.items) + shown.others.more == 300
    assert shown.headline.startswith("300 of 300 targets need attention, 300 with a page: 000-a-long-name")
    assert shown.changes.more > 2000
    assert len(letter(shown, pictures, "c@example.com", ["a@example.com"], NOW).body) < 400_000


def test_of_three_hundred_the_two_in_trouble_are_told_in_full_and_the_rest_counted() -> None:
    found = facts(LONG, alarms={name: [alarm(name, "canaries", 2)] for name in LONG[7:9]})
    shown = told(found)
    assert [card.name for card in shown.cards] == LONG[7:9]
    assert (shown.quiet_count, len(shown.quiet), len(shown.quiet_names)) == (298, 0, 200)
    html = render.html(shown, {key: ("cid:x", one) for key, one in pictures_of(shown).items()})
    assert len(html.encode()) < 60_000
    assert html.count("<img ") == 2
    assert "and 98 more" in html


def test_a_mail_that_is_still_too_large_is_told_shorter() -> None:
    found = facts(LONG, alarms={name: [alarm(name, "canaries", 2)] for name in LONG})
    sizes = [render.size(told(found, limits=limits), {}) for limits in PLAN]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < LARGEST_HTML / 3


@pytest.mark.parametrize(("length", "place"), [(1, 0), (30, 1), (60, 2), (130, 3), (400, 3)])
def test_the_longest_version_that_fits_is_sent_and_only_its_pictures_are_drawn(length: int, place: int) -> None:
    names, address = LONG[:30], f"{ADDRESS}/{'a-long-path/' * length}"
    found = facts(
        names,
        alarms={name: [alarm(name, signal, 2) for signal in TITLES] for name in names},
        latest={(n, SUITE): {s: finding(n, s, "They moved.", 0.5, alarming=True) for s in TITLES} for n in names},
    )
    whole = draft(found, address)
    pictures = pictures_of(whole.report())
    sent = trimmed(whole, whole.report(), pictures)
    assert sent.report == whole.report(PLAN[place])
    sizes = [render.size(whole.report(limits), pictures) for limits in PLAN]
    assert place == next((n for n, size in enumerate(sizes) if size <= LARGEST_HTML), len(PLAN) - 1), sizes
    assert list(sent.pictures) == [key for key in pictures if key in sent.report.charts]
    assert len(sent.pictures) == len(sent.report.cards) == PLAN[place].cards
    assert not any("png" in vars(one) for one in pictures.values()), "to measure is not to draw"
    letter(sent.report, sent.pictures, "c@example.com", ["a@example.com"], NOW)
    assert [key for key, one in pictures.items() if "png" in vars(one)] == list(sent.pictures)


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
    assert plain.get_content().replace("\r\n", "\n") == render.text(shown)


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
    html = render.html(told(found), {})
    tags = Tags(html)
    assert not tags.of("script")
    assert not tags.of("img")
    assert "&lt;script&gt;" in html
    for shown in (html, render.text(told(found))):
        assert not {"\x1b", "\u202e", "\u200b"} & set(shown)


def test_pages_that_nobody_knows_are_not_linked() -> None:
    shown = draft(a_week(), None).report()
    assert Tags(render.html(shown, {})).of("a") == []
    assert "http" not in render.text(shown)


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


def test_of_what_has_no_answer_the_silent_come_first() -> None:
    """A suite of which nothing is known by now stands before one that merely lost more in the week."""
    names, lost = ["lossy", "dead", "never-asked", "late", "fine"], RunOutcome.UNMEASURED
    at = {name: (name, SUITE) for name in names}
    found = facts(
        names,
        last={key: RunSummary(1, lost if name == "dead" else RunOutcome.PARTIAL, 9, 1, None, None, None)
              for name, key in at.items()},
        asked={at["lossy"]: {"": 5, "timeout": 5}, at["dead"]: {"": 90, "timeout": 10},
               at["late"]: {"": 99, "timeout": 1}, at["fine"]: {"": 100}},
        progress={key: progress(*key, NOW, 80 if name in ("late", "never-asked") else 3) for name, key in at.items()},
    )  # fmt: skip
    assert [item.name for item in told(found).unmeasured.items] == ["never-asked", "dead", "late", "lossy"]
