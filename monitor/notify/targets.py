"""One target of the mail: what is wrong with it, most urgent first, and how it is shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from monitor.notify.facts import Facts, Stream
from monitor.notify.wording import LOST as LOST_WORDS
from monitor.notify.wording import NOT_ARMED, Times, clause, cut, many, odds, percent, served
from monitor.records import JUDGE_TARGET, Alarm, AlarmState, Arm, BaselineStatus, IdentityCheck, Severity
from monitor.schedule import interval_seconds
from monitor.words import PARTLY, TITLES, alarm_state

NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
SHOWN: Final = 3
"""Troubles of one target that are told in full."""

PAGE, TICKET, IDENTITY, LOST, LATE, PARTIAL, UNARMED, BLIND, ROLLBACK = range(9)
"""Ranks of troubles: an alarm before a silence, a silence before what is not watched at all."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a list."""

    text: str
    name: str = ""
    label: str = ""
    """A word in front: what it is, or when it was."""
    link: str | None = None
    command: str = ""
    """What to type about it."""
    tone: str = ""
    lead: str = ""
    """What stands out before the text: for how long, and who looks into it."""
    first: tuple[str, str] | None = None
    """Words and address of what to look at before the command is typed."""


@dataclass(frozen=True, slots=True)
class Trouble:
    rank: int
    clause: str
    """What the target does, after its name."""
    since: datetime | None
    item: Item

    @property
    def at(self) -> datetime:
        """For sorting: the oldest first, and what is of no known time last."""
        return self.since or NEVER


@dataclass(frozen=True, slots=True)
class Card:
    """A target that needs somebody, in full."""

    name: str
    link: str | None
    tone: str
    model: str
    items: tuple[Item, ...]
    more: int
    """Troubles beyond those."""
    chart: tuple[str, str, str] | None
    chart_title: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """A target that needs nobody."""

    name: str
    link: str | None
    text: str
    chart: tuple[str, str, str] | None
    chart_title: str


@dataclass(frozen=True, slots=True)
class View:
    """One target, judged."""

    name: str
    model: str
    link: str | None
    troubles: tuple[Trouble, ...]
    chart: tuple[str, str, str] | None
    text: str
    """How it is, where it needs nobody."""
    judge: bool = False

    @property
    def tone(self) -> str:
        return "good" if not self.troubles else "bad" if self.troubles[0].rank == PAGE else "warn"

    def card(self) -> Card:
        items = tuple(one.item for one in self.troubles[:SHOWN])
        more = len(self.troubles) - len(items)
        return Card(self.name, self.link, self.tone, self.model, items, more, self.chart, self._title())

    def row(self) -> Item:
        first = self.troubles[0]
        more = f", and {many(len(self.troubles) - 1, 'more trouble')}" if len(self.troubles) > 1 else ""
        text = f"{first.clause}{more}"
        return Item(text, name=self.name, label=first.item.label, link=self.link, tone=self.tone)

    def quiet(self) -> Quiet:
        return Quiet(self.name, self.link, self.text, self.chart, self._title())

    def _title(self) -> str:
        return TITLES.get(self.chart[2], self.chart[2]) if self.chart else ""


def at_page(address: str | None, *path: str) -> str | None:
    """The address of a page; ``None`` where nobody knows where the pages are. Names hold nothing to quote."""
    return None if address is None else "/".join((address.rstrip("/"), *path))


def view(facts: Facts, name: str, times: Times, address: str | None) -> View:
    """One configured target."""
    target = facts.settings.targets[name]
    streams = [(name, suite) for suite in target.run_suites]
    troubles = [
        *alarm_troubles(facts, name, times, address),
        *_identity(facts, name, times, address),
        *(one for stream in streams for one in _silence(facts, stream, times, address)),
        *_blind(facts, name, address),
        *_rollback(facts, name, times, address),
    ]
    troubles.sort(key=lambda one: (one.rank, one.at))
    chart = _chart(facts, name, streams)
    link = at_page(address, "targets", name)
    return View(name, cut(target.subject.model, 80), link, tuple(troubles), chart, _healthy(facts, streams, times))


