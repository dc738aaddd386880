"""The lists below the targets: changes, missing measurements, the judge, spend, next steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from monitor.core import sampling, schedule
from monitor.core.limits import Gap, is_partly
from monitor.core.records import (
    Alarm,
    AlarmState,
    Arm,
    BaselineStatus,
    FindingState,
    Severity,
    Spend,
)
from monitor.core.run_kinds import FROZEN, JUDGE, PROBES, PRODUCTION, run_kind, suite_kind
from monitor.core.settings import Budget
from monitor.core.signals import JUDGE_DRIFT
from monitor.core.signals import title as signal_title
from monitor.core.wording import many, served
from monitor.report import attention
from monitor.report.attention import Need
from monitor.report.email.data import Facts, Stream
from monitor.report.email.gaps import gap_of, late, lost_words
from monitor.report.email.items import Item, at_page
from monitor.report.email.target_cards import View, mismatches, view
from monitor.report.email.wording import Times, cut, cut_summary, odds, percent, usd

RETIRING: Final = timedelta(days=60)
DRIFTED: Final = "no longer agrees with people's verdicts"
CHANGES, LINES, SPENDERS, LOOKS = 15, 10, 5, 5
"""Maximum number of lines per list."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The first lines of a list, and the number of further lines."""

    items: tuple[Item, ...] = ()
    more: int = 0

    @classmethod
    def of(cls, items: Sequence[Item], limit: int) -> "Listed":
        return cls(tuple(items[:limit]), max(0, len(items) - limit))


KINDS: Final[Sequence[tuple[str, frozenset[Need]]]] = (
    ("with a page", frozenset({Need.PAGE, Need.IDENTITY})),
    ("with a page being confirmed", frozenset({Need.CONFIRMING})),
    ("with a ticket", frozenset({Need.TICKET})),
    ("not measured", frozenset({Need.UNMEASURED, Need.LATE, Need.PARTLY})),
    ("not armed", attention.NOT_ARMED),
    ("with another problem", frozenset({Need.UNSEEN, Need.RETIRES, Need.ROLLBACK, Need.BUDGET})),
)
"""Why a target needs attention, by the need of its first problem: each target is counted once."""


def numbers(facts: Facts, views: Sequence[View], judge: View | None) -> tuple[tuple[str, str], ...]:
    """The numbers below the headline: the targets by what they need, adding up to all of them; then answers and spend.

    The judge is not one of the targets: if it needs attention, it is counted separately.
    """
    first = [one.troubles[0].reason.need for one in views if one.troubles]
    needs = ((sum(need in kind for need in first), word) for word, kind in KINDS)
    waiting = sum(bool(one.waits) for one in views if not one.troubles)
    quiet = len(views) - len(first) - waiting
    total, lost = _asked(facts)
    answered = "none" if not total else percent(1 - lost / total)
    return (
        *((f"{count:,}", word) for count, word in needs if count),
        *([("1", "judge that needs attention")] if judge and judge.troubles else []),
        *([(f"{waiting:,}", "not measured yet")] if waiting else []),
        *([(f"{quiet:,}", "quiet")] if quiet else []),
        (answered, f"of {many(total, 'question')} answered{_enough(facts)}"),
        (usd(sum(one.usd for one in facts.spent.values())), f"spent{_limit(facts)}"),
    )


def _enough(facts: Facts) -> str:
    """Whether the answers suffice to evaluate every target, in words."""
    asked = {stream[0] for stream in facts.streams if _questions(facts, stream)[0]}
    short = sorted({stream[0] for stream in facts.streams if stream[0] not in asked or _is_short(facts, stream)})
    if not short or not asked:
        return ", enough for every target" if asked else ""
    return f", too few for {cut(short[0], 40)}" if len(short) == 1 else f", too few for {many(len(short), 'target')}"


def _is_short(facts: Facts, stream: Stream) -> bool:
    total, lost = _questions(facts, stream)
    return gap_of(facts, stream) is not None or is_partly(lost / max(total, 1))


def _questions(facts: Facts, stream: Stream) -> tuple[int, int]:
    """Number of a stream's questions in the period, and of those without a usable answer."""
    counts = facts.asked.get(stream, {})
    return sum(counts.values()), sum(count for reason, count in counts.items() if reason)


def _limit(facts: Facts) -> str:
    """The sum of the budgets for the days of the mail, in words."""
    allowed, without = _allowed(facts)
    if allowed is None:
        return "; no limit in dollars"
    return f" of {usd(allowed)} allowed" + (f"; {many(without, 'target')} without a limit" if without else "")


