"""Shared code of HTTP providers: reads hostile replies, removes credentials from exchanges, classifies errors."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from monitor.ask.framing import decoded, loads, read_body
from monitor.ask.key_scrubber import scrubber
from monitor.ask.protocol import AskFailed, Secret
from monitor.ask.reply_errors import Trouble, classify, clean, trouble_in, trouble_in_text
from monitor.ask.retry import retry_after
from monitor.ask.served import HEADERS as SERVED_HEADERS
from monitor.ask.served import cleaned_header
from monitor.core.records import Exchange, Reason, TokenUsage

LARGEST_REPLY: Final = 8 * 2**20
"""Maximum bytes of a reply. An answer of 4,096 tokens with 20 alternatives each has about 6 MiB."""

LARGEST_COMPRESSED: Final = 2**18
"""Maximum bytes of a compressed reply, which is never requested: deflate expands up to 1,032-fold."""

_KEPT_HEADER: Final = re.compile(
    r"retry-after(-ms)?|(x-|anthropic-)ratelimit-.*|(x-)?request-id|x-should-retry|openai-(processing-ms|version|model)"
    r"|date|server|location|cf-ray|content-type|content-length|x-litellm-(version|call-id)|x-envoy-.*-time"
)
_SUSPECT: Final = re.compile(r"\\u0000|\\u[dD][89a-fA-F]|[\x00\ud800-\udfff]|\d[eE]\+?\d{3}")
_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
_REFUSES_PARAMETER: Final = re.compile(
    r"unsupported|not support|n't support|unrecogni[sz]ed|unknown|unexpected|forbidden|deprecated|no longer|removed"
    r"|not (be )?(permitted|allowed|available|enabled|compatible)|extra (input|field)|incompatible|disabled"
    r"|only the default",
    re.IGNORECASE,
)
_TOO_LONG: Final = re.compile(r"context.{0,20}(length|window)|too (large|long)|at most|less than or equal|maximum")


class ReplyTooLargeError(Exception):
    """The reply has more than ``LARGEST_REPLY`` bytes; reading was stopped."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply, bounded, without any trace of the key."""

    status: int
    headers: Mapping[str, str]
    text: str
    key: Secret | None = None

    def json(self) -> Any:
        """The parsed body, without values that a database rejects: NUL, lone surrogates, NaN and infinity.

        Raises:
            ValueError: not JSON, or nested too deeply.
        """
        try:
            parsed = loads(self.text.strip("\ufeff \t\r\n"))
            return self.cleaned(parsed)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def cleaned(self, parsed: Any, *, joined: bool = False) -> Any:
        """``parsed`` without what only parsing reveals: escapes of the key or of values that a database rejects.

        ``joined``: it was put together from events, and so may be the key.
        """
        if self.key is not None and (joined or "\\u" in self.text):
            parsed = scrubber(self.key).clean_json(parsed)
        return storable(parsed) if _SUSPECT.search(self.text) else parsed


def read_reply(status: int, headers: Mapping[str, str], body: bytes, key: Secret | None) -> Reply:
    """Bound and clean a reply. Removes the key from body and headers, because a server may echo it."""
    text = scrub(decoded(body, headers.get("content-type", ""), LARGEST_REPLY), key)
    kept = {
        name: scrub(cleaned_header(name, value), key)[:300]
        for name, value in headers.items()
        if name.lower() in SERVED_HEADERS or _KEPT_HEADER.fullmatch(name.lower())
    }
    return Reply(status, kept, text, key)


def scrub(text: str, key: Secret | None) -> str:
    """``text`` without the key, in any encoding. Cut the text only afterwards."""
    return text if key is None else scrubber(key).clean(text)


