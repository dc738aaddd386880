"""promptfoo: tests in YAML or JSON, with prompts and variables, and tests in CSV (``__expected``)."""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from monitor.golden.items import Notes, Source, item, text

_ESCAPED: Final = {"icontains": "(?i){}", "starts-with": "^{}"}
_REFERENCES: Final = frozenset(
    ("similar", "factuality", "model-graded-factuality", "answer-relevance", "rouge-n", "bleu")
)
_JUDGED: Final = frozenset(("llm-rubric", "model-graded-closedqa", "g-eval"))


def matches(source: Source) -> bool:
    if isinstance(source.tree, dict):
        return "tests" in source.tree
    first = source.rows[0][1] if source.rows else {}
    return any(key.startswith("__expected") for key in first) or ("vars" in first and "inputs" not in first)


def read(source: Source, notes: Notes) -> Iterator[dict[str, Any]]:
    tree = source.tree if isinstance(source.tree, dict) else {}
    prompts = [_prompt(one, source, notes) for one in _listed(tree.get("prompts"))] or [None]
    for key in sorted(tree.keys() - {"tests", "prompts", "description", "defaultTest"}):
        notes.add(f"'{key}' of the configuration is left out", str(source.path))
    default = tree.get("defaultTest") or {}
    tests = list(_tests(tree["tests"], source, notes)) if "tests" in tree else [_of_row(row) for _, row in source.rows]
    for number, test in enumerate(tests, 1):
        whole = {**test, "vars": {**default.get("vars", {}), **(test.get("vars") or {})}}
        whole["assert"] = [*_listed(default.get("assert")), *_listed(test.get("assert"))]
        for index, prompt in enumerate(prompts):
            name = test.get("description") or f"test-{number}"
            yield _item(
                name if len(prompts) == 1 else f"{name}-{index + 1}", whole, prompt, source, notes, f"test {number}"
            )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _prompt(one: Any, source: Source, notes: Notes) -> str | None:
    raw = one.get("raw") or one.get("id") if isinstance(one, dict) else one
    if isinstance(raw, str) and raw.startswith("file://"):
        if not raw.endswith((".txt", ".md", ".json")):
            notes.add(f"the prompt '{raw}' is a program; its variables are asked instead", str(source.path))
            return None
        return source.beside(raw)
    return text(raw)


def _tests(value: Any, source: Source, notes: Notes) -> Iterator[dict[str, Any]]:
    for one in _listed(value):
        if not isinstance(one, str):
            yield one
        elif one.endswith(".csv"):
            yield from (_of_row(row) for row in csv.DictReader(io.StringIO(source.beside(one))))
        elif one.endswith((".yaml", ".yml", ".json")):
            yield from _tests(yaml.safe_load(source.beside(one)), source, notes)
        elif one.endswith(".jsonl"):
            yield from (json.loads(line) for line in source.beside(one).split("\n") if line.strip())
        else:
            notes.add(f"the tests '{one}' are made by a program or elsewhere", str(source.path))


def _of_row(row: dict[str, Any]) -> dict[str, Any]:
    """A test of CSV: variables, and ``__expected`` columns with assertions such as ``contains: x``."""
    if "vars" in row:
        return row
    asserted = [_assertion(value) for key, value in row.items() if key.startswith("__expected") and value]
    other = {key: value for key, value in row.items() if key.startswith("__") and value}
    left = {key: value for key, value in other.items() if not key.startswith(("__expected", "__description"))}
    names = {key: value for key, value in row.items() if not key.startswith("__")}
    return {"vars": names, "assert": asserted, "description": row.get("__description"), **left}


def _assertion(value: str) -> dict[str, Any]:
    kind, mark, rest = value.partition(":")
    kind = kind.strip()
    if kind in ("grade", "llm-rubric"):
        return {"type": "llm-rubric", "value": rest.strip()}
    if mark and re.fullmatch(r"(?:not-)?[a-z]+(?:-[a-z]+)*(?:\([\d.]+\))?|fn|eval", kind):
        listed = kind in ("contains-any", "contains-all")
        return {"type": kind, "value": [one.strip() for one in rest.split(",")] if listed else rest.strip()}
    return (
        {"type": kind, "value": None} if value in ("is-json", "contains-json") else {"type": "equals", "value": value}
    )


