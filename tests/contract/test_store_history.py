"""What a verdict remembers: earlier looks in their order, alarms from raised to cleared, and nothing made by hand."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import nan

import pytest
from sqlalchemy import event

from monitor.core.errors import StoreError
from monitor.core.records import (
    AT,
    SHARE_SUFFIX,
    Alarm,
    AlarmState,
    Arm,
    Run,
    RunOutcome,
    SelfTest,
    Severity,
    TokenLogprob,
)
from monitor.report.web.evidence import sightings
from monitor.store import Overtaken, Store
from tests.store_records import (
    DAY,
    LEASE,
    NOW,
    SECOND,
    SLOT,
    alarm,
    answer,
    claimed,
    context,
    finding,
    make_run,
    recorded,
    unmeasured,
)

TICKETS = ("length", "contract")


def look(
    store: Store, day: float, scores: Mapping[str, float] | None = None, *, scheduled: bool = True,
    confirms: int | None = None, moves: Sequence[Alarm] = (), baseline_id: int = 1, signal: str = "length",
) -> Run:  # fmt: skip
    """One judged run; its alarm moves are those of ``moves`` and, for ``raises``, its own."""
    slot = SLOT + day * DAY
    made = store.ensure_run("bot", "support", slot, 7, "digest", slot, scheduled=scheduled, confirms=confirms)
    run = store.claim(made.id, slot, LEASE)
    assert run is not None
    found = finding(run, alarming=False, signal=signal, scores=scores or {"mean": day}, baseline_id=baseline_id)
    assert store.finish(
        run.id, run.fence, RunOutcome.MEASURED, [found], slot, context=context(run, baseline_id), moves=moves,
        seen=store.position("bot", "support"),
    )  # fmt: skip
    return run


def raise_at(store: Store, day: float, *, scheduled: bool = True) -> tuple[Run, Alarm]:
    slot = SLOT + day * DAY
    made = store.ensure_run("bot", "support", slot, 7, "digest", slot, scheduled=scheduled)
    run = store.claim(made.id, slot, LEASE)
    assert run is not None
    found = finding(run, alarming=True, scores={"mean": day}, baseline_id=1)
    done = store.finish(
        run.id, run.fence, RunOutcome.MEASURED, [found], slot, context=context(run), moves=[alarm(run, slot)]
    )
    assert done
    (opened,) = store.open_alarms("bot", "support")
    return run, opened


def days(store: Store, *, before: int | None = None, baseline_id: int = 1) -> list[float]:
    return [
        scores["mean"] for scores in store.evaluations("bot", "support", baseline_id, before=before).get("length", ())
    ]


def test_looks_come_in_the_order_in_which_they_were_judged(store: Store) -> None:
    late = look(store, 3, {"mean": 0.1 + 0.2, "spread": -1.5})
    early = look(store, 1)
    first, second = store.evaluations("bot", "support", 1)["length"]
    assert first == {"mean": 0.1 + 0.2, "spread": -1.5, AT: late.slot.timestamp()}
    assert second == {"mean": 1.0, AT: early.slot.timestamp()}
    assert days(store, before=early.id) == [0.1 + 0.2]
    assert days(store, before=late.id) == []
    assert days(store, baseline_id=2) == []
    assert store.evaluations("bot", "other", 1) == {}
    assert [v.run_id for v in store.verdicts()] == [late.id, early.id]
    assert store.verdicts("bot")[0] == context(late)
    assert store.verdicts("other") == []


def test_what_is_asked_by_hand_leaves_no_trace_and_a_fresh_sample_does(store: Store) -> None:
    first = look(store, 0)
    look(store, 0.5, scheduled=False)
    look(store, 0.6, scheduled=False, confirms=first.id)
    assert days(store) == [0, 0.6]


def test_by_hand_or_not_what_raised_an_alarm_is_what_its_end_is_measured_from(store: Store) -> None:
    look(store, 0)
    raise_at(store, 0.5, scheduled=False)
    look(store, 0.6, scheduled=False)
    after = look(store, 1)
    assert days(store) == [0, 0.5, 1]
    assert store.raised("bot", "support", 1) == {"length": 2}
    assert days(store, before=after.id) == [0, 0.5]


def test_a_cleared_alarm_begins_the_evidence_anew_and_the_past_stays_as_it_was(store: Store) -> None:
    look(store, 0)
    raising, opened = raise_at(store, 1)
    lasting = look(store, 2)
    assert store.raised("bot", "support", 1, before=raising.id) == {}
    assert store.raised("bot", "support", 1, before=lasting.id) == {"length": 2}
    over = replace(opened, state=AlarmState.CLEARED, cleared_at=SLOT + 3 * DAY)
    clearing = look(store, 3, moves=[replace(over, cleared_run_id=lasting.id + 1)])
    after = look(store, 4)
    assert days(store) == [4], "the look that showed the recovery belongs to the alarm that it ended"
    assert days(store, before=after.id) == []
    assert days(store, before=clearing.id) == [0, 1, 2]
    assert store.raised("bot", "support", 1, before=clearing.id) == {"length": 2}
    assert store.raised("bot", "support", 1) == store.raised("bot", "support", 1, before=after.id) == {}
    assert store.alarms()[0] == replace(over, cleared_run_id=clearing.id)


def test_a_person_clears_with_a_reason_and_only_once(store: Store) -> None:
    _, opened = raise_at(store, 0)
    open_look = look(store, 1)
    said = replace(
        opened, state=AlarmState.CLEARED, cleared_at=SLOT + 2 * DAY, cleared_by="ann", cleared_why="known: new prompt"
    )
    assert store.clear_alarm(said)
    assert not store.clear_alarm(replace(said, cleared_by="bob"))
    assert store.alarms() == [said]
    assert (days(store), store.raised("bot", "support", 1)) == ([], {})
    assert days(store, before=open_look.id) == [0]
    assert store.raised("bot", "support", 1, before=open_look.id) == {"length": 1}
    look(store, 3)
    assert days(store) == [3]
    with pytest.raises(ValueError, match="no cleared alarm"):
        store.clear_alarm(opened)


def test_an_alarm_goes_from_raised_to_confirmed_and_keeps_its_note(store: Store) -> None:
    run = claimed(store)
    page = alarm(run, severity=Severity.PAGE)
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, (), NOW, moves=[page])
    (raised,) = store.open_alarms("bot", "support")
    assert raised == replace(page, id=raised.id)
    confirmed = replace(
        raised, state=AlarmState.CONFIRMED, severity=Severity.TICKET, confirmed_at=NOW + SECOND, confirmed_run_id=2,
        note="no \x00",
    )  # fmt: skip
    fresh = claimed(store, SLOT + DAY)
    assert store.finish(fresh.id, fresh.fence, RunOutcome.MEASURED, (), NOW, moves=[confirmed])
    assert store.alarms("bot", raised=True) == [replace(confirmed, note="no \N{REPLACEMENT CHARACTER}")]
    assert store.alarms("bot", "other") == store.alarms(raised=False) == []


def test_open_alarms_are_all_there_however_many(store: Store) -> None:
    """A provider that moved a model for a whole fleet raises thousands at once: none may fall off a list's end."""
    run = claimed(store)
    many = [alarm(run, signal=f"signal-{n}") for n in range(1_100)]
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, (), NOW, moves=many)
    assert len(store.alarms(raised=True)) == 1_000
    found = store.open_alarms()
    assert {one.signal for one in found} == {one.signal for one in many}
    assert found == store.open_alarms("bot", "support") == store.marks(NOW.date()).alarms["bot"]
    assert store.open_alarms("other") == store.open_alarms("bot", "other") == []


