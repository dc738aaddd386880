"""The outbox: composed once, held by one sender at a time, and never lost."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from monitor.core.records import Mail, MailState, MailStatus
from monitor.store import Store
from tests.store_records import DAY, LEASE, NOW, SECOND, SLOT


def composed(kind: str = "weekly", days: int = 0) -> Mail:
    at = NOW + days * DAY
    return Mail(
        kind, SLOT + days * DAY, f"<{kind}.{days}@example.com>", "1 of 2 targets needs attention – bot",
        ("sre@example.com", "boss@example.com"), b"Subject: x\r\n\r\nbody \x00\xff", at, MailStatus.QUEUED, 0, at,
    )  # fmt: skip


def queued(store: Store, kind: str = "weekly", days: int = 0) -> Mail:
    mail = store.enqueue(composed(kind, days))
    assert mail is not None
    return mail


def taken(store: Store, seconds: float = 0) -> Mail | None:
    return store.take_mail(NOW + seconds * SECOND, LEASE)


def test_a_mail_comes_back_as_it_was_composed(store: Store) -> None:
    mail = queued(store)
    assert replace(mail, id=None) == composed()
    assert mail.id is not None
    assert store.mail(mail.id) == mail
    assert store.mail(mail.id + 1) is None


def test_a_slot_is_composed_once(store: Store) -> None:
    first = queued(store)
    assert first.id is not None
    again = replace(composed(), message_id="<another@example.com>", body=b"another")
    assert store.enqueue(again) is None
    kept = store.mail(first.id)
    assert kept is not None
    assert kept.message_id == first.message_id
    assert store.has_mail("weekly", SLOT)
    assert not store.has_mail("manual", SLOT)
    assert not store.has_mail("weekly", SLOT + DAY)
    queued(store, "manual")
    queued(store, days=7)


def test_twenty_threads_composing_one_slot_leave_one_mail(store: Store) -> None:
    mails = [replace(composed(), message_id=f"<{n}@example.com>") for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        made = [mail for mail in pool.map(store.enqueue, mails) if mail is not None]
    assert len(made) == 1
    assert store.mail_state().queued == 1


def test_twenty_threads_taking_one_mail_give_it_to_one(store: Store) -> None:
    queued(store)
    with ThreadPoolExecutor(20) as pool:
        got = [mail for mail in pool.map(lambda _: taken(store), range(20)) if mail is not None]
    assert len(got) == 1
    assert (got[0].attempts, got[0].lease_until) == (1, NOW + timedelta(seconds=LEASE))


def test_a_mail_whose_sender_died_is_taken_again_when_its_lease_is_over(store: Store) -> None:
    mail = queued(store)
    assert taken(store) is not None
    assert taken(store, LEASE - 1) is None
    again = taken(store, LEASE)
    assert again is not None
    assert (again.id, again.attempts, again.message_id) == (mail.id, 2, mail.message_id)


def test_a_mail_that_is_sent_is_not_taken_again_even_by_a_late_word(store: Store) -> None:
    mail = queued(store)
    assert mail.id is not None
    first = taken(store)
    second = taken(store, LEASE)
    assert first is not None
    assert second is not None
    assert store.mail_sent(mail.id, NOW + 11 * SECOND), "the first sender's server took it after all"
    assert not store.mail_sent(mail.id, NOW + 12 * SECOND)
    assert not store.mail_failed(mail.id, second.attempts, NOW, "cut", None)
    done = store.mail(mail.id)
    assert done is not None
    assert (done.status, done.sent_at, done.error) == (MailStatus.SENT, NOW + 11 * SECOND, None)
    assert taken(store, 1000) is None


def test_a_failure_waits_until_its_next_time(store: Store) -> None:
    mail = queued(store)
    assert mail.id is not None
    assert taken(store) is not None
    assert store.mail_failed(mail.id, 1, NOW, "451 greylisted \x00\ud800", NOW + 60 * SECOND)
    assert taken(store, 59) is None
    again = taken(store, 60)
    assert again is not None
    assert (again.attempts, again.failed_at, again.error) == (2, NOW, "451 greylisted \ufffd?")
    assert not store.mail_failed(mail.id, 1, NOW, "an older attempt", None), "the mail is another's by now"
    assert store.mail_sent(mail.id, NOW + 61 * SECOND, "boss@example.com refused")
    done = store.mail(mail.id)
    assert done is not None
    assert (done.status, done.error) == (MailStatus.SENT, "boss@example.com refused")


def test_a_mail_that_is_given_up_stays_given_up(store: Store) -> None:
    mail = queued(store)
    assert mail.id is not None
    assert taken(store) is not None
    assert store.mail_failed(mail.id, 1, NOW, "550 no", None)
    done = store.mail(mail.id)
    assert done is not None
    assert (done.status, done.error, done.lease_until) == (MailStatus.REFUSED, "550 no", None)
    assert taken(store, 10_000) is None


def test_those_who_have_it_do_not_get_it_again(store: Store) -> None:
    mail = queued(store)
    assert mail.id is not None
    assert taken(store) is not None
    later = NOW + 60 * SECOND
    assert store.mail_failed(mail.id, 1, NOW, "boss: 451 later", later, left=["boss@example.com"])
    again = taken(store, 60)
    assert again is not None
    assert again.recipients == ("boss@example.com",)
    assert store.mail_failed(mail.id, 2, later, "boss: 550 no", None)
    done = store.mail(mail.id)
    assert done is not None
    assert (done.status, done.error) == (MailStatus.SENT, "boss: 550 no"), "somebody has it"


def test_a_mail_that_is_given_up_as_it_reaches_the_first_is_sent(store: Store) -> None:
    """The first delivery after three days: one recipient takes it, the other is to wait, and it is too old for that."""
    mail = queued(store)
    assert mail.id is not None
    assert taken(store) is not None
    assert store.mail_failed(mail.id, 1, NOW, "boss: 451 later", None, left=["boss@example.com"])
    done = store.mail(mail.id)
    assert done is not None
    assert (done.status, done.sent_at, done.recipients) == (MailStatus.SENT, NOW, ("boss@example.com",))
    assert store.mail_state() == MailState(NOW, 0, None, 0)


def test_up_to_when_the_mail_before_tells(store: Store) -> None:
    assert store.told_until("weekly", SLOT) is None
    sent, given_up, _ = queued(store), queued(store, days=7), queued(store, "manual", days=8)
    assert store.told_until("weekly", SLOT + 7 * DAY) == sent.composed_at
    assert store.told_until("weekly", SLOT + 14 * DAY) == given_up.composed_at, "it may still go out"
    assert store.told_until("weekly", SLOT) is None, "its own is none before it"
    assert given_up.id is not None
    assert store.take_mail(NOW + 7 * DAY, LEASE, given_up.id) is not None
    assert store.mail_failed(given_up.id, 1, NOW, "550 no", None)
    assert store.told_until("weekly", SLOT + 14 * DAY) == sent.composed_at, "nobody was told"


def test_the_longest_waiting_goes_first_unless_one_is_named(store: Store) -> None:
    late, soon = queued(store, days=0), queued(store, "manual", days=1)
    assert soon.id is not None
    assert store.take_mail(NOW - SECOND, LEASE) is None
    now = NOW + 2 * DAY
    named = store.take_mail(NOW, LEASE, soon.id)
    assert named is not None
    assert named.id == soon.id
    assert store.take_mail(NOW, LEASE, soon.id) is None, "somebody is at it"
    first = store.take_mail(now, LEASE)
    assert first is not None
    assert first.id == late.id


def test_the_state_counts_what_waits_and_what_was_given_up_since_the_last_sent(store: Store) -> None:
    assert store.mail_state() == MailState(None, 0, None, 0)
    first, second = queued(store), queued(store, days=7)
    assert first.id is not None
    assert second.id is not None
    assert store.mail_state() == MailState(None, 2, NOW, 0)
    assert taken(store) is not None
    assert store.mail_failed(first.id, 1, NOW + SECOND, "550 no", None)
    assert store.mail_state() == MailState(None, 1, NOW + 7 * DAY, 1)
    assert store.mail_sent(second.id, NOW + 8 * DAY)
    assert store.mail_state() == MailState(NOW + 8 * DAY, 0, None, 0), "what was given up before is history"


def test_old_mail_is_dropped_but_not_what_still_waits(store: Store) -> None:
    done, waiting = queued(store), queued(store, "manual")
    assert done.id is not None
    assert waiting.id is not None
    assert store.mail_sent(done.id, NOW)
    queued(store, days=90)
    assert store.mail(done.id) is not None
    queued(store, days=91)
    assert store.mail(done.id) is None
    assert store.mail(waiting.id) is not None


def test_the_newest_of_a_kind_stays_so_that_a_rare_mail_is_not_composed_twice(store: Store) -> None:
    rare = queued(store)
    assert rare.id is not None
    assert store.mail_sent(rare.id, NOW)
    queued(store, "manual", days=120)
    assert store.has_mail("weekly", SLOT), "an hour ago or months ago, its slot is done"
