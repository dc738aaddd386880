"""When a change began, as pages, findings, mail and metrics show it.

It began between two evaluations. The lower bound is the time at which the last usable answer of the subject was asked
in the evaluation before the evidence; the upper bound is that of the first evaluation with evidence. The times at which
those runs ended are later, because of the judge's work, retries and a base that is asked late. So a change that began
after the answers of the first and before those of the second lies between the bounds, even if it began while the first
was being judged.
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
"""How far back the beginning of a change is searched."""

BY_CHANCE_LOG10: Final = 0.3
"""Evidence varies by this much, a factor of two, while nothing changes."""


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
    """The latest time at which the change was present, and the last time at which the target was healthy, if known.

    ``alarm``: the alarm of the finding. The change began no later than the evaluation that raised it, even if the
    evidence fell below 3 to 1 since then. ``asked``: when the last usable answer of each of ``edges`` was asked. An
    evaluation without one (answers not kept) counts with the time of its verdict.

    The change lies between both times if it began after the answers of the earlier evaluation and before those of the
    later one, or during the later one, whose last answer is later. If it began during the earlier one, with too few
    answers left to show it, it began before the second time returned, by less than the length of that run: up to a day
    where a run is spread over a day. An answer in flight when the change came counts with the time at which it was
    asked.
    """
    first, asked = _first(finding, history, alarm), asked or {}
    if first is None:
        return finding.window_end if alarm is None else min(finding.window_end, alarm.raised_at), None
    seen, *before = (asked.get(one.run_id, one.at) for one in reversed(history[max(first - 1, 0) : first + 1]))
    if alarm is not None and alarm.raised_at < seen:  # raised before the history begins, or judged again since
        seen = alarm.raised_at
    # Of runs asked at the same time, the one judged first may have been asked last: it does not show an earlier health.
    healthy = bool(first) and not history[first - 1].alarming  # an alarm may be cleared by hand during the incident
    return seen, before[0] if healthy and before[0] < seen else None


def edges(finding: Evaluated, history: Sequence[Point], alarm: Alarm | None = None) -> tuple[int, ...]:
    """The runs for whose answers ``beginning`` needs the times: two, or fewer if there is no evaluation before."""
    first = _first(finding, history, alarm)
    return () if first is None else tuple(one.run_id for one in history[max(first - 1, 0) : first + 1])


def _first(finding: Evaluated, history: Sequence[Point], alarm: Alarm | None) -> int | None:
    """The index of the first evaluation with evidence of the finding's claim; ``None`` if it is not in the history."""
    runs = {finding.run_id} if alarm is None else {finding.run_id, alarm.raised_run_id}
    first = last = next((place for place, one in enumerate(history) if one.run_id in runs), None)
    if first is None or last is None:
        return None
    first, anew = _after_recovery(history, first, alarm)
    own = next((place for place, one in enumerate(history) if one.run_id == finding.run_id), last)
    return _rise(history[: last + 1], first, finding.evaluations - (own - last), anew=anew)


def _after_recovery(history: Sequence[Point], start: int, alarm: Alarm | None) -> tuple[int, bool]:
    """The index, ``start`` or earlier, of the first evaluation with evidence that belongs to the same incident, and
    whether it is the first after another alarm was over.

    An evaluation that alarms raises an alarm unless one is open. So one that alarmed before the alarm was raised
    belongs to an earlier alarm, and the first one after it that did not alarm ended that alarm. If all alarmed since
    then, a person cleared the earlier alarm during the incident.
    """
    another = history[start].run_id == alarm.raised_run_id if alarm is not None else not history[start].alarming
    first = start
    while first and (history[first - 1].alarming or history[first - 1].evidence_log10 >= NO_EVIDENCE_LOG10):
        if another and history[first - 1].alarming and not history[first].alarming and first < start:
            return first + 1, True
        first -= 1
    return first, False


def _rise(history: Sequence[Point], first: int, evaluations: int, *, anew: bool) -> int:
    """The index, ``first`` or later, at which the evidence began to rise faster than in a healthy period.

    In a healthy period, its expected growth is 1 per evaluation (``detect.evidence``: the Shiryaev-Roberts e-detector),
    so after weeks it is over 3 to 1 without a change. ``evaluations``: the number in the evidence of the history's last
    point. ``anew``: evidence started anew with ``first``.
    """
    last = len(history) - 1
    excess = [
        one.evidence_log10 - log10(max(1, evaluations - (last - place)))
        for place, one in enumerate(history[:-1])
        if place >= first - (not anew)
    ]
    excess = [0.0, *excess] if anew else excess
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
    """The beginning of an open alarm, and the evaluations that led to it."""

    began: datetime
    healthy: datetime | None
    """Both as ``beginning`` returns them."""
    history: Sequence[Point] = ()
    """The signal's verdicts, oldest first."""
    asked: Mapping[int, datetime] = field(default_factory=dict)
    """Run id -> when its last usable answer was asked, for ``edges``."""


def beginnings(store: "StoreReader", alarms: Sequence[Alarm]) -> dict[int | None, Onset]:
    """Alarm id -> when its change began, with the evaluations that show it, for all alarms at once.

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
