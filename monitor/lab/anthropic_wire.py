"""Wire format of Anthropic's Messages: converts a body into a `Call`, and a `Reply` into a body, stream or error."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.lab.calls import ApiError, Call, Reply
from monitor.lab.engine import Sampling
from monitor.lab.limits import Limits
from monitor.lab.served import SERVED, Catalogue, Served

NO_SAMPLING_SINCE: Final = "2026-10-21"
"""The API version from which temperature, top_p and top_k are refused. Versions are dates, and sort as text."""

_KINDS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_STOP_REASON: Final = {
    "stop": "end_turn",
    "sequence": "stop_sequence",
    "length": "max_tokens",
    "refusal": "refusal",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Text(BaseModel):
    type: Literal["text"]
    text: str


class _Message(_Strict):
    role: Literal["user", "assistant"]
    content: str | list[_Text]


class _Format(_Strict):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class _OutputConfig(_Strict):
    effort: str | None = None
    format: _Format | None = None


class CountBody(_Strict):
    """The body of ``count_tokens``: a message's without what only an answer needs."""

    model: str
    messages: list[_Message] = Field(min_length=1)
    system: str | list[_Text] | None = None
    output_config: _OutputConfig | None = None
    thinking: dict[str, Any] | None = None

    def plain(self) -> tuple[dict[str, str], ...]:
        """The messages as the chat template wants them, the system prompt first."""
        system = [{"role": "system", "content": _joined(self.system)}] if self.system else []
        return (*system, *({"role": m.role, "content": _joined(m.content)} for m in self.messages))


class MessageBody(CountBody):
    """The request's body; as in the real API, a key that it does not know is refused."""

    max_tokens: int = Field(ge=1)
    temperature: float | None = Field(None, ge=0, le=1)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    stop_sequences: list[str] = Field(default_factory=list)
    stream: bool = False
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None

    def sampling(self) -> Sampling:
        """How to draw the answer."""
        form = self.output_config.format if self.output_config else None
        return Sampling(
            max_tokens=self.max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=self.top_p or 1.0,
            top_k=self.top_k or 0,
            stop=tuple(self.stop_sequences),
            schema=form.schema_ if form else None,
        )


class AnthropicWire:
    """Anthropic's side of the gateway."""

    request_id_header = "request-id"
    request_id_prefix = "req_"

    def parse(self, body: dict[str, Any], headers: Mapping[str, str]) -> Call:
        """Understand a request's body. Raises `ApiError` (400, 404) and pydantic's ``ValidationError``."""
        version = headers.get("anthropic-version")
        if version is None:
            raise ApiError(400, "anthropic-version: header is required")
        refused = [key for key in ("temperature", "top_p", "top_k") if key in body]
        if refused and version >= NO_SAMPLING_SINCE:
            raise ApiError(400, f"{refused[0]}: sampling parameters are not supported by API version {version}")
        parsed = MessageBody.model_validate(body)
        if not all(stop.strip() for stop in parsed.stop_sequences):
            raise ApiError(400, "stop_sequences: each stop sequence must contain non-whitespace")
        return Call(
            model=parsed.model,
            weights=_served(parsed.model).weights,
            messages=parsed.plain(),
            sampling=parsed.sampling(),
            stream=parsed.stream,
        )

    def parse_count(self, body: dict[str, Any]) -> Call:
        """Understand the body of ``count_tokens``. Raises as `parse` does."""
        parsed = CountBody.model_validate(body)
        return Call(parsed.model, _served(parsed.model).weights, parsed.plain(), Sampling())

    def render(self, call: Call, reply: Reply, request_id: str) -> dict[str, Any]:
        """The body of a whole answer."""
        return _message(reply, request_id) | {
            "content": [{"type": "text", "text": reply.text}],
            "stop_reason": _STOP_REASON[reply.finish],
            "stop_sequence": reply.stop_sequence,
            "usage": _usage(reply),
        }

    def events(self, call: Call, reply: Reply, request_id: str) -> Iterator[bytes]:
        """The same answer as server-sent events, a delta for each word."""
        start = _message(reply, request_id) | {
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(reply) | {"output_tokens": 1},
        }
        yield _event("message_start", message=start)
        yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for i, word in enumerate(reply.text.split(" ")):
            text = word if i == 0 else f" {word}"
            yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
        yield _event("content_block_stop", index=0)
        delta = {"stop_reason": _STOP_REASON[reply.finish], "stop_sequence": reply.stop_sequence}
        yield _event("message_delta", delta=delta, usage={"output_tokens": reply.completion_tokens})
        yield _event("message_stop")

    def error(self, error: ApiError, request_id: str) -> dict[str, Any]:
        """Anthropic's error body."""
        kind = _KINDS.get(error.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}

    def headers(self, limits: Limits) -> dict[str, str]:
        """The rate-limit headers; the resets are times."""
        reset = (datetime.now(UTC) + timedelta(seconds=limits.reset_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = {"anthropic-organization-id": "lab"}
        for what, limit, left in (
            ("requests", limits.requests, limits.requests_left),
            ("tokens", limits.tokens, limits.tokens_left),
            ("input-tokens", limits.tokens, limits.tokens_left),
            ("output-tokens", limits.tokens, limits.tokens_left),
        ):
            told[f"anthropic-ratelimit-{what}-limit"] = str(limit)
            told[f"anthropic-ratelimit-{what}-remaining"] = str(left)
            told[f"anthropic-ratelimit-{what}-reset"] = reset
        return told

    def model(self, catalogue: Catalogue, served: Served) -> dict[str, Any]:
        """One entry of ``/v1/models``."""
        return {
            "type": "model",
            "id": served.name,
            "display_name": served.name,
            "created_at": datetime.fromtimestamp(catalogue.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycle": "active",
            "max_input_tokens": catalogue.context,
            "max_tokens": catalogue.context,
        }

    def models(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        """The body of ``/v1/models``."""
        ids = [entry["id"] for entry in entries] or [None]
        return {"data": entries, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}


def _served(name: str) -> Served:
    if (served := SERVED.get(name)) is None:
        raise ApiError(404, f"model: {name}")
    return served


def _joined(content: str | list[_Text] | None) -> str:
    return content if isinstance(content, str) else "".join(block.text for block in content or ())


def _message(reply: Reply, request_id: str) -> dict[str, Any]:
    return {
        "id": f"msg_{request_id.removeprefix('req_')}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
    }


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "input_tokens": reply.prompt_tokens,
        "output_tokens": reply.completion_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "service_tier": "standard",
    }


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data}, separators=(',', ':'))}\n\n".encode()
