"""Composes one mail: reads the store, drafts the report once, cuts it to the size that mail programs show, adds charts.

The daemon and ``cliffwatch report`` compose with the same functions. Nothing here decides when a mail is sent.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from monitor.core import schedule
from monitor.core.records import Mail, MailStatus, SelfTest
from monitor.core.settings import Email, Settings
from monitor.core.signals import title
from monitor.detect.selftest import failures
from monitor.report.email import render
from monitor.report.email.charts import Picture, picture
from monitor.report.email.data import Facts, Key, read
from monitor.report.email.message import LARGEST_HTML, letter
from monitor.report.email.report import Draft, Limits, Report, draft, told_in_full
from monitor.report.explain.context import finding_context
from monitor.report.metrics import web_url
from monitor.runs.readonly import ReadContext

WEEKLY: Final = "weekly"
MANUAL: Final = "manual"
"""Kinds of mail: scheduled, and requested by a person."""

PERIOD_DAYS: Final = 7
"""Period of an unscheduled mail, in days of the schedule."""
HISTORY_DAYS: Final = 28
"""Period of a chart, in days of the schedule."""

PLAN: Final = (Limits(), Limits(8, 20, 8, 100), Limits(4, 10, 0, 40), Limits(1, 4, 0, 10))
"""Tried in this order until the HTML is small enough: a truncated mail says less than a short one."""


@dataclass(frozen=True, slots=True)
class Composed:
    """A composed mail that is not a message yet. Its pictures are drawn when they are used."""

    report: Report
    pictures: dict[Key, Picture]


def address_of(settings: Settings) -> str | None:
    """Address of the pages; ``None`` if the system chooses the port and ``http.url`` is not set."""
    return web_url(settings) if settings.http.url or settings.http.port else None


def compose(context: ReadContext, now: datetime, since: datetime | None = None) -> Composed:
    """The mail about [``since``, ``now``]. ``since`` defaults to seven days before ``now``."""
    begin = schedule.days_after(context.settings.schedule, now, -PERIOD_DAYS) if since is None else since
    whole = draft(_facts(context, begin, now), address_of(context.settings))
    longest = whole.report(PLAN[0])
    return trimmed(whole, longest, _pictures(context, longest, now))


def trimmed(whole: Draft, longest: Report, pictures: dict[Key, Picture]) -> Composed:
    """The longest version of ``PLAN`` whose HTML mail programs show in full; the last version in any case."""
    for limits in PLAN:
        report = longest if limits is PLAN[0] else whole.report(limits)
        charts = set(report.charts)
        shown = {key: one for key, one in pictures.items() if key in charts}
        if limits is PLAN[-1] or render.size(report, shown) <= LARGEST_HTML:
            return Composed(report, shown)
    raise AssertionError("unreachable")


def compose_mail(context: ReadContext, email: Email, kind: str, slot: datetime, now: datetime) -> Mail:
    """The mail of (kind, slot), composed at ``now``, ready for the outbox."""
    since = _told_until(context, email, slot) if kind == WEEKLY else None
    composed = compose(context, now, since)
    made = letter(composed.report, composed.pictures, email.sender, email.to, now)
    return Mail(
        kind, slot, made.message_id, made.subject, email.to, made.body, now, MailStatus.QUEUED, attempts=0, next_at=now
    )


def _facts(context: ReadContext, since: datetime, now: datetime) -> Facts:
    facts = read(context.store, context.settings, since, now, _blind(context))
    beside = {key: finding_context(context.store, found) for key, found in told_in_full(facts).items()}
    return replace(facts, beside=beside)


def _blind(context: ReadContext) -> dict[str, list[str]]:
    """Target -> the failures of its latest self-tests."""
    tests: dict[str, list[SelfTest]] = {}
    for one in context.store.self_tests():
        tests.setdefault(one.target, []).append(one)
    return {target: failures(found) for target, found in tests.items()}


def _pictures(context: ReadContext, whole: Report, now: datetime) -> dict[Key, Picture]:
    since = now - timedelta(seconds=HISTORY_DAYS * context.settings.schedule.day_seconds)
    series = context.store.series(since, only=whole.charts) if whole.charts else {}
    made = {key: picture(key[2], title(key[2]), series.get(key, ()), since, now) for key in whole.charts}
    return {key: one for key, one in made.items() if one is not None}


def _told_until(context: ReadContext, email: Email, slot: datetime) -> datetime:
    """Start of the period of the mail of ``slot``: the end of the previous mail's, so that nothing is repeated or lost.

    A mail covers the time up to its composition, which can be later than its slot if the daemon was down. The first
    mail begins at the slot before its own.
    """
    before = context.store.told_until(WEEKLY, slot)
    return before or schedule.current_slot(email.every, context.settings.schedule, slot - schedule.MICROSECOND)
