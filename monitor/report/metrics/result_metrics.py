"""Turns records into samples, with one function per kind of result."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import isnan
from typing import Any, Final

from monitor.core.records import (
    Alarm,
    AlarmState,
    Arm,
    BaselineStatus,
    FindingNumbers,
    FindingState,
    IdentityCheck,
    MailState,
    Match,
    Retirement,
    Rollback,
    RunSummary,
    SampleAccount,
    SelfTest,
    Severity,
    Spend,
    SuiteProgress,
    Usage,
)
from monitor.core.run_kinds import JUDGE, run_kind
from monitor.core.schedule import interval_seconds, period_seconds
from monitor.core.selftest_results import CONTROL
from monitor.core.settings import Schedule, Settings, Target
from monitor.core.signals import ALL_RUBRICS, CATALOGUE, SEVERITIES
from monitor.report.explain import run_cause
from monitor.report.explain.onset import Onset
from monitor.report.metrics.alerts import LIMITS
from monitor.report.metrics.exposition import Lines
from monitor.report.retention import LastPass

OUTDATED: Final = "outdated"
"""Status in ``baselines`` of an approved baseline whose suite changed since: nothing is compared with it."""

UNARMED: Final = "unarmed"
"""Value of ``baseline`` in ``target_info`` while no baseline is approved."""

MEASURES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    key: (measure.metric, labels)
    for spec in CATALOGUE
    for measure in spec.measures
    for key, labels in measure.keys.items()
}
"""Key of ``Finding.measures`` -> its metric, with the labels after target and suite."""

Beginnings = Mapping[int | None, Onset]
"""Alarm id -> when the change was first seen, and the healthy evaluation before it."""

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "daemon": (
        "build_info", "web_info", "schedule_lag_seconds", "email_last_success_timestamp_seconds", "email_queued",
        "email_oldest_queued_timestamp_seconds", "email_refused", "email_interval_seconds", "alert_limit",
        "clock_ahead_seconds", "retention_last_pass_timestamp_seconds", "retention_kept_runs",
    ),
    "baselines": ("target_info", "baselines", "baseline_approved_timestamp_seconds", "run_interval_seconds"),
    "alarms": (
        "alarm", "alarm_raised_timestamp_seconds", "alarm_began_timestamp_seconds",
        "alarm_last_healthy_timestamp_seconds", "alarm_info",
    ),
    "runs": (
        "run_last_success_timestamp_seconds", "run_last_attempt_timestamp_seconds", "runs_total",
        "run_unmeasured_ratio", "pass_ratio", "judge_score", "answer_length_chars", "budget_refused_questions",
        "judge_agreement_ratio", "judge_anchor_timestamp_seconds", "answer_length_base_chars", "judge_score_base",
        "pass_ratio_base", "run_checks_unfinished", "sample_requests", "sample_left_out_ratio", "sample_unread_files",
    ),
    "findings": (
        "effect", "effect_low", "effect_high", "finding_info", "evidence_log10", "evidence_threshold_log10",
        *dict.fromkeys(metric for metric, _ in MEASURES.values()),
    ),
    "self_tests": ("selftest_detection_ratio",),
    "usage": ("api_requests_total", "api_tokens_total", "api_spend_usd_total"),
    "budgets": ("budget_remaining_usd", "budget_remaining_requests"),
    "identity": (
        "identity_match", "identity_unknown", "identity_mismatch_since_timestamp_seconds",
        "identity_checked_timestamp_seconds",
    ),
    "retirements": ("model_retirement_timestamp_seconds",),
    "rollbacks": ("rollback_ready", "rollback_answered_ratio", "rollback_pass_ratio"),
}  # fmt: skip
"""Kind of result -> its families. A family belongs to one kind."""


def mail(lines: Lines, settings: Settings, state: MailState) -> None:
    """Add the metrics of mail. Waiting mails are always shown; without configured mail, none can be missing."""
    email = settings.email
    if email is not None or state.queued:
        lines.add("email_queued", state.queued)
    if state.oldest_queued_at:
        lines.add("email_oldest_queued_timestamp_seconds", state.oldest_queued_at.timestamp())
    if email is not None:
        lines.add("email_refused", state.refused)
        lines.add("email_interval_seconds", period_seconds(settings.schedule, email.every))
        if state.last_sent_at:
            lines.add("email_last_success_timestamp_seconds", state.last_sent_at.timestamp())


def baselines(
    lines: Lines, name: str, target: Target, schedule: Schedule, counts: Iterable[Any], outdated: Iterable[str]
) -> None:
    """Add the metrics of baselines. ``counts``: the target's ``BaselineCount``s. ``outdated``: suites whose approved
    baseline was captured with another version of the suite."""
    by_status = {(one.suite, one.status): one for one in counts}
    approved = []
    for suite in target.run_suites:
        lines.add("run_interval_seconds", interval_seconds(schedule, suite), name, suite)
        for status in BaselineStatus:
            found = by_status.get((suite, status))
            number = found.number if found else 0
            if status is BaselineStatus.APPROVED:
                old = number if suite in outdated else 0
                lines.add("baselines", old, name, suite, OUTDATED)
                number -= old
                approved += [found.newest] if found and number else []
                if found and found.approved_at:
                    at = found.approved_at.timestamp()
                    lines.add("baseline_approved_timestamp_seconds", at, name, suite)
            lines.add("baselines", number, name, suite, status.value)
    base = target.base.model if target.base else ""
    pinned = ",".join(map(str, sorted(approved))) or UNARMED
    lines.add("target_info", 1, name, target.subject.provider, target.subject.model, base, pinned)


def retention(lines: Lines, last: LastPass | None) -> None:
    if last is not None:
        lines.add("retention_last_pass_timestamp_seconds", last.at.timestamp())
        for one in last.kept:
            lines.add("retention_kept_runs", one.runs, one.kind.value, one.reason.value)


def limits(lines: Lines) -> None:
    for (alert, limit), number in LIMITS.items():
        lines.add("alert_limit", number, alert, limit)


def alarms(lines: Lines, name: str, found: Iterable[str], raised: Iterable[Alarm], began: Beginnings) -> None:
    """Add the metrics of alarms. ``found``: the signals with a finding. ``began``: alarm id -> when the change began,
    and the healthy evaluation before it.

    A signal without a finding has no series: 0 would mean that nothing changed, although nothing was compared. The
    alarm of a page signal can become a ticket. So its ticket series is 0 from the signal's first finding on: an alert
    rule ends at a 0, not when a series disappears.
    """
    seen = set(found)
    states = dict.fromkeys(((signal, severity) for signal, severity in SEVERITIES.items() if signal in seen), 0)
    states |= dict.fromkeys(((signal, Severity.TICKET) for signal in sorted(seen)), 0)
    since: dict[str, datetime] = {}
    first: dict[str, tuple[datetime, datetime | None]] = {}
    for alarm in raised:
        if alarm.state is AlarmState.CONFIRMED:
            states[alarm.signal, alarm.severity] = 1
            since[alarm.signal] = min(alarm.raised_at, since.get(alarm.signal, alarm.raised_at))
            told = began.get(alarm.id, Onset(alarm.raised_at, None))
            both = (told.began, told.healthy)
            first[alarm.signal] = min(both, first.get(alarm.signal, both), key=lambda one: one[0])
    for (signal, severity), state in states.items():
        lines.add("alarm", state, name, signal, severity.value)
    for signal, at in since.items():
        lines.add("alarm_raised_timestamp_seconds", at.timestamp(), name, signal)
    for signal, (at, healthy) in first.items():
        lines.add("alarm_began_timestamp_seconds", at.timestamp(), name, signal)
        if healthy is not None:
            lines.add("alarm_last_healthy_timestamp_seconds", healthy.timestamp(), name, signal)


def runs(lines: Lines, target: Target, progress: Iterable[SuiteProgress], last: Mapping[str, RunSummary]) -> None:
    """Add the metrics of runs. ``last``: suite -> its last finished run."""
    for one in progress:
        key = (one.target, one.suite)
        if one.last_success:
            lines.add("run_last_success_timestamp_seconds", one.last_success.timestamp(), *key)
            if run_kind(*key) is JUDGE:
                lines.add("judge_anchor_timestamp_seconds", one.last_success.timestamp(), target.subject.model)
        if one.last_attempt:
            lines.add("run_last_attempt_timestamp_seconds", one.last_attempt.timestamp(), *key)
        for outcome, count in one.runs.items():
            lines.add("runs_total", count, *key, outcome.value)
        if one.suite in last:
            _summary(lines, key, last[one.suite], target.subject.model)
    if last:
        name = next(iter(progress)).target
        lines.add("budget_refused_questions", sum(summary.refused for summary in last.values()), name)


def sample(lines: Lines, name: str, account: SampleAccount) -> None:
    """Add the metrics of the sample of a target's last finished run."""
    for outcome in ("kept", "duplicates", "not_drawn", "filtered"):
        lines.add("sample_requests", getattr(account, outcome), name, outcome, "")
    for one in account.reasons:
        lines.add("sample_requests", one.count, name, one.left_out.value, one.reason.value)
    lines.add("sample_left_out_ratio", account.left_out_ratio, name)
    unread: dict[str, int] = {}
    for file in account.unread:
        unread[file.reason.value] = unread.get(file.reason.value, 0) + file.count
    for reason, count in unread.items():
        lines.add("sample_unread_files", count, name, reason)


