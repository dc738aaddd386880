"""Turns pydantic's errors about a request into readable text that tells the client what to send instead."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from monitor.report.web.models import NAME

SEND_JSON: Final = "send a JSON object with Content-Type: application/json"
_BODY: Final = frozenset({"model_attributes_type", "dict_type", "model_type", "json_invalid"})
_BLANK: Final = frozenset({"missing", "string_too_short", "string_pattern_mismatch"})
_WORDS: Final[Mapping[str, str]] = {
    "missing": "this is required",
    "extra_forbidden": "unknown name",
    "string_type": "send text",
    "string_too_short": "must not be empty",
    "string_too_long": "at most {max_length} characters",
    "int_type": "send a whole number",
    "int_parsing": "send a whole number",
    "int_parsing_size": "send a smaller number",
    "int_from_float": "send a whole number",
    "bool_type": "send true or false",
    "bool_parsing": "send true or false",
    "enum": "send {expected}",
    "literal_error": "send {expected}",
    "greater_than_equal": "send {ge} or more",
    "less_than_equal": "send {le} or less",
}
"""Type of an error -> what to send, with placeholders for the error's context."""


def words(errors: Sequence[Mapping[str, Any]]) -> str:
    """All errors of a request, one clause each. Never contains what was sent."""
    return "; ".join(dict.fromkeys(map(_one, errors)))


def _one(error: Mapping[str, Any]) -> str:
    kind, place, known = error["type"], error["loc"], error.get("ctx", {})
    if kind in _BODY or place == ("body",):
        return f"the body cannot be read: {SEND_JSON}"
    where = f"{place[-1]}: " if str(place[-1]).isprintable() else ""
    if place[-1] == "why" and kind in _BLANK:
        return "why: give a reason; it must not be blank"
    if kind == "string_pattern_mismatch":
        return where + _pattern(known["pattern"])
    return where + (_WORDS[kind].format(**known) if kind in _WORDS else error["msg"])


def _pattern(pattern: str) -> str:
    if pattern == NAME:
        return "invalid name: letters, digits, '.', '_' and '-', a letter or digit first, at most 63 characters"
    choice = re.fullmatch(r"\^\(([\w|-]+)\)\??\$", pattern)
    if choice is not None:
        return f"send one of {', '.join(choice[1].split('|'))}"
    return "does not match /api/v1/openapi.json"
