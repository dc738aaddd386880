"""The declaration of an arm, and a source's metadata of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final

from monitor.core.records import Arm

LONGEST_NAME: Final = 120
"""Shown characters of a name from a server or file."""

Key = tuple[str, Arm]
"""Target and arm."""


class UnreadableError(Exception):
    """The metadata is missing or cannot be parsed: no reading, and no mismatch."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One arm of a target at a provider with an API."""

    target: str
    arm: Arm
    model: str
    base: str | None = None
    """The base's model id, if the base is declared at the same provider."""
    trained_on: str | None = None
    """The base of the declared adapter: a hub id or a folder."""
    adapter: str | None = None
    """Folder of the declared adapter."""

    @property
    def key(self) -> Key:
        return self.target, self.arm


@dataclass(frozen=True, slots=True)
class Files:
    """An adapter on disk, with the base that it belongs to."""

    target: str
    arm: Arm
    path: Path
    base: str
    """The base that the adapter must name: a hub id, or the base's folder."""
    revision: str | None = None
    """The base's commit."""
    folder: Path | None = None
    """Folder of the base's weights, if they are on this machine."""

    @property
    def key(self) -> Key:
        return self.target, self.arm


@dataclass(frozen=True, slots=True)
class Checked:
    """One comparison."""

    check: str
    matches: bool | None
    """``None``: cannot tell; ``found`` says why."""
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Absence:
    """The list of a server leaves the model out, or is hidden. The answers to requests decide; see ``asked``."""

    found: str
    """What was seen instead."""
    sure: bool = False
    """Whether the server lists everything that it serves."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One source's metadata of one arm."""

    checks: tuple[Checked, ...] = ()
    retires_at: datetime | None = None
    unread: Mapping[str, str] = field(default_factory=dict)
    """Check -> why it could not be made this time, although it applies. Its last result stays."""
    absent: Absence | None = None
    """In place of the check ``listed``, if the list does not have the model."""
    served: Mapping[str, str] | None = None
    """What the server's list says about the model, such as ``root`` and ``parent``; ``None`` if it is not listed."""


Said = tuple[int, Any]
"""HTTP status and parsed body, ``None`` if the body is not JSON."""

Get = Callable[[str], Awaitable[Said]]
"""GET a path below the API's root. Raises CouldNotMeasure without a reply."""

ServerSource = Callable[[Sequence[Declared], Get], Awaitable[dict[Key, Reading]]]
"""One provider's metadata of the arms at it, by arm. Raises UnreadableError if it has none."""


def quoted(name: object) -> str:
    """A name from a server or file, for display: printable, cut, in quotes."""
    text = name if isinstance(name, str) else type(name).__name__
    shown = "".join(char if char.isprintable() else "?" for char in text[:LONGEST_NAME])
    return f"'{shown}{'...' if len(text) > LONGEST_NAME else ''}'"


def moment(value: object) -> datetime | None:
    """A date (its first moment, UTC) or a time in ISO 8601; ``None`` if it is neither."""
    if not isinstance(value, str) or not 8 <= len(value) <= 40:
        return None
    try:
        if len(value) == 10:
            return datetime.combine(date.fromisoformat(value), time(), UTC)
        at = datetime.fromisoformat(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
