"""One target in the mail: its problems, most urgent first, and how they are shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from monitor.core import signals
from monitor.core.records import (
    Alarm,
    AlarmState,
    Arm,
    Finding,
    FindingState,
    IdentityCheck,
    Severity,
)
from monitor.core.run_kinds import run_kind
from monitor.core.wording import alarm_state, many, served
from monitor.report import attention
from monitor.report.attention import Need, Reason
from monitor.report.email.data import Facts, Key, Stream
from monitor.report.email.gaps import silence
from monitor.report.email.items import Item, Trouble, at_page
from monitor.report.email.not_measured import waits_of
from monitor.report.email.wording import Times, clause, cut, cut_summary, odds, percent
from monitor.report.explain import claim, sentences
from monitor.report.explain.onset import beginning

AS_ABOVE: Final = "As above."
SEE_SERVED: Final = "It is not what is declared: see “What is served”."
SHOWN: Final = 3
"""Maximum number of problems of one target that are shown in full."""

WHY: Final = 300
"""Maximum number of characters of the reason for a suspicion."""


@dataclass(frozen=True, slots=True)
class Card:
    """A target that needs attention, in full."""

    name: str
    link: str | None
    tone: str
    model: str
    items: tuple[Item, ...]
    more: int
    """Number of further problems."""
    chart: tuple[str, str, str] | None
    chart_title: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """A quiet target."""

    name: str
    link: str | None
    text: str
    chart: tuple[str, str, str] | None


@dataclass(frozen=True, slots=True)
class View:
    """One target, evaluated."""

    name: str
    model: str
    link: str | None
    troubles: tuple[Trouble, ...]
    chart: tuple[str, str, str] | None
    text: str
    """Its condition, if it needs no attention."""
    waits: str = ""
    """What is not measured yet; empty if all of its suites were compared in the period."""
    judge: bool = False

    @property
    def is_quiet(self) -> bool:
        """Whether it needs no attention and was measured."""
        return not self.troubles and not self.waits

    @property
    def tone(self) -> str:
        if self.troubles:
            return "bad" if self.troubles[0].reason.need <= Need.CONFIRMING else "warn"
        return "none" if self.waits else "good"

    @property
    def told_in_full(self) -> tuple[Trouble, ...]:
        """The first ``SHOWN``, and what is served in any case: the causes of alarms refer to it."""
        first = self.troubles[:SHOWN]
        served = next((one for one in self.troubles if one.reason.need is Need.IDENTITY), None)
        return first if served is None or served in first else (*first[:-1], served)

    def card(self) -> Card:
        items: list[Item] = []
        suspects = set()
        for one in self.told_in_full:
            who = one.item.likely[0] if one.item.likely and one.key else None
            items.append(replace(one.item, likely=(who, AS_ABOVE)) if who and who in suspects else one.item)
            suspects.add(who)
        more = len(self.troubles) - len(items)
        title = signals.title(self.chart[2]) if self.chart else ""
        return Card(self.name, self.link, self.tone, self.model, tuple(items), more, self.chart, title)

    def row(self) -> Item:
        first = self.troubles[0]
        more = f", and {many(len(self.troubles) - 1, 'more problem')}" if len(self.troubles) > 1 else ""
        text = f"{first.clause}{more}"
        return Item(text, name=self.name, label=first.item.label, link=self.link, tone=self.tone)

    def quiet(self) -> Quiet:
        return Quiet(self.name, self.link, self.text, self.chart)

    def waiting(self) -> Item:
        return Item(self.waits, name=self.name, link=self.link)


def view(facts: Facts, name: str, times: Times, address: str | None) -> View:
    """One configured target."""
    target = facts.settings.targets[name]
    streams = [(name, suite) for suite in target.run_suites]
    troubles = [
        *alarm_troubles(facts, name, times, address),
        *mismatches(facts, name, times, address),
        *(one for stream in streams for one in silence(facts, stream, times, address)),
        *_blind(facts, name, address),
        *_retiring(facts, name, times, address),
        *_rollback(facts, name, times, address),
        *_over_budget(facts, streams, address),
    ]
    troubles.sort(key=lambda one: one.order)
    chart = _chart(facts, name, streams)
    link = at_page(address, "targets", name)
    model, waits = cut(target.subject.model, 80), waits_of(facts, streams, times)
    return View(name, model, link, tuple(troubles), chart, _healthy(facts, streams), waits)


def alarm_troubles(facts: Facts, name: str, times: Times, address: str | None) -> Iterator[Trouble]:
    """The open alarms of one target."""
    for alarm in facts.alarms.get(name, ()):
        if alarm.cleared_at is not None:
            continue
        page, waits = alarm.severity is Severity.PAGE, alarm.state is AlarmState.RAISED
        key = (name, alarm.suite, alarm.signal)
        first, before = _beginning(facts, alarm)
        item = Item(
            text=_alarm_words(facts, alarm),
            name=signals.title(alarm.signal),
            label=f"{'Page' if page else 'Ticket'}{', being confirmed' if waits else ''}",
            link=at_page(address, "targets", name, alarm.signal),
            command=f"cliffwatch findings {name} --signal {alarm.signal}",
            tone="bad" if page else "warn",
            lead=_how_long(alarm, first, times),
            state=f"{times.began(first, before)}. {_who_looks(alarm, times)}".strip(),
            likely=_likely(facts, key),
        )
        yield Trouble(attention.of_alarm(alarm), clause(alarm.signal), first, item, signals.rank(alarm.signal), key)


def newest(facts: Facts, key: Key) -> Finding | None:
    """The newest finding of a signal, to which the link of its open alarm leads."""
    return facts.latest.get(key[:2], {}).get(key[2])


def _beginning(facts: Facts, alarm: Alarm) -> tuple[datetime, datetime | None]:
    """When the change began, as on the finding's page. When the alarm was raised, if the mail only lists it."""
    key = (alarm.target, alarm.suite, alarm.signal)
    found, beside = newest(facts, key), facts.beside.get(key)
    if found is None or beside is None:
        return alarm.raised_at, None
    return beginning(found, beside.history, alarm, beside.asked)


