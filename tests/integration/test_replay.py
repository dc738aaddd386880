"""Logged requests that are asked again with their parameters: from the log to the wire, and what cannot be repeated."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from monitor.ask import AskFailed, Setup, provider_class
from monitor.ask.budget import estimate
from monitor.config.suites import run_digest
from monitor.core.providers import PROVIDERS
from monitor.core.records import Arm, Reason
from monitor.core.run_kinds import PRODUCTION
from monitor.core.settings import Production, Settings
from monitor.core.sources import JsonlSource
from monitor.runs.manual import run_now
from monitor.sample import Sampled, sample_production
from tests.asking import NOW, QUESTION
from tests.daemon import NOON, Clock, context_of, write
from tests.http_server import Reply, ScriptedServer, completion, message

USER: Final = {"role": "user", "content": "Where is order 7?"}
FUNCTION: Final = {
    "name": "find_order", "description": "Finds an order", "parameters": {"type": "object", "properties": {"id": {}}}
}  # fmt: skip
TOOL: Final = {"type": "function", "function": FUNCTION}
SCHEMA: Final = {"type": "object", "properties": {"answer": {"type": "string"}}}
FORMAT: Final = {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA}}


def sampled(folder: Path, *records: Mapping[str, Any], replay: str = "whole") -> Sampled:
    path = folder / "requests.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    source = JsonlSource(kind="jsonl", path=str(path))
    return sample_production(
        Production.model_validate({"source": source.model_dump(), "replay": replay}), 1, None, None
    )


READ: Final[list[tuple[dict[str, Any], dict[str, Any]]]] = [
    ({}, {}),
    ({"temperature": 0, "top_p": 0.9, "seed": 3, "stop": ["x"], "max_tokens": 9, "n": 1, "stream": True, "user": "u"},
     {"temperature": 0, "top_p": 0.9, "seed": 3, "stop": ["x"], "max_tokens": 9}),
    ({"temperature": None, "tools": [], "response_format": FORMAT}, {"response_format": FORMAT}),
    ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [TOOL], "tool_choice": "auto"}),
    ({"stop_sequences": ["x"], "tools": [{"name": "find_order", "description": "Finds an order",
      "input_schema": FUNCTION["parameters"]}], "tool_choice": {"type": "any"}},
     {"stop": ["x"], "tools": [TOOL], "tool_choice": "required"}),
    ({"tools": [{"type": "function", **FUNCTION}], "max_output_tokens": 9,
      "text": {"format": {"type": "json_schema", "name": "reply", "schema": SCHEMA}}},
     {"tools": [TOOL], "max_completion_tokens": 9, "response_format": FORMAT}),
    ({"text": "the line of the log", "container": "web-1", "reasoning": "none"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), READ)
def test_parameters_are_read_in_the_dialects(given: dict[str, Any], expected: dict[str, Any], tmp_path: Path) -> None:
    (one,) = sampled(tmp_path, {"messages": [USER], **given}).inputs
    assert one.probe.parameters == expected


LEFT: Final[list[tuple[dict[str, Any], str]]] = [
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools_offered"),
    ({"tools": [{"type": "code_interpreter"}]}, "tools_offered"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools_offered"),
    ({"tools": "all"}, "parameters"),
    ({"functions": [FUNCTION]}, "parameters"),
    ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "parameters"),
    ({"top_k": 5}, "parameters"),
    ({"temperature": "hot"}, "parameters"),
    ({"max_tokens": 0}, "parameters"),
    ({"tools": [TOOL], "tool_choice": {"type": "odd"}}, "parameters"),
    ({"tools": [{**TOOL, "function": {**FUNCTION, "description": "(litellm_truncated skipped 9 chars)"}}]},
     "marker"),
    ({"previous_response_id": "r7"}, "state_elsewhere"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "reason"), LEFT)
def test_what_cannot_be_repeated_is_left_out_by_reason(given: dict[str, Any], reason: str, tmp_path: Path) -> None:
    account = sampled(tmp_path, {"messages": [USER], **given}).account
    assert [(one.reason, one.count) for one in account.reasons] == [(reason, 1)]
    assert account.kept == 0


def test_texts_alone_are_asked_as_before(tmp_path: Path) -> None:
    found = sampled(
        tmp_path, {"messages": [USER], "temperature": 0.2}, {"messages": [USER], "tools": [TOOL]}, replay="text"
    )
    assert [one.probe.parameters for one in found.inputs] == [{}]
    assert {one.reason: one.count for one in found.account.reasons} == {"tools_offered": 1}


def test_an_input_has_one_id_and_its_parameters_are_redacted(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {**FUNCTION, "description": "Mail jo@example.com"}}
    whole = sampled(tmp_path, {"messages": [USER], "tools": [tool]}).inputs[0].probe
    text = sampled(tmp_path, {"messages": [USER]}, replay="text").inputs[0].probe
    assert whole.id == text.id
    assert "@" not in json.dumps(whole.parameters)


def test_a_baseline_of_texts_stays_valid_and_is_none_of_whole_requests() -> None:
    def digest(**production: Any) -> str:
        subject = {"provider": "server", "model": "tuned"}
        source = {"kind": "jsonl", "path": "x"}
        bot = {"subject": subject, "production": {"source": source, **production}}
        settings = Settings.model_validate({"providers": {"server": {"kind": "openai"}}, "targets": {"bot": bot}})
        return run_digest(settings, {}, "bot", PRODUCTION.suite)

    assert digest() == digest(replay="text") == digest(sample=7)
    assert digest(replay="whole") != digest()


CALL: Final = {"id": "c", "type": "function", "function": {"name": "find_order", "arguments": '{"id": 7, "a": 1}'}}
CALLED: Final = '{"tool_calls": [{"arguments": {"a": 1, "id": 7}, "name": "find_order"}]}'


async def test_a_request_is_sent_as_it_was_logged_and_a_call_is_the_answer(tmp_path: Path) -> None:
    parameters = {"temperature": 0.3, "top_p": 0.9, "max_tokens": 99, "tools": [TOOL], "tool_choice": "auto"}
    logged = {"at": (NOON - timedelta(hours=1)).isoformat(), "messages": [USER], **parameters}
    (tmp_path / "requests.jsonl").write_text(json.dumps(logged) + "\n")
    answered = completion(None, message={"tool_calls": [CALL]}, choice={"finish_reason": "tool_calls"})
    async with ScriptedServer([Reply(body=answered)]) as server:
        subject = {"provider": "server", "model": "tuned"}
        source = {"kind": "jsonl", "path": "requests.jsonl", "time": "at"}
        target = {"subject": subject, "production": {"source": source, "replay": "whole"}}
        providers = {"server": {"kind": "openai", "base_url": server.url, "free": True}}
        path = write(tmp_path, [], providers=providers, targets={"bot": target}, judge=None)
        async with context_of(path, Clock(NOON)) as context:
            run_id = await run_now(context, "bot", PRODUCTION.suite)
            (answer,) = context.store.answers([run_id])
            (probe,) = context.store.production_inputs(run_id)
        sent = server.requests[0].body
    assert {name: sent[name] for name in parameters} == parameters
    assert sent["messages"] == [USER]
    assert answer.text == CALLED
    assert probe.parameters == parameters


def provider(kind: str, url: str) -> Any:
    settings = PROVIDERS[kind].settings.model_validate({"kind": kind, "base_url": url})
    return provider_class(kind)(Setup("server", settings, None, {("bot", Arm.SUBJECT): None}, lambda: NOW))  # type: ignore[dict-item]


async def test_a_parameter_that_the_model_rejects_is_not_dropped() -> None:
    asked = replace(QUESTION, parameters={"temperature": 0.3})
    refused = {"error": {"message": "Unsupported parameter: 'temperature'", "param": "temperature", "code": "x"}}
    async with ScriptedServer([Reply(status=400, body=refused)]) as server:
        one = provider("openai", server.url)
        with pytest.raises(AskFailed) as first:
            await one.ask(asked, {})
        assert first.value.parameter == "temperature"
        with pytest.raises(AskFailed, match="the logged request has `temperature`, which the model rejects") as again:
            await one.ask(asked, {"temperature": False})
        assert (again.value.reason, again.value.permanent) == (Reason.REJECTED, True)
        await one.aclose()


async def test_messages_has_the_same_request_in_its_own_words() -> None:
    parameters = {
        "stop": "x", "max_tokens": 64, "tools": [TOOL], "tool_choice": "required", "response_format": FORMAT
    }  # fmt: skip
    block = {"type": "tool_use", "id": "t", "name": "find_order", "input": {"id": 7, "a": 1}}
    async with ScriptedServer([Reply(body=message(content=[block], stop_reason="tool_use"))]) as server:
        one = provider("anthropic", server.url)
        answer = await one.ask(replace(QUESTION, parameters=parameters), {})
        sent = server.requests[0].body
        with pytest.raises(AskFailed, match="the logged request has `seed`, which Messages lacks"):
            await one.ask(replace(QUESTION, parameters={"seed": 1}), {})
        await one.aclose()
    assert answer.text == CALLED
    assert (sent["stop_sequences"], sent["tool_choice"]) == (["x"], {"type": "any"})
    assert sent["tools"] == [
        {"name": "find_order", "description": "Finds an order", "input_schema": FUNCTION["parameters"]}
    ]
    assert sent["output_config"]["format"]["schema"] == SCHEMA


def test_the_budget_counts_the_tools() -> None:
    large = {"tools": [{**TOOL, "function": {**FUNCTION, "description": "x" * 4000}}]}
    assert (
        estimate(replace(QUESTION, parameters=large)).most_prompt_tokens > estimate(QUESTION).most_prompt_tokens + 4000
    )