def _summary(lines: Lines, key: tuple[str, str], summary: RunSummary, model: str) -> None:
    lines.add("run_unmeasured_ratio", summary.unmeasured_ratio, *key)
    for reason, count in summary.unfinished.items():
        lines.add("run_checks_unfinished", count, *key, reason)
    if summary.pass_ratio is not None:
        lines.add("pass_ratio", summary.pass_ratio, *key)
        if run_kind(*key) is JUDGE:
            lines.add("judge_agreement_ratio", summary.pass_ratio, model)
    if summary.judge_score is not None:
        lines.add("judge_score", summary.judge_score, *key, ALL_RUBRICS)
    if summary.answer_chars is not None:
        lines.add("answer_length_chars", summary.answer_chars, *key, "mean")
    if summary.base_chars is not None:
        lines.add("answer_length_base_chars", summary.base_chars, *key)
    if summary.base_score is not None:
        lines.add("judge_score_base", summary.base_score, *key, ALL_RUBRICS)
    if summary.base_pass_ratio is not None:
        lines.add("pass_ratio_base", summary.base_pass_ratio, *key)


def findings(lines: Lines, name: str, numbers: Mapping[tuple[str, str], FindingNumbers]) -> None:
    """Add the metrics of findings. ``numbers``: (suite, signal) -> the numbers of its newest finding."""
    said: dict[str, dict[str, FindingNumbers]] = {}
    for (suite, signal), one in numbers.items():
        said.setdefault(suite, {})[signal] = one
    for (suite, signal), one in numbers.items():
        lines.add("effect", one.effect, name, suite, signal)
        lines.add("effect_low", one.effect_low, name, suite, signal)
        lines.add("effect_high", one.effect_high, name, suite, signal)
        if one.state is not FindingState.QUIET:
            cause = run_cause.of(signal, said[suite])
            lines.add("finding_info", 1, name, suite, signal, one.state, cause, one.advice)
        for measure, number in one.measures.items():
            if measure in MEASURES:
                metric, labels = MEASURES[measure]
                lines.add(metric, number, name, suite, *labels)
    for signal, one in nearest_to_threshold(numbers).items():
        lines.add("evidence_log10", one.evidence_log10, name, signal)
        lines.add("evidence_threshold_log10", one.threshold_log10, name, signal)


