"""The overview: which targets need attention. Every target with its worst state, as a list in pages."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from monitor.core.limits import Gap, gap, is_late
from monitor.core.measured import Standing, standing
from monitor.core.records import Alarm, Finding, IdentityCheck, Match, Point, Retirement, RunOutcome, SelfTest, Stream
from monitor.core.run_kinds import JUDGE
from monitor.core.schedule import interval_seconds
from monitor.core.selftest_results import MUST_SEE, missed
from monitor.core.settings import Settings, Target
from monitor.core.signals import rank
from monitor.core.wording import urgency
from monitor.report import attention
from monitor.report.attention import Need, Reason
from monitor.report.web import sparklines

if TYPE_CHECKING:
    from monitor.store import StoreReader

PER_PAGE: Final = 100
"""Targets on one page."""

FRESH: Final = timedelta(minutes=1)
"""How long a read of the fleet stays valid if a day has 24 hours: a target becomes late after days, not seconds."""

ALARMS_SHOWN: Final = 20
"""Maximum number of open alarms above the list of targets; the list has all of them."""

DAYS: Final = timedelta(days=30)
"""Period that the small pictures show."""

STATE_OF: Final[Mapping[Need, tuple[str, str]]] = {
    Need.PAGE: ("page", "page"),
    Need.IDENTITY: ("identity", "not as declared"),
    Need.CONFIRMING: ("page", "page"),
    Need.TICKET: ("ticket", "ticket"),
    Need.UNMEASURED: ("unmeasured", "not measured"),
    Need.LATE: ("late", "late"),
    Need.PARTLY: ("partly", "partly measured"),
    Need.SUITE_CHANGED: ("suite-changed", "suite changed"),
    Need.TO_APPROVE: ("to-approve", "to approve"),
    Need.UNARMED: ("not-armed", "not armed"),
    Need.UNSEEN: ("self-test", "self-test missed"),
    Need.RETIRES: ("retires", "model retires"),
    Need.ROLLBACK: ("rollback", "no rollback"),
    Need.BUDGET: ("budget", "budget spent"),
    Need.CAPTURING: ("capturing", "capturing"),
    Need.NOT_MEASURED_YET: ("not-measured-yet", "not measured yet"),
    Need.QUIET: ("quiet", "quiet"),
}
"""A target's most urgent need -> its state as written in an address and in JSON, and in words."""

STATES: Final[Mapping[str, str]] = dict(STATE_OF[need] for need in Need)
"""A target's state as written in an address -> in words. States that need attention come first."""

BASELINE_STATES: Final[Mapping[Standing, str]] = {
    Standing.COMPARED: "armed",
    Standing.NOT_MEASURED_YET: "armed",
    Standing.CAPTURING: "capturing",
    Standing.TO_APPROVE: "to approve",
    Standing.SUITE_CHANGED: "suite changed",
    Standing.NO_BASELINE: "not armed",
}
"""``Watch.state`` in JSON and on pages."""

ARMED: Final = frozenset({Standing.COMPARED, Standing.NOT_MEASURED_YET})
"""A baseline of the suite as it is now is approved."""

SeriesKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Watch:
    """One suite of one target."""

    target: str
    suite: str
    armed: bool = field(init=False)
    state: str = field(init=False)
    """armed, suite changed (since the baseline), capturing, to approve, or not armed: ``standing``, to be shown."""
    baseline_id: int | None
    """The approved baseline, else the newest that is not retired."""
    last_success: datetime | None
    """When a run last finished measured or partial."""
    last_run_id: int | None
    """The run that finished last."""
    last_outcome: RunOutcome | None
    runs: int
    """Number of finished runs."""
    unmeasured: float | None
    """Share, 0 to 1, of the last finished run's questions without a usable answer; 1 if its subject gave none."""
    late: bool
    """No run has succeeded for two of its intervals."""
    stale: bool
    """Its findings are out of date: it is not compared, not measured, or late."""
    alarms: tuple[Alarm, ...] = ()
    standing: Standing = Standing.NO_BASELINE
    """How far the suite was measured: it counts as quiet only if it was compared."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "armed", self.standing in ARMED)
        object.__setattr__(self, "state", BASELINE_STATES[self.standing])

    @property
    def gap(self) -> Gap | None:
        """Why the absence of alarms does not mean health; ``None`` if it does."""
        return gap(self.last_outcome, self.unmeasured, late=self.late)

    @property
    def attention(self) -> str:
        """The suite's state, as a key of ``STATES``."""
        return state_key(self.reasons)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the suite needs attention."""
        gap = () if self.gap is None else (attention.of_gap(self.gap, self.last_success),)
        return (*map(attention.of_alarm, self.alarms), *gap, attention.of_standing(self.standing))


def state_key(reasons: Iterable[Reason]) -> str:
    """What is most pressing, as a key of ``STATES``."""
    return STATE_OF[attention.worst(reasons).need][0]


@dataclass(frozen=True, slots=True)
class Row:
    """One target."""

    target: str
    model: str
    state: str
    """A key of ``STATES``: its most urgent need."""
    watches: tuple[Watch, ...]
    last_success: datetime | None
    """The oldest ``last_success`` of its suites."""
    alarms: tuple[Alarm, ...]
    mismatched: tuple[IdentityCheck, ...] = ()
    """The failing identity checks. They belong to the target, not to a suite."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The signal of a target with the strongest evidence of a change."""

    suite: str
    signal: str
    point: Point
    history: tuple[Point, ...]
    picture: sparklines.Picture | None


