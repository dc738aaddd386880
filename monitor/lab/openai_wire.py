"""Wire format of OpenAI's Chat Completions: converts a body into a `Call`, a `Reply` into a body, stream or error."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from monitor.lab.calls import ApiError, Call, Reply
from monitor.lab.engine import Message, Sampling
from monitor.lab.limits import Limits, duration
from monitor.lab.served import SERVED, Catalogue, Served

FINISH_REASON = {"stop": "stop", "sequence": "stop", "length": "length", "refusal": "stop"}


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]

    def plain(self) -> Message:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class _Schema(BaseModel):
    name: str
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")


class _Format(BaseModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None

    @model_validator(mode="after")
    def _schema_given(self) -> "_Format":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing")
        return self

    def schema_for_engine(self) -> dict[str, Any] | None:
        if self.json_schema is not None and self.type == "json_schema":
            return self.json_schema.schema_
        return {"type": "object"} if self.type == "json_object" else None


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatBody(BaseModel):
    """What the lab understands of the request's body; as in vLLM, what it does not know it ignores."""

    model: str
    messages: list[_Message] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = Field(None, ge=1, le=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: _Format | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: None = None

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, value: str | list[str] | None) -> list[str]:
        stops = [value] if isinstance(value, str) else value or []
        if len(stops) > 4 or not all(stops):
            raise ValueError("up to 4 non-empty sequences")
        return stops

    @model_validator(mode="after")
    def _logprobs_asked(self) -> "ChatBody":
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        return self

    def sampling(self) -> Sampling:
        return Sampling(
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=self.top_p or 1.0,
            seed=self.seed,
            stop=tuple(self.stop or ()),
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            schema=self.response_format.schema_for_engine() if self.response_format else None,
        )


class OpenAIWire:
    """OpenAI's side of the gateway; errors, headers and ids as its API and vLLM give them."""

    request_id_header = "x-request-id"
    request_id_prefix = "req_"

    def parse(self, body: dict[str, Any], headers: Mapping[str, str]) -> Call:
        """Understand a request's body. Raises `ApiError` (404) and pydantic's ``ValidationError``."""
        parsed = ChatBody.model_validate(body)
        if (served := SERVED.get(parsed.model)) is None:
            raise unknown_model(parsed.model)
        return Call(
            model=parsed.model,
            weights=served.weights,
            messages=tuple(message.plain() for message in parsed.messages),
            sampling=parsed.sampling(),
            stream=bool(parsed.stream),
            stream_usage=bool(parsed.stream_options and parsed.stream_options.include_usage),
        )

    def render(self, call: Call, reply: Reply, request_id: str) -> dict[str, Any]:
        """The body of a whole answer."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": reply.text, "refusal": None},
            "logprobs": None if reply.tokens is None else {"content": list(reply.tokens), "refusal": None},
            "finish_reason": FINISH_REASON[reply.finish],
        }
        return _head("chat.completion", reply, request_id) | {"choices": [choice], "usage": _usage(reply)}

    def events(self, call: Call, reply: Reply, request_id: str) -> Iterator[bytes]:
        """The same answer as server-sent events, a chunk for each word."""
        head = _head("chat.completion.chunk", reply, request_id)

        def chunk(delta: dict[str, Any], finish: str | None = None, tokens: Any = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": tokens, "finish_reason": finish}
            return _event(head | {"choices": [choice]} | ({"usage": None} if call.stream_usage else {}))

        yield chunk({"role": "assistant", "content": "", "refusal": None})
        for text, tokens in _pieces(reply):
            yield chunk({"content": text}, None, tokens)
        yield chunk({}, FINISH_REASON[reply.finish])
        if call.stream_usage:
            yield _event(head | {"choices": [], "usage": _usage(reply)})
        yield b"data: [DONE]\n\n"

    def error(self, error: ApiError, request_id: str) -> dict[str, Any]:
        """OpenAI's error body."""
        return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}

    def headers(self, limits: Limits) -> dict[str, str]:
        """The rate-limit headers; the resets are durations."""
        return {
            "x-ratelimit-limit-requests": str(limits.requests),
            "x-ratelimit-remaining-requests": str(limits.requests_left),
            "x-ratelimit-reset-requests": duration(limits.reset_seconds),
            "x-ratelimit-limit-tokens": str(limits.tokens),
            "x-ratelimit-remaining-tokens": str(limits.tokens_left),
            "x-ratelimit-reset-tokens": duration(limits.reset_seconds),
        }

    def model(self, catalogue: Catalogue, served: Served) -> dict[str, Any]:
        """One entry of ``/v1/models``, with ``root`` and ``parent`` as vLLM gives them."""
        return {
            "id": served.name,
            "object": "model",
            "created": catalogue.created,
            "owned_by": "cliffwatch-lab",
            "root": catalogue.root_of(served),
            "parent": served.parent,
            "max_model_len": catalogue.context,
        }

    def models(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        """The body of ``/v1/models``."""
        return {"object": "list", "data": entries}


def unknown_model(name: str) -> ApiError:
    """404, as OpenAI says it."""
    return ApiError(404, f"The model `{name}` does not exist", param="model", code="model_not_found")


def _head(kind: str, reply: Reply, request_id: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request_id.removeprefix('req_')}",
        "object": kind,
        "created": int(time.time()),
        "model": reply.model,
        "system_fingerprint": reply.fingerprint,
    }


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _pieces(reply: Reply) -> Iterator[tuple[str, Any]]:
    if not reply.tokens:
        words = reply.text.split(" ")
        yield from ((word if i == 0 else f" {word}", None) for i, word in enumerate(words) if word or i)
        return
    # The tokens' bytes, joined, are the text; one token alone may be half a character.
    pending = b""
    held: list[dict[str, Any]] = []
    for token in reply.tokens:
        pending, held = pending + bytes(token["bytes"]), [*held, token]
        try:
            text = pending.decode()
        except UnicodeDecodeError:
            continue
        yield text, {"content": held, "refusal": None}
        pending, held = b"", []
    if held:
        yield pending.decode(errors="replace"), {"content": held, "refusal": None}


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"
