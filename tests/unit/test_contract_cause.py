"""What ``contract`` names as the cause: what became of the answers, in any dialect's words."""

from dataclasses import replace

import pytest

from monitor.core.records import Arm, Cause, GradedAnswer, Severity
from monitor.detect import contract
from tests.unit.detect_answers import compared, graded, told


def answered(*, day: int, share: float = 0.0, **changed: object) -> list[GradedAnswer]:
    """20 answers of a day; ``changed`` holds for the first ``share`` of them."""
    found = [graded(f"p{probe:02}", "the answer is 42", day=day) for probe in range(20)]
    return [replace(one, **changed) if place < share * 20 else one for place, one in enumerate(found)]  # type: ignore[arg-type]


BASELINE = [one for day in range(10) for one in answered(day=day)]


def cause(now: list[GradedAnswer], baseline: list[GradedAnswer] = BASELINE) -> Cause:
    found = told(contract.measure, compared(now, baseline), Severity.TICKET)
    assert found is not None
    return found.finding(found.verdict).cause


@pytest.mark.parametrize("word", ["length", "max_tokens", "MAX_TOKENS", "model_length", "token_limit"])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_limit_in_any_dialect_cuts(word: str, share: float) -> None:
    assert cause(answered(day=20, share=share, finish_reason=word)) is Cause.ANSWERS_CUT


@pytest.mark.parametrize("word", ["eos", "stop_sequence", "tool_calls", None])
def test_another_end_is_no_cut(word: str | None) -> None:
    assert cause(answered(day=20, share=1.0, finish_reason=word)) is not Cause.ANSWERS_CUT


def test_fewer_cut_answers_are_no_cut_and_more_are() -> None:
    before = [one for day in range(10) for one in answered(day=day, share=0.6, finish_reason="length")]
    assert cause(answered(day=20), before) is not Cause.ANSWERS_CUT
    assert cause(answered(day=20, share=1.0, finish_reason="length"), before) is Cause.ANSWERS_CUT, "more are"


def test_more_refusals() -> None:
    assert cause(answered(day=20, share=0.5, refusal=True)) is Cause.ANSWERS_REFUSED
    before = [one for day in range(10) for one in answered(day=day, share=0.5, refusal=True)]
    assert cause(answered(day=20), before) is not Cause.ANSWERS_REFUSED


def test_another_template_explains_what_became_of_the_answers() -> None:
    assert cause(answered(day=20, share=1.0, finish_reason="length", prompt_tokens=99)) is Cause.PROMPT_CHANGED


def test_what_the_base_does_is_not_about_the_answers() -> None:
    cut = [replace(one, arm=Arm.BASE, finish_reason="length", refusal=True) for one in answered(day=20)]
    assert cause([*answered(day=20), *cut]) is Cause.UNKNOWN
