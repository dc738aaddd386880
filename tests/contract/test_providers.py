"""What every provider promises, tried on each of them against a real server, real weights or a real script."""

import asyncio
import json
import pickle
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.ask import AskFailed, Provider, Setup, provider_class
from monitor.ask.local import LocalProvider
from monitor.ask.protocol import Secret
from monitor.core.providers import PROVIDERS, ApiProvider
from monitor.core.records import Answer, Arm, Question, Reason
from monitor.core.settings import Endpoint
from tests.asking import NOW, QUESTION
from tests.http_server import Reply, Request, ScriptedServer, completion, message

WEIGHTS = Path(__file__).parents[2] / "monitor/lab/weights"
ABSENT = "no/such-model-absent"
KEY = "sk-planted-7f3a9c"


class RunContext:
    """A provider and a question that it can answer."""

    def __init__(self, kind: str, provider: Provider, question: Question) -> None:
        self.kind = kind
        self.provider = provider
        self.question = question


@pytest.fixture(scope="module")
def weights() -> dict[Any, Any]:
    """What the local provider has loaded, kept from test to test."""
    return {}


@pytest.fixture(params=sorted(PROVIDERS))
async def context(request: pytest.FixtureRequest, tmp_path: Path, weights: dict[Any, Any]) -> AsyncIterator[RunContext]:
    kind: str = request.param
    answered = completion() if kind == "openai" else message()

    def reply(asked: Request) -> Reply:
        if asked.body["model"] == ABSENT:
            return Reply(404, {"error": {"message": f"no such model; your key is {KEY}", "type": "not_found_error"}})
        return Reply(body=answered, headers={"x-ratelimit-key": KEY})

    async with ScriptedServer(reply) as server:
        script = tmp_path / "script.yaml"
        script.write_text('rules: [{model: .*absent, error: {reason: rejected}}, {answers: ["hello"]}]')
        http = {"base_url": server.url, "api_key_env": "UNUSED"}
        more: dict[str, Any] = {"local": {}, "scripted": {"script": script}}.get(kind, http)
        question = QUESTION
        if kind == "local":
            if not (WEIGHTS / "base/model.safetensors").is_file():
                pytest.skip("the lab's weights are not there")
            few = replace(QUESTION.sampling, max_tokens=6)
            question = replace(QUESTION, model=str(WEIGHTS / "base"), sampling=few)
        endpoint = Endpoint(provider="server", model=question.model)
        setup = Setup(
            "server",
            PROVIDERS[kind].settings.model_validate({"kind": kind, **more}),
            Secret(KEY) if issubclass(PROVIDERS[kind].settings, ApiProvider) else None,
            {("bot", Arm.SUBJECT): endpoint},
            lambda: NOW,
        )
        provider = provider_class(kind)(setup)
        if isinstance(provider, LocalProvider):
            provider._loaded.update(weights)
        yield RunContext(kind, provider, question)
        if isinstance(provider, LocalProvider):
            weights.update(provider._loaded)
        await provider.aclose()


async def test_answer_is_whole(context: RunContext) -> None:
    answer = await context.provider.ask(context.question, {})
    assert isinstance(answer.text, str)
    assert answer.finish_reason in ("stop", "length")
    assert answer.refusal is False
    assert answer.model
    assert answer.prompt_tokens > 0
    assert answer.completion_tokens > 0
    assert answer.latency_seconds >= 0
    assert answer.asked_at == NOW
    assert answer.asked_at.utcoffset() == timedelta(0)


async def test_exchange_is_kept_and_can_be_stored(context: RunContext) -> None:
    answer = await context.provider.ask(context.question, {})
    request = answer.exchange.request
    assert request["model"] == context.question.model
    assert "Where is my order?" in json.dumps(request)
    assert json.loads(json.dumps(answer.exchange.response)) == answer.exchange.response


async def test_key_is_nowhere(context: RunContext) -> None:
    answer = await context.provider.ask(context.question, {})
    assert KEY not in repr(answer)
    assert KEY.encode() not in pickle.dumps(answer)
    assert KEY not in repr(vars(context.provider))


async def test_what_is_not_accepted_is_not_sent(context: RunContext) -> None:
    refused = dict.fromkeys(
        ("temperature", "seed", "logprobs", "response_format", "thinking", "output_config", "reasoning_effort"), False
    )
    question = replace(
        context.question,
        sampling=replace(context.question.sampling, logprobs=3),
        response_schema={"type": "object"},
    )
    answer = await context.provider.ask(question, refused)
    if context.kind in ("openai", "anthropic"):
        assert not set(answer.exchange.request) & (set(refused) | {"top_logprobs"})


async def test_many_at_once(context: RunContext) -> None:
    answers = await asyncio.gather(*(context.provider.ask(context.question, {}) for _ in range(5)))
    assert len({a.text for a in answers}) == 1


async def test_a_cancelled_call_leaves_the_provider_usable(context: RunContext) -> None:
    call = asyncio.create_task(context.provider.ask(context.question, {}))
    await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    assert isinstance(await context.provider.ask(context.question, {}), Answer)


async def test_failure_is_classified(context: RunContext) -> None:
    """Nothing leaves a provider but an answer or ``AskFailed``."""
    with pytest.raises(AskFailed) as failed:
        await context.provider.ask(replace(context.question, target="another", model=ABSENT), {})
    assert failed.value.reason is Reason.REJECTED
    assert failed.value.permanent
    assert failed.value.exchange is not None
    assert KEY not in failed.value.detail
    assert KEY not in repr(failed.value.exchange)
