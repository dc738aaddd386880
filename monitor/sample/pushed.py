"""Bounded samples of inputs that clients push, kept while they arrive.

The process of ``push_process`` reads and redacts a request's body. Here, its results are counted and added to the
reservoir of their target and day. A day is a part of a sampling period: days of one period have the same seed, so their
reservoirs merge to that of the period, and a baseline can be captured from single days.

Nothing here is unredacted. ``changes`` is what the store lacks; a daemon that is killed loses only that.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from monitor.core import schedule, settings
from monitor.core.records import KeptInput, LeftOutReason, PushedChange, PushedIds, PushedWindow
from monitor.core.run_kinds import PRODUCTION
from monitor.sample import NO_PARAMETERS, Item, Sampled, drawn
from monitor.sample.request_log import AHEAD
from monitor.sample.reservoir import Kept, Strata
from monitor.sample.tally import Tally

LATE: Final = timedelta(hours=1)
"""An input may arrive this long after its period ended; it then counts in the next one."""

STRATA: Final = 64
"""Strata of one day with a reservoir of their own; fewer if the sample is large."""

MOST_CHARS: Final = 32 * 2**20
"""Characters of the inputs kept for one target and day. Beyond, the reservoirs of the largest strata shrink."""

PART: Final = 4_096
PARTS: Final = 16
"""Ids by which repeated inputs are recognized, per target: the latest ``PART * (PARTS - 1)`` at least."""

KEPT_PERIODS: Final = 2
KEPT_DAYS: Final = 15
"""Periods and days for which what was pushed stays in the store, whichever is longer."""

ReadBody = Callable[[bytes, str], Iterator["Record"]]
"""(body, content type) -> the records of a request. Raises BodyError."""


class BodyError(ValueError):
    """A request's body cannot be read. ``status``: of the HTTP reply."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a request's body, not redacted."""

    body: Mapping[str, Any]
    id: str
    """The caller's; a repetition has the same."""
    target: str | None = None
    """``None``: of every target whose ``where`` matches."""
    place: str = ""
    """What names it in an account, for example a trace's id. Not a text of the request."""
    problem: str = ""
    """Why it is no input at all; empty if it may be one."""
    left: tuple[LeftOutReason, str] | None = None
    """Why it cannot be asked, with what was found, if the reader knows that."""


class Result(StrEnum):
    """What became of a record for one target."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LEFT_OUT = "left_out"
    FILTERED = "filtered"
    """``where`` excludes it."""
    INVALID = "invalid"
    """It has no id, or names no target that takes it. Not counted in any account."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record for one target."""

    index: int
    """Of the record in the request."""
    target: str
    id: str
    result: Result
    reason: str = ""
    """The ``LeftOutReason`` if it is left out."""
    detail: str = ""
    """What was found. Never a text of the request."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request's body."""

    status: int
    """200, or that of the refusal."""
    text: str = ""
    """Why it was refused."""
    records: int = 0
    outcomes: tuple[Outcome, ...] = ()


class RecentIds:
    """A bounded set of 64-bit hashes of ids, in parts that are stored one by one."""

    def __init__(self, target: str, stored: Sequence[PushedIds] = ()) -> None:
        self._target = target
        self._parts = {one.part: _ints(one.hashes) for one in stored} or {0: []}
        self._known = {known for part in self._parts.values() for known in part}
        self._changed: set[int] = set()

    def add(self, known: int) -> bool:
        """Whether it is new."""
        if known in self._known:
            return False
        latest = max(self._parts)
        if len(self._parts[latest]) >= PART:
            latest += 1
            self._parts[latest] = []
            if len(self._parts) > PARTS:
                self._known.difference_update(self._parts.pop(min(self._parts)))
        self._parts[latest].append(known)
        self._known.add(known)
        self._changed.add(latest)
        return True

    def changes(self) -> list[PushedIds]:
        oldest = min(self._parts)
        return [
            PushedIds(self._target, part, b"".join(one.to_bytes(8, "big") for one in self._parts[part]), oldest)
            for part in sorted(self._changed)
            if part in self._parts
        ]

    def stored(self) -> None:
        self._changed.clear()


