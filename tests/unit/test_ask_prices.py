"""Whose price list is believed, and for what."""

from typing import Any

import pytest

from monitor.ask.budget import estimate, worst_cost
from monitor.ask.prices import FREE, cost, price_of
from monitor.core.settings import Price, Provider
from tests.asking import QUESTION


def provider(**more: Any) -> Provider:
    return Provider.model_validate({"kind": "openai", **more})


def test_vendor_prices_come_from_the_list() -> None:
    assert price_of(provider(), "gpt-4o-mini") == Price(input=0.15, output=0.6)
    assert price_of(provider(), "ft:gpt-4o-mini-2024-07-18:acme::AbC123") == Price(input=0.3, output=1.2)
    assert price_of(provider(kind="anthropic"), "claude-opus-4-7") == Price(input=5, output=25)


@pytest.mark.parametrize("model", ["gpt-6.2-sol", "my-own-model", "", "claude-opus-4-7"])
def test_unknown_models_have_no_price(model: str) -> None:
    assert price_of(provider(), model) is None


def test_another_server_is_not_priced_by_the_vendors_list() -> None:
    there = "http://gateway/v1"
    assert price_of(provider(base_url=there), "gpt-4o-mini") is None
    assert price_of(provider(base_url=there, free=True), "gpt-4o-mini") == FREE
    own = {"gpt-4o-mini": {"input": 9, "output": 8}}
    assert price_of(provider(base_url=there, free=True, prices=own), "gpt-4o-mini") == Price(input=9, output=8)


@pytest.mark.parametrize("kind", ["local", "scripted"])
def test_what_runs_here_is_free(kind: str) -> None:
    assert price_of(provider(kind=kind, script="x.yaml"), "anything") == FREE


def test_cost_is_per_million() -> None:
    assert cost(Price(input=2, output=10), 500_000, 100_000) == pytest.approx(2.0)
    assert worst_cost(None, estimate(QUESTION)) == 0


def test_estimate_is_an_upper_bound() -> None:
    found = estimate(QUESTION)
    assert found.most_completion_tokens == QUESTION.sampling.max_tokens
    assert found.most_prompt_tokens >= sum(len(m.content.encode()) for m in QUESTION.messages)
