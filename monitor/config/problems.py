"""Problems of a file: file, line, key path, what is wrong, and how to fix it.

Messages quote values only where a misspelt keyword is expected, because a file may contain a key by mistake.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from monitor.config.yaml_reader import Document, Loc, Problem
from monitor.core.kinds import chosen, kinds_of, shared, summary

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_SHOWN: Final = 100

_UNIONS: Final[tuple[object, ...]] = (Union, UnionType)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems by file and line, without duplicates."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line or 0, p.where)))


def render(problems: Iterable[Problem]) -> str:
    """One problem per line, in order; after ``MAX_SHOWN`` only the number of the rest."""
    order = in_order(problems)
    lines = [str(problem) for problem in order[:MAX_SHOWN]]
    if len(order) > MAX_SHOWN:
        lines.append(f"... and {len(order) - MAX_SHOWN} more problems")
    return "\n".join(lines)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most similar to ``word``, or None."""
    by_lower = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), by_lower, 1, 0.6)
    return by_lower[found[0]] if found else None


def hint(word: str, known: Iterable[str], none: str = "there are none") -> str:
    """``did you mean 'x'?``, or the list of known names."""
    names = sorted(set(known))
    meant = nearest(word, names)
    if meant is not None:
        return f"did you mean '{meant}'?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown}" if names else none


def from_validation(model: type[BaseModel], error: ValidationError, document: Document) -> list[Problem]:
    """Pydantic's errors about ``document`` as problems."""
    found = list(_found(model, error))
    # a misspelt key is one mistake: the intended key is not also reported as missing
    meant = {(*one.loc[:-1], one.near) for one in found if one.near}
    told = {(problem.line, problem.where) for problem in document.problems}
    problems = [document.problem(one.loc, one.text) for one in found if not (one.missing and one.loc in meant)]
    return [problem for problem in problems if (problem.line, problem.where) not in told]


@dataclass(frozen=True, slots=True)
class _Found:
    """One of pydantic's errors."""

    loc: Loc
    """Where in the file."""
    text: str
    near: str | None = None
    """Known key that is most similar to a misspelt one."""
    missing: bool = False
    """Whether a key is missing."""


def _found(model: type[BaseModel], error: ValidationError, more: Iterable[str] = ()) -> Iterator[_Found]:
    """``more``: keys that the model's section may have in addition to its fields."""
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # pydantic counts only valid items, and reports the others separately
        loc = _loc_in_file(model, detail["loc"])
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            choices = _choices(model, detail["loc"])
            yield _wrong_kind(detail, loc, choices)
            yield from (replace(one, loc=(*loc, *one.loc)) for one in _beside_kind(choices, detail["input"]))
            continue
        section = _section(model, detail["loc"][:-1])
        if detail["type"] == "extra_forbidden":
            key, known = str(loc[-1]), [*(_keys(section) if section else []), *(more if section is model else ())]
            elsewhere = [one for one in _choices(model, detail["loc"][:-2]) if key in _keys(one)]
            if section and elsewhere:
                yield _Found(loc, _of_other_kinds(elsewhere, section))
            else:
                yield _Found(loc, _unknown_key(key, known), nearest(key, known))
        else:
            yield _Found(loc, _text(detail, section), missing=detail["type"] == "missing")


def _wrong_kind(detail: "ErrorDetails", loc: Loc, choices: Sequence[type[BaseModel]]) -> _Found:
    """A section whose ``kind`` is unknown or missing."""
    if detail["type"] == "union_tag_not_found" and "kind" in shared(choices).model_fields:
        return _Found((*loc, "kind"), f"missing: {summary(choices)}", missing=True)
    return _Found((*loc, "kind") if detail["type"] == "union_tag_invalid" else loc, _text(detail, None))


def _beside_kind(choices: Sequence[type[BaseModel]], value: Any) -> Iterator[_Found]:
    """Other problems of a section of unknown kind, read as the most similar kind.

    Without a similar kind, it is read as the common base class. Keys that any kind accepts are not reported.
    """
    if not isinstance(value, dict):
        return
    word = value.get("kind")
    kind = nearest(word, [kind for choice in choices for kind in kinds_of(choice)]) if isinstance(word, str) else None
    model = chosen(choices, kind) or shared(choices)
    later = {key for choice in choices for key in _keys(choice)} - set(_keys(model))
    read = {key: item for key, item in value.items() if key not in later}
    if "kind" in _keys(model):
        read["kind"] = kind or ""
    try:
        model.model_validate_json(json.dumps(read), strict=True)
    except ValidationError as error:
        yield from _found(model, error, later)


