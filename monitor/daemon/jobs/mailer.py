"""The weekly e-mail from due to sent: composed from the store, kept in its outbox, handed to the server.

What is said stands in ``monitor.report.email``. Several daemons on one store compose a slot once and send it once: whoever
leases the mail sends it. One that dies between the server's word and its own note leaves a mail that is sent again,
with the same Message-ID.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from monitor.core import schedule
from monitor.core.records import Mail, MailStatus, SelfTest
from monitor.core.settings import Email, Settings
from monitor.core.wording import TITLES
from monitor.detect.selftest import failures
from monitor.report.email import render
from monitor.report.email.charts import Picture, picture
from monitor.report.email.data import Facts, Key, read
from monitor.report.email.message import LARGEST_HTML, Letter, letter
from monitor.report.email.report import Limits, Report, report, told_in_full
from monitor.report.email.smtp import LEASE_SECONDS, Handed, deliver, next_try
from monitor.report.explain import claim
from monitor.report.metrics import web_url
from monitor.runs.context import House
from monitor.runs.readonly import Kept

log = structlog.get_logger()

WEEKLY: Final = "weekly"
MANUAL: Final = "manual"
"""Kinds of mail: the schedule's, and one that a person asked for."""

SINCE: Final = "email_since"
"""State key: when mail was first configured. A new installation does not send last week's mail."""

LOOK_SECONDS: Final = 15.0
"""Between two looks at the outbox; less on a trial's faster clock."""
TRY_AGAIN: Final = timedelta(minutes=1)
"""After an error of ours."""

PERIOD_DAYS: Final = 7
"""What a mail off the schedule tells of, in days of the schedule."""
HISTORY_DAYS: Final = 28
"""What a picture shows, in days of the schedule."""

SMALLER: Final = (Limits(8, 20, 8, 100), Limits(4, 10, 0, 40), Limits(1, 4, 0, 10))
"""Tried in this order until the HTML is small enough: a mail that is cut says less than a short one."""


def address_of(settings: Settings) -> str | None:
    """Where people reach the pages; ``None`` where the port is the system's choice and nobody wrote an address."""
    return web_url(settings) if settings.http.url or settings.http.port else None


def told(house: Kept, now: datetime, since: datetime | None = None) -> Report:
    """What the mail says as of ``now``, of the time from ``since``: the same time seven days ago when left out."""
    return report(_facts(house, now, since), address_of(house.settings))


def written(house: Kept, now: datetime, since: datetime | None = None) -> tuple[Report, dict[Key, Picture]]:
    """The same with its pictures, and no longer than a mail program shows."""
    facts, address = _facts(house, now, since), address_of(house.settings)
    whole = report(facts, address)
    pictures = _pictures(house, whole, now)
    for limits in SMALLER:
        if render.size(whole, pictures) <= LARGEST_HTML:
            break
        whole = report(facts, address, limits)
        pictures = {key: one for key, one in pictures.items() if key in whole.charts}
    return whole, pictures


def _facts(house: Kept, now: datetime, since: datetime | None) -> Facts:
    begin = schedule.days_after(house.settings.schedule, now, -PERIOD_DAYS) if since is None else since
    facts = read(house.store, house.settings, begin, now, _blind(house))
    beside = {key: claim.beside_of(house.store, found) for key, found in told_in_full(facts).items()}
    return replace(facts, beside=beside)


def _blind(house: Kept) -> dict[str, list[str]]:
    """Target -> what its latest self-tests failed at."""
    tests: dict[str, list[SelfTest]] = {}
    for one in house.store.self_tests():
        tests.setdefault(one.target, []).append(one)
    return {target: failures(found) for target, found in tests.items()}


def _pictures(house: Kept, whole: Report, now: datetime) -> dict[Key, Picture]:
    since = now - timedelta(seconds=HISTORY_DAYS * house.settings.schedule.day_seconds)
    series = house.store.series(since, only=whole.charts) if whole.charts else {}
    drawn = {key: picture(key[2], TITLES.get(key[2], key[2]), series.get(key, ()), since, now) for key in whole.charts}
    return {key: one for key, one in drawn.items() if one is not None}


def composed(house: Kept, email: Email, kind: str, slot: datetime, now: datetime) -> Mail:
    """The mail of (kind, slot) as of ``now``, ready for the outbox."""
    since = _told_until(house, email, slot) if kind == WEEKLY else None
    made: Letter = letter(*written(house, now, since), email.sender, email.to, now)
    return Mail(
        kind, slot, made.message_id, made.subject, email.to, made.body, now, MailStatus.QUEUED, attempts=0, next_at=now
    )


def _told_until(house: Kept, email: Email, slot: datetime) -> datetime:
    """Where the mail of ``slot`` begins: where the one before ended, so that nothing is told twice or never.

    A mail tells how things stand when it is composed, which is some time after its slot where the daemon was down, and
    so up to then. The first begins at the slot before its own.
    """
    before = house.store.told_until(WEEKLY, slot)
    return before or schedule.current_slot(email.every, house.settings.schedule, slot - schedule.MICROSECOND)


def due_slot(house: House, email: Email, now: datetime) -> datetime | None:
    """The slot whose mail is to be composed, if there is one: of several that were missed only the latest."""
    slot = schedule.current_slot(email.every, house.settings.schedule, now)
    began = house.store.get_state(SINCE)
    if began is None:
        house.store.set_state(SINCE, now.isoformat())
        return None
    missing = slot > datetime.fromisoformat(began) and not house.store.has_mail(WEEKLY, slot)
    return slot if missing else None


