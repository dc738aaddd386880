"""What a person may do, whoever asks: a command or a page. Each deed is done and put on record here; one
through the pages is logged, too.

A deed has the name of whoever did it and their reason. What it changes and its row of the audit log are one
transaction: neither is there without the other.
"""

from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING

import structlog

from monitor.core.errors import CliffwatchError, NotThere, StoreError, UsageError
from monitor.core.lookup import chosen_suites, known_names
from monitor.core.records import Alarm, AuditEntry, Baseline, Run
from monitor.core.sanitize import visible

if TYPE_CHECKING:
    from monitor.runs.context import RunContext

log = structlog.get_logger()


class Actions:
    """One method a deed; each returns what went on record.

    ``who``: the person; ``why``: their words, neither of them blank; ``address``: where the request came from, ``None``
    for a command. All raise NotThere for what is not there, UsageError for what cannot be done, and say why; StoreError
    when the store is away.
    """

    def __init__(self, context: "Callable[[], RunContext]") -> None:
        self._house = context
        self._one_run_at_a_time = Lock()

    def approve(self, baseline_id: int, who: str, why: str, address: str | None = None) -> AuditEntry:
        """Make a captured baseline the one to compare with; the one before it is retired."""
        context = self._house()
        entry = self._of_baseline(context, "approve", baseline_id, who, why, address)
        context.store.approve(baseline_id, entry.who, entry.why, entry.at, entry=entry)
        return self._told(entry)

    def retire(self, baseline_id: int, who: str, why: str, address: str | None = None) -> AuditEntry:
        """Take a baseline out of use, or give up its capture; alarms that were raised against it are cleared."""
        context = self._house()
        entry = self._of_baseline(context, "retire", baseline_id, who, why, address)
        context.store.retire(baseline_id, entry.who, entry.why, entry.at, entry=entry)
        return self._told(entry)

    def acknowledge(self, alarm_id: int, who: str, why: str, address: str | None = None) -> AuditEntry:
        """Say that ``who`` looks into an open alarm; it stays raised."""
        context = self._house()
        alarm, entry = self._of_alarm(context, "acknowledge", alarm_id, who, why, address)
        if not context.store.acknowledge(alarm_id, entry.who, entry.why, entry.at, entry=entry):
            raise UsageError(f"{alarm.target}: the alarm of {alarm.signal} was cleared meanwhile")
        return self._told(entry)

    def acknowledge_all(self, target: str, who: str, why: str, address: str | None = None) -> list[AuditEntry]:
        """Say that ``who`` looks into every open alarm of a target that nobody looks into yet; one deed for each.

        What somebody looks into already stays theirs, so that two who are woken at once learn of each other, and to ask
        twice changes nothing.
        """
        context = self._house()
        who, why = signed(who, why)
        try:
            known_names(context.settings, target)
        except UsageError as error:
            raise NotThere(str(error)) from None
        now = context.clock()
        done = context.store.acknowledge_all(
            target, who, why, now, lambda alarm: _on_alarm(alarm, now, who, "acknowledge", why, address)
        )
        return [self._told(one) for one in done]

    def clear(self, alarm_id: int, who: str, why: str, address: str | None = None) -> AuditEntry:
        """End an open alarm; the signal's evidence counts anew from then on."""
        from monitor.detect.alarms import cleared_by_hand

        context = self._house()
        alarm, entry = self._of_alarm(context, "clear", alarm_id, who, why, address)
        if not context.store.clear_alarm(cleared_by_hand(alarm, entry.who, entry.why, entry.at), entry=entry):
            raise UsageError(f"{alarm.target}: the alarm of {alarm.signal} was cleared meanwhile")
        return self._told(entry)

    def run(self, target: str, suite: str, who: str, why: str, address: str | None = None) -> AuditEntry:
        """Make a run due now, off the schedule; the daemon's next tick asks all of it, within the target's budget."""
        from monitor.runs.context import ensure_run

        context = self._house()
        who, why = signed(who, why)
        now = context.clock()
        try:
            chosen_suites(context.settings, target, suite)
        except UsageError as error:
            raise NotThere(str(error)) from None

        def of(run: Run) -> AuditEntry:
            return AuditEntry(now, who, "run", target, suite, f"run {run.id}", why, address)

        with self._one_run_at_a_time:
            for one in context.store.runs(target, suite):
                if not one.scheduled and one.confirms is None and one.status != "done":
                    raise UsageError(f"{target}/{suite}: run {one.id}, made by hand, is not over yet; wait for it")
            made = ensure_run(context, target, suite, now, scheduled=False, entry=of)
        return self._told(of(made))

    @staticmethod
    def _of_baseline(
        context: "RunContext", action: str, baseline_id: int, who: str, why: str, address: str | None
    ) -> AuditEntry:
        who, why = signed(who, why)
        context.store.close_due_baselines(context.clock())
        try:
            found: Baseline = context.store.baseline(baseline_id)
            known_names(context.settings, found.target)
        except StoreError:
            raise
        except CliffwatchError as error:
            raise NotThere(str(error)) from None
        return AuditEntry(context.clock(), who, action, found.target, found.suite, f"baseline {found.id}", why, address)

    @staticmethod
    def _of_alarm(
        context: "RunContext", action: str, alarm_id: int, who: str, why: str, address: str | None
    ) -> tuple[Alarm, AuditEntry]:
        who, why = signed(who, why)
        found = context.store.alarm(alarm_id)
        if found is None:
            raise NotThere(f"there is no alarm {alarm_id}")
        if found.cleared_at is not None:
            by = found.cleared_by or "the answers"
            raise UsageError(f"{found.target}: the alarm of {found.signal} was cleared before, by {by}")
        return found, _on_alarm(found, context.clock(), who, action, why, address)

    @staticmethod
    def _told(entry: AuditEntry) -> AuditEntry:
        if entry.address is None:
            return entry  # a command prints what it did
        log.info("action", action=entry.action, who=entry.who, target=entry.target, suite=entry.suite,
                 subject=entry.subject, why=visible(entry.why), address=entry.address)  # fmt: skip
        return entry


def _on_alarm(alarm: Alarm, at: datetime, who: str, action: str, why: str, address: str | None) -> AuditEntry:
    subject = f"alarm {alarm.id} ({alarm.signal})"
    return AuditEntry(at, who, action, alarm.target, alarm.suite, subject, why, address)


def signed(who: str, why: str) -> tuple[str, str]:
    """Both on one line each, whatever blanks were in them, and nothing in them that a terminal would obey."""
    who, why = visible(" ".join(who.split())), visible(" ".join(why.split()))
    if not who or not why:
        raise UsageError("say who you are and why; both are kept")
    return who, why
