"""Unrolls OTLP documents in JSON into plain spans, with the GenAI messages wherever a convention keeps them.

An OTLP document is one ``ExportTraceServiceRequest`` or ``ExportLogsServiceRequest``, as the Collector's file exporter
writes one per line (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). Keys may be in camel case, as
OTLP says, or in snake case, as Protocol Buffers' own JSON may have them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

INPUT: Final = "gen_ai.input.messages"
"""Attribute of the messages of a request, in the GenAI conventions of OpenTelemetry."""

SYSTEM: Final = "gen_ai.system_instructions"
OPENINFERENCE: Final = "llm.input_messages"

_DEEPEST: Final = 32
"""Levels of nested values that are read; deeper ones become ``None``."""

_MOST_ITEMS: Final = 10_000
"""Largest index that an attribute's name may have (``llm.input_messages.0.message.role``)."""

_INDEXED: Final = re.compile(r"(llm\.input_messages|llm\.tools|gen_ai\.prompt)\.(\d{1,5})\.(.+)")
_EVENT_ROLES: Final[Mapping[str, str]] = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
"""Event of one message, in the GenAI conventions before 1.37 -> the role of its message."""

_LISTS: Final = (
    ("resourceSpans", "resource_spans", "scopeSpans", "scope_spans", "instrumentationLibrarySpans", "spans"),
    ("resourceLogs", "resource_logs", "scopeLogs", "scope_logs", "instrumentationLibraryLogs", "logRecords"),
)


