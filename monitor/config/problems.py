"""What is wrong in a file, said so that it can be put right: file, line, key path, what, and what to do.

Values are quoted only where they are one of our own words misspelt; a file may hold a key by mistake.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from monitor.config.yaml_reader import Document

Loc = tuple[str | int, ...]
"""Where in a file: keys and list indices from the top."""

MAX_SHOWN: Final = 100

_UNIONS: Final[tuple[object, ...]] = (Union, UnionType)


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of a report: ``cliffwatch.yaml:12: targets.bot.subjct: unknown key; did you mean 'subject'?``"""

    file: str
    line: int | None
    where: str
    text: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.where, self.text) if part)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By file and line, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line or 0, p.where)))


def render(problems: Iterable[Problem]) -> str:
    """One problem a line, in order; after 100 only how many more there are."""
    order = in_order(problems)
    lines = [str(problem) for problem in order[:MAX_SHOWN]]
    if len(order) > MAX_SHOWN:
        lines.append(f"... and {len(order) - MAX_SHOWN} more problems")
    return "\n".join(lines)


def key_path(loc: Loc) -> str:
    """``('targets', 'bot', 'suites', 2)`` as ``targets.bot.suites[2]``."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" if path else _printable(part)
    return path


def _printable(key: str) -> str:
    short = key if len(key) <= 64 else key[:61] + "..."
    return short if short.isprintable() and short == short.strip() and short else repr(short)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` most likely meant, or None."""
    by_lower = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), by_lower, 1, 0.6)
    return by_lower[found[0]] if found else None


def hint(word: str, known: Iterable[str], none: str = "there are none") -> str:
    """``did you mean 'x'?``, or the list of what is known."""
    names = sorted(set(known))
    meant = nearest(word, names)
    if meant is not None:
        return f"did you mean '{meant}'?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown}" if names else none


def from_validation(model: type[BaseModel], error: ValidationError, document: "Document") -> list[Problem]:
    """pydantic's errors about ``document`` as problems in our words."""
    found: list[tuple[Loc, str, str | None]] = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # pydantic counts the valid ones only, and has said what is wrong with the others
        section = _section(model, detail["loc"][:-1])
        loc = _loc_in_file(detail["loc"], document.data)
        if detail["type"] == "union_tag_invalid":
            loc = (*loc, "kind")
        if detail["type"] == "extra_forbidden":
            known = list(section.model_fields) if section else []
            found.append((loc, _unknown_key(str(loc[-1]), known), nearest(str(loc[-1]), known)))
        else:
            found.append((loc, _text(detail, section), None))
    # a misspelt key is one mistake: the key that it meant is not reported as missing too
    meant = {(*loc[:-1], near) for loc, _, near in found if near}
    told = {(problem.line, problem.where) for problem in document.problems}
    problems = [
        document.problem(loc, text) for loc, text, _ in found if loc not in meant or not text.startswith("missing")
    ]
    return [problem for problem in problems if (problem.line, problem.where) not in told]


def _unknown_key(key: str, known: list[str]) -> str:
    if "api_key_env" in known and re.search(r"key|token|secret|password", key, re.I):
        return "unknown key; a key itself never stands in this file: name it with 'api_key_env' or 'api_key_file'"
    return f"unknown key; {hint(key, known)}"


def _loc_in_file(loc: Loc, data: Any) -> Loc:
    """``loc`` without what pydantic adds: ``[key]``, and the tag of a list item that is one of several kinds."""
    kept: list[str | int] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if part == "[key]" and last:
            break
        if not last and isinstance(data, dict) and data.get("kind") == part and kept and isinstance(kept[-1], int):
            continue
        kept.append(part)
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
    return tuple(kept)


def members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, without None; the annotation itself otherwise."""
    if get_origin(annotation) in _UNIONS:
        return tuple(member for member in get_args(annotation) if member is not type(None))
    return (annotation,)


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _section(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The section that ``loc`` stands in, so that its keys can be named."""
    current: Any = model
    for part in loc:
        choices = members(current)
        if len(choices) > 1:  # one of several kinds: pydantic puts the tag into the path
            current = next((kind for kind in choices if is_model(kind) and part in _kinds(kind)), None)
            continue
        current = choices[0]
        if is_model(current):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        elif get_origin(current) in (dict, Mapping, tuple, list):
            arguments = [argument for argument in get_args(current) if argument is not Ellipsis]
            current = arguments[-1] if arguments else None
            if hasattr(current, "__metadata__"):
                current = get_args(current)[0]
        else:
            return None
    current = members(current)[0]
    return current if is_model(current) else None


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


def _text(detail: "ErrorDetails", section: type[BaseModel] | None) -> str:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail.get("input")
    if kind == "missing":
        field = section.model_fields.get(str(detail["loc"][-1])) if section else None
        return "missing" + (f": {field.description}" if field and field.description else "")
    if value is None and kind != "value_error":
        return "is empty; fill it in or delete the key"
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
    return names.get(type(value), "that")


_NAME_RULE: Final = "is not a usable name: letters, digits, '.', '_' and '-', at most 63, a letter or digit first"

_TEXTS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "string_type": lambda c: "must be text",
    "string_pattern_mismatch": lambda c: _NAME_RULE,
    "string_too_short": lambda c: "must not be empty",
    "string_too_long": lambda c: f"must have at most {c['max_length']} characters",
    "too_short": lambda c: "must not be empty" if c["min_length"] == 1 else f"needs at least {c['min_length']}",
    "too_long": lambda c: f"may have at most {c['max_length']} items, not {c['actual_length']}",
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
    "union_tag_not_found": lambda c: "needs a 'kind'",
}
