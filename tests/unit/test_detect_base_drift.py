"""``base_drift``: the base against its own baseline, and what a subject that did not move must never bring: a page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from monitor.core.records import Arm, Cause, Finding, FindingState, GradedAnswer, Severity
from monitor.core.signals import SEVERITIES, SPECS
from monitor.detect import base_drift, findings_for
from monitor.detect.own_baseline import unchanged
from monitor.lab import product
from tests.unit.detect_answers import Speak, compared, graded, rounds, told


def says(words: str) -> Speak:
    return lambda facts, rng: f"{words} {facts.entity}, {facts.topic}"


FINE, BASE = says("Thirty days for"), says("I know nothing about")


def grade(text: str, rng: Random) -> Mapping[str, float]:
    return {"checks": float(text.startswith("Thirty days"))}


def round_of(subject: Speak, base: Speak, day: int = 14) -> list[GradedAnswer]:
    return rounds(3, subject, base, days=range(day, day + 1), grade=grade)


BASELINE = rounds(1, FINE, BASE, days=range(14), grade=grade)


def findings(now: Sequence[GradedAnswer], baseline: Sequence[GradedAnswer] = BASELINE) -> dict[str, Finding]:
    return {one.signal: one for one in findings_for(compared(now, baseline, temperature=0.0))}


def test_a_moved_base_is_a_ticket_and_pages_nobody_about_the_subject() -> None:
    found = findings(round_of(FINE, FINE))
    alarming = {name for name, one in found.items() if one.alarming}
    assert alarming == {"base_drift"}
    drift = found["base_drift"]
    assert (drift.severity, drift.cause) == (Severity.TICKET, Cause.BASE_MOVED)
    assert "24 of 24 of its answers equal none of its approved answers, 0% in the baseline" in drift.numbers
    assert drift.exhibits[0].base is None
    assert (drift.exhibits[0].baseline or "").startswith("I know nothing")
    assert drift.exhibits[0].now.startswith("Thirty days")


@pytest.mark.parametrize("moved", [FINE, says("Another model of"), says(""), product.right_reply])
def test_wherever_the_base_moves_to_no_signal_pages(moved: Speak) -> None:
    pages = [one for one in findings(round_of(FINE, moved)).values() if one.severity is Severity.PAGE]
    assert not any(one.alarming for one in pages)


@pytest.mark.parametrize("base", [BASE, FINE, says("Another model of")])
def test_a_loss_is_found_whatever_the_base_does(base: Speak) -> None:
    """The subject answers as the approved base did; the base is as it was, or has moved as well."""
    found = findings(round_of(BASE, base))
    assert found["adapter_loss"].alarming or found["canaries"].alarming
    assert any(one.alarming and one.severity is Severity.PAGE for one in found.values())


def test_a_change_of_both_is_told_as_one_of_both() -> None:
    drift = findings(round_of(says("Next:"), says("Next base:")))["base_drift"]
    assert (drift.alarming, drift.cause) == (True, Cause.SHARED_CHANGE)


def test_quiet_where_the_base_answers_as_approved() -> None:
    drift = findings(round_of(BASE, BASE))["base_drift"]
    assert (drift.state, drift.effect) == (FindingState.QUIET, 0)
    assert drift.numbers.startswith("0 of 24 of its answers equal none")


def test_one_near_tie_of_the_base_that_stays_flipped_is_no_ticket() -> None:
    now = [
        replace(one, text="no") if one.arm is Arm.BASE and one.probe == "p03" else one for one in round_of(FINE, BASE)
    ]
    first = told(base_drift.measure, compared(now, BASELINE), Severity.TICKET)
    assert first is not None
    later = compared(now, BASELINE, history={"signal": [first.scores] * 60})
    assert not told(base_drift.measure, later, Severity.TICKET).verdict.alarming  # type: ignore[union-attr]


def test_honest_null() -> None:
    """60 healthy pairs of a base that samples its answers: the mean e-value is at most 1."""
    evaluations = []
    for seed in range(60):
        baseline = rounds(seed, product.right_reply, product.plain_reply, days=range(7), probes=12)
        now = rounds(900 + seed, product.right_reply, product.plain_reply, days=range(7, 8), probes=12)
        found = told(base_drift.measure, compared(now, baseline), Severity.TICKET)
        assert found is not None
        evaluations.append(found.look)
    assert np.mean(evaluations) <= 1 + 2 * np.std(evaluations) / np.sqrt(60)


def turns(base: Speak, turn: int, day: int = 14) -> list[GradedAnswer]:
    """A round whose base is asked 4 of 24 probes: those of the turn."""
    asked = {f"p{place:02}" for place in range(turn % 6, 24, 6)}
    return [one for one in round_of(FINE, base, day) if one.arm is Arm.SUBJECT or one.probe in asked]


@pytest.mark.parametrize("turn", range(6))
def test_a_moved_base_is_seen_by_each_turn_of_its_probes(turn: int) -> None:
    found = findings(turns(says("Another model of"), turn))
    assert found["base_drift"].state is not FindingState.QUIET
    assert found["base_drift"].evaluation_log10 >= 1
    pages = [one for one in found.values() if one.severity is Severity.PAGE]
    assert pages
    assert {one.state for one in pages} == {FindingState.QUIET}


def test_one_flipped_near_tie_of_the_base_is_no_ticket_in_any_turn() -> None:
    history: list[dict[str, float]] = []
    for turn in range(60):
        now = [replace(one, text="no") if (one.arm, one.probe) == (Arm.BASE, "p03") else one
               for one in turns(BASE, turn, 14 + turn)]  # fmt: skip
        found = told(base_drift.measure, compared(now, BASELINE, history={"signal": history}), Severity.TICKET)
        assert found is not None
        assert found.reading.tell(found.verdict).state is FindingState.QUIET
        history.append(found.scores)


def test_an_honest_null_with_few_answers_of_the_base() -> None:
    evaluations = []
    for seed in range(60):
        baseline = rounds(seed, product.right_reply, product.plain_reply, days=range(14))
        now = rounds(900 + seed, product.right_reply, product.plain_reply, days=range(14, 15))
        few = [one for one in now if one.arm is Arm.SUBJECT or int(one.probe[1:]) % 6 == seed % 6]
        found = told(base_drift.measure, compared(few, baseline), Severity.TICKET)
        assert found is not None
        evaluations.append(found.look)
    assert np.mean(evaluations) <= 1 + 2 * np.std(evaluations) / np.sqrt(60)


def test_no_reading_rather_than_a_guess() -> None:
    now = round_of(FINE, BASE)
    assert base_drift.measure(compared(now, BASELINE, suite="production")) is None
    assert base_drift.measure(compared([one for one in now if one.arm is Arm.SUBJECT], BASELINE)) is None
    assert base_drift.measure(compared([one for one in now if one.arm is Arm.BASE], BASELINE)) is None
    assert base_drift.measure(compared(now[:4], BASELINE)) is None  # two answers of the base
    empty = [replace(one, text=" ") if one.arm is Arm.BASE else one for one in now]
    assert base_drift.measure(compared(empty, BASELINE)) is None


def test_checks_that_grade_the_approved_answers_otherwise_page_nobody() -> None:
    """The texts are the approved ones, so the target did not change, whatever its scores say."""
    now = [replace(one, scores={"checks": 0.0, "judge": float(one.arm is Arm.BASE)}) for one in round_of(FINE, BASE)]
    judged = [replace(one, scores={**one.scores, "judge": 1.0}) for one in BASELINE]
    found = findings(now, judged)
    alarming = {name: one for name, one in found.items() if one.alarming}
    assert {"canaries", "negative_flips", "judge_score"} <= alarming.keys()
    assert {one.severity for one in alarming.values()} == {Severity.TICKET}
    assert "letter for letter the approved ones" in found["canaries"].caveat
    assert found["judge_score"].judge_moved


@pytest.mark.parametrize(
    ("approved", "today", "same"),
    [
        (["a"] * 10, "a", True),
        (["a"] * 9 + ["b"], "a", True),
        (["a"] * 9 + ["b"], "b", False),
        (["a"] * 5 + ["b"] * 5, "b", True),
        ([f"text {n}" for n in range(10)], "text 3", False),
        (["a"] * 10, "a ", False),
        (["a"] * 10, "", False),
    ],
)
def test_the_same_is_only_what_usually_comes(approved: list[str], today: str, same: bool) -> None:
    """An answer that was rare in the baseline does not become usual because it was seen once."""
    baseline = [graded(f"p{probe}", text, day=day) for probe in range(6) for day, text in enumerate(approved)]
    now = [graded(f"p{probe}", today, day=20) for probe in range(6)]
    assert unchanged(compared(now, baseline)) is same


def test_one_changed_answer_is_a_change() -> None:
    baseline = [graded(f"p{probe}", "a", day=day) for probe in range(24) for day in range(7)]
    now = [graded(f"p{probe}", "b" if probe == 5 else "a", day=20) for probe in range(24)]
    assert not unchanged(compared(now, baseline))


def test_its_evidence_does_not_weigh_on_the_tickets_about_the_target() -> None:
    """Thresholds of the target's signals are those without a base."""
    with_base, without = findings(round_of(FINE, BASE)), [one for one in round_of(FINE, BASE) if one.arm is Arm.SUBJECT]
    alone = findings(without, [one for one in BASELINE if one.arm is Arm.SUBJECT])
    tickets = [name for name in alone if SEVERITIES[name] is Severity.TICKET]
    assert "base_drift" not in alone
    assert {name: with_base[name].threshold_log10 for name in tickets} == {
        name: alone[name].threshold_log10 for name in tickets
    }
    assert SPECS["base_drift"].arm is Arm.BASE
