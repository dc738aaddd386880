"""Conda environment files."""

import re
from collections.abc import Iterator
from typing import Any

from monitor.pins import values
from monitor.pins.records import Advice, Found
from monitor.pins.trees import Value


def found(document: dict[str, Any], locked: frozenset[str]) -> Iterator[Found]:
    dependencies = document.get("dependencies")
    for one in dependencies if isinstance(dependencies, list) else []:
        if isinstance(one, Value):
            yield from ((one.line, advice) for advice in [_conda(one.text, locked)] if advice)
        elif isinstance(one, dict):
            for inner in one.get("pip") or []:
                if isinstance(inner, Value) and (advice := values.requirement(inner.text, locked)):
                    yield inner.line, advice


def _conda(text: str, locked: frozenset[str]) -> Advice | None:
    """Advice about ``channel::name=1.2``; a single ``=`` also accepts ``1.2.3``, but three numbers are exact enough."""
    parts = re.fullmatch(r"(?:[\w./-]+::)?([A-Za-z0-9][\w.-]*)\s*(.*)", text.strip())
    if parts is None or values.normal(parts[1]) not in values.LIBRARIES or values.normal(parts[1]) in locked:
        return None
    if re.fullmatch(r"==?\s*\d+\.\d+\.\d+[\w.]*(?:=\S+)?", parts[2]):
        return None
    return values.library(values.normal(parts[1]), parts[2])
