"""A process that reads and redacts pushed inputs: ``python -m monitor.sample.push_process BYTES``.

Hostile bodies can cost this process its time or memory, not the daemon. The system ends it when one body uses more than
``CPU_SECONDS``; then the daemon starts another. It has no key in its environment, and keeps nothing of a body.

A frame on standard input or output is the length of a JSON value and that of a body (8 bytes each), then both.
"""

import json
import signal
import sys
import zlib
from collections.abc import Iterator, Mapping
from hashlib import blake2b, sha256
from typing import Any, BinaryIO, Final, cast

from monitor.core.kinds import load
from monitor.core.records import LeftOutReason
from monitor.core.sanitize import visible
from monitor.core.sources import SOURCES, Source
from monitor.sample import identity_of, redacted
from monitor.sample.instants import instant
from monitor.sample.left_out import LeftOutError, kind_of
from monitor.sample.pushed import BodyError, ReadBody, Record, Result
from monitor.sample.request_log import Tally, Window, dig, logged

CPU_SECONDS: Final = 10.0
"""CPU time for one body."""

MAX_BODY_BYTES: Final = 16 * 2**20
"""Bytes of a body, before and after decompression."""

MAX_INPUT_CHARS: Final = 2**20
"""Characters of one input."""

STRATUM: Final = "stratum"
"""Path of the stratum if the configuration has no ``stratify``."""

_OPEN: Final = Window(None, None)


class Rules:
    """The targets that take inputs of one kind, with the settings of their sources."""

    def __init__(self, kind: str, targets: Mapping[str, Mapping[str, Any]]) -> None:
        entry = SOURCES[kind]
        self.read = cast(ReadBody, load(entry.read))
        self.targets: dict[str, tuple[Source, str | None, str]] = {}
        """Name -> (its source without ``time``, the path of the time, the path of the stratum)."""
        for name, given in targets.items():
            source = entry.settings.model_validate(given["source"])
            undated = source.model_copy(update={"time": None})
            self.targets[name] = (undated, source.time, given["stratify"] or STRATUM)


def process(rules: Rules, body: bytes, content_type: str, encoding: str) -> dict[str, Any]:
    """What is in a body: results by target, and records that are no input. ``error``: [status, text] instead."""
    try:
        plain = unpacked(body, encoding)
        results: list[dict[str, Any]] = []
        invalid: list[list[Any]] = []
        count = 0
        for count, record in enumerate(rules.read(plain, content_type), 1):
            if record.problem or (record.target is not None and record.target not in rules.targets):
                problem = record.problem or "the target is not configured with this kind of source"
                invalid.append([count - 1, record.id, problem])
            else:
                results += _results(rules, count - 1, record)
    except BodyError as error:
        return {"error": [error.status, str(error)]}
    except MemoryError:
        return {"error": [413, "the body needs too much memory; send fewer inputs in one request"]}
    return {"records": count, "results": results, "invalid": invalid}


def unpacked(body: bytes, encoding: str) -> bytes:
    """The body without its compression. Raises BodyError."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise BodyError(415, f"send Content-Encoding gzip or none, not {encoding[:40]}")
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = inflate.decompress(body, MAX_BODY_BYTES)
    except zlib.error:
        raise BodyError(400, f"the body is not {encoding}") from None
    if inflate.unconsumed_tail:
        raise BodyError(413, f"the body has more than {MAX_BODY_BYTES >> 20} MiB after decompression")
    if not inflate.eof:
        raise BodyError(400, f"the {encoding} body is not complete")
    return plain


def _results(rules: Rules, index: int, record: Record) -> Iterator[dict[str, Any]]:
    id_hash = blake2b(record.id.encode("utf-8", "replace"), digest_size=8).hexdigest()
    for name in rules.targets if record.target is None else (record.target,):
        source, time, stratify = rules.targets[name]
        found = {"target": name, "index": index, "id_hash": id_hash, "place": visible(record.place, 100)}
        found |= {"id": record.id, "at": None}
        try:
            yield found | _result(record, source, time, stratify)
        except LeftOutError as error:
            text = sha256(error.text.encode("utf-8", "replace")).hexdigest()[:16] if error.text else ""
            left = {"result": Result.LEFT_OUT, "reason": error.reason, "detail": error.detail, "text": text}
            yield found | left


def _result(record: Record, source: Source, time: str | None, stratify: str) -> dict[str, Any]:
    """Raises LeftOutError."""
    try:
        request = logged(record.body, source, stratify, _OPEN, Tally())
        if request is None:
            return {"result": Result.FILTERED}
        if record.left is not None:
            raise LeftOutError(*record.left)
        at = _time(record.body, time)
    except LeftOutError:
        raise
    except (ValueError, RecursionError):
        raise LeftOutError(LeftOutReason.BAD_CONTENT, "a structure that cannot be read") from None
    if sum(len(message.content) for message in request.messages) > MAX_INPUT_CHARS:
        raise LeftOutError(LeftOutReason.LINE_TOO_LONG, f"an input of more than {MAX_INPUT_CHARS:,} characters")
    item, stratum = redacted(request)
    identity = identity_of(item).hex()
    return {"result": Result.ACCEPTED, "at": at, "stratum": stratum, "item": item, "identity": identity}


def _time(record: Mapping[str, Any], path: str | None) -> str | None:
    """The time of a request; ``None`` if it has none. Raises LeftOutError."""
    value = None if path is None else dig(record, path)
    if value is None:
        return None
    try:
        return instant(value).isoformat()
    except (ValueError, RecursionError):
        raise LeftOutError(LeftOutReason.NO_TIME, f"no time at `{path}` (found {kind_of(value)})") from None


def frame(head: Mapping[str, Any], body: bytes = b"") -> bytes:
    """The bytes of one frame."""
    given = json.dumps(head).encode()
    return len(given).to_bytes(8, "big") + len(body).to_bytes(8, "big") + given + body


def _frames(stream: BinaryIO) -> Iterator[tuple[dict[str, Any], bytes]]:
    while len(lengths := stream.read(16)) == 16:
        head = stream.read(int.from_bytes(lengths[:8], "big"))
        yield json.loads(head), stream.read(int.from_bytes(lengths[8:], "big"))


def main() -> None:
    """Answer frames until standard input ends. A frame with ``targets`` replaces the rules of its kind."""
    rules: dict[str, Rules] = {}
    _limit_memory(int(sys.argv[1]))
    for head, body in _frames(sys.stdin.buffer):
        if "targets" in head:
            rules[head["kind"]] = Rules(head["kind"], head["targets"])
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # without a handler, its signal ends the process
        reply = process(rules[head["kind"]], body, head["type"], head["encoding"])
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        sys.stdout.buffer.write(frame(reply))
        sys.stdout.buffer.flush()


def _limit_memory(more: int) -> None:
    """Limit the address space to what the process has now and ``more`` bytes, and keep no core file."""
    import resource

    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return  # macOS has no such limit


if __name__ == "__main__":
    main()
