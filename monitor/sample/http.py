"""Reads inputs that programs send as JSON: one object, or a list of objects."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from monitor.sample.pushed import BodyError, Record

MOST_ITEMS: Final = 10_000
"""Inputs of one request."""

LONGEST_ID: Final = 512


def read(body: bytes, content_type: str) -> Iterator[Record]:
    """The inputs of a request's body. Raises BodyError if it is not JSON, or has too many."""
    if content_type not in ("application/json", ""):
        raise BodyError(415, f"send Content-Type: application/json, not {content_type[:80]}")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise BodyError(400, "the body is not JSON") from None
    items = found if isinstance(found, list) else [found]
    if len(items) > MOST_ITEMS:
        raise BodyError(413, f"more than {MOST_ITEMS:,} inputs in one request")
    return (_record(item) for item in items)


def _record(item: Any) -> Record:
    if not isinstance(item, Mapping):
        return Record({}, "", problem="not a JSON object")
    given, target = item.get("id"), item.get("target")
    number = isinstance(given, int) and not isinstance(given, bool)
    if not (number or (isinstance(given, str) and given)) or len(str(given)) > LONGEST_ID:
        return Record({}, "", problem=f"requires 'id', a text of at most {LONGEST_ID} characters")
    if not isinstance(target, str):
        return Record({}, str(given), problem="requires 'target', the name of a target")
    return Record(item, str(given), target)
