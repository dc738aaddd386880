"""Reads inputs from OTLP: spans of calls to models, as OpenTelemetry SDKs and Collectors export them over HTTP.

A span has the messages of its request if it follows the GenAI conventions of OpenTelemetry or OpenInference. Other
spans, and those of agents, tools and embeddings, are passed over.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from monitor.core.errors import MissingExtra
from monitor.core.records import LeftOutReason
from monitor.sample.otlp_spans import INPUT, OPENINFERENCE, spans
from monitor.sample.pushed import BodyError, Record

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

JSON: Final = "application/json"
PROTOBUF: Final = "application/x-protobuf"

OPERATIONS: Final = frozenset({"chat", "text_completion", "generate_content", ""})
"""Values of ``gen_ai.operation.name`` for calls of a model. A span of an agent has the messages of its calls again."""

LIMITS: Final = frozenset(
    {128 << power for power in range(12)} | {step * 10**power for power in (2, 3, 4, 5) for step in (1, 2, 5)}
    | {255, 1_023, 4_095, 12_000, 12_288, 32_766, 32_767, 65_535}
)  # fmt: skip
"""Lengths at which exporters and backends cut texts, without a mark. A text of such a length may be cut."""

_MOST_DEPTH: Final = 32


def read(body: bytes, content_type: str) -> Iterator[Record]:
    """The spans with messages in an ``ExportTraceServiceRequest``. Raises BodyError."""
    document = _from_json(body) if content_type == JSON else _from_protobuf(body, content_type)
    return (record for span in spans(document) if (record := _record(span)) is not None)


def _from_json(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise BodyError(400, "the body is not JSON") from None
    if not isinstance(document, Mapping):
        raise BodyError(400, "the body is not an ExportTraceServiceRequest")
    return document


def _from_protobuf(body: bytes, content_type: str) -> Mapping[str, Any]:
    """The request in the form of OTLP's JSON, with attributes as plain dicts."""
    if content_type != PROTOBUF:
        raise BodyError(415, f"send Content-Type {PROTOBUF} or {JSON}, not {content_type[:80]}")
    try:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError:
        missing = MissingExtra("OTLP as protobuf", "otlp")
        raise BodyError(415, f"{missing}; or send JSON (OTEL_EXPORTER_OTLP_PROTOCOL=http/json)") from None
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise BodyError(400, "the body is not an ExportTraceServiceRequest") from None
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(group.resource.attributes)},
                "scopeSpans": [
                    {"scope": {"name": inner.scope.name}, "spans": [_span(span) for span in inner.spans]}
                    for inner in group.scope_spans
                ],
            }
            for group in request.resource_spans
        ]
    }


def _span(span: "Span") -> dict[str, Any]:
    return {
        "name": span.name,
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "kind": span.kind,
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": _attributes(span.attributes),
        "droppedAttributesCount": span.dropped_attributes_count,
        "status": {"code": span.status.code, "message": span.status.message},
        "events": [{"name": one.name, "attributes": _attributes(one.attributes)} for one in span.events],
    }


def _attributes(pairs: "Iterable[KeyValue]", depth: int = 0) -> dict[str, Any]:
    return {pair.key: _value(pair.value, depth) for pair in pairs}


def _value(value: "AnyValue", depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > _MOST_DEPTH:
        return None
    if kind == "array_value":
        return [_value(one, depth + 1) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values, depth + 1)
    if kind == "bytes_value":
        return None  # no convention has messages in bytes
    return getattr(value, kind)


def _record(span: dict[str, Any]) -> Record | None:
    found = span["attributes"]
    if INPUT not in found and OPENINFERENCE in found:
        found[INPUT] = found[OPENINFERENCE]
    if not found.get(INPUT) or found.get("gen_ai.operation.name", "") not in OPERATIONS:
        return None
    trace, own = span["trace_id"], span["span_id"]
    if not (trace and own and isinstance(trace, str) and isinstance(own, str)):
        return Record({}, "", problem="the span has no trace id and span id")
    place = f"trace {trace} span {own}"
    for why in (_dropped, _tools, _cut):
        if (left := why(span)) is not None:
            return Record(span, f"{trace}:{own}", place=place, left=left)
    return Record(span, f"{trace}:{own}", place=place)


Left = tuple[LeftOutReason, str] | None


def _dropped(span: Mapping[str, Any]) -> Left:
    if not span["dropped_attributes"]:
        return None
    return LeftOutReason.CUT_SHORT, "the SDK dropped attributes of the span; raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"


def _tools(span: Mapping[str, Any]) -> Left:
    """Tools that the request offers, which both conventions have outside the messages."""
    found = span["attributes"]
    if found.get("gen_ai.tool.definitions") or found.get("llm.tools"):
        return LeftOutReason.TOOLS_OFFERED, "tools in the span's attributes"
    return None


def _cut(span: Mapping[str, Any]) -> Left:
    """Texts as long as a limit of exporters. A JSON text that is cut is found when it is read."""
    for text in _texts(span["attributes"][INPUT]):
        if len(text) in LIMITS:
            return LeftOutReason.CUT_SHORT, f"a text of exactly {len(text):,} characters, a usual limit of exporters"
    return None


def _texts(messages: Any, depth: int = 0) -> Iterator[str]:
    """The texts of messages that are not in JSON."""
    if isinstance(messages, str):
        if depth:
            yield messages
    elif isinstance(messages, list) and depth < _MOST_DEPTH:
        for one in messages:
            yield from _texts(one, depth + 1)
    elif isinstance(messages, Mapping) and depth < _MOST_DEPTH:
        for key in ("content", "text", "parts"):
            yield from _texts(messages.get(key), depth + 1)