def _ints(hashes: bytes) -> list[int]:
    return [int.from_bytes(hashes[at : at + 8], "big") for at in range(0, len(hashes), 8)]


@dataclass(slots=True)
class _Day:
    """The inputs of one target and day, and what the store has of them."""

    seed: int
    strata: Strata[Item]
    tally: Tally = field(default_factory=Tally)
    in_store: dict[tuple[str, int], int] = field(default_factory=dict)
    """Stratum and key -> count."""
    changed: bool = False
    added_chars: int = 0
    """Characters that were added since the bound was last checked."""


class Inputs:
    """The pushed inputs of one target. Not safe to share between threads."""

    def __init__(self, target: str, sample: int, stored_ids: Sequence[PushedIds]) -> None:
        self.target = target
        self.sample = sample
        self._ids = RecentIds(target, stored_ids)
        self._days: dict[datetime, _Day] = {}

    def take(
        self, results: Iterable[Mapping[str, Any]], plan: settings.Schedule, now: datetime, client: str,
        stored: Callable[[datetime], Sequence[PushedWindow]],
    ) -> list[Outcome]:  # fmt: skip
        """Count the results of ``push_process`` for this target. ``stored``: reads a day's window from the store.

        Raises StoreError; then no result counts that was not counted before.
        """
        period = Period.of(plan, self.target, now)
        outcomes = []
        for one in results:
            at = now if one["at"] is None else datetime.fromisoformat(one["at"])
            reason = period.outside(at, now)
            day = self._day(period, min(max(at, period.start), now), stored)
            if not self._ids.add(int(one["id_hash"], 16)):
                outcomes.append(Outcome(one["index"], self.target, one["id"], Result.DUPLICATE))
                continue
            day.changed = True
            outcomes.append(_count(day, one, reason, self.target, f"{client}, {one['place'] or _second(now)}"))
            _bound(day)
        return outcomes

    def _day(self, period: "Period", at: datetime, stored: Callable[[datetime], Sequence[PushedWindow]]) -> _Day:
        opened = period.day(at)
        if opened not in self._days:
            self._days[opened] = restored(stored(opened), period.seed, self.sample)
        return self._days[opened]

    def changes(self) -> tuple[list[PushedChange], list[PushedIds]]:
        """What the store lacks."""
        changed = [_change(self.target, opened, day) for opened, day in self._days.items() if day.changed]
        return changed, self._ids.changes()

    def stored(self) -> None:
        """Everything of ``changes`` is in the store now. Only the latest day stays in memory."""
        self._ids.stored()
        latest = max(self._days, default=None)
        self._days = {opened: day for opened, day in self._days.items() if opened == latest}
        for day in self._days.values():
            if day.changed:
                day.in_store = {(stratum, kept.key): kept.count for stratum, kept in day.strata.kept()}
                day.changed = False


@dataclass(frozen=True, slots=True)
class Period:
    """The sampling period that is open: from the latest slot of the sample's schedule to the next."""

    start: datetime
    seed: int
    """Of the run at the period's end."""
    day_length: timedelta

    @classmethod
    def of(cls, plan: settings.Schedule, target: str, now: datetime) -> "Period":
        expression = schedule.expression_of(plan, PRODUCTION.suite)
        end = schedule.next_slot(expression, plan, now)
        seed = schedule.run_seed(target, PRODUCTION.suite, end)
        return cls(schedule.current_slot(expression, plan, now), seed, timedelta(seconds=plan.day_seconds))

    def day(self, at: datetime) -> datetime:
        """Start of the day of the period that contains ``at``."""
        return self.start + (at - self.start) // self.day_length * self.day_length

    def outside(self, at: datetime, now: datetime) -> LeftOutReason | None:
        if at > now + AHEAD:
            return LeftOutReason.FUTURE
        return LeftOutReason.BEFORE if at < self.start - LATE else None


