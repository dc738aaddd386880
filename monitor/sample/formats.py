"""Presets of who wrote the records: where each format keeps messages and times, and which records are no requests.

A path that the configuration sets takes precedence over the preset's.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from monitor.core.sources import FileSource, Format
from monitor.sample import otlp_spans
from monitor.sample.request_log import dig

Record = Mapping[str, Any]

_CONDITIONS: Final = ("tools", "tool_choice", "functions", "function_call", "previous_response_id")
"""Parameters of a request that decide whether its text can be asked alone."""

_NO_CACHE: Final = "00000000-0000-0000-0000-000000000000"
"""Helicone's ``cache_reference_id`` of a request that the cache did not answer."""

_NO_CHAT: Final = ("embedding", "image", "transcription", "speech", "rerank", "moderation", "search", "video")
"""Parts of the names of calls that are no conversations."""

_GEN_AI_CHATS: Final = frozenset({"chat", "generate_content", "text_completion"})
_EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class Preset:
    """One format."""

    messages: tuple[str, ...]
    """Paths of the messages; the first with a value is used."""
    time: tuple[str, ...]
    no_request: Callable[[Record], str]
    """What a record is that is no request to ask again; empty for a request."""
    also: tuple[str, ...]
    """Keys that ``no_request`` and ``records`` read."""
    records: Callable[[Record], Iterable[Record]] = lambda record: (record,)
    """The records inside one document, in the form that ``messages`` and ``time`` describe."""


class Resolver:
    """The records of a source with the settings that read them, by its format."""

    def __init__(self, source: FileSource) -> None:
        assert source.format is not None
        self._source = source
        self._preset = PRESETS[source.format]
        chosen = source.model_fields_set
        self._messages = () if "messages" in chosen else self._preset.messages
        self._time = () if "time" in chosen else self._preset.time
        self._made: dict[tuple[str, str | None], FileSource] = {}

    def each(self, document: Record) -> Iterator[tuple[Record, FileSource | str]]:
        """Each record of a document with its settings, or with the reason why it is no request."""
        for record in self._preset.records(document):
            yield record, self._preset.no_request(record) or self._settings(record)

    def _settings(self, record: Record) -> FileSource:
        messages = _first_path(record, self._messages, self._source.messages)
        time = _first_path(record, self._time, self._source.time)
        found = self._made.get((messages or "", time))
        if found is None:
            update = {"messages": messages, "time": time}
            found = self._made[messages or "", time] = self._source.model_copy(update=update)
        return found


def _first_path(record: Record, paths: tuple[str, ...], otherwise: str | None) -> str | None:
    """The first of ``paths`` with a value; without one, the first of all."""
    if not paths:
        return otherwise
    return next((path for path in paths if dig(record, path) not in _EMPTY), paths[0])


def _with_conditions(record: Record, *paths: str) -> Record:
    """The record with the conditions of its parameters beside its messages."""
    for path in paths:
        parameters = dig(record, path)
        if isinstance(parameters, str) and parameters[:1] == "{":
            try:
                parameters = json.loads(parameters)
            except (ValueError, RecursionError):
                continue
        if isinstance(parameters, Mapping) and not parameters.keys().isdisjoint(_CONDITIONS):
            record = {**{key: parameters[key] for key in _CONDITIONS if key in parameters}, **record}
    return record


def _is_true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def _is_chat(name: Any) -> bool:
    return not (isinstance(name, str) and any(part in name.lower() for part in _NO_CHAT))


def _litellm(record: Record) -> str:
    if not _is_chat(record.get("call_type")):
        return "no chat"
    if record.get("status") == "failure":
        return "failure"
    return "cache hit" if _is_true(record.get("cache_hit")) else ""


