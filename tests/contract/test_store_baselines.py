"""Baselines and findings: what a finished run changes, and what only a person does."""

from dataclasses import replace
from datetime import UTC, datetime
from math import inf, isnan, nan

import pytest

from monitor.core import schedule
from monitor.core.errors import CliffwatchError
from monitor.core.records import (
    AlarmState,
    Arm,
    Baseline,
    BaselineStatus,
    Check,
    Exhibit,
    LeftOut,
    LeftOutCount,
    LeftOutReason,
    Message,
    Probe,
    Run,
    RunOutcome,
    SampleAccount,
    UnreadFile,
    UnreadReason,
)
from monitor.core.settings import Schedule
from monitor.store import Store
from tests.store_records import DAY, NOW, SECOND, SLOT, alarm, answer, claimed, finding, make_run, recorded, unmeasured


def finished(store: Store, slot: datetime, outcome: RunOutcome = RunOutcome.MEASURED, digest: str = "digest") -> Run:
    run = claimed(store, slot, slot + SECOND, digest=digest)
    told = unmeasured() if outcome is RunOutcome.UNMEASURED else answer()
    store.record([recorded(run, told, arm=arm) for arm in (Arm.SUBJECT, Arm.BASE)])
    assert store.finish(run.id, run.fence, outcome, (), slot + SECOND)
    return run


def window(store: Store, days: int = 2, start: datetime = SLOT) -> Baseline:
    return store.open_baseline("bot", "support", "digest", "m", "base", start, start + days * DAY)


def captured(store: Store, start: datetime = SLOT) -> Baseline:
    opened = window(store, 1, start)
    finished(store, start)
    assert store.close_due_baselines(start + DAY) == [opened.id]
    return store.baseline(opened.id)


def test_runs_in_the_window_join_and_no_others(store: Store) -> None:
    opened = window(store)
    assert (opened.status, opened.run_ids, opened.days, opened.answers) == (BaselineStatus.CAPTURING, (), 0, 0)
    first, second = finished(store, SLOT), finished(store, SLOT + DAY, RunOutcome.PARTIAL)
    finished(store, SLOT - DAY)
    finished(store, SLOT + 2 * DAY)
    finished(store, SLOT + 3600 * SECOND, RunOutcome.UNMEASURED)
    finished(store, SLOT + 7200 * SECOND, digest="another suite")
    found = store.baseline(opened.id)
    assert (found.run_ids, found.days, found.answers) == ((first.id, second.id), 2, 2)


def test_runs_that_finished_before_it_was_opened_join_too(store: Store) -> None:
    runs = [finished(store, SLOT + i * 60 * SECOND) for i in range(3)]
    opened = store.open_baseline(
        "bot", "support", "digest", "m", None, SLOT, SLOT + 180 * SECOND, at_once=True, day_seconds=120
    )
    assert opened.run_ids == tuple(run.id for run in runs)
    assert opened.at_once
    assert opened.days == 2, "of 120 seconds each"


def test_the_days_of_a_zone_whose_clocks_change_are_all_counted(store: Store) -> None:
    """London, 25 to 31 March 2026: the clocks go forward on the 29th, so two midnights are on one UTC day."""
    plan = Schedule(timezone="Europe/London")
    start = schedule.day_start(plan, datetime(2026, 3, 25, 12, tzinfo=UTC))
    opened = store.open_baseline(
        "bot", "support", "digest", "m", None, start, end := schedule.days_after(plan, start, 7)
    )
    slot = start
    while slot < end:
        finished(store, slot)
        slot = schedule.next_slot("daily", plan, slot)
    found = store.baseline(opened.id)
    assert (len(found.run_ids), found.days) == (7, 7)


def test_runs_of_every_hour_of_a_day_are_one_day(store: Store) -> None:
    opened = window(store, 1)
    for hour in range(24):
        finished(store, SLOT + hour * 3600 * SECOND)
    found = store.baseline(opened.id)
    assert (len(found.run_ids), found.days) == (24, 1)


