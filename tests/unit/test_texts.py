"""What counts as an empty text, and how it is shown."""

from itertools import product
from random import Random

import pytest

from monitor.core.records import Check, Message, Probe
from monitor.core.texts import is_empty, is_only_reasoning, located, place_of, shown
from monitor.judge.checks import CHECKS, score_answer
from monitor.judge.empty_answers import empty_grades

BLANKS = ["", " ", "\n", "\t\r\n ", "\u00a0", "\u3000", "\u200b", "\ufeff", "\u2060\u200d", "\u00ad", "\u3164",
          "\u2800", "\uffa0", "\x00", "\x1b", "\ufe0f", "\u034f", "\u202e\u202c", "\u2028", "\u180e"]  # fmt: skip
WRAPS = ["<think>{}</think>", "<thinking>{}</thinking>", "<think>{}", "<THINK>{}</THINK>", "{}\n</think>",
         "<reasoning>{}</reasoning>", "[THINK]{}[/THINK]", "◁think▷{}◁/think▷", "<think id='1'>{}</think>",
         "<|channel|>analysis<|message|>{}<|end|>", "<thought>{}</thought>",
         "<think></think><think>{}</think>"]  # fmt: skip
TEXTS = [
    "21 days",
    "null",
    "None",
    "N/A",
    ".",
    "-",
    "0",
    "{}",
    "[]",
    "<p>",
    "…",
    "é",
    "🙂",
    "日本",
    "“",
    "I can't help.",
]


@pytest.mark.parametrize(("before", "after"), [*product(BLANKS, repeat=2)])
def test_white_space_and_invisible_characters_are_no_text(before: str, after: str) -> None:
    assert is_empty(before + after)
    assert shown(before + after).startswith("(empty)")
    assert not is_empty(f"{before}a{after}")


@pytest.mark.parametrize(("wrap", "thought"), [*product(WRAPS, ["21 days.", "", "a\nb < c\n", "x" * 5000])])
def test_reasoning_alone_is_no_text_and_reasoning_before_a_text_is_one(wrap: str, thought: str) -> None:
    told = wrap.format(thought)
    for blank in BLANKS:
        assert is_empty(blank + told + blank)
    assert is_only_reasoning(told)
    assert place_of(told, None) == "`<think>`"
    assert shown(told) == f"(empty) {told.strip()}"
    if wrap != "<think>{}":  # which never ends
        assert not is_empty(f"{told}\n21 days")


@pytest.mark.parametrize("text", TEXTS)
def test_words_and_signs_are_text(text: str) -> None:
    assert not is_empty(text)
    assert not is_empty(f"\u200b {text}\n")
    assert shown(text) == text
    assert place_of(text, None) is None


@pytest.mark.parametrize(
    "text",
    ["Close it with </think>", "Write <think> and </think>.", "<thinker>a</thinker>", "[THINK TANK]", "<b>a</b>"],
)
def test_a_text_about_tags_is_a_text(text: str) -> None:
    assert not is_empty(text)


def test_texts_of_any_characters_are_judged_alike_with_blanks_around() -> None:
    chance = Random(12)
    for _ in range(2000):
        text = "".join(chance.choices([*"ab<>/[]", "think", "</think>", "\n", "\u200b", "é"], k=chance.randint(0, 8)))
        assert is_empty(text) == is_empty(f"\u200b{text}\u200b")


def test_the_place_of_a_text_is_named() -> None:
    assert located({"reasoning": 2, "tool_calls": 5}, 7) == "the text of 5 of them is in `tool_calls`"
    assert place_of("", "reasoning_content") == "reasoning_content"


CHECKED = [
    Check("exact", {"text": "a"}), Check("contains", {"text": ""}), Check("regex", {"pattern": "^(?!.*sorry)"}),
    Check("regex", {"pattern": "^.{0,80}$"}), Check("json_schema", {"schema": {}}), Check("number", {"value": 0}),
    Check("verdict", {"verdict": "pass"}), Check("number", {"value": 1}),
]  # fmt: skip


def test_an_empty_answer_fails_every_check_also_those_that_an_empty_text_fulfils() -> None:
    assert {one.kind for one in CHECKED} == set(CHECKS)
    probe = Probe("p", (Message("user", "Which?"),), checks=tuple(CHECKED))
    grades = empty_grades(probe)
    assert {one.value for one in grades} == {0.0}
    assert [one.grader for one in grades] == [one.grader for one in score_answer(probe, "text")]
    assert any(one.value == 1.0 for one in score_answer(probe, "")), "some would pass"
    assert empty_grades(Probe("p", ())) == ()
