"""When runs are due, and how one run's questions are spread over its day. Pure: time is an argument.

A slot is the start of a run's period. Slots are counted, not ticked: ``due`` compares the period that ``now`` lies
in with the latest slot that was ever made, so a daemon that was down makes up the latest missed run and no more,
and no clock change makes a run twice or never.

On a full day (``day_seconds`` 86400) days are the timezone's calendar days: ``daily`` and ``every N days`` begin
at local midnight, ``weekly mon 06:00`` at that local time. Where a spring change skips that time, the slot is the
same moment by the clock of before (02:30 becomes 03:30); where an autumn change repeats it, the first one counts.
A shortened day is ``day_seconds`` long, aligned to the Unix epoch; a week is then seven of them, and clock times
and the timezone mean nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from hashlib import sha256
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from monitor.core.records import Question
from monitor.core.run_kinds import suite_kind
from monitor.core.settings import Schedule, Settings

FULL_DAY: Final = 86_400
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

MARGIN: Final = 0.05
"""Share of the day left after the last batch's stretch: time to finish before the next run begins."""


SHORTEST_DAY: Final = 22 / 24
"""Of a day: clocks go forward by an hour, at Troll station by two."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """A period of whole days: ``days`` long, counted from ``anchor``, beginning at ``at`` local time."""

    days: int
    anchor: date
    at: time


@lru_cache(maxsize=64)
def parse(expression: str) -> Cadence:
    """Read ``daily``, ``every N days`` or ``weekly DAY HH:MM`` (``weekly`` may be left out).

    Raises ValueError that says what is understood.
    """
    words = expression.lower().split()
    if words == ["daily"]:
        return Cadence(1, EPOCH.date(), time(0))
    if match := re.fullmatch(r"every (\d{1,4}) days?", " ".join(words)):
        if (days := int(match[1])) >= 1:
            return Cadence(days, EPOCH.date(), time(0))
    elif match := re.fullmatch(rf"(?:weekly )?({'|'.join(WEEKDAYS)}) ([01]?\d|2[0-3]):([0-5]\d)", " ".join(words)):
        monday = date(1970, 1, 5)
        return Cadence(7, monday + timedelta(days=WEEKDAYS.index(match[1])), time(int(match[2]), int(match[3])))
    raise ValueError(f"{expression!r} is no schedule; write 'daily', 'every N days' or 'weekly mon 06:00'")


def current_slot(expression: str, schedule: Schedule, now: datetime) -> datetime:
    """The start of the period that ``now`` lies in."""
    return _slot(expression, schedule, now, 0)


def next_slot(expression: str, schedule: Schedule, now: datetime) -> datetime:
    """The start of the period after the one that ``now`` lies in."""
    return _slot(expression, schedule, now, 1)


def expression_of(schedule: Schedule, suite: str) -> str:
    """The schedule expression that runs of ``suite`` follow."""
    return schedule.production if suite_kind(suite).schedule == "production" else schedule.probes


def interval_seconds(schedule: Schedule, suite: str) -> float:
    """Seconds from one scheduled run of ``suite`` to the next; a production sample reaches as far back."""
    return period_seconds(schedule, expression_of(schedule, suite))


def period_seconds(schedule: Schedule, expression: str) -> float:
    """Seconds from one moment of an expression to the next."""
    return parse(expression).days * schedule.day_seconds


def looks_per_year(schedule: Schedule, suite: str) -> float:
    """Scheduled runs of ``suite`` in 365 of the schedule's days."""
    return 365 / parse(expression_of(schedule, suite)).days


def day_start(schedule: Schedule, now: datetime) -> datetime:
    """The start of the day that ``now`` lies in: where a baseline's window of whole days begins."""
    return current_slot("daily", schedule, now)


def days_after(schedule: Schedule, begin: datetime, days: int) -> datetime:
    """The same time so many days later: a day is 23 or 25 hours long where the clocks change."""
    if schedule.day_seconds != FULL_DAY:
        return begin + days * _day(schedule)
    if begin == day_start(schedule, begin):
        return _slot("daily", schedule, begin, days)
    local = begin.astimezone(ZoneInfo(schedule.timezone))
    return (local.replace(tzinfo=None, fold=0) + timedelta(days=days)).replace(tzinfo=local.tzinfo).astimezone(UTC)


def days_spanned(slots: Iterable[datetime], day_seconds: float) -> int:
    """How many days the runs at these slots span: as many as can tell how much days differ.

    A slot begins a day of its own a day after the one that began the day before, or, where no other lies between, at
    ``SHORTEST_DAY`` of it: the day on which the clocks go forward is 23 hours long. So daily runs count one a day in
    every time zone, and hourly ones or a burst no more than the days they take. The zone itself is not asked: it may
    have changed since, and what counts here is the time between, not what a calendar calls it.
    """
    day = timedelta(seconds=day_seconds)
    days, began, before = 0, None, None
    for slot in sorted(set(slots)):
        if began is None or slot - began >= (day * SHORTEST_DAY if before == began else day):
            days, began = days + 1, slot
        before = slot
    return days


