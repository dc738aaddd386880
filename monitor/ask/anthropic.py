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
    malformed,
    metadata,
    parse,
    read_reply,
    status_failure,
    text_or_none,
)
from monitor.ask.protocol import AskFailed, Setup
from monitor.ask.transport import client, connection_failure
from monitor.ask.usage import read_usage
from monitor.core.records import Answer, Exchange, Question, Reason

VENDOR_URL: Final = "https://api.anthropic.com"

FINISH_REASONS: Final = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
"""Mapping to the values of Chat Completions, so that the store is uniform; other values are kept."""

_DROPPABLE: Final = ("thinking", "output_config")


class AnthropicProvider:
    """One ``AsyncAnthropic`` client. Its retries are off, because the asker has the only retry loop."""

    def __init__(self, setup: Setup) -> None:
        self._key = setup.key
        self._clock = setup.clock
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
        if not 200 <= reply.status < 300:
            raise status_failure(reply, body, [name for name in _DROPPABLE if name in body], self._clock())
        parsed, exchange = parse(reply, body)
        text, stop_reason = _read_text(parsed, exchange)
        usage = read_usage(parsed)
        return Answer(
            text=text,
            finish_reason=FINISH_REASONS.get(stop_reason, stop_reason) if stop_reason else None,
            refusal=stop_reason == "refusal",
            model=text_or_none(parsed.get("model")),
            fingerprint=None,
            request_id=reply.headers.get("request-id") or text_or_none(parsed.get("id")),
            prompt_tokens=usage.prompt or 0,
            completion_tokens=usage.completion or 0,
            latency_seconds=latency,
            asked_at=asked_at,
            exchange=exchange,
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
    """The request, without parameters that the model is known to reject.

    Switches thinking off if the model allows it: it is on by default and shares ``max_tokens`` with the answer.
    """
    body: dict[str, Any] = {
        "model": question.model,
        "max_tokens": question.sampling.max_tokens,
        "messages": [{"role": m.role, "content": m.content} for m in question.messages if m.role != "system"],
    }
    system = "\n\n".join(m.content for m in question.messages if m.role == "system")
    if system:
        body["system"] = system
    if accepts.get("thinking", True):
        body["thinking"] = {"type": "disabled"}
    if question.response_schema is not None and accepts.get("output_config", True):
        body["output_config"] = {"format": {"type": "json_schema", "schema": dict(question.response_schema)}}
    return body


def _read_text(parsed: Mapping[str, Any], exchange: Exchange) -> tuple[str, str | None]:
    """The joined text blocks, and the stop reason."""
    tokens = read_usage(parsed)
    blocks = parsed.get("content")
    stop_reason = text_or_none(parsed.get("stop_reason"))
    if not isinstance(blocks, list):
        raise malformed("the reply has no list of content blocks", exchange, tokens)
    texts = [b.get("text") for b in blocks if isinstance(b, dict) and b.get("type") == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise malformed("a text block has no text", exchange, tokens)
    text = "".join(str(text) for text in texts)
    if stop_reason == "max_tokens" and not text:
        detail = "max_tokens was used up before the answer began"
        raise AskFailed(Reason.TRUNCATED, detail, permanent=True, exchange=exchange, tokens=tokens)
    if not texts and stop_reason not in ("refusal", "end_turn", "stop_sequence"):
        raise malformed("the reply has no text", exchange, tokens)
    return text, stop_reason