def test_a_window_closes_when_it_is_over_and_its_runs_are_in(store: Store) -> None:
    opened = window(store, 1)
    finished(store, SLOT)
    straggler = claimed(store, SLOT + 60 * SECOND)
    assert store.close_due_baselines(SLOT + DAY - SECOND) == []
    assert store.close_due_baselines(SLOT + DAY) == [], "one run is still being worked on"
    with pytest.raises(CliffwatchError, match="not finished yet"):
        store.approve(opened.id, "ann", "fine", SLOT + DAY)
    store.finish(straggler.id, straggler.fence, RunOutcome.MEASURED, (), NOW)
    assert store.close_due_baselines(SLOT + DAY) == [opened.id]
    assert store.close_due_baselines(SLOT + DAY) == []
    assert store.baseline(opened.id).status is BaselineStatus.CAPTURED


def test_a_run_that_never_ends_holds_a_window_open_for_one_day_only(store: Store) -> None:
    opened = window(store, 1)
    finished(store, SLOT)
    make_run(store, SLOT + 60 * SECOND)
    assert store.close_due_baselines(SLOT + 2 * DAY - SECOND) == []
    assert store.close_due_baselines(SLOT + 2 * DAY) == [opened.id]


def test_a_window_without_runs_never_becomes_a_baseline(store: Store) -> None:
    opened = window(store, 1)
    assert store.close_due_baselines(SLOT + 9 * DAY) == []
    with pytest.raises(CliffwatchError, match="no run in it was measured; capture another"):
        store.approve(opened.id, "ann", "fine", SLOT + 9 * DAY)


def test_one_capture_at_a_time(store: Store) -> None:
    opened = window(store)
    with pytest.raises(
        CliffwatchError, match=rf"baseline {opened.id} of bot/support is being captured until 2026-11-24"
    ):
        window(store)
    store.retire(opened.id, "ann", "wrong week", NOW)
    assert window(store).id != opened.id
    with pytest.raises(CliffwatchError, match="must end after it starts"):
        window(store, 0)


def test_approving_says_who_when_and_why_and_retires_the_one_before(store: Store) -> None:
    old = store.approve(captured(store).id, "ann", "looks right", NOW)
    assert (old.status, old.approved_by, old.approved_why, old.approved_at) == (
        BaselineStatus.APPROVED, "ann", "looks right", NOW,
    )  # fmt: skip
    assert store.approved("bot", "support") == old
    new = store.approve(captured(store, SLOT + DAY).id, "bob", "new adapter", NOW + DAY)
    assert store.approved("bot", "support") == new
    gone = store.baseline(old.id)
    assert (gone.status, gone.retired_by, gone.retired_at) == (BaselineStatus.RETIRED, "bob", NOW + DAY)
    assert gone.retired_why == f"replaced by baseline {new.id}: new adapter"
    assert gone.approved_by == "ann"


def test_only_a_captured_baseline_can_be_approved(store: Store) -> None:
    opened = window(store)
    with pytest.raises(CliffwatchError, match="being captured until 2026-11-24 00:00 UTC"):
        store.approve(opened.id, "ann", "fine", NOW)
    store.retire(opened.id, "ann", "a mistake", NOW)
    with pytest.raises(CliffwatchError, match="retired already"):
        store.approve(opened.id, "ann", "fine", NOW)
    with pytest.raises(CliffwatchError, match="retired already, by ann"):
        store.retire(opened.id, "bob", "again", NOW)
    with pytest.raises(CliffwatchError, match="no baseline 99"):
        store.approve(99, "ann", "fine", NOW)


@pytest.mark.parametrize(("by", "why"), [("", "fine"), ("ann", "  "), (" ", "")])
def test_nobody_decides_without_a_name_and_a_reason(store: Store, by: str, why: str) -> None:
    ready = captured(store)
    with pytest.raises(CliffwatchError, match="say who you are and why"):
        store.approve(ready.id, by, why, NOW)
    with pytest.raises(CliffwatchError, match="say who you are and why"):
        store.retire(ready.id, by, why, NOW)
    assert store.baseline(ready.id) == ready


def test_nothing_but_a_person_changes_an_approved_baseline(store: Store) -> None:
    approved = store.approve(captured(store).id, "ann", "fine", NOW)
    finished(store, SLOT + 3600 * SECOND)
    store.close_due_baselines(SLOT + 9 * DAY)
    assert store.approved("bot", "support") == approved


def test_baselines_are_listed_by_status(store: Store) -> None:
    first = captured(store)
    second = window(store, 1, SLOT + DAY)
    assert [b.id for b in store.baselines()] == [second.id, first.id]
    assert [b.id for b in store.baselines("bot", "support", BaselineStatus.CAPTURED)] == [first.id]
    assert store.baselines("other") == []
    assert store.approved("bot", "support") is None