def alarm_troubles(facts: Facts, name: str, times: Times, address: str | None) -> Iterator[Trouble]:
    """The open alarms of one target, pages first and causes before what follows from them."""
    order = [*TITLES]
    mine = [one for one in facts.alarms.get(name, ()) if one.cleared_at is None]
    for alarm in sorted(mine, key=lambda one: order.index(one.signal) if one.signal in order else len(order)):
        page = alarm.severity is Severity.PAGE
        label = "Page" if page else "Ticket"
        if alarm.state is AlarmState.RAISED:
            label = f"{label}, being confirmed"
        item = Item(
            text=_alarm_words(facts, alarm),
            name=TITLES.get(alarm.signal, alarm.signal),
            label=label,
            link=at_page(address, "targets", name, alarm.signal),
            command=f"cliffwatch findings {name} --signal {alarm.signal}",
            tone="bad" if page else "warn",
            lead=f"{_how_long(alarm, times)} {_who_looks(alarm, times)}".strip(),
        )
        yield Trouble(PAGE if page else TICKET, clause(alarm.signal), alarm.raised_at, item)


def _alarm_words(facts: Facts, alarm: Alarm) -> str:
    """What was found, in its own words, and how sure that is."""
    found = facts.latest.get((alarm.target, alarm.suite), {}).get(alarm.signal)
    if found is None:
        return f"Suite {alarm.suite}."
    sure = f"; evidence {odds(found.evidence_log10)}" if found.evidence_log10 > 0 else ""
    return f"{cut(found.summary)} Suite {alarm.suite}{sure}."


def _how_long(alarm: Alarm, times: Times) -> str:
    """A page that is confirmed is felt by users: how long is what they ask first."""
    since = times.stamp(alarm.raised_at)
    if alarm.state is AlarmState.RAISED:
        return f"First seen {since}. {cut(alarm_state(alarm, times.zone), 160)}"
    felt = alarm.severity is Severity.PAGE and alarm.target != JUDGE_TARGET
    long = times.ago(alarm.raised_at)
    return f"{'Users affected for' if felt else 'For'} {long}, since {since}."


def _who_looks(alarm: Alarm, times: Times) -> str:
    if not alarm.acknowledged_by:
        return "Nobody has said that they look into it." if alarm.state is not AlarmState.RAISED else ""
    since = f" since {times.stamp(alarm.acknowledged_at)}" if alarm.acknowledged_at else ""
    why = f": {cut(alarm.acknowledged_why, 160)}" if alarm.acknowledged_why else ""
    return f"{cut(alarm.acknowledged_by, 60)} looks into it{since}{why}".rstrip(".") + "."


def _identity(facts: Facts, name: str, times: Times, address: str | None) -> Iterator[Trouble]:
    lost = any(
        one.signal == "adapter_loss" and one.cleared_at is None and one.severity is Severity.PAGE
        for one in facts.alarms.get(name, ())
    )
    for one in facts.identity.get(name, ()):
        if not one.matches:
            cause = " Likely the same cause." if lost and one.arm is Arm.SUBJECT else ""
            text = f"{_mismatch(one)}{cause} For {times.ago(one.since)}, checked {times.stamp(one.checked_at)}."
            item = Item(text, "What is served", "Not as declared", at_page(address, "targets", name), tone="warn")
            yield Trouble(IDENTITY, "is not what is declared", one.since, item)


def _mismatch(one: IdentityCheck) -> str:
    """In plain words, then in the server's."""
    of = "" if one.arm is Arm.SUBJECT else f" (of the {one.arm})"
    return f"{served(one.check)}{of}. Declared: {cut(one.expected, 90)}; found: {cut(one.found, 110)}."


def _silence(facts: Facts, stream: Stream, times: Times, address: str | None) -> Iterator[Trouble]:
    """Why a quiet stream says nothing: not measured, late, partly measured, or compared with nothing."""
    name, suite = stream
    progress, last = facts.progress.get(stream), facts.last.get(stream)
    success = progress.last_success if progress else None
    link = at_page(address, "targets", name)
    why = lost_words(facts, stream)
    if last is not None and last.unmeasured_ratio >= 1:
        text = f"The last run of {suite} brought no usable answer{why}. Its last good run: {_when(success, times)}."
        item = Item(text, f"suite {suite}", "Not measured", link, f"cliffwatch probe {name} --suite {suite}", "warn")
        yield Trouble(LOST, "has given no usable answer", success, item)
    elif is_late(facts, stream):
        text = f"{suite} has had no good run in two of its intervals. Its last: {_when(success, times)}."
        yield Trouble(LATE, "has not been measured", success, Item(text, f"suite {suite}", "Late", link, tone="warn"))
    elif last is not None and last.unmeasured_ratio > PARTLY:
        text = f"{percent(last.unmeasured_ratio)} of the last run of {suite} has no usable answer{why}."
        item = Item(text, f"suite {suite}", "Partly measured", link, tone="warn")
        yield Trouble(PARTIAL, "is only partly measured", None, item)
    yield from _unarmed(facts, stream, link, address)


