"""Sections of several kinds: the key ``kind`` decides which other keys a section accepts."""

from collections.abc import Iterable, Sequence
from functools import reduce
from importlib import import_module
from operator import or_
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field


def kinds_of(section: type[BaseModel]) -> tuple[str, ...]:
    """Values that ``kind`` may have in ``section``; empty if it has no such key."""
    field = section.model_fields.get("kind")
    return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


def one_of(sections: Sequence[type[BaseModel]]) -> Any:
    """Union type of ``sections``, discriminated by ``kind``."""
    union = reduce(or_, sections)
    return Annotated[union, Field(discriminator="kind")] if len(sections) > 1 else union


def chosen(sections: Iterable[type[BaseModel]], kind: object) -> type[BaseModel] | None:
    """The section of ``kind``; None for an unknown kind."""
    return next((section for section in sections if kind in kinds_of(section)), None)


def shared(sections: Sequence[type[BaseModel]]) -> type[BaseModel]:
    """Nearest common base class of ``sections``: it has the keys that every kind accepts."""
    return next(base for base in sections[0].__mro__ if all(issubclass(one, base) for one in sections))


def summary(sections: Iterable[type[BaseModel]]) -> str:
    """``openai: Chat Completions ...; anthropic: ...``: each kind with the description of its ``kind``."""
    return "; ".join(f"{kind}: {one.model_fields['kind'].description}" for one in sections for kind in kinds_of(one))


def load(path: str) -> Any:
    """The object at ``package.module:name``. Imports the module."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
