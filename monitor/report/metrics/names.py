"""The names, types and labels of every metric: a public contract, which dashboards, alerts and users' rules hang on.

``docs/metrics.md`` is written from it by ``make docs``.
"""

from dataclasses import dataclass
from typing import Final, Literal

from monitor.core.signals import CATALOGUE

PREFIX: Final = "cliffwatch_"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric of the contract; ``name`` is without prefix."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    in_memory: bool = False
    """Of this process only; all others are read from the store."""


_TS: Final = ("target", "suite")
_CALL: Final = ("target", "arm", "provider", "model")

METRICS: Final[tuple[MetricSpec, ...]] = (
    MetricSpec("build_info", "gauge", ("version",), "The running version; always 1."),
    MetricSpec(
        "web_info",
        "gauge",
        ("url",),
        "Where people reach the pages, without a slash at the end; always 1. Links in alerts start with it.",
    ),
    MetricSpec(
        "target_info",
        "gauge",
        ("target", "provider", "model", "base_model", "baseline"),
        "A configured target; always 1. baseline holds the approved baselines' ids (one for each suite), or unarmed.",
    ),
    MetricSpec(
        "baselines",
        "gauge",
        ("target", "suite", "status"),
        "Baselines by status: capturing, captured, approved, retired; outdated is approved, but for another version of "
        "the suite. Without an approved one nothing is compared.",
    ),
    MetricSpec(
        "baseline_approved_timestamp_seconds", "gauge", _TS, "When the approved baseline was approved, in Unix time."
    ),
    MetricSpec(
        "run_last_success_timestamp_seconds",
        "gauge",
        _TS,
        "When a run last finished with usable answers, in Unix time.",
    ),
    MetricSpec("run_last_attempt_timestamp_seconds", "gauge", _TS, "When a run was last worked on, in Unix time."),
    MetricSpec("run_interval_seconds", "gauge", _TS, "Seconds from one scheduled run to the next."),
    MetricSpec(
        "run_unmeasured_ratio",
        "gauge",
        _TS,
        "Share of the last finished run's questions that have no usable answer; 1 where its subject gave none, "
        "whatever others said.",
    ),
    MetricSpec("runs_total", "counter", (*_TS, "outcome"), "Finished runs by outcome: measured, partial, unmeasured."),
    MetricSpec(
        "alarm",
        "gauge",
        ("target", "signal", "severity"),
        "1 while an alarm is confirmed, else 0; absent until the signal has a finding. severity is what it wakes: a "
        "page that its fresh sample did not confirm, or that its baseline does not arm, is a ticket.",
    ),
    MetricSpec(
        "alarm_raised_timestamp_seconds",
        "gauge",
        ("target", "signal"),
        "When the alarm that is confirmed was raised, in Unix time; the first of the target's suites.",
    ),
    MetricSpec(
        "alarm_began_timestamp_seconds",
        "gauge",
        ("target", "signal"),
        "When the change that the confirmed alarm tells of was there at the latest, in Unix time: the last usable "
        "answer of the first look with evidence of it was asked then, often some looks before the alarm was raised; "
        "the first of the target's suites.",
    ),
    MetricSpec(
        "alarm_last_healthy_timestamp_seconds",
        "gauge",
        ("target", "signal"),
        "When the subject was asked for the last usable answer of the look before alarm_began_timestamp_seconds, in "
        "Unix time: the change came after it, unless it came in the midst of that look and hit too few of its answers "
        "to be seen; none where there was no look before.",
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
        "What an alert prints, in the words of its evidence page; the value is when the change began, in Unix time (0 "
        "for CliffwatchUnmeasured and CliffwatchModelRetiring). signal leads the alert; a label is empty where the "
        "alert does not print it. A label changes with a verdict, not with a scrape.",
    ),
    MetricSpec(
        "evidence_log10",
        "gauge",
        ("target", "signal"),
        "Evidence for a change so far, as a power of ten (3 is 1,000 to 1), in the suite that is nearest to its line.",
    ),
    MetricSpec(
        "evidence_threshold_log10",
        "gauge",
        ("target", "signal"),
        "Evidence at which the signal alarms by itself, in the same suite, as a power of ten.",
    ),
    MetricSpec(
        "effect", "gauge", (*_TS, "signal"), "Effect size of the last finding, in the signal's own unit (see findings)."
    ),
    MetricSpec("effect_low", "gauge", (*_TS, "signal"), "Lower end of the effect's 95 % interval."),
    MetricSpec("effect_high", "gauge", (*_TS, "signal"), "Upper end of the effect's 95 % interval."),
    MetricSpec(
        "finding_info",
        "gauge",
        (*_TS, "signal", "state", "cause", "advice"),
        "The last finding of a signal that is not quiet; always 1. state: alarming or look. cause: what the signal's "
        "own evidence says of it. advice: what to do first.",
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
        "answer_length_base_chars", "gauge", _TS, "Mean length of the base's answers in the last run, in characters."
    ),
    MetricSpec("judge_score", "gauge", (*_TS, "rubric"), "Mean score of the subject's answers now, 0 to 1."),
    MetricSpec(
        "judge_score_base", "gauge", (*_TS, "rubric"), "Mean score of the base's answers in the last run, 0 to 1."
    ),
    MetricSpec(
        "judge_agreement_ratio",
        "gauge",
        ("judge",),
        "Share of the anchors on which the judge, by its model id, gave the person's verdict in the last finished run.",
    ),
    MetricSpec(
        "judge_anchor_timestamp_seconds", "gauge", ("judge",), "When the judge last scored its anchors, in Unix time."
    ),
    MetricSpec("pass_ratio", "gauge", _TS, "Share of the subject's answers that pass every deterministic check."),
    MetricSpec(
        "pass_ratio_base", "gauge", _TS, "Share of the base's answers in the last run that pass every such check."
    ),
    MetricSpec(
        "identity_match",
        "gauge",
        ("target", "check"),
        "1 where what an endpoint says it serves is what is declared, else 0; the worst of the target's arms.",
    ),
    MetricSpec(
        "identity_mismatch_since_timestamp_seconds",
        "gauge",
        ("target", "check"),
        "Since when the check does not match, in Unix time; the first of the target's arms.",
    ),
    MetricSpec(
        "identity_checked_timestamp_seconds",
        "gauge",
        ("target",),
        "When the target's identity was last checked, in Unix time; of several checks the one that is longest ago.",
    ),
    MetricSpec(
        "model_retirement_timestamp_seconds",
        "gauge",
        ("target", "arm"),
        "When the arm's model is to be shut down, in Unix time; the configuration's word or the provider's.",
    ),
    MetricSpec(
        "rollback_ready",
        "gauge",
        ("target",),
        "1 while the snapshot answers, and answers as well as the approved baseline, else 0; none before it was asked.",
    ),
    MetricSpec(
        "rollback_answered_ratio",
        "gauge",
        ("target",),
        "Share of the questions put to the snapshot in the last runs that have a usable answer.",
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
        "Share of the faults injected into copies of stored answers that detection caught, in the last self-test of "
        "the suite that caught least; fault healthy injects nothing and shows the suite that alarmed most.",
    ),
    MetricSpec(
        "api_requests_total",
        "counter",
        (*_CALL, "outcome"),
        "Calls made, retries included, by what became of the question: ok, or why it has no usable answer.",
    ),
    MetricSpec("api_tokens_total", "counter", (*_CALL, "type"), "Tokens by type: prompt or completion."),
    MetricSpec("api_spend_usd_total", "counter", _CALL, "US dollars spent on calls, judge and retries included."),
    MetricSpec(
        "budget_remaining_usd", "gauge", ("target",), "What is left of today's budget (UTC), reservations taken off."
    ),
    MetricSpec(
        "budget_remaining_requests",
        "gauge",
        ("target",),
        "What is left of today's requests (UTC), reservations taken off.",
    ),
    MetricSpec(
        "budget_refused_questions",
        "gauge",
        ("target",),
        "Questions of the last finished run of each suite, summed, that were not asked because the budget was spent.",
    ),
    MetricSpec("email_last_success_timestamp_seconds", "gauge", (), "When a mail was last sent, in Unix time."),
    MetricSpec("email_queued", "gauge", (), "Mails that wait to be sent."),
    MetricSpec(
        "email_oldest_queued_timestamp_seconds",
        "gauge",
        (),
        "When the oldest mail that waits was composed, in Unix time.",
    ),
    MetricSpec(
        "email_refused", "gauge", (), "Mails that were given up since one was last sent: refused for good, or too old."
    ),
    MetricSpec("email_interval_seconds", "gauge", (), "Seconds from one mail of the schedule to the next."),
    MetricSpec(
        "alert_limit",
        "gauge",
        ("alert", "limit"),
        "What the alert rules compare with, as this version judges itself: ratios from 0 to 1, times in seconds, "
        "run_intervals and mail_intervals in intervals.",
    ),
    MetricSpec("schedule_lag_seconds", "gauge", (), "How long the most overdue run waits to be worked on."),
    MetricSpec(
        "api_request_duration_seconds",
        "histogram",
        ("target", "arm"),
        "Duration of one attempt of a call, in seconds.",
        in_memory=True,
    ),
    MetricSpec(
        "config_last_reload_success", "gauge", (), "1 when the last reload was accepted, else 0.", in_memory=True
    ),
    MetricSpec(
        "config_last_reload_success_timestamp_seconds",
        "gauge",
        (),
        "When a configuration was last accepted, Unix time.",
        in_memory=True,
    ),
    MetricSpec(
        "last_tick_timestamp_seconds",
        "gauge",
        (),
        "When the clock last looked at the ledger, in Unix time.",
        in_memory=True,
    ),
    MetricSpec("tick_errors_total", "counter", (), "Looks at the ledger that failed.", in_memory=True),
    MetricSpec(
        "run_errors_total", "counter", (), "Executions of a run that failed and are tried again.", in_memory=True
    ),
    MetricSpec(
        "scrape_errors_total", "counter", (), "Scrapes that failed because the store could not be read.", in_memory=True
    ),
)


def markdown() -> str:
    """``docs/metrics.md``."""
    lines = [
        "# Metrics",
        "",
        "Written by `make docs`; do not edit.",
        "",
        "Served at `/metrics` in the Prometheus text format (OpenMetrics when asked for). Results come from the store,",
        "so a restart or a slow cadence leaves no gap. What is kept in memory only is marked *process*. `suite` is",
        "a suite's name, or `production` for the sample of production inputs; `arm` is `subject`, `base`,",
        "`judge-subject` or `judge-base`.",
        "What has not been measured has no series: an outage is never a reading.",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for spec in METRICS:
        labels = ", ".join(spec.labels) or "–"
        where = " *(process)*" if spec.in_memory else ""
        lines.append(f"| `{PREFIX}{spec.name}` | {spec.kind} | {labels} | {spec.help}{where} |")
    return "\n".join(lines) + "\n"
