"""Recording and budgets: written once, under the fence, and paid for whatever comes of it."""

from concurrent.futures import ThreadPoolExecutor
from math import inf

import pytest

from monitor.core.records import Arm, Exchange, Reason, Score, Spend, TokenLogprob
from monitor.store import Store
from tests.store_records import (
    DAY,
    LEASE,
    NOW,
    SECOND,
    answer,
    claimed,
    recorded,
    reservation,
    unmeasured,
)

TODAY = NOW.date()


def test_what_is_recorded_is_read_back_whole(store: Store) -> None:
    run = claimed(store)
    logprobs = (TokenLogprob("he", -0.5, {"he": -0.5, "ha": -inf}), TokenLogprob("llo", -inf))
    exchange = Exchange({"messages": [{"role": "user"}]}, {"choices": [1, None, "ü"]}, 200, {"x-request-id": "1"})
    told = answer("héllo\n", logprobs=logprobs, exchange=exchange, attempts=3, refusal=True, finish_reason=None)
    lost = unmeasured(Reason.RATE_LIMITED, attempts=4)
    assert store.record([recorded(run, told), recorded(run, lost, arm=Arm.JUDGE_SUBJECT)]) == [True, True]
    outcomes = dict(store.outcomes(run.id))
    assert outcomes == {(Arm.SUBJECT, "p", 0): told, (Arm.JUDGE_SUBJECT, "p", 0): lost}
    assert store.answered(run.id) == set(outcomes)


@pytest.mark.parametrize("text", ["nul \x00 inside", "lone \ud800 surrogate", "", "日本語 🙂"])
def test_any_text_that_a_model_sends_can_be_recorded(store: Store, text: str) -> None:
    run = claimed(store)
    exchange = Exchange({"text": text}, {"logprob": -inf, "text": text}, 200)
    assert store.record([recorded(run, answer(text, exchange=exchange))]) == [True]
    (kept,) = store.answers([run.id])
    expected = text.replace("\x00", "\ufffd").replace("\ud800", "?")
    assert kept.text == expected
    ((_, outcome),) = store.outcomes(run.id)
    assert outcome.exchange is not None
    assert outcome.exchange.request == {"text": text}, "the raw exchange is kept as it came"


def test_a_question_is_recorded_once(store: Store) -> None:
    run = claimed(store)
    assert store.record([recorded(run, answer("first")), recorded(run, answer("twice in a list"))]) == [True, False]
    assert store.record([recorded(run, answer("second"))]) == [False]
    assert [a.text for a in store.answers([run.id])] == ["first"]
    assert store.spent("bot", TODAY) == Spend(usd=0.003, requests=3), "every call was paid"


def test_nothing_to_record_is_fine(store: Store) -> None:
    assert store.record([]) == []
    assert store.reserve([]) == []


def test_a_stale_worker_writes_nothing_but_its_spend_counts(store: Store) -> None:
    stale = claimed(store)
    (held,) = store.reserve([reservation(stale)])
    current = store.claim(stale.id, NOW + 60 * SECOND, LEASE)
    assert current is not None
    results = store.record([recorded(stale, reservation=held), recorded(current, probe="q")])
    assert results == [False, True]
    assert store.answered(stale.id) == {(Arm.SUBJECT, "q", 0)}
    assert store.get_run(stale.id).fence == current.fence
    assert store.spent("bot", TODAY) == Spend(usd=0.002, requests=2)
    assert not store.add_scores(stale.id, stale.fence, [Score(Arm.SUBJECT, "q", 0, "judge", 1.0)])
    assert store.scores_of(stale.id, ["q"]) == {}


def test_a_finished_run_takes_no_more_answers(store: Store) -> None:
    from monitor.core.records import RunOutcome

    run = claimed(store)
    store.finish(run.id, run.fence, RunOutcome.UNMEASURED, (), NOW)
    assert store.record([recorded(run)]) == [False]
    assert store.get_run(run.id).lease_until is None


def test_recording_keeps_the_lease_alive(store: Store) -> None:
    run = claimed(store)
    store.record([recorded(run)])
    assert store.get_run(run.id).lease_until == NOW + 60 * SECOND


def test_a_list_may_hold_several_runs_and_more_rows_than_one_statement_takes(store: Store) -> None:
    runs = [claimed(store, target=name) for name in ("a", "b")]
    items = [recorded(run, probe=f"p{i}") for run in runs for i in range(600)]
    assert store.record(items) == [True] * 1200
    assert len(store.answers([run.id for run in runs])) == 1200


def test_usage_is_counted_by_what_became_of_the_question(store: Store) -> None:
    run = claimed(store)
    store.record([recorded(run, probe=p) for p in "abc"])
    store.record([recorded(run, unmeasured(attempts=4, usd=0.5), probe="d")])
    good, timeout = sorted(store.usage(), key=lambda usage: usage.outcome)
    assert (good.outcome, good.requests, good.prompt_tokens, good.completion_tokens, good.usd) == (
        "ok",
        3,
        30,
        60,
        0.003,
    )
    assert (timeout.outcome, timeout.requests, timeout.usd) == ("timeout", 4, 0.5)


