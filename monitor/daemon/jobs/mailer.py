"""When the weekly e-mail is composed, and how it gets from the outbox to the server.

What it says is composed in ``monitor.report.email.compose``. Several daemons on one store compose a slot once and send
it once: whoever leases the mail sends it. One that dies between the server's word and its own note leaves a mail that
is sent again, with the same Message-ID.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from monitor.core import schedule
from monitor.core.records import Mail, MailStatus
from monitor.core.settings import Email
from monitor.report.email.compose import MANUAL, WEEKLY, compose_mail
from monitor.report.email.smtp import LEASE_SECONDS, Handed, deliver, next_try
from monitor.runs.context import RunContext

log = structlog.get_logger()

SINCE: Final = "email_since"
"""State key: when mail was first configured. A new installation does not send last week's mail."""

LOOK_SECONDS: Final = 15.0
"""Between two looks at the outbox; less on a trial's faster clock."""
TRY_AGAIN: Final = timedelta(minutes=1)
"""After an error of ours."""


def due_slot(context: RunContext, email: Email, now: datetime) -> datetime | None:
    """The slot whose mail is to be composed, if there is one: of several that were missed only the latest."""
    slot = schedule.current_slot(email.every, context.settings.schedule, now)
    began = context.store.get_state(SINCE)
    if began is None:
        context.store.set_state(SINCE, now.isoformat())
        return None
    missing = slot > datetime.fromisoformat(began) and not context.store.has_mail(WEEKLY, slot)
    return slot if missing else None


async def settle(context: RunContext, mail: Mail, handed: Handed) -> Mail:
    """Write down what became of an attempt, and log it; the mail as it stands now."""
    assert mail.id is not None
    store, now = context.store, context.clock()
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

    def begin(self, context: RunContext, now: datetime) -> None:
        """Look for what is due, if nothing is at work and the last look was a while ago."""
        email = context.settings.email
        busy = self._task is not None and not self._task.done()
        if email is None or busy or self._ending or (self._look_at is not None and now < self._look_at):
            return
        pause = LOOK_SECONDS * context.settings.schedule.day_seconds / schedule.FULL_DAY
        self._look_at = now + timedelta(seconds=pause)
        self._task = asyncio.create_task(self._work(context, email, now), name="mailer")

    async def end(self) -> None:
        """Break off a delivery (the mail is given back) and wait for what is being composed."""
        self._ending = True
        if self._delivery is not None:
            self._delivery.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self, context: RunContext, email: Email, now: datetime) -> None:
        try:
            try:
                await asyncio.to_thread(self._compose, context, email, now)
            finally:  # a mail that cannot be composed holds up none that was
                await self._empty(context, email)
        except Exception:
            self._look_at = context.clock() + TRY_AGAIN
            log.exception("mailer_failed", next=f"it is tried again in {TRY_AGAIN.total_seconds():.0f} s")

    async def _empty(self, context: RunContext, email: Email) -> None:
        """Hand over all that is due."""
        while not self._ending:
            mail = await asyncio.to_thread(context.store.take_mail, context.clock(), LEASE_SECONDS)
            if mail is None:
                return
            await self._hand_over(context, email, mail)

    def _compose(self, context: RunContext, email: Email, now: datetime) -> None:
        slot = due_slot(context, email, now)
        if slot is None or self._ending:
            return
        mail = context.store.enqueue(compose_mail(context, email, WEEKLY, slot, now))
        if mail is not None:
            log.info("mail_composed", mail=mail.id, slot=slot.isoformat(), subject=mail.subject, bytes=len(mail.body))

    async def _hand_over(self, context: RunContext, email: Email, mail: Mail) -> None:
        if self._ending:
            return await asyncio.to_thread(give_back, context, mail)
        self._delivery = asyncio.create_task(deliver(email, mail), name=f"mail-{mail.id}")
        try:
            handed = await self._delivery
        except asyncio.CancelledError:
            return await asyncio.to_thread(give_back, context, mail)
        finally:
            self._delivery = None
        await settle(context, mail, handed)


def give_back(context: RunContext, mail: Mail) -> None:
    """Let go of a mail that was not handed over, so that a restart goes on at once; no word to its recipients."""
    assert mail.id is not None
    now = context.clock()
    context.store.mail_failed(mail.id, mail.attempts, now, "stopped while it was being sent", now)


async def send_now(context: RunContext, email: Email, environ: Mapping[str, str] = os.environ) -> Mail:
    """Compose a mail of now and hand it over: one attempt, the rest is the daemon's. The mail as it stands then."""
    now = context.clock()
    queued = await asyncio.to_thread(lambda: context.store.enqueue(compose_mail(context, email, MANUAL, now, now)))
    assert queued is not None, "a moment has one mail"
    mail = await asyncio.to_thread(context.store.take_mail, context.clock(), LEASE_SECONDS, queued.id)
    if mail is None:  # a daemon was faster
        return await _watched(context, queued)
    try:
        handed = await deliver(email, mail, environ)
    except asyncio.CancelledError:
        give_back(context, mail)
        raise
    return await settle(context, mail, handed)


async def _watched(context: RunContext, queued: Mail) -> Mail:
    """The mail when whoever took it has made its attempt."""
    assert queued.id is not None
    for _ in range(round(LEASE_SECONDS)):
        mail = await asyncio.to_thread(context.store.mail, queued.id)
        if mail is None or mail.status is not MailStatus.QUEUED or mail.failed_at is not None:
            return mail or queued
        await asyncio.sleep(1)
    return replace(queued, error="a daemon took it, and has not said what became of it")
