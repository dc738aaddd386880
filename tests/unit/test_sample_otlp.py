"""Inputs in OTLP: protobuf and JSON say the same, in every convention; what was cut is never asked."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from monitor.report.web.otlp_api import response, status
from monitor.sample.otlp import JSON, PROTOBUF, read
from monitor.sample.push_process import Rules, process
from monitor.sample.pushed import BodyError, Outcome, Result, Taken

ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Where is my parcel?"}]}]
SYSTEM = [{"type": "text", "content": "Be short."}]
PLAIN = [["system", "Be short."], ["user", "Where is my parcel?"]]
RULES = Rules("otlp", {"bot": {"source": {"kind": "otlp"}, "stratify": "resource.service.name"}})


def value(of: Any) -> AnyValue:
    if isinstance(of, str):
        return AnyValue(string_value=of)
    if isinstance(of, bool):
        return AnyValue(bool_value=of)
    if isinstance(of, int):
        return AnyValue(int_value=of)
    if isinstance(of, list):
        return AnyValue(array_value=ArrayValue(values=[value(one) for one in of]))
    return AnyValue(kvlist_value=KeyValueList(values=pairs(of)))


def pairs(of: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value(one)) for key, one in of.items()]


def request(attributes: dict[str, Any], *events: tuple[str, dict[str, Any]], **more: Any) -> ExportTraceServiceRequest:
    span = Span(
        trace_id=b"t" * 16, span_id=b"s" * 8, name="chat", start_time_unix_nano=1_764_000_000_000_000_000,
        attributes=pairs(attributes), events=[Span.Event(name=name, attributes=pairs(of)) for name, of in events],
        **more,
    )  # fmt: skip
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.extend(pairs({"service.name": "shop"}))
    group.scope_spans.add().spans.append(span)
    return made


def as_json(made: ExportTraceServiceRequest) -> bytes:
    """As OTLP says: ids in hex, not in base64."""
    document = json.loads(MessageToJson(made))
    for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        span["traceId"], span["spanId"] = (b"t" * 16).hex(), (b"s" * 8).hex()
    return json.dumps(document).encode()


def only(made: ExportTraceServiceRequest) -> dict[str, Any]:
    """The one result of a request, which is the same for protobuf and JSON."""
    found = process(RULES, made.SerializeToString(), PROTOBUF, "")
    assert found == process(RULES, as_json(made), JSON, "")
    [result] = found["results"]
    given: dict[str, Any] = json.loads(json.dumps(result))
    return given


INDEXED = {
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be short.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.content": "Where is my parcel?",
}
OPENINFERENCE = json.dumps(
    [{"message": {"role": "system", "content": "Be short."}},
     {"message": {"role": "user", "content": "Where is my parcel?"}}]
)  # fmt: skip
DETAILS = {"gen_ai.input.messages": ASKED, "gen_ai.system_instructions": SYSTEM}
FORMS: list[tuple[str, ExportTraceServiceRequest]] = [
    ("JSON", request({"gen_ai.input.messages": json.dumps(ASKED), "gen_ai.system_instructions": json.dumps(SYSTEM)})),
    ("structured", request(DETAILS)),
    ("an event", request({}, ("gen_ai.client.inference.operation.details", DETAILS))),
    (
        "events of one message",
        request(
            {},
            ("gen_ai.system.message", {"content": "Be short."}),
            ("gen_ai.user.message", {"content": "Where is my parcel?"}),
        ),
    ),
    ("OpenInference", request(INDEXED)),
    ("OpenInference as JSON", request({"llm.input_messages": OPENINFERENCE})),
]


@pytest.mark.parametrize("made", [made for _, made in FORMS], ids=[name for name, _ in FORMS])
def test_every_convention_gives_the_same_input(made: ExportTraceServiceRequest) -> None:
    result = only(made)
    assert (result["result"], result["item"]) == ("accepted", [PLAIN, "{}"])
    assert result["stratum"] == "shop"
    assert result["at"] == "2025-11-24T16:00:00+00:00"
    assert result["id"] == f"{(b't' * 16).hex()}:{(b's' * 8).hex()}"


LEFT: list[tuple[str, ExportTraceServiceRequest, str]] = [
    ("JSON that ends early", request({"gen_ai.input.messages": json.dumps(ASKED)[:60]}), "cut_short"),
    ("a text at a limit", request({**INDEXED, "llm.input_messages.1.message.content": "x " * 2_048}), "cut_short"),
    (
        "a marker",
        request({**INDEXED, "llm.input_messages.1.message.content": "Where is... [truncated]"}),
        "marker",
    ),
    ("dropped attributes", request(INDEXED, dropped_attributes_count=3), "cut_short"),
    ("tools", request({**INDEXED, "llm.tools.0.tool.json_schema": "{}"}), "tools_offered"),
    ("tool definitions", request({**DETAILS, "gen_ai.tool.definitions": "[{}]"}), "tools_offered"),
]


@pytest.mark.parametrize(("made", "reason"), [one[1:] for one in LEFT], ids=[one[0] for one in LEFT])
def test_what_was_cut_or_cannot_be_asked_is_counted_and_never_kept(
    made: ExportTraceServiceRequest, reason: str
) -> None:
    result = only(made)
    assert (result["result"], result["reason"]) == ("left_out", reason)
    assert "item" not in result


PASSED_OVER = [
    request({"http.request.method": "GET"}),
    request({**DETAILS, "gen_ai.operation.name": "invoke_agent"}),
    request({"gen_ai.operation.name": "chat"}),
    ExportTraceServiceRequest(),
]


@pytest.mark.parametrize("made", PASSED_OVER)
def test_other_spans_are_passed_over(made: ExportTraceServiceRequest) -> None:
    assert process(RULES, made.SerializeToString(), PROTOBUF, "") == {"records": 0, "results": [], "invalid": []}


def test_where_decides_which_target_a_span_belongs_to() -> None:
    source = {"kind": "otlp", "where": {"resource.service.name": "shop", "attributes.gen_ai.request.model": "m-1"}}
    bank = {"kind": "otlp", "where": {"resource.service.name": "bank"}}
    rules = Rules("otlp", {name: {"source": of, "stratify": None} for name, of in (("shop", source), ("bank", bank))})
    made = request({**DETAILS, "gen_ai.request.model": "m-1"})
    found = process(rules, made.SerializeToString(), PROTOBUF, "")["results"]
    assert {one["target"]: one["result"] for one in found} == {"shop": "accepted", "bank": "filtered"}


def test_a_span_without_ids_is_invalid() -> None:
    made = request(DETAILS)
    made.resource_spans[0].scope_spans[0].spans[0].ClearField("span_id")
    assert process(RULES, made.SerializeToString(), PROTOBUF, "")["invalid"] == [
        [0, "", "the span has no trace id and span id"]
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "status_code"),
    [(b"\xff\xff", PROTOBUF, 400), (b"[]", JSON, 400), (b"{", JSON, 400), (b"", "text/plain", 415)],
)
def test_a_body_of_another_form_is_refused(body: bytes, content_type: str, status_code: int) -> None:
    with pytest.raises(BodyError) as raised:
        list(read(body, content_type))
    assert raised.value.status == status_code


def test_deep_values_end() -> None:
    deep: Any = {"stringValue": "x"}
    for _ in range(200):
        deep = {"arrayValue": {"values": [deep]}}
    document = json.loads(as_json(request(DETAILS)))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"].append({"key": "deep", "value": deep})
    assert process(RULES, json.dumps(document).encode(), JSON, "")["results"][0]["result"] == "accepted"
    assert process(RULES, b'{"resourceSpans":' + b"[" * 100_000, JSON, "")["error"][0] == 400


def taken(*results: tuple[int, str, Result, str]) -> Taken:
    return Taken(200, "", 9, tuple(Outcome(index, target, "", of, reason) for index, target, of, reason in results))


def test_partial_success_is_what_no_target_can_ask() -> None:
    outcomes = taken(
        (0, "a", Result.ACCEPTED, ""), (1, "a", Result.LEFT_OUT, "marker"), (2, "a", Result.LEFT_OUT, "marker"),
        (3, "a", Result.LEFT_OUT, "media"), (3, "b", Result.ACCEPTED, ""), (4, "a", Result.FILTERED, ""),
    )  # fmt: skip
    told = ExportTraceServiceResponse.FromString(response(outcomes, as_json=False)).partial_success
    assert (told.rejected_spans, told.error_message) == (2, "spans that cannot be sampled: marker 2")
    assert json.loads(response(outcomes, as_json=True)) == {
        "partialSuccess": {"rejectedSpans": "2", "errorMessage": "spans that cannot be sampled: marker 2"}
    }
    many = taken(*((n, "a", Result.LEFT_OUT, "marker") for n in range(70_000)))
    assert ExportTraceServiceResponse.FromString(response(many, as_json=False)).partial_success.rejected_spans == 70_000
    assert response(taken((0, "a", Result.ACCEPTED, "")), as_json=False) == b""
    assert response(taken(), as_json=True) == b"{}"


def test_a_refusal_is_a_status() -> None:
    from google.rpc.status_pb2 import Status

    told = Status.FromString(status(429, "the queue is full", as_json=False))
    assert (told.code, told.message) == (8, "the queue is full")
    assert json.loads(status(401, "unknown token", as_json=True)) == {"code": 16, "message": "unknown token"}
