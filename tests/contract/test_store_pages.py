"""What the pages read: where a thousand streams stand, and one run question by question."""

import pytest

from monitor.core.errors import CliffwatchError
from monitor.core.records import Answer, Arm, Reason, Run, RunOutcome, Score, Unmeasured, Unscored
from monitor.store import Store
from tests.store_records import DAY, NOW, SLOT, answer, claimed, finding, make_run, recorded, unmeasured


def done(store: Store, day: float = 0, target: str = "bot", *, alarming: bool = False, digest: str = "digest") -> Run:
    """A finished run with a finding of two signals, of which one may alarm."""
    run = claimed(store, SLOT + day * DAY, NOW + day * DAY, target, digest)
    found = [finding(run, alarming=alarming), finding(run, alarming=False, signal="contract")]
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, NOW + day * DAY)
    return run


def baseline(store: Store, *, digest: str = "digest", target: str = "bot") -> int:
    return store.open_baseline(target, "support", digest, "m", None, SLOT, SLOT + DAY).id


def test_a_stream_knows_its_last_run_and_its_baseline(store: Store) -> None:
    first, later = done(store, 0), done(store, 1)
    make_run(store, SLOT + 2 * DAY)
    other = done(store, 0, "other")
    number = baseline(store)

    (bot, beside) = store.streams()

    assert (bot.target, bot.suite, bot.runs, bot.last_run_id) == ("bot", "support", 2, later.id)
    assert (bot.last_success, first.id < later.id) == (NOW + DAY, True)
    assert (bot.baseline_id, bot.baseline_status, bot.outdated) == (number, "capturing", False)
    assert (beside.target, beside.last_run_id, beside.baseline_id) == ("other", other.id, None)
    assert store.streams("other") == [beside]
    assert store.streams("nobody") == []


def test_the_run_that_finished_last_counts_not_the_latest_slot(store: Store) -> None:
    day = claimed(store, SLOT, NOW)
    by_hand = claimed(store, SLOT + DAY / 2, NOW)
    assert store.finish(by_hand.id, by_hand.fence, RunOutcome.MEASURED, [], NOW)
    assert store.finish(day.id, day.fence, RunOutcome.MEASURED, [], NOW + DAY)

    assert store.streams()[0].last_run_id == day.id


def test_an_approved_baseline_stands_before_a_newer_one_and_tells_when_its_suite_changed(store: Store) -> None:
    done(store, 0.5)
    number = baseline(store)
    done(store, 0.6)
    assert store.close_due_baselines(SLOT + DAY) == [number]
    assert store.streams()[0].baseline_status == "captured"
    store.approve(number, "jo", "read", NOW + DAY)
    newer = baseline(store, digest="other")

    before = store.streams()[0]
    done(store, 2, digest="other")
    after = store.streams()[0]

    assert newer > number
    assert (before.baseline_id, before.baseline_status, before.outdated) == (number, "approved", False)
    assert (after.baseline_id, after.outdated) == (number, True)


def test_the_newest_point_of_every_signal_of_some_targets(store: Store) -> None:
    done(store, 0, alarming=True)
    newest = done(store, 1)
    done(store, 0, "other")

    found = store.latest_points(["bot", "nobody"])

    assert {(key, point.run_id, point.alarming) for key, point in found.items()} == {
        (("bot", "support", "length"), newest.id, False), (("bot", "support", "contract"), newest.id, False),
    }  # fmt: skip
    assert found[("bot", "support", "length")].evidence_log10 == 0.25
    assert store.latest_points([]) == {}


def test_lists_of_findings_go_back_page_by_page_without_their_answers(store: Store) -> None:
    for day in range(3):
        done(store, day, alarming=day == 1)

    first = store.finding_heads(limit=4)
    rest = store.finding_heads(before=first[-1][0], limit=4)

    numbers = [number for number, _ in [*first, *rest]]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 6
    assert [one.alarming for _, one in store.finding_heads(alarming=True)] == [True]
    assert store.finding_heads(target="nobody") == []
    run_id = first[0][1].run_id
    assert {one.signal for _, one in store.finding_heads(run_id=run_id)} == {"length", "contract"}


def asked(store: Store) -> Run:
    """A run of two probes: the subject answered both, the base one; a judge was asked about one."""
    run = claimed(store)
    items = [
        recorded(run, answer("first"), "p1"),
        recorded(run, answer("second"), "p2"),
        recorded(run, answer("plain"), "p1", arm=Arm.BASE),
        recorded(run, unmeasured(Reason.TIMEOUT, usd=0.002), "p2", arm=Arm.BASE),
        recorded(run, answer('{"verdict": "pass"}'), "p1", arm=Arm.JUDGE_SUBJECT),
    ]
    assert all(store.record(items))
    store.add_scores(run.id, run.fence, [Score(Arm.SUBJECT, "p1", 0, grader, 1.0) for grader in ("judge", "check:a")])
    return run


