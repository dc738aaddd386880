"""What a scan finds: names that can move, files that could not be read, and what was left out."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path


class Rule(StrEnum):
    """Kinds of names that float. The values are the rule ids in SARIF."""

    MODEL_ALIAS = "model-alias"
    HUB_REVISION = "hub-revision"
    IMAGE_TAG = "image-tag"
    LIBRARY_VERSION = "library-version"


TITLES: dict[Rule, str] = {
    Rule.MODEL_ALIAS: "A vendor's model name that the vendor points to another model",
    Rule.HUB_REVISION: "A hub repository without a commit, or with a branch or tag",
    Rule.IMAGE_TAG: "A container image by tag; a digest does not move",
    Rule.LIBRARY_VERSION: "A library that decides what is served, without an exact version",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """Why a value floats and what to write instead. ``retires``: the day the vendor shuts the model down, if known."""

    rule: Rule
    what: str
    instead: str
    retires: date | None = None
    source: str = ""
    """Where the alias and its dates were read: a URL and a date. Empty if the rule needs no source."""


@dataclass(frozen=True, slots=True)
class Floating:
    """One name that can move, with its place. ``line`` counts from 1."""

    file: str
    line: int
    advice: Advice

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text()}"

    def text(self) -> str:
        """The finding without its place."""
        advice = self.advice
        day = f"; {retirement(advice.retires)}" if advice.retires else ""
        return f"{advice.what}; {advice.instead}{day}"


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that could not be read, so nothing is known about it."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: could not be read: {self.reason}"


@dataclass(frozen=True)
class Scan:
    """Result of a scan."""

    floating: tuple[Floating, ...]
    unread: tuple[Unread, ...]
    files: int
    """Number of files that were read."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> number of files and folders that were not read on purpose."""


@dataclass(frozen=True)
class Text:
    """The content of one file, and what its reader may know about its surroundings."""

    path: Path
    text: str
    locked: frozenset[str] = frozenset()
    """Names of libraries that a lock or constraints file of the folder or its parents pins."""

    def is_local(self, name: str) -> bool:
        """Whether ``name`` is a file or folder next to this file, in one of its parents or in the working folder."""
        if name.startswith(("/", "./", "../", "~", "file:")):
            return True
        return any((folder / name).exists() for folder in (*list(self.path.parents)[:4], Path()))


Found = tuple[int, Advice]
"""Line and advice."""


class UnreadableError(Exception):
    """A file is not what its name says. The message is the reason."""


def retirement(day: date, today: date | None = None) -> str:
    """``retires 2027-01-14``, or ``retired on 2026-02-17``."""
    now = today or datetime.now(UTC).date()
    return f"retires {day}" if day >= now else f"retired on {day}"
