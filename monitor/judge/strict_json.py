"""JSON from hostile text: bounded in size, depth and number of values, and never ambiguous."""

import json
import re
from typing import Any, Final, NoReturn

MAX_CHARS: Final = 262_144
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 20_000

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]|,', re.DOTALL)
_FENCE: Final = re.compile(r"```(?:json)?[ \t]*\n(?P<body>(?:(?!```).)*+)\n?```", re.DOTALL | re.IGNORECASE)


class StrictJsonError(ValueError):
    """The text is not one JSON value within the bounds; the message has the reason."""


def _check_shape(text: str) -> None:
    depth = values = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "[{":
            depth += 1
            values += 1
        elif token in "]}":
            depth -= 1
        elif token == ",":
            values += 1
        if depth > MAX_DEPTH:
            raise StrictJsonError(f"nested deeper than {MAX_DEPTH}")
        if values > MAX_VALUES:
            raise StrictJsonError(f"more than {MAX_VALUES} values")


def _no_constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJsonError("an object names the same key twice")
    return found


def parse(text: str, *, fence: bool = False) -> Any:
    """The one JSON value in ``text``, ignoring surrounding whitespace; with ``fence`` also inside one markdown fence.

    Rejects ambiguous JSON (a duplicate key, ``NaN``) and values that are too large:
    more than 262,144 characters, 64 levels or 20,000 values. Raises ``StrictJsonError``.
    """
    if len(text) > MAX_CHARS:
        raise StrictJsonError(f"longer than {MAX_CHARS} characters")
    body = text.strip()
    if fence and (found := _FENCE.fullmatch(body)):
        body = found["body"].strip()
    _check_shape(body)
    try:
        return json.loads(body, parse_constant=_no_constant, object_pairs_hook=_unique_keys)
    except StrictJsonError:
        raise
    except (ValueError, RecursionError) as error:
        raise StrictJsonError(f"not JSON: {error}") from None