def _allowed(facts: Facts) -> tuple[float | None, int]:
    """Sum of all budgets in US dollars, ``None`` if none has a limit; and the number of targets without a limit."""
    limits = [target.budget.usd_per_day for target in facts.settings.targets.values()]
    known = [limit for limit in limits if limit is not None]
    return sum(known) * facts.days if known else None, len(limits) - len(known)


def _asked(facts: Facts) -> tuple[int, int]:
    """Number of questions of the period, and of those without a usable answer."""
    total = sum(sum(counts.values()) for counts in facts.asked.values())
    return total, sum(count for counts in facts.asked.values() for reason, count in counts.items() if reason)


def changes(facts: Facts, times: Times, address: str | None) -> Listed:
    """Events of the period, newest first; then signals that moved without an alarm."""
    happened = sorted(
        (*_alarms(facts, address), *_baselines(facts, address), *_actions(facts, address), *_identity(facts, address)),
        key=lambda one: one[0],
        reverse=True,
    )
    listed = Listed.of([replace(item, label=times.stamp(at)) for at, item in happened], CHANGES)
    latest = [found for stream in facts.streams for found in facts.latest.get(stream, {}).values()]
    moved = [
        Item(
            f"{cut_summary(found)} The threshold is {odds(found.threshold_log10)}.",
            found.target, "Worth a look", at_page(address, "findings", str(found.run_id), found.signal),
        )
        for found in sorted(latest, key=lambda one: one.threshold_log10 - one.evidence_log10)
        if found.state is FindingState.LOOK and found.window_end >= facts.since
    ]  # fmt: skip
    evaluations = Listed.of(moved, LOOKS)
    return Listed((*listed.items, *evaluations.items), listed.more + evaluations.more)


Happened = tuple[datetime, Item]


def _alarms(facts: Facts, address: str | None) -> Iterator[Happened]:
    for one in facts.every_alarm:
        title = signal_title(one.signal)
        link = at_page(address, "targets", one.target, one.signal)
        if one.raised_at >= facts.since:
            kind = "page" if one.severity is Severity.PAGE else "ticket"
            how = "alarm, being confirmed" if one.state is AlarmState.RAISED else f"{kind} opened"
            tone = "bad" if kind == "page" else "warn"
            yield one.raised_at, Item(f"{how}: {title}", one.target, link=link, tone=tone)
        if one.cleared_at is not None:
            yield one.cleared_at, Item(_ended(one, title), one.target, link=link, tone="good")


def _ended(one: Alarm, title: str) -> str:
    if one.cleared_by:
        return f"alarm cleared by {cut(one.cleared_by, 60)}: {title} ({cut(one.cleared_why or '', 160)})"
    if one.cleared_run_id is not None:
        return f"alarm cleared automatically: {title}"
    return f"alarm cleared: {title} ({cut(one.cleared_why or 'no reason is known', 160)})"


def _baselines(facts: Facts, address: str | None) -> Iterator[Happened]:
    for stream in facts.streams:
        for one in facts.baselines.get(stream, ()):
            link = at_page(address, "baselines", str(one.id))
            what = f"baseline of {one.suite}"
            if one.approved_at and one.approved_at >= facts.since:
                told = f"{what} approved by {cut(one.approved_by or '', 60)}: {cut(one.approved_why or '', 160)}"
                yield one.approved_at, Item(told, one.target, link=link)
            if one.retired_at and one.retired_at >= facts.since:
                told = f"{what} retired by {cut(one.retired_by or '', 60)}: {cut(one.retired_why or '', 160)}"
                yield one.retired_at, Item(told, one.target, link=link)


TOLD_ELSEWHERE: Final = frozenset({"approve", "retire", "clear"})
"""Actions that the list already shows as events of baselines and alarms."""


DONE: Final = {
    "acknowledge": "acknowledged the alarm",
    "run": "started an unscheduled run of {suite}",
    "accept": "accepted a change of the contract",
}
"""Action -> the words after the person's name."""


def _actions(facts: Facts, address: str | None) -> Iterator[Happened]:
    for one in facts.audit_entries:
        if one.action not in TOLD_ELSEWHERE:
            what = DONE.get(one.action, cut(one.action, 30)).format(suite=one.suite)
            why = f": {cut(one.why, 160)}" if one.why else ""
            link = at_page(address, "targets", one.target) if one.target else None
            yield one.at, Item(f"{cut(one.who, 60)} {what}{why}", one.target or "", link=link)


