"""What endpoints say, kept: the latest word with the moment it turned; and whether a snapshot is ready."""

from dataclasses import replace

import pytest

from monitor.core.records import Arm, IdentityCheck, Match, Outcome, Reason, Retirement, Rollback, RunOutcome, Score
from monitor.store import Store
from tests.store_records import DAY, NOW, SECOND, SLOT, answer, claimed, recorded, unmeasured

CHECK = IdentityCheck("bot", Arm.SUBJECT, "listed", Match.MATCHES, "support", "listed", NOW, NOW)
RETIREMENT = Retirement("bot", Arm.BASE, "gpt-4o-2024-08-06", NOW + 30 * DAY, "openai", NOW)


def test_since_is_when_a_check_turned(store: Store) -> None:
    store.save_identity_checks([CHECK])
    for hours, matches, since in ((1, True, 0), (2, False, 2), (3, False, 2), (4, True, 4)):
        at = NOW + hours * 3600 * SECOND
        store.save_identity_checks(
            [replace(CHECK, result=Match.of(matches), found=f"found {hours}", checked_at=at, since=at)]
        )
        (kept,) = store.identity_checks("bot")
        assert (kept.result is Match.MATCHES, kept.found, kept.checked_at) == (matches, f"found {hours}", at)
        assert kept.since == NOW + since * 3600 * SECOND


def test_checks_are_kept_by_target_arm_and_name_and_dropped_by_them(store: Store) -> None:
    others = [replace(CHECK, arm=Arm.BASE), replace(CHECK, check="parent"), replace(CHECK, target="other")]
    store.save_identity_checks([CHECK, *others])
    assert store.identity_checks() == [others[0], CHECK, others[1], others[2]]
    store.drop_identity_checks([("bot", Arm.SUBJECT, "listed"), ("other", Arm.SUBJECT, "listed")])
    assert store.identity_checks() == [others[0], others[1]]
    store.drop_identity_checks([])
    assert len(store.identity_checks("bot")) == 2


def test_a_whole_fleet_is_written_and_dropped(store: Store) -> None:
    fleet = [replace(CHECK, target=f"bot-{n:04}") for n in range(501)]
    store.save_identity_checks(fleet)
    store.save_retirements([replace(RETIREMENT, target=one.target) for one in fleet])
    assert store.identity_checks() == fleet
    store.drop_identity_checks([(one.target, one.arm, one.check) for one in fleet[1:]])
    store.drop_retirements([(one.target, Arm.BASE) for one in fleet[1:]])
    assert (store.identity_checks(), len(store.retirements())) == (fleet[:1], 1)


def test_what_a_server_says_is_kept_short_and_clean(store: Store) -> None:
    store.save_identity_checks([replace(CHECK, found="\x00\ud800" + "x" * 5000)])
    (kept,) = store.identity_checks()
    assert len(kept.found) == 1000
    assert kept.found.startswith("\N{REPLACEMENT CHARACTER}?xxx")


def test_retirements_are_replaced_and_dropped(store: Store) -> None:
    store.save_retirements([RETIREMENT, replace(RETIREMENT, target="other")])
    sooner = replace(RETIREMENT, retires_at=NOW + DAY, source="config", checked_at=NOW + SECOND)
    store.save_retirements([sooner])
    assert store.retirements("bot") == [sooner]
    store.drop_retirements([("bot", Arm.BASE)])
    assert [one.target for one in store.retirements()] == ["other"]


def asked(store: Store, day: int, outcomes: list[tuple[Outcome, float | None]], arm: Arm = Arm.SNAPSHOT) -> int:
    """A finished run with these outcomes of one arm, one a probe; the numbers are their checks' scores."""
    run = claimed(store, SLOT + day * DAY, NOW + day * DAY)
    store.record([recorded(run, outcome, f"p{n}", arm=arm) for n, (outcome, _) in enumerate(outcomes)])
    scores = [
        Score(arm, f"p{n}", 0, grader, value)
        for n, (_, number) in enumerate(outcomes)
        if number is not None
        for grader, value in (("check:contains", 1.0), ("check:format", number), ("checks", number))
    ]
    assert store.add_scores(run.id, run.fence, scores)
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, [], NOW + day * DAY)
    return run.id