def _likely(facts: Facts, key: Key) -> tuple[str, str] | None:
    """What is likely at fault, and why, as on the finding's page."""
    found, beside = newest(facts, key), facts.beside.get(key)
    if found is None or beside is None:
        return None
    told = claim.claim(found, beside, SEE_SERVED)  # the card shows the identity check in full
    return (told.suspect, cut(told.why, WHY)) if told.suspect else None


def _alarm_words(facts: Facts, alarm: Alarm) -> str:
    """The finding's summary and its evidence."""
    found = newest(facts, (alarm.target, alarm.suite, alarm.signal))
    if found is None:
        return f"Suite {alarm.suite}."
    sure = f"; evidence {odds(found.evidence_log10)}" if found.evidence_log10 > 0 else ""
    return f"{cut_summary(found)} Suite {alarm.suite}{sure}."


def _how_long(alarm: Alarm, first: datetime, times: Times) -> str:
    """The duration. For a confirmed page it is worded for users, who ask for it first."""
    if alarm.state is AlarmState.RAISED:
        return ""
    felt = alarm.severity is Severity.PAGE and run_kind(alarm.target, alarm.suite).may_page
    return f"{'Users affected for' if felt else 'For'} {times.ago(first)}."


def _who_looks(alarm: Alarm, times: Times) -> str:
    if alarm.state is AlarmState.RAISED:
        return cut(alarm_state(alarm, times.now, times.zone), 160)
    if not alarm.acknowledged_by:
        return "Not acknowledged."
    since = f", {times.stamp(alarm.acknowledged_at)}" if alarm.acknowledged_at else ""
    why = f": {cut(alarm.acknowledged_why, 160)}" if alarm.acknowledged_why else ""
    return f"Acknowledged by {cut(alarm.acknowledged_by, 60)}{since}{why}".rstrip(".") + "."


def mismatches(facts: Facts, name: str, times: Times, address: str | None) -> Iterator[Trouble]:
    """The failing identity checks of a target. They page, like CliffwatchIdentityMismatch."""
    for one in facts.identity.get(name, ()):
        if one.differs:
            item = Item(
                _mismatch(one), "What is served", "Page", at_page(address, "targets", name), tone="bad",
                lead=f"Not as declared for {times.ago(one.since)}.",
                state=f"Checked {times.stamp(one.checked_at)}.", likely=_misplaced(facts, one),
            )  # fmt: skip
            place = 0 if one.arm is Arm.SUBJECT else 1
            yield Trouble(attention.of_check(one), "serves something other than declared", one.since, item, place)


