"""Records as plain values, for ``--json`` and the pages' JSON alike."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from math import isfinite
from typing import Any


def plain(value: object, more: Callable[[Any], Mapping[str, Any]] | None = None) -> Any:
    """``value`` for JSON: times in ISO 8601, non-finite numbers as null; other values unchanged.

    ``more``: record -> further values, by name, that are derived from its fields.
    """
    if is_dataclass(value) and not isinstance(value, type):
        own = {one.name: plain(getattr(value, one.name), more) for one in fields(value)}
        return own if more is None else {**own, **more(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner, more) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, more) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, float) and not isfinite(value) else value
