"""OpenAI Chat Completions, at the vendor or a compatible server: vLLM, SGLang, NIM, Ollama, llama.cpp."""

import time
from collections.abc import Mapping
from typing import Any, Final

import httpx2
import openai

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
from monitor.core.records import Answer, Exchange, Question, Reason, TokenLogprob

VENDOR_URL: Final = "https://api.openai.com/v1"
NO_PROBABILITY: Final = -9999.0
"""Value in the API for a token without a probability."""

_TOKEN_LIMITS: Final = ("max_completion_tokens", "max_tokens")


class OpenAIProvider:
    """One ``AsyncOpenAI`` client. Its retries are off, because the asker has the only retry loop."""

    def __init__(self, setup: Setup) -> None:
        self._key = setup.key
        self._clock = setup.clock
        self._vendor = not setup.settings.server
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
        if not 200 <= reply.status < 300:
            raise status_failure(reply, body, [name for name in _DROPPABLE if name in body], self._clock())
        parsed, exchange = parse(reply, body)
        text, finish_reason, refusal, choice = _read_choice(parsed, exchange)
        usage = read_usage(parsed)
        return Answer(
            text=text,
            finish_reason=finish_reason,
            refusal=refusal,
            model=text_or_none(parsed.get("model")),
            fingerprint=text_or_none(parsed.get("system_fingerprint")),
            request_id=reply.headers.get("x-request-id") or text_or_none(parsed.get("id")),
            prompt_tokens=usage.prompt or 0,
            completion_tokens=usage.completion or 0,
            latency_seconds=latency,
            asked_at=asked_at,
            exchange=exchange,
            usage=usage,
            logprobs=read_logprobs(choice.get("logprobs")) if question.sampling.logprobs else None,
        )

    async def look(self, path: str) -> tuple[int, Any]:
        """GET ``path`` below the API's root, such as /models. Returns status and parsed body.

        Raises AskFailed without a readable reply.
        """
        try:
            raw = await self._client.get(path, cast_to=httpx2.Response)
        except openai.APIStatusError as error:
            raw = error.response
        except (openai.OpenAIError, ReplyTooLargeError) as error:
            raise connection_failure(error, {}) from None
        return metadata(read_reply(raw.status_code, raw.headers, raw.content, self._key))

    async def aclose(self) -> None:
        await self._client.close()


def request_body(question: Question, accepts: Mapping[str, bool], *, vendor: bool) -> dict[str, Any]:
    """The request, without parameters that the model is known to reject.

    The vendor's newest models accept only ``max_completion_tokens``. Some self-hosted servers know only ``max_tokens``
    and ignore the other. So the request tries the server's usual one first. It switches reasoning off at the vendor,
    because hidden tokens would use up the answer's limit.

    Raises:
        AskFailed: REJECTED if the model accepts no limit of the answer's length, because its cost would be unbounded.
    """
    sampling = question.sampling
    body: dict[str, Any] = {
        "model": question.model,
        "messages": [{"role": m.role, "content": m.content} for m in question.messages],
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
    if vendor and accepts.get("reasoning_effort", True):
        body["reasoning_effort"] = "none"
    return body


_DROPPABLE: Final = (
    "temperature", "seed", "top_logprobs", "logprobs", "response_format", "reasoning_effort", *_TOKEN_LIMITS,
)  # fmt: skip


def _read_choice(parsed: Mapping[str, Any], exchange: Exchange) -> tuple[str, str | None, bool, Mapping[str, Any]]:
    """Text, finish reason, whether it is a refusal, and the raw choice."""
    tokens = read_usage(parsed)
    choices = parsed.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise malformed("the reply has no choice with a message", exchange, tokens)
    finish_reason = text_or_none(choice.get("finish_reason"))
    content, refused = message.get("content"), message.get("refusal")
    if isinstance(refused, str) and refused:
        return (content if isinstance(content, str) and content else refused), finish_reason, True, choice
    if finish_reason == "content_filter":
        return (content if isinstance(content, str) else ""), finish_reason, True, choice
    if finish_reason == "length" and (content is None or content == ""):
        detail = "max_tokens was used up before the answer began"
        raise AskFailed(Reason.TRUNCATED, detail, permanent=True, exchange=exchange, tokens=tokens)
    if not isinstance(content, str):
        kind = "null" if content is None else type(content).__name__
        raise malformed(f"the message's content is {kind}, not a text", exchange, tokens)
    return content, finish_reason, False, choice


def read_logprobs(raw: object) -> tuple[TokenLogprob, ...] | None:
    """The generated tokens' log-probabilities; ``None`` when the reply has none at all.

    Empty when it has some that cannot be used: a token without a probability would shift all that follow.
    """
    content = raw.get("content") if isinstance(raw, dict) else None
    if not isinstance(content, list) or not content:
        return None
    tokens = [token for token in map(_read_token, content) if token is not None]
    return tuple(tokens) if len(tokens) == len(content) else ()


def _read_token(entry: object) -> TokenLogprob | None:
    pair = _token_and_logprob(entry)
    if pair is None or pair[1] <= NO_PROBABILITY or not isinstance(entry, dict):
        return None
    alternatives = entry.get("top_logprobs")
    pairs = [_token_and_logprob(a) for a in alternatives] if isinstance(alternatives, list) else []
    top = {token: logprob for token, logprob in (p for p in pairs if p) if logprob > NO_PROBABILITY}
    return TokenLogprob(*pair, top)


def _token_and_logprob(entry: object) -> tuple[str, float] | None:
    if not isinstance(entry, dict):
        return None
    token, logprob = entry.get("token"), entry.get("logprob")
    return (token, float(logprob)) if isinstance(token, str) and isinstance(logprob, int | float) else None
