"""Patterns and JSON Schema over hostile values: nothing hangs, nothing is fetched, no comparison goes quadratic.

Whether a part of a value fits a part of a schema is evaluated once. So a recursive schema with alternatives costs the
size of the schema times that of the value, not an exponential of its depth.
"""

import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import regex
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

PATTERN_SECONDS: Final = 0.5
"""Time limit of one pattern on one text; a normal match takes microseconds."""

MOST_ERRORS: Final = 200
"""Errors of a value that are compared to find the most relevant one."""


class PatternTimeoutError(Exception):
    """A pattern took longer than its time limit on a text."""


class UnusableSchemaError(Exception):
    """The schema itself cannot be applied, for example because it refers to another document."""


class TooMuchWorkError(Exception):
    """A value takes more steps than its limit."""


@dataclass(slots=True)
class _Work:
    """The evaluation of one value."""

    pattern_seconds: float
    steps: int | None
    """Steps that are left; ``None`` is unlimited."""
    remembers: bool
    fits: dict[tuple[int, int], bool] = field(default_factory=dict)
    """(part of the schema, part of the value) -> whether it fits, by identity: both live as long as this."""
    explains: bool = True

    def step(self) -> None:
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                raise TooMuchWorkError


_WORK: Final[ContextVar[_Work]] = ContextVar("work")


def search(pattern: str, text: str, seconds: float = PATTERN_SECONDS) -> str | None:
    """The match of ``pattern`` in ``text``, or ``None``. Raises ``PatternTimeoutError``, ``regex.error``."""
    try:
        found = regex.search(pattern, text, timeout=seconds)
    except TimeoutError:
        raise PatternTimeoutError(f"pattern {pattern[:120]!r} took over {seconds} s") from None
    return None if found is None else str(found[0])


def _found(pattern: str, text: str) -> bool:
    work = _WORK.get()
    work.step()
    return search(pattern, text, work.pattern_seconds) is not None


def _fits(validator: Any, schema: Any, instance: Any) -> bool:
    work = _WORK.get()
    key = (id(schema), id(instance))
    known = work.fits.get(key) if work.remembers else None
    if known is None:
        work.step()
        known = work.fits[key] = next(validator.descend(instance, schema), None) is None
    return known


def _reference(validator: Any, reference: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    work = _WORK.get()
    key = (id(schema), id(instance))
    known = work.fits.get(key) if work.remembers else None
    if known is None:
        work.step()
        known = work.fits[key] = next(_refer(validator, reference, instance, schema), None) is None
    if not known:
        yield from _refer(validator, reference, instance, schema)


def _refer(validator: Any, reference: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    yield from Draft202012Validator.VALIDATORS["$ref"](validator, reference, instance, schema)


def _any_of(validator: Any, schemas: list[Any], instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not any(_fits(validator, one, instance) for one in schemas):
        yield _fits_none(validator, schemas, instance)


def _one_of(validator: Any, schemas: list[Any], instance: Any, schema: Any) -> Iterator[ValidationError]:
    fitting = list(islice((place for place, one in enumerate(schemas) if _fits(validator, one, instance)), 2))
    if not fitting:
        yield _fits_none(validator, schemas, instance)
    elif len(fitting) > 1:
        yield ValidationError(f"{_shown(instance)} fits alternatives {fitting[0] + 1} and {fitting[1] + 1} of a oneOf")


def _fits_none(validator: Any, schemas: list[Any], instance: Any) -> ValidationError:
    """The error, with those of each alternative. Alternatives inside alternatives are not explained."""
    work, errors = _WORK.get(), list[ValidationError]()
    if work.explains:
        work.explains = False
        for place, one in enumerate(schemas):
            errors += islice(validator.descend(instance, one, schema_path=place), 20)
        work.explains = True
    return ValidationError(f"{_shown(instance)} fits none of {len(schemas)} alternatives", context=errors)


def _not(validator: Any, denied: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if _fits(validator, denied, instance):
        yield ValidationError(f"{_shown(instance)} fits what is not allowed")


def _if(validator: Any, condition: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    branch = "then" if _fits(validator, condition, instance) else "else"
    if branch in schema:
        yield from validator.descend(instance, schema[branch], schema_path=branch)


def _shown(instance: Any) -> str:
    text = json.dumps(instance, ensure_ascii=False) if isinstance(instance, str | int | float | None) else ""
    return text[:80] if text else "the list" if isinstance(instance, list) else "the object"


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _found(pattern, instance):
        yield ValidationError(f"{instance[:80]!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, inner in patterns.items():
            for key, value in instance.items():
                if _found(pattern, key):
                    yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    patterns = schema.get("patternProperties", ())
    extra = [
        key
        for key in instance
        if key not in schema.get("properties", {}) and not any(_found(pattern, key) for pattern in patterns)
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
        "$ref": _reference,
        "anyOf": _any_of,
        "oneOf": _one_of,
        "not": _not,
        "if": _if,
    },
)


@lru_cache(maxsize=256)
def _validator(schema_text: str) -> Any:
    return _GUARDED(json.loads(schema_text), registry=Registry())


def first_fault(
    value: Any, schema: Mapping[str, Any], *, pattern_seconds: float = PATTERN_SECONDS, steps: int | None = None
) -> str | None:
    """The most relevant error of ``value`` against ``schema`` (draft 2020-12), with its place; ``None`` if it is valid.

    Args:
        value: parsed JSON.
        schema: its schema.
        pattern_seconds: time limit of each pattern on each text.
        steps: maximum number of references, alternatives and patterns that are tried; ``None`` is unlimited.

    Raises:
        PatternTimeoutError: a pattern took too long.
        TooMuchWorkError: more ``steps`` are needed.
        UnusableSchemaError: the schema cannot be applied.
    """
    text = json.dumps(schema, sort_keys=True)
    work = _WORK.set(_Work(pattern_seconds, steps, remembers="$dynamicRef" not in text))
    try:
        error = best_match(islice(_validator(text).iter_errors(value), MOST_ERRORS))
    except (RecursionError, Unresolvable, regex.error) as problem:
        raise UnusableSchemaError(f"schema cannot be applied: {type(problem).__name__}: {problem}"[:300]) from None
    finally:
        _WORK.reset(work)
    if error is None:
        return None
    where = "/".join(str(part)[:40] for part in error.absolute_path)
    return (f"{where}: " if where else "") + str(error.message)[:200]
