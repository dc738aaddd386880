"""Records that every source of production inputs yields, and the conversion of logged requests into messages."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from monitor.core.records import Message
from monitor.core.sources import Source


@dataclass(frozen=True, slots=True)
class Logged:
    """One logged request, not redacted yet."""

    messages: tuple[Message, ...]
    stratum: str


@dataclass(slots=True)
class Tally:
    """Counts of a source, updated while it is read."""

    read: int = 0
    """Requests inside the window that match ``where``."""
    malformed: int = 0
    """Lines that are not a JSON object, too long, or without a usable time or prompt; damaged files count once."""
    unsupported: int = 0
    """Requests that text alone cannot repeat: images, tool calls."""
    outside: int = 0
    """Requests that match ``where`` and are outside the window."""
    first_malformed: str | None = None
    """File and line number of the first malformed line, never its content."""

    def spoilt(self, place: str) -> None:
        """Count an unreadable ``place``."""
        self.malformed += 1
        self.first_malformed = self.first_malformed or place


@dataclass(frozen=True, slots=True)
class Window:
    """Requests from ``since`` until before ``until``; aware, ``None`` is open."""

    since: datetime | None
    until: datetime | None

    def holds(self, at: datetime) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


ReadSource = Callable[[Source, str | None, Window, Tally], Iterator[Logged]]
"""(settings, dotted path of the stratum, window, tally) -> requests, as a stream."""


class UnsupportedError(ValueError):
    """Text alone cannot repeat the request."""


_MISSING: Final = object()
NO_STRATUM: Final = "(none)"


def dig(record: Any, path: str) -> Any:
    """The value at a dotted path, or ``None``; a number is an index into a list.

    Keys may contain dots (``gen_ai.input.messages``): each step uses the longest matching key.
    """
    found = _dig(record, path.split("."))
    return None if found is _MISSING else found


def _dig(node: Any, parts: list[str]) -> Any:
    if not parts:
        return node
    if isinstance(node, list):
        index = int(parts[0]) if parts[0].isdecimal() and len(parts[0]) < 10 else len(node)
        return _dig(node[index], parts[1:]) if index < len(node) else _MISSING
    if isinstance(node, Mapping):
        for length in range(len(parts), 0, -1):
            key = ".".join(parts[:length])
            if key in node and (found := _dig(node[key], parts[length:])) is not _MISSING:
                return found
    return _MISSING


def logged(
    record: Mapping[str, Any], source: Source, stratify: str | None, window: Window, tally: Tally
) -> Logged | None:
    """The request in ``record``; ``None`` if ``where`` or the window excludes it. ``tally`` counts the latter.

    Raises ValueError if it is not valid, UnsupportedError if text cannot repeat it.
    """
    if any(as_text(dig(record, path)) != wanted for path, wanted in source.where.items()):
        return None
    if source.time is not None and not window.holds(instant(dig(record, source.time))):
        tally.outside += 1
        return None
    stratum = NO_STRATUM if stratify is None else as_text(dig(record, stratify))
    return Logged(_messages(record, source), stratum or NO_STRATUM)


def as_text(value: Any) -> str:
    """A value as text for ``where`` filters and strata: ``true``, ``3``, ``gpt-4o``; ``None`` is empty."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


_UNITS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""Larger than -> divisor: detects nano-, micro- and milliseconds by size; seconds reach 1e11 in the year 5138."""


def instant(value: Any) -> datetime:
    """ISO 8601 text (UTC without an offset) or Unix time as an aware datetime. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("no time")
    try:
        seconds = _number(value)
        if seconds is None:
            at = datetime.fromisoformat(str(value))
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return datetime.fromtimestamp(
            seconds / next((divisor for larger, divisor in _UNITS if abs(seconds) > larger), 1), UTC
        )
    except (OverflowError, OSError) as error:
        raise ValueError(f"no time: {error}") from None


def _number(value: str | int | float) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _messages(record: Mapping[str, Any], source: Source) -> tuple[Message, ...]:
    found = _unpacked(dig(record, source.messages))
    if found is None or found == []:
        prompt = dig(record, source.prompt) if source.prompt else None
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError("no messages and no prompt")
        return (Message("user", prompt),)
    if isinstance(found, str):
        messages = [Message("user", found)]
    elif isinstance(found, list):
        messages = [message for item in found if (message := _message(item)) is not None]
    else:
        raise ValueError("messages are not a list")
    system = _system(record, source.messages)
    if system and all(message.role != "system" for message in messages):
        messages.insert(0, Message("system", system))
    # A log may contain the answer after the request. The question must end with the user's message.
    while messages and messages[-1].role == "assistant":
        messages.pop()
    if not any(message.role == "user" and message.content.strip() for message in messages):
        raise ValueError("no user message")
    return tuple(messages)


def _unpacked(value: Any) -> Any:
    """Parses messages that are logged as JSON in a string (Langfuse, OpenTelemetry)."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _system(record: Mapping[str, Any], path: str) -> str:
    """Anthropic's ``system`` or OpenAI's ``instructions``, which are next to the messages."""
    parent = path.rpartition(".")[0]
    holder = dig(record, parent) if parent else record
    if not isinstance(holder, Mapping):
        return ""
    value = holder.get("system") or holder.get("instructions")
    return _text(value) if isinstance(value, str | list) else ""


_ROLES: Final[Mapping[str, Literal["system", "user", "assistant"]]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}
_TEXT_BLOCKS: Final = frozenset({"text", "input_text", "output_text"})
_SILENT_BLOCKS: Final = frozenset({"thinking", "redacted_thinking", "reasoning"})


def _message(item: Any) -> Message | None:
    if not isinstance(item, Mapping):
        raise ValueError("a message is not an object")
    if item.get("tool_calls") or item.get("function_call"):
        raise UnsupportedError("a tool call")
    role = str(item.get("role"))
    if role in ("tool", "function"):
        raise UnsupportedError("a tool's result")
    if role not in _ROLES:
        if item.get("type") in _SILENT_BLOCKS:
            return None
        raise ValueError(f"unknown role {role[:40]!r}")
    return Message(_ROLES[role], _text(item.get("content", item.get("parts"))))


def _text(content: Any) -> str:
    """Text of OpenAI's and Anthropic's content: a text, or joined text blocks."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise ValueError("content is neither text nor blocks")
    return "\n".join(text for block in content if (text := _block(block)) is not None)


def _block(block: Any) -> str | None:
    if isinstance(block, str):
        return block
    if not isinstance(block, Mapping):
        raise ValueError("a content block is not an object")
    kind = block.get("type", "text")
    if kind in _SILENT_BLOCKS:
        return None
    if kind not in _TEXT_BLOCKS:
        raise UnsupportedError(f"a {str(kind)[:40]} block")
    text = block.get("text", block.get("content"))
    if not isinstance(text, str):
        raise ValueError("a text block without text")
    return text