def _item(
    name: str, test: dict[str, Any], prompt: str | None, source: Source, notes: Notes, place: str
) -> dict[str, Any]:
    known = {"vars", "assert", "description", "metadata"}
    for key in sorted(key for key in test if key not in known and test[key]):
        notes.add(f"'{key}' of a test is left out", place)
    values = {key: _variable(value, source) for key, value in test["vars"].items()}
    graded: dict[str, Any] = {"checks": [], "expected": None, "rubric": None}
    for one in test["assert"]:
        _graded(one, graded, notes, place)
    tags = [
        str(value)
        for value in (test.get("metadata") or {}).values()
        if isinstance(value, str) and re.fullmatch(r"[\w.-]{1,63}", value)
    ]
    return item(
        name,
        _question(prompt, values, notes, place),
        **graded,
        tags=tags,
        source=f"promptfoo {source.path.name} {place}",
    )


def _variable(value: Any, source: Source) -> str:
    return source.beside(value) if isinstance(value, str) and value.startswith("file://") else text(value)


def _question(prompt: str | None, values: dict[str, str], notes: Notes, place: str) -> Any:
    if prompt is None:
        if len(values) == 1:
            return next(iter(values.values()))
        notes.add("without a prompt, several variables are asked one a line", place)
        return "\n".join(f"{key}: {value}" for key, value in values.items())
    filled = re.sub(r"\{\{-?\s*([\w.]+)\s*-?\}\}", lambda found: values.get(found[1], found[0]), prompt)
    if re.search(r"\{[{%]", filled):
        notes.add("a template has an expression that is not a variable; it is asked as written", place)
    try:
        parsed = json.loads(filled)
    except ValueError:
        return filled
    return (
        parsed
        if isinstance(parsed, list) and all(isinstance(one, dict) and "role" in one for one in parsed)
        else filled
    )


def _graded(one: Any, graded: dict[str, Any], notes: Notes, place: str) -> None:
    """Adds one assertion to an item's checks, rubric or expected answer."""
    kind, value = (one.get("type"), one.get("value")) if isinstance(one, dict) else (None, None)
    for key in ("threshold", "weight", "metric", "transform", "provider"):
        if isinstance(one, dict) and one.get(key) is not None:
            notes.add(f"'{key}' of an assertion is left out", place)
    if kind in _JUDGED and graded["rubric"] is None and isinstance(value, str):
        graded["rubric"] = value
    elif kind in _REFERENCES and graded["expected"] is None and isinstance(value, str):
        graded["expected"] = value
        notes.add(f"the assertion '{kind}' gives the expected answer only", place)
    elif made := _checks(str(kind), value):
        graded["checks"] += made
        if kind == "equals":
            graded["expected"] = graded["expected"] or text(value)
    else:
        notes.add(f"the assertion '{kind}' is left out", place)


def _checks(kind: str, value: Any) -> list[dict[str, Any]]:
    """The checks that say the same; empty if there are none."""
    if isinstance(value, str) and value.startswith("file://"):
        return []
    if kind == "equals" and value not in (None, ""):
        return [{"kind": "exact", "text": text(value)}]
    if kind in ("contains", "contains-all") and value:
        return [{"kind": "contains", "text": text(one)} for one in _listed(value)]
    if kind in _ESCAPED and value:
        return [{"kind": "regex", "pattern": _ESCAPED[kind].format(re.escape(text(value)))}]
    if kind in ("contains-any", "icontains-any") and value:
        words = "|".join(re.escape(text(one)) for one in _listed(value))
        return [{"kind": "regex", "pattern": f"(?i:{words})" if kind.startswith("i") else f"(?:{words})"}]
    if kind == "regex" and value:
        return [{"kind": "regex", "pattern": text(value)}]
    if kind == "is-json":
        return [{"kind": "json_schema", "schema": value if isinstance(value, dict) else {}}]
    return []
