"""The metrics: a Prometheus collector over the store, and the daemon's own internals beside it.

Results are read from the store at every scrape, so the first scrape after a restart serves them and a target that
left the configuration is gone at once. Only what has no meaning past the process (durations, ticks, reloads) is kept
in memory. The names are settled in ``monitor.metrics``.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from math import isnan
from threading import Lock
from typing import Any, Final, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from monitor import __version__
from monitor.metrics import METRICS, PREFIX, MetricSpec
from monitor.records import (
    Alarm,
    AlarmState,
    Arm,
    BaselineStatus,
    FindingNumbers,
    Run,
    RunSummary,
    SelfTest,
    Severity,
    Spend,
    SuiteProgress,
    Usage,
)
from monitor.schedule import interval_seconds
from monitor.settings import Settings, Target

log = structlog.get_logger()

SIGNALS: Final[Mapping[str, Severity]] = {
    "adapter_loss": Severity.PAGE,
    "base_match": Severity.PAGE,
    "canaries": Severity.PAGE,
    "judge_score": Severity.PAGE,
    "negative_flips": Severity.PAGE,
    "distribution": Severity.TICKET,
    "logprobs": Severity.TICKET,
    "border": Severity.TICKET,
    "length": Severity.TICKET,
    "contract": Severity.TICKET,
}
"""Every signal with its severity, so that ``alarm`` is 0 before anything was ever raised."""

OUTDATED: Final = "outdated"
"""``baselines``' status of an approved baseline whose suite has changed since: nothing is compared with it."""

UNARMED: Final = "unarmed"
"""``target_info``'s baseline while no baseline is approved."""

ALL_RUBRICS: Final = "all"
"""``judge_score``'s rubric: the mean over every rubric of the suite."""

CONTROL: Final = "healthy"
"""The self-test's fault that injects nothing."""

DURATION_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
"""Seconds."""

MEASURES: Final[Mapping[str, tuple[str, ...]]] = {
    "adapter_effect_ratio": (),
    "base_match_ratio": (),
    "answer_length_variance_ratio": (),
    "negative_flip_ratio": (),
    "positive_flip_ratio": (),
    "judge_score_baseline": (ALL_RUBRICS,),
}
"""Metrics that come from ``Finding.measures``, with the labels after target and suite."""


class Readings(Protocol):
    """What a scrape reads of the store."""

    def alarms(self, *, raised: bool | None = None, limit: int = 1000) -> list[Alarm]: ...
    def progress(self) -> list[SuiteProgress]: ...
    def usage(self) -> list[Usage]: ...
    def last_done(self) -> dict[tuple[str, str], int]: ...
    def summaries(self, run_ids: Sequence[int]) -> dict[int, RunSummary]: ...
    def latest_finding_ids(self) -> dict[tuple[str, str, str], int]: ...
    def finding_numbers(self, ids: Sequence[int]) -> dict[int, FindingNumbers]: ...
    def baseline_counts(self) -> dict[tuple[str, str, str], tuple[int, int]]: ...
    def spent_by_target(self, day: date) -> dict[str, Spend]: ...
    def due_runs(self, now: datetime) -> list[Run]: ...
    def outdated(self) -> set[tuple[str, str]]: ...
    def self_tests(self) -> list[SelfTest]: ...


class Internals:
    """The daemon's own numbers, in memory; and ``exposition``, which serves them with the store's results."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        specs = {spec.name: spec for spec in METRICS if spec.in_memory}

        def args(name: str) -> dict[str, Any]:
            spec = specs[name]
            return {
                "name": PREFIX + name,
                "documentation": spec.help,
                "labelnames": spec.labels,
                "registry": self.registry,
            }

        self._duration = Histogram(**args("api_request_duration_seconds"), buckets=DURATION_BUCKETS)
        self._reload_ok = Gauge(**args("config_last_reload_success"))
        self._reload_at = Gauge(**args("config_last_reload_success_timestamp_seconds"))
        self._tick_at = Gauge(**args("last_tick_timestamp_seconds"))
        self._tick_errors = Counter(**args("tick_errors_total"))
        self._run_errors = Counter(**args("run_errors_total"))
        self._scrape_errors = Counter(**args("scrape_errors_total"))
        self._collector: StoreCollector | None = None

    def observe_call(self, target: str, arm: Arm, provider: str, outcome: str, seconds: float) -> None:
        """One attempt of a call took ``seconds``."""
        self._duration.labels(target, arm.value).observe(seconds)

    def reloaded(self, *, ok: bool, at: datetime) -> None:
        """A configuration was read at ``at``, and taken or refused."""
        self._reload_ok.set(ok)
        if ok:
            self._reload_at.set(at.timestamp())

    def ticked(self, now: datetime) -> None:
        self._tick_at.set(now.timestamp())

    def tick_failed(self) -> None:
        self._tick_errors.inc()

    def run_failed(self) -> None:
        self._run_errors.inc()

    def exposition(self, store: Readings, settings: Settings, now: datetime, accept: str = "") -> tuple[bytes, str]:
        """The whole of ``/metrics`` in the format that ``accept`` asks for, and its content type.

        Raises what the store raises, and counts it: half a scrape would resolve alerts, a failed one is seen as down.
        """
        encode, content_type = choose_encoder(accept)
        try:
            if self._collector is None or self._collector.store is not store:
                self._collector = StoreCollector(store)
            results = self._collector.read(settings, now)
        except Exception as error:
            self._scrape_errors.inc()
            log.error("scrape_failed", error=str(error))
            raise
        return encode(_Together([*results, *self.registry.collect()])), content_type


class _Together(Collector):
    """Metrics that were collected already, for the encoders."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class _Families:
    """The metric families of one scrape, by name without prefix."""

    def __init__(self) -> None:
        self._families = {spec.name: _family(spec) for spec in METRICS if not spec.in_memory}

    def add(self, name: str, labels: Sequence[str], value: float) -> None:
        self._families[name].add_metric(labels, value)

    def metrics(self) -> list[Metric]:
        return list(self._families.values())


