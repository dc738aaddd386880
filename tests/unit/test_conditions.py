"""What a baseline's answers fulfil, and the words for it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

import pytest

from monitor.core.condition_words import render
from monitor.core.records import (
    Arm,
    Condition,
    ConditionReason,
    ConditionState,
    GradedAnswer,
    Holds,
    Sampling,
    TokenLogprob,
)
from monitor.detect.calibrate import as_today
from monitor.detect.conditions import conditions
from monitor.lab import product
from tests.unit.detect_answers import compared, graded, rounds

COLD = Sampling(temperature=0.0)
Lacking = Mapping[tuple[Arm, str], ConditionReason]


def states(
    baseline: list[GradedAnswer], sampling: Sampling = COLD, lacking: Lacking | None = None
) -> dict[tuple[Condition, Arm], ConditionState]:
    comparison = compared(as_today(baseline), baseline, temperature=sampling.temperature)
    return {(one.condition, one.arm): one for one in conditions(comparison, sampling, lacking or {})}


def answered(
    subject: Callable[[str, Random], str],
    base: Callable[[str, Random], str] | None = None,
    days: int = 8,
    tokens: int = 10,
) -> list[GradedAnswer]:
    chance, found = Random(3), []
    for day in range(days):
        for probe in (f"p{n:02}" for n in range(20)):
            found.append(graded(probe, subject(probe, chance), day=day, completion_tokens=tokens))
            if base is not None:
                found.append(graded(probe, base(probe, chance), day=day, arm=Arm.BASE, completion_tokens=tokens))
    return found


def steady(probe: str, chance: Random) -> str:
    return f"You have 21 days for {probe}."


def other(probe: str, chance: Random) -> str:
    return f"Please ask the shop about {probe}, I do not know."


def drawn(probe: str, chance: Random) -> str:
    return chance.choice(["tea", "coffee", "water", "juice"])


def test_a_healthy_baseline_lacks_nothing() -> None:
    found = states(answered(steady, other))
    assert {one.holds for one in found.values()} == {Holds.HOLDS}
    assert render(found.values()) == []


def test_an_ignored_temperature_shows_in_answers_that_differ() -> None:
    found = states(answered(drawn, other))
    subject = found[Condition.TEMPERATURE, Arm.SUBJECT]
    assert (subject.holds, subject.reason) == (Holds.FAILS, ConditionReason.NOT_REPEATED)
    assert subject.signals == ("base_match", "border")
    assert found[Condition.TEMPERATURE, Arm.BASE].holds is Holds.HOLDS
    assert render([subject]) == [
        "At temperature 0, the subject gave different answers to 20 of 20 repeated questions: base_match and border "
        "cannot be read."
    ]
    assert Condition.TEMPERATURE not in {one.condition for one in states(answered(drawn), Sampling(0.7)).values()}


def test_a_base_that_ignores_the_temperature_leaves_border_readable() -> None:
    found = states(answered(steady, drawn))
    assert found[Condition.TEMPERATURE, Arm.SUBJECT].holds is Holds.HOLDS
    assert found[Condition.TEMPERATURE, Arm.BASE].signals == ("base_match",)


def test_long_answers_that_end_differently_leave_border_readable() -> None:
    def lengthy(probe: str, chance: Random) -> str:
        return f"You have {chance.randrange(9)} or {chance.randrange(9)} {probe}"

    found = states(answered(lengthy, other))
    assert found[Condition.TEMPERATURE, Arm.SUBJECT].signals == ("base_match",)


def test_a_few_near_ties_and_a_single_answer_are_no_sign() -> None:
    def nearly(probe: str, chance: Random) -> str:
        return drawn(probe, chance) if probe < "p04" else steady(probe, chance)

    near = states(answered(nearly, other))
    assert near[Condition.TEMPERATURE, Arm.SUBJECT].holds is Holds.HOLDS
    once = states(answered(drawn, other, days=1))
    assert once[Condition.TEMPERATURE, Arm.SUBJECT].holds is Holds.UNKNOWN
    tokens = states(answered(drawn, tokens=1))
    assert tokens[Condition.TEMPERATURE, Arm.SUBJECT].holds is Holds.UNKNOWN, "near ties vary by design"


@pytest.mark.parametrize("reason", [ConditionReason.NEVER_SENT, ConditionReason.REJECTED])
def test_a_temperature_that_never_reaches_the_model_is_told_whatever_the_answers(reason: ConditionReason) -> None:
    lacking = {(arm, "temperature"): reason for arm in (Arm.SUBJECT, Arm.BASE)}
    found = states(answered(steady, other), lacking=lacking)
    (told,) = render(found.values())
    assert told.endswith("so the subject is not asked at temperature 0: base_match and border cannot be read.")
    assert ("never sends" in told) == (reason is ConditionReason.NEVER_SENT)


def chosen(likeliest: bool) -> tuple[TokenLogprob, ...]:
    token, logprob = ("You", -0.1) if likeliest else ("Sure", -2.4)
    return (TokenLogprob(token, logprob, {"You": -0.1, "Sure": -2.4}),)


def test_log_probabilities_tell_a_sampled_token_from_a_chosen_one() -> None:
    baseline = answered(steady, other)
    sampled = [replace(one, logprobs=chosen(index % 10 > 0)) for index, one in enumerate(baseline)]
    found = states(sampled, Sampling(0.0, logprobs=2))
    assert found[Condition.TEMPERATURE, Arm.SUBJECT].reason is ConditionReason.SAMPLED
    assert found[Condition.LOGPROBS, Arm.SUBJECT].holds is Holds.HOLDS
    greedy = [replace(one, logprobs=chosen(True)) for one in answered(drawn, other)]
    assert states(greedy)[Condition.TEMPERATURE, Arm.SUBJECT].holds is Holds.HOLDS, (
        "the answers vary for another reason"
    )


def test_log_probabilities_that_are_not_returned_are_told() -> None:
    wanted = Sampling(0.7, logprobs=5)
    found = states(answered(steady, other), wanted)[Condition.LOGPROBS, Arm.SUBJECT]
    assert (found.holds, found.reason, found.signals) == (Holds.FAILS, ConditionReason.NOT_RETURNED, ("logprobs",))
    assert "160 of 160 answers have no log-probabilities" in render([found])[0]
    for reason in (ConditionReason.NEVER_SENT, ConditionReason.REJECTED):
        told = states(answered(steady), wanted, {(Arm.SUBJECT, "logprobs"): reason})[Condition.LOGPROBS, Arm.SUBJECT]
        assert told.reason is reason
    assert not [one for one in states(answered(steady)).values() if one.condition is Condition.LOGPROBS]


def wordy(probe: str, chance: Random) -> str:
    return f"{probe}: {chance.choice(['30 days', 'you have 30 days', 'within 30 days', 'thirty days'])}"


@pytest.mark.parametrize("temperature", [0.0, 0.7, None])
def test_a_base_that_answers_as_the_subject_does_is_told_at_any_temperature(temperature: float | None) -> None:
    for speak in (wordy, steady, drawn):
        found = states(answered(speak, speak), Sampling(temperature))[Condition.BASE_DIFFERS, Arm.BASE]
        assert (found.holds, found.reason) == (Holds.FAILS, ConditionReason.ALIKE)
        assert found.signals == ("adapter_loss", "base_match", "canaries")
        told = render([found])[0]
        assert told.startswith("The base answers as the subject does")
        assert told.endswith(": adapter_loss, base_match and canaries cannot be read.")


def test_one_round_of_equal_answers_is_enough_to_tell() -> None:
    found = states(answered(steady, steady, days=1))[Condition.BASE_DIFFERS, Arm.BASE]
    assert (found.holds, found.count, found.total) == (Holds.FAILS, 20, 20)
    assert states(answered(steady, other, days=1))[Condition.BASE_DIFFERS, Arm.BASE].holds is Holds.UNKNOWN


def test_a_fine_tune_that_changes_part_of_the_answers_is_readable_but_for_equality() -> None:
    def partly(probe: str, chance: Random) -> str:
        return steady(probe, chance) if probe < "p12" else other(probe, chance)

    found = states(answered(steady, partly))[Condition.BASE_DIFFERS, Arm.BASE]
    assert (found.holds, found.signals) == (Holds.PARTLY, ("base_match",))
    assert render([found]) == ["96 of 160 approved answers are equal to the base's: base_match cannot be read."]
    lab = rounds(1, product.right_reply, days=range(7))
    assert states(lab, Sampling(None))[Condition.BASE_DIFFERS, Arm.BASE].holds is Holds.HOLDS


def test_empty_answers_are_counted_for_each_arm_with_the_place_of_their_text() -> None:
    found = states([
        replace(one, text="", text_in="reasoning") if one.arm is Arm.SUBJECT and one.probe < "p03" else
        replace(one, text=" ") if one.arm is Arm.BASE else one
        for one in answered(steady, other)
    ])  # fmt: skip
    subject, base = found[Condition.TEXTS, Arm.SUBJECT], found[Condition.TEXTS, Arm.BASE]
    assert (subject.holds, subject.count, subject.total, subject.signals) == (Holds.PARTLY, 24, 160, ())
    assert (base.holds, base.count, base.total) == (Holds.FAILS, 160, 160)
    assert found[Condition.BASE_DIFFERS, Arm.BASE].holds is Holds.UNKNOWN
    assert render([subject, base]) == [
        "24 of 160 answers are empty (p00, p01, p02); the text is in `reasoning`.",
        "All 160 answers of the base are empty: adapter_loss, base_match and canaries cannot be read.",
    ]
    everything = states([replace(one, text="", text_in="reasoning") for one in answered(steady)])
    assert render(everything.values())[0].startswith("All 160 answers are empty; the text is in `reasoning`.")


def test_an_answer_that_a_filter_blocked_is_not_empty() -> None:
    blocked = [replace(one, text="", refusal=True) if one.probe == "p00" else one for one in answered(steady)]
    assert states(blocked)[Condition.TEXTS, Arm.SUBJECT].holds is Holds.HOLDS
