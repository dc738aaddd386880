"""The words of the mail: clauses, times and counts, the same in HTML, in plain text and in the subject."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from monitor.hostile import visible
from monitor.records import BaselineStatus

CLAUSES: Final[Mapping[str, str]] = {
    "adapter_loss": "answers like its base",
    "base_match": "gives its base's very answers",
    "canaries": "fails its canaries",
    "judge_score": "is judged worse",
    "negative_flips": "fails what it passed",
    "distribution": "answers differently",
    "logprobs": "begins its answers differently",
    "border": "decides near-ties differently",
    "length": "answers at another length",
    "contract": "answers under another contract",
}
"""Signal -> what the target does, after its name."""

LINE: Final = 260
"""Most characters of one sentence in the mail; the page that it links to has it whole."""
RECENT: Final = timedelta(days=6, hours=12)
"""Younger than this, a day is called by its weekday."""


def clause(signal: str) -> str:
    """What a target does whose ``signal`` alarms."""
    return CLAUSES.get(signal, f"has changed ({visible(signal, limit=40)})")


def cut(text: str, limit: int = LINE) -> str:
    """``text`` on one line, made harmless, and cut with an ellipsis where it is longer than ``limit``."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def many(count: int, noun: str) -> str:
    """``1 target``, ``1,200 targets``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """``3 %``; a share that is neither none nor all never reads as one."""
    if 0 < share < 0.01:
        return "under 1 %"
    return "over 99 %" if 0.99 < share < 1 else f"{share:.0%}".replace("%", " %")


def usd(amount: float) -> str:
    """``$12.40``; less than a cent is not nothing."""
    return "under $0.01" if 0 < amount < 0.01 else f"${amount:,.2f}"


class Times:
    """Moments as the mail's readers call them, in the schedule's timezone."""

    def __init__(self, zone: str, now: datetime) -> None:
        self.zone, self.now = ZoneInfo(zone), now

    def stamp(self, at: datetime) -> str:
        """``Tue 17 Nov 08:00``."""
        local = at.astimezone(self.zone)
        return f"{local:%a} {local.day} {local:%b %H:%M}"

    def day(self, at: datetime) -> str:
        """``Tue 17 Nov``; with its year where that is not this one."""
        local = at.astimezone(self.zone)
        year = "" if local.year == self.now.astimezone(self.zone).year else f" {local.year}"
        return f"{local:%a} {local.day} {local:%b}{year}"

    def since(self, at: datetime | None) -> str:
        """``since Tuesday``, ``since 3 November``, ``since 10:20`` today; nothing where it is not known."""
        if at is None:
            return ""
        local, today = at.astimezone(self.zone), self.now.astimezone(self.zone)
        if local.date() == today.date():
            return f"since {local:%H:%M}"
        if self.now - at < RECENT:
            return f"since {local:%A}"
        year = "" if local.year == today.year else f" {local.year}"
        return f"since {local.day} {local:%B}{year}"

    def ahead(self, at: datetime) -> str:
        """``in 12 days``, ``today``, ``3 days ago``: by calendar days."""
        days = (at.astimezone(self.zone).date() - self.now.astimezone(self.zone).date()).days
        if days == 0:
            return "today"
        return f"in {many(days, 'day')}" if days > 0 else f"{many(-days, 'day')} ago"


NOT_ARMED: Final[Mapping[str, str]] = {
    "outdated": "is not compared: its suite changed since the baseline",
    BaselineStatus.CAPTURED: "waits for its baseline to be approved",
    "": "has no baseline, so nothing is compared",
}
"""Why a target that is asked is told nothing about, after its name."""
