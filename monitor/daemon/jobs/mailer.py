"""Composes the weekly e-mail at its time, and sends mail from the outbox to the server.

``monitor.report.email.compose`` composes the content. Several daemons on one store compose and send each mail once: the
daemon with the lease sends it. If that daemon dies after the server's reply and before recording it, the mail is sent
again with the same Message-ID.
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
"""State key of the time when mail was first configured: a new installation does not send last week's mail."""

LOOK_SECONDS: Final = 15.0
"""Interval of checks of the outbox; shorter on a demo's fast clock."""
TRY_AGAIN: Final = timedelta(minutes=1)
"""Delay after an internal error."""


def due_slot(context: RunContext, email: Email, now: datetime) -> datetime | None:
    """The slot whose mail is due, or ``None``; of several missed slots only the latest."""
    slot = schedule.current_slot(email.every, context.settings.schedule, now)
    began = context.store.get_state(SINCE)
    if began is None or datetime.fromisoformat(began) > now:  # in the future: a clock was ahead
        context.store.set_state(SINCE, now.isoformat())
        return None
    missing = slot > datetime.fromisoformat(began) and not context.store.has_mail(WEEKLY, slot)
    return slot if missing else None


async def settle(context: RunContext, mail: Mail, handed: Handed) -> Mail:
    """Record and log the result of an attempt. Returns the updated mail."""
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
            log.error("mail_refused", error=words, next="not retried; to send it: cliffwatch report --send", **known)
        else:
            log.warning("mail_delayed", error=words, again_at=again.isoformat(), **known)
    return await asyncio.to_thread(store.mail, mail.id) or mail


class Mailer:
    """The daemon's job: composes the mail at its slot and sends mail from the outbox, without delaying other work."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._delivery: asyncio.Task[Handed] | None = None
        self._ending = False
        self._look_at: datetime | None = None

    def begin(self, context: RunContext, now: datetime) -> None:
        """Check what is due, unless a check is in progress or recent."""
        email = context.settings.email
        busy = self._task is not None and not self._task.done()
        # A later time than an hour was set by a clock that was ahead.
        early = self._look_at is not None and now < self._look_at < now + timedelta(hours=1)
        if email is None or busy or self._ending or early:
            return
        pause = LOOK_SECONDS * context.settings.schedule.day_seconds / schedule.FULL_DAY
        self._look_at = now + timedelta(seconds=pause)
        self._task = asyncio.create_task(self._work(context, email, now), name="mailer")

    async def end(self) -> None:
        """Cancel a delivery (the mail returns to the outbox) and wait for a mail that is being composed."""
        self._ending = True
        if self._delivery is not None:
            self._delivery.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self, context: RunContext, email: Email, now: datetime) -> None:
        try:
            try:
                await asyncio.to_thread(self._compose, context, email, now)
            finally:  # an error in composing must not delay composed mail
                await self._empty(context, email)
        except Exception:
            self._look_at = context.clock() + TRY_AGAIN
            log.exception("mailer_failed", next=f"retry in {TRY_AGAIN.total_seconds():.0f} s")

    async def _empty(self, context: RunContext, email: Email) -> None:
        """Send all mail that is due."""
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
    """Return an unsent mail to the outbox, so that a restart sends it at once."""
    assert mail.id is not None
    now = context.clock()
    context.store.mail_failed(mail.id, mail.attempts, now, "stopped while it was being sent", now)


async def send_now(context: RunContext, email: Email, environ: Mapping[str, str] = os.environ) -> Mail:
    """Compose and send a mail now, with one attempt; the daemon retries. Returns the updated mail."""
    now = context.clock()
    queued = await asyncio.to_thread(lambda: context.store.enqueue(compose_mail(context, email, MANUAL, now, now)))
    assert queued is not None, "the slot is new"
    mail = await asyncio.to_thread(context.store.take_mail, context.clock(), LEASE_SECONDS, queued.id)
    if mail is None:  # a daemon has taken it
        return await _watched(context, queued)
    try:
        handed = await deliver(email, mail, environ)
    except asyncio.CancelledError:
        give_back(context, mail)
        raise
    return await settle(context, mail, handed)


async def _watched(context: RunContext, queued: Mail) -> Mail:
    """Returns the mail after the attempt of the daemon that took it."""
    assert queued.id is not None
    for _ in range(round(LEASE_SECONDS)):
        mail = await asyncio.to_thread(context.store.mail, queued.id)
        if mail is None or mail.status is not MailStatus.QUEUED or mail.failed_at is not None:
            return mail or queued
        await asyncio.sleep(1)
    return replace(queued, error="a daemon took it and has not recorded a result")
