"""``cliffwatch status``: what is monitored, armed and raised, for a fleet of any size in a few queries.

Each suite of each target is one row. Suites that need attention are read in full and come first. In a large fleet,
quiet suites are only counted.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from monitor.core.clock import HEARTBEAT
from monitor.core.condition_words import render
from monitor.core.limits import CAPTURE_DAYS, gap, is_late
from monitor.core.measured import Standing, standing
from monitor.core.records import (
    Alarm,
    AlarmState,
    Baseline,
    BaselineStatus,
    ConditionState,
    Finding,
    IdentityCheck,
    KeptRuns,
    Match,
    RunOutcome,
    SelfTest,
    Severity,
)
from monitor.core.schedule import interval_seconds
from monitor.core.selftest_results import MUST_SEE, missed, on_record
from monitor.core.signals import SEVERITIES
from monitor.core.wording import many
from monitor.report import attention, daemon_notices, retention
from monitor.report.attention import Need, Reason
from monitor.report.status.liveness import Daemon, by_sign
from monitor.runs.arming import arming, render_held
from monitor.runs.readonly import armed, temperature

if TYPE_CHECKING:
    from monitor.runs.readonly import ReadOnlyContext
    from monitor.store.status_reads import Finished

WHOLE: Final = 20
"""Maximum number of suites up to which all are shown; of a larger fleet, only suites that need attention."""
MOST: Final = 15
"""Maximum number of suites shown in full of a larger fleet."""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One target and suite as ``cliffwatch status`` shows it."""

    target: str
    suite: str
    needs: str | None
    """Why it needs attention: the most pressing reason; ``None`` if it needs none."""
    standing: Standing
    """How far it was measured: it counts as quiet only if it was compared."""
    armed: bool
    tickets_only: bool
    """Armed, but none of its page signals pages."""
    not_paging: tuple[str, ...]
    """Why page signals of the approved baseline are only tickets; empty if all of them page."""
    missed: tuple[SelfTest, ...]
    """Planted losses that its latest self-test caught too rarely: such a loss could go undetected today."""
    baseline: str
    last_run: datetime | None
    last_outcome: RunOutcome | None
    unmeasured: Mapping[str, int]
    """Reason -> number of questions of the last run without a usable answer for this reason."""
    alarms: tuple[Alarm, ...]
    identity: tuple[IdentityCheck, ...]
    """Failing identity checks of the target."""
    cleared: tuple[Alarm, ...]
    """The cleared alarms of alarming ``findings``."""
    findings: tuple[Finding, ...]
    conditions: tuple[ConditionState, ...] = ()
    """What the approved baseline fulfils, so that signals can be read."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is not an alarm but reduces the meaning of having no alarm, one line each."""
        return (*self.not_paging, *render(self.conditions), *on_record(self.missed))


@dataclass(frozen=True, slots=True)
class Status:
    """The fleet: ``watches`` in full, and the number of suites that are left out."""

    daemon: Daemon
    watches: tuple[StatusRow, ...]
    total: int
    """Number of suites of configured targets."""
    needing: Mapping[str, int]
    """Reason -> number of suites that need attention for it."""
    capturing: int
    """Number of suites that are capturing their first baseline: no action is needed, and nothing is compared."""
    not_measured_yet: int
    """Number of suites that need no attention and were not compared with their approved baseline yet: not quiet."""
    alarmed: bool
    unmeasured: bool
    """The last run of at least one suite gave no usable answer."""
    kept: tuple[KeptRuns, ...] = ()
    """What is kept beyond its days in ``retention``, and for what."""

    @property
    def quiet(self) -> int:
        """Number of suites that were compared and need no attention."""
        return self.total - sum(self.needing.values()) - self.capturing - self.not_measured_yet

    @property
    def misserved(self) -> bool:
        """Whether a target without a page serves something other than declared."""
        return IDENTITY in self.needing

    @property
    def left_out(self) -> int:
        """Number of suites that need attention and are not in ``watches``."""
        return sum(self.needing.values()) - sum(row.needs is not None for row in self.watches)


