"""When runs are due, and how one run's questions are spread over its day. Pure: time is an argument.

A slot is the start of a run's period. ``due`` compares the period of ``now`` with the latest slot of an existing run.
So a daemon that was down makes only the latest missed run, and clock changes neither repeat nor skip a run.

On a full day (``day_seconds`` 86400) days are calendar days of the timezone: ``daily`` and ``every N days`` start at
local midnight, ``weekly mon 06:00`` at that local time. If a clock change skips that time, the slot is the same moment
on the old clock (02:30 becomes 03:30); if a change repeats it, the first one counts. A shortened day is ``day_seconds``
long, aligned to the Unix epoch; a week is seven such days, and clock times and the timezone are ignored.
"""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
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
DAILY: Final = "daily"
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

MARGIN: Final = 0.05
"""Share of the day after the last batch's interval: time to finish before the next run starts."""


SOON_DAYS: Final = 1.5
"""Days within which a suite's next scheduled run serves, where another evaluation is wanted. A suite that is asked less
often gets a run of its own a day later."""
MOST_FOLLOWING: Final = 6
"""Number of runs that may follow one scheduled run because the evidence grew: the other days of a week."""
FOLLOWING: Final = 0.5
"""Such runs per scheduled run while nothing changes, at most: by simulation of 40 weeks with four independent page
signals, 0.12 where days differ by chance, 0.29 (0.51 in the last ten weeks) at 1.5 times; see ``policy.grew``. They are
evaluations like others, so the threshold counts them."""

SHORTEST_DAY: Final = 22 / 24
"""Shortest day as a share of a full day: clocks go forward by one hour, at Troll station by two."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """A period of ``days`` whole days, counted from ``anchor``, starting at ``at`` local time."""

    days: int
    anchor: date
    at: time


@lru_cache(maxsize=64)
def parse(expression: str) -> Cadence:
    """Read ``daily``, ``every N days`` or ``weekly DAY HH:MM`` (``weekly`` is optional).

    Raises ValueError with the allowed forms.
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
    raise ValueError(f"{expression!r} is not a schedule; use 'daily', 'every N days' or 'weekly mon 06:00'")


def current_slot(expression: str, schedule: Schedule, now: datetime) -> datetime:
    """Start of the period that contains ``now``."""
    return _slot(expression, schedule, now, 0)


def next_slot(expression: str, schedule: Schedule, now: datetime) -> datetime:
    """Start of the next period after ``now``."""
    return _slot(expression, schedule, now, 1)


def first_slot(expression: str, schedule: Schedule, at: datetime) -> datetime:
    """Start of the first period that starts at ``at`` or later."""
    return next_slot(expression, schedule, at - MICROSECOND)


def expression_of(schedule: Schedule, suite: str, *, capturing: bool = False) -> str:
    """Schedule expression of the runs of ``suite``.

    ``capturing``: in an open capture window, in which production samples are drawn daily. So their baseline takes as
    many days as that of probes.
    """
    if suite_kind(suite).schedule == "probes":
        return schedule.probes
    return DAILY if capturing else schedule.production


def interval_seconds(schedule: Schedule, suite: str) -> float:
    """Seconds between scheduled runs of ``suite``; a production sample covers the same time."""
    return period_seconds(schedule, expression_of(schedule, suite))


def period_seconds(schedule: Schedule, expression: str) -> float:
    """Seconds between two slots of an expression."""
    return parse(expression).days * schedule.day_seconds


def runs_soon(schedule: Schedule, suite: str, at: datetime, *, at_least: datetime) -> bool:
    """Whether the first scheduled run of ``suite`` that starts at ``at_least`` or later is due within ``SOON_DAYS`` of
    ``at``."""
    slot = first_slot(expression_of(schedule, suite), schedule, at_least)
    return slot - at <= SOON_DAYS * _day(schedule)


def evaluations_per_year(schedule: Schedule, suite: str, *, capturing: bool = False) -> float:
    """Evaluations of ``suite`` in 365 days of the schedule while nothing changes: its scheduled runs, and those that
    follow them. ``capturing``: at the rate of an open capture window."""
    days = parse(expression_of(schedule, suite, capturing=capturing)).days
    return 365 / days * (1 + FOLLOWING if days > SOON_DAYS else 1)


def period_days(schedule: Schedule, suite: str) -> int:
    """Days between scheduled runs of ``suite``."""
    return parse(expression_of(schedule, suite)).days


def day_start(schedule: Schedule, now: datetime) -> datetime:
    """Start of the day that contains ``now``, at which a baseline's window of whole days starts."""
    return current_slot("daily", schedule, now)


