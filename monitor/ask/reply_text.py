"""The text of an answer in the shapes that servers give it, where else a reply has text, and what its end means."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from monitor.ask.http import Received, malformed
from monitor.ask.protocol import AskFailed
from monitor.ask.reply_errors import any_filtered, clean
from monitor.core.finish_reasons import Ending, Finish, cut_by_server, finish_of
from monitor.core.records import Reason, TokenUsage
from monitor.core.texts import is_empty

CONTENT_FILTER: Final = "content_filter"
"""Finish reason of a refusal that the reply tells as an error."""

FINISH_REASONS: Final = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
"""Words of Messages -> those of Chat Completions, so that the store is uniform; other words are kept."""

_THINKING: Final = frozenset((
    "thinking", "reasoning", "redacted_thinking", "reasoning_text", "reasoning_content", "summary_text", "thought",
    "analysis",
))  # fmt: skip
_ELSEWHERE: Final = (
    "reasoning_content", "reasoning", "reasoning_text", "thinking", "thoughts", "reasoning_details", "thinking_blocks",
    "tool_calls", "function_call", "audio", "output_text", "output", "text", "response", "generated_text", "completion",
    "images", "parts",
)  # fmt: skip
"""Fields that may have what ``content`` lacks, the likeliest first."""
_NO_ANSWER: Final = frozenset(("role", "content", "refusal", "type", "id", "name", "object", "model", "provider",
                               "provider_specific_fields", "annotations", "phase", "status"))  # fmt: skip
_DEEPEST: Final = 8


class Odd(Exception):
    """A value has no shape in which a text is known. The message names the field."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one reply says."""

    text: str
    finish_reason: str | None
    refusal: bool = False
    text_in: str | None = None


@dataclass(slots=True)
class Parts:
    """A content that is being read: its texts, the kinds of its other parts, and a refusal inside it."""

    texts: list[str]
    others: list[str]
    refusals: list[str]

    @property
    def text(self) -> str:
        return "".join(self.texts)


def parts_of(content: object, where: str) -> Parts:
    """Read a content: a string, a list of parts, or one part. Thinking and what is no text are left out.

    Raises:
        Odd: neither, such as a number.
        AskFailed: a part is an error.
    """
    parts = Parts([], [], [])
    _add(content, where, parts, 0)
    return parts


def _add(content: object, where: str, parts: Parts, depth: int) -> None:
    if content is None:
        return
    if isinstance(content, str):
        parts.texts.append(content)
    elif isinstance(content, list) and depth < _DEEPEST:
        for index, one in enumerate(content):
            _add(one, f"{where}[{index}]", parts, depth + 1)
    elif isinstance(content, Mapping) and depth < _DEEPEST:
        _add_part(content, where, parts, depth)
    else:
        raise Odd(f"`{where}` is {_kind(content)}, not a text")


def _add_part(part: Mapping[str, Any], where: str, parts: Parts, depth: int) -> None:
    kind = part.get("type")
    kind = kind.lower() if isinstance(kind, str) else None
    if kind == "error" or part.get("error"):
        words = clean(str(part.get("error") or part.get("message") or part.get("text") or ""))
        raise AskFailed(Reason.SERVER_ERROR, f"`{where}` is an error: {words}", maybe_billed=True)
    if kind in _THINKING or part.get("thought") is True:
        parts.others.append(str(kind or "thought"))
    elif kind == "refusal":
        parts.refusals.append(str(part.get("refusal") or part.get("text") or ""))
    elif "text" in part:
        if part["text"] is None:
            raise Odd(f"`{where}.text` is null, not a text")
        value = part["text"]
        value = value["value"] if isinstance(value, Mapping) and "value" in value else value
        _add(value, f"{where}.text", parts, depth + 1)
    elif kind in ("text", "output_text"):
        value = part.get("content", part.get("value"))
        if not isinstance(value, str):
            raise Odd(f"`{where}.text` is missing")
        parts.texts.append(value)
    elif kind is None and ("parts" in part or "content" in part):
        name = "parts" if "parts" in part else "content"
        _add(part[name], f"{where}.{name}", parts, depth + 1)
    elif kind is None:
        raise Odd(f"`{where}` is an object without a text (it has {names_of(part)})")
    else:
        parts.others.append(kind[:60])


def elsewhere(parts: Parts, *holders: Mapping[str, Any]) -> str | None:
    """The field that has text where the content has none: of the holders, the first that has one of the known names."""
    for holder in holders:
        found = next((name for name in _ELSEWHERE if _has_text(holder.get(name))), None)
        if found is not None:
            return found
    if parts.others:
        return parts.others[0]
    unknown = (name for name, value in holders[0].items() if name not in _NO_ANSWER and _has_text(value))
    return next((clean(str(name), 60) for name in unknown), None)


def _has_text(value: object) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, Mapping):
        return any(_has_text(one) for name, one in value.items() if name not in ("type", "id", "role", "index"))
    return isinstance(value, list) and any(_has_text(one) for one in value)


