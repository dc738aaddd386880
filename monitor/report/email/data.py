"""The data of a mail: everything about one period, read from the store in a few queries for any number of targets.

``report`` evaluates single targets, from these data alone.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from monitor.core.records import (
    Alarm,
    AuditEntry,
    Baseline,
    Finding,
    IdentityCheck,
    Retirement,
    Rollback,
    RunSummary,
    SampleAccount,
    Spend,
    SuiteProgress,
)
from monitor.core.run_kinds import JUDGE, PRODUCTION
from monitor.core.settings import Settings
from monitor.report.explain.context import FindingContext

if TYPE_CHECKING:
    from monitor.store import StoreReader

Stream = tuple[str, str]
"""target, suite."""
Key = tuple[str, str, str]
"""target, suite, signal."""

AUDIT_ENTRIES: Final = 1000
MOST: Final = 100_000
"""Maximum number of cleared alarms that are read, newest first."""

Item = TypeVar("Item")
Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class Facts:
    """One period of the configured targets, and of the judge as target ``judge``."""

    settings: Settings
    since: datetime
    now: datetime
    progress: Mapping[Stream, SuiteProgress]
    baselines: Mapping[Stream, Sequence[Baseline]]
    """Newest first."""
    outdated: Collection[Stream]
    """Streams whose approved baseline was captured with another version of the suite."""
    alarms: Mapping[str, Sequence[Alarm]]
    """Target -> its open alarms, and the alarms that were cleared in the period."""
    latest: Mapping[Stream, Mapping[str, Finding]]
    """Signal -> its newest finding, without exhibits."""
    last: Mapping[Stream, RunSummary]
    """The last finished run."""
    asked: Mapping[Stream, Mapping[str, int]]
    """Reason -> number of the period's questions without a usable answer for this reason; ``""``: with an answer."""
    spent: Mapping[str, Spend]
    """Target -> its spend on the UTC days that the period touches."""
    days: int
    """Number of these days."""
    audit_entries: Sequence[AuditEntry]
    retirements: Sequence[Retirement]
    identity: Mapping[str, Sequence[IdentityCheck]]
    """Target -> the latest result of each of its checks."""
    rollback: Mapping[str, Rollback]
    blind: Mapping[str, Sequence[str]]
    """Target -> why a loss could go undetected according to its self-tests, one sentence each."""
    samples: Mapping[str, SampleAccount] = field(default_factory=dict)
    """Target -> the account of the last finished run's sample of production inputs."""
    beside: Mapping[Key, FindingContext] = field(default_factory=dict)
    """Context of the newest finding of an open alarm, for the alarms that ``report.told_in_full`` names."""

    @property
    def every_alarm(self) -> list[Alarm]:
        """The alarms of configured targets."""
        return [alarm for name in self.settings.targets for alarm in self.alarms.get(name, ())]

    @property
    def streams(self) -> list[Stream]:
        """Every configured (target, suite)."""
        return [(name, suite) for name, target in self.settings.targets.items() for suite in target.run_suites]


def read(
    store: "StoreReader", settings: Settings, since: datetime, now: datetime, blind: Mapping[str, Sequence[str]]
) -> Facts:
    """The facts of [``since``, ``now``], without targets that are no longer configured."""
    ours = set(settings.targets) | {JUDGE.target}
    last = {stream: run_id for stream, run_id in store.last_done().items() if stream[0] in ours}
    summaries = store.summaries(list(last.values()))
    sampled = {run: stream[0] for stream, run in last.items() if stream[1] == PRODUCTION.suite}
    alarms = [*store.open_alarms(), *store.alarms(raised=False, limit=MOST)]
    latest: dict[Stream, dict[str, Finding]] = defaultdict(dict)
    for found in store.latest_findings(exhibits=False):
        latest[found.target, found.suite][found.signal] = found
    first, final = since.astimezone(UTC).date(), now.astimezone(UTC).date()
    return Facts(
        settings=settings,
        since=since,
        now=now,
        progress={(one.target, one.suite): one for one in store.progress() if one.target in ours},
        baselines=_by(store.baselines(), lambda one: (one.target, one.suite)),
        outdated=store.outdated(),
        alarms=_by((one for one in alarms if one.cleared_at is None or one.cleared_at >= since), _target),
        latest=latest,
        samples={sampled[run]: one for run, one in store.samples(list(sampled)).items()} if sampled else {},
        last={stream: summaries[run_id] for stream, run_id in last.items() if run_id in summaries},
        asked={stream: counts for stream, counts in store.asked_since(since).items() if stream[0] in ours},
        spent={target: spend for target, spend in store.spent_between(first, final).items() if target in ours},
        days=(final - first).days + 1,
        audit_entries=[one for one in store.audit_entries(limit=AUDIT_ENTRIES) if one.at >= since],
        retirements=[one for one in store.retirements() if one.target in ours],
        identity=_by(store.identity_checks(), _target),
        rollback={one.target: one for one in store.rollback()},
        blind=blind,
    )


def _by(items: Iterable[Item], key: Callable[[Item], Group]) -> dict[Group, list[Item]]:
    grouped: dict[Group, list[Item]] = defaultdict(list)
    for item in items:
        grouped[key(item)].append(item)
    return dict(grouped)


def _target(item: Alarm | IdentityCheck) -> str:
    return item.target
