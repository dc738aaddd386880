"""Anthropic Messages, at the vendor or a compatible server, in the API version that the client pins.

Since version 2026-10-21 the API rejects temperature, top_p and top_k, and it has neither seed nor logprobs. They are
never sent; repeated samples replace them.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import anthropic
import httpx2

from monitor.ask.http import (
    ReplyTooLargeError,
    metadata,
    read_reply,
    receive,
    text_or_none,
)
from monitor.ask.protocol import AskFailed, Setup
from monitor.ask.reply_text import said_in_message
from monitor.ask.served import cached_tokens, served_by
from monitor.ask.transport import UnaskedStreams, client, connection_failure
from monitor.ask.usage import counted, read_usage
from monitor.core.records import Answer, Question, Reason

VENDOR_URL: Final = "https://api.anthropic.com"

_DROPPABLE: Final = ("thinking", "output_config")
_LIMITS: Final = ("max_tokens", "max_completion_tokens")


class AnthropicProvider:
    """One ``AsyncAnthropic`` client. Its retries are off, because the asker has the only retry loop."""

    def __init__(self, setup: Setup) -> None:
        self._key = setup.key
        self._clock = setup.clock
        self._streams = UnaskedStreams(setup.name)
        base_url = setup.settings.server or VENDOR_URL
        self._client = anthropic.AsyncAnthropic(
            api_key=setup.key.reveal() if setup.key else "none",
            # The client adds /v1 to each path.
            base_url=base_url.rstrip("/").removesuffix("/v1"),
            max_retries=0,
            timeout=None,
            http_client=client(setup.settings.concurrency),
        )
        self._create = self._client.messages.with_raw_response.create

    async def ask(self, question: Question, accepts: Mapping[str, bool]) -> Answer:
        body = request_body(question, accepts)
        asked_at = self._clock()
        started = time.perf_counter()
        try:
            raw = (await self._create(**body)).http_response
        except anthropic.APIStatusError as error:
            raw = error.response
        except (anthropic.AnthropicError, ReplyTooLargeError) as error:
            raise connection_failure(error, body) from None
        latency = time.perf_counter() - started
        reply = read_reply(raw.status_code, raw.headers, raw.content, self._key)
        received = receive(reply, body, [name for name in _DROPPABLE if name in body], self._clock(), counted)
        self._streams.note(received)
        parsed = received.body
        usage = read_usage(parsed)
        said = said_in_message(received, counted(parsed))
        return Answer(
            text=said.text,
            finish_reason=said.finish_reason,
            refusal=said.refusal,
            model=text_or_none(parsed.get("model")),
            fingerprint=None,
            request_id=reply.headers.get("request-id") or text_or_none(parsed.get("id")),
            prompt_tokens=usage.prompt or 0,
            completion_tokens=usage.completion or 0,
            latency_seconds=latency,
            asked_at=asked_at,
            exchange=received.exchange,
            text_in=said.text_in,
            served=served_by(reply.headers, parsed),
            cached_tokens=cached_tokens(parsed),
            usage=usage,
        )

    async def look(self, path: str) -> tuple[int, Any]:
        """GET ``path`` below the server's root, such as /v1/models/NAME. Returns status and parsed body.

        Raises AskFailed without a readable reply.
        """
        try:
            raw = await self._client.get(path, cast_to=httpx2.Response)
        except anthropic.APIStatusError as error:
            raw = error.response
        except (anthropic.AnthropicError, ReplyTooLargeError) as error:
            raise connection_failure(error, {}) from None
        return metadata(read_reply(raw.status_code, raw.headers, raw.content, self._key))

    async def aclose(self) -> None:
        await self._client.close()


def request_body(question: Question, accepts: Mapping[str, bool]) -> dict[str, Any]:
    """The request, without parameters that the model is known to reject. Raises AskFailed as ``replayed``.

    Switches thinking off if the model allows it: it is on by default and shares ``max_tokens`` with the answer.
    """
    body: dict[str, Any] = {
        "model": question.model,
        "max_tokens": question.sampling.max_tokens,
        "messages": [{"role": m.role, "content": m.content} for m in question.messages if m.role != "system"],
        # The default of the API, but some servers stream unless they are told not to.
        "stream": False,
    }
    system = "\n\n".join(m.content for m in question.messages if m.role == "system")
    if system:
        body["system"] = system
    if accepts.get("thinking", True):
        body["thinking"] = {"type": "disabled"}
    if question.response_schema is not None and accepts.get("output_config", True):
        body["output_config"] = {"format": {"type": "json_schema", "schema": dict(question.response_schema)}}
    return body | replayed(question)


def replayed(question: Question) -> dict[str, Any]:
    """The parameters of a logged request but its limit of the answer's length, as Messages has them.

    Raises:
        AskFailed: REJECTED if Messages lacks one.
    """
    body: dict[str, Any] = {}
    for name, value in question.parameters.items():
        if name == "stop":
            body["stop_sequences"] = [value] if isinstance(value, str) else value
        elif name == "tools":
            body["tools"] = [_tool(one["function"]) for one in value]
        elif name == "tool_choice" and (choice := _choice(value)) is not None:
            body["tool_choice"] = choice
        elif name == "response_format" and (schema := _schema(value)) is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        elif name not in _LIMITS:
            detail = f"the logged request has `{name}`, which Messages lacks"
            raise AskFailed(Reason.REJECTED, detail, permanent=True)
    return body


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    described = {"description": function["description"]} if function.get("description") else {}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"name": function["name"], **described, "input_schema": schema}


def _schema(response_format: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of a ``response_format``; ``None`` without one."""
    given = response_format.get("json_schema")
    schema = given.get("schema") if isinstance(given, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


def _choice(value: Any) -> dict[str, Any] | None:
    """``tool_choice`` of Messages; ``None`` if it has none like it."""
    if isinstance(value, Mapping):
        name = value.get("function", {}).get("name")
        return {"type": "tool", "name": name} if name else None
    return {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}.get(value)
