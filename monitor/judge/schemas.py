"""Patterns and JSON Schema over hostile values: nothing hangs, nothing is fetched, no comparison goes quadratic."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import regex
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

PATTERN_SECONDS: Final = 0.5
"""Time limit of one pattern on one text; a normal match takes microseconds."""


class PatternTimeoutError(Exception):
    """A pattern took longer than its time limit on a text."""


class UnusableSchemaError(Exception):
    """The schema itself cannot be applied, for example because it refers to another document."""


def search(pattern: str, text: str) -> str | None:
    """The match of ``pattern`` in ``text``, or ``None``. Raises ``PatternTimeoutError``, ``regex.error``."""
    try:
        found = regex.search(pattern, text, timeout=PATTERN_SECONDS)
    except TimeoutError:
        raise PatternTimeoutError(f"pattern {pattern[:120]!r} took over {PATTERN_SECONDS} s") from None
    return None if found is None else str(found[0])


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and search(pattern, instance) is None:
        yield ValidationError(f"{instance[:80]!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, inner in patterns.items():
            for key, value in instance.items():
                if search(pattern, key) is not None:
                    yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    patterns = schema.get("patternProperties", ())
    extra = [
        key
        for key in instance
        if key not in schema.get("properties", {}) and all(search(pattern, key) is None for pattern in patterns)
    ]
    if allowed is False and extra:
        yield ValidationError(f"keys that are not allowed: {', '.join(repr(key[:40]) for key in extra[:5])}")
    elif isinstance(allowed, dict):
        for key in extra:
            yield from validator.descend(instance[key], allowed, path=key)


def _unique_items(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list):
        distinct = {json.dumps(item, sort_keys=True) for item in instance}
        if len(distinct) != len(instance):
            yield ValidationError("has items that are not unique")


_GUARDED: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    },
)


@lru_cache(maxsize=256)
def _validator(schema_text: str) -> Any:
    return _GUARDED(json.loads(schema_text), registry=Registry())


def first_fault(value: Any, schema: Mapping[str, Any]) -> str | None:
    """The most relevant error of ``value`` against ``schema`` (draft 2020-12), with its place; ``None`` if it is valid.

    Raises ``PatternTimeoutError``, ``UnusableSchemaError``.
    """
    try:
        error = best_match(_validator(json.dumps(schema, sort_keys=True)).iter_errors(value))
    except (RecursionError, Unresolvable, regex.error) as problem:
        raise UnusableSchemaError(f"schema cannot be applied: {type(problem).__name__}: {problem}"[:300]) from None
    if error is None:
        return None
    where = "/".join(str(part)[:40] for part in error.absolute_path)
    return (f"{where}: " if where else "") + str(error.message)[:200]
