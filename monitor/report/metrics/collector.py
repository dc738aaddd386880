"""The results of the store as a metrics page, cached between scrapes: only what changed is read and written again.

Results are read from the store, so the first scrape after a restart serves them, and a target that left the
configuration disappears at once. Every scrape reads the marks of all targets (``store.marks``) and the results of the
targets whose marks changed. The configuration bounds the cache: the lines of each target, and one summary per suite.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from monitor import __version__
from monitor.core.limits import is_partly
from monitor.core.records import (
    Alarm,
    IdentityCheck,
    Retirement,
    RunSummary,
    SampleAccount,
    Spend,
)
from monitor.core.run_kinds import JUDGE, PRODUCTION
from monitor.core.settings import Settings
from monitor.report import daemon_notices, retention
from monitor.report.explain.alert_lines import Silence
from monitor.report.explain.onset import beginnings
from monitor.report.metrics import alarm_info, result_metrics
from monitor.report.metrics.exposition import SPECS, Lines, head
from monitor.report.metrics.gzip_members import Piece, pack
from monitor.report.metrics.names import MetricSpec

if TYPE_CHECKING:
    from monitor.store import StoreReader

SHARD: Final = 50
"""Number of targets whose lines are compressed together. Fewer make a change cheaper; more compress better."""

ONE_BY_ONE: Final = 20
"""Up to this number of targets, each is read separately if a method reads either one target or all."""

EFFECT: Final = "adapter_effect_ratio"
"""The measure of a finding that contains how much of the fine-tune's effect is left."""

_UNSEEN: Final = object()


class _Family:
    """The lines of one family, target by target, in separately compressed shards."""

    def __init__(self, spec: MetricSpec, shards: int) -> None:
        self._heads = {openmetrics: head(spec, openmetrics=openmetrics) for openmetrics in (False, True)}
        self._packed_heads = {openmetrics: pack(text) for openmetrics, text in self._heads.items()}
        self._shards: list[dict[str, bytes]] = [{} for _ in range(shards)]
        self._packed: list[Piece | None] = [None] * shards

    def put(self, target: str, shard: int, text: bytes) -> None:
        lines = self._shards[shard]
        if lines.get(target, b"") != text:
            lines[target] = text
            self._packed[shard] = None

    def plain(self, *, openmetrics: bool) -> Iterator[bytes]:
        yield self._heads[openmetrics]
        for lines in self._shards:
            yield from lines.values()

    def pieces(self, *, openmetrics: bool) -> Iterator[Piece]:
        yield self._packed_heads[openmetrics]
        for shard, lines in enumerate(self._shards):
            piece = self._packed[shard]
            if piece is None:
                piece = self._packed[shard] = pack(b"".join(lines.values()))
            if piece.size:
                yield piece


