"""Reads a kept exchange again, after the table of finish reasons has grown."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monitor.ask.http import Received, text_or_none
from monitor.ask.logprobs import read_logprobs
from monitor.ask.protocol import AskFailed
from monitor.ask.reply_text import said_in_chat, said_in_message
from monitor.ask.served import cached_tokens, served_by
from monitor.ask.usage import counted
from monitor.core.records import Answer, Outcome, Reason, Unmeasured


def reread(kept: Unmeasured) -> Outcome | None:
    """What a reply is by today's table; ``None`` if its finish reason is still unknown or its exchange was not kept.

    Its cost stays as recorded. Its latency was not kept and is 0.
    """
    exchange = kept.exchange
    if exchange is None or not isinstance(exchange.response, Mapping):
        return None
    body = exchange.response
    received, tokens = Received(body, exchange), counted(body)
    choice: Mapping[str, Any] = {}
    try:
        if "choices" in body:
            said, choice = said_in_chat(received, tokens)
        else:
            said = said_in_message(received, tokens)
    except AskFailed as failed:
        again = replace(kept, reason=failed.reason, detail=failed.detail)
        return None if failed.reason is Reason.UNKNOWN_FINISH else again
    headers = {name.lower(): value for name, value in exchange.headers.items()}
    return Answer(
        text=said.text,
        finish_reason=said.finish_reason,
        refusal=said.refusal,
        model=text_or_none(body.get("model")),
        fingerprint=text_or_none(body.get("system_fingerprint")),
        request_id=headers.get("x-request-id") or headers.get("request-id") or text_or_none(body.get("id")),
        prompt_tokens=(tokens and tokens.prompt) or 0,
        completion_tokens=(tokens and tokens.completion) or 0,
        latency_seconds=0.0,
        asked_at=kept.asked_at,
        exchange=exchange,
        logprobs=read_logprobs(choice.get("logprobs")) if exchange.request.get("logprobs") else None,
        attempts=kept.attempts,
        usd=kept.usd,
        text_in=said.text_in,
        served=served_by(exchange.headers, body),
        cached_tokens=cached_tokens(body),
    )