def nearest_to_threshold(numbers: Mapping[tuple[str, str], FindingNumbers]) -> dict[str, FindingNumbers]:
    """Signal -> its numbers in the suite whose evidence is nearest to its threshold, or furthest above it.

    ``numbers``: the numbers of one target, by suite and signal.
    """
    nearest: dict[str, FindingNumbers] = {}
    for (_, signal), one in numbers.items():
        if isnan(one.evidence_log10 - one.threshold_log10):
            continue  # stored by a version without these numbers
        other = nearest.get(signal)
        if other is None or one.evidence_log10 - one.threshold_log10 > other.evidence_log10 - other.threshold_log10:
            nearest[signal] = one
    return nearest


def self_tests(lines: Lines, name: str, tests: Iterable[SelfTest]) -> None:
    """Add each fault's detection ratio in the target's worst suite: the lowest, or for the control the highest."""
    worst: dict[str, float] = {}
    for one in tests:
        if one.trials:
            share = one.caught / one.trials
            worse = max if one.fault == CONTROL else min
            worst[one.fault] = worse(worst.get(one.fault, share), share)
    for fault, share in worst.items():
        lines.add("selftest_detection_ratio", share, name, fault)


def usage(lines: Lines, rows: Iterable[Usage]) -> None:
    spent: dict[tuple[str, ...], list[float]] = {}
    for one in rows:
        key = (one.target, one.arm.value, one.provider, one.model)
        lines.add("api_requests_total", one.requests, *key, one.outcome)
        sums = spent.setdefault(key, [0.0, 0.0, 0.0])
        for place, value in enumerate((one.prompt_tokens, one.completion_tokens, one.usd)):
            sums[place] += value
    for labels, (prompt, completion, usd) in spent.items():
        lines.add("api_tokens_total", prompt, *labels, "prompt")
        lines.add("api_tokens_total", completion, *labels, "completion")
        lines.add("api_spend_usd_total", usd, *labels)


