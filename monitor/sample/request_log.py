"""Records that every source of production inputs yields, and the conversion of logged requests into messages."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from monitor.core.records import LeftOutReason, Message
from monitor.core.sources import Source
from monitor.sample import dialects
from monitor.sample.envelopes import unwrapped
from monitor.sample.instants import instant
from monitor.sample.left_out import LeftOutError, kind_of
from monitor.sample.tally import Tally

__all__ = ["NO_STRATUM", "Logged", "ReadSource", "Tally", "Window", "as_text", "dig", "instant", "logged", "matches"]


@dataclass(frozen=True, slots=True)
class Logged:
    """One logged request, not redacted yet."""

    messages: tuple[Message, ...]
    stratum: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the request, if they are asked too."""
    subject: str = ""
    """The person, from ``production.subject_key``; empty without one."""


AHEAD: Final = timedelta(hours=1)
"""A request logged further ahead of the present than this has a wrong time."""


@dataclass(frozen=True, slots=True)
class Window:
    """Requests from ``since`` until before ``until``; aware, ``None`` is open."""

    since: datetime | None
    until: datetime | None
    now: datetime | None = None
    """The present, to tell times in the future from times after the window."""

    def outside(self, at: datetime) -> LeftOutReason | None:
        """Why a request at ``at`` is outside the window; ``None`` if it is inside."""
        if self.since is not None and at < self.since:
            return LeftOutReason.BEFORE
        if self.now is not None and at > self.now + AHEAD:
            return LeftOutReason.FUTURE
        return LeftOutReason.AFTER if self.until is not None and at >= self.until else None


ReadSource = Callable[[Source, str | None, Window, Tally], Iterator[Logged]]
"""(settings, dotted path of the stratum, window, tally) -> requests, as a stream.

The reader counts every request: with ``tally.read += 1`` what it yields, with ``tally.leave`` what it leaves out.
"""

_MISSING: Final = object()
_KEY: Final = re.compile(r"[A-Za-z_@][\w.@-]{0,30}")
_MOST_KEYS: Final = 8
"""Keys of a record that are named if nothing is at a path."""

NO_STRATUM: Final = "(none)"


def dig(record: Any, path: str) -> Any:
    """The value at a dotted path, or ``None``; a number is an index into a list.

    Keys may contain dots (``gen_ai.input.messages``): each step uses the longest matching key. A text on the way that
    is JSON is read as what it holds.
    """
    found = _at(record, path)
    return None if found is _MISSING else found


def _at(record: Any, path: str) -> Any:
    if type(record) is dict and path in record:
        return record[path]
    return _dig(record, path.split("."))


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
    if isinstance(node, str):
        inner = _inside(node)
        return _MISSING if inner is None else _dig(inner, parts)
    return _MISSING


def _inside(text: str) -> Any:
    """The list or mapping that a text holds as JSON, also as JSON in a JSON string; ``None`` if it holds another."""
    inner: Any = text
    for _ in range(3):
        if not isinstance(inner, str) or inner.lstrip()[:1] not in ("{", "[", '"'):
            break
        try:
            inner = json.loads(inner)
        except (ValueError, RecursionError):
            return None
    return inner if isinstance(inner, list | Mapping) else None


def logged(
    record: Mapping[str, Any], source: Source, stratify: str | None, window: Window, tally: Tally
) -> Logged | None:
    """The request in ``record``; ``None`` if ``where`` or the window excludes it, which ``tally`` counts.

    Raises LeftOutError if it cannot be asked.
    """
    found = _at(record, source.messages)
    if found is _MISSING:
        record = unwrapped(record)
        found = _at(record, source.messages)
    if not matches(record, source):
        tally.filtered += 1
        return None
    if source.time is not None and (reason := window.outside(_time(record, source.time))) is not None:
        tally.leave(reason)
        return None
    stratum = NO_STRATUM if stratify is None else as_text(dig(record, stratify))
    messages, parameters, path = _request(record, found, source, whole=tally.whole)
    tally.mapped(path, source.time, stratify if stratum else None)
    subject = "" if tally.subject_key is None else as_text(dig(record, tally.subject_key))
    return Logged(messages, stratum or NO_STRATUM, parameters, subject)


def matches(record: Mapping[str, Any], source: Source) -> bool:
    """Whether a record has every value of ``where``."""
    return not source.where or all(as_text(dig(record, path)) == wanted for path, wanted in source.where.items())


def _time(record: Mapping[str, Any], path: str) -> datetime:
    value = dig(record, path)
    try:
        return instant(value)
    except (ValueError, RecursionError):
        where = _stopped(record, path) if value is None else f"no time at `{path}` (found {kind_of(value)})"
        raise LeftOutError(LeftOutReason.NO_TIME, where) from None


