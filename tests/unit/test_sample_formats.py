"""Records of each known format: messages, times, and which records are no requests."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from monitor.core.sources import Format, JsonlSource
from monitor.sample import jsonl
from monitor.sample.formats import PRESETS
from monitor.sample.request_log import Tally, Window
from tests.unit.test_sample_otlp_spans import traced

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
CHAT = [{"role": "user", "content": "Where is my kettle?"}]
PARTS = [{"role": "user", "parts": [{"type": "text", "content": "Where is my kettle?"}]}]
WINDOW = Window(NOON - timedelta(hours=1), NOON + timedelta(hours=1), NOON + timedelta(hours=2))
ISO = NOON.isoformat()
NANOS = str(int(NOON.timestamp()) * 10**9)
HELICONE = {"request_created_at": ISO, "request_body": {"model": "gpt-5", "messages": CHAT}}
LITELLM = {"call_type": "acompletion", "messages": CHAT, "startTime": NOON.timestamp(), "status": "success"}
INPUT = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(PARTS)}
LLM = {
    "openinference.span.kind": "LLM",
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "Where is my kettle?",
}


def span(attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return traced(attributes, startTimeUnixNano=NANOS, **more)


REQUESTS: dict[Format, list[dict[str, Any]]] = {
    "litellm": [
        LITELLM,
        {**LITELLM, "cache_hit": None, "model_parameters": {"temperature": 0}},
        {**LITELLM, "messages": json.dumps(CHAT), "cache_hit": "False"},
    ],
    "otel": [
        span(INPUT),
        span(
            {"gen_ai.operation.name": "chat"},
            events=[
                {
                    "name": "gen_ai.user.message",
                    "attributes": [{"key": "content", "value": {"stringValue": "Where is my kettle?"}}],
                }
            ],
        ),
        span(LLM),
    ],
    "openinference": [
        span(LLM),
        {
            "name": "ChatCompletion",
            "span_kind": "LLM",
            "start_time": ISO,
            "attributes": {"llm": {"input_messages": [{"message": CHAT[0]}]}},
        },
        {"span_kind": "LLM", "start_time": ISO, "attributes.llm.input_messages": [{"message": CHAT[0]}]},
    ],
    "openai": [
        {"model": "gpt-5", "messages": CHAT},
        {"custom_id": "a", "url": "/v1/chat/completions", "body": {"model": "gpt-5", "messages": CHAT}},
        {"model": "gpt-5", "input": CHAT},
    ],
    "langfuse": [
        {"type": "GENERATION", "input": CHAT, "startTime": ISO},
        {"type": "GENERATION", "input": json.dumps({"messages": CHAT}), "start_time": ISO, "level": "DEFAULT"},
        {"input": CHAT, "timestamp": ISO},
    ],
    "helicone": [
        HELICONE,
        {**HELICONE, "response_status": 200, "cache_reference_id": "00000000-0000-0000-0000-000000000000"},
        {"created_at": ISO, "request_body": json.dumps({"messages": CHAT}), "status": "200"},
    ],
    "vertex": [
        {
            "logging_time": ISO,
            "full_request": {"contents": [{"role": "user", "parts": [{"text": CHAT[0]["content"]}]}]},
        },
        {"request": {"contents": [{"role": "user", "parts": [{"text": CHAT[0]["content"]}]}]}, "processed_time": ISO},
        {"contents": [{"parts": [{"text": CHAT[0]["content"]}]}], "timestamp": ISO, "status": ""},
    ],
}

NO_REQUESTS: dict[Format, list[tuple[dict[str, Any], str]]] = {
    "litellm": [
        ({**LITELLM, "call_type": "aembedding"}, "no chat"),
        ({**LITELLM, "status": "failure"}, "failure"),
        ({**LITELLM, "cache_hit": True}, "cache hit"),
    ],
    "otel": [
        (span({**INPUT, "gen_ai.operation.name": "embeddings"}), "no chat"),
        (span({**INPUT, "gen_ai.operation.name": "invoke_agent"}), "no chat"),
        (span({"http.method": "GET"}), "another span"),
        (span(INPUT, status={"code": 2}), "failure"),
        (span({**INPUT, "error.type": "timeout"}), "failure"),
    ],
    "openinference": [
        (span({**LLM, "openinference.span.kind": "EMBEDDING"}), "no chat"),
        (span({**LLM, "openinference.span.kind": "AGENT"}), "no chat"),
        (span({"http.method": "GET"}), "another span"),
        ({"span_kind": "LLM", "status_code": "ERROR", "start_time": ISO, "attributes": {}}, "failure"),
    ],
    "openai": [
        ({"custom_id": "a", "url": "/v1/embeddings", "body": {"input": "text"}}, "no chat"),
        ({"model": "text-embedding-3-small", "input": "text"}, "no chat"),
        ({"body": {"messages": CHAT}, "response": {"status_code": 500}}, "failure"),
    ],
    "langfuse": [
        ({"type": "SPAN", "input": CHAT, "startTime": ISO}, "no chat"),
        ({"type": "EMBEDDING", "input": "text", "startTime": ISO}, "no chat"),
        ({"type": "GENERATION", "input": CHAT, "startTime": ISO, "level": "ERROR"}, "failure"),
    ],
    "helicone": [
        ({**HELICONE, "response_status": 429}, "failure"),
        ({**HELICONE, "cache_enabled": True, "cache_reference_id": "8ab"}, "cache hit"),
        ({**HELICONE, "request_path": "https://api.openai.com/v1/embeddings"}, "no chat"),
    ],
    "vertex": [
        ({"instances": [{"content": "text"}], "logging_time": ISO}, "no chat"),
        ({"request": {"contents": []}, "status": "Bad Request: no contents", "processed_time": ISO}, "failure"),
    ],
}


def read(path: Path, records: list[dict[str, Any]], tally: Tally, **source: Any) -> list[str]:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    settings = JsonlSource(kind="jsonl", path=str(path), **source)
    return [one.messages[-1].content for one in jsonl.read(settings, None, WINDOW, tally)]


def reasons(tally: Tally) -> dict[str, int]:
    return {one.reason.value: one.count for one in tally.account([]).reasons}


@pytest.mark.parametrize("name", get_args(Format))
def test_requests_and_records_that_are_none(name: Format, tmp_path: Path) -> None:
    tally, none = Tally(), NO_REQUESTS[name]
    records = [*REQUESTS[name], *(record for record, _ in none)]
    assert read(tmp_path / "a.jsonl", records, tally, format=name) == ["Where is my kettle?"] * len(REQUESTS[name])
    account = tally.account([])
    assert (account.filtered, account.malformed, account.lines) == (len(none), 0, len(records))
    assert dict(tally.passed_over) == {what: sum(one == what for _, one in none) for what in {one for _, one in none}}


@pytest.mark.parametrize("name", sorted(name for name, preset in PRESETS.items() if preset.time))
def test_times(name: Format, tmp_path: Path) -> None:
    moved = Window(NOON - timedelta(days=7), NOON - timedelta(hours=1))
    path, tally = tmp_path / "a.jsonl", Tally()
    path.write_text("".join(json.dumps(one) + "\n" for one in REQUESTS[name]))
    settings = JsonlSource(kind="jsonl", path=str(path), format=name)
    assert settings.has_time
    assert list(jsonl.read(settings, None, moved, tally)) == []
    assert reasons(tally) == {"after": len(REQUESTS[name])}


def test_paths_of_the_configuration_come_first(tmp_path: Path) -> None:
    record = {
        **LITELLM,
        "original": [{"role": "user", "content": "As asked"}],
        "at": (NOON - timedelta(days=9)).isoformat(),
    }
    tally = Tally()
    assert read(tmp_path / "a.jsonl", [record], tally, format="litellm", messages="original") == ["As asked"]
    assert read(tmp_path / "a.jsonl", [record], tally, format="litellm", time="at") == []
    assert reasons(tally) == {"before": 1}


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("litellm", {**LITELLM, "model_parameters": {"tools": [{"type": "function"}]}}),
        ("otel", span({**INPUT, "gen_ai.tool.definitions": '[{"type": "function", "name": "find"}]'})),
        ("openinference", span({**LLM, "llm.tools.0.tool.json_schema": "{}"})),
        ("langfuse", {"input": {"messages": CHAT, "tools": [{"type": "function"}]}, "startTime": ISO}),
        ("helicone", {**HELICONE, "request_body": {"messages": CHAT, "tools": [{"type": "function"}]}}),
    ],
)
def test_offered_tools_are_seen(name: Format, record: dict[str, Any], tmp_path: Path) -> None:
    tally = Tally()
    assert read(tmp_path / "a.jsonl", [record], tally, format=name) == []
    assert reasons(tally) == {"tools_offered": 1}


def test_a_document_of_many_spans_and_logs(tmp_path: Path) -> None:
    document = span(INPUT)
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans += [spans[0], {"name": "GET /", "attributes": []}]
    event = {
        "eventName": "gen_ai.client.inference.operation.details",
        "timeUnixNano": NANOS,
        "attributes": spans[0]["attributes"],
    }
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [event, {"body": {"stringValue": "started"}}]}]}]}
    tally = Tally()
    assert len(read(tmp_path / "a.jsonl", [document, logs], tally, format="otel")) == 3
    assert tally.passed_over["another span"] == 2


def test_content_that_is_not_logged_is_malformed(tmp_path: Path) -> None:
    tally = Tally()
    assert read(tmp_path / "a.jsonl", [span({"gen_ai.operation.name": "chat"})], tally, format="otel") == []
    assert reasons(tally) == {"no_messages": 1}
