"""OpenAI Chat Completions, at the vendor or a compatible server: vLLM, SGLang, NIM, Ollama, llama.cpp."""

import time
from collections.abc import Mapping
from typing import Any, Final

import httpx2
import openai

from monitor.ask.address import AddressHint
from monitor.ask.http import (
    Reply,
    ReplyTooLargeError,
    metadata,
    read_reply,
    receive,
    text_or_none,
)
from monitor.ask.logprobs import read_logprobs
from monitor.ask.protocol import AskFailed, Setup
from monitor.ask.reply_text import said_in_chat
from monitor.ask.served import cached_tokens, served_by
from monitor.ask.transport import UnaskedStreams, client, connection_failure
from monitor.ask.usage import counted, read_usage
from monitor.core.records import Answer, Question, Reason

VENDOR_URL: Final = "https://api.openai.com/v1"
_TOKEN_LIMITS: Final = ("max_completion_tokens", "max_tokens")


class OpenAIProvider:
    """One ``AsyncOpenAI`` client. Its retries are off, because the asker has the only retry loop."""

    def __init__(self, setup: Setup) -> None:
        self._key = setup.key
        self._clock = setup.clock
        self._vendor = not setup.settings.server
        self._streams = UnaskedStreams(setup.name)
        self._hint = None if self._vendor else AddressHint(setup.settings.server, self._read)
        self._client = openai.AsyncOpenAI(
            # Many self-hosted servers need no key, but the client requires one.
            api_key=setup.key.reveal() if setup.key else "none",
            base_url=setup.settings.server or VENDOR_URL,
            max_retries=0,
            timeout=None,
            http_client=client(setup.settings.concurrency),
        )

    async def ask(self, question: Question, accepts: Mapping[str, bool]) -> Answer:
        body = request_body(question, accepts, vendor=self._vendor)
        asked_at = self._clock()
        started = time.perf_counter()
        try:
            # Not create(): its typed parameters take a third of the call's time, and the stored request would not be
            # exactly the sent one.
            raw = await self._client.post("/chat/completions", body=body, cast_to=httpx2.Response)
        except openai.APIStatusError as error:
            raw = error.response
        except (openai.OpenAIError, ReplyTooLargeError) as error:
            raise connection_failure(error, body) from None
        latency = time.perf_counter() - started
        reply = read_reply(raw.status_code, raw.headers, raw.content, self._key)
        try:
            received = receive(reply, body, [name for name in _DROPPABLE if name in body], self._clock(), counted)
        except AskFailed as failed:
            if self._hint is not None and self._hint.suits(reply, failed):
                failed.detail += await self._hint.words()
            raise
        self._streams.note(received)
        parsed = received.body
        usage = read_usage(parsed)
        said, choice = said_in_chat(received, counted(parsed))
        return Answer(
            text=said.text,
            finish_reason=said.finish_reason,
            refusal=said.refusal,
            model=text_or_none(parsed.get("model")),
            fingerprint=text_or_none(parsed.get("system_fingerprint")),
            request_id=reply.headers.get("x-request-id") or text_or_none(parsed.get("id")),
            prompt_tokens=usage.prompt or 0,
            completion_tokens=usage.completion or 0,
            latency_seconds=latency,
            asked_at=asked_at,
            exchange=received.exchange,
            logprobs=read_logprobs(choice.get("logprobs")) if question.sampling.logprobs else None,
            text_in=said.text_in,
            served=served_by(reply.headers, parsed),
            cached_tokens=cached_tokens(parsed),
            usage=usage,
        )

    async def look(self, path: str) -> tuple[int, Any]:
        """GET ``path`` below the API's root, such as /models. Returns status and parsed body.

        Raises AskFailed without a readable reply.
        """
        return metadata(await self._read(path))

    async def _read(self, path: str) -> Reply:
        try:
            raw = await self._client.get(path, cast_to=httpx2.Response)
        except openai.APIStatusError as error:
            raw = error.response
        except (openai.OpenAIError, ReplyTooLargeError) as error:
            raise connection_failure(error, {}) from None
        return read_reply(raw.status_code, raw.headers, raw.content, self._key)

    async def aclose(self) -> None:
        await self._client.close()


def request_body(question: Question, accepts: Mapping[str, bool], *, vendor: bool) -> dict[str, Any]:
    """The request, without parameters that the model is known to reject.

    The vendor's newest models accept only ``max_completion_tokens``. Some self-hosted servers know only ``max_tokens``
    and ignore the other. So the request tries the server's usual one first. It switches reasoning off at the vendor,
    because hidden tokens would use up the answer's limit.

    Raises:
        AskFailed: REJECTED if the model accepts no limit of the answer's length, because its cost would be unbounded;
            or if the question has a ``cache_salt`` that it does not accept, because its cache may answer then.
    """
    sampling = question.sampling
    body: dict[str, Any] = {
        "model": question.model,
        "messages": [{"role": m.role, "content": m.content} for m in question.messages],
        # The default of the API, but some servers stream unless they are told not to.
        "stream": False,
    }
    limits = _TOKEN_LIMITS if vendor else _TOKEN_LIMITS[::-1]
    limit = next((name for name in limits if accepts.get(name, True)), None)
    if limit is None:
        raise AskFailed(Reason.REJECTED, "the model rejects every limit of the answer's length", permanent=True)
    body[limit] = sampling.max_tokens
    if sampling.temperature is not None and accepts.get("temperature", True):
        body["temperature"] = sampling.temperature
    if question.seed is not None and accepts.get("seed", True):
        body["seed"] = question.seed
    if sampling.logprobs and accepts.get("logprobs", True):
        body["logprobs"] = True
        if accepts.get("top_logprobs", True):
            body["top_logprobs"] = sampling.logprobs
    if question.response_schema is not None and accepts.get("response_format", True):
        schema = {"name": "answer", "schema": dict(question.response_schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    body |= replayed(question, accepts)
    if vendor and "reasoning_effort" not in body and accepts.get("reasoning_effort", True):
        body["reasoning_effort"] = "none"
    if question.cache_salt is not None:
        if not accepts.get("cache_salt", True):
            raise AskFailed(Reason.REJECTED, "the server does not accept cache_salt", permanent=True)
        body["cache_salt"] = question.cache_salt
    return body


def replayed(question: Question, accepts: Mapping[str, bool]) -> dict[str, Any]:
    """The parameters of a logged request but its limit of the answer's length. Raises AskFailed if one is rejected."""
    given = {name: value for name, value in question.parameters.items() if name not in _TOKEN_LIMITS}
    rejected = next((name for name in given if not accepts.get(name, True)), None)
    if rejected is not None:
        detail = f"the logged request has `{rejected}`, which the model rejects"
        raise AskFailed(Reason.REJECTED, detail, permanent=True)
    return given


_DROPPABLE: Final = (
    "temperature", "top_p", "stop", "seed", "top_logprobs", "logprobs", "response_format",
    "reasoning_effort", "cache_salt", *_TOKEN_LIMITS,
)  # fmt: skip
