"""Empty answers: never compared as texts, counted where they fail, and watched by ``contract``."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from monitor.core.records import Arm, Cause, Comparison, Finding, FindingState, GradedAnswer
from monitor.core.signals import CATALOGUE
from monitor.detect import SIGNALS, findings_for
from tests.summaries import summary_of
from tests.unit.detect_answers import compared, graded

PROBES = [f"q{n:02}" for n in range(24)]
FORMS = ["", "  \n", "\u200b\u200b", "<think>You have 21 days.</think>", "<think>cut off"]
TEXTS = {one.name for one in CATALOGUE if one.texts}


def day(number: int, subject: str = "You have 21 days, {}.", base: str = "Ask the shop, {}.") -> list[GradedAnswer]:
    found = []
    for probe in PROBES:
        for arm, text in ((Arm.SUBJECT, subject), (Arm.BASE, base)):
            passed = {"check:contains": float("21 days" in text), "checks": float("21 days" in text)}
            found.append(graded(probe, text.format(probe), day=number, arm=arm, scores=passed))
    return found


def emptied(
    found: Sequence[GradedAnswer], count: int, form: str = "", arms: Sequence[Arm] = (Arm.SUBJECT, Arm.BASE),
    place: str | None = "reasoning",
) -> list[GradedAnswer]:  # fmt: skip
    failed = {"check:contains": 0.0, "checks": 0.0}
    return [
        one
        if one.arm not in arms or one.probe not in PROBES[:count]
        else replace(one, text=form, text_in=place, scores=failed)
        for one in found
    ]


BASELINE = [one for number in range(14) for one in day(number)]


def read(now: Sequence[GradedAnswer], baseline: Sequence[GradedAnswer] = BASELINE) -> dict[str, Finding]:
    return {one.signal: one for one in findings_for(compared(now, baseline, temperature=0))}


@pytest.mark.parametrize("form", FORMS)
def test_empty_answers_of_both_arms_are_no_match_and_no_lost_fine_tune(form: str) -> None:
    found = read(emptied(day(20), 24, form))
    assert set(found) == {"canaries", "negative_flips", "contract"}
    assert {one.state for one in found.values()} == {FindingState.ALARMING}
    assert {one.cause for one in found.values()} == {Cause.ANSWERS_EMPTY}
    for one in found.values():
        told = summary_of(one)
        assert "empty; the text is in `reasoning`" in told
        assert "base" not in told.replace("baseline", "")
        assert "adapter" not in told
    assert found["contract"].numbers.startswith("every answer is empty; the text is in `reasoning`")
    assert found["contract"].measures["contract_changed_empty"] == 1
    assert all(one.now == form for one in found["contract"].exhibits)


def test_an_unchanged_endpoint_says_nothing_of_empty_answers() -> None:
    found = read(day(20))
    assert TEXTS & set(found) >= {"adapter_loss", "base_match", "distribution", "length"}
    assert {one.state for one in found.values()} == {FindingState.QUIET}
    assert "empty" not in " ".join(map(summary_of, found.values()))
    assert "contract_changed_empty" not in found["contract"].measures, "nothing was empty, so nothing was compared"
    earlier = [{"empty": 8.0, "checks passed": -8.0, "refusals": 0.0, "finish reason": 0.0}]
    again = compared(day(20), BASELINE, temperature=0, history={"contract": earlier}, raised={"contract": 1})
    (contract,) = [one for one in findings_for(again) if one.signal == "contract"]
    assert contract.measures["contract_changed_empty"] == 0
    assert contract.scores["empty"] == 0, "so that a recovery can be seen"


@pytest.mark.parametrize("count", [1, 6, 11])
def test_a_few_empty_answers_leave_the_others_readable(count: int) -> None:
    found = read(emptied(day(20), count))
    assert found["adapter_loss"].state is FindingState.QUIET
    assert found["base_match"].answers_now == 24 - count
    assert found["base_match"].effect == 0
    assert found["canaries"].answers_now == 24, "an empty answer stays in the denominator"
    assert found["canaries"].effect == pytest.approx(count / 24)
    assert found["negative_flips"].effect == pytest.approx(count / 24)
    are = f"{count} of 24 answers are empty"
    assert (are in found["contract"].numbers) or (are in found["contract"].what)


def test_with_most_answers_empty_texts_are_not_measured() -> None:
    assert not set(read(emptied(day(20), 13))) & TEXTS


def test_empty_answers_of_the_base_alone_are_no_evidence_about_the_subject() -> None:
    found = read(emptied(day(20), 24, arms=[Arm.BASE]))
    assert found["base_match"].state is FindingState.QUIET  # compared with the base's approved answers
    assert {one.state for one in found.values()} == {FindingState.QUIET}


def test_a_probe_whose_base_was_empty_is_no_canary() -> None:
    baseline = emptied(BASELINE, 16, arms=[Arm.BASE])
    assert read(day(20), baseline)["canaries"].answers_now == 8


def test_a_baseline_of_empty_answers_is_not_compared_as_text() -> None:
    baseline = emptied(BASELINE, 24)
    found = read(emptied(day(20), 24), baseline)
    assert not set(found) & TEXTS
    assert {one.cause for one in found.values()} == {Cause.UNKNOWN}
    back = read(day(20), baseline)["contract"]
    assert back.state is not FindingState.QUIET
    assert back.cause is not Cause.ANSWERS_EMPTY, "fewer are empty than in the baseline"


def test_a_blocked_answer_is_a_refusal_and_not_empty() -> None:
    blocked = [
        replace(one, refusal=True, finish_reason="content_filter", text_in=None) if not one.text else one
        for one in emptied(day(20), 8)
    ]
    contract = read(blocked)["contract"]
    assert contract.cause is Cause.ANSWERS_REFUSED
    assert contract.measures["contract_changed_refusals"] == 1
    assert "contract_changed_empty" not in contract.measures
    assert "refusals 33% of answers instead of 0%" in summary_of(contract)


def test_an_item_that_only_a_judge_grades_is_wrong_if_its_answer_is_empty() -> None:
    def judged(found: Sequence[GradedAnswer]) -> list[GradedAnswer]:
        return [replace(one, scores={"judge": 1.0} if one.has_text else {}) for one in found]

    found = read(judged(emptied(day(20), 12)), judged(BASELINE))
    assert found["negative_flips"].effect == 0.5
    ungraded = [replace(one, scores={}) for one in BASELINE]
    assert "negative_flips" not in read([replace(one, scores={}) for one in emptied(day(20), 12)], ungraded)


def test_signals_that_the_baseline_cannot_carry_are_not_read() -> None:
    comparison: Comparison = replace(compared(day(20), BASELINE, temperature=0), unread=frozenset({"base_match"}))
    assert SIGNALS["base_match"](comparison) is None
    assert SIGNALS["adapter_loss"](comparison) is not None
