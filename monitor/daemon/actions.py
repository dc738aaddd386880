"""The actions of people, from commands and pages. Each is performed and recorded here; actions on pages are also
logged.

An action has the person's name and reason. Its change and its row of the audit log are one transaction.
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
from monitor.daemon.accepting import accept_root, accept_values

if TYPE_CHECKING:
    from monitor.runs.context import RunContext

log = structlog.get_logger()


class Actions:
    """One method per action. Each returns the recorded audit entry.

    ``who`` is the person, ``why`` the reason; neither may be blank. ``address`` is the source of the request, ``None``
    for a command. All raise NotThere if the object does not exist, UsageError with the reason if the action is not
    possible, and StoreError if the store is unavailable.
    """

    def __init__(self, context: "Callable[[], RunContext]") -> None:
        self._context = context
        self._one_run_at_a_time = Lock()

    def approve(self, baseline_id: int, who: str, why: str, address: str | None = None) -> AuditEntry:
        """Make a captured baseline the one that runs are compared with, and retire its predecessor.

        Raises UsageError if all of its answers are empty.
        """
        from monitor.runs.conditions import determined, require_text

        context = self._context()
        entry = self._of_baseline(context, "approve", baseline_id, who, why, address)
        baseline = context.store.baseline(baseline_id)
        found = determined(context.settings, context.store, baseline)
        require_text(baseline, found)
        context.store.approve(baseline_id, entry.who, entry.why, entry.at, entry=entry, conditions=found)
        return self._logged(entry)

    def retire(self, baseline_id: int, who: str, why: str, address: str | None = None) -> AuditEntry:
        """Retire a baseline or cancel its capture, and clear the alarms that were raised against it."""
        context = self._context()
        entry = self._of_baseline(context, "retire", baseline_id, who, why, address)
        context.store.retire(baseline_id, entry.who, entry.why, entry.at, entry=entry)
        return self._logged(entry)

    def acknowledge(self, alarm_id: int, who: str, why: str, address: str | None = None) -> AuditEntry:
        """Acknowledge an open alarm on behalf of ``who``. It stays open."""
        context = self._context()
        alarm, entry = self._of_alarm(context, "acknowledge", alarm_id, who, why, address)
        if not context.store.acknowledge(alarm_id, entry.who, entry.why, entry.at, entry=entry):
            raise UsageError(f"{alarm.target}: the alarm of {alarm.signal} has been cleared in the meantime")
        return self._logged(entry)

    def acknowledge_all(self, target: str, who: str, why: str, address: str | None = None) -> list[AuditEntry]:
        """Acknowledge all unacknowledged alarms of a target, with one entry per alarm. Idempotent.

        Existing acknowledgements are kept, so that two people who are paged at the same time learn of each other.
        """
        context = self._context()
        who, why = signed(who, why)
        try:
            known_names(context.settings, target)
        except UsageError as error:
            raise NotThere(str(error)) from None
        now = context.clock()
        done = context.store.acknowledge_all(
            target, who, why, now, lambda alarm: _on_alarm(alarm, now, who, "acknowledge", why, address)
        )
        return [self._logged(one) for one in done]

    def clear(self, alarm_id: int, who: str, why: str, address: str | None = None) -> AuditEntry:
        """Clear an open alarm. The signal's evidence restarts at zero."""
        from monitor.detect.alarms import cleared_by_hand

        context = self._context()
        alarm, entry = self._of_alarm(context, "clear", alarm_id, who, why, address)
        if not context.store.clear_alarm(cleared_by_hand(alarm, entry.who, entry.why, entry.at), entry=entry):
            raise UsageError(f"{alarm.target}: the alarm of {alarm.signal} has been cleared in the meantime")
        return self._logged(entry)

    def accept(
        self, target: str, part: str, who: str, why: str, address: str | None = None, suite: str | None = None
    ) -> list[AuditEntry]:
        """Accept the new values of a part of the contract in the newest run of a suite, or of each suite with new ones.

        They count as the baseline's from then on. The contract's open alarm is cleared if nothing else changed. For
        ``root``: the place from which servers load the target's models now. Returns an entry per suite.
        """
        from monitor.runs import acceptance

        context = self._context()
        who, why = signed(who, why)
        part = acceptance.known_part(part)
        try:
            suites = chosen_suites(context.settings, target, suite)
        except UsageError as error:
            raise NotThere(str(error)) from None
        if part == acceptance.ROOT:
            return [self._logged(accept_root(context, target, who, why, address))]
        return [self._logged(one) for one in accept_values(context, target, suites, part, who, why, address)]

    def run(self, target: str, suite: str, who: str, why: str, address: str | None = None) -> AuditEntry:
        """Make a run due now, outside the schedule. The next tick starts all of it, within the target's budget."""
        from monitor.runs.context import ensure_run

        context = self._context()
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
                if one.by_hand and one.status != "done":
                    raise UsageError(f"{target}/{suite}: manual run {one.id} has not finished; wait for it")
            made = ensure_run(context, target, suite, now, scheduled=False, entry=of)
        return self._logged(of(made))

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
            raise NotThere(f"unknown alarm {alarm_id}")
        if found.cleared_at is not None:
            by = found.cleared_by or "the answers"
            raise UsageError(f"{found.target}: the alarm of {found.signal} was already cleared by {by}")
        return found, _on_alarm(found, context.clock(), who, action, why, address)

    @staticmethod
    def _logged(entry: AuditEntry) -> AuditEntry:
        if entry.address is None:
            return entry  # commands print their result
        log.info("action", action=entry.action, who=entry.who, target=entry.target, suite=entry.suite,
                 subject=entry.subject, why=visible(entry.why), address=entry.address)  # fmt: skip
        return entry


def _on_alarm(alarm: Alarm, at: datetime, who: str, action: str, why: str, address: str | None) -> AuditEntry:
    subject = f"alarm {alarm.id} ({alarm.signal})"
    return AuditEntry(at, who, action, alarm.target, alarm.suite, subject, why, address)


def signed(who: str, why: str) -> tuple[str, str]:
    """``who`` and ``why`` as one line each, without control characters. Raises UsageError if either is blank."""
    who, why = visible(" ".join(who.split())), visible(" ".join(why.split()))
    if not who or not why:
        raise UsageError("give your name and a reason; both are stored")
    return who, why