async def settle(house: House, mail: Mail, handed: Handed) -> Mail:
    """Write down what became of an attempt, and log it; the mail as it stands now."""
    assert mail.id is not None
    store, now = house.store, house.clock()
    words = "; ".join(f"{who}: {said}" for who, said in {**handed.refused, **handed.later}.items())
    known = {"mail": mail.id, "kind": mail.kind, "message_id": mail.message_id, "attempt": mail.attempts}
    if not handed.later and handed.taken:
        await asyncio.to_thread(store.mail_sent, mail.id, now, words or None)
        log.info("mail_sent", recipients=len(handed.taken), **known)
        if handed.refused:
            log.error("mail_refused_for_some", error=words, **known)
    else:
        again = next_try(mail, now) if handed.later else None
        left = tuple(handed.later) if handed.taken else None
        await asyncio.to_thread(store.mail_failed, mail.id, mail.attempts, now, words, again, left)
        if again is None:
            log.error("mail_refused", error=words, next="it is not tried again: cliffwatch report --send", **known)
        else:
            log.warning("mail_delayed", error=words, again_at=again.isoformat(), **known)
    return await asyncio.to_thread(store.mail, mail.id) or mail


class Mailer:
    """The daemon's: composes the mail at its slot and hands over what the outbox holds, beside everything else."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._delivery: asyncio.Task[Handed] | None = None
        self._ending = False
        self._look_at: datetime | None = None

    def begin(self, house: House, now: datetime) -> None:
        """Look for what is due, if nothing is at work and the last look was a while ago."""
        email = house.settings.email
        busy = self._task is not None and not self._task.done()
        if email is None or busy or self._ending or (self._look_at is not None and now < self._look_at):
            return
        pause = LOOK_SECONDS * house.settings.schedule.day_seconds / schedule.FULL_DAY
        self._look_at = now + timedelta(seconds=pause)
        self._task = asyncio.create_task(self._work(house, email, now), name="mailer")

    async def end(self) -> None:
        """Break off a delivery (the mail is given back) and wait for what is being composed."""
        self._ending = True
        if self._delivery is not None:
            self._delivery.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self, house: House, email: Email, now: datetime) -> None:
        try:
            try:
                await asyncio.to_thread(self._compose, house, email, now)
            finally:  # a mail that cannot be composed holds up none that was
                await self._empty(house, email)
        except Exception:
            self._look_at = house.clock() + TRY_AGAIN
            log.exception("mailer_failed", next=f"it is tried again in {TRY_AGAIN.total_seconds():.0f} s")

    async def _empty(self, house: House, email: Email) -> None:
        """Hand over all that is due."""
        while not self._ending:
            mail = await asyncio.to_thread(house.store.take_mail, house.clock(), LEASE_SECONDS)
            if mail is None:
                return
            await self._hand_over(house, email, mail)

    def _compose(self, house: House, email: Email, now: datetime) -> None:
        slot = due_slot(house, email, now)
        if slot is None or self._ending:
            return
        mail = house.store.enqueue(composed(house, email, WEEKLY, slot, now))
        if mail is not None:
            log.info("mail_composed", mail=mail.id, slot=slot.isoformat(), subject=mail.subject, bytes=len(mail.body))

    async def _hand_over(self, house: House, email: Email, mail: Mail) -> None:
        if self._ending:
            return await asyncio.to_thread(give_back, house, mail)
        self._delivery = asyncio.create_task(deliver(email, mail), name=f"mail-{mail.id}")
        try:
            handed = await self._delivery
        except asyncio.CancelledError:
            return await asyncio.to_thread(give_back, house, mail)
        finally:
            self._delivery = None
        await settle(house, mail, handed)


def give_back(house: House, mail: Mail) -> None:
    """Let go of a mail that was not handed over, so that a restart goes on at once; no word to its recipients."""
    assert mail.id is not None
    now = house.clock()
    house.store.mail_failed(mail.id, mail.attempts, now, "stopped while it was being sent", now)


async def send_now(house: House, email: Email, environ: Mapping[str, str] = os.environ) -> Mail:
    """Compose a mail of now and hand it over: one attempt, the rest is the daemon's. The mail as it stands then."""
    now = house.clock()
    queued = await asyncio.to_thread(lambda: house.store.enqueue(composed(house, email, MANUAL, now, now)))
    assert queued is not None, "a moment has one mail"
    mail = await asyncio.to_thread(house.store.take_mail, house.clock(), LEASE_SECONDS, queued.id)
    if mail is None:  # a daemon was faster
        return await _watched(house, queued)
    try:
        handed = await deliver(email, mail, environ)
    except asyncio.CancelledError:
        give_back(house, mail)
        raise
    return await settle(house, mail, handed)


async def _watched(house: House, queued: Mail) -> Mail:
    """The mail when whoever took it has made its attempt."""
    assert queued.id is not None
    for _ in range(round(LEASE_SECONDS)):
        mail = await asyncio.to_thread(house.store.mail, queued.id)
        if mail is None or mail.status is not MailStatus.QUEUED or mail.failed_at is not None:
            return mail or queued
        await asyncio.sleep(1)
    return replace(queued, error="a daemon took it, and has not said what became of it")