def oldest_kept(plan: settings.Schedule, now: datetime) -> datetime:
    """Windows that opened before this are deleted."""
    periods = KEPT_PERIODS * schedule.interval_seconds(plan, PRODUCTION.suite)
    return now - timedelta(seconds=max(periods, KEPT_DAYS * plan.day_seconds))


def draw(sample: int, windows: Sequence[PushedWindow]) -> Sampled:
    """At most ``sample`` distinct inputs of ``windows``, as ``sample_production`` draws them from the same requests.

    Days of one period merge exactly. Days of two periods have different seeds: each input then has a key of its own in
    each period, so an input that is in both is a little more likely to be drawn.
    """
    day = restored(windows, 0, sample)
    return drawn(day.strata, day.tally)


def restored(windows: Sequence[PushedWindow], seed: int, sample: int) -> _Day:
    """One reservoir of ``windows``. ``seed``: if there are none."""
    day = _Day(seed, Strata(sample, windows[-1].seed if windows else seed, max(8, min(STRATA, 20_000 // sample))))
    for window in windows:
        day.tally.add(window.tally)
        kept: dict[str, list[Kept[Item]]] = {stratum: [] for stratum in window.strata}
        for one in window.inputs:
            kept.setdefault(one.stratum, []).append(Kept(one.key, _item(one), one.count))
            day.in_store[one.stratum, one.key] = one.count
        for stratum, items in kept.items():
            day.strata.restore(stratum, window.strata.get(stratum, 0), items)
    return day


def _item(one: KeptInput) -> Item:
    return one.messages, NO_PARAMETERS  # type: ignore[return-value]  # the roles were checked before they were stored


def _count(day: _Day, one: Mapping[str, Any], reason: LeftOutReason | None, target: str, place: str) -> Outcome:
    def outcome(result: Result, reason: str = "", detail: str = "") -> Outcome:
        return Outcome(one["index"], target, one["id"], result, reason, detail)

    if one["result"] == Result.FILTERED:
        day.tally.filtered += 1
        return outcome(Result.FILTERED)
    if reason is not None:
        day.tally.leave(reason, place=place)
        return outcome(Result.LEFT_OUT, reason)
    if one["result"] == Result.LEFT_OUT:
        day.tally.leave(LeftOutReason(one["reason"]), one["detail"], place, one["text"])
        return outcome(Result.LEFT_OUT, one["reason"], one["detail"])
    messages, parameters = one["item"]
    item: Item = tuple((role, text) for role, text in messages), parameters
    identity = bytes.fromhex(one["identity"])
    day.tally.read += 1
    day.tally.seen(identity)
    day.strata.add(one["stratum"], identity, item)
    day.added_chars += sum(len(text) for _, text in item[0])
    return outcome(Result.ACCEPTED)


def _bound(day: _Day) -> None:
    """Keep at most ``MOST_CHARS`` of a day, checked whenever an eighth of them was added."""
    if day.added_chars < MOST_CHARS // 8:
        return
    day.added_chars = 0
    while sum(len(text) for _, kept in day.strata.kept() for _, text in kept.item[0]) > MOST_CHARS:
        before = sum(1 for _ in day.strata.kept())
        for _ in range(max(1, before // 16)):
            day.strata.shed()
        if sum(1 for _ in day.strata.kept()) == before:
            break


def _change(target: str, opened: datetime, day: _Day) -> PushedChange:
    now = {(stratum, kept.key): kept for stratum, kept in day.strata.kept()}
    inputs = tuple(
        KeptInput(stratum, key, kept.count, kept.item[0])
        for (stratum, key), kept in now.items()
        if day.in_store.get((stratum, key)) != kept.count
    )
    dropped = tuple(one for one in day.in_store if one not in now)
    window = PushedWindow(target, opened, day.seed, day.strata.requests(), day.tally.dump(), inputs)
    return PushedChange(window, dropped)


def _second(now: datetime) -> str:
    return f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
