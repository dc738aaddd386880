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

from monitor.ask import PROVIDERS, AskFailed, Provider, Setup, provider_class
from monitor.ask.local import LocalProvider
from monitor.ask.protocol import Secret
from monitor.core.records import Answer, Arm, Question, Reason
from monitor.core.settings import Endpoint
from monitor.core.settings import Provider as ProviderSettings
from tests.asking import NOW, QUESTION
from tests.http_server import Reply, Request, ScriptedServer, completion, message

WEIGHTS = Path(__file__).parents[2] / "monitor/lab/weights"
ABSENT = "no/such-model-absent"
KEY = "sk-planted-7f3a9c"


class House:
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
async def house(request: pytest.FixtureRequest, tmp_path: Path, weights: dict[Any, Any]) -> AsyncIterator[House]:
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
            ProviderSettings.model_validate({"kind": kind, **more}),
            Secret(KEY) if kind in ("openai", "anthropic") else None,
            {("bot", Arm.SUBJECT): endpoint},
            lambda: NOW,
        )
        provider = provider_class(kind)(setup)
        if isinstance(provider, LocalProvider):
            provider._loaded.update(weights)
        yield House(kind, provider, question)
        if isinstance(provider, LocalProvider):
            weights.update(provider._loaded)
        await provider.aclose()


def test_files_and_dict_agree() -> None:
    """Each provider is one file and one line in the dict."""
    folder = Path(__file__).parents[2] / "monitor/ask"
    assert {target.partition(":")[0] for target in PROVIDERS.values()} == {f"monitor.ask.{k}" for k in PROVIDERS}
    assert all((folder / f"{kind}.py").is_file() for kind in PROVIDERS)
    allowed = ProviderSettings.model_fields["kind"].annotation
    assert set(PROVIDERS) == set(getattr(allowed, "__args__", ()))


async def test_answer_is_whole(house: House) -> None:
    answer = await house.provider.ask(house.question, {})
    assert isinstance(answer.text, str)
    assert answer.finish_reason in ("stop", "length")
    assert answer.refusal is False
    assert answer.model
    assert answer.prompt_tokens > 0
    assert answer.completion_tokens > 0
    assert answer.latency_seconds >= 0
    assert answer.asked_at == NOW
    assert answer.asked_at.utcoffset() == timedelta(0)


async def test_exchange_is_kept_and_can_be_stored(house: House) -> None:
    answer = await house.provider.ask(house.question, {})
    request = answer.exchange.request
    assert request["model"] == house.question.model
    assert "Where is my order?" in json.dumps(request)
    assert json.loads(json.dumps(answer.exchange.response)) == answer.exchange.response


async def test_key_is_nowhere(house: House) -> None:
    answer = await house.provider.ask(house.question, {})
    assert KEY not in repr(answer)
    assert KEY.encode() not in pickle.dumps(answer)
    assert KEY not in repr(vars(house.provider))


async def test_what_is_not_accepted_is_not_sent(house: House) -> None:
    refused = dict.fromkeys(
        ("temperature", "seed", "logprobs", "response_format", "thinking", "output_config", "reasoning_effort"), False
    )
    question = replace(
        house.question,
        sampling=replace(house.question.sampling, logprobs=3),
        response_schema={"type": "object"},
    )
    answer = await house.provider.ask(question, refused)
    if house.kind in ("openai", "anthropic"):
        assert not set(answer.exchange.request) & (set(refused) | {"top_logprobs"})


async def test_many_at_once(house: House) -> None:
    answers = await asyncio.gather(*(house.provider.ask(house.question, {}) for _ in range(5)))
    assert len({a.text for a in answers}) == 1


async def test_a_cancelled_call_leaves_the_provider_usable(house: House) -> None:
    call = asyncio.create_task(house.provider.ask(house.question, {}))
    await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    assert isinstance(await house.provider.ask(house.question, {}), Answer)


async def test_failure_is_classified(house: House) -> None:
    """Nothing leaves a provider but an answer or ``AskFailed``."""
    with pytest.raises(AskFailed) as failed:
        await house.provider.ask(replace(house.question, target="another", model=ABSENT), {})
    assert failed.value.reason is Reason.REJECTED
    assert failed.value.permanent
    assert failed.value.exchange is not None
    assert KEY not in failed.value.detail
    assert KEY not in repr(failed.value.exchange)
