"""From the body of a reply to one JSON value: junk around it, values that are given twice, and unasked streams."""

import codecs
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from monitor.ask.usage import Twice, is_count

DEEPEST: Final = 100
"""Maximum levels of objects and lists in a reply."""
_EVENT_LINE: Final = re.compile(r"(data|event|id|retry)?:")
_GAP: Final = re.compile(r"[\s,]*")
_CRITICAL: Final = frozenset((
    "choices", "message", "content", "text", "finish_reason", "stop_reason", "refusal", "delta",
))  # fmt: skip
"""Fields that decide what the answer is. Two different values of one of them cannot both be right."""


class Unreadable(ValueError):
    """The body is not one reply. The message says why."""


@dataclass(frozen=True, slots=True)
class Body:
    value: Any
    streamed: bool = False
    """The server sent a stream, which was not requested; ``value`` is put together from its events."""


def read_body(text: str) -> Body:
    """The reply in a body: JSON, JSON between comments or junk, or a stream of events.

    Raises:
        Unreadable: not JSON, nested too deeply, cut, or more than one reply.
    """
    stripped = text.lstrip("\ufeff \t\r\n\x00").rstrip("\ufeff \t\r\n\x00")
    if not stripped:
        raise Unreadable("the reply is empty")
    try:
        if stripped[0] in "{[":
            body = _read_values(stripped)
        elif _EVENT_LINE.match(stripped):
            body = _read_events(stripped)
        else:
            body = Body(loads(stripped))
    except RecursionError:
        raise Unreadable("the reply is nested too deeply") from None
    if _depth(body.value) > DEEPEST:
        # Whoever reads or stores it later may have less room for recursion than the parser.
        raise Unreadable(f"the reply is nested more than {DEEPEST} levels deep")
    return body


