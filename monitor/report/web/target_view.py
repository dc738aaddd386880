"""One target for its page and its JSON: every signal with its history, the spend, the next runs, the audit log."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from monitor.core import selftest_results, wording
from monitor.core.records import (
    Alarm,
    Arm,
    AuditEntry,
    Baseline,
    BaselineStatus,
    Finding,
    IdentityCheck,
    Point,
    Retirement,
    Rollback,
    Run,
    SelfTest,
    ServedBy,
    ServedMetadata,
    Spend,
)
from monitor.core.schedule import expression_of, next_slot
from monitor.core.settings import Settings
from monitor.report.explain import claim as claims
from monitor.report.explain import recovery
from monitor.report.web import fleet_overview, sparklines

if TYPE_CHECKING:
    from monitor.store import StoreReader

RUNS: Final = 30
ALARMS: Final = 30
AUDIT_ENTRIES: Final = 20
"""Maximum number shown of each, newest first."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of one suite, with its last 30 days."""

    finding: Finding
    ended: Alarm | None
    """The alarm that the finding raised, kept up or cleared, if it is cleared."""
    points: tuple[Point, ...]
    evidence: sparklines.Picture | None
    effect: sparklines.Picture | None


@dataclass(frozen=True, slots=True)
class Borrowed:
    """What a suite's latest verdict took from the days of other suites, for one signal."""

    signal: str
    spread: float
    """How much its healthy days are expected to differ, as a multiple of chance, before its own days are seen."""
    alone: float
    """The same without other suites."""


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite of the target."""

    watch: fleet_overview.Watch
    baseline: Baseline | None
    signals: tuple[Signal, ...]
    next_at: datetime
    """Start of its next scheduled run."""
    open_run: Run | None
    """The run that is due, running or waiting."""
    tests: tuple[SelfTest, ...]
    """Its latest self-test: total losses first, the control last. Empty before the first self-test."""
    borrowed: tuple[Borrowed, ...]
    """Empty for a suite without a verdict, and for the only suite of a fleet."""

    @property
    def missed(self) -> list[SelfTest]:
        """The tests for which ``CliffwatchSelfTestFailed`` fires."""
        return selftest_results.missed(self.tests)

    @property
    def jumpy(self) -> SelfTest | None:
        """The control, if it alarmed so often that the other results mean little."""
        return selftest_results.jumpy(self.tests)


@dataclass(frozen=True, slots=True)
class Lead:
    """The newest finding of the most urgent open alarm. The other alarms usually follow from it."""

    finding: Finding
    claim: claims.Claim


@dataclass(frozen=True, slots=True)
class Detail:
    lead: Lead | None
    """``None`` if no alarm is open, or if its newest finding no longer alarms."""
    suites: tuple[Suite, ...]
    baselines: tuple[Baseline, ...]
    runs: tuple[Run, ...]
    alarms: tuple[Alarm, ...]
    spent: Spend
    identity: tuple[IdentityCheck, ...]
    listed: tuple[ServedMetadata, ...]
    """What servers' lists say about its models."""
    served: tuple[ServedBy, ...]
    """What the replies of the last runs say about who served them."""
    retirements: tuple[Retirement, ...]
    rollback: Rollback | None
    audit_entries: tuple[AuditEntry, ...]


def detail(
    store: "StoreReader", settings: Settings, now: datetime, kept: fleet_overview.FleetCache, target: str
) -> Detail:
    """Everything about one configured target."""
    found = store.baselines(target)
    runs = store.runs(target, limit=RUNS)
    findings = store.latest_findings(target, exhibits=False)
    series, alarms = store.series(now - fleet_overview.DAYS, target), store.alarms(target)
    watches, tests = (
        fleet_overview.watches(store, settings, now, kept, target),
        selftest_results.in_order(store.self_tests([target])),
    )
    borrowed = store.borrowed(sorted({one.run_id for one in findings}))
    return Detail(
        lead=_lead(store, watches, findings),
        suites=tuple(
            _suite(watch, found, findings, alarms, series, runs, tests, borrowed, settings, now) for watch in watches
        ),
        baselines=tuple(found),
        runs=tuple(runs),
        alarms=tuple(alarms[:ALARMS]),
        spent=store.spent(target, now.astimezone(UTC).date()),
        identity=tuple(store.identity_checks(target)),
        listed=tuple(store.served_metadata(target)),
        served=tuple(store.served_by([watch.last_run_id for watch in watches if watch.last_run_id is not None])),
        retirements=tuple(store.retirements(target)),
        rollback=next(iter(store.rollback(target)), None) if settings.targets[target].snapshot else None,
        audit_entries=tuple(store.audit_entries(target, AUDIT_ENTRIES)),
    )


def _lead(store: "StoreReader", watches: Sequence[fleet_overview.Watch], findings: Collection[Finding]) -> Lead | None:
    alarm = min((one for watch in watches for one in watch.alarms), key=wording.urgency, default=None)
    if alarm is None:
        return None
    key = (alarm.suite, alarm.signal)
    found = next((one for one in findings if (one.suite, one.signal) == key and one.alarming), None)
    return None if found is None else Lead(found, claims.claim_of(store, found))


def _suite(
    watch: fleet_overview.Watch, baselines: Sequence[Baseline], findings: Collection[Finding], alarms: Sequence[Alarm],
    series: Mapping[fleet_overview.SeriesKey, Sequence[Point]], runs: Sequence[Run], tests: Sequence[SelfTest],
    borrowed: Mapping[int, Mapping[str, Sequence[float]]], settings: Settings, now: datetime,
) -> Suite:  # fmt: skip
    mine = fleet_overview.by_rank([one for one in findings if one.suite == watch.suite])
    capturing = any(one.suite == watch.suite and one.status is BaselineStatus.CAPTURING for one in baselines)
    return Suite(
        watch=watch,
        baseline=next((one for one in baselines if one.id == watch.baseline_id), None),
        signals=tuple(
            _signal(one, recovery.ending(alarms, one), series.get((one.target, one.suite, one.signal), ()), now)
            for one in mine
        ),
        next_at=next_slot(expression_of(settings.schedule, watch.suite, capturing=capturing), settings.schedule, now),
        open_run=next((run for run in runs if run.suite == watch.suite and run.status != "done"), None),
        tests=tuple(one for one in tests if one.suite == watch.suite),
        borrowed=_borrowed(mine, borrowed),
    )


def _borrowed(
    findings: Sequence[Finding], weights: Mapping[int, Mapping[str, Sequence[float]]]
) -> tuple[Borrowed, ...]:
    from monitor.detect.evidence import expected_spread

    found = [(one.signal, weights.get(one.run_id, {}).get(one.signal)) for one in findings]
    return tuple(
        Borrowed(signal, expected_spread(mine), expected_spread()) for signal, mine in found if mine is not None
    )


def _signal(finding: Finding, ended: Alarm | None, points: Sequence[Point], now: datetime) -> Signal:
    start = now - fleet_overview.DAYS
    return Signal(
        finding, ended, tuple(points), sparklines.evidence_picture(points, start, now),
        sparklines.effect_picture(points, finding.signal, start, now),
    )  # fmt: skip


def mismatched(checks: Sequence[IdentityCheck]) -> list[IdentityCheck]:
    """The failing checks, the subject's first."""
    return sorted((one for one in checks if one.differs), key=lambda one: one.arm is not Arm.SUBJECT)
