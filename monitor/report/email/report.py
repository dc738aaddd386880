"""The content of the mail, before rendering. Pure functions of ``Facts``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from monitor.core.records import Finding
from monitor.core.run_kinds import JUDGE
from monitor.core.wording import many
from monitor.report.attention import Need, ranked
from monitor.report.email import sections
from monitor.report.email.data import Facts, Key
from monitor.report.email.sections import Listed
from monitor.report.email.target_cards import Card, Quiet, View, newest, view
from monitor.report.email.wording import Times, cut


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum sizes of the mail's parts."""

    cards: int = 10
    """Maximum number of targets that need attention in full, with a picture."""
    rows: int = 25
    """Maximum number of further such targets, one line each."""
    pictured: int = 12
    """Maximum number of quiet targets with pictures; with more quiet targets, none has a picture."""
    names: int = 200
    """Maximum number of quiet targets listed by name."""


@dataclass(frozen=True, slots=True)
class Report:
    """The content of the mail, in reading order."""

    subject: str
    headline: str
    """The answer in one sentence."""
    tone: str
    """``bad``: a page is open; ``warn``: something else needs attention; ``none``: nothing needs attention, but
    something was not measured yet; ``good``."""
    preheader: str
    """Text that an inbox shows next to the subject."""
    period: str
    numbers: tuple[tuple[str, str], ...]
    """Value and label of the few numbers under the headline."""
    cards: tuple[Card, ...]
    others: Listed
    """Further targets that need attention."""
    quiet: tuple[Quiet, ...]
    quiet_names: tuple[str, ...]
    """Names of quiet targets, if there are too many for one row each."""
    quiet_count: int
    waiting: Listed
    """Targets that need no attention but were measured too little to call them quiet."""
    changes: Listed
    unmeasured: Listed
    judge: Listed
    spend: Listed
    spend_told: str
    retiring: Listed
    next: Listed
    address: str | None
    """Address of the pages; ``None`` if unknown."""
    zone: str
    written_at: datetime

    @property
    def charts(self) -> list[tuple[str, str, str]]:
        """(target, suite, signal) of every picture."""
        keys = [*(one.chart for one in self.cards), *(one.chart for one in self.quiet)]
        return [key for key in keys if key is not None]


@dataclass(frozen=True, slots=True)
class Draft:
    """The complete mail, evaluated and worded once. ``report`` cuts it to a length."""

    rest: Report
    """The parts that are the same in every version."""
    needing: tuple[View, ...]
    quiet: tuple[View, ...]
    waiting: tuple[View, ...]
    """Targets that need no attention but were not measured."""

    def report(self, limits: Limits | None = None) -> Report:
        limits = limits or Limits()
        rows = len(self.quiet) <= limits.pictured
        return replace(
            self.rest,
            cards=tuple(one.card() for one in self.needing[: limits.cards]),
            others=Listed.of([one.row() for one in self.needing[limits.cards :]], limits.rows),
            waiting=Listed.of([one.waiting() for one in self.waiting], limits.rows),
            quiet=tuple(one.quiet() for one in self.quiet) if rows else (),
            quiet_names=() if rows else tuple(one.name for one in self.quiet[: limits.names]),
        )


def draft(facts: Facts, address: str | None) -> Draft:
    """Evaluate the facts and word everything that the mail can contain."""
    times = Times(facts.settings.schedule.timezone, facts.now)
    views, judge, needing = _seen(facts, times, address)
    quiet = [one for one in views if one.is_quiet]
    waiting = [one for one in views if one.waits and not one.troubles]
    tones = {one.tone for one in (*needing, *waiting)}
    tone = next((one for one in ("bad", "warn", "none") if one in tones), "good")
    counted = sections.numbers(facts, views, judge)
    rest = Report(
        subject=_subject(needing, waiting, len(views), times),
        headline=_headline(needing, waiting, len(views), times, facts),
        tone=tone,
        preheader=_preheader(counted, needing),
        period=f"{times.period(facts.since)} · written {times.stamp(facts.now)} ({facts.settings.schedule.timezone})",
        numbers=counted,
        cards=(),
        others=Listed(),
        quiet=(),
        quiet_names=(),
        quiet_count=len(quiet),
        waiting=Listed(),
        changes=sections.changes(facts, times, address),
        unmeasured=sections.unmeasured(facts, times, address),
        judge=sections.judge(facts, times, address),
        spend=sections.spend(facts),
        spend_told=sections.spend_told(facts),
        retiring=sections.retiring(facts, times, address),
        next=sections.next_steps(facts, times, address),
        address=address,
        zone=facts.settings.schedule.timezone,
        written_at=facts.now,
    )
    return Draft(rest, tuple(needing), tuple(quiet), tuple(waiting))