def days_after(schedule: Schedule, begin: datetime, days: int) -> datetime:
    """The same local time ``days`` days later; a day has 23 or 25 hours if the clocks change."""
    if schedule.day_seconds != FULL_DAY:
        return begin + days * _day(schedule)
    if begin == day_start(schedule, begin):
        return _slot("daily", schedule, begin, days)
    local = begin.astimezone(ZoneInfo(schedule.timezone))
    return (local.replace(tzinfo=None, fold=0) + timedelta(days=days)).replace(tzinfo=local.tzinfo).astimezone(UTC)


def days_spanned(slots: Iterable[datetime], day_seconds: float) -> int:
    """Number of days that the runs at these slots span, for measuring how much days differ.

    A slot starts a new day if it is at least a day after the start of the previous one. Without slots in between,
    ``SHORTEST_DAY`` is enough, because the day on which the clocks go forward has 23 hours. So daily runs count one day
    each in every time zone, and hourly runs or a burst no more than the days they take. The configured zone is not
    used: it may have changed since, and only the time between runs matters here.
    """
    day = timedelta(seconds=day_seconds)
    days, began, before = 0, None, None
    for slot in sorted(set(slots)):
        if began is None or slot - began >= (day * SHORTEST_DAY if before == began else day):
            days, began = days + 1, slot
        before = slot
    return days


def days_apart(slots: Iterable[datetime], day_seconds: float) -> int:
    """Days between two runs at these slots, on average, in whole days; at least 1."""
    found = sorted(set(slots))
    if len(found) < 2:
        return 1
    return max(1, round((found[-1] - found[0]).total_seconds() / (len(found) - 1) / day_seconds))


def due(
    settings: Settings,
    now: datetime,
    latest: Mapping[tuple[str, str], datetime | None],
    capturing: Set[tuple[str, str]] = frozenset(),
) -> list[tuple[str, str, datetime]]:
    """(target, suite, slot) of every run to make, for the (target, suite) pairs of ``latest``.

    ``latest`` has the latest slot so far, or ``None`` for a pair without runs: its first run is due at once, with the
    slot of the current period. Of several missed slots, returns only the latest. A latest slot after ``now`` comes from
    a clock that was ahead, and does not keep the current period from being asked. ``capturing``: the pairs with an open
    capture window.
    """
    slots = {
        expression: current_slot(expression, settings.schedule, now)
        for expression in {settings.schedule.probes, settings.schedule.production, DAILY}
    }
    wanted = []
    for (target, suite), made in latest.items():
        slot = slots[expression_of(settings.schedule, suite, capturing=(target, suite) in capturing)]
        if made is None or made < slot or made > now:
            wanted.append((target, suite, slot))
    return wanted


def run_seed(target: str, suite: str, slot: datetime) -> int:
    """Seed of a run, 0 to 2**63 - 1. Deterministic."""
    digest = sha256(f"{target}\n{suite}\n{slot.astimezone(UTC).isoformat()}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def confirming_seed(seed: int) -> int:
    """Seed of the run that confirms the run with ``seed``, 0 to 2**63 - 1: other answers to the same probes."""
    return int.from_bytes(sha256(f"{seed}/confirming".encode()).digest()[:8], "big") >> 1


def batch_times(
    slot: datetime, schedule: Schedule, seed: int, suite: str = "", start: datetime | None = None
) -> tuple[datetime, ...]:
    """Times of a run's batches, in order.

    The day after ``slot`` is divided into ``schedule.batches`` equal intervals, except its last 5 %. Each batch has a
    random time in its interval, drawn from ``seed``.

    ``start`` is when the run really started. If that is late (a new target, or a daemon that was down), the batches are
    spread over one day from then, or over the rest of the period if that is shorter, to avoid a burst of missed
    questions. The first batch is then due at once, so that results appear soon. Production inputs are one batch, at the
    slot: they are the sample of a week, not of a day.
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
    """Assign each question to the time of one batch, keeping their order.

    All arms' questions about one probe and replicate are in the same batch, so that subject and base are asked under
    the same conditions. Batch sizes differ by at most one such group. Replicates of a probe go to different batches, if
    there are enough. The order of probes changes from run to run with ``seed``.
    """
    probes = sorted({question.probe for question in questions})
    Random(f"{seed}/plan").shuffle(probes)
    order = {probe: place for place, probe in enumerate(probes)}
    # Rotated per replicate, so that the next replicate of a probe is in the next batch.
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