def _unarmed(facts: Facts, stream: Stream, link: str | None, address: str | None) -> Iterator[Trouble]:
    name, suite = stream
    statuses = {one.status: one for one in reversed(facts.baselines.get(stream, ()))}
    where, read = f"{name} --suite {suite}", None
    capture = f"cliffwatch baseline capture {where} --days 14"
    if BaselineStatus.APPROVED in statuses and stream not in facts.outdated:
        return
    if BaselineStatus.CAPTURED in statuses:
        kind: str = BaselineStatus.CAPTURED
        capture = f"cliffwatch baseline approve {where} --by YOU --why REASON"
        captured = statuses[BaselineStatus.CAPTURED]
        text = f"{many(captured.answers, 'answer')} of {suite} wait to be read. No alerts until somebody approves them."
        page = at_page(address, "baselines", str(captured.id))
        read = ("Read the answers", page) if page else None
    elif BaselineStatus.CAPTURING in statuses:
        return
    elif BaselineStatus.APPROVED in statuses:
        kind, text = "outdated", f"{suite} was changed after its baseline was approved. It needs a new baseline."
    else:
        kind, text = "", f"{suite} is asked, and compared with nothing. It needs a baseline."
    item = Item(text, f"suite {suite}", "Not armed", link, capture, "warn", first=read)
    yield Trouble(UNARMED, NOT_ARMED[kind], None, item)


def _blind(facts: Facts, name: str, address: str | None) -> Iterator[Trouble]:
    for words in facts.blind.get(name, ())[:SHOWN]:
        item = Item(cut(words), "Self-test", "Blind", at_page(address, "targets", name),
                    f"cliffwatch calibrate {name}", "warn")  # fmt: skip
        yield Trouble(BLIND, "could lose its fine-tune unseen", None, item)


def _rollback(facts: Facts, name: str, times: Times, address: str | None) -> Iterator[Trouble]:
    one = facts.rollback.get(name)
    if one is None or one.ready:
        return
    passed = "" if one.passed is None else f", and {percent(one.passed)} of its answers pass their checks"
    text = (
        f"The version to roll back to answered {percent(one.answered)} of its questions{passed}. "
        f"Last asked {times.stamp(one.asked_at)}."
    )
    item = Item(text, "Rollback", "Not ready", at_page(address, "targets", name), tone="warn")
    yield Trouble(ROLLBACK, "has nothing to roll back to", None, item)


def is_late(facts: Facts, stream: Stream) -> bool:
    """Its last success is older than two of its intervals."""
    progress = facts.progress.get(stream)
    interval = timedelta(seconds=interval_seconds(facts.settings.schedule, stream[1]))
    return bool(progress and progress.last_success and facts.now - progress.last_success > 2 * interval)


def lost_words(facts: Facts, stream: Stream) -> str:
    """`` (12 timed out, 3 rate limited)``: why questions of the period have no answer; empty where all have one."""
    reasons = {reason: count for reason, count in facts.asked.get(stream, {}).items() if reason}
    worst = sorted(reasons.items(), key=lambda one: (-one[1], one[0]))[:3]
    told = ", ".join(f"{count:,} {LOST_WORDS.get(reason, reason.replace('_', ' '))}" for reason, count in worst)
    return f" ({told})" if told else ""


def _when(at: datetime | None, times: Times) -> str:
    return "none yet" if at is None else times.stamp(at)


def _chart(facts: Facts, name: str, streams: Sequence[Stream]) -> tuple[str, str, str] | None:
    """The series that tells most: an open alarm's, else the first signal's that has a finding."""
    order = [*TITLES]
    keys = [(*stream, signal) for stream in streams for signal in facts.latest.get(stream, {}) if signal in TITLES]
    raised = {(name, one.suite, one.signal) for one in facts.alarms.get(name, ()) if one.cleared_at is None}
    keys.sort(key=lambda key: (key not in raised, order.index(key[2]), key[1]))
    return keys[0] if keys else None


def _healthy(facts: Facts, streams: Sequence[Stream], times: Times) -> str:
    """How a quiet target is: learning, or what its most telling finding says."""
    learning = [
        one.ends_at
        for stream in streams
        for one in facts.baselines.get(stream, ())
        if one.status is BaselineStatus.CAPTURING
    ]
    chart = _chart(facts, streams[0][0], streams) if streams else None
    found = facts.latest[chart[:2]][chart[2]] if chart else None
    if learning:
        return f"Learning its baseline until {times.day(max(learning))}."
    if found is None:
        return "Armed; nothing was compared yet."
    return cut(found.summary.partition(":")[0], 90).rstrip(".") + "."
