"""The formats that can be imported: one module and one entry each. The first that matches the content reads it."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitor.golden import deepeval, inspect_ai, langfuse, langsmith, lm_eval, openai_evals, plain, promptfoo
from monitor.golden.items import ImportProblem, Notes, Row, Source, text_of, unique


@dataclass(frozen=True, slots=True)
class Format:
    """One format. ``read`` raises ImportProblem."""

    name: str
    matches: Callable[[Source], bool]
    read: Callable[[Source, Notes], Iterator[dict[str, Any]]]


FORMATS = (
    Format("promptfoo", promptfoo.matches, promptfoo.read),
    Format("lm-evaluation-harness", lm_eval.matches, lm_eval.read),
    Format("Langfuse", langfuse.matches, langfuse.read),
    Format("LangSmith", langsmith.matches, langsmith.read),
    Format("OpenAI evals", openai_evals.matches, openai_evals.read),
    Format("Inspect", inspect_ai.matches, inspect_ai.read),
    Format("DeepEval", deepeval.matches, deepeval.read),
    Format("plain", plain.matches, plain.read),
)


@dataclass(frozen=True)
class Imported:
    """Items as JSON Lines hold them, and what the file says that they do not."""

    format: str
    items: tuple[dict[str, Any], ...]
    notes: Notes


def load(path: Path) -> Imported:
    """Read a file of another tool. Raises ImportProblem."""
    source = _source(path)
    kind = next((one for one in FORMATS if one.matches(source)), None)
    if kind is None:
        names = ", ".join(one.name for one in FORMATS)
        raise ImportProblem(f"{path}: is none of the known formats ({names}); docs/golden.md shows their keys")
    notes = Notes()
    try:
        items = tuple(unique(kind.read(source, notes)))
    except (AttributeError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ImportProblem(f"{path}: is not valid {kind.name}: {type(error).__name__}: {error}") from error
    except ImportProblem as error:
        raise ImportProblem(f"{path}: {error}" if str(path) not in str(error) else str(error)) from error
    return Imported(kind.name, items, notes)


def _source(path: Path) -> Source:
    text = text_of(path)
    tree: Any = None
    try:
        if path.suffix == ".csv":
            rows = csv.DictReader(io.StringIO(text))
            return Source(path, text, None, tuple((rows.line_num, dict(row)) for row in rows))
        if path.suffix in (".jsonl", ".ndjson"):
            return Source(path, text, None, tuple(_lines(text, path)))
        tree = yaml.safe_load(text) if path.suffix in (".yaml", ".yml") else json.loads(text)
    except (yaml.YAMLError, ValueError, csv.Error, RecursionError) as error:
        raise ImportProblem(f"{path}: is not valid {path.suffix.lstrip('.').upper() or 'JSON'}: {error}") from error
    listed = tree if isinstance(tree, list) else _listed(tree)
    return Source(path, text, tree, tuple((n, row) for n, row in enumerate(listed, 1) if isinstance(row, dict)))


def _listed(tree: Any) -> list[Any]:
    """The list in a mapping such as ``{"goldens": [...]}`` or ``{"data": [...]}``."""
    keys = ("goldens", "data", "items", "examples", "samples")
    lists = [tree[key] for key in keys if isinstance(tree, dict) and isinstance(tree.get(key), list)]
    return lists[0] if lists else []


def _lines(text: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ImportProblem(f"{path}:{number}: not valid JSON; each line is one record") from error
        if not isinstance(row, dict):
            raise ImportProblem(f"{path}:{number}: must be a mapping")
        yield number, row