def test_a_verdict_on_a_stream_that_moved_is_refused_whole(store: Store) -> None:
    run, seen = claimed(store), store.position("bot", "support")
    look(store, 0.5)
    with pytest.raises(Overtaken, match="another verdict came before"):
        store.finish(run.id, run.fence, RunOutcome.MEASURED, [finding(run, alarming=True)], NOW,
                     context=context(run), moves=[alarm(run)], seen=seen)  # fmt: skip
    assert store.get_run(run.id).status == "running"
    assert store.findings(run_id=run.id) == []
    assert store.alarms() == []
    seen = store.position("bot", "support")
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, (), NOW, context=context(run), seen=seen)


def test_an_alarm_that_was_cleared_meanwhile_undoes_the_verdict(store: Store) -> None:
    _, opened = raise_at(store, 0)
    run, seen = claimed(store, SLOT + DAY), store.position("bot", "support")
    store.clear_alarm(replace(opened, state=AlarmState.CLEARED, cleared_at=NOW, cleared_by="ann", cleared_why="fine"))
    assert store.position("bot", "support") != seen
    with pytest.raises(StoreError, match="cleared meanwhile"):
        store.finish(run.id, run.fence, RunOutcome.MEASURED, [finding(run, alarming=True)], NOW, moves=[opened])
    assert store.findings(run_id=run.id) == []