def _keys(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _of_other_kinds(sections: Sequence[type[BaseModel]], this: type[BaseModel]) -> str:
    """Message about a key that only other kinds accept."""
    kinds = [kind for section in sections for kind in kinds_of(section)]
    many = "s" if len(kinds) > 1 else ""
    return f"only for kind{many} {_listed(kinds)}; this one is {_listed(kinds_of(this))}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _unknown_key(key: str, known: list[str]) -> str:
    if "api_key_env" in known and re.search(r"key|token|secret|password", key, re.I):
        return "unknown key; do not put secrets into this file, name them with 'api_key_env' or 'api_key_file'"
    return f"unknown key; {hint(key, known)}"


def _loc_in_file(model: type[BaseModel], loc: Loc) -> Loc:
    """``loc`` without pydantic's additions: ``[key]``, and the tag of a section of several kinds."""
    whole = loc[:-1] if loc[-1:] == ("[key]",) else loc
    return tuple(part for index, part in enumerate(whole) if not _choices(model, whole[:index]))


def members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, without None; the annotation itself otherwise."""
    if get_origin(annotation) in _UNIONS:
        return tuple(member for member in get_args(annotation) if member is not type(None))
    return (annotation,)


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _annotation(model: type[BaseModel], loc: Loc) -> Any:
    """The type at ``loc``; None if the model has nothing there."""
    current: Any = model
    for part in loc:
        choices = members(_bare(current))
        if len(choices) > 1:  # one of several kinds: pydantic puts the tag into the path
            current = chosen([choice for choice in choices if is_model(choice)], part)
            continue
        current = choices[0]
        if is_model(current):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        elif get_origin(current) in (dict, Mapping, tuple, list):
            arguments = [argument for argument in get_args(current) if argument is not Ellipsis]
            current = arguments[-1] if arguments else None
        else:
            return None
    return _bare(current)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


def _section(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The section that contains ``loc``, to name its keys."""
    current = members(_annotation(model, loc))[0]
    return current if is_model(current) else None


def _choices(model: type[BaseModel], loc: Loc) -> tuple[type[BaseModel], ...]:
    """The kinds of section allowed at ``loc``; empty if there is at most one kind."""
    choices = members(_annotation(model, loc))
    return choices if len(choices) > 1 and all(is_model(choice) for choice in choices) else ()


def _text(detail: "ErrorDetails", section: type[BaseModel] | None) -> str:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail.get("input")
    if kind == "missing":
        field = section.model_fields.get(str(detail["loc"][-1])) if section else None
        if section and field and kinds_of(section) and detail["loc"][-1] == "kind":
            return f"missing: {summary([section])}"
        return "missing" + (f": {field.description}" if field and field.description else "")
    if value is None and kind != "value_error":
        return "is empty; set a value or delete the key"
    if kind in _TEXTS:
        return _TEXTS[kind](context) + _instead(kind, value)
    if kind in ("literal_error", "union_tag_invalid"):
        known = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags")))
        word = value.get("kind") if isinstance(value, dict) else value
        return f"must be {'one of ' if len(known) > 1 else ''}{', '.join(known)}" + _meant(word, known)
    if kind == "value_error":
        return str(context["error"])
    return detail["msg"][:1].lower() + detail["msg"][1:]


def _meant(word: object, known: list[str]) -> str:
    meant = nearest(word, known) if isinstance(word, str) else None
    return f"; did you mean '{meant}'?" if meant else ""


def _instead(kind: str, value: Any) -> str:
    if kind == "string_type":
        quotes = isinstance(value, bool | int | float)
        return f", not {_a_kind(value)}" + ("; put it in quotes" if quotes else "")
    if isinstance(value, bool | int | float):
        return f", not {str(value).lower()}"
    return f", not {_a_kind(value)}" if kind.endswith("_type") else ""


def _a_kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", dict: "a mapping", list: "a list"}
    return names.get(type(value), "this type")


_NAME_RULE: Final = "is not a valid name; use 1 to 63 letters, digits, '.', '_' or '-', starting with a letter or digit"

_TEXTS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "string_type": lambda c: "must be text",
    "string_pattern_mismatch": lambda c: _NAME_RULE,
    "string_too_short": lambda c: "must not be empty",
    "string_too_long": lambda c: f"must have at most {c['max_length']} characters",
    "too_short": lambda c: "must not be empty" if c["min_length"] == 1 else f"needs at least {c['min_length']} items",
    "too_long": lambda c: f"must have at most {c['max_length']} items, not {c['actual_length']}",
    "int_type": lambda c: "must be a whole number",
    "int_from_float": lambda c: "must be a whole number",
    "float_type": lambda c: "must be a number",
    "bool_type": lambda c: "must be true or false",
    "model_type": lambda c: "must be a mapping (key: value)",
    "model_attributes_type": lambda c: "must be a mapping (key: value)",
    "dict_type": lambda c: "must be a mapping (key: value)",
    "tuple_type": lambda c: "must be a list",
    "list_type": lambda c: "must be a list",
    "path_type": lambda c: "must be a path",
    "greater_than_equal": lambda c: f"must be at least {c['ge']:g}",
    "less_than_equal": lambda c: f"must be at most {c['le']:g}",
    "greater_than": lambda c: f"must be more than {c['gt']:g}",
    "less_than": lambda c: f"must be less than {c['lt']:g}",
    "union_tag_not_found": lambda c: "requires 'kind'",
}
