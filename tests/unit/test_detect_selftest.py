"""The self-test: what is injected, what is caught of it, and that a monitor which sees nothing is told so."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest

from monitor.core.records import Arm, Comparison, GradedAnswer, SelfTest
from monitor.core.selftest_results import CONTROL
from monitor.detect import selftest
from monitor.detect.selftest import FAULTS, failures, self_test
from monitor.lab import product
from tests.unit.detect_answers import compared, graded, rounds

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TRIALS = 2


def grade(text: str, rng: Random) -> Mapping[str, float]:
    return {"judge": float(rng.random() < 0.95), "similarity": 0.8 + 0.1 * rng.random()}


def baseline(days: int = 10, probes: int = 20) -> Comparison:
    return compared([], rounds(3, product.right_reply, days=range(days), probes=probes, grade=grade))


@pytest.fixture(scope="module")
def tested() -> list[SelfTest]:
    return list(self_test(baseline(), NOW, trials=TRIALS))


def test_a_week_of_baseline_sees_every_fault_and_is_quiet_in_health(tested: list[SelfTest]) -> None:
    """Seeded. One score in three is lost, answers are cut, doubled or the base's: each is caught, and health is not."""
    assert [one.fault for one in tested] == [CONTROL, *FAULTS]
    caught = {one.fault: one.caught for one in tested}
    assert caught.pop(CONTROL) == 0
    assert caught.pop("scores-shifted") >= 1, "one answer in three fails: at the edge of what seven days show"
    assert caught == dict.fromkeys(caught, TRIALS)
    assert {(one.target, one.suite, one.trials, one.tested_at) for one in tested} == {
        ("support-bot", "support", TRIALS, NOW)
    }
    assert failures(tested) == []


def test_the_same_baseline_gives_the_same_counts_in_any_order() -> None:
    comparison = baseline(3, 6)
    shuffled = replace(comparison, baseline=tuple(reversed(comparison.baseline)), now=comparison.baseline[:3])
    assert list(self_test(shuffled, NOW, trials=1)) == list(self_test(comparison, NOW, trials=1))


def test_a_line_that_nothing_reaches_is_a_failure() -> None:
    blind = replace(baseline(3, 6), page_threshold_log10=500.0, ticket_threshold_log10=500.0)
    found = list(self_test(blind, NOW, trials=1))
    assert {one.caught for one in found} == {0}
    (words,) = failures(found)
    assert words.startswith("support-bot/support: base-answers was caught in 0 of 1 trials")
    (words,) = failures([one for one in found if not one.fault.startswith("base")])
    assert words.startswith("support-bot/support: truncation"), "where there is no base"


def test_a_line_that_everything_reaches_is_a_failure_too() -> None:
    jumpy = replace(baseline(3, 6), page_threshold_log10=-50.0, ticket_threshold_log10=-50.0)
    (words,) = failures(list(self_test(jumpy, NOW, trials=1)))
    assert "1 of 1 healthy stretches of the baseline itself alarm" in words


@pytest.mark.parametrize("days", [0, 1])
def test_without_two_days_nothing_can_be_tested(days: int) -> None:
    assert list(self_test(baseline(days), NOW)) == []


def test_only_what_can_be_injected_is_tested() -> None:
    """No base, no scores: no fault that needs them."""
    bare = [replace(one, scores={}) for one in baseline(3, 6).baseline if one.arm is Arm.SUBJECT]
    found = list(self_test(compared([], bare), NOW, trials=1))
    assert [one.fault for one in found] == [CONTROL, "truncation", "truncation-30", "length-doubled"]


ANSWER = graded("p", "abcdefghi", scores={"check:json": 1.0, "similarity": 0.9}, completion_tokens=9)
BASE = graded("p", "no idea", arm=Arm.BASE, day=2, scores={"check:json": 0.0}, completion_tokens=2, model="base",
              finish_reason="length", refusal=True)  # fmt: skip


def injected(name: str, chance: int = 0) -> GradedAnswer:
    return FAULTS[name].inject(ANSWER, [BASE], Random(chance))


def test_a_base_answer_comes_under_the_subjects_name() -> None:
    found = injected("base-answers")
    assert (found.text, found.scores, found.finish_reason, found.refusal) == ("no idea", BASE.scores, "length", True)
    assert (found.arm, found.model, found.slot, found.prompt_tokens) == (
        Arm.SUBJECT, "support", ANSWER.slot, ANSWER.prompt_tokens,
    )  # fmt: skip


def test_truncation_and_doubling_change_the_text_and_its_tokens() -> None:
    cut, twice = injected("truncation"), injected("length-doubled")
    assert (cut.text, cut.completion_tokens, cut.finish_reason) == ("abc", 3, "length")
    assert (twice.text, twice.completion_tokens) == ("abcdefghi abcdefghi", 18)


def test_scores_fall_by_a_third_on_average() -> None:
    found = [injected("scores-shifted", chance).scores for chance in range(300)]
    assert sum(one["check:json"] for one in found) / 300 == pytest.approx(2 / 3, abs=0.1)
    assert all(one["similarity"] == pytest.approx(0.6) for one in found)


def test_a_share_hits_about_its_share_of_the_subject_and_never_the_base() -> None:
    comparison = baseline(6, 8)
    bench = selftest._Bench(comparison)
    share = FAULTS["truncation-30"]
    evaluations = [bench._comparison("truncation-30", share, copy) for copy in range(6)]
    hit = [one.finish_reason == "length" for look in evaluations for one in look.now if one.arm is Arm.SUBJECT]
    assert 0.1 < sum(hit) / len(hit) < 0.5
    assert not any(one.finish_reason == "length" for look in evaluations for one in look.now if one.arm is Arm.BASE)
    for look in evaluations:
        assert {one.slot for one in look.now}.isdisjoint({one.slot for one in look.baseline})
        assert len(look.now) + len(look.baseline) == len(comparison.baseline)