def test_finishing_twice_decides_once(store: Store) -> None:
    run = claimed(store)
    for _ in range(2):
        assert store.finish(
            run.id, run.fence, RunOutcome.MEASURED, [finding(run, alarming=True)], NOW, context=context(run),
            moves=[alarm(run)], seen=store.position("bot", "support"), confirm_seed=5,
        )  # fmt: skip
    assert len(store.verdicts()) == len(store.alarms()) == len(store.findings()) == 1
    assert len(store.runs("bot")) == 2


def test_a_confirming_run_is_made_with_the_verdict_and_once(store: Store) -> None:
    run = claimed(store, slot=NOW)
    assert store.under_way("bot", "support") is None
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, (), NOW, context=context(run), confirm_seed=5)
    fresh = store.under_way("bot", "support")
    assert fresh is not None
    assert (fresh.confirms, fresh.seed, fresh.suite_digest, fresh.next_at) == (run.id, 5, run.suite_digest, NOW)
    assert fresh.slot > run.slot, "another slot, however fast the run was"
    assert store.latest_slots() == {("bot", "support"): run.slot}
    assert [due.id for due in store.due_runs(NOW)] == [fresh.id]
    assert store.under_way("bot", "other") is None
    again = store.ensure_run("bot", "support", NOW + DAY, 6, "digest", NOW + DAY, scheduled=False, confirms=run.id)
    assert again == fresh
    other = claimed(store, SLOT + DAY)
    assert store.finish(other.id, other.fence, RunOutcome.MEASURED, (), NOW, context=context(other), confirm_seed=5)
    assert [one.confirms for one in store.runs("bot") if one.confirms] == [run.id], "which decides for all"
    taken = store.claim(fresh.id, NOW, LEASE)
    assert taken is not None
    assert store.finish(fresh.id, taken.fence, RunOutcome.MEASURED, (), NOW)
    assert store.under_way("bot", "support") is None


def test_the_other_armed_streams_tell_their_evidence_and_their_own_line(store: Store) -> None:
    approved = {}
    for name in ("bot", "loud", "new", "off"):
        opened = store.open_baseline(name, "support", "digest", "m", None, SLOT, SLOT + DAY)
        run = claimed(store, SLOT, NOW, name)
        store.record([recorded(run)])
        store.finish(run.id, run.fence, RunOutcome.MEASURED, (), NOW)
        store.close_due_baselines(SLOT + DAY)
        approved[name] = store.approve(opened.id, "ann", "fine", NOW).id
    for name in ("bot", "loud", "off"):
        run = claimed(store, SLOT + DAY, NOW + DAY, name)
        found = [replace(finding(run, alarming=False, signal=signal, baseline_id=approved[name]),
                         threshold_log10=3.9 + 1.5, evidence_log10=evidence)
                 for signal, evidence in (("length", 1.0), ("contract", -0.5), ("adapter_loss", 9.0))]  # fmt: skip
        told = context(run, approved[name], 3.5, fleet=1.5)
        assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, NOW, context=told)
    store.retire(approved["off"], "ann", "gone", NOW)
    ((contract, length), new) = store.ticket_series(("bot", "support"), TICKETS)
    assert (contract[0], length[0]) == (-0.5, 1.0)
    assert [line for _, line in (contract, length)] == pytest.approx([3.9, 3.9])
    assert new == [], "armed, and nothing judged yet"


def test_a_number_that_could_not_be_had_is_no_evidence_of_a_stream(store: Store) -> None:
    opened = store.open_baseline("bot", "support", "digest", "m", None, SLOT, SLOT + DAY)
    first = claimed(store)
    store.record([recorded(first)])
    store.finish(first.id, first.fence, RunOutcome.MEASURED, (), NOW)
    store.close_due_baselines(SLOT + DAY)
    store.approve(opened.id, "ann", "fine", NOW)
    run = claimed(store, SLOT + DAY)
    found = replace(finding(run, alarming=False, baseline_id=opened.id), evidence_log10=nan)
    store.finish(run.id, run.fence, RunOutcome.MEASURED, [found], NOW, context=context(run, opened.id))
    assert store.ticket_series(("other", "support"), TICKETS) == [[]]


