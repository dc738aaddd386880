"""The table of finish reasons: words in any form, and the page that is made from it."""

from pathlib import Path

import pytest

from monitor.core.finish_reasons import SOURCES, TABLE, Ending, cut_by_server, finish_of, normalised

DOC = Path(__file__).parents[2] / "docs/replies.md"

WORDS = [
    ("STOP", Ending.COMPLETE),
    ("eos", Ending.COMPLETE),
    ("EosToken", Ending.COMPLETE),
    ("COMPLETE", Ending.COMPLETE),
    ("FinishReason.END_TURN", Ending.COMPLETE),
    ("stop-sequence", Ending.COMPLETE),
    ({"type": "stop", "matched": 2}, Ending.COMPLETE),
    ({"reason": "endoftext"}, Ending.COMPLETE),
    (["length"], Ending.TRUNCATED),
    ("MAX_TOKENS", Ending.TRUNCATED),
    ("maxTokens", Ending.TRUNCATED),
    ("model_length", Ending.TRUNCATED),
    ("content_filter: OTHER", Ending.FILTERED),
    ("content-filter", Ending.FILTERED),
    ("PROHIBITED_CONTENT", Ending.FILTERED),
    ("guardrail_intervened", Ending.FILTERED),
    ("ERROR_TOXIC", Ending.FILTERED),
    ("refusal", Ending.REFUSAL),
    ("TOOL_CALL", Ending.TOOL_CALL),
    ("function_call", Ending.TOOL_CALL),
    ("error", Ending.ERROR),
    ("abort", Ending.ERROR),
    ("MALFORMED_FUNCTION_CALL", Ending.ERROR),
    ("insufficient_system_resource", Ending.ERROR),
    (None, Ending.MISSING),
    ("", Ending.MISSING),
    ("null", Ending.MISSING),
    ("OTHER", Ending.UNKNOWN),
    ("FINISH_REASON_UNSPECIFIED", Ending.UNKNOWN),
    ("brownout", Ending.UNKNOWN),
    (5, Ending.UNKNOWN),
    (False, Ending.UNKNOWN),
    ({}, Ending.MISSING),
    (["stop", "length"], Ending.UNKNOWN),
]


@pytest.mark.parametrize(("raw", "ending"), WORDS, ids=str)
def test_a_word_in_any_form_has_one_class(raw: object, ending: Ending) -> None:
    assert finish_of(raw).ending is ending


@pytest.mark.parametrize("word", sorted(TABLE))
def test_every_word_is_found_in_other_spellings(word: str) -> None:
    camel = "".join(part.capitalize() if n else part for n, part in enumerate(word.split("_")))
    for form in (word, word.upper(), word.replace("_", "-"), f" {word} ", f"FinishReason.{word.upper()}", camel):
        assert finish_of(form).ending is TABLE[word][0], form
        assert normalised(form) == word


@pytest.mark.parametrize(
    ("raw", "native", "ending", "word"),
    [
        ("stop", "SAFETY", Ending.FILTERED, "SAFETY"),
        ("stop", "insufficient_system_resource", Ending.ERROR, "insufficient_system_resource"),
        ("stop", "end_turn", Ending.COMPLETE, "stop"),
        ("content_filter", "STOP", Ending.FILTERED, "content_filter"),
        ("stop", "a new word", Ending.COMPLETE, "stop"),
        (None, "max_tokens", Ending.TRUNCATED, "max_tokens"),
        ("a new word", "stop", Ending.COMPLETE, "stop"),
        ("a new word", "another", Ending.UNKNOWN, "a new word"),
    ],
)
def test_the_worse_of_two_words_counts(raw: object, native: object, ending: Ending, word: str) -> None:
    assert finish_of(raw, native) == (ending, word)


@pytest.mark.parametrize(
    ("word", "tokens", "limit", "theirs"),
    [
        ("length", 64, 64, False),
        ("length", 63, 64, False),
        ("length", 12, 64, True),
        ("length", 0, 64, False),
        ("length", 12, None, False),
        ("model_length", 64, 64, True),
        ("model_context_window_exceeded", 0, 64, True),
        (None, 12, 64, True),
    ],
)
def test_whose_limit_cut_it(word: str | None, tokens: int, limit: int | None, theirs: bool) -> None:
    assert cut_by_server(word, tokens, limit) is theirs


def test_every_dialect_has_its_source() -> None:
    named = {dialect for _, dialects in TABLE.values() for dialect in dialects}
    assert named == set(SOURCES)


def test_the_page_has_the_whole_table() -> None:
    section = DOC.read_text(encoding="utf-8").split("## Finish reasons")[1]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    cells = {row.split("|")[1].strip().strip("`"): row.split("|")[2].strip() for row in rows}
    assert cells == {word: str(ending).replace("_", " ") for word, (ending, _) in TABLE.items()}