def _identity(facts: Facts, address: str | None) -> Iterator[Happened]:
    checks = [one for name in facts.settings.targets for one in facts.identity.get(name, ())]
    for one in checks:
        if one.since >= facts.since and one.differs:
            of = "" if one.arm is Arm.SUBJECT else f" (of the {one.arm})"
            what = served(one.check)
            text = f"page opened, no longer as declared{of}: {what[:1].lower()}{what[1:]}"
            yield one.since, Item(text, one.target, link=at_page(address, "targets", one.target), tone="bad")


def unmeasured(facts: Facts, times: Times, address: str | None) -> Listed:
    """Late streams, and streams with unanswered questions in the period.

    Streams without a current measurement come first, as they have no fresh finding; then by the largest lost share.
    """
    found: list[tuple[bool, float, Item]] = []
    for stream in facts.streams:
        (total, lost), overdue = _questions(facts, stream), late(facts, stream)
        if not lost and not overdue:
            continue
        share = lost / total if total else 1.0
        text = f"{percent(share)} of {many(total, 'question')} of {stream[1]} without a usable answer" if total else (
            f"no question of {stream[1]} was asked"
        )  # fmt: skip
        progress = facts.progress.get(stream)
        if overdue and progress and progress.last_success:
            text += f"; late, last good run {times.stamp(progress.last_success)}"
        link = at_page(address, "targets", stream[0])
        known = gap_of(facts, stream) not in (Gap.LOST, Gap.LATE)
        found.append((known, -share, Item(f"{text}{lost_words(facts, stream)}", stream[0], link=link)))
    found += [(False, -share, item) for share, item in _left_out(facts, address)]
    found.sort(key=lambda one: one[:2])
    return Listed.of([item for *_, item in found], LINES)


def _left_out(facts: Facts, address: str | None) -> Iterator[tuple[float, Item]]:
    """Samples that leave out more than a fifth of the requests, with this share and the reasons."""
    for name in facts.settings.targets:
        account = facts.samples.get(name)
        if account is not None and (account.problem or is_partly(account.left_out_ratio)):
            share = account.left_out_ratio if not account.problem else 1.0
            left = f"{percent(share)} of the production requests could not be asked: "
            told = cut(f"{'' if account.problem else left}{' '.join(sampling.notes(account))}", 600)
            yield share, Item(told, name, link=at_page(address, "targets", name), tone="warn")


def judge_view(facts: Facts, times: Times, address: str | None) -> View | None:
    """The judge, if its anchors are scored: it is a target of its own, not one of the user's.

    Its identity is checked even without anchors. Without anchors it is included only if a check fails.
    """
    if watches_judge(facts):
        seen = view(facts, JUDGE.target, times, address)
        order = (
            replace(one, clause=DRIFTED) if one.key and one.key[2] in JUDGE_DRIFT else one for one in seen.troubles
        )
        return replace(seen, name="the judge", troubles=tuple(order), judge=True)
    configured = facts.settings.judge
    if configured is None or JUDGE.target in facts.settings.targets:
        return None
    found = tuple(mismatches(facts, JUDGE.target, times, address))
    link = at_page(address, "targets", JUDGE.target)
    return View("the judge", cut(configured.model, 80), link, found, None, "", judge=True) if found else None


def watches_judge(facts: Facts) -> bool:
    """Whether ``judge`` is the implicit target that scores the anchors."""
    configured = facts.settings.judge
    return configured is not None and configured.anchors is not None and JUDGE.target in facts.settings.targets


def judge(facts: Facts, times: Times, address: str | None) -> Listed:
    """Whether the judge's scores can be trusted."""
    configured = facts.settings.judge
    if configured is None:
        return Listed((Item("No judge is configured: only deterministic checks score answers."),))
    name = cut(configured.model, 80)
    if configured.anchors is None:
        text = "The judge is not tested: set judge.anchors to a file of answers with a person's verdict."
        return Listed((Item(text, name, "Not tested", tone="warn"),))
    link = at_page(address, "targets", JUDGE.target)
    items = []
    for stream, last in facts.last.items():
        if run_kind(*stream) is JUDGE:
            progress = facts.progress.get(stream)
            when = f", last scored {times.stamp(progress.last_success)}" if progress and progress.last_success else ""
            agreed = "no anchor has a usable verdict" if last.pass_ratio is None else (
                f"agrees with people's verdicts on {percent(last.pass_ratio)} of the anchors"
            )  # fmt: skip
            items.append(Item(f"{agreed}{when}", name, link=link))
    return Listed(tuple(items or [Item("its anchors were not scored yet", name, "Not tested", link, tone="warn")]))


