"""OTLP documents in JSON become plain spans, with the messages of each convention."""

from typing import Any

import pytest

from monitor.sample.otlp_spans import spans


def value(found: Any) -> dict[str, Any]:
    if isinstance(found, list):
        return {"arrayValue": {"values": [value(one) for one in found]}}
    if isinstance(found, dict):
        return {"kvlistValue": {"values": pairs(found)}}
    return {"intValue": str(found)} if isinstance(found, int) else {"stringValue": found}


def pairs(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(one)} for key, one in found.items()]


def traced(attributes: dict[str, Any], **span: Any) -> dict[str, Any]:
    made = {"name": "chat gpt-5", "startTimeUnixNano": "1764511200000000000", "attributes": pairs(attributes), **span}
    scope = {"scope": {"name": "openai"}, "spans": [made]}
    return {"resourceSpans": [{"resource": {"attributes": pairs({"service.name": "shop"})}, "scopeSpans": [scope]}]}


def test_a_span_is_flat() -> None:
    (span,) = spans(traced({"gen_ai.usage.input_tokens": 12, "tags": ["a", {"b": 3}]}, traceId="ab", spanId="cd"))
    assert span["name"] == "chat gpt-5"
    assert span["start_time"] == 1764511200000000000
    assert span["attributes"] == {"gen_ai.usage.input_tokens": 12, "tags": ["a", {"b": 3}]}
    assert (span["resource"], span["scope"]) == ({"service.name": "shop"}, "openai")
    assert (span["trace_id"], span["span_id"], span["dropped_attributes"]) == ("ab", "cd", 0)


USER = {"role": "user", "content": "Where is my kettle?"}
PARTS = [{"role": "user", "parts": [{"type": "text", "content": "Where is my kettle?"}]}]


def test_messages_as_attributes_and_in_events() -> None:
    (attribute,) = spans(traced({"gen_ai.input.messages": PARTS}))
    event = {"name": "gen_ai.client.inference.operation.details", "attributes": pairs({"gen_ai.input.messages": PARTS})}
    (in_event,) = spans(traced({}, events=[event]))
    assert attribute["attributes"] == in_event["attributes"] == {"gen_ai.input.messages": PARTS}
    assert in_event["events"][0]["name"] == "gen_ai.client.inference.operation.details"


def test_messages_in_an_event_each() -> None:
    events = [
        {"name": "gen_ai.system.message", "attributes": pairs({"content": "Be brief."})},
        {"name": "gen_ai.user.message", "attributes": pairs({"content": "Where is my kettle?"})},
        {"name": "gen_ai.choice", "attributes": pairs({"content": "At home."})},
    ]
    (span,) = spans(traced({}, events=events))
    assert span["attributes"]["gen_ai.input.messages"] == [{"role": "system", "content": "Be brief."}, USER]


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (("llm.input_messages.0.message.role", "llm.input_messages.0.message.content"), "llm.input_messages"),
        (("gen_ai.prompt.0.role", "gen_ai.prompt.0.content"), "gen_ai.input.messages"),
    ],
)
def test_messages_under_names_with_an_index(names: tuple[str, str], key: str) -> None:
    role, content = names
    (span,) = spans(traced({role: "user", content: "Where is my kettle?", "llm.model_name": "gpt-5"}))
    assert span["attributes"] == {key: [USER], "llm.model_name": "gpt-5"}


def test_contents_and_calls_of_openinference() -> None:
    begin = "llm.input_messages.0.message"
    found = {
        f"{begin}.role": "user",
        f"{begin}.contents.0.message_content.type": "text",
        f"{begin}.contents.0.message_content.text": "Look",
        f"{begin}.contents.1.message_content.type": "image",
        f"{begin}.contents.1.message_content.image.image.url": "https://example.com/a.png",
        f"{begin}.tool_calls.0.tool_call.function.name": "find",
    }
    (span,) = spans(traced(found))
    (message,) = span["attributes"]["llm.input_messages"]
    assert [block["type"] for block in message["content"]] == ["text", "image"]
    assert message["content"][0]["text"] == "Look"
    assert message["tool_calls"]


def test_log_records() -> None:
    record = {
        "timeUnixNano": "1764511200000000000",
        "eventName": "gen_ai.client.inference.operation.details",
        "body": value({"gen_ai.input.messages": PARTS}),
        "attributes": pairs({"gen_ai.request.model": "gpt-5"}),
    }
    (span,) = spans({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    assert span["attributes"] == {"gen_ai.request.model": "gpt-5", "gen_ai.input.messages": PARTS}
    assert span["start_time"] == 1764511200000000000


def test_snake_case_and_rubbish() -> None:
    item = {"name": "a", "start_time_unix_nano": 5, "attributes": [{"key": "k", "value": {"string_value": "v"}}, 3]}
    document = {"resource_spans": [7, {"scope_spans": [{"spans": [item, "x"]}]}, {"scope_spans": {"a": 1}}]}
    (span,) = spans(document)
    assert (span["start_time"], span["attributes"]) == (5, {"k": "v"})
    assert list(spans({"resourceSpans": "no", "resourceLogs": None})) == []
