"""Accepts values of the contract that a person knows to be harmless, with an audit entry."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.core.errors import UsageError
from monitor.core.records import Accepted, AuditEntry, IdentityCheck, Match

if TYPE_CHECKING:
    from monitor.runs.acceptance import News
    from monitor.runs.context import RunContext


def accept_values(
    context: "RunContext", target: str, suites: Sequence[str], part: str, who: str, why: str, address: str | None
) -> Iterator[AuditEntry]:
    """Accept the new values of a part in each suite whose newest run has any. Raises UsageError if none has."""
    from monitor.runs import acceptance

    found: dict[str, News] = {}
    problems = []
    for suite in suites:
        try:
            one = acceptance.news(context.store, target, suite, part)
        except UsageError as error:
            problems.append(str(error))
            continue
        if one is not None:
            found[suite] = one
        else:
            problems.append(f"{target}/{suite}: the newest run has no new {part.replace('_', ' ')}")
    if not found:
        raise UsageError("; ".join(problems))
    for suite, one in found.items():
        yield _accept(context, target, suite, one, who, why, address)


def _accept(
    context: "RunContext", target: str, suite: str, found: "News", who: str, why: str, address: str | None
) -> AuditEntry:
    from monitor.detect.alarms import cleared_by_hand
    from monitor.runs import acceptance

    now = context.clock()
    subject = f"{found.part.replace('_', ' ')} {found.told()}"
    entry = AuditEntry(now, who, "accept", target, suite, subject, why, address)
    items = [Accepted(target, suite, found.part, value, who, why, now) for value in found.values]
    alarm = acceptance.contract_alarm(context.store, target, suite) if found.leaves_quiet() else None
    cleared = None if alarm is None else cleared_by_hand(alarm, who, f"accepted {subject}: {why}", now)
    if not context.store.accept(items, entry, cleared):
        context.store.accept(items, entry)  # its alarm was cleared meanwhile
    return entry


def accept_root(context: "RunContext", target: str, who: str, why: str, address: str | None) -> AuditEntry:
    """Accept the places from which servers load the target's models now. Raises UsageError if none differs."""
    from monitor.runs import acceptance

    differing = [one for one in context.store.identity_checks(target, result=Match.DIFFERS)
                 if one.check == "served_root"]  # fmt: skip
    roots = {one.arm: one.facts["root"] for one in context.store.served_metadata(target) if "root" in one.facts}
    found = [one for one in differing if one.arm in roots]
    if not found:
        raise UsageError(f"{target}: no model is loaded from another place than when its baseline was approved")
    now = context.clock()
    values = list(dict.fromkeys(roots[one.arm] for one in found))
    entry = AuditEntry(now, who, "accept", target, None, f"root {', '.join(map(repr, values))}", why, address)
    context.store.accept([Accepted(target, "", acceptance.ROOT, value, who, why, now) for value in values], entry)
    context.store.save_identity_checks([_settled(one, entry) for one in found])
    return entry


def _settled(one: IdentityCheck, entry: AuditEntry) -> IdentityCheck:
    """The check with its accepted value: the daemon's next round finds the same."""
    return replace(one, result=Match.MATCHES, checked_at=entry.at, since=entry.at)