def _family(spec: MetricSpec) -> GaugeMetricFamily | CounterMetricFamily:
    kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    return kind(PREFIX + spec.name.removesuffix("_total"), spec.help, labels=spec.labels)


class StoreCollector(Collector):
    """Reads the results out of the store. What never changes (a finished run, a finding) is read once and kept."""

    def __init__(self, store: Readings) -> None:
        self.store = store
        self._settings: Settings | None = None
        self._summaries: dict[int, RunSummary] = {}
        self._numbers: dict[int, FindingNumbers] = {}
        self._lock = Lock()

    def describe(self) -> Iterable[Metric]:
        """Names only, so that registering reads nothing."""
        return _Families().metrics()

    def collect(self) -> Iterator[Metric]:
        """For use in a registry, with the settings of the last ``read``; the clock is the machine's."""
        if self._settings is not None:
            yield from self.read(self._settings, datetime.now(UTC))

    def read(self, settings: Settings, now: datetime) -> list[Metric]:
        """Every result for the configured targets, as of ``now``."""
        self._settings = settings
        families = _Families()
        families.add("build_info", [__version__], 1)
        with self._lock:
            ours = _pairs(settings)
            _targets(families, settings, self.store.baseline_counts(), self.store.outdated())
            latest = {key: found for key, found in self.store.latest_finding_ids().items() if key[:2] in ours}
            alarms = [one for one in self.store.alarms(raised=True, limit=1_000_000) if (one.target, one.suite) in ours]
            _alarms(families, settings.targets, {(target, signal) for target, _, signal in latest}, alarms)
            _progress(families, ours, self.store.progress())
            self._runs(families, ours)
            self._findings(families, latest)
            _self_tests(families, ours, self.store.self_tests())
            _usage(families, settings.targets, self.store.usage())
            _budgets(families, settings.targets, self.store.spent_by_target(now.date()))
            waiting = [run.next_at for run in self.store.due_runs(now) if (run.target, run.suite) in ours]
        families.add("schedule_lag_seconds", [], (now - min(waiting, default=now)).total_seconds())
        return families.metrics()

    def _runs(self, families: _Families, ours: Collection[tuple[str, str]]) -> None:
        last = {key: run_id for key, run_id in self.store.last_done().items() if key in ours}
        unseen = [run_id for run_id in last.values() if run_id not in self._summaries]
        kept = self._summaries | self.store.summaries(unseen)
        self._summaries = {run_id: kept[run_id] for run_id in last.values() if run_id in kept}
        for key, run_id in last.items():
            if run_id in self._summaries:
                _summary(families, key, self._summaries[run_id])

    def _findings(self, families: _Families, latest: Mapping[tuple[str, str, str], int]) -> None:
        unseen = [found for found in latest.values() if found not in self._numbers]
        kept = self._numbers | self.store.finding_numbers(unseen)
        self._numbers = {found: kept[found] for found in latest.values() if found in kept}
        known = {key: self._numbers[found] for key, found in latest.items() if found in self._numbers}
        for (target, suite, signal), one in known.items():
            _numbers(families, (target, suite), signal, one)
        for pair, one in nearest_to_line(known).items():
            families.add("evidence_log10", pair, one.evidence_log10)
            families.add("evidence_line_log10", pair, one.line_log10)


def _pairs(settings: Settings) -> set[tuple[str, str]]:
    """Every configured (target, suite): what the store holds of others has no series."""
    return {(name, suite) for name, target in settings.targets.items() for suite in target.run_suites}


def _targets(
    families: _Families,
    settings: Settings,
    baselines: Mapping[tuple[str, str, str], tuple[int, int]],
    outdated: Collection[tuple[str, str]],
) -> None:
    for name, target in settings.targets.items():
        approved = []
        for suite in target.run_suites:
            families.add("run_interval_seconds", [name, suite], interval_seconds(settings.schedule, suite))
            for status in BaselineStatus:
                count, newest = baselines.get((name, suite, status.value), (0, 0))
                if status is BaselineStatus.APPROVED:
                    old = count if (name, suite) in outdated else 0
                    families.add("baselines", [name, suite, OUTDATED], old)
                    count -= old
                    approved += [newest] if count else []
                families.add("baselines", [name, suite, status.value], count)
        base = target.base.model if target.base else ""
        pinned = ",".join(map(str, sorted(approved))) or UNARMED
        families.add("target_info", [name, target.subject.provider, target.subject.model, base, pinned], 1)