def as_text(value: Any) -> str:
    """A value as text for ``where`` filters and strata: ``true``, ``3``, ``gpt-4o``; ``None`` is empty."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


DIALECT_KEYS: Final = ("contents", "prompt", "body", "request", "input", "params", "proxy_server_request")
"""Keys of a whole request or of its messages in other dialects, where the configuration names no path of its own."""


def _request(
    record: Mapping[str, Any], found: Any, source: Source, *, whole: bool
) -> tuple[tuple[Message, ...], Mapping[str, Any], str]:
    """The messages of a request, with ``whole`` its parameters, and the path where the messages are."""
    read = dialects.whole if whole else lambda *given: (dialects.messages(*given), {})
    empty = found is _MISSING or found is None or found == [] or found == ""
    if empty and source.prompt is not None:
        return _prompt(record, source.prompt), {}, source.prompt
    elsewhere = source.messages == "messages" and record.get("proxy_server_request")
    if found is _MISSING or (elsewhere and found in ({}, "{}", [], "[]", "", None)):
        # LiteLLM keeps the body apart and leaves `messages` empty
        found, path = _of_dialect(record, source)
        return (*read(found, record, source.messages), path)
    holder = _holder(record, source.messages)
    return (*read(found, holder if isinstance(holder, Mapping) else {}, source.messages), source.messages)


def _holder(record: Mapping[str, Any], path: str) -> Any:
    """What stands beside the messages: system prompt and tools."""
    if path.endswith("gen_ai.input.messages"):
        prefix = path.removesuffix("input.messages")
        return {
            "system": dig(record, f"{prefix}system_instructions"),
            "tools": dig(record, f"{prefix}tool.definitions"),
        }
    if path.endswith("llm.input_messages"):
        prefix = path.removesuffix("input_messages")
        return {"tools": dig(record, f"{prefix}tools") or dig(record, f"{prefix}invocation_parameters.tools")}
    parent = path.rpartition(".")[0]
    return dig(record, parent) if parent else record


def _of_dialect(record: Mapping[str, Any], source: Source) -> tuple[Any, str]:
    """What holds the messages if nothing is at the configured path, and its key. Raises LeftOutError if nothing does.

    Only without a configured path: whoever names a path means that path.
    """
    if source.messages == "messages":
        for key in DIALECT_KEYS:
            value = record.get(key)
            if not value or (key == "input" and not _is_conversation(value, record)):
                continue
            if key == "prompt" and isinstance(value, list) and len(value) == 1:
                value = value[0]  # the completions API takes a list of prompts
            if key == "prompt" and isinstance(value, Mapping) and "id" in value:
                raise LeftOutError(LeftOutReason.STATE_ELSEWHERE, "a prompt template that the provider keeps")
            if isinstance(value, Mapping) or key in ("contents", "prompt", "input", "proxy_server_request"):
                return value, key
    raise LeftOutError(LeftOutReason.NO_MESSAGES, _stopped(record, source.messages))


def _is_conversation(value: Any, record: Mapping[str, Any]) -> bool:
    """Whether ``input`` is that of the Responses API or holds messages: other APIs use the same key."""
    if isinstance(value, list):
        return all(isinstance(one, Mapping) for one in value)
    return isinstance(value, Mapping) or any(key in record for key in ("instructions", "max_output_tokens"))


def _prompt(record: Mapping[str, Any], path: str) -> tuple[Message, ...]:
    prompt = dig(record, path)
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt.strip():
        raise LeftOutError(
            LeftOutReason.NO_MESSAGES, f"no messages and no prompt at `{path}` (found {kind_of(prompt)})"
        )
    return dialects.messages([{"role": "user", "content": prompt}], {}, path)


def _stopped(record: Mapping[str, Any], path: str) -> str:
    """Why there is nothing at ``path``: the first part that is missing, or that is a text without JSON."""
    parts = path.split(".")
    for length in range(1, len(parts)):
        node = _dig(record, parts[:length])
        if isinstance(node, str) and _inside(node) is None:
            return f"nothing at `{path}` (`{'.'.join(parts[:length])}` is a text that is not JSON)"
        if node is not _MISSING and not isinstance(node, list | Mapping | str):
            return f"nothing at `{path}` (`{'.'.join(parts[:length])}` is {kind_of(node)})"
    keys = [key for key in record if isinstance(key, str) and _KEY.fullmatch(key)][:_MOST_KEYS]
    return f"nothing at `{path}` (found the keys {', '.join(keys)})" if keys else f"nothing at `{path}`"