def test_scores_come_back_with_their_answers(store: Store) -> None:
    run = claimed(store)
    other = claimed(store, target="other")
    store.record(
        [recorded(run, probe="p"), recorded(run, unmeasured(), probe="q"), recorded(run, arm=Arm.JUDGE_SUBJECT)]
    )
    store.record([recorded(other, probe="p", arm=Arm.BASE)])
    assert store.add_scores(run.id, run.fence, [Score(Arm.SUBJECT, "p", 0, "judge", 0.25, "why")])
    assert store.add_scores(
        run.id,
        run.fence,
        [Score(Arm.SUBJECT, "p", 0, "judge", 0.5, "why\x00"), Score(Arm.SUBJECT, "p", 0, "check:json", 1)],
    )
    mine, others = store.answers([run.id, other.id])
    assert mine.scores == {"judge": 0.5, "check:json": 1.0}, "a second word replaces the first"
    assert (mine.arm, mine.slot, others.arm, others.scores) == (Arm.SUBJECT, run.slot, Arm.BASE, {})
    assert [one.detail for one in store.scores_of(run.id, ["p"])[Arm.SUBJECT, "p", 0]] == ["", "why\ufffd"]
    assert store.answers([]) == []


def test_budget_is_set_aside_and_settled(store: Store) -> None:
    run = claimed(store)
    held = store.reserve([reservation(run, usd=0.004, usd_limit=0.01)] * 3)
    assert [key is not None for key in held] == [True, True, False]
    assert store.spent("bot", TODAY) == Spend(0.0, 0, 0.008, 2)
    store.record([recorded(run, answer(usd=0.001), probe=str(i), reservation=key) for i, key in enumerate(held)])
    assert store.spent("bot", TODAY) == Spend(0.003, 3, 0.0, 0)
    assert store.reserve([reservation(run, usd=0.007, usd_limit=0.01)]) != [None]
    assert store.marks(TODAY).spent == {"bot": Spend(0.003, 3, 0.007, 1)}
    assert store.marks((NOW - DAY).date()).spent == {}


def test_a_smaller_call_still_fits_where_a_larger_does_not(store: Store) -> None:
    run = claimed(store)
    sizes = (0.006, 0.006, 0.004, 0.001)
    held = store.reserve([reservation(run, usd=usd, usd_limit=0.01) for usd in sizes])
    assert [key is not None for key in held] == [True, False, True, False]


def test_a_budget_can_be_used_to_its_last_cent(store: Store) -> None:
    run = claimed(store)
    held = store.reserve([reservation(run, usd=0.1, usd_limit=0.3)] * 4)
    assert [key is not None for key in held] == [True, True, True, False], "no float error: 3 x 0.1 is 0.3"


@pytest.mark.parametrize("limits", [{"usd_limit": 0.0}, {"requests_limit": 0}])
def test_a_budget_of_nothing_allows_nothing(store: Store, limits: dict[str, float]) -> None:
    run = claimed(store)
    assert store.reserve([reservation(run, **limits)]) == [None]  # type: ignore[arg-type]
    assert store.spent("bot", TODAY) == Spend()


def test_requests_are_limited_too_and_retries_settle_with_the_first(store: Store) -> None:
    run = claimed(store)
    first, second, third = store.reserve([reservation(run, requests_limit=2)] * 3)
    assert third is None
    assert first is not None
    assert second is not None
    store.record([recorded(run, answer(attempts=2), reservation=first, retries=(second,))])
    assert store.spent("bot", TODAY) == Spend(0.001, 2, 0.0, 0)


def test_targets_and_days_have_budgets_of_their_own(store: Store) -> None:
    one, two = claimed(store, target="one"), claimed(store, target="two")
    assert None not in store.reserve([reservation(run, requests_limit=1) for run in (one, two)])
    assert store.reserve([reservation(one, requests_limit=1)]) == [None]


def test_reservations_of_the_dead_are_counted_as_spent(store: Store) -> None:
    run = claimed(store)
    early, late = store.reserve([reservation(run), reservation(run, expires_at=NOW + 90 * SECOND)])
    assert store.release_expired(NOW + 59 * SECOND) == 0
    assert store.release_expired(NOW + 60 * SECOND) == 1
    assert store.spent("bot", TODAY) == Spend(0.001, 1, 0.001, 1), "nobody knows whether the call was made"
    assert early is not None
    store.record([recorded(run, reservation=early)])
    assert store.spent("bot", TODAY) == Spend(0.002, 2, 0.001, 1), "back from the dead: counted again, never too little"
    assert late is not None
    store.cancel([late, late])
    store.cancel([])
    assert store.spent("bot", TODAY) == Spend(0.002, 2, 0.0, 0)


def test_threads_together_never_pass_the_budget(store: Store) -> None:
    run = claimed(store)
    with ThreadPoolExecutor(12) as pool:
        held = list(pool.map(lambda _: store.reserve([reservation(run, usd=0.01, usd_limit=1.0)] * 7), range(30)))
    assert sum(key is not None for keys in held for key in keys) == 100
    assert store.spent("bot", TODAY).reserved_usd == 1.0