def spans(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The spans and the log records of an OTLP document as plain dicts.

    Keys: ``name``, ``start_time`` and ``end_time`` (Unix time in nanoseconds; ``None`` if missing), ``trace_id``,
    ``span_id``, ``parent_span_id``, ``kind``, ``status`` (``{"code", "message"}``), ``attributes``, ``events`` (dicts
    of ``name``, ``time``, ``attributes``), ``resource`` (its attributes), ``scope`` (its name), ``dropped_attributes``.
    ``attributes`` maps names to plain values. Messages that are in events, or under names with an index, are added as
    lists: ``gen_ai.input.messages`` and ``gen_ai.system_instructions``, or ``llm.input_messages`` and ``llm.tools``.
    A log record has its event's name as ``name`` and its body as ``body``. Parts of another form are passed over.
    """
    for names in _LISTS:
        of_resource, of_scope, of_item = names[:2], names[2:5], names[5]
        logs = of_item == "logRecords"
        for group in _objects(_first(document, *of_resource)):
            resource = attributes(_under(group, "resource").get("attributes"))
            for inner in _objects(_first(group, *of_scope)):
                scope = _text(_first(inner, "scope", "instrumentationLibrary"), "name")
                for item in _objects(_first(inner, of_item, "log_records")):
                    yield _log(item, resource, scope) if logs else _span(item, resource, scope)


def attributes(pairs: Any) -> dict[str, Any]:
    """OTLP's list of ``{"key", "value"}`` as a dict of plain values. A dict is returned as it is."""
    if isinstance(pairs, Mapping):
        return dict(pairs)
    return {one["key"]: plain(one.get("value")) for one in _objects(pairs) if isinstance(one.get("key"), str)}


def plain(value: Any, depth: int = 0) -> Any:
    """The value in OTLP's ``AnyValue``: a text, number, list or dict. Whole numbers may be written as texts."""
    if not isinstance(value, Mapping) or depth > _DEEPEST:
        return None if isinstance(value, Mapping) else value
    for kind, inner in value.items():
        key = kind.replace("_value", "Value")
        if key == "intValue":
            return _whole(inner)
        if key == "arrayValue":
            return [plain(one, depth + 1) for one in _objects(_under(value, kind).get("values"))]
        if key == "kvlistValue":
            pairs = _objects(_under(value, kind).get("values"))
            return {str(one.get("key")): plain(one.get("value"), depth + 1) for one in pairs}
        if key in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
            return inner
    return None


def _span(item: Mapping[str, Any], resource: dict[str, Any], scope: str) -> dict[str, Any]:
    events = [
        {
            "name": _text(one, "name"),
            "time": _whole(_first(one, "timeUnixNano", "time_unix_nano")),
            "attributes": attributes(one.get("attributes")),
        }
        for one in _objects(item.get("events"))
    ]
    found = with_messages(attributes(item.get("attributes")), events)
    status = _under(item, "status")
    return {
        "name": _text(item, "name"),
        "start_time": _whole(_first(item, "startTimeUnixNano", "start_time_unix_nano")),
        "end_time": _whole(_first(item, "endTimeUnixNano", "end_time_unix_nano")),
        "parent_span_id": _first(item, "parentSpanId", "parent_span_id") or "",
        "kind": item.get("kind"),
        "status": {"code": status.get("code"), "message": status.get("message", "")},
        "events": events,
        **_shared(item, found, resource, scope),
    }


def _log(item: Mapping[str, Any], resource: dict[str, Any], scope: str) -> dict[str, Any]:
    body = plain(item.get("body"))
    found = attributes(item.get("attributes"))
    name = _first(item, "eventName", "event_name") or found.get("event.name") or ""
    inside = body if isinstance(body, Mapping) else {}
    event = {"name": name, "time": None, "attributes": {**inside, **found}}
    time = _whole(_first(item, "timeUnixNano", "time_unix_nano"))
    observed = _whole(_first(item, "observedTimeUnixNano", "observed_time_unix_nano"))
    return {
        "name": name,
        "start_time": time or observed,
        "end_time": None,
        "body": body,
        "events": [],
        **_shared(item, with_messages(found, [event]), resource, scope),
    }


def _shared(item: Mapping[str, Any], found: dict[str, Any], resource: dict[str, Any], scope: str) -> dict[str, Any]:
    return {
        "trace_id": _first(item, "traceId", "trace_id") or "",
        "span_id": _first(item, "spanId", "span_id") or "",
        "attributes": found,
        "resource": resource,
        "scope": scope,
        "dropped_attributes": _whole(_first(item, "droppedAttributesCount", "dropped_attributes_count")) or 0,
    }


def with_messages(found: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The attributes with the messages that are in ``events`` or under names with an index."""
    found = _gathered(dict(found))
    if INPUT in found:
        return found
    messages = []
    for event in events:
        inner = event["attributes"]
        if INPUT in inner:  # gen_ai.client.inference.operation.details
            return {**found, **{key: inner[key] for key in (INPUT, SYSTEM) if key in inner}}
        if event["name"] in _EVENT_ROLES and (message := _of_event(inner, _EVENT_ROLES[event["name"]])):
            messages.append(message)
        if event["name"] == "gen_ai.content.prompt" and "gen_ai.prompt" in inner:
            return {**found, INPUT: inner["gen_ai.prompt"]}
    return {**found, INPUT: messages} if messages else found


def _of_event(inner: Mapping[str, Any], role: str) -> dict[str, Any] | None:
    content = inner.get("content", inner.get("gen_ai.event.content"))
    calls = inner.get("tool_calls")
    if content is None and not calls:
        return None
    message = {"role": inner.get("role", role), "content": content}
    return {**message, "tool_calls": calls} if calls else message


def _gathered(found: dict[str, Any]) -> dict[str, Any]:
    """``llm.input_messages.0.message.role``, ``gen_ai.prompt.0.content`` and ``llm.tools.0.tool.name`` as lists."""
    if not any(key.startswith(("llm.input_messages.", "llm.tools.", "gen_ai.prompt.")) for key in found):
        return found
    kept: dict[str, Any] = {}
    lists: dict[str, dict[int, dict[str, Any]]] = {}
    for key, value in found.items():
        named = _INDEXED.fullmatch(key)
        if named is None or int(named[2]) > _MOST_ITEMS:
            kept[key] = value
            continue
        message = lists.setdefault(named[1], {}).setdefault(int(named[2]), {})
        _put(message, named[3].removeprefix("message."), value)
    for prefix, by_index in lists.items():
        name = INPUT if prefix == "gen_ai.prompt" else prefix
        kept.setdefault(name, [by_index[index] for index in sorted(by_index)])
    return kept


def _put(message: dict[str, Any], name: str, value: Any) -> None:
    """Add one attribute of a message. Contents and calls of tools may have an index of their own."""
    if (part := re.fullmatch(r"contents\.(\d{1,5})\.message_content\.(.+)", name)) is not None:
        blocks = message.setdefault("content", [])
        index = int(part[1])
        if isinstance(blocks, list) and index <= len(blocks):
            if index == len(blocks):
                blocks.append({})
            blocks[index][part[2].partition(".")[0]] = value
    elif name.startswith("tool_calls."):
        message["tool_calls"] = [*message.get("tool_calls", []), {name.removeprefix("tool_calls."): value}]
    else:
        message[name] = value


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (one for one in value if isinstance(one, Mapping)) if isinstance(value, list) else iter(())


def _first(item: Mapping[str, Any], *keys: str) -> Any:
    return next((item[key] for key in keys if key in item), None)


def _under(item: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = item.get(key)
    return value if isinstance(value, Mapping) else {}


def _text(item: Any, key: str) -> str:
    value = item.get(key) if isinstance(item, Mapping) else None
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    """A whole number, which OTLP's JSON writes as a text."""
    if isinstance(value, str) and value.lstrip("-").isdecimal() and len(value) <= 20:
        return int(value)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value == value else None
