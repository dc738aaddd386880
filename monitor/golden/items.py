"""What the formats share: the file, the items read from it, and an account of what could not be taken over."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

MAX_BYTES: Final = 100_000_000
MAX_FILE: Final = 1_000_000
"""Size of a file that an imported file names."""
Row = tuple[int, dict[str, Any]]
"""Line, counted from 1, and the mapping there."""


class ImportProblem(Exception):
    """The file is not what its format says. The message is what happened."""


@dataclass
class Notes:
    """What a file says that items cannot hold: text -> number of times and the first place."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, text: str, place: str) -> None:
        self.counts[text] = self.counts.get(text, 0) + 1
        self.first.setdefault(text, place)

    def lines(self) -> list[str]:
        return [f"{text} ({count:,}, first at {self.first[text]})" for text, count in self.counts.items()]


@dataclass(frozen=True)
class Source:
    """A file to import."""

    path: Path
    text: str
    tree: Any
    """The parsed content of JSON and YAML; None for JSON Lines and CSV."""
    rows: tuple[Row, ...]
    """The mappings of JSON Lines, CSV, or of a list in JSON or YAML."""

    def beside(self, name: str) -> str:
        """Text of a file that this one names. Raises ImportProblem."""
        folder = self.path.parent.resolve()
        path = (folder / name.removeprefix("file://")).resolve()
        if not path.is_relative_to(folder):
            raise ImportProblem(f"'{name}' is outside the folder of {self.path}; copy it there")
        return text_of(path, MAX_FILE)


def text_of(path: Path, limit: int = MAX_BYTES) -> str:
    """Text of a file. Raises ImportProblem."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(limit + 1)
    except OSError as error:
        raise ImportProblem(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > limit:
        raise ImportProblem(f"{path}: is larger than {limit // 1_000_000} MB; split it")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ImportProblem(f"{path}: is not UTF-8 text; save it as UTF-8") from error


def item(name: object, question: Any, **more: Any) -> dict[str, Any]:
    """An item as JSON Lines hold it. ``question``: text, or a list of messages. Empty values are left out."""
    key = "messages" if isinstance(question, list) else "input"
    made = {"id": identifier(name), key: question, **more}
    return {name: value for name, value in made.items() if value not in (None, "", [], ())}


def identifier(name: object) -> str:
    """A valid id: other characters become ``-``."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", str(name)).strip("-._")[:63]
    return clean or "item"


def conversation(value: Any, notes: Notes, place: str) -> Any:
    """Text or messages from what tools store as input. Messages of other roles and parts are noted.

    Raises ImportProblem if nothing is left to ask.
    """
    if isinstance(value, dict):
        value = _of_mapping(value, notes, place)
    if not isinstance(value, list):
        return text(value)
    messages = []
    for one in value:
        role = {"human": "user", "ai": "assistant", "developer": "system"}.get(str(_role(one)), _role(one))
        if role not in ("system", "user", "assistant"):
            notes.add(f"a message of the role '{role}' is left out", place)
        elif content := _content(one, notes, place):
            messages.append({"role": role, "content": content})
    while messages and messages[-1]["role"] != "user":
        notes.add("a last message that is not the user's is left out", place)
        messages.pop()
    if not messages:
        raise ImportProblem("has no message of the user")
    return messages


def _of_mapping(value: dict[str, Any], notes: Notes, place: str) -> Any:
    """The question in a mapping of inputs."""
    for key in ("messages", "input", "question", "prompt", "query", "text"):
        if value.get(key):
            for other in sorted(value.keys() - {key}):
                notes.add(f"the input '{other}' is left out, because '{key}' is asked", place)
            return value[key]
    strings = [one for one in value.values() if isinstance(one, str)]
    if len(value) == 1 and strings:
        return strings[0]
    notes.add("an input of several fields is asked as JSON", place)
    return json.dumps(value, ensure_ascii=False)


def _role(message: Any) -> Any:
    return (message.get("role") or message.get("type")) if isinstance(message, dict) else None


def _content(message: dict[str, Any], notes: Notes, place: str) -> str:
    content = message.get("content")
    if isinstance(content, list):
        if any(not (isinstance(part, dict) and part.get("type") == "text") for part in content):
            notes.add("a part of a message that is not text is left out", place)
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict) and part.get("text"))
    return text(content)


def text(value: Any) -> str:
    """A value as text: JSON, if it is not text already."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def answer(value: Any) -> str:
    """The expected answer in what tools store as output."""
    if isinstance(value, dict):
        for key in ("output", "answer", "expected", "expected_output", "content", "text", "response"):
            if value.get(key):
                return answer(value[key])
        if len(value) == 1:
            return answer(next(iter(value.values())))
    return text(value)


def unknown_keys(row: dict[str, Any], known: set[str], notes: Notes, place: str) -> None:
    """Notes each key with a value that no rule of the format uses."""
    for key in row:
        if key not in known and row[key] not in (None, "", [], {}):
            notes.add(f"'{key}' is left out", place)


def unique(items: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Items with a number after an id that was used before."""
    seen: dict[str, int] = {}
    for one in items:
        base = one["id"]
        seen[base] = seen.get(base, 0) + 1
        while one["id"] in seen and seen[base] > 1:
            one["id"] = f"{base[:56]}-{seen[base]}"
            if one["id"] not in seen:
                seen[one["id"]] = 1
                break
            seen[base] += 1
        yield one