def names_of(value: Mapping[str, Any]) -> str:
    """The first fields of an object, for a message."""
    names = [clean(str(name), 40) for name in list(value)[:6]]
    return ", ".join(f"`{name}`" for name in names) if names else "no fields"


def _kind(value: object) -> str:
    kinds: Iterator[tuple[type, str]] = iter(
        ((bool, "true or false"), (int, "a number"), (float, "a number"), (list, "a list that is nested too deeply"))
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "an object that is nested too deeply")


def limit_of(request: Mapping[str, Any]) -> int | None:
    """The limit of the answer's length that a request had."""
    told = (request.get("max_completion_tokens"), request.get("max_tokens"))
    return next((one for one in told if isinstance(one, int)), None)


def concluded(
    received: Received,
    tokens: TokenUsage | None,
    parts: Parts,
    finish: Finish,
    *,
    refused: bool,
    text_in: str | None,
) -> Said:
    """What a reply says, by how it ended.

    Raises:
        AskFailed: it ended with an error, for an unknown reason, or before any text.
    """
    ending, word = finish
    text, exchange = parts.text, received.exchange
    if ending is Ending.ERROR:
        detail = f"HTTP {exchange.status}, but the finish reason is {clean(str(word))!r}, which is an error"
        raise AskFailed(Reason.SERVER_ERROR, detail, exchange=exchange, tokens=tokens, maybe_billed=tokens is None)
    if refused or ending in (Ending.FILTERED, Ending.REFUSAL):
        return Said(text, word, refusal=True)
    if ending is Ending.UNKNOWN:
        detail = f"the finish reason {clean(str(word))!r} is not known; see docs/replies.md"
        raise AskFailed(
            Reason.UNKNOWN_FINISH, detail, permanent=True, exchange=exchange, tokens=tokens, maybe_billed=tokens is None
        )
    if not is_empty(text):
        return Said(text, word)
    where = f"; the reply has text in `{text_in}`" if text_in else ""
    if ending is Ending.TRUNCATED:
        detail = _cut(word, tokens, limit_of(exchange.request)) + where
        raise AskFailed(Reason.TRUNCATED, detail, permanent=True, exchange=exchange, tokens=tokens)
    if ending is Ending.MISSING:
        failed = malformed(f"the reply has neither a text nor a finish reason{where}", exchange, tokens)
        # A model that is still starting may have generated nothing.
        failed.permanent = text_in is not None or (tokens is not None and bool(tokens.completion))
        raise failed
    return Said(text, word, text_in=text_in)


def _cut(word: str | None, tokens: TokenUsage | None, limit: int | None) -> str:
    used = (tokens.completion or 0) if tokens else 0
    if cut_by_server(word, used, limit):
        after = f" after {used} of {limit} tokens" if used and limit else ""
        return f"the server's own limit ended the reply{after}, before any answer (finish reason {clean(str(word))!r})"
    return f"max_tokens ({limit}) was used up before the answer began"


def said_in_chat(received: Received, tokens: TokenUsage | None) -> tuple[Said, Mapping[str, Any]]:
    """What a Chat Completions reply says, and its choice. Raises AskFailed as ``concluded``, or MALFORMED."""
    choice = _choice(received, tokens)
    if received.filtered is not None:
        return _filtered(choice.get("message"), choice.get("finish_reason")), choice
    message = _message(choice)
    finish = finish_of(choice.get("finish_reason"), _native(choice))
    if message is None and finish.ending in (Ending.FILTERED, Ending.REFUSAL, Ending.ERROR):
        message = {}
    if message is None:
        wrong = "missing" if "message" not in choice else _what(choice["message"])
        raise malformed(
            f"`choices[0].message` is {wrong}; the choice has {names_of(choice)}",
            received.exchange,
            tokens,
            generated=True,
        )
    refusal = message.get("refusal")
    refused = refusal is True or _has_text(refusal) or finish.ending in (Ending.FILTERED, Ending.REFUSAL)
    parts = _content(message.get("content"), "choices[0].message.content", received, tokens, tolerant=refused)
    if not parts.text.strip():
        parts.texts = [_refusal(refusal)] if _has_text(refusal) else parts.refusals or parts.texts
        # Azure withholds the text of an answer, and some versions of its API name no finish reason then.
        refused = refused or any_filtered(choice.get("content_filter_results"))
    text_in = elsewhere(parts, message, choice, {n: v for n, v in received.body.items() if n != "choices"})
    said = concluded(received, tokens, parts, finish, refused=refused or bool(parts.refusals), text_in=text_in)
    return with_calls(said, message.get("tool_calls"), received), choice


