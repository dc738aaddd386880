"""``cliffwatch status``: what is watched, armed and raised, for a fleet of any size in a few queries.

Each suite of each target is told in one line of facts; those that need somebody are read in full, and first. A quiet
one of a large fleet is counted.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from monitor.core.clock import HEARTBEAT
from monitor.core.records import (
    Alarm,
    AlarmState,
    Baseline,
    BaselineStatus,
    Finding,
    IdentityCheck,
    RunOutcome,
    SelfTest,
    Severity,
)
from monitor.core.schedule import interval_seconds
from monitor.core.selftest_results import MUST_SEE, missed, on_record
from monitor.core.wording import CAPTURE_DAYS, SEVERITIES, Gap, gap, is_late, many
from monitor.report.status.liveness import Daemon, by_sign
from monitor.runs.arming import arming, told
from monitor.runs.readonly import armed, temperature

if TYPE_CHECKING:
    from monitor.runs.readonly import Reading
    from monitor.store.status_reads import Finished

WHOLE: Final = 20
"""A fleet of so many suites is shown whole; of a larger one, those that need somebody."""
MOST: Final = 15
"""That are shown in full, of a larger fleet."""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One target and suite as ``cliffwatch status`` shows it."""

    target: str
    suite: str
    needs: str | None
    """Why somebody should look: the most pressing reason; ``None`` where it is quiet."""
    armed: bool
    tickets_only: bool
    """Armed, but none of its page signals pages."""
    not_paging: tuple[str, ...]
    """Why page signals of the approved baseline are only tickets; empty where all page."""
    missed: tuple[SelfTest, ...]
    """Planted losses that its latest self-test caught too seldom: such a loss could go unseen today."""
    baseline: str
    last_run: datetime | None
    last_outcome: RunOutcome | None
    unmeasured: Mapping[str, int]
    """Reason -> how many questions of the last run have no usable answer for it."""
    alarms: tuple[Alarm, ...]
    identity: tuple[IdentityCheck, ...]
    """Checks of the target that found something else served than is declared."""
    cleared: tuple[Alarm, ...]
    """The alarms of those of ``findings`` that alarmed and whose alarm is over."""
    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is no alarm and weakens what silence says, a line each."""
        return (*self.not_paging, *on_record(self.missed))


@dataclass(frozen=True, slots=True)
class Status:
    """The fleet: ``watches`` in full, and how many were left out."""

    daemon: Daemon
    watches: tuple[StatusRow, ...]
    total: int
    """Suites of targets that are configured."""
    needing: Mapping[str, int]
    """Reason -> how many of them need somebody for it."""
    alarmed: bool
    unmeasured: bool
    """The last run of one of them brought nothing usable."""

    @property
    def misserved(self) -> bool:
        """Something else is served than is declared, of a target without a page."""
        return IDENTITY in self.needing

    @property
    def left_out(self) -> int:
        """Those that need somebody and are not among ``watches``."""
        return sum(self.needing.values()) - sum(row.needs is not None for row in self.watches)


ALARM, IDENTITY, TICKET, UNARMED, UNSEEN = "page", "identity", "ticket", "unarmed", "self-test missed"
REASONS: Final = (ALARM, IDENTITY, TICKET, *Gap, UNARMED, UNSEEN)
"""What a suite needs somebody for, most pressing first."""


@dataclass(frozen=True, slots=True)
class _Fleet:
    """What is known of all suites at once."""

    alarms: Mapping[tuple[str, str], list[Alarm]]
    digests: Mapping[tuple[str, str], str]
    last: Mapping[tuple[str, str], "Finished"]
    """The run that finished last."""
    lost: Mapping[int, float]
    """Run id -> share of the questions of such a run that measured nothing, where any did."""
    identity: Mapping[str, list[IdentityCheck]]
    """Target -> the checks that do not match."""
    missed: Mapping[tuple[str, str], list[SelfTest]]
    """Planted losses that were caught too seldom, where any were."""


def status(reading: "Reading", *, everything: bool = False) -> Status:
    """The fleet as it stands. ``everything``: no suite is left out, however many there are."""
    store, now = reading.store, reading.clock()
    open_alarms: dict[tuple[str, str], list[Alarm]] = {}
    for alarm in store.open_alarms():
        open_alarms.setdefault((alarm.target, alarm.suite), []).append(alarm)
    mismatches: dict[str, list[IdentityCheck]] = {}
    for check in store.identity_checks(matches=False):
        mismatches.setdefault(check.target, []).append(check)
    last = store.last_finished()
    lost = store.lost_shares([one.run_id for one in last.values() if one.lost])
    unseen: dict[tuple[str, str], list[SelfTest]] = {}
    for test in missed(store.imperfect_self_tests(MUST_SEE)):
        unseen.setdefault((test.target, test.suite), []).append(test)
    fleet = _Fleet(open_alarms, store.approved_digests(), last, lost, mismatches, unseen)
    streams = [(name, suite) for name, target in reading.settings.targets.items() for suite in target.run_suites]
    needs = {stream: _needs(reading, fleet, stream, now) for stream in streams}
    shown = streams if everything or len(streams) <= WHOLE else _pressing(needs)[:MOST]
    counts: dict[str, int] = {}
    for need in needs.values():
        if need is not None:
            counts[need] = counts.get(need, 0) + 1
    return Status(
        daemon=by_sign(store.get_state(HEARTBEAT), now),
        watches=tuple(_row(reading, fleet, stream, needs[stream]) for stream in shown),
        total=len(streams),
        needing=counts,
        alarmed=any(open_alarms.get(stream) for stream in streams),
        unmeasured=any(last[one].outcome is RunOutcome.UNMEASURED for one in streams if one in last),
    )


def _needs(reading: "Reading", fleet: _Fleet, stream: tuple[str, str], now: datetime) -> str | None:
    raised = fleet.alarms.get(stream, [])
    if any(one.severity is Severity.PAGE for one in raised):
        return ALARM
    if stream[0] in fleet.identity:
        return IDENTITY  # CliffwatchIdentityMismatch pages
    if raised:
        return TICKET
    last = fleet.last.get(stream)
    if last is not None:
        late = is_late(last.last_success, interval_seconds(reading.settings.schedule, stream[1]), now)
        if (silent := gap(last.outcome, fleet.lost.get(last.run_id), late=late)) is not None:
            return silent
    if fleet.digests.get(stream) != reading.digest(*stream):
        return UNARMED
    return UNSEEN if stream in fleet.missed else None  # CliffwatchSelfTestFailed is a ticket about the monitor


def _pressing(needs: Mapping[tuple[str, str], str | None]) -> list[tuple[str, str]]:
    return sorted((one for one, need in needs.items() if need), key=lambda one: REASONS.index(needs[one] or UNARMED))


def _row(reading: "Reading", fleet: _Fleet, stream: tuple[str, str], need: str | None) -> StatusRow:
    store, (target, suite) = reading.store, stream
    approved = store.approved(target, suite)
    is_armed = armed(reading, approved)
    last = fleet.last.get(stream)
    found = store.latest_findings(target, suite, exhibits=False)
    open_now = fleet.alarms.get(stream, [])
    held = arming(store, approved, found, temperature(reading.suites, suite)) if is_armed else []
    over = any(one.alarming for one in found) and store.alarms(target, suite, raised=False)
    return StatusRow(
        target=target,
        suite=suite,
        needs=need,
        armed=is_armed,
        tickets_only=bool(held) and not _may_page(found, {signal for signal, _ in held}),
        not_paging=tuple(told(held)),
        missed=tuple(fleet.missed.get(stream, ())),
        baseline=_baseline_words(reading, stream, approved),
        last_run=last.slot if last else None,
        last_outcome=last.outcome if last else None,
        unmeasured=store.unmeasured(last.run_id) if last else {},
        alarms=tuple(open_now),
        identity=tuple(fleet.identity.get(target, ())),
        cleared=_over(found, open_now, over or ()),
        findings=tuple(found),
    )


def _may_page(found: Sequence[Finding], held: Collection[str]) -> bool:
    """Whether any page signal that was read is not held back."""
    return any(SEVERITIES.get(one.signal) is Severity.PAGE and one.signal not in held for one in found)


def _over(found: Sequence[Finding], open_now: Sequence[Alarm], closed: Iterable[Alarm]) -> tuple[Alarm, ...]:
    """The closed alarms (newest first) that alarming findings belong to: each signal's last, raised by it or before."""
    still = {alarm.signal for alarm in open_now}
    ended = [alarm for alarm in closed if alarm.state is AlarmState.CLEARED]
    over = (
        next((alarm for alarm in ended if alarm.signal == one.signal and alarm.raised_run_id <= one.run_id), None)
        for one in found
        if one.alarming and one.signal not in still
    )
    return tuple(alarm for alarm in over if alarm is not None)


def _baseline_words(reading: "Reading", stream: tuple[str, str], approved: Baseline | None) -> str:
    """Why a target is armed or not, in a few words."""
    target, suite = stream
    if approved is not None:
        if not armed(reading, approved):
            return f"baseline {approved.id} is of another version of the suite: capture and approve a new one"
        span = "captured at once" if approved.at_once else f"over {many(approved.days, 'day')}"
        rests_on = f"{approved.answers} answers {span}"
        return f"baseline {approved.id}: {rests_on}, approved by {approved.approved_by}"
    pending = [b for b in reading.store.baselines(target, suite) if b.status is not BaselineStatus.RETIRED]
    if not pending:
        return f"no baseline: cliffwatch baseline capture {target} --days {CAPTURE_DAYS}"
    newest = pending[0]
    # A window that is over is closed by the daemon's next tick; whoever only reads writes nothing.
    if newest.status is BaselineStatus.CAPTURING and (newest.ends_at > reading.clock() or not newest.run_ids):
        return f"capturing until {newest.ends_at:%Y-%m-%d %H:%M} UTC ({newest.answers} answers so far)"
    approve = f"cliffwatch baseline approve {target} --by YOU --why WHY"
    return f"captured ({newest.answers} answers), waiting for: {approve}"