def storable(value: Any) -> Any:
    """A copy of parsed JSON that can be stored."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {storable(k): storable(v) for k, v in value.items()}
    if isinstance(value, list):
        return type(value)(storable(v) for v in value)
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value


def malformed(
    detail: str, exchange: Exchange, tokens: TokenUsage | None = None, *, generated: bool = False
) -> AskFailed:
    """HTTP 200, but not a valid completion. It may have been billed.

    A reply that counts its tokens was generated and billed: the next one would be like it, so it is not retried. Nor is
    one that shows by something else that it was ``generated``, because some servers never count tokens.
    """
    return AskFailed(
        Reason.MALFORMED,
        detail,
        permanent=generated or tokens is not None,
        exchange=exchange,
        tokens=tokens,
        maybe_billed=tokens is None,
    )


Count = Callable[[Mapping[str, Any]], TokenUsage | None]
"""The tokens that a reply counts; ``None`` if it counts nothing."""


@dataclass(frozen=True, slots=True)
class Received:
    """A reply whose JSON was read, and that is not an error."""

    body: Mapping[str, Any]
    exchange: Exchange
    filtered: Trouble | None = None
    """The filter that blocked the prompt or the answer, told as an error: the outcome is a refusal."""
    streamed: bool = False


def receive(
    reply: Reply, request: Mapping[str, Any], droppable: Sequence[str], now: datetime, count: Count
) -> Received:
    """Read a reply of any status.

    Args:
        reply: the reply.
        request: the body of the request.
        droppable: names of sent parameters that can be omitted.
        now: for Retry-After dates.
        count: reads the tokens that the reply counts.

    Raises:
        AskFailed: an error, told by the status or by the reply itself, or not a JSON object.
    """
    good = 200 <= reply.status < 300
    try:
        read = read_body(reply.text)
        body = reply.cleaned(read.value, joined=read.streamed)
    except ValueError as error:
        exchange = _exchange(reply, request, reply.text[:4000])
        if good:
            raise _no_json(reply, exchange, str(error), now) from None
        raise _failure(reply, trouble_in_text(reply.text), exchange, droppable, now) from None
    exchange = _exchange(reply, request, body if isinstance(body, dict) else reply.text[:4000])
    trouble = trouble_in(body, reply.status)
    if trouble is None and not good:
        trouble = trouble_in_text(reply.text)
    if trouble is not None and not trouble.filtered:
        failed = _failure(reply, trouble, exchange, droppable, now)
        failed.tokens = count(body) if isinstance(body, dict) else None
        raise failed
    if trouble is None and not isinstance(body, dict):
        kind = "a list" if isinstance(body, list) else "no object"
        raise malformed(f"the reply is JSON, but {kind} with `choices` or `content`: {clean(reply.text, 80)}", exchange)
    return Received(body if isinstance(body, dict) else {}, exchange, trouble, read.streamed)


def _no_json(reply: Reply, exchange: Exchange, why: str, now: datetime) -> AskFailed:
    """A page or a text with a status of success. A gateway's error is one if its words tell it."""
    text = reply.text.strip()
    if text[:1] in ("", "{", "[") or text.startswith(("data:", "event:", ":")):
        return malformed(why if reply.status == 200 else f"HTTP {reply.status}: {why}", exchange)
    trouble = trouble_in_text(text)
    if trouble.status is not None:
        return _failure(reply, trouble, exchange, (), now)
    return malformed(f"the reply is not JSON: {trouble.words or 'it has no readable text'}", exchange)


def metadata(reply: Reply) -> tuple[int, Any]:
    """Status and parsed body of a metadata reply; ``None`` for an error whose body is not JSON.

    Raises:
        AskFailed: MALFORMED if a successful reply is not JSON.
    """
    try:
        return reply.status, reply.json()
    except ValueError:
        if 200 <= reply.status < 300:
            raise malformed("the reply is not JSON", _exchange(reply, {}, "")) from None
        return reply.status, None


def _failure(reply: Reply, trouble: Trouble, exchange: Exchange, droppable: Sequence[str], now: datetime) -> AskFailed:
    """Classify an error by the HTTP status; inside a success, by the error's own code or words."""
    inside = reply.status < 300
    status = (trouble.status or 500) if inside else reply.status
    parameter = None
    if status in (400, 403, 422):
        parameter = refused_parameter(trouble.param, f"{trouble.code} {trouble.message}", droppable)
    reason, permanent = classify(status, f"{trouble.code} {trouble.message}")
    if reason is Reason.QUOTA and trouble.wait_seconds is not None:
        # Google says "exceeded your current quota" of a limit per minute, too, and then when to come back.
        reason, permanent = Reason.RATE_LIMITED, False
    if reply.headers.get("x-should-retry") == "false":
        permanent = True
    wait = retry_after(reply.headers, now)
    moved = {name.lower(): value for name, value in reply.headers.items()}.get("location", "")
    where = f"; the server redirects to {clean(moved)}" if 300 <= reply.status < 400 and moved else ""
    return AskFailed(
        reason,
        trouble.detail(reply.status) + where,
        permanent=permanent,
        retry_after=None if permanent else (trouble.wait_seconds if wait is None else wait),
        exchange=exchange,
        parameter=parameter,
        # What a server generated before it failed may be billed; what it rejected is not.
        maybe_billed=inside and status >= 500,
    )


def refused_parameter(param: object, message: str, sent: Sequence[str]) -> str | None:
    """The parameter of ``sent`` that the model does not accept according to an error; ``None`` for other errors.

    A value that is out of range, or a prompt that is too long, is not the rejection of a parameter: omitting it would
    silently measure something else.
    """
    if not _REFUSES_PARAMETER.search(message) or (_TOO_LONG.search(message) and "nsupported" not in message):
        return None
    if isinstance(param, str):
        top = re.split(r"[.\[]", param, maxsplit=1)[0]
        if top in sent:
            return top
    quoted = [name for name in sent if re.search(rf"['\"`]{name}['\"`.]", message)]
    named = quoted or [name for name in sent if re.search(rf"\b{name}\b", message)]
    return named[0] if named else None


def text_or_none(value: object, longest: int = 200) -> str | None:
    """``value`` if it is text, cut to ``longest`` characters."""
    return value[:longest] if isinstance(value, str) else None


def _exchange(reply: Reply, request: Mapping[str, Any], response: Mapping[str, Any] | str) -> Exchange:
    return Exchange(request=request, response=response, status=reply.status, headers=reply.headers)