def test_the_verdict_reached_last_counts(store: Store) -> None:
    # The day's run has an early slot and ends late; one made by hand at noon must not hide what it finds.
    day, by_hand = claimed(store, SLOT), claimed(store, SLOT + DAY / 2)
    store.finish(by_hand.id, by_hand.fence, RunOutcome.MEASURED, [finding(by_hand, alarming=False)], NOW)
    store.finish(day.id, day.fence, RunOutcome.MEASURED, [finding(day, alarming=True)], NOW + SECOND)
    assert [f.run_id for f in store.latest_findings("bot", "support")] == [day.id]
    assert store.last_done() == {("bot", "support"): day.id}


def test_retiring_the_baseline_clears_what_was_raised_against_it(store: Store) -> None:
    approved = captured(store)
    store.approve(approved.id, "sre", "healthy", NOW)
    run = claimed(store, SLOT + 9 * DAY)
    store.finish(run.id, run.fence, RunOutcome.MEASURED, [finding(run, alarming=True)], NOW, moves=[alarm(run)])
    assert len(store.open_alarms("bot", "support")) == 1
    store.retire(approved.id, "sre", "another model", NOW + SECOND)
    (over,) = store.alarms()
    assert (over.state, over.cleared_at, over.cleared_by) == (AlarmState.CLEARED, NOW + SECOND, "sre")
    assert over.cleared_why == f"baseline {approved.id} retired: another model"


def test_a_fresh_sample_joins_no_baseline(store: Store) -> None:
    # It was asked because something looked wrong: answers picked for that would make a crooked baseline.
    first = finished(store, SLOT)
    made = store.ensure_run(
        "bot", "support", SLOT + SECOND, 1, "digest", SLOT + SECOND, scheduled=False, confirms=first.id
    )
    opened = store.open_baseline("bot", "support", "digest", "m", None, SLOT, SLOT + DAY, at_once=True)
    run = store.claim(made.id, NOW, 10)
    assert run is not None
    store.record([recorded(run)])
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, (), NOW)
    assert store.baseline(opened.id).run_ids == (first.id,)
    store.retire(opened.id, "sre", "once more", NOW)
    again = store.open_baseline("bot", "support", "digest", "m", None, SLOT, SLOT + DAY, at_once=True)
    assert again.run_ids == (first.id,)


def test_who_and_why_may_hold_any_text(store: Store) -> None:
    opened = captured(store)
    kept = store.approve(opened.id, "ann\x00", "read\x00 \ud800 <b>", NOW)
    mark = "\N{REPLACEMENT CHARACTER}"
    assert (kept.approved_by, kept.approved_why) == (f"ann{mark}", f"read{mark} ? <b>")
    gone = store.retire(opened.id, "bob\x00", "stale\x00", NOW)
    assert (gone.retired_by, gone.retired_why) == (f"bob{mark}", f"stale{mark}")
    newer = store.approve(captured(store, SLOT + DAY).id, "ann", "first", NOW)
    store.approve(captured(store, SLOT + 2 * DAY).id, "cy\x00", "next\x00", NOW)
    assert store.baseline(newer.id).retired_by == f"cy{mark}"


def test_a_run_of_another_version_of_the_suite_makes_the_baseline_outdated(store: Store) -> None:
    store.approve(captured(store).id, "sre", "healthy", NOW)
    assert store.outdated() == set()
    slot = SLOT + 9 * DAY
    store.ensure_run("bot", "support", slot, 1, "another-digest", slot)
    assert store.outdated() == {("bot", "support")}


def test_what_is_declared_makes_a_baseline_outdated_before_any_run(store: Store) -> None:
    """A reload is told at once, where the next run may be a week away; where nothing is declared, the newest run is."""
    store.approve(captured(store).id, "sre", "healthy", NOW)
    ours = ("bot", "support")
    before = store.marks(NOW.date()).baselines, store.stream_mark()

    store.declare({ours: "another-digest", ("other", "support"): "digest"})

    assert store.outdated() == store.outdated(["bot"]) == {ours}
    assert store.outdated(["other"]) == set()
    assert [one.outdated for one in store.streams()] == [True]
    after = store.marks(NOW.date()).baselines, store.stream_mark()
    assert (before[0] != after[0], before[1] != after[1]) == (True, True), "whoever keeps what it read reads again"
    store.declare({ours: "digest"})
    assert (store.outdated(), [one.outdated for one in store.streams()]) == (set(), [False])
    slot = SLOT + 9 * DAY
    store.ensure_run(*ours, slot, 1, "another-digest", slot)
    assert store.outdated() == set(), "that run was made before the reload"
    store.declare({})
    assert store.outdated() == {ours}, "as where no daemon has declared anything"


