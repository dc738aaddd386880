"""Reads golden sets from YAML, JSON Lines and CSV. All errors are reported at once, with file, line and key."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, ValidationError, model_validator

from monitor.config.problems import from_validation, in_order, render
from monitor.config.suites import AnyCheck, MessageFile, conversation
from monitor.config.yaml_reader import Document, Problem, read
from monitor.core import records
from monitor.core.errors import ConfigError
from monitor.core.records.golden import GoldenItem, GoldenSet
from monitor.core.section import Name, Section, Text

MAX_ITEMS: Final = 10_000
MAX_BYTES: Final = 50_000_000
_NUMBERS: Final = frozenset(("weight",))


class ItemFile(Section):
    """One item of a golden set: ``input``, or ``messages`` for a conversation."""

    id: Name = Field(description="id of the item, unique in the file; answers are compared by id")
    input: Text | None = Field(None, description="the user's prompt")
    messages: Annotated[tuple[MessageFile, ...], Field(min_length=1, max_length=100)] | None = Field(
        None, description="a conversation instead of an input; the last turn is the user's"
    )
    system: Text | None = Field(None, description="system prompt")
    tools: tuple[dict[str, Any], ...] = Field(
        (), max_length=128, description="tools that are offered, in the API's form"
    )
    expected: Text | None = Field(None, description="a correct answer")
    checks: tuple[AnyCheck, ...] = Field((), max_length=20, description="checks that the answer must pass")
    rubric: Text | None = Field(None, description="criterion for the judge")
    tags: tuple[Name, ...] = Field((), max_length=50, description="slices that the item belongs to")
    weight: float = Field(1.0, gt=0, le=1000, description="weight of the item in means")
    owner: str | None = Field(None, max_length=200, description="who answers for the item; not part of the digest")
    source: str | None = Field(None, max_length=1000, description="where the item is from; not part of the digest")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.input is None) == (self.messages is None):
            raise ValueError("requires either 'input' or 'messages'" + (", not both" if self.input else ""))
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("the last item of 'messages' must have the role user")
        if self.system and any(one.role == "system" for one in self.messages or ()):
            raise ValueError("requires either 'system' or a message of the role system, not both")
        return self


class GoldenFile(Section):
    """A golden set in YAML."""

    description: str | None = Field(None, max_length=10_000, description="for people; not part of the digest")
    items: tuple[ItemFile, ...] = Field(min_length=1, max_length=MAX_ITEMS, description="inputs and expectations")


def load_golden(path: Path) -> GoldenSet:
    """Raises ConfigError with every problem of the file, one per line."""
    found, problems = read_golden(path)
    if found is None:
        raise ConfigError(render(problems))
    return found


def read_golden(path: Path) -> tuple[GoldenSet | None, tuple[Problem, ...]]:
    """Read one golden set. Returns none if there are problems."""
    readers = {".yaml": _yaml, ".yml": _yaml, ".jsonl": _jsonl, ".csv": _csv}
    reader = readers.get(path.suffix)
    if reader is None:
        known = ", ".join(readers)
        return None, (Problem(str(path), None, "", f"a golden set is a {known} file; rename it or import it"),)
    problems: list[Problem] = []
    items = list(reader(path, problems))
    problems += _repeated(path, items)
    if not items and not problems:
        problems.append(Problem(str(path), None, "", "contains no items"))
    if problems:
        return None, in_order(problems)
    return GoldenSet(path.stem, tuple(_item(parsed) for _, parsed in items)), ()


def _yaml(path: Path, problems: list[Problem]) -> Iterator[tuple[int, ItemFile]]:
    document = read(path)
    problems += document.problems
    if not isinstance(document.data, dict):
        if not document.problems:
            problems.append(document.problem((), "must be a mapping (key: value) with 'items'"))
        return
    try:
        parsed = GoldenFile.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        problems += from_validation(GoldenFile, error, document)
        return
    for index, item in enumerate(parsed.items):
        yield document.line(("items", index)) or 1, item


def _jsonl(path: Path, problems: list[Problem]) -> Iterator[tuple[int, ItemFile]]:
    for number, line in enumerate(_text(path, problems).split("\n"), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            problems.append(Problem(str(path), number, "", "not valid JSON; each line is one item"))
            continue
        yield from _parsed(path, number, data, problems)


def _csv(path: Path, problems: list[Problem]) -> Iterator[tuple[int, ItemFile]]:
    """One item per row. ``tags`` are separated by blanks, commas or ``;``; checks need YAML or JSON Lines."""
    rows = csv.DictReader(io.StringIO(_text(path, problems)), strict=True)
    try:
        for row in rows:
            if None in row:
                problems.append(Problem(str(path), rows.line_num, "", "has more values than the header has columns"))
                continue
            yield from _parsed(path, rows.line_num, _of_row(row), problems)
    except csv.Error as error:
        problems.append(Problem(str(path), rows.line_num, "", f"not valid CSV: {error}"))


def _of_row(row: dict[str, str | None]) -> dict[str, Any]:
    """The values of a row that are set, with their types."""
    data: dict[str, Any] = {key: value for key, value in row.items() if value}
    if "tags" in data:
        data["tags"] = data["tags"].replace(",", " ").replace(";", " ").split()
    for key in _NUMBERS & data.keys():
        try:
            data[key] = float(data[key])
        except ValueError:
            continue  # reported as text where a number is expected
    return data


def _parsed(path: Path, number: int, data: Any, problems: list[Problem]) -> Iterator[tuple[int, ItemFile]]:
    document = Document(str(path), data, {(): number})
    if not isinstance(data, dict):
        problems.append(document.problem((), "must be a mapping with 'id' and 'input'"))
        return
    try:
        yield number, ItemFile.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        problems += from_validation(ItemFile, error, document)


def _text(path: Path, problems: list[Problem]) -> str:
    """The content of a file, or "" and a problem."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            problems.append(Problem(str(path), None, "", f"is larger than {MAX_BYTES // 1_000_000} MB; split it"))
            return ""
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        problems.append(Problem(str(path), None, "", f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problems.append(Problem(str(path), line, "", "is not UTF-8 text; save it as UTF-8"))
    return ""


def _repeated(path: Path, items: list[tuple[int, ItemFile]]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for line, item in items:
        if item.id in first:
            yield Problem(str(path), line, "id", f"'{item.id}' is already used on line {first[item.id]}")
        first.setdefault(item.id, line)


def _item(parsed: ItemFile) -> GoldenItem:
    messages = conversation(parsed.messages, parsed.input, parsed.system)
    checks = tuple(
        records.Check(one.kind, one.model_dump(by_alias=True, exclude={"kind"}, exclude_none=True))
        for one in parsed.checks
    )
    base = GoldenItem(parsed.id, messages, parsed.expected, checks, parsed.rubric, parsed.tools, parsed.tags)
    return replace(base, weight=parsed.weight, owner=parsed.owner, source=parsed.source)
