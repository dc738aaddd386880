"""When the change that a verdict tells of began: the one home of what pages, findings, mails and metrics say of it.

It began between two looks. The first bound is when the last usable answer of the look before the evidence was asked of
the subject, the second when that of the first look with evidence was: not when those runs ended, which is after the
judge's work, retries and a base that is asked late. So whatever began after the answers of the one look and before
those of the other lies between them, even in the seconds in which the first was being judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import log10
from typing import TYPE_CHECKING, Final, Protocol

from monitor.core.records import Alarm, Point
from monitor.core.wording import NO_EVIDENCE_LOG10

if TYPE_CHECKING:
    from monitor.store import StoreReader

HISTORY: Final = timedelta(days=90)
"""How far back the beginning of a change is looked for."""

BY_CHANCE_LOG10: Final = 0.3
"""By so much, twofold, evidence wavers while nothing changes."""


class Evaluated(Protocol):
    """What ``beginning`` reads of a finding."""

    @property
    def run_id(self) -> int: ...
    @property
    def evaluations(self) -> int: ...
    @property
    def window_end(self) -> datetime: ...


def beginning(
    finding: Evaluated,
    history: Sequence[Point],
    alarm: Alarm | None = None,
    asked: Mapping[int, datetime] | None = None,
) -> tuple[datetime, datetime | None]:
    """When what the finding claims was there at the latest, and when all was still well, where a look says so.

    ``alarm``: the one that the finding belongs to. It began no later than the look that raised it, even if the
    evidence went under 3 to 1 since then. ``asked``: when the last usable answer of each of ``edges`` was asked; a look
    without one (answers not kept) counts as of its verdict.

    The change lies between both where it began after the answers of the one look and before those of the other. Where
    it began in the midst of the look with the evidence, too: its last answer is later. Where it began in the midst of
    the look before, and too few of its answers were left to show it, it began earlier than the second time says, by
    less than that look took: a look that is spread over a day takes a day. An answer in flight as the change came
    counts as of when it was asked.
    """
    first, asked = _first(finding, history, alarm), asked or {}
    if first is None:
        return finding.window_end if alarm is None else min(finding.window_end, alarm.raised_at), None
    seen, *before = (asked.get(one.run_id, one.at) for one in reversed(history[max(first - 1, 0) : first + 1]))
    if alarm is not None and alarm.raised_at < seen:  # raised before the history begins, or judged anew since then
        seen = alarm.raised_at
    # Of looks asked side by side the one judged first may be asked last: it does not show that all was well before.
    return seen, before[0] if before and before[0] < seen else None


def edges(finding: Evaluated, history: Sequence[Point], alarm: Alarm | None = None) -> tuple[int, ...]:
    """The runs whose answers ``beginning`` needs the times of: two, or one or none where there is no look before."""
    first = _first(finding, history, alarm)
    return () if first is None else tuple(one.run_id for one in history[max(first - 1, 0) : first + 1])


def _first(finding: Evaluated, history: Sequence[Point], alarm: Alarm | None) -> int | None:
    """The place of the first look with evidence of what the finding claims; ``None``: the history does not have it."""
    runs = {finding.run_id} if alarm is None else {finding.run_id, alarm.raised_run_id}
    first = last = next((place for place, one in enumerate(history) if one.run_id in runs), None)
    if first is None or last is None:
        return None
    while first and (history[first - 1].alarming or history[first - 1].evidence_log10 >= NO_EVIDENCE_LOG10):
        first -= 1
    own = next((place for place, one in enumerate(history) if one.run_id == finding.run_id), last)
    return _rise(history[: last + 1], first, finding.evaluations - (own - last))


def _rise(history: Sequence[Point], first: int, evaluations: int) -> int:
    """The place, ``first`` or later, at which the evidence began to rise more than it does in health.

    There it is expected to grow by 1 a look (``detect.evidence``: the Shiryaev-Roberts e-detector), so that after weeks
    it stands over 3 to 1 without any change. ``evaluations``: how many are in the evidence of the history's last point.
    """
    last = len(history) - 1
    excess = [
        one.evidence_log10 - log10(max(1, evaluations - (last - place)))
        for place, one in enumerate(history[:-1])
        if place >= first - 1
    ]
    if not excess:
        return first
    calm = max(place for place, one in enumerate(excess) if one <= min(excess) + BY_CHANCE_LOG10)
    return max(first, max(first - 1, 0) + calm + 1)


@dataclass(frozen=True, slots=True)
class _Raising:
    """The verdict that raised an alarm."""

    run_id: int
    evaluations: int
    window_end: datetime


@dataclass(frozen=True, slots=True)
class Onset:
    """What led up to an open alarm."""

    began: datetime
    healthy: datetime | None
    """Both as ``beginning`` has them."""
    history: Sequence[Point] = ()
    """The signal's verdicts, oldest first."""
    asked: Mapping[int, datetime] = field(default_factory=dict)
    """Run id -> when its last usable answer was asked, of ``edges``."""


def beginnings(store: "StoreReader", alarms: Sequence[Alarm]) -> dict[int | None, Onset]:
    """Alarm id -> when its change began and from what that is known, for all of them at once.

    Raises StoreError.
    """
    onsets = store.onsets(alarms, HISTORY)
    known = [(one, onsets[one.id]) for one in alarms if one.id is not None and one.id in onsets]
    told = [(one, _Raising(one.raised_run_id, onset.evaluations, one.raised_at), onset.history) for one, onset in known]
    around = {one.id: edges(raising, history, one) for one, raising, history in told}
    asked = store.last_asked({run_id for some in around.values() for run_id in some})
    found: dict[int | None, Onset] = {one.id: Onset(one.raised_at, None) for one in alarms}
    for one, raising, history in told:
        times = {run_id: asked[run_id] for run_id in around[one.id] if run_id in asked}
        found[one.id] = Onset(*beginning(raising, history, one, times), history, times)
    return found