def said_in_message(received: Received, tokens: TokenUsage | None) -> Said:
    """What a Messages reply says. Raises AskFailed as ``concluded``, or MALFORMED."""
    body, exchange = received.body, received.exchange
    if received.filtered is not None:
        return _filtered(body, body.get("stop_reason"))
    finish = finish_of(body.get("stop_reason"), body.get("native_finish_reason"))
    if body.get("content") is None and finish.ending not in (Ending.FILTERED, Ending.REFUSAL, Ending.ERROR):
        wrong = "missing" if "content" not in body else "null"
        detail = f"`content` is {wrong}; the reply has {names_of(body)}"
        raise malformed(detail, exchange, tokens, generated=_is_completion(body))
    refused = finish.ending in (Ending.FILTERED, Ending.REFUSAL)
    parts = _content(body.get("content"), "content", received, tokens, tolerant=refused)
    if parts.refusals and not parts.text.strip():
        parts.texts = parts.refusals
    refused = refused or bool(parts.refusals)
    said = concluded(received, tokens, parts, finish, refused=refused, text_in=elsewhere(parts, {}))
    said = with_calls(said, body.get("content"), received)
    return replace(said, finish_reason=FINISH_REASONS.get(said.finish_reason or "", said.finish_reason))


def with_calls(said: Said, calls: object, received: Received) -> Said:
    """An answer with its calls of tools as JSON, if the request offers tools: each with its name and arguments.

    ``calls``: the calls of Chat Completions, or the blocks of Messages.
    """
    if said.refusal or not received.exchange.request.get("tools") or not isinstance(calls, list):
        return said
    made = [call for one in calls if (call := _call(one)) is not None]
    if not made:
        return said
    text = json.dumps({"tool_calls": made}, ensure_ascii=False, sort_keys=True)
    return replace(said, text="\n".join(filter(None, (said.text, text))), text_in=None)


def _call(one: object) -> dict[str, Any] | None:
    if not isinstance(one, Mapping):
        return None
    if one.get("type") == "tool_use":
        return {"name": one.get("name"), "arguments": one.get("input")}
    function = one.get("function")
    if not isinstance(function, Mapping):
        return None
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):  # what is no JSON is compared as the model wrote it
            arguments = json.loads(arguments)
    return {"name": function.get("name"), "arguments": arguments}


def _content(content: object, where: str, received: Received, tokens: TokenUsage | None, *, tolerant: bool) -> Parts:
    """The parts of a content. A refusal needs no readable one."""
    try:
        return parts_of(content, where)
    except Odd as odd:
        if tolerant:
            return Parts([], [], [])
        raise malformed(str(odd), received.exchange, tokens, generated=True) from None
    except AskFailed as failed:
        failed.exchange, failed.tokens = received.exchange, tokens
        raise


def _choice(received: Received, tokens: TokenUsage | None) -> Mapping[str, Any]:
    body = received.body
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(choice, Mapping):
        return choice
    if received.filtered is not None:
        return {}
    if isinstance(choices, list) and choices:
        detail = f"`choices[0]` is {_what(choice)}"
    elif "choices" in body:
        detail = f"`choices` is {_what(choices)}"
    else:
        detail = f"`choices` is missing; the reply has {names_of(body)}{_dialect(body)}"
    raise malformed(detail, received.exchange, tokens, generated=_is_completion(body))


def _is_completion(body: Mapping[str, Any]) -> bool:
    """Whether a reply without a readable answer has one in it all the same, in this dialect or in another.

    Without choices, or with none in them, it may be that of a gateway whose model is away or still starting.
    """
    return bool(_dialect(body) or body.get("choices"))


def _dialect(body: Mapping[str, Any]) -> str:
    if body.get("type") == "message" or "stop_reason" in body:
        return ", as in Anthropic's Messages; set `kind: anthropic` for such a server"
    if "candidates" in body:
        return ", as in Gemini's own API; set `base_url` to its OpenAI-compatible one"
    return ", as in the Responses API, which is not read" if body.get("object") == "response" else ""


def _message(choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The message of a choice; of legacy completions its text, and of one chunk that is the whole reply its delta."""
    message = choice.get("message")
    if isinstance(message, Mapping):
        return message
    if message is None and isinstance(choice.get("text"), str):
        return {"content": choice["text"]}
    delta = choice.get("delta")
    if message is None and isinstance(delta, Mapping) and choice.get("finish_reason"):
        return delta
    return None


def _native(choice: Mapping[str, Any]) -> object:
    more = choice.get("provider_specific_fields")
    return choice.get("native_finish_reason") or (
        more.get("native_finish_reason") if isinstance(more, Mapping) else None
    )


def _filtered(holder: object, raw: object) -> Said:
    """A refusal that the reply tells as an error, with what it has of an answer."""
    content = holder.get("content") if isinstance(holder, Mapping) else None
    try:
        text = parts_of(content, "content").text
    except (Odd, AskFailed):
        text = ""
    finish = finish_of(raw)
    known = finish.ending in (Ending.FILTERED, Ending.REFUSAL)
    return Said(text, finish.word if known else CONTENT_FILTER, refusal=True)


def _refusal(raw: object) -> str:
    if isinstance(raw, str):
        return raw
    try:
        return parts_of(raw, "refusal").text
    except (Odd, AskFailed):
        return "" if isinstance(raw, bool) else json.dumps(raw, ensure_ascii=False)


def _what(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping | list) and not value:
        return "empty"
    if isinstance(value, Mapping):
        return "an object, not a list" if "message" in value or "0" in value else "an object"
    return {str: "a text", bool: "true or false", list: "a list"}.get(type(value), "a number")
