"""Reads one YAML file safely, with the line of every key.

It reads the core schema of YAML 1.2, not PyYAML's YAML 1.1: ``no``, ``on`` and ``06:00`` are text, as their authors
intended. Size, depth and number of values are limited, so that nested aliases cannot fill the memory. Errors become a
``Problem``; nothing here raises, and no message quotes the file's values.
"""

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.events import ScalarEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

try:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]
except ImportError:  # PyYAML was built without libyaml
    CParser = None  # type: ignore[misc, assignment]

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 40
MAX_VALUES: Final = 200_000
"""Values in one file; each use of an alias counts with all its values."""

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = _TAG + "merge"
_TEXT: Final = _TAG + "str"
_NOT_TEXT: Final = re.compile("[\0\ud800-\udfff]")


class _Resolver(BaseResolver):
    """Which plain scalars are not text: the core schema of YAML 1.2, section 10.3.2, and the merge key."""

    def resolve(self, kind: type[Node], value: str, implicit: Any) -> Any:
        """Like PyYAML's, but faster for files of many thousand scalars: the tag does not depend on the position."""
        if kind is not ScalarNode:
            return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if implicit[0]:
            for tag, pattern in self.yaml_implicit_resolvers.get(value[:1], ()):
                if pattern.match(value):
                    return tag
        return _TEXT


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.")),
    ("merge", r"^<<$", ["<"]),
):
    _Resolver.add_implicit_resolver(_TAG + _tag, re.compile(_pattern), _first)


class _Bounded(Composer):
    """Composes nodes no deeper than ``MAX_DEPTH``."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[attr-defined]
        if type(event) is ScalarEvent and event.anchor is None and event.tag is None and self.depth < MAX_DEPTH:
            self.get_event()  # type: ignore[attr-defined]
            tag = self.resolve(ScalarNode, event.value, event.implicit)  # type: ignore[attr-defined]
            start: Any = event.start_mark
            end: Any = event.end_mark  # the same type as the start, with either parser
            return ScalarNode(tag, event.value, start, end, style=event.style)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[attr-defined]
            raise yaml.MarkedYAMLError(problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Loader(Reader, Scanner, Parser, _Bounded, _Resolver):
    """Composes nodes and constructs nothing."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)


if CParser is None:
    _Fast: Any = _Loader
else:

    class _Fast(_Bounded, CParser, _Resolver):  # type: ignore[no-redef]
        """The same with libyaml, several times as fast. ``_Loader`` reads again what it rejects, for the message."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            _Resolver.__init__(self)


Loc = tuple[str | int, ...]
"""Where in a file: keys and list indices from the top."""


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


@dataclass(frozen=True)
class Document:
    """Content of a file, or why it could not be read.

    ``data`` consists of dict, list, str, int, float, bool and None; it is None if the file could not be read.
    ``lines`` has the line of each key and list item, counted from 1.
    """

    file: str
    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, loc: Loc) -> int | None:
        """The line of ``loc``, or of its nearest parent in the file."""
        return next((self.lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in self.lines), None)

    def problem(self, loc: Loc, text: str) -> Problem:
        return Problem(self.file, self.line(loc), key_path(loc), text)


def key_path(loc: Loc) -> str:
    """``('targets', 'bot', 'suites', 2)`` as ``targets.bot.suites[2]``."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" if path else _printable(part)
    return path


def _printable(key: str) -> str:
    short = key if len(key) <= 64 else key[:61] + "..."
    return short if short.isprintable() and short == short.strip() and short else repr(short)


