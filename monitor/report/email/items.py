"""What a target's card is made of: lines of a list, and the problems that they tell."""

from dataclasses import dataclass
from datetime import datetime

from monitor.report.attention import NEVER, Need, Reason
from monitor.report.email.data import Key


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a list."""

    text: str
    name: str = ""
    label: str = ""
    """A word in front of it: its kind or its time."""
    link: str | None = None
    command: str = ""
    """The command to run."""
    tone: str = ""
    lead: str = ""
    """Emphasised text before the rest: the duration."""
    state: str = ""
    """Since when, and who acknowledged it."""
    likely: tuple[str, str] | None = None
    """What is likely at fault, and why, as on the finding's page."""
    first: tuple[str, str] | None = None
    """Words and address of a page to read before running the command."""


@dataclass(frozen=True, slots=True)
class Trouble:
    reason: Reason
    clause: str
    """The rest of a sentence that begins with the target's name."""
    since: datetime | None
    item: Item
    place: int = 0
    """Sort key among problems of the same need: causes before consequences."""
    key: Key | None = None
    """The series of an alarm."""

    @property
    def order(self) -> tuple[Need, int, datetime]:
        """Sort key among the target's problems: by need, then causes first, then the oldest."""
        return self.reason.need, self.place, self.since or NEVER


def at_page(address: str | None, *path: str) -> str | None:
    """The address of a page; ``None`` if the pages' address is unknown. Names need no quoting."""
    return None if address is None else "/".join((address.rstrip("/"), *path))
