"""YAML: Helm, Compose, Kubernetes, CI, training and application configuration; and settings in JSON."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor.pins import conda, trees, values
from monitor.pins.records import Found, Text, UnreadableError

_EXPRESSION: Final = re.compile(r"\{\{.*?\}\}", re.S)
_JSON: Final = re.compile(r"(?:adapter_config|.*(?:config|settings))\.json", re.I)
_ENVIRONMENT: Final = re.compile(r"(?:conda[-_])?env(?:ironment)?[\w.-]*\.ya?ml", re.I)


def matches(path: Path) -> bool:
    name = path.name
    if name in ("conda-lock.yml", "pnpm-lock.yaml") or name.startswith(("tsconfig", "jsconfig")):
        return False
    return path.suffix in (".yaml", ".yml") or _JSON.fullmatch(name) is not None


def read(file: Text) -> Iterator[Found]:
    """Raises UnreadableError. A template whose structure depends on its values is read line by line."""
    templated = "{{" in file.text and "templates" in file.path.parts
    text = _filled(file.text) if "{{" in file.text else file.text
    try:
        documents = trees.documents(text.replace("\t", "  ") if file.path.suffix == ".json" else text)
    except UnreadableError:
        if not templated:
            raise
        yield from _lines(text)
        return
    for document in documents:
        if _ENVIRONMENT.fullmatch(file.path.name) and isinstance(document, dict) and "dependencies" in document:
            yield from conda.found(document, file.locked)
        else:
            yield from trees.found(document, file.locked)


def _filled(text: str) -> str:
    """A template with a marker for each expression. Lines of control structures only become empty."""
    whole = re.sub(r"(?m)^[ \t]*\{\{[^\n]*\}\}[ \t]*$", "", text)
    return _EXPRESSION.sub(trees.TEMPLATED, whole)


def _lines(text: str) -> Iterator[Found]:
    for number, line in enumerate(text.split("\n"), 1):
        named = re.fullmatch(r"\s*(?:- )?image:\s*[\"']?([^\s\"'#]+)[\"']?\s*(?:#.*)?", line)
        if named and (advice := values.image(named[1])):
            yield number, advice