def due(
    settings: Settings, now: datetime, latest: Mapping[tuple[str, str], datetime | None]
) -> list[tuple[str, str, datetime]]:
    """(target, suite, slot) of every run to make, for the (target, suite) pairs of ``latest``.

    ``latest`` holds the latest slot made so far, ``None`` for a pair that never had a run: its first is due at
    once, with the slot of the period it is in. Of several missed slots only the latest comes back.
    """
    slots = {
        expression: current_slot(expression, settings.schedule, now)
        for expression in {settings.schedule.probes, settings.schedule.production}
    }
    wanted = []
    for (target, suite), made in latest.items():
        slot = slots[expression_of(settings.schedule, suite)]
        if made is None or made < slot:
            wanted.append((target, suite, slot))
    return wanted


def run_seed(target: str, suite: str, slot: datetime) -> int:
    """The seed of a run, 0 to 2**63 - 1, the same wherever and whenever it is computed."""
    digest = sha256(f"{target}\n{suite}\n{slot.astimezone(UTC).isoformat()}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def confirming_seed(seed: int) -> int:
    """The seed of the run that confirms the one with ``seed``, 0 to 2**63 - 1: other answers to the same probes."""
    return int.from_bytes(sha256(f"{seed}/confirming".encode()).digest()[:8], "big") >> 1


def batch_times(
    slot: datetime, schedule: Schedule, seed: int, suite: str = "", start: datetime | None = None
) -> tuple[datetime, ...]:
    """When the parts of a run are asked, in order.

    The day after ``slot`` is cut into ``schedule.batches`` equal stretches, which end 5 % before it does; each
    batch has a random moment of its own stretch, drawn from ``seed``.

    ``start`` is when the run was really begun. Late (a new target at noon, a daemon that was down), the batches
    are spread over one day from then, or over what is left of the period where that is less, so that what was
    missed is not asked in one burst; the first batch is then due at once, so that there is something to see.
    Production inputs are asked in one batch, at the slot: they are the week's sample, not the day's.
    """
    begin = slot if start is None else max(slot, start)
    if not suite_kind(suite).spread:
        return (begin,)
    period_end = next_slot(schedule.probes, schedule, slot)
    room = max(min(days_after(schedule, begin, 1), period_end) - begin, timedelta(0))
    stretch = room * (1 - MARGIN) / schedule.batches
    draw = Random(f"{seed}/batches")
    times = [begin + (place + draw.random()) * stretch for place in range(schedule.batches)]
    if begin > slot:
        times[0] = begin
    return tuple(times)


def plan(questions: Sequence[Question], times: Sequence[datetime], seed: int) -> list[Question]:
    """Give each question the time of one batch, in the order they came.

    Every arm's question about one probe and replicate is in the same batch, so that subject and base are asked
    under the same conditions. Batches differ by one such group at most; the replicates of a probe go to different
    batches as far as there are enough; which probes are asked when changes from run to run with ``seed``.
    """
    probes = sorted({question.probe for question in questions})
    Random(f"{seed}/plan").shuffle(probes)
    order = {probe: place for place, probe in enumerate(probes)}
    # Turned from replicate to replicate, so that the next replicate of a probe falls into the next batch.
    turn = (1 - len(probes)) % len(times)
    groups = sorted(
        {(question.replicate, question.probe) for question in questions},
        key=lambda group: (group[0], (order[group[1]] + group[0] * turn) % len(probes)),
    )
    batch = {group: times[place % len(times)] for place, group in enumerate(groups)}
    return [replace(question, due_at=batch[(question.replicate, question.probe)]) for question in questions]


def _slot(expression: str, schedule: Schedule, now: datetime, ahead: int) -> datetime:
    if now.tzinfo is None:
        raise ValueError(f"times are aware and in UTC: {now!r}")
    cadence = parse(expression)
    if schedule.day_seconds != FULL_DAY:
        step = cadence.days * _day(schedule)
        return EPOCH + ((now - EPOCH) // step + ahead) * step
    zone = ZoneInfo(schedule.timezone)
    index = (now.astimezone(zone).date() - cadence.anchor).days // cadence.days
    if _begin(cadence, zone, index) > now:
        index -= 1
    return _begin(cadence, zone, index + ahead)


def _begin(cadence: Cadence, zone: ZoneInfo, index: int) -> datetime:
    day = cadence.anchor + timedelta(days=index * cadence.days)
    return datetime.combine(day, cadence.at, zone).astimezone(UTC)


def _day(schedule: Schedule) -> timedelta:
    return round(schedule.day_seconds * 1_000_000) * MICROSECOND
