"""The outbox: mail that is composed once and sent at least once, with the lease of its sender."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, case, delete, func, or_, select, update

from monitor.core.records import Mail, MailState, MailStatus
from monitor.store.base import Connected
from monitor.store.column_types import clean
from monitor.store.dialect import insert
from monitor.store.tables import outbox

KEPT: Final = timedelta(days=90)
"""How long a sent or abandoned mail is kept, except for the newest of its kind: its body contains pictures."""

WAITING: Final = outbox.c.status == MailStatus.QUEUED.value


def _to_mail(row: Any) -> Mail:
    values = dict(row._mapping)
    return Mail(**{**values, "status": MailStatus(row.status), "recipients": tuple(row.recipients)})


class OutboxReads(Connected):
    """Methods that read the outbox."""

    def mail(self, mail_id: int) -> Mail | None:
        """One mail of the outbox, or ``None``."""
        with self._database.read() as connection:
            row = connection.execute(select(outbox).where(outbox.c.id == mail_id)).first()
            return None if row is None else _to_mail(row)

    def has_mail(self, kind: str, slot: datetime) -> bool:
        """Whether the mail of (kind, slot) was composed."""
        with self._database.read() as connection:
            where = (outbox.c.kind == kind, outbox.c.slot == slot)
            return connection.execute(select(outbox.c.id).where(*where)).first() is not None

    def told_until(self, kind: str, slot: datetime) -> datetime | None:
        """When the mail of this kind before ``slot`` was composed, which is the end of its period. Abandoned mail does
        not count. ``None`` if there is none."""
        with self._database.read() as connection:
            where = (outbox.c.kind == kind, outbox.c.slot < slot, outbox.c.status != MailStatus.REFUSED.value)
            newest = select(outbox.c.composed_at).where(*where).order_by(outbox.c.slot.desc()).limit(1)
            return connection.execute(newest).scalar()

    def mail_state(self) -> MailState:
        """When mail was last sent, what waits, and what was abandoned since; for the metrics."""
        with self._database.read() as connection:
            # Read without the bodies.
            last = connection.execute(select(func.max(outbox.c.sent_at))).scalar()
            count, oldest = connection.execute(
                select(func.count(), func.min(outbox.c.composed_at)).select_from(outbox).where(WAITING)
            ).one()
            refused = [outbox.c.status == MailStatus.REFUSED.value]
            refused += [] if last is None else [outbox.c.failed_at > last]
            given_up = connection.execute(select(func.count()).select_from(outbox).where(*refused)).scalar_one()
            return MailState(last, int(count), oldest, int(given_up))


class Outbox(Connected):
    """Methods that add, claim and settle mail."""

    def enqueue(self, mail: Mail) -> Mail | None:
        """Put a composed mail into the outbox; ``None`` if one of its (kind, slot) exists, which is kept."""
        with self._database.write() as connection:
            # The newest of each kind stays, whatever its age: it shows that its slot is done.
            newest = select(func.max(outbox.c.id)).group_by(outbox.c.kind)
            old = and_(outbox.c.composed_at < mail.composed_at - KEPT, ~WAITING, outbox.c.id.not_in(newest))
            connection.execute(delete(outbox).where(old))
            values = asdict(mail) | {
                "status": mail.status.value, "subject": clean(mail.subject), "recipients": list(mail.recipients)
            }  # fmt: skip
            del values["id"]
            made = insert(connection, outbox).values(values).on_conflict_do_nothing(index_elements=["kind", "slot"])
            row = connection.execute(made.returning(outbox)).first()
            return None if row is None else _to_mail(row)

    def take_mail(self, now: datetime, lease_seconds: float, mail_id: int | None = None) -> Mail | None:
        """Claim the mail that is due longest, or the given one, for ``lease_seconds``; counts the attempt.

        ``None`` if no mail is due, or another sender holds it. Mail of a sender that died is claimed again when its
        lease ends. It may have been sent already, so it is sent again with the same Message-ID.
        """
        with self._database.write() as connection:
            free = and_(WAITING, or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= now))
            mine = outbox.c.next_at <= now if mail_id is None else outbox.c.id == mail_id
            first = select(outbox.c.id).where(free, mine).order_by(outbox.c.next_at, outbox.c.id).limit(1)
            found = connection.execute(first.with_for_update(skip_locked=True)).scalar()
            if found is None:
                return None
            taken = (
                update(outbox)
                .where(outbox.c.id == found, free)
                .values(lease_until=now + timedelta(seconds=lease_seconds), attempts=outbox.c.attempts + 1)
            )
            row = connection.execute(taken.returning(outbox)).first()
            return None if row is None else _to_mail(row)

    def mail_sent(self, mail_id: int, now: datetime, note: str | None = None) -> bool:
        """Mark it as sent. ``note``: refused recipients, if any. ``False`` if it was already marked."""
        with self._database.write() as connection:
            # This counts whoever holds the lease now, so that it is not sent again.
            values = {"status": MailStatus.SENT.value, "sent_at": now, "lease_until": None, "error": clean(note)}
            done = update(outbox).where(outbox.c.id == mail_id, outbox.c.status != MailStatus.SENT.value).values(values)
            return connection.execute(done.returning(outbox.c.id)).first() is not None

    def mail_failed(
        self, mail_id: int, attempt: int, now: datetime, error: str, next_at: datetime | None,
        left: Sequence[str] | None = None,
    ) -> bool:  # fmt: skip
        """Mark it as failed with ``error``: it is retried at ``next_at``, or abandoned if that is ``None``.

        ``attempt``: the ``attempts`` of the mail when it was claimed. If that is not the latest, or the mail is done,
        nothing is written and the result is ``False``. ``left``: recipients without it, if others received it.
        """
        with self._database.write() as connection:
            values: dict[str, Any] = {"failed_at": now, "error": clean(error), "lease_until": None}
            if left is not None:
                values |= {"recipients": list(left), "sent_at": now}
            if next_at is not None:
                values["next_at"] = next_at
            elif left is not None:
                values["status"] = MailStatus.SENT.value
            else:
                # Mail that some recipients received in an earlier attempt counts as sent.
                refused = case((outbox.c.sent_at.is_(None), MailStatus.REFUSED.value), else_=MailStatus.SENT.value)
                values["status"] = refused
            held = and_(outbox.c.id == mail_id, outbox.c.attempts == attempt, WAITING)
            return (
                connection.execute(update(outbox).where(held).values(values).returning(outbox.c.id)).first() is not None
            )
