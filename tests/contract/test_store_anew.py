"""Replies with an unknown finish reason, and what replaces them."""

from dataclasses import replace
from math import inf

from monitor.core.records import Arm, AuditEntry, Exchange, Reason, RunOutcome, TokenLogprob, Unmeasured
from monitor.store import Store
from tests.store_records import NOW, SLOT, answer, claimed, context, finding, recorded, unmeasured

ENTRY = AuditEntry(NOW, "cliffwatch", "judge anew", "bot", "support", "run 1", "2 answers", None)
KEPT = Exchange({"model": "m"}, {"choices": [{"finish_reason": "brownout"}]}, 200, {"date": "today"})
UNKNOWN: Unmeasured = replace(unmeasured(Reason.UNKNOWN_FINISH, usd=0.25), exchange=KEPT)


def test_a_finished_run_is_due_again_with_its_new_outcomes(store: Store) -> None:
    run = claimed(store)
    store.record([recorded(run, UNKNOWN, "a"), recorded(run, UNKNOWN, "b"), recorded(run, unmeasured(), "c")])
    assert store.finish(run.id, run.fence, RunOutcome.UNMEASURED, (), NOW)
    assert store.unknown_finishes() == [
        (run.id, (Arm.SUBJECT, "a", 0), UNKNOWN),
        (run.id, (Arm.SUBJECT, "b", 0), UNKNOWN),
    ]
    logprobs = (TokenLogprob("he", -0.5, {"he": -0.5, "ha": -inf}),)
    told = answer(
        "nul \x00", usd=0.25, exchange=KEPT, latency_seconds=0.0, logprobs=logprobs, served={"region": "x"},
        text_in="reasoning", cached_tokens=3,
    )  # fmt: skip
    lost = replace(UNKNOWN, reason=Reason.SERVER_ERROR, detail="it is an error")
    store.judge_anew(run.id, {(Arm.SUBJECT, "a", 0): told, (Arm.SUBJECT, "b", 0): lost}, ENTRY, NOW)
    outcomes = dict(store.outcomes(run.id))
    assert outcomes[Arm.SUBJECT, "a", 0] == replace(told, text="nul \ufffd")
    assert outcomes[Arm.SUBJECT, "b", 0] == lost
    assert outcomes[Arm.SUBJECT, "c", 0] == unmeasured()
    again = store.get_run(run.id)
    assert (again.status, again.outcome) == ("due", None)
    assert [one.id for one in store.due_runs(NOW)] == [run.id]
    assert [replace(one, id=None) for one in store.audit_entries()] == [ENTRY]
    assert store.unknown_finishes() == []


def test_an_open_run_stays_with_its_worker(store: Store) -> None:
    run = claimed(store)
    store.record([recorded(run, UNKNOWN)])
    store.judge_anew(run.id, {(Arm.SUBJECT, "p", 0): answer(exchange=KEPT)}, ENTRY, NOW)
    assert store.get_run(run.id).status == "running"
    assert [one.text for one in store.answers([run.id])] == ["hello"]


def test_a_run_with_a_verdict_is_left_as_it_is(store: Store) -> None:
    run = claimed(store)
    store.record([recorded(run, UNKNOWN), recorded(run, answer(), "b")])
    assert store.finish(
        run.id, run.fence, RunOutcome.PARTIAL, (finding(run, alarming=False),), NOW, context=context(run)
    )
    assert store.unknown_finishes() == []


def test_a_baseline_that_is_captured_keeps_its_answers(store: Store) -> None:
    run = claimed(store)
    store.record([recorded(run, UNKNOWN), recorded(run, answer(), "b")])
    assert store.finish(run.id, run.fence, RunOutcome.PARTIAL, (), NOW)
    assert len(store.unknown_finishes()) == 1
    made = store.open_baseline("bot", "support", "digest", "m", None, SLOT, NOW, at_once=False)
    assert len(store.unknown_finishes()) == 1
    store.close_due_baselines(NOW)
    assert [one.id for one in store.baselines("bot")] == [made.id]
    assert store.unknown_finishes() == []