def _misplaced(facts: Facts, one: IdentityCheck) -> tuple[str, str]:
    """Which of the two is likely wrong, declaration or deployment, as far as the answers show."""
    if one.arm is not Arm.SUBJECT:
        return f"the model served as the {one.arm}, or its declaration", "No user's answer comes from it."
    moved = (alarm.cleared_at is None and alarm.signal in signals.ANSWERS for alarm in facts.alarms.get(one.target, ()))
    target = facts.settings.targets.get(one.target)
    keys = [(one.target, suite, "adapter_loss") for suite in (target.run_suites if target else ())]
    found = [finding.state for key in keys if (finding := newest(facts, key))]
    if any(moved) or set(found) - {FindingState.QUIET}:
        return "the served model", "Its answers changed too."
    if found:
        return "the declaration, or a deployment since the last run", "The answers of that run were as approved."
    return "the served model, or its declaration", "Its answers are not compared with a baseline."


def _mismatch(one: IdentityCheck) -> str:
    """The mismatch in plain words, then in the server's words."""
    of = "" if one.arm is Arm.SUBJECT else f" (of the {one.arm})"
    return f"{served(one.check)}{of}. Declared: {cut(one.expected, 90)}; found: {cut(one.found, 110)}."


def _blind(facts: Facts, name: str, address: str | None) -> Iterator[Trouble]:
    for words in facts.blind.get(name, ())[:SHOWN]:
        item = Item(cut(words), "Self-test", "Blind", at_page(address, "targets", name),
                    f"cliffwatch calibrate {name}", "warn")  # fmt: skip
        yield Trouble(Reason(Need.UNSEEN), "could lose its fine-tune undetected", None, item)


def _rollback(facts: Facts, name: str, times: Times, address: str | None) -> Iterator[Trouble]:
    one = facts.rollback.get(name)
    if one is None or one.ready:
        return
    passed = "" if one.passed is None else f", and {percent(one.passed)} of its answers pass their checks"
    text = (
        f"The rollback version answered {percent(one.answered)} of its questions{passed}. "
        f"Last asked {times.stamp(one.asked_at)}."
    )
    item = Item(text, "Rollback", "Not ready", at_page(address, "targets", name), tone="warn")
    yield Trouble(attention.of_rollback(one), "has no working rollback version", None, item)


def _retiring(facts: Facts, name: str, times: Times, address: str | None) -> Iterator[Trouble]:
    for one in facts.retirements:
        reason = attention.of_retirement(one, facts.now)
        if one.target == name and reason.need.somebody:
            text = f"{cut(one.model, 80)} ({one.arm}) retires on {times.day(one.retires_at)}."
            item = Item(text, "Model", "Retires", at_page(address, "targets", name), tone="warn")
            yield Trouble(reason, "has a model that retires", None, item)


def _over_budget(facts: Facts, streams: Sequence[Stream], address: str | None) -> Iterator[Trouble]:
    for name, suite in streams:
        last = facts.last.get((name, suite))
        if last is not None and last.refused:
            text = f"{many(last.refused, 'question')} of the last run of {suite} not asked: the budget was spent."
            item = Item(text, f"suite {suite}", "Budget", at_page(address, "targets", name), tone="warn")
            yield Trouble(Reason(Need.BUDGET), "has spent its budget", None, item)


def _chart(facts: Facts, name: str, streams: Sequence[Stream]) -> tuple[str, str, str] | None:
    """The most important series: an open alarm's, else that of the first signal with a finding."""
    keys = [(*stream, one) for stream in streams for one in facts.latest.get(stream, {}) if one in signals.SPECS]
    raised = {(name, one.suite, one.signal) for one in facts.alarms.get(name, ()) if one.cleared_at is None}
    keys.sort(key=lambda key: (key not in raised, signals.rank(key[2]), key[1]))
    return keys[0] if keys else None


def _healthy(facts: Facts, streams: Sequence[Stream]) -> str:
    """The main finding of a target that was compared, in one sentence."""
    chart = _chart(facts, streams[0][0], streams) if streams else None
    if chart is None:
        return "Measured; no signal has a finding yet."
    return cut(sentences.opening(facts.latest[chart[:2]][chart[2]]), 90).rstrip(".") + "."