IDENTITY: Final = "identity"
REASONS: Final[Mapping[Need, str]] = {
    Need.PAGE: "page",
    Need.IDENTITY: IDENTITY,
    Need.CONFIRMING: "page",
    Need.TICKET: "ticket",
    **{need: gap.value for gap, need in attention.GAPS.items()},
    **dict.fromkeys(sorted(attention.NOT_ARMED), "unarmed"),
    Need.UNSEEN: "self-test missed",
    Need.RETIRES: "model retires",
    Need.ROLLBACK: "no rollback",
    Need.BUDGET: "budget spent",
}
"""Need -> why a suite needs attention, in a word or two."""


@dataclass(frozen=True, slots=True)
class _Fleet:
    """The data of all suites."""

    alarms: Mapping[tuple[str, str], list[Alarm]]
    standing: Mapping[tuple[str, str], Standing]
    last: Mapping[tuple[str, str], "Finished"]
    """The last finished run."""
    lost: Mapping[int, float]
    """Run id -> share of the last run's questions without a usable answer, for runs with such questions."""
    identity: Mapping[str, list[IdentityCheck]]
    """Target -> its failing checks."""
    missed: Mapping[tuple[str, str], list[SelfTest]]
    """Planted losses that were caught too rarely, if any."""
    others: Mapping[str, list[Reason]]
    """Target -> why it needs attention, apart from its suites."""
    refused: Collection[int]
    """Last runs with questions that were not asked because the budget was spent."""


def status(reading: "ReadOnlyContext", *, everything: bool = False) -> Status:
    """The current state of the fleet. ``everything``: include every suite, whatever the size of the fleet."""
    store, now = reading.store, reading.clock()
    open_alarms: dict[tuple[str, str], list[Alarm]] = {}
    for alarm in store.open_alarms():
        open_alarms.setdefault((alarm.target, alarm.suite), []).append(alarm)
    mismatches: dict[str, list[IdentityCheck]] = {}
    for check in store.identity_checks(result=Match.DIFFERS):
        mismatches.setdefault(check.target, []).append(check)
    last = store.last_finished()
    losing = [one.run_id for one in last.values() if one.lost]
    lost, refused = store.lost_shares(losing), store.budget_refused(losing)
    others = attention.of_targets(store.retirements(), store.rollback(), now)
    unseen: dict[tuple[str, str], list[SelfTest]] = {}
    for test in missed(store.imperfect_self_tests(MUST_SEE)):
        unseen.setdefault((test.target, test.suite), []).append(test)
    streams = [(name, suite) for name, target in reading.settings.targets.items() for suite in target.run_suites]
    fleet = _Fleet(open_alarms, _standings(reading, streams, last), last, lost, mismatches, unseen, others, refused)
    reasons = {stream: attention.worst(_reasons(reading, fleet, stream, now)) for stream in streams}
    order = _ranked(reasons)
    needs = {one: REASONS[reasons[one].need] for one in order if reasons[one].need.somebody}
    shown = order if everything or len(order) <= WHOLE else [*needs][:MOST]
    counts = dict(Counter(needs.values()))
    return Status(
        daemon=by_sign(store.get_state(HEARTBEAT), now, daemon_notices.read(store, now)),
        watches=tuple(_row(reading, fleet, stream, needs.get(stream)) for stream in shown),
        total=len(streams),
        needing=counts,
        capturing=sum(one.need is Need.CAPTURING for one in reasons.values()),
        not_measured_yet=sum(one.need is Need.NOT_MEASURED_YET for one in reasons.values()),
        alarmed=any(open_alarms.get(stream) for stream in streams),
        kept=found.kept if (found := retention.read(store)) else (),
        unmeasured=any(last[one].outcome is RunOutcome.UNMEASURED for one in streams if one in last),
    )


def _standings(
    reading: "ReadOnlyContext", streams: Iterable[tuple[str, str]], last: Mapping[tuple[str, str], "Finished"]
) -> dict[tuple[str, str], Standing]:
    baselines, found = reading.store.standing_baselines(), {}
    for stream in streams:
        mine, ended = baselines.get(stream), last.get(stream)
        outdated = mine is not None and mine.suite_digest != reading.digest(*stream)
        status, approved_at = (mine.status, mine.approved_at) if mine else (None, None)
        found[stream] = standing(status, approved_at, ended.last_success if ended else None, outdated=outdated)
    return found