@dataclass
class FleetCache:
    """Cached reads: a finished run never changes, and findings are stored only when a run ends."""

    known: dict[int, float] = field(default_factory=dict)
    """Run id -> share of its questions without a usable answer."""
    loudest: dict[str, tuple[tuple[int | None, ...], datetime, "Worst"]] = field(default_factory=dict)
    """Target -> the last runs of its suites, the hour for which its picture was drawn, its strongest signal."""
    suites: tuple[Settings | None, dict[str, list[str]]] = (None, {})
    """The configuration, and the suites of its targets."""
    overview: "Overview | None" = None
    """The last read of the whole fleet."""

    def suites_of(self, settings: Settings) -> dict[str, list[str]]:
        if self.suites[0] is not settings:
            self.suites = (settings, {name: one.run_suites for name, one in settings.targets.items()})
        return self.suites[1]

    def of(self, store: "StoreReader", run_ids: Collection[int], *, all_runs: bool) -> Mapping[int, float]:
        """Run id -> share of its questions without a usable answer, 0 to 1.

        ``all_runs``: these are the last runs of all streams, so the cache can drop others. Threads answer the requests:
        each works on the state that it read, even if another thread replaces it.
        """
        known = self.known
        missing = [run_id for run_id in run_ids if run_id not in known]
        fresh = store.lost_shares(missing) if missing else {}
        found = {run_id: fresh[run_id] if run_id in fresh else known[run_id] for run_id in run_ids}
        self.known = dict(found) if all_runs else {**known, **fresh}
        return found


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole fleet at one moment, with the inputs of that read: while they are unchanged, so is the fleet."""

    mark: tuple[object, ...]
    raised: tuple[Alarm, ...]
    failing: tuple[IdentityCheck, ...]
    """Every failing check in the store."""
    unseen: tuple[SelfTest, ...]
    """Planted losses that the latest self-tests missed."""
    retirements: tuple[Retirement, ...]
    settings: Settings
    at: datetime
    watches: tuple[Watch, ...]
    rows: tuple[Row, ...]

    @property
    def mismatched(self) -> tuple[IdentityCheck, ...]:
        """The failing checks of configured targets and of the judge, which need not be a target."""
        known = {*self.settings.targets} | ({JUDGE.target} if self.settings.judge is not None else set())
        return tuple(one for one in self.failing if one.target in known)

    @property
    def missed(self) -> set[tuple[str, str]]:
        """Configured (target, suite) pairs whose self-test missed a planted loss."""
        watched = {(one.target, one.suite) for one in self.watches}
        return watched & {(one.target, one.suite) for one in self.unseen}

    @property
    def unlisted(self) -> tuple[IdentityCheck, ...]:
        """Failing checks of a judge that has no row, because it has no anchors."""
        return tuple(one for one in self.mismatched if one.target not in self.settings.targets)


def overview(store: "StoreReader", settings: Settings, now: datetime, kept: FleetCache) -> Overview:
    """Every configured target. Reads again only if something changed, or if a target may have become late."""
    mark, raised = store.stream_mark(), tuple(store.open_alarms())
    failing, last = tuple(store.identity_checks(result=Match.DIFFERS)), kept.overview
    unseen, retirements = tuple(missed(store.imperfect_self_tests(MUST_SEE))), tuple(store.retirements())
    if (
        last is not None and last.settings is settings
        and (last.mark, last.raised, last.failing, last.unseen, last.retirements)
        == (mark, raised, failing, unseen, retirements)
        and timedelta(0) <= now - last.at <= FRESH * settings.schedule.day_seconds / 86_400
    ):  # fmt: skip
        return last
    found = watches(store, settings, now, kept, raised=raised)
    others = attention.of_targets(retirements, store.rollback(), now)
    blind = {(one.target, one.suite) for one in unseen}
    refused = store.budget_refused([one.last_run_id for one in found if one.last_run_id and one.unmeasured])
    for one in found:
        seen = [Need.UNSEEN] * ((one.target, one.suite) in blind) + [Need.BUDGET] * (one.last_run_id in refused)
        others.setdefault(one.target, []).extend(map(Reason, seen))
    listed = tuple(rows(found, settings.targets, failing, others))
    kept.overview = Overview(mark, raised, failing, unseen, retirements, settings, now, tuple(found), listed)
    return kept.overview


def watches(
    store: "StoreReader", settings: Settings, now: datetime, kept: FleetCache, target: str | None = None,
    raised: Sequence[Alarm] | None = None,
) -> list[Watch]:  # fmt: skip
    """One ``Watch`` per suite of every configured target, or of ``target``, in the configuration's order. ``raised``:
    the open alarms, if they were read already."""
    streams = {(one.target, one.suite): one for one in store.streams(target)}
    alarms: dict[tuple[str, str], list[Alarm]] = {}
    for alarm in store.open_alarms(target) if raised is None else raised:
        alarms.setdefault((alarm.target, alarm.suite), []).append(alarm)
    runs = [one.last_run_id for one in streams.values() if one.last_run_id is not None]
    lost = kept.of(store, runs, all_runs=target is None)
    suites = kept.suites_of(settings)
    intervals: dict[str, float] = {}
    found = []
    for name in suites if target is None else [target]:
        for suite in suites[name]:
            if suite not in intervals:
                intervals[suite] = interval_seconds(settings.schedule, suite)
            key = (name, suite)
            stream = streams.get(key) or Stream(name, suite, None, 0, None, None, None, None, False)
            mine = tuple(sorted(alarms.get(key, ()), key=urgency))
            found.append(_watch(stream, mine, lost, intervals[suite], now))
    return found


def _watch(
    stream: Stream, alarms: tuple[Alarm, ...], lost: Mapping[int, float], interval: float, now: datetime
) -> Watch:
    late = is_late(stream.last_success, interval, now)
    unmeasured = None if stream.last_run_id is None else lost.get(stream.last_run_id)
    stands = standing(stream.baseline_status, stream.approved_at, stream.last_success, outdated=stream.outdated)
    return Watch(
        stream.target, stream.suite, stream.baseline_id, stream.last_success,
        stream.last_run_id, stream.last_outcome, stream.runs, unmeasured, late,
        late or stands is not Standing.COMPARED or stream.last_outcome is RunOutcome.UNMEASURED, alarms, stands,
    )  # fmt: skip


def rows(
    found: Sequence[Watch], targets: Mapping[str, Target], mismatched: Sequence[IdentityCheck] = (),
    others: Mapping[str, Sequence[Reason]] = MappingProxyType({}),
) -> list[Row]:  # fmt: skip
    """One row per target, in the order of ``attention.ranked``. ``mismatched``: failing checks of any target;
    ``others``: further reasons why targets need attention."""
    grouped: dict[str, list[Watch]] = {name: [] for name in dict.fromkeys(one.target for one in found)}
    for one in found:
        grouped[one.target].append(one)
    failing: dict[str, list[IdentityCheck]] = {}
    for check in mismatched:
        failing.setdefault(check.target, []).append(check)
    reasons = {
        name: [
            *(reason for one in some for reason in one.reasons),
            *map(attention.of_check, failing.get(name, ())),
            *others.get(name, ()),
        ]
        for name, some in grouped.items()
    }
    return [
        _row(name, tuple(grouped[name]), targets[name].subject.model, tuple(failing.get(name, ())), reasons[name])
        for name in attention.ranked(reasons)
    ]


def _row(
    name: str, some: tuple[Watch, ...], model: str, mismatched: tuple[IdentityCheck, ...], reasons: Sequence[Reason]
) -> Row:
    alarms = tuple(sorted((alarm for one in some for alarm in one.alarms), key=urgency))
    measured = [one.last_success for one in some]
    oldest = None if None in measured else min((at for at in measured if at), default=None)
    return Row(name, model, state_key(reasons), some, oldest, alarms, mismatched)


def chosen(found: Sequence[Row], query: str, state: str | None) -> list[Row]:
    """The rows whose name or model contains ``query`` and that are in ``state``."""
    wanted = query.strip().casefold()
    return [
        row for row in found
        if (state is None or row.state == state)
        and (not wanted or wanted in row.target.casefold() or wanted in row.model.casefold())
    ]  # fmt: skip


def counts(found: Sequence[Row]) -> dict[str, int]:
    """State -> number of targets in it, in the order of ``STATES``, without empty states."""
    counter = Counter(row.state for row in found)
    return {state: counter[state] for state in STATES if counter[state]}


def worst(store: "StoreReader", shown: Sequence[Row], now: datetime, kept: FleetCache) -> dict[str, Worst]:
    """Target -> its strongest signal: alarming ones first, causes before consequences; otherwise by evidence."""
    hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    runs = {row.target: tuple(watch.last_run_id for watch in row.watches) for row in shown}
    old = [name for name, key in runs.items() if kept.loudest.get(name, ((), hour))[:2] != (key, hour)]
    for name, one in _worst(store, old, hour).items():
        kept.loudest[name] = (runs[name], hour, one)
    return {name: kept.loudest[name][2] for name in runs if name in kept.loudest}


def _worst(store: "StoreReader", targets: Sequence[str], until: datetime) -> dict[str, Worst]:
    latest = store.latest_points(targets) if targets else {}
    keys: dict[str, SeriesKey] = {}
    for key, point in latest.items():
        before = keys.get(key[0])
        if before is None or loudness(key[2], point) > loudness(before[2], latest[before]):
            keys[key[0]] = key
    start = until - DAYS
    history = store.series(start, only=list(keys.values()))
    return {
        target: Worst(
            key[1], key[2], latest[key], tuple(history.get(key, ())),
            sparklines.evidence_picture(history.get(key, ()), start, until),
        )
        for target, key in keys.items()
    }  # fmt: skip


def loudness(signal: str, point: Point) -> tuple[bool, int, float]:
    evidence = point.evidence_log10 - point.threshold_log10
    return point.alarming, -rank(signal) if point.alarming else 0, evidence if evidence == evidence else -1e9


def by_rank(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda one: rank(one.signal))
