"""The mail as it is read out of a real store."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from monitor.core.records import Arm, AuditEntry, IdentityCheck, Match
from monitor.core.schedule import current_slot, days_after
from monitor.core.settings import Email
from monitor.report.email.compose import MANUAL, WEEKLY, compose, compose_mail
from monitor.report.email.message import LARGEST_HTML, preview
from monitor.report.explain.claim import claim_of
from monitor.report.explain.context import finding_context
from monitor.report.explain.onset import beginning
from monitor.runs.readonly import ReadOnlyContext
from monitor.store import Store, open_store
from tests import fleet


def context(store: Store, zone: str = "UTC") -> ReadOnlyContext:
    settings = fleet.settings()
    schedule = settings.schedule.model_copy(update={"timezone": zone})
    return ReadOnlyContext(settings.model_copy(update={"schedule": schedule}), {}, store, lambda: fleet.NOW)


def test_a_fleet_in_the_store_becomes_a_mail(fleet_file: Path) -> None:
    store = open_store(f"sqlite:///{fleet_file}")
    mail = compose(context(store), fleet.NOW)
    store.close()
    shown, pictures = mail.report, mail.pictures
    assert shown.headline == (
        "2 of 3 targets need attention, 1 with a page: support-bot answers like its base since 11:40; extractor is "
        "only partly measured"
    )
    assert [card.name for card in shown.cards] == ["support-bot", "extractor"]
    assert [one.name for one in shown.quiet] == ["summariser"]
    assert set(pictures) == {(name, fleet.SUITE, "adapter_loss") for name in ("support-bot", "summariser")}
    assert pictures["support-bot", fleet.SUITE, "adapter_loss"].alt.endswith("to 4% in 2 evaluations, 1 alarming")
    assert shown.unmeasured.items[0].text == "10 % of 40 questions of support without a usable answer (4 timed out)"
    assert shown.spend_told.startswith("$0.46 in the 8 UTC days of this mail; the budgets allow $48.00.")
    html = preview(shown, pictures)
    assert html.count("data:image/png;base64,") == 2
    for exhibit in fleet.EXHIBITS:
        assert exhibit.now[:40] not in html, "answers stay in the store"
    assert fleet.HOSTILE[:20] not in html


def test_mail_and_page_say_the_same_of_when_it_began_and_whose_fault_it_likely_is(fleet_file: Path) -> None:
    store = open_store(f"sqlite:///{fleet_file}")
    store.save_identity_checks([
        IdentityCheck("support-bot", Arm.SUBJECT, "root", Match.DIFFERS, "weights of its own", "<b>the base's</b>",
                      fleet.NOW, fleet.NOW),
    ])  # fmt: skip
    shown = compose(context(store, "Europe/Berlin"), fleet.NOW).report
    items = {item.link: item for item in shown.cards[0].items if item.command}
    latest = [one for one in store.latest_findings("support-bot") if one.alarming]
    assert len(items) == len(latest) == 2
    for found in latest:
        item = items[f"http://127.0.0.1:9464/targets/support-bot/{found.signal}"]
        claim, beside = claim_of(store, found), finding_context(store, found)
        assert claim.began is not None
        assert item.likely is not None
        assert item.likely[0] == claim.suspect == "the served model"
        first, before = beginning(found, beside.history, beside.alarm, beside.asked)
        assert first == claim.began
        assert before is not None
        assert claim.since == (
            f"Began between {before:%Y-%m-%d %H:%M} (last healthy evaluation) "
            f"and {first:%Y-%m-%d %H:%M} UTC (first seen)"
        )
        berlin = [f"{at.astimezone(ZoneInfo('Europe/Berlin')):%a %-d %b %H:%M}" for at in (before, first)]
        began = f"Began between {berlin[0]} (last healthy evaluation) and {berlin[1]} (first seen). "
        assert item.state.startswith(began), item.state
    served = next(item for item in shown.cards[0].items if item.name == "What is served")
    store.close()
    assert "The server loads the base model itself under this name. " in served.text
    assert "&lt;b&gt;the base's&lt;/b&gt;" in preview(shown, {})


def test_a_week_without_anything_is_told_as_such(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/empty.db")
    shown = compose(context(store), fleet.NOW).report
    mail = compose_mail(context(store), Email.model_validate(
        {"to": ["sre@example.com"], "sender": "c@example.com", "smtp": {"host": "smtp.example.com"}}
    ), MANUAL, fleet.NOW, fleet.NOW)  # fmt: skip
    store.close()
    assert shown.headline.startswith("3 of 3 targets need attention: extractor has no baseline, so it is not compared")
    assert shown.numbers[-2] == ("none", "of 0 questions answered")
    assert mail.recipients == ("sre@example.com",)
    assert len(mail.body) < LARGEST_HTML


def test_what_happened_before_the_period_is_no_news(fleet_file: Path) -> None:
    store = open_store(f"sqlite:///{fleet_file}")
    later = compose(context(store), fleet.NOW + timedelta(days=30)).report
    store.close()
    assert later.changes.items == ()
    assert later.cards[0].items[0].label == "Page", "an alarm stays open until it is cleared"
    assert "has not been measured" in later.headline or "answers like its base" in later.headline


EVERY_MONDAY = Email.model_validate(
    {"to": ["sre@example.com"], "sender": "c@example.com", "smtp": {"host": "mail.example.com"}, "every": "mon 08:00"}
)
WEEK, HOUR = timedelta(days=7), timedelta(hours=1)


class Mondays:
    """Mail after mail out of one store, each composed so long after its slot, with what happened up to then in it."""

    def __init__(self, folder: Path, first: str) -> None:
        self.store = open_store(f"sqlite:///{folder}/mondays.db")
        self.context = context(self.store, "Europe/Berlin")
        self.slot = self.monday(datetime.fromisoformat(first).replace(hour=12, tzinfo=UTC))
        self.number = count(1)
        self.happened: list[str] = []
        self.to_come: list[AuditEntry] = []

    def monday(self, now: datetime) -> datetime:
        return current_slot(EVERY_MONDAY.every, self.context.settings.schedule, now)

    def happens(self, at: datetime) -> str:
        """Somebody looks into something; the word by which it is known."""
        word = f"event-{next(self.number):03}"
        self.to_come.append(
            AuditEntry(at, "kim", "acknowledge", "summariser", fleet.SUITE, "alarm 1 (length)", word, None)
        )
        self.happened.append(word)
        return word

    def mailed(self, weeks: int, late: timedelta = timedelta(seconds=5), *, given_up: bool = False) -> list[str]:
        """What the mail of that Monday tells."""
        slot = self.monday(self.slot + weeks * WEEK + 6 * HOUR)
        now = slot + late
        for one in [one for one in self.to_come if one.at <= now]:
            self.store.add_audit_entry(one)
            self.to_come.remove(one)
        mail = self.store.enqueue(compose_mail(self.context, EVERY_MONDAY, WEEKLY, slot, now))
        assert mail is not None
        assert mail.id is not None
        assert self.store.take_mail(now, 60, mail.id) is not None
        if given_up:
            assert self.store.mail_failed(mail.id, 1, now, "550 no", None)
        else:
            assert self.store.mail_sent(mail.id, now)
        body = message_from_bytes(mail.body, policy=policy.default).get_body(("plain",))
        assert body is not None
        return [word for word in self.happened if word in body.get_content()]


@pytest.mark.parametrize("clocks", ["2026-03-30", "2026-10-26", "2026-11-16"])
def test_the_first_mail_begins_at_the_slot_before_by_the_clocks(tmp_path: Path, clocks: str) -> None:
    """The clocks change on the Sunday before; a week without a change beside them."""
    mondays = Mondays(tmp_path, clocks)
    last = mondays.monday(mondays.slot - HOUR)
    assert mondays.slot - last == {"2026-03-30": WEEK - HOUR, "2026-10-26": WEEK + HOUR}.get(clocks, WEEK)
    mondays.happens(last - HOUR / 2)
    told_of = [mondays.happens(at) for at in (last + HOUR / 2, mondays.slot - HOUR / 2)]
    assert mondays.mailed(0) == told_of
    mondays.store.close()


@pytest.mark.parametrize("clocks", ["2026-03-23", "2026-10-19", "2026-11-16"])
def test_nothing_is_told_twice_and_nothing_never(tmp_path: Path, clocks: str) -> None:
    """Over a change of the clocks, a mail that is five hours late, one that nobody got, and a week without a daemon."""
    mondays = Mondays(tmp_path, clocks)
    assert mondays.mailed(0) == []
    next_one = mondays.monday(mondays.slot + WEEK + 6 * HOUR)
    first = [mondays.happens(next_one + half * HOUR / 2) for half in range(-5, 10)]
    assert mondays.mailed(1, 5 * HOUR) == first
    second = [mondays.happens(next_one + half * HOUR / 2) for half in range(11, 15)]
    assert mondays.mailed(2, given_up=True) == second
    third = [mondays.happens(mondays.slot + days * WEEK / 7) for days in (15, 22, 27)]
    assert mondays.mailed(4) == [*second, *third]
    assert mondays.mailed(5) == []
    mondays.store.close()


def test_off_the_schedule_it_tells_of_seven_days_by_the_clocks(tmp_path: Path) -> None:
    mondays = Mondays(tmp_path, "2026-10-26")
    shown = compose(mondays.context, mondays.slot + HOUR).report
    mondays.store.close()
    assert days_after(mondays.context.settings.schedule, mondays.slot, -7) == mondays.monday(mondays.slot - HOUR)
    assert shown.period.startswith("Mon 19 to Sun 25 Oct")
