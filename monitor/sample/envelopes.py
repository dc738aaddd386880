"""Opens what log collectors put around a request: Docker, CRI, Fluent Bit, journald, prefixes, arrays, JSON in JSON."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from monitor.core.records import LeftOutReason
from monitor.sample import markers
from monitor.sample.left_out import LeftOutError

WRAPPERS: Final = (
    "log", "message", "msg", "MESSAGE", "jsonPayload", "textPayload", "line", "event", "body", "@message", "_raw",
    "payload", "data", "record", "json",
)  # fmt: skip
"""Keys under which collectors keep the line of an application."""

_CRI: Final = re.compile(r"(\d{4}-\d\d-\d\dT\S{8,30}) (stdout|stderr) ([PF])(?::\S+)? ?(.*)", re.DOTALL)
_PREFIX_END: Final = frozenset(" \t:|=],>-")
_LONGEST_PREFIX: Final = 512
_FLUENT_BIT: Final = re.compile(r"(?:[\w./*@-]{1,200}: )?\[\s?\[?([\d.]{9,24})(?:, \{\}\])?, ?(\{.*\})\]", re.DOTALL)
"""``TAG: [TIME, {...}]``: Fluent Bit's output ``file``."""

_DOCKER: Final = frozenset({"log", "stream", "time", "attrs"})


@dataclass(slots=True)
class Joiner:
    """Joins the parts of long lines that Docker (at 16 KiB) and CRI write as lines of their own."""

    max_chars: int
    _parts: dict[str, list[str] | None] = field(default_factory=dict)
    """Stream -> the parts so far; ``None`` if they are too long."""

    def whole(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """The record with its whole line; ``None`` if a later line completes it. Raises LeftOutError if too long."""
        stream, text = str(record.get("stream")), record["log"]
        partial = record.get("logtag") == "P" if "logtag" in record else _is_part(record, text)
        if not partial and stream not in self._parts:
            return _opened(record, text)
        parts = self._parts.get(stream, [])
        if parts is not None:
            parts = [*parts, text] if sum(map(len, parts)) + len(text) <= self.max_chars else None
        self._parts[stream] = parts
        if partial:
            return None
        del self._parts[stream]
        if parts is None:
            raise LeftOutError(LeftOutReason.LINE_TOO_LONG, f"more than {self.max_chars:,} characters")
        return _opened(record, "".join(parts))

    def rest(self) -> int:
        """Number of lines whose last part is missing."""
        return len(self._parts)


def _is_part(record: dict[str, Any], text: str) -> bool:
    return "time" in record and not text.endswith("\n") and record.keys() <= _DOCKER


def _opened(record: dict[str, Any], text: str) -> dict[str, Any]:
    """The record with the application's own keys beside the collector's, which come first."""
    inner = _object(text)
    return {**record, "log": text.rstrip("\n")} if inner is None else {**inner, **record, "log": inner}


def _object(text: str) -> dict[str, Any] | None:
    bare = text.strip()
    if bare[:1] != "{":
        return None
    try:
        found = json.loads(bare)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def unwrapped(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record with the keys of an application's line that a collector keeps under one key. The record's come first.

    A record without such a line is returned as it is.
    """
    for _ in range(2):
        for key in WRAPPERS:
            inner = _line_under(record.get(key))
            if inner:
                record = {**inner, **record, key: inner}
                break
    return record


def _line_under(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, list) and value and all(type(one) is int and 0 <= one < 256 for one in value):
        value = bytes(value).decode("utf-8", "replace")  # journald writes texts that are not UTF-8 as numbers
    if isinstance(value, str):
        return _object(value)
    return value if isinstance(value, Mapping) else None


def odd(text: str) -> Iterator[dict[str, Any]]:
    """The records in a line that is no JSON object. Raises LeftOutError if there are none."""
    bare = text.strip("\0 \t\r\n\ufeff")
    if cri := _CRI.fullmatch(bare):
        time, stream, tag, log = cri.groups()
        yield {"time": time, "stream": stream, "logtag": tag, "log": log}
        return
    if fluent := _FLUENT_BIT.fullmatch(bare):
        found: Any = _object(fluent[2])
        if found is not None:
            yield {"time": float(fluent[1]), **found}
            return
    for candidate in _candidates(bare):
        found = _value(candidate)
        if found is not None:
            yield from _records(found)
            return
    raise LeftOutError(LeftOutReason.NOT_JSON, _what(bare))


def _candidates(bare: str) -> Iterator[str]:
    """Texts that may be the JSON of the line: the line, an element of an array, the line after a prefix."""
    yield bare
    if bare[-1:] in (",", "]") or bare[:1] == "[":
        yield bare.removeprefix("[").removesuffix(",").removesuffix("]").strip()
    at = bare.find("{")
    if 0 < at <= _LONGEST_PREFIX and _is_prefix(bare[:at]):
        yield bare[at:]


def _is_prefix(text: str) -> bool:
    """Whether a collector may have written ``text`` before the JSON, as in ``[pod/a/b] {`` and ``web-1  | {``."""
    if text[0] in "[(":
        return text[-1] in " \t" and ("]" in text or ")" in text)
    return text[-1] in _PREFIX_END and text[0] not in "{\"'"


def _value(text: str) -> Any:
    if text[:1] not in ("{", "[", '"', "(") and not text[:1].isalnum():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if text[:2] not in ("{'", "[{"):
        return None
    try:
        return markers.literal(text)
    except ValueError:
        return None


def _records(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, str):
        inner = _object(found)
        found = found if inner is None else inner
    if isinstance(found, dict):
        yield found
    elif isinstance(found, list) and found and all(isinstance(one, dict) for one in found):
        yield from found
    elif isinstance(found, list) and not found:
        return
    else:
        raise LeftOutError(LeftOutReason.NOT_OBJECT, "JSON that is not an object")


def _what(bare: str) -> str:
    """What the line seems to be, to say what to do."""
    if bare[:1] == "{":
        try:
            json.loads(bare)
        except json.JSONDecodeError as error:
            if markers.ends_early(error, bare):
                return "JSON that ends early: JSON over several lines, or a line that was cut"
            if bare[: error.pos].rstrip()[-1:] == ",":
                return "JSON with a comma before a closing bracket"
            if bare[error.pos : error.pos + 1] == "'":
                return "JSON with single quotes that is no Python literal"
            if markers.goes_on(error):
                return "text after the JSON: two requests in one line, or a line that was overwritten"
        except (ValueError, RecursionError):
            return "JSON that is nested too deeply or has a number that is too long"
        return "JSON with an error"
    if not bare.isprintable() and bare.count("\ufffd") + bare.count("\0") > len(bare) // 10:
        return "no text: the file is binary or in another encoding"
    if '"' in bare and bare[-1:] in (",", "}", "]", "{", "["):
        return "a part of JSON that is written over several lines"
    return "a text that is not JSON"