def _reasons(reading: "ReadOnlyContext", fleet: _Fleet, stream: tuple[str, str], now: datetime) -> Iterator[Reason]:
    """Why a suite needs attention."""
    yield from map(attention.of_alarm, fleet.alarms.get(stream, ()))
    yield from map(attention.of_check, fleet.identity.get(stream[0], ()))  # CliffwatchIdentityMismatch pages
    if (last := fleet.last.get(stream)) is not None:
        late = is_late(last.last_success, interval_seconds(reading.settings.schedule, stream[1]), now)
        if (silent := gap(last.outcome, fleet.lost.get(last.run_id), late=late)) is not None:
            yield attention.of_gap(silent, last.last_success)
        if last.run_id in fleet.refused:
            yield Reason(Need.BUDGET)
    yield attention.of_standing(fleet.standing[stream])
    if stream in fleet.missed:
        yield Reason(Need.UNSEEN)  # CliffwatchSelfTestFailed is a ticket about the monitor
    yield from fleet.others.get(stream[0], ())


def _ranked(reasons: Mapping[tuple[str, str], Reason]) -> list[tuple[str, str]]:
    """Suites grouped by target, in the order of ``attention.ranked``; within a target, the most pressing first."""
    targets: dict[str, list[Reason]] = {}
    for (target, _), reason in reasons.items():
        targets.setdefault(target, []).append(reason)
    place = {name: number for number, name in enumerate(attention.ranked(targets))}
    return sorted(reasons, key=lambda one: (place[one[0]], reasons[one]))


def _row(reading: "ReadOnlyContext", fleet: _Fleet, stream: tuple[str, str], need: str | None) -> StatusRow:
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
        standing=fleet.standing[stream],
        armed=is_armed,
        tickets_only=bool(held) and not _may_page(found, {signal for signal, _ in held}),
        not_paging=tuple(render_held(held)),
        missed=tuple(fleet.missed.get(stream, ())),
        baseline=_baseline_words(reading, stream, approved),
        last_run=last.slot if last else None,
        last_outcome=last.outcome if last else None,
        unmeasured=store.unmeasured(last.run_id) if last else {},
        alarms=tuple(open_now),
        identity=tuple(fleet.identity.get(target, ())),
        cleared=_over(found, open_now, over or ()),
        findings=tuple(found),
        conditions=approved.conditions if is_armed and approved else (),
    )


def _may_page(found: Sequence[Finding], held: Collection[str]) -> bool:
    """Whether any page signal with a finding may page."""
    return any(SEVERITIES.get(one.signal) is Severity.PAGE and one.signal not in held for one in found)


def _over(found: Sequence[Finding], open_now: Sequence[Alarm], closed: Iterable[Alarm]) -> tuple[Alarm, ...]:
    """The cleared alarms of the alarming findings: for each signal, the last one raised by that run or before."""
    still = {alarm.signal for alarm in open_now}
    ended = [alarm for alarm in closed if alarm.state is AlarmState.CLEARED]
    over = (
        next((alarm for alarm in ended if alarm.signal == one.signal and alarm.raised_run_id <= one.run_id), None)
        for one in found
        if one.alarming and one.signal not in still
    )
    return tuple(alarm for alarm in over if alarm is not None)


def _baseline_words(reading: "ReadOnlyContext", stream: tuple[str, str], approved: Baseline | None) -> str:
    """Whether and why a suite is armed, in a few words."""
    target, suite = stream
    if approved is not None:
        if not armed(reading, approved):
            return f"baseline {approved.id} is for another version of the suite: capture and approve a new one"
        span = "captured at once" if approved.at_once else f"over {many(approved.days, 'day')}"
        rests_on = f"{approved.answers} answers {span}"
        return f"baseline {approved.id}: {rests_on}, approved by {approved.approved_by}"
    pending = [b for b in reading.store.baselines(target, suite) if b.status is not BaselineStatus.RETIRED]
    if not pending:
        return f"no baseline: cliffwatch baseline capture {target} --days {CAPTURE_DAYS}"
    newest = pending[0]
    # The daemon's next tick closes a window that has ended; this code only reads.
    if newest.status is BaselineStatus.CAPTURING and (newest.ends_at > reading.clock() or not newest.run_ids):
        return f"capturing until {newest.ends_at:%Y-%m-%d %H:%M} UTC ({newest.answers} answers so far)"
    approve = f"cliffwatch baseline approve {target} --by YOU --why REASON"
    return f"captured ({newest.answers} answers), waiting for approval: {approve}"