def test_a_run_is_read_stretch_by_stretch_and_without_exchanges(store: Store) -> None:
    run = asked(store)

    count, first = store.questions(run.id, limit=3)
    rest = store.questions(run.id, offset=3)[1]

    assert count == 5
    assert [key for key, _ in [*first, *rest]] == [
        (Arm.BASE, "p1", 0), (Arm.JUDGE_SUBJECT, "p1", 0), (Arm.SUBJECT, "p1", 0), (Arm.BASE, "p2", 0),
        (Arm.SUBJECT, "p2", 0),
    ]  # fmt: skip
    assert all(not outcome.exchange or not outcome.exchange.request for _, outcome in [*first, *rest])
    (lost,) = store.questions(run.id, lost=True)[1]
    assert isinstance(lost[1], Unmeasured)
    assert store.questions(run.id, [Arm.SUBJECT])[0] == 2
    assert store.questions(run.id + 1) == (0, [])


@pytest.mark.parametrize(
    ("lost", "outcome", "share"),
    [
        ([], RunOutcome.MEASURED, 0.0),
        ([Arm.BASE], RunOutcome.MEASURED, 0.5),
        ([Arm.SUBJECT], RunOutcome.UNMEASURED, 1.0),
        ([Arm.SUBJECT, Arm.BASE], RunOutcome.UNMEASURED, 1.0),
        ([Arm.SNAPSHOT], RunOutcome.MEASURED, 0.0),
    ],
)
def test_what_share_of_a_run_measured_nothing(store: Store, lost: list[Arm], outcome: RunOutcome, share: float) -> None:
    """What others say of a dead subject measures nothing, and the snapshot is not compared: one share everywhere."""
    run = claimed(store)
    for arm in (Arm.SUBJECT, Arm.BASE, Arm.SNAPSHOT):
        for probe in ("p1", "p2"):
            assert all(store.record([recorded(run, unmeasured() if arm in lost else answer(), probe, arm=arm)]))
    assert store.finish(run.id, run.fence, outcome, [], NOW)
    (summary,) = store.summaries([run.id]).values()
    assert (summary.outcome, summary.questions, summary.unmeasured) == (outcome, 4, 2 * len({*lost} - {Arm.SNAPSHOT}))
    assert store.lost_shares([run.id]) == {run.id: summary.unmeasured_ratio} == {run.id: share}
    assert store.streams()[0].last_outcome is outcome


def test_a_summary_tells_the_subject_from_its_base_and_from_nobody_else(store: Store) -> None:
    run = claimed(store)
    texts = {Arm.SUBJECT: "four", Arm.BASE: "twelve chars", Arm.SNAPSHOT: "of old, and longer than both"}
    for arm, said in texts.items():
        assert all(store.record([recorded(run, answer(said), "p1", arm=arm)]))
    grades = {Arm.SUBJECT: (0.9, 1.0), Arm.BASE: (0.25, 0.0), Arm.SNAPSHOT: (0.5, 1.0)}
    scores = [
        Score(arm, "p1", 0, grader, value)
        for arm, values in grades.items()
        for grader, value in zip(("judge", "check:contains"), values, strict=True)
    ]
    store.add_scores(run.id, run.fence, scores)
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, [], NOW)
    (told,) = store.summaries([run.id]).values()
    assert (told.answer_chars, told.judge_score, told.pass_ratio) == (4, 0.9, 1)
    assert (told.base_chars, told.base_score, told.base_pass_ratio) == (12, 0.25, 0)


def test_checks_without_a_score_are_kept_and_count_neither_way(store: Store) -> None:
    run = claimed(store)
    for probe in ("p1", "p2", "p3"):
        assert all(store.record([recorded(run, answer("four"), probe)]))
    scores = [Score(Arm.SUBJECT, probe, 0, "check:contains", float(probe != "p2")) for probe in ("p1", "p2", "p3")]
    missing = [Unscored(Arm.SUBJECT, probe, 0, "check:regex", "time", "too long") for probe in ("p2", "p3")]
    store.add_scores(run.id, run.fence, [], [Unscored(Arm.SUBJECT, "p1", 0, "check:regex", "memory", "before")])
    assert store.add_scores(run.id, run.fence, scores, missing)
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, [], NOW)
    (told,) = store.summaries([run.id]).values()
    assert told.pass_ratio == 0.5, "p1 passes, p2 fails, p3 is not known"
    assert told.unfinished == {"time": 2}
    assert store.unscored_of(run.id) == {(one.arm, one.probe, one.replicate): [one] for one in missing}
    assert not store.add_scores(run.id, run.fence + 1, [], [])
    assert len(store.unscored_of(run.id)) == 2


