"""The names, types and labels of every metric: a public contract for dashboards, alerts and users' own rules.

``make docs`` generates ``docs/metrics.md`` from it.
"""

from dataclasses import dataclass
from typing import Final, Literal

from monitor.core.signals import CATALOGUE

PREFIX: Final = "cliffwatch_"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric of the contract. ``name`` has no prefix."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    in_memory: bool = False
    """Kept in this process only; all other metrics are read from the store."""


_TS: Final = ("target", "suite")
_CALL: Final = ("target", "arm", "provider", "model")

METRICS: Final[tuple[MetricSpec, ...]] = (
    MetricSpec("build_info", "gauge", ("version",), "The running version; always 1."),
    MetricSpec(
        "web_info",
        "gauge",
        ("url",),
        "Address of the pages, without a trailing slash; always 1. Links in alerts start with it.",
    ),
    MetricSpec(
        "target_info",
        "gauge",
        ("target", "provider", "model", "base_model", "baseline"),
        "A configured target; always 1. baseline: ids of the approved baselines (one per suite), or unarmed.",
    ),
    MetricSpec(
        "baselines",
        "gauge",
        ("target", "suite", "status"),
        "Number of baselines by status: capturing, captured, approved, retired, outdated (approved, but for another "
        "version of the suite). Runs are compared only if a baseline is approved.",
    ),
    MetricSpec(
        "baseline_approved_timestamp_seconds",
        "gauge",
        _TS,
        "Time when the approved baseline was approved, in Unix time.",
    ),
    MetricSpec(
        "run_last_success_timestamp_seconds",
        "gauge",
        _TS,
        "Time when a run last finished with usable answers, in Unix time.",
    ),
    MetricSpec("run_last_attempt_timestamp_seconds", "gauge", _TS, "Time when a run was last worked on, in Unix time."),
    MetricSpec("run_interval_seconds", "gauge", _TS, "Seconds from one scheduled run to the next."),
    MetricSpec(
        "run_unmeasured_ratio",
        "gauge",
        _TS,
        "Share of the last finished run's questions without a usable answer, 0 to 1; 1 if its subject gave none, even "
        "if other arms answered.",
    ),
    MetricSpec(
        "run_checks_unfinished",
        "gauge",
        (*_TS, "reason"),
        "Checks of the last finished run that gave an answer no score, by reason: time, memory, unusable (the check's "
        "pattern or schema), ambiguous (a number with several meanings), crashed; absent without any.",
    ),
    MetricSpec("runs_total", "counter", (*_TS, "outcome"), "Finished runs by outcome: measured, partial, unmeasured."),
    MetricSpec(
        "alarm",
        "gauge",
        ("target", "signal", "severity"),
        "1 while an alarm is confirmed, else 0; absent until the signal has a finding. severity: page or ticket. A "
        "page that was not confirmed, or that its baseline does not arm, is a ticket.",
    ),
    MetricSpec(
        "alarm_raised_timestamp_seconds",
        "gauge",
        ("target", "signal"),
        "Time when the confirmed alarm was raised, in Unix time; the earliest of the target's suites.",
    ),
    MetricSpec(
        "alarm_began_timestamp_seconds",
        "gauge",
        ("target", "signal"),
        "Latest time at which the change behind the confirmed alarm can have begun, in Unix time: the time of the last "
        "usable answer of the first evaluation with evidence of it, often some evaluations before the alarm was "
        "raised; the earliest of the target's suites.",
    ),
    MetricSpec(
        "alarm_last_healthy_timestamp_seconds",
        "gauge",
        ("target", "signal"),
        "Time of the subject's last usable answer in the evaluation before alarm_began_timestamp_seconds, in Unix "
        "time. The change began after it, unless it began during that evaluation and affected too few answers to be "
        "detected; absent if there was no evaluation before.",
    ),
    MetricSpec(
        "alarm_info",
        "gauge",
        (
            "alert",
            "target",
            "severity",
            "signal",
            "check",
            "suite",
            "arm",
            "what",
            "how_bad",
            "since",
            "evidence",
            "cause",
            "advice",
            "evidence_url",
        ),
        "Text of an alert, in the words of its evidence page; the value is the time when the change began, in Unix "
        "time (0 for CliffwatchUnmeasured and CliffwatchModelRetiring). signal leads the alert; a label is empty if "
        "the alert does not print it. A label changes with a verdict, not with a scrape.",
    ),
    MetricSpec(
        "evidence_log10",
        "gauge",
        ("target", "signal"),
        "Evidence for a change so far, as a power of ten (3 is 1,000 to 1), in the suite nearest to its threshold.",
    ),
    MetricSpec(
        "evidence_threshold_log10",
        "gauge",
        ("target", "signal"),
        "Threshold of the evidence in the same suite, as a power of ten: the signal alarms at this evidence.",
    ),
    MetricSpec(
        "effect", "gauge", (*_TS, "signal"), "Effect size of the last finding, in the signal's own unit (signals.md)."
    ),
    MetricSpec("effect_low", "gauge", (*_TS, "signal"), "Lower end of the effect's 95 % interval."),
    MetricSpec("effect_high", "gauge", (*_TS, "signal"), "Upper end of the effect's 95 % interval."),
    MetricSpec(
        "finding_info",
        "gauge",
        (*_TS, "signal", "state", "cause", "advice"),
        "The last finding of a signal that is not quiet; always 1. state: alarming or look. cause: the cause according "
        "to all signals of the run. advice: what to do first.",
    ),
    *(
        MetricSpec(one.metric, "gauge", (*_TS, *one.labels), one.help)
        for signal in CATALOGUE
        for one in signal.measures
    ),
    MetricSpec(
        "answer_length_chars", "gauge", (*_TS, "stat"), "Length of the subject's answers in characters, by statistic."
    ),
    MetricSpec(
        "answer_length_base_chars",
        "gauge",
        _TS,
        "Mean length of the base's answers in the last run, in characters; most runs ask it few probes.",
    ),
    MetricSpec(
        "judge_score", "gauge", (*_TS, "rubric"), "Mean score of the subject's answers in the last run, 0 to 1."
    ),
    MetricSpec(
        "judge_score_base",
        "gauge",
        (*_TS, "rubric"),
        "Mean score of the base's answers in the last run, 0 to 1; most runs ask it few probes.",
    ),
    MetricSpec(
        "judge_agreement_ratio",
        "gauge",
        ("judge",),
        "Share of the anchors on which the judge agreed with the person in the last finished run, 0 to 1. judge: its "
        "model id.",
    ),
    MetricSpec(
        "judge_anchor_timestamp_seconds",
        "gauge",
        ("judge",),
        "Time when the judge last scored its anchors, in Unix time.",
    ),
    MetricSpec(
        "pass_ratio",
        "gauge",
        _TS,
        "Share of the subject's answers in the last run that pass every deterministic check.",
    ),
    MetricSpec(
        "pass_ratio_base",
        "gauge",
        _TS,
        "Share of the base's answers in the last run that pass every deterministic check.",
    ),
    MetricSpec(
        "sample_requests",
        "gauge",
        ("target", "outcome", "reason"),
        "Logged requests of the last finished run's sample of production inputs, by outcome: kept, duplicates, "
        "not_drawn, unsupported, truncated, malformed, outside, filtered; their sum is all that was logged. reason: "
        "why requests are left out (production.md), else empty.",
    ),
    MetricSpec(
        "sample_left_out_ratio",
        "gauge",
        ("target",),
        "Share of the period's requests that the last finished run's sample could not ask, 0 to 1: unsupported, "
        "truncated and malformed ones.",
    ),
    MetricSpec(
        "sample_unread_files",
        "gauge",
        ("target", "reason"),
        "Log files that the last finished run's sample did not read, or not to their end, by reason (production.md).",
    ),
    MetricSpec(
        "identity_match",
        "gauge",
        ("target", "check"),
        "1 if the served model matches its declaration, 0 if it contradicts it; the worst of the target's arms. Absent "
        "if the check cannot tell.",
    ),
    MetricSpec(
        "identity_unknown",
        "gauge",
        ("target", "check"),
        "1 if the check cannot tell whether the served model matches, for at least one of the target's arms. Otherwise "
        "absent.",
    ),
    MetricSpec(
        "identity_mismatch_since_timestamp_seconds",
        "gauge",
        ("target", "check"),
        "Time since which the check does not match, in Unix time; the earliest of the target's arms.",
    ),
    MetricSpec(
        "identity_checked_timestamp_seconds",
        "gauge",
        ("target",),
        "Time of the target's last identity check, in Unix time; the oldest of several checks.",
    ),
    MetricSpec(
        "model_retirement_timestamp_seconds",
        "gauge",
        ("target", "arm"),
        "Time when the arm's model retires, in Unix time, from the configuration or the provider.",
    ),
    MetricSpec(
        "rollback_ready",
        "gauge",
        ("target",),
        "1 if the snapshot answers as well as the approved baseline, else 0; absent until it was asked.",
    ),
    MetricSpec(
        "rollback_answered_ratio",
        "gauge",
        ("target",),
        "Share of the questions to the snapshot in the last runs that have a usable answer, 0 to 1.",
    ),
    MetricSpec(
        "rollback_pass_ratio",
        "gauge",
        ("target",),
        "Share of the snapshot's answers in the last runs that pass every deterministic check.",
    ),
    MetricSpec(
        "selftest_detection_ratio",
        "gauge",
        ("target", "fault"),
        "Share of the trials with this planted fault that raised an alarm in the last self-test, 0 to 1; the lowest of "
        "the target's suites. The fault healthy is the control without a fault; the highest of the suites.",
    ),
    MetricSpec(
        "api_requests_total",
        "counter",
        (*_CALL, "outcome"),
        "Calls, including retries, by outcome of the question: ok, or the reason why it has no usable answer.",
    ),
    MetricSpec("api_tokens_total", "counter", (*_CALL, "type"), "Tokens by type: prompt or completion."),
    MetricSpec("api_spend_usd_total", "counter", _CALL, "US dollars spent on calls, including judge and retries."),
    MetricSpec(
        "budget_remaining_usd", "gauge", ("target",), "US dollars left of today's budget (UTC), less reservations."
    ),
    MetricSpec(
        "budget_remaining_requests",
        "gauge",
        ("target",),
        "Requests left of today's budget (UTC), less reservations.",
    ),
    MetricSpec(
        "budget_refused_questions",
        "gauge",
        ("target",),
        "Questions that were not asked because the budget was spent, summed over the last finished run of each suite.",
    ),
    MetricSpec("email_last_success_timestamp_seconds", "gauge", (), "Time when a mail was last sent, in Unix time."),
    MetricSpec("email_queued", "gauge", (), "Number of mails that wait to be sent."),
    MetricSpec(
        "email_oldest_queued_timestamp_seconds",
        "gauge",
        (),
        "Time when the oldest waiting mail was composed, in Unix time.",
    ),
    MetricSpec(
        "email_refused", "gauge", (), "Mails given up since the last one was sent: permanently refused, or too old."
    ),
    MetricSpec("email_interval_seconds", "gauge", (), "Seconds from one scheduled mail to the next."),
    MetricSpec(
        "alert_limit",
        "gauge",
        ("alert", "limit"),
        "Limits of the alert rules, as this version uses them itself: ratios from 0 to 1, times in seconds, "
        "run_intervals and mail_intervals in intervals.",
    ),
    MetricSpec("retention_last_pass_timestamp_seconds", "gauge", (), "Time of the last retention pass, in Unix time."),
    MetricSpec("retention_kept_runs", "gauge", ("kind", "reason"), "Runs whose data is kept beyond its days, by need."),
    MetricSpec("schedule_lag_seconds", "gauge", (), "Seconds that the most overdue run has waited to be worked on."),
    MetricSpec(
        "clock_ahead_seconds",
        "gauge",
        (),
        "Seconds from now to the latest slot or success that lay in the future: a clock was ahead, or the clock is "
        "behind now. 0 if none does, and seven days after it was last seen. What is due now is asked all the same.",
    ),
    MetricSpec(
        "asks_nothing_seconds",
        "gauge",
        (),
        "Seconds for which runs have been due and the daemon has asked nothing; 0 while nothing is due.",
        in_memory=True,
    ),
    MetricSpec(
        "api_request_duration_seconds",
        "histogram",
        ("target", "arm"),
        "Duration of one attempt of a call, in seconds.",
        in_memory=True,
    ),
    MetricSpec(
        "pushed_inputs_total", "counter", ("target", "result"), "Inputs that clients pushed, by result.", in_memory=True
    ),
    MetricSpec(
        "push_requests_total", "counter", ("kind", "status"), "Requests with inputs, by HTTP status.", in_memory=True
    ),
    MetricSpec("config_last_reload_success", "gauge", (), "1 if the last reload was accepted, else 0.", in_memory=True),
    MetricSpec(
        "config_last_reload_success_timestamp_seconds",
        "gauge",
        (),
        "Time when a configuration was last accepted, in Unix time.",
        in_memory=True,
    ),
    MetricSpec(
        "last_tick_timestamp_seconds",
        "gauge",
        (),
        "Time when the daemon last checked the ledger, in Unix time.",
        in_memory=True,
    ),
    MetricSpec("tick_errors_total", "counter", (), "Failed checks of the ledger.", in_memory=True),
    MetricSpec("run_errors_total", "counter", (), "Failed executions of a run, which are retried.", in_memory=True),
    MetricSpec(
        "scrape_errors_total", "counter", (), "Scrapes that failed because the store could not be read.", in_memory=True
    ),
)


def markdown() -> str:
    """``docs/metrics.md``."""
    lines = [
        "# Metrics",
        "",
        "Generated by `make docs`; do not edit.",
        "",
        "Served at `/metrics` in the Prometheus text format (OpenMetrics on request). Results come from the store, so",
        "a restart or a long interval leaves no gap. Metrics that are kept in memory only are marked *process*.",
        "`suite` is a suite's name, or `production` for the sample of production inputs. `arm` is `subject`, `base`,",
        "`snapshot`, `cache-check`, `judge-subject` or `judge-base`.",
        "What was not measured has no series: an outage never counts as a measurement.",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for spec in METRICS:
        labels = ", ".join(spec.labels) or "–"
        where = " *(process)*" if spec.in_memory else ""
        lines.append(f"| `{PREFIX}{spec.name}` | {spec.kind} | {labels} | {spec.help}{where} |")
    return "\n".join(lines) + "\n"