def spend(facts: Facts) -> Listed:
    """The targets that spent most, with their budgets."""
    budgets = {name: target.budget for name, target in facts.settings.targets.items()}
    used = {name: facts.spent.get(name, Spend()) for name in budgets}
    order = sorted(budgets, key=lambda name: (-used[name].usd, -used[name].requests, name))
    items = [
        Item(_spent(used[name], budgets[name], facts.days), name)
        for name in order
        if used[name].requests or used[name].usd
    ]
    return Listed.of(items, SPENDERS)


def _spent(used: Spend, budget: Budget, days: int) -> str:
    requests = many(used.requests, "request")
    if budget.requests_per_day is not None:
        requests += f" of {budget.requests_per_day * days:,}"
    if budget.usd_per_day is None:
        return f"{usd(used.usd)}, {requests}; no limit in dollars"
    limit = budget.usd_per_day * days
    share = f" ({percent(used.usd / limit)})" if limit else ""
    return f"{usd(used.usd)} of {usd(limit)}{share}, {requests}"


def spend_told(facts: Facts) -> str:
    """The total spend, next to the sum of the budgets."""
    total = usd(sum(one.usd for one in facts.spent.values()))
    allowed, without = _allowed(facts)
    days = f"in the {many(facts.days, 'UTC day')} of this mail"
    if allowed is None:
        return f"{total} {days}; no target has a budget in dollars."
    rest = f" {many(without, 'target')} without a limit." if without else ""
    return f"{total} {days}; the budgets allow {usd(allowed)}.{rest}"


def retiring(facts: Facts, times: Times, address: str | None) -> Listed:
    """Models that retire within 60 days, the soonest first."""
    soon = sorted((one for one in facts.retirements if one.retires_at <= facts.now + RETIRING),
                  key=lambda one: (one.retires_at, one.target))  # fmt: skip
    items = [
        Item(
            f"{cut(one.model, 80)} ({one.arm}) {'retired' if one.retires_at <= facts.now else 'retires'} "
            f"{times.ahead(one.retires_at)}, on {times.day(one.retires_at)}; "
            f"according to {'the configuration' if one.source == 'config' else cut(one.source, 40)}",
            one.target, link=at_page(address, "targets", one.target), tone="warn",
        )
        for one in soon
    ]  # fmt: skip
    return Listed.of(items, LINES)


def next_steps(facts: Facts, times: Times, address: str | None) -> Listed:
    """Baselines that wait for approval; then the daemon's next actions and the ends of captures, the soonest first."""
    todo, due = [], list(_clock(facts))
    for stream in facts.streams:
        for one in facts.baselines.get(stream, ()):
            link = at_page(address, "baselines", str(one.id))
            if one.status is BaselineStatus.CAPTURED:
                command = f"cliffwatch baseline approve {one.target} --suite {one.suite} --by YOU --why REASON"
                text = f"read the baseline of {one.suite} ({many(one.answers, 'answer')}) and approve it"
                read = ("Read the answers", link) if link else None
                todo.append(Item(text, one.target, "To do", link, command, "warn", first=read))
            elif one.status is BaselineStatus.CAPTURING:
                due.append((one.ends_at, Item(f"the capture of {one.suite} ends", one.target, link=link)))
    order = sorted(due, key=lambda one: (bool(one[1].name), one[0]))
    listed = Listed.of(todo, LINES)
    coming = Listed.of([replace(item, label=times.stamp(at)) for at, item in order], LINES)
    soonest = sorted(zip((at for at, _ in order), coming.items, strict=False), key=lambda one: one[0])
    return Listed((*listed.items, *(item for _, item in soonest)), listed.more + coming.more)


def _clock(facts: Facts) -> Iterator[Happened]:
    plan = facts.settings.schedule
    asked = {suite_kind(suite) for _, suite in facts.streams}
    due = [(plan.selftest, "self-tests: faults injected into copies of stored answers")]
    due += [
        (schedule.expression_of(plan, kind.suite), kind.words) for kind in (PROBES, PRODUCTION, FROZEN) if kind in asked
    ]
    if facts.settings.email is not None:
        due.append((facts.settings.email.every, "this mail"))
    for expression, text in due:
        yield schedule.next_slot(expression, plan, facts.now), Item(text)