def budgets(lines: Lines, name: str, target: Target, spent: Spend) -> None:
    limits = target.budget
    if limits.usd_per_day is not None:
        lines.add("budget_remaining_usd", limits.usd_per_day - spent.usd - spent.reserved_usd, name)
    if limits.requests_per_day is not None:
        left = limits.requests_per_day - spent.requests - spent.reserved_requests
        lines.add("budget_remaining_requests", left, name)


def identity(lines: Lines, name: str, checks: Sequence[IdentityCheck]) -> None:
    """Add each check's worst result over the arms; a check that cannot tell has no value of ``identity_match``.

    The oldest check counts, so that an arm whose check is no longer possible stays visible.
    """
    for check in dict.fromkeys(one.check for one in checks):
        found = [one for one in checks if one.check == check]
        told = [one for one in found if one.result is not Match.CANNOT_TELL]
        if told:
            lines.add("identity_match", not any(one.differs for one in told), name, check)
        if len(told) < len(found):
            lines.add("identity_unknown", 1, name, check)
        if any(one.differs for one in told):
            since = min(one.since for one in told if one.differs)
            lines.add("identity_mismatch_since_timestamp_seconds", since.timestamp(), name, check)
    if checks:
        oldest = min(one.checked_at for one in checks)
        lines.add("identity_checked_timestamp_seconds", oldest.timestamp(), name)


def retirements(lines: Lines, name: str, found: Iterable[Retirement]) -> None:
    """Add the earliest date for each arm: the configuration and a provider may both name one."""
    for one in nearest(found):
        lines.add("model_retirement_timestamp_seconds", one.retires_at.timestamp(), name, one.arm.value)


def nearest(found: Iterable[Retirement]) -> tuple[Retirement, ...]:
    """The earliest retirement of each arm."""
    first: dict[Arm, Retirement] = {}
    for one in found:
        first[one.arm] = min(one, first.get(one.arm, one), key=lambda one: one.retires_at)
    return tuple(first.values())


def rollback(lines: Lines, found: Rollback) -> None:
    lines.add("rollback_ready", found.ready, found.target)
    lines.add("rollback_answered_ratio", found.answered, found.target)
    if found.passed is not None:
        lines.add("rollback_pass_ratio", found.passed, found.target)
