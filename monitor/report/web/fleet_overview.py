"""Which of a thousand targets needs somebody: every target with its worst, and a list of them to leaf through."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from monitor.core.limits import Gap, gap, is_late
from monitor.core.measured import Standing, standing
from monitor.core.records import Alarm, Finding, IdentityCheck, Point, Retirement, RunOutcome, SelfTest, Stream
from monitor.core.run_kinds import JUDGE
from monitor.core.schedule import interval_seconds
from monitor.core.selftest_results import MUST_SEE, missed
from monitor.core.settings import Settings, Target
from monitor.core.signals import rank
from monitor.core.wording import many, urgency
from monitor.report import attention
from monitor.report.attention import Need, Reason
from monitor.report.web import sparklines

if TYPE_CHECKING:
    from monitor.store import StoreReader

PER_PAGE: Final = 100
"""Targets on one page."""

FRESH: Final = timedelta(minutes=1)
"""How long the fleet is taken to be as it was, where days are whole: a target is late by days, not by seconds."""

ALARMS_SHOWN: Final = 20
"""Open alarms above the list; the list has them all."""

DAYS: Final = timedelta(days=30)
"""What the small pictures show."""

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
"""What a target needs most -> its state as it stands in an address and in JSON, and in words."""

STATES: Final[Mapping[str, str]] = dict(STATE_OF[need] for need in Need)
"""A target's state as it stands in an address -> in words; what needs somebody first."""

BASELINE_STATES: Final[Mapping[Standing, str]] = {
    Standing.COMPARED: "armed",
    Standing.NOT_MEASURED_YET: "armed",
    Standing.CAPTURING: "capturing",
    Standing.TO_APPROVE: "to approve",
    Standing.SUITE_CHANGED: "suite changed",
    Standing.NO_BASELINE: "not armed",
}
"""``Watch.state``, which JSON and pages show."""

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
    """The approved one, else the newest that is not retired."""
    last_success: datetime | None
    """When a run last finished measured or partial."""
    last_run_id: int | None
    """The run that finished last."""
    last_outcome: RunOutcome | None
    runs: int
    """Finished runs."""
    unmeasured: float | None
    """Share of the last finished run's questions that measured nothing; 1 where its subject gave no usable answer."""
    late: bool
    """No run has succeeded for two of its intervals."""
    stale: bool
    """Its findings say how it was, not how it is: it is not compared, not measured, or late."""
    alarms: tuple[Alarm, ...] = ()
    standing: Standing = Standing.NO_BASELINE
    """What its silence rests on: it is quiet only where it was compared."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "armed", self.standing in ARMED)
        object.__setattr__(self, "state", BASELINE_STATES[self.standing])

    @property
    def gap(self) -> Gap | None:
        """Why its silence is no health, if it is none."""
        return gap(self.last_outcome, self.unmeasured, late=self.late)

    @property
    def attention(self) -> str:
        """Its state as a key of ``STATES``."""
        return state_key(self.reasons)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What it needs attention for."""
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
    """A key of ``STATES``: what it needs attention for most."""
    watches: tuple[Watch, ...]
    last_success: datetime | None
    """The oldest of its suites'."""
    alarms: tuple[Alarm, ...]
    mismatched: tuple[IdentityCheck, ...] = ()
    """The identity checks that fail; no suite's, so they stand beside what the suites say."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The signal of a target that speaks loudest for a change."""

    suite: str
    signal: str
    point: Point
    history: tuple[Point, ...]
    picture: sparklines.Picture | None


@dataclass
class FleetCache:
    """What need not be read twice: a finished run never changes, and findings only come with the end of one."""

    known: dict[int, float] = field(default_factory=dict)
    """Run id -> share of its questions without a usable answer."""
    loudest: dict[str, tuple[tuple[int | None, ...], datetime, "Worst"]] = field(default_factory=dict)
    """Target -> the last runs of its suites, the hour that its picture was drawn for, its loudest signal."""
    suites: tuple[Settings | None, dict[str, list[str]]] = (None, {})
    """The configuration, and its targets' suites."""
    overview: "Overview | None" = None
    """The whole fleet as it was last read."""

    def suites_of(self, settings: Settings) -> dict[str, list[str]]:
        if self.suites[0] is not settings:
            self.suites = (settings, {name: one.run_suites for name, one in settings.targets.items()})
        return self.suites[1]

    def of(self, store: "StoreReader", run_ids: Collection[int], *, all_runs: bool) -> Mapping[int, float]:
        """``all_runs``: these are the last runs of all streams, so that others need not be kept.

        Requests are answered in threads: each works on what it saw, whatever another makes of it meanwhile.
        """
        known = self.known
        missing = [run_id for run_id in run_ids if run_id not in known]
        fresh = store.lost_shares(missing) if missing else {}
        found = {run_id: fresh[run_id] if run_id in fresh else known[run_id] for run_id in run_ids}
        self.known = dict(found) if all_runs else {**known, **fresh}
        return found


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole fleet at one moment, and what it was read from: while that is the same, so is the fleet."""

    mark: tuple[object, ...]
    raised: tuple[Alarm, ...]
    failing: tuple[IdentityCheck, ...]
    """Every failing check in the store."""
    unseen: tuple[SelfTest, ...]
    """The planted losses that the latest self-tests missed."""
    retirements: tuple[Retirement, ...]
    settings: Settings
    at: datetime
    watches: tuple[Watch, ...]
    rows: tuple[Row, ...]

    @property
    def mismatched(self) -> tuple[IdentityCheck, ...]:
        """The failing checks of what is configured; the judge's, though it need not be a target."""
        known = {*self.settings.targets} | ({JUDGE.target} if self.settings.judge is not None else set())
        return tuple(one for one in self.failing if one.target in known)

    @property
    def missed(self) -> set[tuple[str, str]]:
        """Configured (target, suite) whose self-test missed a planted loss."""
        watched = {(one.target, one.suite) for one in self.watches}
        return watched & {(one.target, one.suite) for one in self.unseen}

    @property
    def unlisted(self) -> tuple[IdentityCheck, ...]:
        """Those of a judge that no row is of: it has no anchors."""
        return tuple(one for one in self.mismatched if one.target not in self.settings.targets)