def test_findings_come_back_as_they_went_in(store: Store) -> None:
    run = claimed(store)
    whole = replace(
        finding(run, alarming=True, measures={"length_ratio": 1.5, "lost": nan}),
        evidence_log10=nan, effect_high=inf, exhibits=(Exhibit("p", "prompt", "before", "now", None, 2.5),),
        scores={"mean": 0.1 + 0.2, "spread": -3.5}, recovered=True, confirming=True, baseline_id=7,
    )  # fmt: skip
    quiet = finding(run, alarming=False, signal="base_match")
    store.finish(run.id, run.fence, RunOutcome.MEASURED, [whole, quiet], NOW)
    (back,) = store.findings(alarming=True, run_id=run.id)
    assert isnan(back.evidence_log10)
    assert replace(back, evidence_log10=0.0) == replace(whole, evidence_log10=0.0, measures={"length_ratio": 1.5})
    numbers = store.latest_numbers()["bot"]
    assert sorted(one.evidence_log10 for one in numbers.values() if not isnan(one.evidence_log10)) == [0.25]
    assert store.findings(signal="base_match") == [quiet]
    assert len(store.findings(limit=1)) == 1
    assert [f.signal for f in store.latest_findings()] == ["base_match", "length"]
    assert store.latest_findings(exhibits=False)[1].exhibits == ()


def test_suites_and_samples_are_kept(store: Store) -> None:
    store.save_suite("digest", "support", "probes: []")
    store.save_suite("digest", "support", "probes: []")
    assert store.suite_body("digest") == "probes: []"
    assert store.suite_body("other") is None


class Sampled:
    """As the sample stage hands it over."""

    def __init__(self, probe: Probe) -> None:
        self.probe, self.stratum, self.count, self.subjects = probe, "eu", 3, ()


def test_a_run_keeps_its_first_production_sample(store: Store) -> None:
    run = claimed(store)
    probe = Probe(
        "a", (Message("system", "be kind"), Message("user", "hi")), "ref", (Check("json", {"keys": [1]}),), "r"
    )
    other = Probe("b", (Message("user", "nul \x00"),))
    store.save_production_inputs(run.id, [Sampled(other), Sampled(probe)])
    store.save_production_inputs(run.id, [Sampled(probe)])
    assert store.production_inputs(run.id) == [other, probe]
    assert store.production_inputs(run.id + 1) == []


def test_a_run_keeps_the_account_of_its_sample(store: Store) -> None:
    run, probe = claimed(store), Probe("a", (Message("user", "hi"),))
    empty = SampleAccount(problem="no file matches a.jsonl")
    reason = LeftOutCount(LeftOut.TRUNCATED, LeftOutReason.MARKER, 7, "a.jsonl:3", "a mark", ("a.jsonl:9", "b.jsonl:1"))
    unread = UnreadFile(UnreadReason.UNKNOWN_FORMAT, 9, ("b.zst", "c.zst"), "Zstandard is not read")
    full = SampleAccount(2, 12, 1, 1, 1, 9, 0, 7, 1, 0, 1, 2, (reason,), (unread,))
    assert store.samples([run.id]) == {}
    store.save_production_inputs(run.id, [], empty)
    assert store.samples([run.id, run.id + 1]) == {run.id: empty}
    store.save_production_inputs(run.id, [Sampled(probe)], full)
    store.save_production_inputs(run.id, [Sampled(probe)], empty)
    assert store.samples([run.id]) == {run.id: full}, "as long as it has no inputs, a run draws again"


def test_what_an_endpoint_takes_is_remembered(store: Store) -> None:
    store.set_capability("vllm", "http://a/v1", "m", "seed", True, NOW)
    store.set_capability("vllm", "http://a/v1", "m", "seed", False, NOW + DAY)
    store.set_capability("vllm", "http://b/v1", "m", "logprobs", True, NOW)
    assert store.capability("vllm", "http://a/v1", "m") == {"seed": False}
    assert store.capability("vllm", "http://a/v1", "other") == {}
