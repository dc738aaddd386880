"""Token counts of replies: every form and dialect is read, and what is unclear is billed at the dearest reading."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from benchmarks.budget import measure
from monitor.ask.budget import Estimate, billed_cost, worst_cost
from monitor.ask.http import read_reply
from monitor.ask.usage import count, read_usage
from monitor.core.providers import Price
from monitor.core.records import Answer, TokenUsage
from tests.http_server import Reply, completion, message
from tests.integration.test_asker import ask

PRICE = Price(input=1.0, output=2.0)
MOST = Estimate(likely_tokens=500, most_prompt_tokens=300, most_completion_tokens=200)


def usage_of(reply: Any) -> TokenUsage:
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return read_usage(read_reply(200, {}, body, None).json())


def said(**usage: Any) -> TokenUsage:
    return usage_of({"usage": usage})


def usd(usage: TokenUsage) -> float:
    return billed_cost(PRICE, usage, MOST) * 1e6


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (31, 31), (31.0, 31), (31.5, 31.5), ("31", 31), ("31.0", 31), (" 31 ", 31), ("+31", 31), ("3.1e1", 31),
        ("1e3", 1000), (1e3, 1000), (0, 0), ("", None), ("many", None), ("31 tokens", None), ("1,000", None),
        ("0x1f", None), ("-31", None), (-1, None), (-0.5, None), (True, None), (False, None), (None, None),
        (float("nan"), None), (float("inf"), None), ("nan", None), ("inf", None), (10**12, None), (10**400, None),
        ("9" * 4000, None), ([31], None), ({"n": 31}, None), ("٣١", None), ("1_000", None),
    ],
)  # fmt: skip
def test_a_count(value: object, tokens: float | None) -> None:
    assert count(value) == tokens


@pytest.mark.parametrize(
    ("reply", "tokens"),
    [
        ({"usage": {"prompt_tokens": 41.0, "completion_tokens": 6.5, "total_tokens": 47.5}}, (41, 7)),
        ({"usage": {"prompt_tokens": "41", "completion_tokens": "6.0", "total_tokens": "47"}}, (41, 6)),
        ({"usage": {"input_tokens": 41, "output_tokens": 6}}, (41, 6)),
        ({"usage": {"input_tokens": 1, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 10,
                    "output_tokens": 6}}, (41, 6)),
        ({"usage": {"prompt_tokens": 41, "cache_read_input_tokens": 30, "completion_tokens": 6}}, (41, 6)),
        ({"usage": {"inputTokens": 41, "outputTokens": 6, "totalTokens": 47}}, (41, 6)),
        ({"usageMetadata": {"promptTokenCount": 41, "candidatesTokenCount": 6, "totalTokenCount": 47}}, (41, 6)),
        ({"usageMetadata": {"promptTokenCount": 41, "candidatesTokenCount": 6, "thoughtsTokenCount": 50,
                            "totalTokenCount": 97}}, (41, 56)),
        ({"usageMetadata": {"promptTokenCount": 41, "thoughtsTokenCount": 50, "totalTokenCount": 91}}, (41, 50)),
        ({"usage_metadata": {"prompt_token_count": 41, "candidates_token_count": 6}}, (41, 6)),
        ({"usage": {"prompt_tokens": 41, "completion_tokens": 6, "total_tokens": 97,
                    "completion_tokens_details": {"reasoning_tokens": 50}}}, (41, 56)),
        ({"usage": {"prompt_tokens": 41, "completion_tokens": 56, "total_tokens": 97,
                    "completion_tokens_details": {"reasoning_tokens": 50}}}, (41, 56)),
        ({"usage": {"prompt_tokens": 41, "completion_tokens": 6, "reasoning_tokens": 50}}, (41, 56)),
        ({"usage": [{"prompt_tokens": 41, "completion_tokens": 6}]}, (41, 6)),
        ({"x_usage": {"prompt_tokens": 41, "completion_tokens": 6}}, (41, 6)),
        ({"x_groq": {"id": "r", "usage": {"prompt_tokens": 41, "completion_tokens": 6}}}, (41, 6)),
        ({"usage": {"billed_units": {"input_tokens": 41, "output_tokens": 6}}}, (41, 6)),
        ({"meta": {"tokens": {"input_tokens": 41, "output_tokens": 6}}}, (41, 6)),
        ({"metadata": {"usage": {"inputTokens": 41, "outputTokens": 6}}}, (41, 6)),
        ({"timings": {"prompt_n": 11, "cache_n": 30, "predicted_n": 6, "prompt_ms": 3.5}}, (41, 6)),
        ({"usage": {"prompt_tokens": 41, "completion_tokens": 6}, "timings": {"prompt_n": 1}}, (41, 6)),
        ({"prompt_eval_count": 41, "eval_count": 6}, (41, 6)),
        ({"results": [{"input_token_count": 41, "generated_token_count": 6}]}, (41, 6)),
        ({"choices": [{"usage": {"prompt_tokens": 41, "completion_tokens": 6}}]}, (41, 6)),
        (b'{"usage": {"prompt_tokens": 41, "prompt_tokens": 41, "completion_tokens": 6}}', (41, 6)),
    ],
)  # fmt: skip
def test_a_usage_that_is_certain(reply: Any, tokens: tuple[int, int]) -> None:
    usage = usage_of(reply)
    assert (usage.prompt, usage.completion) == tokens
    assert not usage.contradicts
    assert usd(usage) == pytest.approx(tokens[0] + 2 * tokens[1])
    assert usage.note == ""


@pytest.mark.parametrize(
    ("raw", "shown", "cost", "note"),
    [
        ('"usage": {"prompt_tokens": 41, "prompt_tokens": 44, "completion_tokens": 6}', (44, 6), 56, "41 and 44"),
        ('"usage": {"prompt_tokens": 44, "completion_tokens": 6, "prompt_tokens": 41}', (44, 6), 56, "44 and 41"),
        ('"usage": {"prompt_tokens": 41, "completion_tokens": 6}, "usage": null', (41, 6), 53, ""),
        ('"usage": null, "usage": {"prompt_tokens": 41, "completion_tokens": 6}', (41, 6), 53, ""),
        ('"usage": {"prompt_tokens": 41, "completion_tokens": 6}, "usage": {"output_tokens": 9}', (41, 9), 59, "6 and"),
        ('"usage": {"prompt_tokens": 41, "completion_tokens": 6, "total_tokens": 60}', (41, 19), 79, "not the sum"),
        ('"usage": {"prompt_tokens": 41, "completion_tokens": 6, "total_tokens": 10}', (41, 6), 700, "not the sum"),
        ('"usage": {"prompt_tokens": 41, "total_tokens": 47}', (41, 6), 700, "one part"),
        ('"usage": {"prompt_tokens": 41, "completion_tokens": null}', (41, None), 441, "completion_tokens is null"),
        ('"usage": {"prompt_tokens": 41}', (41, None), 441, "does not count its completion tokens"),
        ('"usage": {"completion_tokens": 6}', (None, 6), 312, "does not count its prompt tokens"),
        ('"usage": {"prompt_tokens": 41, "completion_tokens": -6}', (41, None), 441, "completion_tokens is negative"),
        ('"usage": {"prompt_tokens": true, "completion_tokens": 6}', (None, 6), 312, "prompt_tokens is true or false"),
        ('"usage": {"prompt_tokens": 41, "completion_tokens": NaN}', (41, None), 441, "completion_tokens is null"),
        ('"usage": {"prompt_tokens": 41, "completion_tokens": 1e400}', (41, None), 441, "completion_tokens is"),
        ('"usage": {"prompt_tokens": 0, "completion_tokens": 6}', (None, 6), 312, "prompt tokens are stated as 0"),
        ('"usage": {"prompt_tokens": 900, "completion_tokens": 900}', (900, 900), 2700, ""),
        ('"usage": {"total_tokens": 47}', (None, None), 700, "does not count"),
        ('"usage": {"total_tokens": 4700}', (None, None), 9700, "does not count"),
        ('"usage": {}', (None, None), 700, "does not count"),
        ('"usage": "47"', (None, None), 700, "a text that is no number"),
        ('"other": 1', (None, None), 700, "does not count"),
        ('"usage": [{"prompt_tokens": 41, "completion_tokens": 6}, {"prompt_tokens": 1, "completion_tokens": 2}]',
         (42, 8), 58, "a list of 2"),
    ],
)  # fmt: skip
def test_a_usage_that_is_not(raw: str, shown: tuple[int | None, int | None], cost: float, note: str) -> None:
    usage = usage_of(b"{" + raw.encode() + b"}")
    assert (usage.prompt, usage.completion) == shown
    assert usd(usage) == pytest.approx(cost)
    assert note in usage.note
    assert bool(usage.note) == bool(note)


def test_hidden_tokens_cost_the_dearer_price() -> None:
    usage = said(prompt_tokens=41, completion_tokens=6, total_tokens=60)
    assert billed_cost(Price(input=5.0, output=1.0), usage, MOST) * 1e6 == pytest.approx(5 * 41 + 6 + 5 * 13)


def test_words_about_usage_in_an_answer_are_no_count() -> None:
    text = 'Send {"usage": {"prompt_tokens": 1}} and "usage": {"prompt_tokens": 2}'
    assert usage_of(completion(text)) == TokenUsage(11, 7)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("odd", [None, "many", -3, {}, 10**15])
async def test_a_part_without_a_count_costs_its_maximum(kind: str, odd: object) -> None:
    make, names = (completion, ("prompt_tokens", "completion_tokens")) if kind == "openai" else (
        message, ("input_tokens", "output_tokens"))  # fmt: skip
    settings: dict[str, Any] = {"kind": kind, "free": False, "prices": {"tuned": {"input": 1.0, "output": 1000.0}},
                                "budget": {"usd_per_day": 9.0}}  # fmt: skip
    with capture_logs() as logs:
        outcome, stage = await ask([Reply(body=make(usage={names[0]: 11, names[1]: odd}))], **settings)
        assert isinstance(outcome, Answer)
        assert (outcome.prompt_tokens, outcome.completion_tokens) == (11, 0)
        assert outcome.usd == pytest.approx((11 + 64 * 1000) / 1e6)
        none, stage = await ask([Reply(body=make(usage={names[0]: odd, names[1]: odd}))], **settings)
        assert isinstance(none, Answer)
        assert none.usd == pytest.approx(stage.ledger.reserved[0].usd)
        zero, _ = await ask([Reply(body=make(usage={names[0]: 11, names[1]: 0}))], **settings)
        assert zero.usd == outcome.usd
    assert {entry["event"] for entry in logs if entry["log_level"] == "warning"} == {"usage_unclear"}


async def test_a_dear_attempt_counts_before_the_next_one() -> None:
    """The excess over the first reservation is reserved with the second."""
    dear = {
        "error": {"message": "overloaded", "code": 503},
        "usage": {"prompt_tokens": 11, "completion_tokens": 5000},
    }
    prices = {"tuned": {"input": 1.0, "output": 1000.0}}
    outcome, stage = await ask(
        [Reply(body=dear), Reply(body=completion())], free=False, prices=prices, budget={"usd_per_day": 9.0}
    )
    first, second = (one.usd for one in stage.ledger.reserved)
    assert outcome.usd <= first + second
    assert second - first == pytest.approx((11 + 5_000_000) / 1e6 - first)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["7", "1e2", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    ["usage", "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "usageMetadata", "timings",
     "prompt_n", "thoughtsTokenCount", "candidatesTokenCount", "meta", "choices", "cache_read_input_tokens",
     "completion_tokens_details", "reasoning_tokens"]
)  # fmt: skip
replies = st.recursive(json_values, lambda inner: st.dictionaries(keys, inner, max_size=6), max_leaves=20)


@given(st.dictionaries(keys, replies, max_size=6))
def test_any_reply_is_read_and_costs_something(reply: dict[str, Any]) -> None:
    usage = usage_of(reply)
    assert usage.prompt is None or usage.prompt > 0
    assert usage.completion is None or usage.completion >= 0
    assert usd(usage) > 0
    if usage.prompt is None and usage.completion is None:
        assert billed_cost(PRICE, usage, MOST) >= worst_cost(PRICE, MOST)


async def test_mutated_usage_never_costs_less_than_it_says(tmp_path: Path) -> None:
    found = await measure(tmp_path, seed=7, calls=800, targets=4)
    assert found.examples == ()
    assert found.calls >= 700
    assert found.exhausted == 4
    assert found.passed <= found.in_flight