PASSES: tuple[Outcome, float | None] = (answer(), 1.0)
FAILS: tuple[Outcome, float | None] = (answer(), 0.0)
DOWN: tuple[Outcome, float | None] = (unmeasured(), None)


def baseline(store: Store, outcomes: list[tuple[Outcome, float | None]]) -> None:
    asked(store, 0, outcomes, Arm.SUBJECT)
    opened = store.open_baseline("bot", "support", "digest", "m", None, SLOT, SLOT + DAY)
    store.close_due_baselines(SLOT + DAY)
    store.approve(opened.id, "test", "as it should be", NOW)


def test_a_snapshot_that_was_never_asked_has_no_readiness(store: Store) -> None:
    asked(store, 0, [PASSES] * 5, Arm.SUBJECT)
    assert store.rollback() == []


def test_readiness_is_of_the_last_three_runs(store: Store) -> None:
    asked(store, 0, [DOWN] * 5)
    assert store.rollback() == [Rollback("bot", 0.0, None, False, NOW, None, 5)]
    for day in (1, 2, 3):
        asked(store, day, [PASSES] * 5)
        (found,) = store.rollback("bot")
        assert found.answered == pytest.approx(day / (day + 1) if day < 3 else 1.0)
        assert (found.passed, found.asked_at) == (1.0, NOW + day * DAY)
        assert found.ready is (day == 3), "two of three is less than 0.8"
    assert store.rollback("other") == []


def test_a_snapshot_that_is_no_longer_asked_falls_out(store: Store) -> None:
    asked(store, 0, [PASSES] * 5)
    for day in (1, 2):
        asked(store, day, [PASSES] * 5, Arm.SUBJECT)
        assert store.rollback()
    asked(store, 3, [PASSES] * 5, Arm.SUBJECT)
    assert store.rollback() == []


def test_a_snapshot_that_fails_what_the_baseline_passes_is_not_ready(store: Store) -> None:
    baseline(store, [PASSES, PASSES, PASSES, PASSES, FAILS, FAILS])
    asked(store, 1, [PASSES, FAILS, FAILS, FAILS, FAILS])
    (few,) = store.rollback()
    assert few.passed == pytest.approx(0.2)
    assert few.expected == pytest.approx(0.8), "on the same five probes"
    assert few.ready, "five answers say too little"
    asked(store, 2, [PASSES, FAILS, FAILS, FAILS, FAILS])
    (found,) = store.rollback()
    assert not found.ready
    for day in (3, 4, 5):
        asked(store, day, [PASSES, PASSES, PASSES, FAILS, FAILS])
    (better,) = store.rollback()
    assert better.passed == pytest.approx(0.6)
    assert better.ready, "0.6 is 0.2 below 0.8: just within"


def test_another_baseline_is_seen_although_no_run_came(store: Store) -> None:
    baseline(store, [FAILS] * 5)
    asked(store, 1, [FAILS] * 5)
    asked(store, 2, [FAILS] * 5)
    (found,) = store.rollback()
    assert (found.ready, found.expected) == (True, 0.0)
    (approved,) = store.baselines("bot")
    store.retire(approved.id, "test", "it was wrong", NOW)
    (unarmed,) = store.rollback()
    assert (unarmed.ready, unarmed.expected) == (True, None)


def test_calls_that_were_never_made_say_nothing(store: Store) -> None:
    asked(store, 0, [PASSES, *[(unmeasured(Reason.BUDGET, 0), None)] * 4])
    (found,) = store.rollback()
    assert (found.answered, found.questions, found.ready) == (1.0, 1, True)


def test_a_snapshots_outage_is_no_outage_of_the_run(store: Store) -> None:
    run_id = asked(store, 0, [DOWN] * 5)
    assert store.summaries([run_id])[run_id].questions == 0
    assert store.answers([run_id]) == []
    both = asked(store, 1, [PASSES] * 5)
    assert store.answers([both]) == [], "never compared"