def overview(store: "StoreReader", settings: Settings, now: datetime, kept: FleetCache) -> Overview:
    """Every configured target; read again only once something has changed, or might have become late."""
    mark, raised = store.stream_mark(), tuple(store.open_alarms())
    failing, last = tuple(store.identity_checks(matches=False)), kept.overview
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
    """One for each suite of each configured target (or of one), in the configuration's order; ``raised``: open alarms,
    where they were read before."""
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
    """One for each target, in the order of ``attention.ranked``. ``mismatched``: failing checks of any target;
    ``others``: what else targets need attention for."""
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
    """Those whose name or model has ``query`` in it, and that are in ``state``."""
    wanted = query.strip().casefold()
    return [
        row for row in found
        if (state is None or row.state == state)
        and (not wanted or wanted in row.target.casefold() or wanted in row.model.casefold())
    ]  # fmt: skip


def counts(found: Sequence[Row]) -> dict[str, int]:
    """State -> how many targets are in it, in the order of ``STATES``; those that nobody is in are left out."""
    counter = Counter(row.state for row in found)
    return {state: counter[state] for state in STATES if counter[state]}


def worst(store: "StoreReader", shown: Sequence[Row], now: datetime, kept: FleetCache) -> dict[str, Worst]:
    """Target -> its loudest signal: what alarms first, causes before what follows, then what has the most evidence."""
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


def headline(found: Sequence[Watch], mismatched: Sequence[IdentityCheck] = (), missed: int = 0) -> tuple[str, str]:
    """``bad``, ``warn`` or ``good``, and the overview in one line: silence is good only where it was listened to.

    ``mismatched``: the failing identity checks; they page, as alarms do. ``missed``: how many suites' self-test
    missed a planted loss.
    """
    alarms = [alarm for watch in found for alarm in watch.alarms]
    pages = sum(alarm.severity == "page" for alarm in alarms)
    tickets, waiting = len(alarms) - pages, sum(alarm.state == "raised" for alarm in alarms)
    raised = [many(pages, "page") + " raised" + (f" ({waiting} being confirmed)" if waiting else "")] if pages else []
    raised += [many(tickets, "ticket") + ("" if pages else " raised")] if tickets else []
    gaps = _gaps(found) + [f"the self-test of {many(missed, 'suite')} missed a planted loss"] * bool(missed)
    tone = "bad" if pages or mismatched else "warn" if tickets or gaps else "good"
    told = [", ".join(raised)] * bool(raised) + _undeclared(mismatched)
    if not told and not gaps:
        return tone, "All quiet"
    return tone, "; ".join([*(told or ["No alarm raised"]), *gaps])


def _undeclared(mismatched: Sequence[IdentityCheck]) -> list[str]:
    """Who serves something else than declared: by name where it is one."""
    names = list(dict.fromkeys(one.target for one in mismatched))
    if len(names) > 1:
        return [f"{len(names):,} targets serve something else than declared"]
    return [f"{name} serves something else than declared" for name in names]


def _gaps(found: Sequence[Watch]) -> list[str]:
    """What nobody is told about by an alarm that is not raised, counted."""
    silent = Counter(one.gap for one in found)
    needs = Counter(attention.worst(one.reasons).need for one in found)
    unarmed = [one for one in found if not one.armed]
    changed = sum(one.standing is Standing.SUITE_CHANGED for one in unarmed)
    gaps = {
        "not measured": silent[Gap.LOST],
        "partly measured": silent[Gap.PARTLY],
        "late: no success in two intervals": silent[Gap.LATE],
        "not armed: suite changed since its baseline": changed,
        f"of {len(found)} not measured yet": needs[Need.NOT_MEASURED_YET],
        f"of {len(found)} not armed": len(unarmed) - changed,
    }
    return [f"{count} {words}" for words, count in gaps.items() if count]