def told_in_full(facts: Facts) -> dict[Key, Finding]:
    """The newest findings of the open alarms that the mail shows in full: few in any fleet.

    ``Draft.report`` reads ``Facts.beside`` of these findings only.
    """
    _, _, needing = _seen(facts, Times(facts.settings.schedule.timezone, facts.now), None)
    shown = (one.key for seen in needing[: Limits().cards] for one in seen.told_in_full)
    return {key: found for key in shown if key and (found := newest(facts, key))}


def _seen(facts: Facts, times: Times, address: str | None) -> tuple[list[View], View | None, list[View]]:
    """Every target; the judge, if it is monitored; and those of them that need attention, the most urgent first."""
    judge = sections.judge_view(facts, times, address)
    names = [name for name in facts.settings.targets if judge is None or name != JUDGE.target]
    views = [view(facts, name, times, address) for name in names]
    needing = {
        JUDGE.target if one.judge else one.name: one for one in (*views, *([judge] if judge else [])) if one.troubles
    }
    order = ranked({name: [trouble.reason for trouble in one.troubles] for name, one in needing.items()})
    return views, judge, [needing[name] for name in order]


def _headline(needing: list[View], waiting: list[View], count: int, times: Times, facts: Facts) -> str:
    if not needing:
        return _calm(waiting, count, times.day(facts.since))
    told = [f"{one.name} {_clause(one, times)}" for one in needing[:2]]
    rest = len(needing) - len(told)
    more = f", and {rest:,} more" if rest else ""
    return cut(f"{_who(needing, count)}: {'; '.join(told)}{more}", 300)


def _calm(waiting: list[View], count: int, since: str) -> str:
    """The headline if nothing needs attention."""
    if not waiting:
        return f"{_all(count)} quiet: no change in {'all of them' if count > 1 else 'it'} since {since}"
    first = f"{waiting[0].name}, {waiting[0].waits.rstrip('.')}"
    if len(waiting) == count:
        return cut(f"{_all(count)} not measured yet: {first}", 300)
    quiet = count - len(waiting)
    rest = f"{many(len(waiting), 'target')} {'is' if len(waiting) == 1 else 'are'} not measured yet: {first}"
    return cut(f"{many(quiet, 'target')} {'is' if quiet == 1 else 'are'} quiet since {since}; {rest}", 300)


def _clause(one: View, times: Times) -> str:
    first = one.troubles[0]
    since = times.since(first.since)
    return f"{first.clause} {since}" if since else first.clause


def _who(needing: list[View], count: int) -> str:
    targets = sum(not one.judge for one in needing)
    pages = sum(one.troubles[0].reason.need in (Need.PAGE, Need.IDENTITY) for one in needing)
    paged = f", {pages:,} with a page" if pages else ""
    if not targets:
        return f"The judge needs attention{paged}"
    of = f"{targets:,} of {many(count, 'target')}"
    if len(needing) > targets:
        return f"{of} and the judge need attention{paged}"
    return f"{of} need{'s' if targets == 1 else ''} attention{paged}"


def _all(count: int) -> str:
    return "The only target is" if count == 1 else f"All {count:,} targets are"


def _subject(needing: list[View], waiting: list[View], count: int, times: Times) -> str:
    """The subject, with the state first: an inbox shows only the beginning."""
    if not needing and waiting:
        quiet = f", {count - len(waiting):,} quiet" if count > len(waiting) else ""
        return f"[Cliffwatch] Not measured yet: {len(waiting):,} of {many(count, 'target')}{quiet}"
    if not needing:
        return f"[Cliffwatch] All quiet: {many(count, 'target')}"
    return cut(f"[Cliffwatch] {_who(needing, count)}: {needing[0].name} {needing[0].troubles[0].clause}", 110)


def _preheader(numbers: Sequence[tuple[str, str]], needing: list[View]) -> str:
    more = [f"{one.name} {one.troubles[0].clause}" for one in needing[1:4]]
    told = ", ".join(f"{value} {label}" for value, label in numbers)
    return cut("; ".join([*more, told]), 160)
