"""What servers list, now and at an approval; the last requests of a model; and accepted values."""

from dataclasses import replace

import pytest

from monitor.core.records import (
    Accepted,
    Arm,
    AuditEntry,
    Exchange,
    Reason,
    RunOutcome,
    ServedBy,
    ServedMetadata,
    Unmeasured,
)
from monitor.store import Store
from tests.store_records import DAY, NOW, SECOND, SLOT, answer, claimed, recorded, unmeasured

TUNED = ServedMetadata("bot", Arm.SUBJECT, "tuned", {"root": "/adapters/tuned", "parent": "plain"}, NOW)


def approved(store: Store, day: int = 0, suite: str = "support") -> int:
    start = SLOT + day * DAY
    run = claimed(store, start, start)
    store.record([recorded(run, answer(), "p")])
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, [], start)
    opened = store.open_baseline("bot", suite, "digest", "tuned", None, start, start + DAY)
    store.close_due_baselines(start + DAY)
    store.approve(opened.id, "ada", "read", start + DAY)
    return opened.id


def test_what_a_server_says_is_replaced_and_kept_at_the_approval(store: Store) -> None:
    store.save_served_metadata([TUNED, replace(TUNED, target="other"), replace(TUNED, arm=Arm.BASE, facts={})])
    approved(store)
    moved = replace(TUNED, facts={"root": "/adapters/judge"}, seen_at=NOW + SECOND)
    store.save_served_metadata([moved])
    assert moved in store.served_metadata("bot")
    assert len(store.served_metadata()) == 3
    kept = {one.arm: (one, at) for one, at in store.approved_metadata("bot")}
    assert kept[Arm.SUBJECT] == (TUNED, SLOT + DAY)
    assert kept[Arm.BASE][0].facts == {}
    assert store.approved_metadata("other") == [], "it has no approved baseline"


def test_the_newest_approval_counts_and_a_retired_one_does_not(store: Store) -> None:
    store.save_served_metadata([TUNED])
    approved(store)
    moved = replace(TUNED, facts={"root": "/adapters/new"})
    store.save_served_metadata([moved])
    second = approved(store, 2)
    assert [one.facts["root"] for one, _ in store.approved_metadata("bot")] == ["/adapters/new"]
    store.retire(second, "ada", "wrong", NOW)
    assert store.approved_metadata("bot") == []


def test_a_whole_fleet_of_lists_is_written(store: Store) -> None:
    fleet = [replace(TUNED, target=f"bot-{n:03}") for n in range(450)]
    store.save_served_metadata(fleet)
    store.save_served_metadata([])
    assert sorted(store.served_metadata(), key=lambda one: one.target) == fleet


def refused(status: int | None) -> Unmeasured:
    exchange = Exchange({}, {"error": "no"}, status)
    return Unmeasured(Reason.REJECTED, f"HTTP {status} no such model", NOW, exchange=exchange)


def test_the_last_requests_are_those_of_the_newest_run_with_a_reply(store: Store) -> None:
    first = claimed(store, SLOT, NOW)
    store.record([recorded(first, answer(model="tuned-1"), "p0")])
    second = claimed(store, SLOT + DAY, NOW + DAY)
    store.record([
        recorded(second, refused(404), "p0"), recorded(second, refused(None), "p1"),
        recorded(second, unmeasured(Reason.TIMEOUT), "p2"), recorded(second, answer(model="plain"), "p3"),
        recorded(second, answer(), "p0", arm=Arm.BASE),
    ])  # fmt: skip
    third = claimed(store, SLOT + 2 * DAY, NOW + 2 * DAY)
    store.record([recorded(third, unmeasured(Reason.CONNECTION), "p0")])
    found = store.last_requests("bot", Arm.SUBJECT, "vllm", "m")
    assert {(one.answered, one.status, one.said) for one in found} == {
        (False, 404, None), (False, None, None), (True, 200, "plain"),
    }  # fmt: skip
    assert store.last_requests("bot", Arm.SUBJECT, "vllm", "another") == []
    assert store.last_requests("other", Arm.SUBJECT, "vllm", "m") == []
    assert len(store.last_requests("bot", Arm.BASE, "vllm", "m")) == 1


def test_who_served_the_answers_is_counted(store: Store) -> None:
    run = claimed(store, SLOT, NOW)
    store.record([
        recorded(run, answer(served={"provider": "One"}, cached_tokens=0), "p0"),
        recorded(run, answer(served={"provider": "One", "region": "eu"}, cached_tokens=64), "p1"),
        recorded(run, answer(), "p2"), recorded(run, answer(served={"provider": "Two"}), "p3", arm=Arm.BASE),
        recorded(run, unmeasured(), "p4"),
    ])  # fmt: skip
    assert store.served_by([run.id])[0] == ServedBy("provider", "One", 2, 3)
    assert {(one.name, one.value, one.answers) for one in store.served_by([run.id])} == {
        ("provider", "One", 2), ("region", "eu", 1),
        ("cached prompt tokens", "none", 1), ("cached prompt tokens", "some", 1),
    }  # fmt: skip
    assert store.served_by([]) == []


ENTRY = AuditEntry(NOW, "ada", "accept", "bot", "support", "fingerprint 'fp-2'", "upgrade", None)


def test_a_value_counts_from_its_acceptance_within_the_limits_of_time(store: Store) -> None:
    first = Accepted("bot", "support", "fingerprint", "fp-2", "ada", "upgrade", NOW)
    later = replace(first, at=NOW + DAY, why="again")
    before = store.position("bot", "support")
    assert store.accept([first], ENTRY)
    assert store.position("bot", "support") != before, "a verdict that did not see it is reached again"
    assert store.accept([later, replace(first, part="model_id", value="m", at=NOW + DAY)], ENTRY)
    assert store.accepted("bot", "support")[0] == first
    values = store.accepted_values
    assert values("bot", "support", None, None) == {"fingerprint": {"fp-2"}, "model_id": {"m"}}
    assert values("bot", "support", None, NOW) == {"fingerprint": {"fp-2"}}
    assert values("bot", "support", NOW + DAY, None) == {"fingerprint": {"fp-2"}, "model_id": {"m"}}
    assert values("bot", "support", None, NOW - SECOND) == {}
    assert values("bot", "support", NOW + 2 * DAY, None) == {}
    assert values("bot", "other", None, None) == {}
    assert [one.action for one in store.audit_entries("bot")] == ["accept", "accept"]


@pytest.mark.parametrize("value", ["\x00", "\ud800", "x" * 4_000])
def test_odd_values_are_stored(store: Store, value: str) -> None:
    assert store.accept([Accepted("bot", "support", "fingerprint", value, "ada", "why", NOW)], ENTRY)
    assert len(store.accepted("bot")) == 1