def _depth(value: Any) -> int:
    """Levels of objects and lists, counted up to one more than ``DEEPEST``."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        level = [
            one
            for holder in level
            for one in (holder.values() if isinstance(holder, dict) else holder if isinstance(holder, list) else ())
            if isinstance(one, dict | list)
        ]
        depth += 1
    return depth


def loads(text: str) -> Any:
    """Parse JSON. NaN and infinity become ``None``. Of a field that is given twice, an empty value counts for nothing,
    objects are merged, and the larger number counts. Counts of tokens keep all their values, because they are billed.

    Raises:
        ValueError: not JSON, or a field that decides what the answer is has two different values.
        RecursionError: nested too deeply.
    """
    return _decoder(text).decode(text)


def _decoder(text: str) -> json.JSONDecoder:
    """The decoder for a text. To look at every object of a long one takes as long as to parse it twice, so that is
    done only where a field that matters occurs more often than in any one reply."""
    if len(text) <= _SHORT:
        return _DECODER
    # Log-probabilities have a `content` of their own.
    often = (text.count(f'"{name}"') > (2 if name == "content" else 1) for name in (*_CRITICAL, *_COUNTED))
    return _DECODER if any(often) else _FAST


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    found = {}
    for name, value in pairs:
        found[name] = _either(name, found[name], value) if name in found else value
    return found


def _either(name: str, first: Any, second: Any) -> Any:
    if first == second or second in (None, "", [], {}):
        return first
    if first in (None, "", [], {}):
        return second
    if isinstance(first, dict) and isinstance(second, dict):
        return _object([*first.items(), *second.items()])
    if is_count(name):
        return Twice([*(first if isinstance(first, Twice) else [first]), second])
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in (first, second)):
        return max(first, second)
    if name == "error":
        return [first, second]
    # An error has a text as its `message`.
    if name in _CRITICAL and not (name == "message" and isinstance(first, str) and isinstance(second, str)):
        raise Unreadable(f"the reply has two different values of `{name}`")
    return second


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=lambda _: None)
_FAST: Final = json.JSONDecoder(parse_constant=lambda _: None)
_SHORT: Final = 2**16
"""Characters of a text whose objects are all looked at."""
_COUNTED: Final = ("usage", "error", "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "model")


def _read_values(text: str) -> Body:
    """The first JSON value; more of them are the lines of a stream, and other text after it is ignored."""
    values: list[Any] = []
    at = 0
    decoder = _decoder(text)
    while at < len(text) and text[at] in "{[":
        try:
            value, at = decoder.raw_decode(text, at)
        except Unreadable:
            raise
        except ValueError as error:
            if values:
                break
            where = f" at character {error.pos:,}" if isinstance(error, json.JSONDecodeError) else ""
            raise Unreadable(f"the reply is not JSON, or it was cut{where}") from None
        values.append(value)
        at = _GAP.match(text, at).end()  # type: ignore[union-attr] # it matches an empty text, too
    if len(values) == 1:
        return Body(values[0])
    return Body(joined([(None, value) for value in values], ended=False), streamed=True)


def _read_events(text: str) -> Body:
    """Server-sent events. Comments before one JSON value keep a connection alive."""
    rest = re.sub(r"\A(?:\s*:[^\n]*(?:\n|\Z))+\s*", "", text)
    if rest[:1] in ("{", "["):
        return _read_values(rest)
    events: list[tuple[str | None, Any]] = []
    ended = False
    for name, data in _events(rest):
        if data.strip() == "[DONE]":
            ended = True
            continue
        try:
            events.append((name, loads(data)))
        except Unreadable:
            raise
        except ValueError:
            # The text of an error, or an event that was cut.
            events.append((name or "error", {"error": data}))
    if not events:
        raise Unreadable("the reply is an event stream without events")
    return Body(joined(events, ended=ended), streamed=True)


def _events(text: str) -> Iterator[tuple[str | None, str]]:
    name: str | None = None
    data: list[str] = []
    for line in [*re.split(r"\r\n|\n|\r", text), ""]:
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "data":
            # Some servers leave out the empty line between events.
            if len(data) == 1 and _whole(data[0]):
                yield name, data[0]
                name, data = None, []
            data.append(value)
        elif key == "event":
            name = value.strip()
        elif not line.strip():
            if data:
                yield name, "\n".join(data)
            name, data = None, []


def _whole(data: str) -> bool:
    try:
        loads(data)
    except (ValueError, RecursionError):
        return data.strip() == "[DONE]"
    return True


def joined(events: list[tuple[str | None, Any]], *, ended: bool) -> dict[str, Any]:
    """One reply from the events of a stream of Chat Completions or Messages.

    An event with an error is the reply, because the text before it is not an answer.

    Raises:
        Unreadable: the stream was cut, has two replies or unknown events.
    """
    for name, value in events:
        if name == "error" or (isinstance(value, dict) and (value.get("error") or value.get("type") == "error")):
            return value if isinstance(value, dict) and value.get("error") else {"error": value}
    values = [value for _, value in events if isinstance(value, dict)]
    whole = [value for value in values if _is_whole(value)]
    if whole:
        if any(value != whole[0] for value in whole):
            raise Unreadable("the server sent more than one reply")
        return whole[0]
    if any(value.get("type") == "message_start" for value in values):
        return _messages(values)
    if any(isinstance(value.get("choices"), list) for value in values):
        return _chat(values, ended=ended)
    raise Unreadable("the server streams although not asked to, in events that are not known")


def _is_whole(value: Mapping[str, Any]) -> bool:
    choice = _first(value.get("choices"))
    return isinstance(choice.get("message"), dict) or (value.get("type") == "message" and "content" in value)


def _first(value: Any) -> dict[str, Any]:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}


_CUT: Final = "the server streams although not asked to, and the stream was cut"


@dataclass(slots=True)
class _Message:
    """A message that grows with each delta."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    logprobs: list[Any] = field(default_factory=list)
    ends: dict[str, Any] = field(default_factory=dict)

    def add(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta")
        for name, value in (delta if isinstance(delta, dict) else {"content": choice.get("text")}).items():
            if isinstance(value, str) and name != "role":
                self.texts.setdefault(name, []).append(value)
            elif isinstance(value, list):
                held = self.others.setdefault(name, [])
                if isinstance(held, list):
                    held.extend(value)
            elif value is not None:
                self.others[name] = value
        tokens = choice.get("logprobs")
        if isinstance(tokens, dict) and isinstance(tokens.get("content"), list):
            self.logprobs += tokens["content"]
        self.ends |= {
            name: choice[name]
            for name in ("finish_reason", "native_finish_reason", "error", "content_filter_results")
            if choice.get(name) is not None
        }

    def choice(self) -> dict[str, Any]:
        parts = {name: "".join(pieces) for name, pieces in self.texts.items()}
        if isinstance(self.others.get("content"), list) and parts.get("content"):
            raise Unreadable("the stream mixes texts and lists in `delta.content`")
        message = {"role": "assistant", "content": None, **self.others, **parts}
        logprobs = {"content": self.logprobs} if self.logprobs else None
        return {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": None, **self.ends}


def _chat(values: list[dict[str, Any]], *, ended: bool) -> dict[str, Any]:
    message, head = _Message(), dict[str, Any]()
    for value in values:
        head |= {name: one for name, one in value.items() if name != "choices" and one is not None}
        choice = _first(value.get("choices"))
        if choice.get("index") in (None, 0):
            message.add(choice)
    if not ended and not message.ends.get("finish_reason"):
        raise Unreadable(_CUT)
    return head | {"choices": [message.choice()]}


def _messages(values: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    blocks: dict[Any, dict[str, Any]] = {}
    ended = False
    for value in values:
        kind, delta = value.get("type"), value.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        if kind == "message_start" and isinstance(value.get("message"), dict):
            whole = dict(value["message"])
        elif kind == "content_block_start" and isinstance(value.get("content_block"), dict):
            blocks[value.get("index")] = dict(value["content_block"])
        elif kind == "content_block_delta":
            block = blocks.setdefault(value.get("index"), {"type": "text"})
            for name in ("text", "thinking", "partial_json"):
                if isinstance(delta.get(name), str):
                    block[name] = str(block.get(name) or "") + delta[name]
        elif kind == "message_delta":
            usage = value.get("usage")
            old = whole.get("usage")
            whole |= {name: one for name, one in delta.items() if one is not None}
            whole["usage"] = {**(old if isinstance(old, dict) else {}), **(usage if isinstance(usage, dict) else {})}
        ended = ended or kind == "message_stop"
    if not ended and not whole.get("stop_reason"):
        raise Unreadable(_CUT)
    return whole | {"content": list(blocks.values())}


def decoded(body: bytes, content_type: str, largest: int) -> str:
    """The text of a body, whatever its encoding. Bytes that are not valid become replacement characters.

    Unpacks a gzip body that no header declares, up to ``largest`` bytes.
    """
    if body.startswith(b"\x1f\x8b\x08"):
        body = _unpacked(body, largest)
    for mark, encoding in _MARKS.items():
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    try:
        return body.decode()
    except UnicodeDecodeError:
        declared = re.search(r"charset\s*=\s*[\"']?([\w.:-]+)", content_type, re.IGNORECASE)
        if declared and declared[1].lower() in _ENCODINGS:
            return body.decode(declared[1], "replace")
        return body.decode("utf-8", "replace")


_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_ENCODINGS: Final = frozenset(("iso-8859-1", "latin1", "latin-1", "windows-1252", "cp1252", "iso-8859-15", "gbk",
                               "gb2312", "gb18030", "shift_jis", "euc-jp", "euc-kr", "big5", "koi8-r", "utf-16",
                               "utf-16le", "utf-16be", "utf-32"))  # fmt: skip


def _unpacked(body: bytes, largest: int) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(body, largest)
    except zlib.error:
        return body
