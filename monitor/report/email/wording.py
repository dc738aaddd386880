"""The wording of the mail: clauses, times and counts for HTML, plain text and the subject."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from monitor.core.records import BaselineStatus, Finding, Reason
from monitor.core.sanitize import visible
from monitor.core.signals import SPECS
from monitor.core.wording import many
from monitor.report.explain import claim, sentences

LOST: Final[Mapping[str, str]] = {
    Reason.TIMEOUT: "timed out",
    Reason.CONNECTION: "with no connection",
    Reason.RATE_LIMITED: "rate limited",
    Reason.SERVER_ERROR: "with a server error",
    Reason.REJECTED: "rejected by the server",
    Reason.UNAUTHORIZED: "refused without a valid key",
    Reason.QUOTA: "refused because the provider's quota is spent",
    Reason.MALFORMED: "with an unreadable reply",
    Reason.TRUNCATED: "cut off before the first word",
    Reason.UNKNOWN_FINISH: "with an unknown finish reason",
    Reason.BUDGET: "not asked because the budget is spent",
    Reason.UNPRICED: "not asked because the price is unknown",
}
"""Reason without an answer -> the words after the number of questions."""

LINE: Final = 260
"""Maximum number of characters of one sentence in the mail; the linked page has the full text."""
WORD: Final = 30
"""Maximum number of characters of a word that is cut as a whole."""
HALF: Final = timedelta(hours=12)
RECENT: Final = timedelta(days=6, hours=12)
"""Maximum age of a day that is called by its weekday."""


def clause(signal: str) -> str:
    """The rest of a sentence that begins with the name of a target whose ``signal`` alarms."""
    return SPECS[signal].clause if signal in SPECS else f"has changed ({visible(signal, limit=40)})"


def cut(text: str, limit: int = LINE) -> str:
    """``text`` on one line, sanitized, and cut with an ellipsis to ``limit`` characters: after a word, unless the word
    is longer than ``WORD``."""
    line = _harmless(text)
    if len(line) <= limit:
        return line
    kept, _, begun = line[: limit - 1].rpartition(" ")
    word = line[limit - 1 - len(begun) :].partition(" ")[0]
    return f"{kept.rstrip(' ,;') if kept and len(word) <= WORD else line[: limit - 1].rstrip()}…"


def cut_summary(finding: Finding) -> str:
    """A finding's summary in at most ``LINE`` characters. The advice is kept, if it is short; the rest is cut."""
    whole, advice = _harmless(sentences.summary(finding)), _harmless(sentences.then(finding))
    if len(whole) <= LINE or not advice or len(advice) > LINE // 2:
        return cut(whole)
    return f"{cut(sentences.claim(finding), LINE - 1 - len(advice))} {advice}"


def _harmless(text: str) -> str:
    """``text`` on one line, without characters that a terminal or a mail program interprets."""
    return visible(" ".join(text.split()))


def percent(share: float) -> str:
    """``3 %``; a share strictly between 0 and 1 never shows as 0 % or 100 %."""
    if 0 < share < 0.01:
        return "under 1 %"
    return "over 99 %" if 0.99 < share < 1 else f"{share:.0%}".replace("%", " %")


def odds(log10: float) -> str:
    """Evidence of at least 1 to 1 as odds: ``about 3,700 to 1``. Above a million, the number tells nothing more."""
    if log10 >= 6:
        return "more than a million to 1"
    size = 10**log10
    return f"about {size:.2g} to 1" if size < 100 else f"about {float(f'{size:.2g}'):,.0f} to 1"


def usd(amount: float) -> str:
    """``$12.40``; ``under $0.01`` for less than a cent."""
    return "under $0.01" if 0 < amount < 0.01 else f"${amount:,.2f}"


class Times:
    """Formats times for the mail's readers, in the schedule's timezone."""

    def __init__(self, zone: str, now: datetime) -> None:
        self.zone, self.now = ZoneInfo(zone), now

    def stamp(self, at: datetime) -> str:
        """``Tue 17 Nov 08:00``."""
        local = at.astimezone(self.zone)
        return f"{local:%a} {local.day} {local:%b %H:%M}"

    def day(self, at: datetime) -> str:
        """``Tue 17 Nov``; with the year if it is not the current one."""
        local = at.astimezone(self.zone)
        year = "" if local.year == self.now.astimezone(self.zone).year else f" {local.year}"
        return f"{local:%a} {local.day} {local:%b}{year}"

    def began(self, first: datetime, before: datetime | None) -> str:
        """``Began between Mon 16 Nov 10:24 (…) and Tue 17 Nov 10:24 (…)``, worded as on the finding's page."""
        return claim.since(first, before, self.zone, self.day)

    def period(self, since: datetime) -> str:
        """The days from ``since`` to now: ``Mon 16 to Sun 22 Nov``. A day counts if most of it is in the period."""
        first, last = (one.astimezone(self.zone) for one in (since + HALF, self.now - HALF))
        if first.date() > last.date():
            return f"{self.stamp(since)} to {self.stamp(self.now)}"
        if first.date() == last.date():
            return self.day(first)
        whole = self.day(first)
        month = f" {first:%b}" if (first.year, first.month) == (last.year, last.month) else ""
        return f"{whole.removesuffix(month) if month else whole} to {self.day(last)}"

    def ago(self, at: datetime) -> str:
        """``6 days``, ``5 hours``, ``10 minutes``: the rounded time since ``at``."""
        seconds = max((self.now - at).total_seconds(), 0.0)
        for size, noun, least in ((86400, "day", 36 * 3600), (3600, "hour", 5400), (60, "minute", 0)):
            if seconds >= least:
                return many(max(1, round(seconds / size)), noun)
        raise AssertionError("no time is under 0 seconds")

    def since(self, at: datetime | None) -> str:
        """``since Tuesday``, ``since 3 November``, ``since 10:20`` today; empty if unknown."""
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
    BaselineStatus.CAPTURED: "has a baseline that waits for approval",
    "": "has no baseline, so it is not compared",
}
"""Status of the baseline -> the rest of a sentence that begins with the name of a target that is not armed."""
