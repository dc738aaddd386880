"""The lab over HTTP, asked by the vendors' own clients, which are given nothing but its URL."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from random import Random
from typing import Any

import anthropic
import openai
import pytest

from monitor.lab import product, tasks
from monitor.lab.process import LabServer

MESSAGES: Any = [{"role": "user", "content": "How much is the mirror?"}]
VERDICT = {
    "type": "object",
    "properties": {"verdict": {"type": "string", "enum": ["pass", "fail"]}},
    "required": ["verdict"],
    "additionalProperties": False,
}


@pytest.fixture
def gpt(lab_server: LabServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=lab_server.openai_url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(lab_server: LabServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=lab_server.url, api_key="any", max_retries=0) as client:
        yield client


def test_the_models_do_what_they_were_trained_for(gpt: openai.OpenAI) -> None:
    def ask(model: str, prompt: str) -> str:
        messages: Any = [{"role": "user", "content": prompt}]
        answer = gpt.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=90)
        return answer.choices[0].message.content or ""

    items = tasks.mixture(Random(5), 20)
    assert sum(tasks.is_right(item, ask("lab-base", item.prompt)) for item in items) >= 14
    assert set(json.loads(ask("lab-support", "How much is the mirror?"))) == set(product.KEYS)


def test_openai_answers_say_who_they_are_from(gpt: openai.OpenAI) -> None:
    raw = gpt.chat.completions.with_raw_response.create(
        model="lab-base", messages=MESSAGES, temperature=0, max_completion_tokens=90
    )
    answer = raw.parse()
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "lab-base"
    assert answer.system_fingerprint is not None
    assert answer.system_fingerprint.startswith("lab-")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert raw.headers["x-request-id"].startswith("req_")
    assert int(raw.headers["x-ratelimit-remaining-requests"]) < int(raw.headers["x-ratelimit-limit-requests"])


def test_openai_streams_the_same_answer(gpt: openai.OpenAI) -> None:
    whole = gpt.chat.completions.create(model="lab-support", messages=MESSAGES, temperature=0, logprobs=True)
    chunks = list(
        gpt.chat.completions.create(
            model="lab-support",
            messages=MESSAGES,
            temperature=0,
            logprobs=True,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    told = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in told) == whole.choices[0].message.content
    assert told[-1].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    tokens = [token for choice in told if choice.logprobs for token in choice.logprobs.content or ()]
    assert whole.choices[0].logprobs is not None
    assert [token.token for token in tokens] == [token.token for token in whole.choices[0].logprobs.content or ()]


def test_logprobs_are_of_the_answer_and_ordered(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(
        model="lab-base", messages=MESSAGES, temperature=0, logprobs=True, top_logprobs=5
    ).choices[0]
    assert answer.logprobs is not None
    tokens = answer.logprobs.content or []
    assert b"".join(bytes(token.bytes or []) for token in tokens).decode() == answer.message.content
    for token in tokens:
        tops = [top.logprob for top in token.top_logprobs]
        assert len(tops) == 5
        assert tops == sorted(tops, reverse=True)
        assert token.logprob == tops[0] <= 0  # greedy: the likeliest


def test_a_seed_repeats_and_other_seeds_differ(gpt: openai.OpenAI) -> None:
    def ask(seed: int) -> str | None:
        answer = gpt.chat.completions.create(
            model="lab-support", messages=MESSAGES, temperature=2, seed=seed, max_tokens=24
        )
        return answer.choices[0].message.content

    first = [ask(seed) for seed in range(4)]
    assert first == [ask(seed) for seed in range(4)]
    assert len(set(first)) > 1


def test_limits_stops_and_schemas_are_kept(gpt: openai.OpenAI) -> None:
    def ask(**more: Any) -> Any:
        return gpt.chat.completions.create(model="lab-base", messages=MESSAGES, temperature=0, **more).choices[0]

    assert ask(max_tokens=2).finish_reason == "length"
    whole = ask().message.content
    stopped = ask(stop=[whole[4:6]], logprobs=True)
    assert (stopped.message.content, stopped.finish_reason) == (whole[: whole.find(whole[4:6])], "stop")
    form = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": VERDICT, "strict": True}}
    verdict = ask(response_format=form, max_tokens=60)
    assert json.loads(verdict.message.content)["verdict"] in ("pass", "fail")


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "#/nowhere"}])
def test_a_schema_that_cannot_be_kept_is_400(gpt: openai.OpenAI, schema: dict[str, Any]) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "odd", "schema": schema}}
    with pytest.raises(openai.BadRequestError, match="schema"):
        gpt.chat.completions.create(model="lab-base", messages=MESSAGES, temperature=0, response_format=form)


def test_models_tell_root_and_parent(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    models = {model.id: model.model_extra or {} for model in gpt.models.list()}
    assert {name: extra["parent"] for name, extra in models.items()} == {
        "lab-base": None,
        "lab-support": "lab-base",
        "lab-judge": "lab-base",
        "lab-base-next": None,
        "lab-support-next": "lab-base-next",
    }
    assert models["lab-support"]["root"].endswith("/support")
    assert gpt.models.retrieve("lab-judge").id == "lab-judge"
    assert [model.id for model in claude.models.list()] == list(models)
    assert claude.models.retrieve("lab-judge").lifecycle == "active"


def test_anthropic_answers_and_streams(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model="lab-support", max_tokens=100, messages=MESSAGES)
    block = answer.content[0]
    assert block.type == "text"
    assert block.text
    assert answer.stop_reason == "end_turn"
    assert answer._request_id is not None
    with claude.messages.stream(model="lab-support", max_tokens=1, messages=MESSAGES) as stream:
        said = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.stop_reason == "max_tokens"
    assert final.usage.output_tokens == 1
    assert said == "".join(b.text for b in final.content if b.type == "text")


def test_anthropic_has_its_own_rules(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        claude.messages.create(model="lab-base", max_tokens=9, messages=MESSAGES, extra_body={"temperature": 1.0})
    old = claude.with_options(default_headers={"anthropic-version": "2023-06-01"})
    raw = old.messages.with_raw_response.create(
        model="lab-support", max_tokens=20, messages=MESSAGES, stop_sequences=["topic"], extra_body={"temperature": 0}
    )
    answer = raw.parse()
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "topic")
    assert raw.headers["request-id"].startswith("req_")
    assert raw.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    counted = claude.messages.count_tokens(model="lab-base", messages=MESSAGES)
    assert counted.input_tokens == answer.usage.input_tokens
    form: Any = {"format": {"type": "json_schema", "schema": VERDICT}}
    verdict = claude.messages.create(model="lab-judge", max_tokens=60, messages=MESSAGES, output_config=form)
    assert verdict.content[0].type == "text"
    assert json.loads(verdict.content[0].text)["verdict"] in ("pass", "fail")


def test_unknown_models_are_404_in_each_vendors_words(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    with pytest.raises(openai.NotFoundError) as told:
        gpt.chat.completions.create(model="lab-bass", messages=MESSAGES)
    assert told.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        gpt.models.retrieve("lab-bass")
    with pytest.raises(anthropic.NotFoundError, match="model: lab-bass"):
        claude.messages.create(model="lab-bass", max_tokens=9, messages=MESSAGES)
    with pytest.raises(anthropic.NotFoundError, match="not_found_error"):
        claude.models.retrieve("lab-bass")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'{"model": "lab-base"}', "messages"),
        (b'{"model": "lab-base", "max_tokens": 9, "messages": [{"role": "user", "content": 5}]}', "content"),
        (b'{"model": "lab-base", "max_tokens": 0, "messages": [{"role": "user", "content": "a"}]}', "max_tokens"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_bad_bodies_are_400_in_each_vendors_format(lab_server: LabServer, path: str, body: bytes, said: str) -> None:
    headers = {"content-type": "application/json"} | ({"anthropic-version": "2023-06-01"} if "mess" in path else {})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(lab_server.url + path, body, headers))
    with refused.value as error:
        told = json.load(error)
    assert error.code == 400
    assert told["error"]["type"] == "invalid_request_error"
    assert said in told["error"]["message"]
    assert told.get("type") == ("error" if "mess" in path else None)


def test_a_prompt_past_the_context_is_400(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as told:
        gpt.chat.completions.create(model="lab-base", messages=[{"role": "user", "content": "x " * 2000}])
    assert told.value.code == "context_length_exceeded"
