"""Shared code of HTTP providers: reads hostile replies, removes credentials from exchanges, classifies errors."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from monitor.ask.key_scrubber import scrubber
from monitor.ask.protocol import AskFailed, Secret
from monitor.ask.retry import retry_after
from monitor.ask.usage import with_duplicates
from monitor.core import logs
from monitor.core.records import Exchange, Reason, TokenUsage

LARGEST_REPLY: Final = 8 * 2**20
"""Maximum bytes of a reply. An answer of 4,096 tokens with 20 alternatives each has about 6 MiB."""

MOST_SCRUBBED: Final = 20_000
"""Characters of an error message that are scrubbed before it is cut to the stored length."""

LARGEST_COMPRESSED: Final = 2**18
"""Maximum bytes of a compressed reply, which is never requested: deflate expands up to 1,032-fold."""

_KEPT_HEADER: Final = re.compile(
    r"retry-after(-ms)?|(x-|anthropic-)ratelimit-.*|(x-)?request-id|x-should-retry|openai-(processing-ms|version|model)"
    r"|date|server|cf-ray|content-type|content-length|x-litellm-(model-id|version|call-id)|x-envoy-.*-time"
)
_SUSPECT: Final = re.compile(r"\\u0000|\\u[dD][89a-fA-F]|[\x00\ud800-\udfff]|\d[eE]\+?\d{3}")
_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
_OUT_OF_CREDIT: Final = re.compile(
    r"insufficient_quota|billing_(hard_limit|not_active)|credit balance|exceeded your current quota", re.IGNORECASE
)
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
            parsed = with_duplicates(self.text, json.loads(self.text, parse_constant=lambda _: None))
            if self.key is not None and "\\u" in self.text:  # parsing decodes it
                parsed = scrubber(self.key).clean_json(parsed)
            return storable(parsed) if _SUSPECT.search(self.text) else parsed
        except RecursionError:
            raise ValueError("nested too deeply") from None


def read_reply(status: int, headers: Mapping[str, str], body: bytes, key: Secret | None) -> Reply:
    """Bound and clean a reply. Removes the key from body and headers, because a server may echo it."""
    text = scrub(body.decode("utf-8", "replace"), key)
    kept = {name: scrub(value, key)[:300] for name, value in headers.items() if _KEPT_HEADER.fullmatch(name.lower())}
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


def malformed(detail: str, exchange: Exchange, tokens: TokenUsage | None = None) -> AskFailed:
    """HTTP 200, but not a valid completion. It may have been billed."""
    return AskFailed(Reason.MALFORMED, detail, exchange=exchange, tokens=tokens, maybe_billed=tokens is None)


def parse(reply: Reply, request: Mapping[str, Any]) -> tuple[dict[str, Any], Exchange]:
    """The reply's JSON object and the exchange to store.

    Raises:
        AskFailed: MALFORMED if it is not a JSON object.
    """
    try:
        body = reply.json()
    except ValueError as error:
        exchange = _exchange(reply, request, reply.text[:4000])
        raise malformed(f"the reply is not JSON: {type(error).__name__}", exchange) from None
    exchange = _exchange(reply, request, body if isinstance(body, dict) else reply.text[:4000])
    if not isinstance(body, dict):
        raise malformed("the reply is JSON, but not an object", exchange)
    if body.get("error") and "choices" not in body and "content" not in body:
        # Some gateways send errors with status 200.
        raise malformed("the reply is an error with status 200", exchange)
    return body, exchange


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


def status_failure(reply: Reply, request: Mapping[str, Any], droppable: Sequence[str], now: datetime) -> AskFailed:
    """Classify an HTTP error.

    Args:
        reply: the reply, with a status outside 200 to 299.
        request: the body of the request.
        droppable: names of sent parameters that can be omitted.
        now: for Retry-After dates.
    """
    try:
        body: Any = reply.json()
    except ValueError:
        body = None
    error = body.get("error", body) if isinstance(body, dict) else None
    fields = error if isinstance(error, dict) else {}
    words = str(fields.get("message") or fields.get("detail") or error or reply.text)
    message = words[:1000]
    code = logs.scrub(str(fields.get("code") or fields.get("type") or ""))[:60]
    # A gateway may echo its own key. Scrubbed before the cut, because a part of a key has no known shape.
    detail = " ".join(part for part in (f"HTTP {reply.status}", code, logs.scrub(words[:MOST_SCRUBBED])[:300]) if part)
    exchange = _exchange(reply, request, body if isinstance(body, dict) else reply.text[:4000])
    parameter = None
    if reply.status in (400, 403, 422):
        parameter = refused_parameter(fields.get("param"), f"{code} {message}", droppable)
    reason, permanent = _classify(reply.status, f"{code} {fields.get('type')} {message}")
    if reply.headers.get("x-should-retry") == "false":
        permanent = True
    wait = None if permanent else retry_after(reply.headers, now)
    return AskFailed(reason, detail, permanent=permanent, retry_after=wait, exchange=exchange, parameter=parameter)


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


def _classify(status: int, words: str) -> tuple[Reason, bool]:
    """Reason, and whether a retry would fail in the same way."""
    if status == 402 or (status in (400, 403, 429) and _OUT_OF_CREDIT.search(words)):
        return Reason.QUOTA, True
    if status in (401, 403):
        return Reason.UNAUTHORIZED, True
    if status == 408:
        return Reason.TIMEOUT, False
    if status == 429:
        return Reason.RATE_LIMITED, False
    if status in (409, 425) or status >= 500:
        return Reason.SERVER_ERROR, status in (501, 505)
    return Reason.REJECTED, True


def text_or_none(value: object, longest: int = 200) -> str | None:
    """``value`` if it is text, cut to ``longest`` characters."""
    return value[:longest] if isinstance(value, str) else None


def _exchange(reply: Reply, request: Mapping[str, Any], response: Mapping[str, Any] | str) -> Exchange:
    return Exchange(request=request, response=response, status=reply.status, headers=reply.headers)