def read(path: Path, missing: str = "file not found") -> Document:
    """Read one file. Never raises; errors are in ``problems``. ``missing``: the message for a missing file."""
    text = _text(path, missing)
    if isinstance(text, Problem):
        return Document(str(path), problems=[text])
    try:
        node = _node(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return _failed(path, line, f"not valid YAML: character U+{ord(text[error.position]):04X} is not allowed")
    except yaml.MarkedYAMLError as error:
        return _failed(path, *_syntax(error))
    if node is None:
        return _failed(path, None, "the file is empty")
    walk = _Walk(Document(str(path)))
    try:
        data = walk.value(node, ())
    except _TooMuchError as error:
        return _failed(path, error.line, str(error))
    return Document(str(path), data, walk.document.lines, walk.document.problems)


def _node(text: str) -> Node | None:
    """The file's only document. Raises YAMLError, always with the message of PyYAML's own scanner."""
    try:
        found: Node | None = _Fast(text).get_single_node()
    except yaml.YAMLError:
        found = _Loader(text).get_single_node()
    return found


def _failed(path: Path, line: int | None, text: str) -> Document:
    return Document(str(path), problems=[Problem(str(path), line, "", text)])


def _text(path: Path, missing: str) -> str | Problem:
    def problem(text: str) -> Problem:
        return Problem(str(path), None, "", text)

    try:
        if path.is_dir():
            return problem("is a folder, not a file")
        if not os.path.exists(path):
            return problem(missing)
        if not path.is_file():
            return problem("is not a regular file")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return problem(f"cannot be read: {getattr(error, 'strerror', None) or 'not a valid file name'}")
    if len(raw) > MAX_BYTES:
        return problem(f"is larger than {MAX_BYTES // 1024} KiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return Problem(str(path), line, "", "is not UTF-8 text; save it as UTF-8")


def _syntax(error: yaml.MarkedYAMLError) -> tuple[int | None, str]:
    mark = error.problem_mark or error.context_mark
    text = (error.problem or error.context or "unreadable").replace("'\\t'", "a tab")
    if "a tab" in text:
        text = "tabs are not allowed for indentation; use spaces"
    elif text.startswith("but found another document"):
        return (mark.line + 1 if mark else None), "contains a second document; keep one, without '---'"
    elif text == "second occurrence":
        text = str(error.context).replace("; first occurrence", "")
    began = error.context_mark
    if error.context and began and mark and began.line != mark.line:
        text += f" ({error.context} that starts on line {began.line + 1})"
    return (mark.line + 1 if mark else None), f"not valid YAML: {text}"


class _TooMuchError(Exception):
    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


class _Walk:
    """Turns nodes into plain values, noting lines and problems in ``document``."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.values = 0

    def value(self, node: Node, loc: Loc) -> Any:
        line = node.start_mark.line + 1
        self.values += 1
        if self.values > MAX_VALUES:
            raise _TooMuchError(f"more than {MAX_VALUES} values after expansion of aliases", line)
        if len(loc) > MAX_DEPTH:
            raise _TooMuchError(f"nested more than {MAX_DEPTH} levels deep, or an alias that contains itself", line)
        self.document.lines.setdefault(loc, line)
        if isinstance(node, ScalarNode):
            return self.scalar(node, loc)
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self.mapping(node, loc, {})
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*loc, index)) for index, item in enumerate(node.value)]
        return self.refuse_tag(node, loc)

    def mapping(self, node: MappingNode, loc: Loc, into: dict[str, Any]) -> dict[str, Any]:
        """Adds the keys of ``node`` to ``into``. Explicit keys come first and override merged ones."""
        own: dict[str, int] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self.refuse(loc, "a key must be a word or number, not a mapping or list", line)
            elif key_node.tag == _MERGE:
                merged += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
            elif key_node.value in own:
                text = f"duplicate key; first used on line {own[key_node.value]}"
                self.refuse((*loc, key_node.value), text, line)
            else:
                own[key_node.value] = line
                if key_node.value not in into:
                    place = (*loc, key_node.value)
                    self.document.lines[place] = line
                    into[key_node.value] = self.value(value_node, place)
        for other in merged:
            if isinstance(other, MappingNode):
                self.merge(other, loc, into)
            else:
                self.refuse(loc, "'<<' must be a mapping or a list of mappings")
        return into

    def merge(self, node: MappingNode, loc: Loc, into: dict[str, Any]) -> None:
        self.values += 1
        if self.values > MAX_VALUES or any(value is node for _, value in node.value):
            raise _TooMuchError("an alias that contains itself", node.start_mark.line + 1)
        try:
            self.mapping(node, loc, into)
        except RecursionError:
            raise _TooMuchError("an alias that contains itself", node.start_mark.line + 1) from None

    def scalar(self, node: ScalarNode, loc: Loc) -> Any:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind in ("str", "merge"):
            if _NOT_TEXT.search(text):
                return self.refuse(loc, "contains a character that is not allowed in text (NUL or a lone surrogate)")
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind in ("int", "float"):
            number = _number(text, kind)
            return self.refuse(loc, "is not a finite number, or too large") if number is None else number
        return self.refuse_tag(node, loc)

    def refuse_tag(self, node: Node, loc: Loc) -> None:
        tag = str(node.tag).replace(_TAG, "!!")
        self.refuse(loc, f"the tag '{tag}' is not allowed here")

    def refuse(self, loc: Loc, text: str, line: int | None = None) -> None:
        place = line or self.document.line(loc)
        self.document.problems.append(Problem(self.document.file, place, key_path(loc), text))


def _number(text: str, kind: str) -> int | float | None:
    try:
        number = int(text, 0 if text.startswith(("0x", "0o")) else 10) if kind == "int" else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and abs(number) < 1e18 else None