def _spans(document: Record) -> Iterator[Record]:
    """The spans of an OTLP document, or of a record that is one span, as Phoenix exports it."""
    if any(key in document for key in ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs")):
        return otlp_spans.spans(document)
    attributes = document.get("attributes")
    if not isinstance(attributes, Mapping):
        return iter((document,))
    return iter(({**document, "attributes": otlp_spans.with_messages(attributes)},))


def _failed(span: Record) -> bool:
    status = span.get("status_code", span.get("status"))
    code = status.get("code", status.get("status_code")) if isinstance(status, Mapping) else status
    return code in (2, "ERROR", "STATUS_CODE_ERROR", "Error")


def _otel(span: Record) -> str:
    attributes = span.get("attributes")
    if not isinstance(attributes, Mapping):
        return "another span"
    operation = attributes.get("gen_ai.operation.name")
    if operation is not None and operation not in _GEN_AI_CHATS:
        return "no chat"
    if operation is None and not (otlp_spans.INPUT in attributes or otlp_spans.OPENINFERENCE in attributes):
        return "another span"
    kind = dig(span, "attributes.openinference.span.kind")
    if kind is not None and kind != "LLM":
        return "no chat"
    return "failure" if _failed(span) or attributes.get("error.type") else ""


def _openinference(span: Record) -> str:
    kind = dig(span, "attributes.openinference.span.kind") or span.get("span_kind")
    if kind != "LLM":
        return "another span" if kind in (None, "UNKNOWN") else "no chat"
    return "failure" if _failed(span) else ""


def _openai(record: Record) -> str:
    place = record.get("url") or record.get("endpoint") or record.get("path")
    model = record.get("model") or dig(record, "body.model") or dig(record, "request.model")
    if not _is_chat(place) or (isinstance(model, str) and "embedding" in model):
        return "no chat"
    status = dig(record, "response.status_code")
    return "failure" if isinstance(status, int) and status >= 400 else ""


def _langfuse(record: Record) -> str:
    kind = record.get("type")
    if isinstance(kind, str) and kind.upper() != "GENERATION":
        return "no chat"
    return "failure" if record.get("level") == "ERROR" else ""


def _helicone(record: Record) -> str:
    if not _is_chat(record.get("request_path") or record.get("target_url")):
        return "no chat"
    status = record.get("response_status", record.get("status"))
    if isinstance(status, str) and status.lstrip("-").isdecimal():
        status = int(status)
    if isinstance(status, int) and not 200 <= status < 300:
        return "failure"
    reference = record.get("cache_reference_id")
    hit = _is_true(record.get("cache_hit")) or (record.get("cache_enabled") and reference not in (*_EMPTY, _NO_CACHE))
    return "cache hit" if hit else ""


def _vertex(record: Record) -> str:
    if "instances" in record or isinstance(dig(record, "request.instances"), list):
        return "no chat"
    if not _is_chat(record.get("endpoint")) or not _is_chat(record.get("api_method")):
        return "no chat"
    status = record.get("status")
    return "failure" if isinstance(status, str) and status.strip() else ""


PRESETS: Final[Mapping[Format, Preset]] = {
    "litellm": Preset(
        ("messages",),
        ("startTime", "start_time"),
        _litellm,
        ("call_type", "status", "cache_hit", "model_parameters"),
        lambda record: (_with_conditions(record, "model_parameters"),),
    ),
    "otel": Preset(
        (f"attributes.{otlp_spans.INPUT}", f"attributes.{otlp_spans.OPENINFERENCE}"),
        ("start_time",),
        _otel,
        ("attributes", "status", "status_code"),
        _spans,
    ),
    "openinference": Preset(
        (f"attributes.{otlp_spans.OPENINFERENCE}", f"attributes.{otlp_spans.INPUT}", "attributes.input.value"),
        ("start_time", "startTime"),
        _openinference,
        ("attributes", "span_kind", "status", "status_code"),
        _spans,
    ),
    "openai": Preset(("messages", "body", "request"), (), _openai, ("url", "endpoint", "path", "model", "response")),
    "langfuse": Preset(
        ("input",),
        ("startTime", "start_time", "timestamp", "createdAt"),
        _langfuse,
        ("type", "level", "modelParameters", "model_parameters"),
        lambda record: (_with_conditions(record, "modelParameters", "model_parameters"),),
    ),
    "helicone": Preset(
        ("request_body", "request"),
        ("request_created_at", "created_at", "createdAt"),
        _helicone,
        ("request_path", "target_url", "response_status", "status", "cache_hit", "cache_enabled", "cache_reference_id"),
    ),
    "vertex": Preset(
        ("contents", "full_request", "request", "request_payload.0"),
        ("logging_time", "processed_time", "timestamp"),
        _vertex,
        ("instances", "endpoint", "api_method", "status"),
    ),
}