def test_embeddings_and_logprobs_come_back_with_the_answers(store: Store) -> None:
    run = claimed(store)
    logprobs = (TokenLogprob("hel", -0.5, {"hel": -0.5, "yel": -2.25}), TokenLogprob("lo", -0.25))
    store.record([recorded(run, answer(logprobs=logprobs)), recorded(run, answer(), arm=Arm.BASE)])
    key, vector = (Arm.SUBJECT, "p", 0), (0.5, -0.25, 0.8330078125)
    assert not store.save_embeddings(run.id, run.fence + 1, {key: vector})
    assert store.save_embeddings(run.id, run.fence, {key: vector})
    assert store.save_embeddings(run.id, run.fence, {key: (1.0, 0.0, 0.0)}), "an answer keeps its first"
    base, subject = store.answers([run.id])
    assert (subject.embedding, subject.logprobs) == (vector, logprobs)
    assert (base.embedding, base.logprobs) == (None, None)


def test_an_embedding_is_of_an_answer(store: Store) -> None:
    run = claimed(store)
    store.record([recorded(run, unmeasured())])
    with pytest.raises(StoreError):
        store.save_embeddings(run.id, run.fence, {(Arm.BASE, "p", 0): (1.0,)})


def test_the_latest_self_test_of_a_fault_counts(store: Store) -> None:
    first = [SelfTest("bot", "support", fault, 18, 20, NOW) for fault in ("truncation", "base")]
    store.save_self_tests(first)
    again = SelfTest("bot", "support", "base", 20, 20, NOW + DAY)
    store.save_self_tests([again])
    assert store.self_tests() == [again, first[0]]


def test_a_stranger_has_no_history(store: Store) -> None:
    run = make_run(store)
    position = store.position("bot", "support")
    assert (position.seq, position.cleared, position.baseline_id) == (0, 0, None)
    assert store.evaluations("bot", "support", 1, before=run.id) == {}
    assert store.ticket_series(("bot", "support"), TICKETS) == []


def test_of_verdicts_that_end_together_each_has_seen_those_before_it(store: Store) -> None:
    # Threads as different processes would do it; every one reads, decides, and is refused until nothing moved.
    runs = [claimed(store, SLOT + number * DAY) for number in range(8)]
    seen: dict[int, int] = {}

    def decide(run: Run) -> int:
        for refused in range(100):
            position = store.position("bot", "support")
            seen[run.id] = len(days(store))
            found = [finding(run, alarming=False, scores={"mean": float(run.id)}, baseline_id=1)]
            try:
                assert store.finish(
                    run.id, run.fence, RunOutcome.MEASURED, found, NOW, context=context(run), seen=position
                )
            except Overtaken:
                continue
            return refused
        raise AssertionError("never its turn")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decide, runs))
    order = [told.run_id for told in store.verdicts()]
    assert [seen[run_id] for run_id in order] == list(range(8))
    assert days(store) == [float(run_id) for run_id in order]


def test_a_page_lists_the_evaluations_that_saw_a_rare_fact(store: Store) -> None:
    """Those of the evidence that still counts, newest first, with the share of the answers."""
    seen = "model id" + SHARE_SUFFIX
    for day, scores in enumerate(({"model id": 40.0, seen: 0.04}, {"model id": 0.0}, {"model id": 40.0, seen: 0.08})):
        last = look(store, day, scores, signal="contract")
    ((_, found),) = store.finding_heads(run_id=last.id)
    (known,) = store.series(SLOT, "bot").values()
    told = sightings(store, found, known)
    assert [(one.run_id, one.share) for one in told] == [(last.id, 0.08), (known[0].run_id, 0.04)]
    assert [one.at for one in told] == [known[2].at, known[0].at]
    statements: list[str] = []
    listener = lambda _c, _k, statement, *_: statements.append(statement)  # noqa: E731
    event.listen(store._database.engine, "before_cursor_execute", listener)
    assert sightings(store, replace(found, signal="length"), known) == (), "it watches no facts"
    assert statements == [], "so nothing is read"
    assert sightings(store, found, known) == told
    event.remove(store._database.engine, "before_cursor_execute", listener)
    assert sum("finding.scores" in one for one in statements) == 1
    whole = look(store, 9, {"model id": 40.0, seen: 1.0}, signal="fingerprint")
    ((_, found),) = store.finding_heads(run_id=whole.id)
    assert sightings(store, found, known) == (), "on every answer: nothing comes and goes"