def test_where_no_base_was_asked_nothing_is_told_of_it(store: Store) -> None:
    run = claimed(store)
    assert all(store.record([recorded(run, answer("four"), "p1")]))
    store.add_scores(run.id, run.fence, [Score(Arm.SUBJECT, "p1", 0, "judge", 0.9)])
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, [], NOW)
    (told,) = store.summaries([run.id]).values()
    assert (told.judge_score, told.base_chars, told.base_score, told.base_pass_ratio) == (0.9, None, None, None)


def test_only_a_finished_run_has_a_summary(store: Store) -> None:
    assert store.summaries([claimed(store).id]) == {}


def test_a_run_in_counts_and_one_question_whole(store: Store) -> None:
    run = asked(store)

    counts = store.tally(run.id)
    outcome, provider, model = store.question(run.id, Arm.SUBJECT, "p1", 0)

    assert {key: (count, round(usd, 6)) for key, (count, usd) in counts.items()} == {
        (Arm.SUBJECT, None): (2, 0.002), (Arm.BASE, None): (1, 0.001), (Arm.BASE, "timeout"): (1, 0.002),
        (Arm.JUDGE_SUBJECT, None): (1, 0.001),
    }  # fmt: skip
    assert isinstance(outcome, Answer)
    assert (outcome.text, outcome.exchange.request, provider, model) == ("first", {"model": "m"}, "vllm", "m")
    assert [one.grader for one in store.scores_of(run.id, ["p1"])[(Arm.SUBJECT, "p1", 0)]] == ["check:a", "judge"]
    assert store.scores_of(run.id, ["p2"]) == {}
    with pytest.raises(CliffwatchError, match="no question"):
        store.question(run.id, Arm.SNAPSHOT, "p1", 0)
    assert (store.find_run(run.id) is not None, store.find_run(run.id + 1)) == (True, None)


def answered_twice(store: Store, day: int, first: str, second: str) -> Run:
    """A claimed run of that day: two answers of the subject to ``p`` and one of the base, none to ``q``."""
    held = claimed(store, SLOT + day * DAY)
    items = [
        recorded(held, answer(first), "p", 0),
        recorded(held, answer(second), "p", 1),
        recorded(held, unmeasured(), "q", 0),
        recorded(held, answer("its own"), "p", 0, Arm.BASE),
    ]
    assert all(store.record(items))
    return held


def test_texts_of_an_arm_are_counted_by_probe_oldest_run_first(store: Store) -> None:
    said = (("ours", "ours"), ("new", "ours"), ("not asked for", ""))
    runs = [answered_twice(store, day, *texts) for day, texts in enumerate(said)]

    found = store.texts([runs[1].id, runs[0].id], Arm.SUBJECT)

    assert found == {"p": {"ours": 3, "new": 1}}
    assert list(found["p"]) == ["ours", "new"]
    assert store.texts([runs[2].id], Arm.SUBJECT) == {"p": {"not asked for": 1, "": 1}}
    assert store.texts([runs[0].id], Arm.BASE) == {"p": {"its own": 1}}
    assert store.texts([], Arm.SUBJECT) == {}


def test_what_was_said_stands_with_the_scores_of_every_answer_oldest_run_first(store: Store) -> None:
    runs = [answered_twice(store, day, *texts) for day, texts in enumerate((("ours", "new"), ("ours", "ours")))]
    for held in runs:
        graded = [Score(Arm.SUBJECT, "p", 1, "judge", 0.25), Score(Arm.SUBJECT, "p", 1, "check:contains", 1.0)]
        assert store.add_scores(held.id, held.fence, graded)
    scores = {"judge": 0.25, "check:contains": 1.0}

    found = store.graded_texts([runs[1].id, runs[0].id])

    assert found == {
        (Arm.SUBJECT, "p"): {"ours": [{}, {}, scores], "new": [scores]},
        (Arm.BASE, "p"): {"its own": [{}, {}]},
    }
    assert list(found[(Arm.SUBJECT, "p")]) == ["ours", "new"]
    assert store.graded_texts([]) == {}


@pytest.mark.parametrize(
    ("arm", "why", "refused"),
    [
        (Arm.SUBJECT, Reason.BUDGET, True),
        (Arm.BASE, Reason.BUDGET, True),
        (Arm.SNAPSHOT, Reason.BUDGET, False),
        (Arm.SUBJECT, Reason.TIMEOUT, False),
    ],
)
def test_which_runs_left_questions_out_for_a_spent_budget(store: Store, arm: Arm, why: Reason, refused: bool) -> None:
    run = claimed(store)
    assert all(store.record([recorded(run, answer()), recorded(run, unmeasured(why), "p2", arm=arm)]))
    assert store.finish(run.id, run.fence, RunOutcome.PARTIAL, [], NOW)
    assert store.budget_refused([run.id]) == ({run.id} if refused else set())
    assert store.budget_refused([]) == frozenset()
    assert bool(store.summaries([run.id])[run.id].refused) == refused
