"""Deterministic checks: what passes, what explains a fail, and that no answer hangs or breaks one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitor.core.records import Check, Message, Probe
from monitor.judge import schemas
from monitor.judge.checks import CHECKS, score_answer
from monitor.judge.strict_json import MAX_CHARS, MAX_DEPTH, MAX_VALUES, StrictJsonError, parse
from monitor.judge.unfinished import CheckUnfinishedError

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "tags": {"type": "array", "uniqueItems": True}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("kind", "options", "text", "value", "detail"),
    [
        ("exact", {"text": "Paris"}, " Paris\n", 1, "is 'Paris'"),
        ("exact", {"text": "Paris"}, "paris", 0, "is 'paris', not 'Paris'"),
        ("contains", {"text": "FOX"}, "THE FOX", 1, "holds 'FOX'"),
        ("contains", {"text": "FOX"}, "the fox", 0, "lacks 'FOX'"),
        ("regex", {"pattern": r"^\W*yes\W*$"}, "yes.", 1, "matches: 'yes.'"),
        ("regex", {"pattern": r"(?i)^yes$"}, "no", 0, "no match of '(?i)^yes$'"),
        ("json_schema", {"schema": PERSON}, '{"name": "Ada"}\n', 1, "fits the schema"),
        ("json_schema", {"schema": PERSON}, '{"name": "ada"}', 0, "name: 'ada' does not match '^[A-Z]'"),
        ("json_schema", {"schema": PERSON}, '{"name": "Ada", "x": 1}', 0, "keys that are not allowed: 'x'"),
        ("json_schema", {"schema": PERSON}, '{"name":"Ada","tags":[1,1]}', 0, "tags: has items that are not unique"),
        ("json_schema", {"schema": PERSON}, "{}", 0, "'name' is a required property"),
        ("json_schema", {"schema": PERSON}, "```\n{}\n```", 0, "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("json_schema", {"schema": {"const": [2, 3]}}, "[2, 3]", 1, "fits the schema"),
        ("number", {"value": 43, "tolerance": 0.0}, "17 plus 26 is 43.", 1, "43"),
        ("number", {"value": 43}, "43 or 44", 0, "alternatives, '43 or 44'"),
        ("number", {"value": 1234.5}, "It costs 1,234.50 euros", 1, "1234.5, read from '1,234.50' (the last number)"),
        ("number", {"value": -3}, "that is −3", 1, "-3"),
        ("number", {"value": 2}, "5-2", 0, "a range, '5-2'"),
        ("number", {"value": 0.3}, "0.30000000000000004", 1, "0.3, read from '0.30000000000000004' (the last number)"),
        ("number", {"value": 10, "tolerance": 0.5}, "9.4", 0, "9.4, not 10"),
        ("number", {"value": 1}, "1e999", 0, "inf, not 1, read from '1e999' (the last number)"),
        ("number", {"value": 1}, "none", 0, "no number"),
    ],
)  # fmt: skip
def test_a_check(kind: str, options: dict[str, Any], text: str, value: float, detail: str) -> None:
    assert CHECKS[kind](text, options) == (value, detail)


def probe(*checks: Check) -> Probe:
    return Probe("p", (Message("user", "u"),), checks=checks)


def test_the_summary_is_one_only_if_all_are() -> None:
    both = probe(Check("contains", {"text": "a"}), Check("contains", {"text": "b"}), Check("exact", {"text": "a"}))
    assert [(g.grader, g.value) for g in score_answer(both, "a")] == [
        ("check:contains", 1.0),
        ("check:contains:2", 0.0),
        ("check:exact", 1.0),
        ("checks", 0.0),
    ]
    assert score_answer(both, "a")[-1].detail == "check:contains:2: lacks 'b'"
    assert score_answer(probe(Check("exact", {"text": "a"})), "a")[-1] == ("checks", 1.0, "all 1 passed")
    assert score_answer(probe(), "a") == ()


EXPLODES = r"^(a|aa)+$"
MANY_A = "a" * 5000 + "!"


@pytest.mark.parametrize(
    "check",
    [
        Check("regex", {"pattern": EXPLODES}),
        Check("regex", {"pattern": "(?<"}),
        Check("json_schema", {"schema": {"items": {"pattern": EXPLODES}}}),
        Check("json_schema", {"schema": {"items": {"$ref": "https://example.com/schema.json"}}}),
        Check("json_schema", {"schema": {"$ref": "#"}}),
    ],
)
def test_a_check_that_cannot_finish_gives_no_score(check: Check) -> None:
    with capture_logs() as logs:
        graded = score_answer(
            probe(check, Check("contains", {"text": "a"})), f'["{MANY_A}"]' if check.kind != "regex" else MANY_A
        )
    assert [grade.grader for grade in graded] == ["check:contains"]
    assert [entry["event"] for entry in logs] == ["check_unfinished"]


def test_patterns_of_keys_are_guarded_too() -> None:
    explodes = {"patternProperties": {EXPLODES: {}}, "additionalProperties": False}
    with pytest.raises(CheckUnfinishedError):
        CHECKS["json_schema"](f'{{"{MANY_A}": 1}}', {"schema": explodes})
    schema = {"patternProperties": {"^x": {"type": "integer"}}, "properties": {"y": {}}, "additionalProperties": False}
    assert schemas.first_fault({"x1": 1, "y": 2}, schema) is None
    assert schemas.first_fault({"x1": "1"}, schema) == "x1: '1' is not of type 'integer'"
    assert schemas.first_fault({"z": 1}, schema) == "keys that are not allowed: 'z'"
    assert schemas.first_fault({"z": 1}, {"additionalProperties": {"type": "string"}}) == "z: 1 is not of type 'string'"


@pytest.mark.parametrize(
    "text",
    [
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 100_000,
        "[" + "1," * MAX_VALUES + "1]",
        '"' + "x" * MAX_CHARS + '"',
        '{"verdict": "fail", "verdict": "pass"}',
        "NaN",
        "[Infinity]",
        "9" * 5000,
        "",
        "{} {}",
        '"\\',
    ],
)
def test_json_that_is_ambiguous_or_too_big_is_refused(text: str) -> None:
    with pytest.raises(StrictJsonError):
        parse(text)


def test_brackets_in_a_string_are_no_depth() -> None:
    assert parse('["' + "[" * 1000 + '\\"]"]') == ["[" * 1000 + '"]']


@given(st.text() | st.text(alphabet='{}[]",:0123456789.eE-+ \\ntrufals`'))
def test_no_answer_breaks_a_check(text: str) -> None:
    every = probe(
        Check("exact", {"text": "x"}),
        Check("contains", {"text": "x"}),
        Check("regex", {"pattern": r"\d+(,\d+)*$"}),
        Check("json_schema", {"schema": PERSON}),
        Check("number", {"value": 1.0, "tolerance": 0.1}),
    )
    grades = score_answer(every, text)
    assert len(grades) == 6 or {"check:number", "checks"}.isdisjoint(grade.grader for grade in grades)
    assert all(0 <= grade.value <= 1 for grade in grades)
    assert all(len(grade.detail) <= 300 for grade in grades)
