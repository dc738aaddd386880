"""Who did what, and who looks into which alarm, on either store."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from threading import Barrier

import pytest

from monitor.core.errors import CliffwatchError, StoreError, UsageError
from monitor.core.records import Alarm, AlarmState, AuditEntry, Run, RunOutcome, Severity
from monitor.store import Store
from tests.store_records import DAY, NOW, SECOND, SLOT, alarm, claimed, finding


def entry(target: str | None = "bot", **changes: object) -> AuditEntry:
    made = AuditEntry(NOW, "alice", "clear", target, "support", "alarm 7 (length)", "the new prompt", "192.0.2.7")
    return replace(made, **changes)  # type: ignore[arg-type]


def raised(store: Store) -> tuple[Run, Alarm]:
    """A run whose page waits for its fresh sample, and that alarm."""
    run = claimed(store)
    found = [finding(run, alarming=True, severity=Severity.PAGE)]
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, NOW, moves=[alarm(run, severity=Severity.PAGE)])
    (opened,) = store.open_alarms("bot", "support")
    return run, opened


def test_deeds_come_back_newest_first_and_by_target(store: Store) -> None:
    first, other, last = [store.add_audit_entry(entry(target)) for target in ("bot", "other", "bot")]
    assert first == replace(entry(), id=first.id)
    assert store.audit_entries() == [last, other, first]
    assert store.audit_entries("bot") == [last, first]
    assert store.audit_entries("bot", limit=1) == [last]
    assert store.audit_entries("nobody") == []


def test_a_deed_may_hold_any_text(store: Store) -> None:
    kept = store.add_audit_entry(entry(None, why="a\x00b \ud800 \u202e <b>", suite=None, subject=None, address=None))
    assert kept.why == "a\N{REPLACEMENT CHARACTER}b ? \u202e <b>"
    assert store.audit_entries() == [kept]


def test_an_acknowledged_alarm_goes_on_as_it_is(store: Store) -> None:
    _, before = raised(store)
    assert before.id is not None
    assert store.alarm(before.id) == before
    assert store.acknowledge(before.id, "alice", "restarting vLLM", NOW + SECOND)
    (after,) = store.open_alarms("bot", "support")
    assert after == replace(
        before, acknowledged_at=NOW + SECOND, acknowledged_by="alice", acknowledged_why="restarting vLLM"
    )
    assert store.acknowledge(before.id, "bob", "taking over", NOW + 2 * SECOND)
    assert store.open_alarms("bot", "support")[0].acknowledged_by == "bob"


def test_a_verdict_that_read_the_alarm_before_does_not_undo_the_acknowledgement(store: Store) -> None:
    run, stale = raised(store)
    assert stale.id is not None
    assert store.acknowledge(stale.id, "alice", "restarting vLLM", NOW)
    fresh = claimed(store, SLOT + DAY, NOW + DAY)
    moved = replace(stale, state=AlarmState.CONFIRMED, confirmed_at=NOW + DAY, confirmed_run_id=fresh.id)
    assert store.finish(fresh.id, fresh.fence, RunOutcome.MEASURED, (), NOW + DAY, moves=[moved])
    (now,) = store.open_alarms("bot", "support")
    assert (now.state, now.acknowledged_by, now.acknowledged_at) == (AlarmState.CONFIRMED, "alice", NOW)
    assert run.id == now.raised_run_id


def test_who_looked_into_it_stays_on_record_when_it_is_over(store: Store) -> None:
    _, opened = raised(store)
    assert opened.id is not None
    store.acknowledge(opened.id, "alice", "restarting vLLM", NOW)
    cleared = replace(opened, state=AlarmState.CLEARED, cleared_at=NOW, cleared_by="bob", cleared_why="planned")
    assert store.clear_alarm(cleared, entry=entry())
    (over,) = store.alarms("bot")
    assert (over.cleared_by, over.acknowledged_by) == ("bob", "alice")
    assert not store.acknowledge(opened.id, "carol", "too late", NOW, entry=entry(who="carol"))
    assert not store.clear_alarm(cleared, entry=entry(who="carol"))
    assert store.alarms("bot") == [over]
    assert [one.who for one in store.audit_entries()] == ["alice"], "what was not done is not on record as done"


def test_an_alarm_that_is_not_there(store: Store) -> None:
    assert store.alarm(99) is None
    assert not store.acknowledge(99, "alice", "why", NOW)


@pytest.mark.parametrize(("by", "why"), [("", "why"), (" ", "why"), ("alice", "\n")])
def test_an_acknowledgement_needs_a_name_and_words(store: Store, by: str, why: str) -> None:
    _, opened = raised(store)
    assert opened.id is not None
    with pytest.raises(UsageError, match="say who you are"):
        store.acknowledge(opened.id, by, why, NOW)


def test_a_baseline_s_deeds_are_written_with_it_or_not_at_all(store: Store) -> None:
    opened = store.open_baseline("bot", "support", "digest", "m", None, SLOT, SLOT + DAY)
    with pytest.raises(CliffwatchError, match="it is being captured"):
        store.approve(opened.id, "alice", "read", NOW, entry=entry(action="approve"))
    assert store.audit_entries() == []
    run = claimed(store)
    store.finish(run.id, run.fence, RunOutcome.MEASURED, (), NOW)
    assert store.close_due_baselines(SLOT + DAY) == [opened.id]
    store.approve(opened.id, "alice", "read", NOW, entry=entry(action="approve"))
    store.retire(opened.id, "alice", "stale", NOW, entry=entry(action="retire"))
    assert [one.action for one in store.audit_entries()] == ["retire", "approve"]


def test_a_run_says_whether_the_schedule_made_it(store: Store) -> None:
    planned = store.ensure_run("bot", "support", SLOT, 1, "digest", SLOT)
    by_hand = store.ensure_run("bot", "support", NOW, 1, "digest", NOW, scheduled=False)
    assert (planned.scheduled, by_hand.scheduled) == (True, False)
    assert [one.scheduled for one in store.runs("bot")] == [False, True]


def test_a_run_made_by_hand_is_due_with_its_deed_or_not_at_all(store: Store) -> None:
    def of(run: Run) -> AuditEntry:
        return entry(action="run", subject=f"run {run.id}")

    def lost(run: Run) -> AuditEntry:
        raise StoreError("the store went away")

    with pytest.raises(StoreError, match="went away"):
        store.ensure_run("bot", "support", NOW, 1, "digest", NOW, scheduled=False, entry=lost)
    assert store.due_runs(NOW) == [], "what is not on record costs nothing"
    made = store.ensure_run("bot", "support", NOW, 1, "digest", NOW, scheduled=False, entry=of)
    assert [run.id for run in store.due_runs(NOW)] == [made.id]
    assert [one.subject for one in store.audit_entries()] == [f"run {made.id}"]


def test_all_that_nobody_looks_into_is_acknowledged_in_one_transaction_and_once(store: Store) -> None:
    run = claimed(store)
    signals = ("length", "contract", "distribution")
    found = [finding(run, signal=one, alarming=True) for one in signals]
    moves = [alarm(run, signal=one) for one in signals]
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, NOW, moves=moves)
    opened = {one.signal: one for one in store.open_alarms("bot", "support")}
    assert store.acknowledge(opened["length"].id or 0, "bob", "mine", NOW)
    over = replace(opened["contract"], state=AlarmState.CLEARED, cleared_at=NOW, cleared_by="bob", cleared_why="no")
    assert store.clear_alarm(over, entry=entry())

    def mine(one: Alarm) -> AuditEntry:
        return entry(action="acknowledge", subject=f"alarm {one.id} ({one.signal})")

    with pytest.raises(UsageError):
        store.acknowledge_all("bot", "alice", " ", NOW, mine)
    done = store.acknowledge_all("bot", "alice", "restarting vLLM", NOW + SECOND, mine)
    assert [one.subject for one in done] == [f"alarm {opened['distribution'].id} (distribution)"]
    assert {one.signal: one.acknowledged_by for one in store.open_alarms("bot", "support")} == {
        "length": "bob", "distribution": "alice",
    }  # fmt: skip
    assert store.acknowledge_all("bot", "alice", "again", NOW + 2 * SECOND, mine) == []
    assert store.acknowledge_all("other", "alice", "restarting vLLM", NOW, mine) == []
    assert store.audit_entries("bot")[0] == done[0]
    assert len(store.audit_entries()) == 2


def test_whoever_comes_first_has_all_of_them(store: Store) -> None:
    run = claimed(store)
    signals = ("length", "contract", "distribution")
    found = [finding(run, signal=one, alarming=True) for one in signals]
    moves = [alarm(run, signal=one) for one in signals]
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, NOW, moves=moves)
    at_once = Barrier(6)

    def take(who: str) -> list[AuditEntry]:
        at_once.wait(30)
        return store.acknowledge_all("bot", who, "on it", NOW, lambda one: entry(who=who, subject=str(one.id)))

    with ThreadPoolExecutor(6) as pool:
        done = [one for some in pool.map(take, "abcdef") for one in some]
    assert sorted(str(one.subject) for one in done) == sorted(
        str(one.id) for one in store.open_alarms("bot", "support")
    )
    assert {one.subject: one.who for one in done} == {
        str(one.id): one.acknowledged_by for one in store.open_alarms("bot", "support")
    }


def test_a_verdict_on_the_same_alarms_waits_until_all_are_acknowledged(store: Store) -> None:
    run = claimed(store)
    signals = ("contract", "distribution")
    found = [finding(run, signal=one, alarming=True) for one in signals]
    moves = [alarm(run, signal=one) for one in signals]
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, NOW, moves=moves)
    moved = [replace(one, note="moved") for one in reversed(store.open_alarms("bot", "support"))]
    fresh = claimed(store, SLOT + DAY, NOW + DAY)
    verdicts: list[Future[bool]] = []
    with ThreadPoolExecutor(1) as pool:

        def mine(one: Alarm) -> AuditEntry:
            if not verdicts:  # the newest alarm is taken; a verdict begins with the oldest
                verdicts.append(
                    pool.submit(store.finish, fresh.id, fresh.fence, RunOutcome.MEASURED, (), NOW + DAY, moves=moved)
                )
                wait(verdicts, timeout=0.5)
            return entry(action="acknowledge", subject=str(one.id))

        assert len(store.acknowledge_all("bot", "alice", "restarting vLLM", NOW, mine)) == 2
    assert verdicts[0].result()
    assert [(one.note, one.acknowledged_by) for one in store.open_alarms("bot", "support")] == [("moved", "alice")] * 2
