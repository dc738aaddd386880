"""The run ledger: one row a slot, one worker a run, and a fence that keeps a stale worker out."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest

from monitor.core.errors import StoreError
from monitor.core.records import RunOutcome
from monitor.store import Store
from tests.store_records import DAY, LEASE, NOW, SECOND, SLOT, claimed, make_run


def test_a_slot_has_one_run(store: Store) -> None:
    first = make_run(store)
    again = store.ensure_run("bot", "support", SLOT, seed=99, suite_digest="other", next_at=NOW)
    assert again == first
    assert (first.status, first.fence, first.seed, first.starts_at) == ("due", 0, 7, SLOT)
    assert make_run(store, SLOT + DAY).id != first.id
    assert make_run(store, target="other").id != first.id


def test_twenty_threads_making_one_slot_make_one_run(store: Store) -> None:
    with ThreadPoolExecutor(20) as pool:
        ids = {run.id for run in pool.map(lambda _: make_run(store), range(20))}
    assert len(ids) == 1
    assert len(store.runs()) == 1


def test_the_largest_seed_fits(store: Store) -> None:
    run = store.ensure_run("bot", "support", SLOT, 2**63 - 1, "digest", SLOT)
    assert store.get_run(run.id).seed == 2**63 - 1


def test_latest_slot_counts_scheduled_runs_only(store: Store) -> None:
    assert store.latest_slots() == {}
    make_run(store, SLOT)
    make_run(store, SLOT - DAY)
    store.ensure_run("bot", "support", NOW, 1, "digest", NOW, scheduled=False)
    assert store.latest_slots() == {("bot", "support"): SLOT}


def due(store: Store, now: datetime) -> list[int]:
    return [run.id for run in store.due_runs(now)]


def test_due_runs_are_those_whose_time_has_come_and_that_nobody_holds(store: Store) -> None:
    late, soon, held = (make_run(store, target=name) for name in ("late", "soon", "held"))
    store.claim(held.id, NOW, LEASE)
    fence = store.claim(soon.id, NOW, LEASE)
    assert fence is not None
    assert store.release(soon.id, fence.fence, NOW + 30 * SECOND)
    assert due(store, NOW) == [late.id]
    assert due(store, NOW + 30 * SECOND) == [late.id, held.id, soon.id]
    assert [run.id for run in store.due_runs(NOW + 30 * SECOND, limit=1)] == [late.id]
    assert store.due_runs(SLOT - SECOND) == []


def test_a_run_that_confirms_a_page_overtakes_those_that_wait_longer(store: Store) -> None:
    waiting = [make_run(store, SLOT + number * SECOND).id for number in range(2)]
    fresh = store.ensure_run("bot", "support", NOW, 1, "digest", NOW, scheduled=False, confirms=waiting[0])
    assert due(store, NOW) == [fresh.id, *waiting]
    assert [run.id for run in store.due_runs(NOW, limit=1)] == [fresh.id]


def test_a_lease_keeps_others_out_until_it_expires(store: Store) -> None:
    first = claimed(store)
    assert (first.status, first.attempt, first.fence) == ("running", 1, 1)
    assert first.lease_until == NOW + timedelta(seconds=LEASE)
    assert store.claim(first.id, NOW + 9 * SECOND, LEASE) is None
    second = store.claim(first.id, NOW + 10 * SECOND, LEASE)
    assert second is not None
    assert (second.attempt, second.fence) == (2, 2)


def test_a_stale_fence_moves_nothing(store: Store) -> None:
    stale = claimed(store)
    current = store.claim(stale.id, NOW + 60 * SECOND, LEASE)
    assert current is not None
    assert not store.extend_lease(stale.id, stale.fence, NOW + 900 * SECOND)
    assert not store.release(stale.id, stale.fence, NOW)
    assert not store.finish(stale.id, stale.fence, RunOutcome.MEASURED, (), NOW)
    assert store.get_run(stale.id) == current


def test_extending_never_shortens_a_lease(store: Store) -> None:
    run = claimed(store)
    assert store.extend_lease(run.id, run.fence, NOW + 60 * SECOND)
    assert store.extend_lease(run.id, run.fence, NOW + 5 * SECOND)
    assert store.get_run(run.id).lease_until == NOW + 60 * SECOND


def test_a_finished_run_is_left_alone(store: Store) -> None:
    run = claimed(store)
    assert store.finish(run.id, run.fence, RunOutcome.PARTIAL, (), NOW)
    done = store.get_run(run.id)
    assert (done.status, done.outcome, done.finished_at, done.lease_until) == ("done", RunOutcome.PARTIAL, NOW, None)
    assert store.claim(run.id, NOW + DAY, LEASE) is None
    assert store.due_runs(NOW + DAY) == []
    assert store.finish(run.id, run.fence, RunOutcome.UNMEASURED, (), NOW + DAY), "told the same as before"
    assert store.get_run(run.id) == done
    assert store.progress()[0].runs[RunOutcome.UNMEASURED] == 0


def test_two_threads_claiming_one_run_get_it_once(store: Store) -> None:
    run = make_run(store)
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda _: store.claim(run.id, NOW, LEASE), range(64)))
    assert sum(one is not None for one in got) == 1


def test_progress_counts_what_became_of_runs(store: Store) -> None:
    for day, outcome in enumerate((RunOutcome.MEASURED, RunOutcome.PARTIAL, RunOutcome.UNMEASURED)):
        at = NOW + day * DAY
        run = claimed(store, SLOT + day * DAY, at)
        store.finish(run.id, run.fence, outcome, (), at + SECOND)
    (progress,) = store.progress()
    assert progress.last_attempt == NOW + 2 * DAY
    assert progress.last_success == NOW + DAY + SECOND, "an unmeasured run is no success"
    assert progress.runs == {RunOutcome.MEASURED: 1, RunOutcome.PARTIAL: 1, RunOutcome.UNMEASURED: 1}


def test_an_unknown_run_is_said(store: Store) -> None:
    with pytest.raises(StoreError, match="no run 12"):
        store.get_run(12)
    assert store.claim(12, NOW, LEASE) is None


def test_times_keep_their_moment_to_the_microsecond(store: Store) -> None:
    elsewhere = datetime(2026, 3, 29, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    run = store.ensure_run("bot", "support", elsewhere, 1, "digest", elsewhere)
    assert run.slot == elsewhere
    assert run.slot.tzinfo is UTC
    assert store.get_run(run.id).slot == elsewhere
    assert store.ensure_run("bot", "support", elsewhere.astimezone(UTC), 1, "digest", elsewhere).id == run.id


def test_a_naive_time_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="naive"):
        make_run(store, datetime(2026, 11, 22))  # noqa: DTZ001


def test_runs_are_listed_newest_first(store: Store) -> None:
    made = [make_run(store, SLOT + day * DAY) for day in (1, 0, 2)]
    make_run(store, target="other")
    assert [run.id for run in store.runs("bot", "support")] == [made[2].id, made[0].id, made[1].id]
    assert len(store.runs("bot", limit=2)) == 2


def test_state_is_kept_by_key(store: Store) -> None:
    assert store.get_state("email") is None
    store.set_state("email", "sent")
    store.set_state("email", "sent again")
    assert store.get_state("email") == "sent again"


def test_the_queue_holds_the_runs_of_known_streams_however_many_others_wait(store: Store) -> None:
    others = [make_run(store, target=f"gone-{n}").id for n in range(30)]
    ours = make_run(store, SLOT + SECOND)
    assert due(store, NOW)[:30] == others
    assert [run.id for run in store.due_runs(NOW, limit=10, streams={("bot", "support")})] == [ours.id]
    assert {run.id for run in store.orphans(NOW, {("bot", "support")})} == set(others)


def test_runs_that_nobody_will_ask_end_unmeasured(store: Store) -> None:
    waiting, held = make_run(store, target="gone"), make_run(store, target="held")
    orphans = store.orphans(NOW, ())
    assert store.claim(held.id, NOW, LEASE) is not None
    assert store.close_unmeasured(orphans, NOW) == 1
    ended = store.get_run(waiting.id)
    assert (ended.status, ended.outcome, ended.finished_at) == ("done", RunOutcome.UNMEASURED, NOW)
    assert store.get_run(held.id).status == "running"
    gone = next(one for one in store.progress() if one.target == "gone")
    assert (gone.runs[RunOutcome.UNMEASURED], gone.last_success) == (1, None)


def finished(store: Store, slot: datetime, now: datetime) -> int:
    """A scheduled run of the slot, made by a daemon whose clock says ``now``, and measured."""
    run = store.ensure_run("bot", "support", slot, 1, "digest", slot, now=now)
    assert (mine := store.claim(run.id, now, LEASE)) is not None
    assert store.finish(run.id, mine.fence, RunOutcome.MEASURED, (), now)
    return run.id


@pytest.mark.parametrize("days", [1, 400])
def test_a_clock_that_was_ahead_leaves_nothing_that_lasts(store: Store, days: int) -> None:
    ahead = finished(store, SLOT + days * DAY, NOW + days * DAY)
    assert store.future_times(NOW) == {("bot", "support"): NOW + days * DAY}
    assert store.future_times(NOW + days * DAY) == {}
    today = finished(store, SLOT, NOW)
    assert store.latest_slots() == {("bot", "support"): SLOT}
    (progress,) = store.progress()
    assert (progress.last_success, progress.last_attempt) == (NOW, NOW)
    assert store.last_finished()["bot", "support"].run_id == today
    assert store.future_times(NOW) == {}
    then = finished(store, SLOT + days * DAY, NOW + days * DAY)
    assert then not in (ahead, today), "that day is asked when it comes"
    assert [run.id for run in store.runs("bot")] == [then, ahead, today]
    again = store.ensure_run("bot", "support", SLOT + days * DAY, 1, "digest", NOW, now=NOW + days * DAY)
    assert again.id == then


def test_a_clock_that_is_behind_changes_no_history(store: Store) -> None:
    """A machine that starts in an earlier year asks the run of that day, and the days before stay as they are."""
    days = [finished(store, SLOT + day * DAY, NOW + day * DAY) for day in range(3)]
    past = finished(store, SLOT - 2000 * DAY, NOW - 2000 * DAY)
    assert [run.slot for run in store.runs("bot")] == [*(SLOT + day * DAY for day in (2, 1, 0)), SLOT - 2000 * DAY]
    newest = finished(store, SLOT + 3 * DAY, NOW + 3 * DAY)
    assert store.last_finished()["bot", "support"].run_id == newest
    assert [run.id for run in store.runs("bot")] == [newest, *reversed(days), past]


def test_a_lease_of_a_clock_that_was_ahead_holds_nobody_back(store: Store) -> None:
    run = make_run(store)
    assert store.claim(run.id, NOW + 400 * DAY, LEASE) is not None
    assert due(store, NOW) == [run.id]
    assert store.claim(run.id, NOW, LEASE) is not None
    assert due(store, NOW) == []