def _alarms(
    families: _Families, targets: Collection[str], found: Collection[tuple[str, str]], raised: Sequence[Alarm]
) -> None:
    """``found``: the (target, signal) with a finding.

    A page signal's alarm may turn out a ticket. Its ticket is 0 from the signal's first finding on, before it can be
    raised: an alert rule lets go at a 0, not at a series that is gone.
    """
    states = {(target, signal, severity): 0 for target in targets for signal, severity in SIGNALS.items()}
    states |= {(target, signal, Severity.TICKET): 0 for target, signal in found}
    for alarm in raised:
        if alarm.state is AlarmState.CONFIRMED:
            states[alarm.target, alarm.signal, alarm.severity] = 1
    for (target, signal, severity), state in states.items():
        families.add("alarm", [target, signal, severity.value], state)


def _progress(families: _Families, ours: Collection[tuple[str, str]], progress: Sequence[SuiteProgress]) -> None:
    for one in progress:
        if (one.target, one.suite) not in ours:
            continue
        key = [one.target, one.suite]
        if one.last_success:
            families.add("run_last_success_timestamp_seconds", key, one.last_success.timestamp())
        if one.last_attempt:
            families.add("run_last_attempt_timestamp_seconds", key, one.last_attempt.timestamp())
        for outcome, count in one.runs.items():
            families.add("runs_total", [*key, outcome.value], count)


def _summary(families: _Families, key: tuple[str, str], summary: RunSummary) -> None:
    families.add("run_unmeasured_ratio", key, summary.unmeasured_ratio)
    if summary.pass_ratio is not None:
        families.add("pass_ratio", key, summary.pass_ratio)
    if summary.judge_score is not None:
        families.add("judge_score", [*key, ALL_RUBRICS], summary.judge_score)
    if summary.answer_chars is not None:
        families.add("answer_length_chars", [*key, "mean"], summary.answer_chars)


def _numbers(families: _Families, key: tuple[str, str], signal: str, numbers: FindingNumbers) -> None:
    families.add("effect", [*key, signal], numbers.effect)
    families.add("effect_low", [*key, signal], numbers.effect_low)
    families.add("effect_high", [*key, signal], numbers.effect_high)
    for name, labels in MEASURES.items():
        if name in numbers.measures:
            families.add(name, [*key, *labels], numbers.measures[name])


def nearest_to_line(numbers: Mapping[tuple[str, str, str], FindingNumbers]) -> dict[tuple[str, str], FindingNumbers]:
    """(target, signal) -> its numbers in the suite whose evidence is nearest to its line, or furthest beyond."""
    nearest: dict[tuple[str, str], FindingNumbers] = {}
    for (target, _, signal), one in numbers.items():
        if isnan(one.evidence_log10 - one.line_log10):
            continue  # of a version that kept none
        other = nearest.get((target, signal))
        if other is None or one.evidence_log10 - one.line_log10 > other.evidence_log10 - other.line_log10:
            nearest[target, signal] = one
    return nearest


def _self_tests(families: _Families, ours: Collection[tuple[str, str]], tests: Sequence[SelfTest]) -> None:
    """The share of each fault that was caught, in the target's worst suite; of the control, the largest."""
    worst: dict[tuple[str, str], float] = {}
    for one in tests:
        if (one.target, one.suite) in ours and one.trials:
            key, share = (one.target, one.fault), one.caught / one.trials
            worse = max if one.fault == CONTROL else min
            worst[key] = worse(worst.get(key, share), share)
    for key, share in worst.items():
        families.add("selftest_detection_ratio", key, share)


def _usage(families: _Families, targets: Collection[str], usage: Sequence[Usage]) -> None:
    spent: dict[tuple[str, ...], list[float]] = {}
    for one in usage:
        if one.target not in targets:
            continue
        key = (one.target, one.arm.value, one.provider, one.model)
        families.add("api_requests_total", [*key, one.outcome], one.requests)
        sums = spent.setdefault(key, [0.0, 0.0, 0.0])
        for place, value in enumerate((one.prompt_tokens, one.completion_tokens, one.usd)):
            sums[place] += value
    for labels, (prompt, completion, usd) in spent.items():
        families.add("api_tokens_total", [*labels, "prompt"], prompt)
        families.add("api_tokens_total", [*labels, "completion"], completion)
        families.add("api_spend_usd_total", labels, usd)


def _budgets(families: _Families, targets: Mapping[str, Target], spends: Mapping[str, Spend]) -> None:
    for name, target in targets.items():
        if target.budget.usd_per_day is not None:
            used = spends.get(name, Spend())
            families.add("budget_remaining_usd", [name], target.budget.usd_per_day - used.usd - used.reserved_usd)