class StoreCollector:
    """Call ``refresh``, then ``plain`` or ``pieces``, while holding ``lock``. ``prepare`` takes the lock itself."""

    def __init__(self, store: "StoreReader") -> None:
        self.store = store
        self.lock = Lock()
        self.asked = False
        """Whether a scrape arrived or waits for the lock: it does the rest of ``prepare`` itself."""
        self._settings: Settings | None = None
        self._url = ""

    def _begin(self, settings: Settings) -> None:
        """Drop everything, because labels and targets may have changed."""
        self._targets = settings.targets
        watched = {JUDGE.target} if settings.judge is not None else set()
        self._identified = [*self._targets, *(watched - set(self._targets))]
        """Targets with identity checks, including the judge, which is not a target without anchors."""
        self._suites = {name: frozenset(target.run_suites) for name, target in self._targets.items()}
        self._shard = {name: place // SHARD for place, name in enumerate(self._targets)}
        shards = 1 + max(self._shard.values(), default=0)
        self._families = {name: _Family(spec, shards) for name, spec in SPECS.items()}
        self._seen: dict[str, dict[str, Any]] = {kind: {} for kind in (*result_metrics.KINDS, "unwatched")}
        self._last: dict[tuple[str, str], RunSummary] = {}
        self._signals: dict[str, frozenset[str]] = {}
        self._baselines: Any = None
        self._counts: Mapping[str, Any] = {}
        self._outdated: dict[str, frozenset[str]] = {}
        self._effect_left: dict[str, float] = {}
        self._mismatches: dict[str, tuple[IdentityCheck, ...]] = {}
        self._retirements: dict[str, tuple[Retirement, ...]] = {}

    def refresh(self, settings: Settings, now: datetime, url: str) -> None:
        """Update the results of all configured targets to ``now``. ``url``: address of the pages.

        Raises StoreError. Results that were read before the error are kept; unfinished ones are read again next time.
        """
        self._take(settings, url)
        for step in self._steps(settings, self.store.marks(now.date()), [list(self._targets)]):
            step()
        self._daemon(settings, now, url)

    def prepare(self, settings: Settings, now: datetime, url: str, stop: Callable[[], bool]) -> bool:
        """Write and compress everything before the first scrape, in small steps. Returns whether it finished.

        Ends early if ``stop`` returns true, if the settings change, or if a scrape arrives, which then does the rest
        and repeats nothing. Raises StoreError.
        """
        with self.lock:
            self.asked = False
            self._take(settings, url)
            marks = self.store.marks(now.date())
        names = list(self._targets)
        shards = [names[start : start + SHARD] for start in range(0, len(names), SHARD)]
        for step in chain(self._steps(settings, marks, shards), self._packing()):
            with self.lock:
                if self.asked or self._settings is not settings or stop():
                    return False
                step()
        return True

    def _take(self, settings: Settings, url: str) -> None:
        self._url = url
        if settings is not self._settings:
            if settings != self._settings:
                self._begin(settings)
            self._settings = settings  # the same object next time: comparing a fleet's settings is slow

    def _steps(self, settings: Settings, marks: Any, parts: Sequence[Sequence[str]]) -> Iterator[Callable[[], object]]:
        """The steps that update every result to ``marks``, in this order. ``parts``: the targets, in batches."""
        yield partial(self._approved, settings, marks)
        for part in parts:
            yield partial(self._runs, marks.runs, part)
            yield partial(self._findings, marks.findings, part)
            yield partial(self._usage, marks.usage, part)
            yield partial(self._self_tests, marks.self_tests, part)
        yield partial(self._identity, marks)
        yield partial(self._alarms, marks)
        yield self._unwatched
        yield partial(self._budgets, marks.spent)
        yield partial(self._rollbacks, marks)

    def _packing(self) -> Iterator[Callable[[], object]]:
        for family in self._families.values():
            yield partial(deque, family.pieces(openmetrics=True), 0)

    def plain(self, *, openmetrics: bool) -> bytes:
        return b"".join(text for one in self._families.values() for text in one.plain(openmetrics=openmetrics))

    def pieces(self, *, openmetrics: bool) -> Iterator[Piece]:
        """The same, compressed. Only what changed since the last call is compressed again."""
        return (piece for one in self._families.values() for piece in one.pieces(openmetrics=openmetrics))

    def _moved(self, kind: str, marks: Mapping[str, Any], of: Iterable[str] | None = None) -> list[str]:
        """The targets (or those of ``of``) whose mark changed since they were last written."""
        seen, targets = self._seen[kind], self._targets if of is None else of
        return [target for target in targets if seen.get(target, _UNSEEN) != marks.get(target)]

    def _put(self, kind: str, target: str, lines: Lines, mark: object) -> None:
        for name, text in lines.text().items():
            self._families[name].put(target, self._shard.get(target, 0), text)
        self._seen[kind][target] = mark

    def _lines(self, kind: str) -> Lines:
        return Lines(result_metrics.KINDS[kind])

    def _approved(self, settings: Settings, marks: Any) -> None:
        moved = self._moved("runs", marks.runs)
        if marks.baselines != self._baselines:
            self._counts, moved = self.store.baseline_counts(), list(self._targets)
        if moved:
            old = _by_target(moved, ())
            for name, suite in self.store.outdated(moved):
                old[name].append(suite)
            self._outdated.update({name: frozenset(suites) for name, suites in old.items()})
        state = {name: (tuple(self._counts.get(name, ())), self._outdated[name]) for name in moved}
        for name, (counts, old_ones) in state.items():
            if self._seen["baselines"].get(name, _UNSEEN) != (counts, old_ones):
                lines = self._lines("baselines")
                result_metrics.baselines(lines, name, self._targets[name], settings.schedule, counts, old_ones)
                self._put("baselines", name, lines, (counts, old_ones))
        self._baselines = marks.baselines

    def _runs(self, marks: Mapping[str, Any], of: Sequence[str]) -> None:
        if not (moved := self._moved("runs", marks, of)):
            return
        progress = _by_target(moved, (one for one in self.store.progress(moved) if self._ours(one.target, one.suite)))
        last = {key: run for key, run in self.store.last_done(moved).items() if self._ours(*key)}
        unseen = [run for key, run in last.items() if key not in self._last or self._last[key].run_id != run]
        found = self.store.summaries(unseen)
        self._last.update({key: found[run] for key, run in last.items() if run in found})
        samples = self._samples_of(last)
        for name in moved:
            lines = self._lines("runs")
            summaries = {one.suite: self._last[name, one.suite] for one in progress[name]
                         if (name, one.suite) in last}  # fmt: skip
            result_metrics.runs(lines, self._targets[name], progress[name], summaries)
            if name in samples:
                result_metrics.sample(lines, name, samples[name])
            self._put("runs", name, lines, marks.get(name))

    def _samples_of(self, last: Mapping[tuple[str, str], int]) -> dict[str, SampleAccount]:
        """Target -> the account of its last sample. ``last``: (target, suite) -> its last finished run."""
        runs = {run: name for (name, suite), run in last.items() if suite == PRODUCTION.suite}
        return {runs[run]: account for run, account in self.store.samples(list(runs)).items()} if runs else {}

    def _ours(self, target: str, suite: str) -> bool:
        """Whether the target and suite are configured; others in the store have no series."""
        return suite in self._suites.get(target, ())

    def _findings(self, marks: Mapping[str, Any], of: Sequence[str]) -> None:
        if not (moved := self._moved("findings", marks, of)):
            return
        numbers = self.store.latest_numbers(moved)
        for name in moved:
            lines = self._lines("findings")
            ours = {key: one for key, one in numbers.get(name, {}).items() if self._ours(name, key[0])}
            result_metrics.findings(lines, name, ours)
            self._signals[name] = frozenset(signal for _, signal in ours)
            left = [one.measures[EFFECT] for one in ours.values() if EFFECT in one.measures]
            self._effect_left |= {name: min(left)} if left else {}
            self._put("findings", name, lines, marks.get(name))

    def _alarms(self, found: Any) -> None:
        """Rewrite the alarms of targets with new findings: a finding that is evaluated again can change when an alarm
        began and its alert's text. So can identity checks and the judge's own alarms."""
        judges = tuple(found.alarms.get(JUDGE.target, ()))
        raised = {name: [one for one in found.alarms.get(name, ()) if self._ours(name, one.suite)]
                  for name in self._identified}  # fmt: skip
        marks = {name: self._alarm_mark(name, ours, found.findings.get(name), judges)
                 for name, ours in raised.items()}  # fmt: skip
        if not (moved := self._moved("alarms", marks, self._identified)):
            return
        told = [one for name in moved for one in raised[name]]
        began = beginnings(self.store, told)
        heads = alarm_info.read(self.store, told, began)
        for name in moved:
            lines = self._lines("alarms")
            if name in self._targets:
                result_metrics.alarms(lines, name, self._signals[name], raised[name], began)
            alarm_info.add(lines, name, raised[name], began, heads, self._around(name, judges), self.store)
            self._put("alarms", name, lines, marks[name])

    def _lost(self, name: str) -> dict[int, float]:
        """Last finished run of each suite -> share of its questions without a usable answer."""
        last = (self._last[name, suite] for suite in self._suites.get(name, ()) if (name, suite) in self._last)
        return {one.run_id: one.unmeasured_ratio for one in last}

    def _silence(self, name: str, lost: Mapping[int, float]) -> Silence | None:
        """Why the subject gave no answer to any of its suites, which matters only next to a failed identity check."""
        if name not in self._targets or not self._mismatches.get(name) or not lost or min(lost.values()) < 1:
            return None
        reasons = Counter[str]()
        for run_id in lost:
            reasons.update(self.store.unmeasured(run_id))
        return Silence(self._targets[name].subject.model, reasons)

    def _around(self, name: str, judges: tuple[Alarm, ...]) -> alarm_info.Around:
        lost = self._lost(name)
        return alarm_info.Around(
            mismatches=self._mismatches.get(name, ()),
            effect_left=self._effect_left.get(name),
            judge_alarms=judges,
            url=self._url,
            silence=self._silence(name, lost),
            lost=lost,
        )

    def _unwatched(self) -> None:
        """The text of alerts without a verdict, in the same family as the text of those with one."""
        marks = {name: (self._partly(name), self._retirements.get(name, ()), self._mismatches.get(name, ()), self._url)
                 for name in self._identified}  # fmt: skip
        for name in self._moved("unwatched", marks, self._identified):
            lines, (runs, retirements, mismatches, url) = Lines(("alarm_info",)), marks[name]
            reasons = {suite: self.store.unmeasured(run) for suite, run in runs.items()}
            alarm_info.add_unwatched(lines, name, reasons, retirements, mismatches, url)
            self._families["alarm_info"].put(f"{name} unwatched", self._shard.get(name, 0), lines.text()["alarm_info"])
            self._seen["unwatched"][name] = marks[name]

    def _partly(self, name: str) -> dict[str, int]:
        """Suite -> its last finished run, if too many of its questions have no usable answer."""
        last = {suite: self._last.get((name, suite)) for suite in sorted(self._suites.get(name, ()))}
        return {suite: run.run_id for suite, run in last.items() if run and is_partly(run.unmeasured_ratio)}

    def _alarm_mark(self, name: str, raised: list[Alarm], findings: Any, judges: tuple[Alarm, ...]) -> Any:
        """The mark of a target's alarms. Without an open alarm it omits what only the texts of open alarms use."""
        mismatches = self._mismatches.get(name, ())
        context = (findings, judges if raised else None, self._url) if raised or mismatches else None
        lost = self._lost(name) if mismatches else None  # whether there are answers that an old effect describes
        return self._signals.get(name), raised, mismatches, context, lost

    def _usage(self, marks: Mapping[str, Any], of: Sequence[str]) -> None:
        if moved := self._moved("usage", marks, of):
            usage = _by_target(moved, self.store.usage(moved))
            for name in moved:
                lines = self._lines("usage")
                result_metrics.usage(lines, usage[name])
                self._put("usage", name, lines, marks.get(name))

    def _self_tests(self, marks: Mapping[str, Any], of: Sequence[str]) -> None:
        if moved := self._moved("self_tests", marks, of):
            tests = _by_target(moved, self.store.self_tests(moved))
            for name in moved:
                lines = self._lines("self_tests")
                result_metrics.self_tests(lines, name, [one for one in tests[name] if self._ours(name, one.suite)])
                self._put("self_tests", name, lines, marks.get(name))

    def _budgets(self, spent: Mapping[str, Spend]) -> None:
        for name in self._moved("budgets", spent):
            lines = self._lines("budgets")
            result_metrics.budgets(lines, name, self._targets[name], spent.get(name, Spend()))
            self._put("budgets", name, lines, spent.get(name))

    def _identity(self, marks: Any) -> None:
        for kind, read, write in (
            ("identity", self.store.identity_checks, result_metrics.identity),
            ("retirements", self.store.retirements, result_metrics.retirements),
        ):
            moved = self._moved(kind, getattr(marks, kind), self._identified)
            found: dict[str, list[Any]] = _by_target(moved, _each_or_all(read, moved))
            for name in moved:
                lines = self._lines(kind)
                write(lines, name, found[name])
                if kind == "identity":
                    self._mismatches[name] = _mismatching(found[name])
                else:
                    self._retirements[name] = result_metrics.nearest(
                        replace(one, checked_at=one.retires_at) for one in found[name]
                    )
                self._put(kind, name, lines, getattr(marks, kind).get(name))

    def _rollbacks(self, marks: Any) -> None:
        spare = {name: (marks.runs.get(name), self._seen["baselines"].get(name))
                 for name, target in self._targets.items() if target.snapshot is not None}  # fmt: skip
        moved = [name for name, mark in spare.items() if self._seen["rollbacks"].get(name, _UNSEEN) != mark]
        found = {one.target: one for one in _each_or_all(self.store.rollback, moved)}
        for name in moved:
            lines = self._lines("rollbacks")
            if name in found:
                result_metrics.rollback(lines, found[name])
            self._put("rollbacks", name, lines, spare[name])

    def _daemon(self, settings: Settings, now: datetime, url: str) -> None:
        lines = self._lines("daemon")
        lines.add("build_info", 1, __version__)
        lines.add("web_info", 1, url)
        waiting = [since for key, since in self.store.longest_waiting(now).items() if self._ours(*key)]
        lines.add("schedule_lag_seconds", (now - min(waiting, default=now)).total_seconds())
        states = self.store.get_states((*daemon_notices.KEYS, retention.KEY))
        ahead = daemon_notices.notices_of(states, now).clock_ahead_until
        lines.add("clock_ahead_seconds", 0.0 if ahead is None else (ahead - now).total_seconds())
        result_metrics.retention(lines, retention.last_pass(states.get(retention.KEY)))
        result_metrics.mail(lines, settings, self.store.mail_state())
        result_metrics.limits(lines)
        self._put("daemon", "", lines, None)


def _mismatching(checks: Iterable[IdentityCheck]) -> tuple[IdentityCheck, ...]:
    """The failing checks, without the time of the check, which changes every day."""
    return tuple(replace(one, checked_at=one.since) for one in checks if one.differs)


def _by_target(targets: Iterable[str], found: Iterable[Any]) -> dict[str, list[Any]]:
    """Records by their target; an empty list for each of ``targets`` without one."""
    sorted_out: dict[str, list[Any]] = {name: [] for name in targets}
    for one in found:
        if one.target in sorted_out:
            sorted_out[one.target].append(one)
    return sorted_out


def _each_or_all(read: Any, targets: Sequence[str]) -> Iterator[Any]:
    """The results of ``read`` (which reads one target or all) for ``targets``, in few calls."""
    if len(targets) > ONE_BY_ONE:
        yield from read()
    else:
        for target in targets:
            yield from read(target)
