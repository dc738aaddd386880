"""Operations: does Cliffwatch itself work, and what does it cost?"""

from typing import Any, Final

from dashboards import UIDS
from dashboards.panels import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    JOB,
    RED,
    VIOLET,
    WARNINGS,
    Column,
    Query,
    board,
    evidence,
    lines,
    number,
    selector,
)
from dashboards.states import ARMS, OUTCOMES, limit, unmeasured
from dashboards.tables import listing
from monitor.core.limits import PARTLY, PERIODS, TICK_SECONDS

QUESTION: Final = "Does Cliffwatch itself work: is everything measured, on time and within its budget?"

DAEMON: Final = JOB + ', instance=~"$instance"'
CHOSEN: Final = DAEMON + ', target=~"$target"'
ROW: Final = '${__data.fields["Target"]}'
TO_TARGET: Final = board(UIDS["target"], "What changed, and when", ROW)
TO_PAGE: Final = evidence(f"/targets/{ROW}")
NO_DATA: Final = "no daemon is scraped"
NOT_ASKED: Final = "nothing asked yet"
NO_BUDGET: Final = "no target has a budget"
NO_MAIL: Final = "no mail is configured"
NO_SAMPLE: Final = "no target samples production inputs"
KEPT: Final = ', outcome="kept"'
RATE: Final = "$__rate_interval"


def panels() -> list[tuple[str | None, list[Any]]]:
    """Rows with their titles; the first row has none."""
    return [
        (None, _glance()),
        ("Is everything measured, and on time?", _readings()),
        ("Samples of production inputs", _samples()),
        ("Calls", _calls()),
        ("Budget and spend", _money()),
        ("The daemon", _daemon()),
    ]


def _glance() -> list[Any]:
    mail, every = (selector(f"email_{one}", DAEMON) for one in ("last_success_timestamp_seconds", "interval_seconds"))
    calls, failed = (f"sum(increase({selector('api_requests_total', CHOSEN + more)}[1d]))" for more in ("", _NOT_OK))
    return [
        number(
            "Scraped", "Does every daemon answer its scrapes? Runbook: CliffwatchDown.",
            f"min(up{{{DAEMON}}})", "none", [(None, GREY)], empty="no such job",
            names={1: ("up", GREEN), 0: ("down", RED)},
        ),
        number(
            "Last tick", "Seconds since the daemon last checked which runs are due. Runbook: CliffwatchDown.",
            f"time() - min({selector('last_tick_timestamp_seconds', DAEMON)})", "s",
            [(None, GREEN), (60, AMBER), (TICK_SECONDS, RED)], empty=NO_DATA,
        ),
        number(
            "Schedule lag", "How long the most overdue run has waited to be worked on.",
            f"max({selector('schedule_lag_seconds', DAEMON)})", "s", [(None, GREEN), (300, AMBER), (3600, RED)],
            empty=NO_DATA,
        ),
        number(
            "Suites not measured",
            "Number of suites whose last run has no usable answer to over a fifth of its questions, or that had no "
            "usable run for two periods. Runbook: CliffwatchUnmeasured.",
            f"sum({unmeasured(CHOSEN)})", "none", WARNINGS, empty=NOT_ASKED,
        ),
        number(
            "Questions over budget",
            "Questions of the last runs that were not asked because a budget was spent. "
            "Runbook: CliffwatchBudgetExhausted.",
            f"sum(max by (target) ({selector('budget_refused_questions', CHOSEN)}))", "none", WARNINGS, empty=NO_BUDGET,
        ),
        number(
            "Calls failed, last day", "Share of the last day's calls without a usable answer.",
            f"({failed} or 0 * {calls}) / ({calls} > 0)", "percentunit",
            [(None, GREEN), (0.05, AMBER), (0.2, RED)], empty="nothing asked in the last day", decimals=1,
        ),
        number(
            "Configuration", "Was the last reload accepted? Runbook: CliffwatchConfigReloadFailed.",
            f"min({selector('config_last_reload_success', DAEMON)})", "none", [(None, GREY)], empty=NO_DATA,
            names={1: ("in force", GREEN), 0: ("refused", AMBER)},
        ),
        number(
            "Last mail",
            "Time since the summary e-mail was last sent, in periods of its schedule. A ticket opens at two. "
            "Runbook: CliffwatchEmailFailed.",
            f"max((time() - {mail}) / {every})", "suffix:periods", [(None, GREEN), (PERIODS, AMBER)],
            empty=NO_MAIL, decimals=1,
        ),
    ]  # fmt: skip


RUNS: Final = {"measured": GREEN, "partial": AMBER, "unmeasured": VIOLET}

_NOT_OK: Final = ', outcome!="ok"'


def _readings() -> list[Any]:
    by = "target, suite"
    age = f"max by ({by}) (time() - {selector('run_last_success_timestamp_seconds', CHOSEN)})"
    tried = f"max by ({by}) (time() - {selector('run_last_attempt_timestamp_seconds', CHOSEN)})"
    period = f"max by ({by}) ({selector('run_interval_seconds', CHOSEN)})"
    share = f"max by ({by}) ({selector('run_unmeasured_ratio', CHOSEN)})"
    stale = f"topk(50, {age} / {period})"
    return [
        listing(
            "Suites with the oldest measurements",
            "The 50 suites whose last usable run is oldest, in periods of their schedule. A ticket opens at two. "
            "Runbook: CliffwatchUnmeasured.",
            [
                Column("Target", label="target", links=[TO_TARGET, TO_PAGE]),
                Column("Suite", label="suite"),
                Column("Periods", stale, decimals=1, width=90, steps=[(None, GREEN), (1.5, AMBER), (PERIODS, RED)]),
                Column("Measured, ago", f"{age} and {stale}", unit="s", decimals=1, width=110),
                Column("Tried, ago", f"{tried} and {stale}", unit="s", decimals=1, width=110),
                Column("Unmeasured", f"{share} and {stale}", unit="percentunit", decimals=0, width=105,
                       steps=[(None, GREEN), (PARTLY, AMBER)]),
            ],
            empty=NOT_ASKED,
            first="Periods",
            width=12,
            height=9,
        ),
        lines(
            "Unmeasured share of the last runs",
            "Questions without a usable answer: the mean over the chosen suites, and the worst suite. A ticket opens "
            "at the dashed line. Runbook: CliffwatchUnmeasured.",
            [
                Query(f"max({selector('run_unmeasured_ratio', CHOSEN)})", "worst suite", color=VIOLET),
                Query(f"avg({selector('run_unmeasured_ratio', CHOSEN)})", "mean", color=BLUE),
                Query(f"min({limit('unmeasured_ratio')})", "ticket", "reference", AMBER),
            ],
            "percentunit", empty=NOT_ASKED, width=6, height=9, low=0, high=1,
        ),
        lines(
            "Finished runs per day",
            "By outcome: measured (every answer usable), partial, unmeasured (none). Runbook: CliffwatchUnmeasured.",
            [
                Query(f"sum by (outcome) (increase({selector('runs_total', CHOSEN)}[1d]))", "{{outcome}}"),
            ],
            "none", empty=NOT_ASKED, width=6, height=9, low=0, decimals=0, colors=RUNS,
        ),
    ]  # fmt: skip


def _samples() -> list[Any]:
    left, unread = (
        f"max by (target) ({selector('sample_left_out_ratio', CHOSEN)})",
        f"sum by (target) ({selector('sample_unread_files', CHOSEN)})",
    )
    requests = selector("sample_requests", CHOSEN)
    return [
        listing(
            "Requests left out",
            "Share of the requests that the last sample could not ask, because they are unsupported, truncated or "
            "malformed. The run's page names reasons and places.",
            [
                Column("Target", label="target", links=[TO_TARGET, TO_PAGE]),
                Column("Left out", left, unit="percentunit", decimals=0, steps=[(None, GREEN), (PARTLY, AMBER)]),
                Column("Kept", f'sum by (target) ({selector("sample_requests", CHOSEN + KEPT)})', decimals=0),
                Column("Files not read", unread, decimals=0, steps=[(None, GREEN), (1, AMBER)]),
            ],
            empty=NO_SAMPLE, key="target", first="Left out", width=12, height=7,
        ),
        lines(
            "Requests of the last samples, by outcome",
            "kept, duplicates, not drawn; left out: unsupported, truncated, malformed, outside the period; and those "
            "that do not match where.",
            [Query(f"sum by (outcome) ({requests})", "{{outcome}}")],
            "none", empty=NO_SAMPLE, width=12, height=7, low=0, decimals=0,
        ),
    ]  # fmt: skip


def _calls() -> list[Any]:
    requests = selector("api_requests_total", CHOSEN)
    limited = selector("api_requests_total", CHOSEN + ', outcome=~"rate_limited|quota"')
    everyone, refused = (f"sum by (provider) (increase({one}[1d]))" for one in (requests, limited))
    buckets = f"sum by (le, arm) (rate({selector('api_request_duration_seconds_bucket', CHOSEN)}[{RATE}]))"
    return [
        lines(
            "Calls by outcome",
            "Calls per hour, including retries, by outcome of the question: ok, or why it has no usable answer.",
            [Query(f"sum by (outcome) (rate({requests}[{RATE}])) * 3600", "{{outcome}}")],
            "none", empty=NOT_ASKED, width=6, low=0, colors=OUTCOMES,
        ),
        lines(
            "Rate limits",
            "Share of the last day's calls whose question failed at a provider's rate limit or quota. Lower "
            "requests_per_minute, or ask the provider for a higher limit.",
            [Query(f"({refused} or 0 * {everyone}) / ({everyone} > 0)", "{{provider}}")],
            "percentunit", empty=NOT_ASKED, width=6, low=0, decimals=0,
        ),
        lines(
            "Duration of a call",
            "Median and (dashed) 95th percentile of one attempt, by arm.",
            [
                Query(f"histogram_quantile(0.5, {buckets})", "{{arm}}"),
                Query(f"histogram_quantile(0.95, {buckets})", "{{arm}} p95", "reference"),
            ],
            "s", empty="no call since the daemon started", width=6, low=0, joined=True,
            colors={**ARMS, **{f"{arm} p95": color for arm, color in ARMS.items()}},
        ),
        lines(
            "Tokens per hour",
            "Prompt and completion tokens, of all arms.",
            [Query(f"sum by (type) (rate({selector('api_tokens_total', CHOSEN)}[{RATE}])) * 3600", "{{type}}")],
            "short", empty=NOT_ASKED, width=6, low=0,
        ),
    ]  # fmt: skip


def _money() -> list[Any]:
    spend = selector("api_spend_usd_total", CHOSEN)
    usd, asked, refused = (
        f"max by (target) ({selector(one, CHOSEN)})"
        for one in ("budget_remaining_usd", "budget_remaining_requests", "budget_refused_questions")
    )
    return [
        lines(
            "Dollars per day, by arm",
            "Spent in the last 24 hours, including the judge's calls and all retries.",
            [Query(f"sum by (arm) (increase({spend}[1d]))", "{{arm}}")],
            "currencyUSD", empty=NOT_ASKED, width=8, low=0, decimals=2, colors=ARMS,
        ),
        listing(
            "Budgets left today",
            "What is left today (UTC), less reservations, and the questions of the last runs that were not asked "
            "because the budget was spent; most of those first. Runbook: CliffwatchBudgetExhausted.",
            [
                Column("Target", label="target", links=[TO_TARGET, TO_PAGE]),
                Column("Dollars left", usd, unit="currencyUSD", decimals=2, steps=[(None, RED), (0.05, GREEN)]),
                Column("Requests left", asked, unit="none", decimals=0, steps=[(None, RED), (1, GREEN)]),
                Column("Not asked", refused, decimals=0, steps=[(None, GREEN), (1, AMBER)]),
                Column("Spent, 24 h", f"sum by (target) (increase({spend}[1d]))", unit="currencyUSD", decimals=2),
            ],
            empty=NO_BUDGET, key="target", first="Not asked", width=16, height=8,
        ),
    ]  # fmt: skip


def _daemon() -> list[Any]:
    counted = (("tick_errors_total", "ticks"), ("run_errors_total", "runs"), ("scrape_errors_total", "scrapes"))
    reloaded = selector("config_last_reload_success_timestamp_seconds", DAEMON)
    oldest, queued = (selector(f"email_{one}", DAEMON) for one in ("oldest_queued_timestamp_seconds", "queued"))
    age = f"(time() - min({oldest})) / 3600 or 0 * sum({queued})"
    return [
        lines(
            "Lag",
            "Wait of the most overdue run, time since the daemon last checked which runs are due, time for which it "
            "asked nothing although runs were due, and times in the store that lie in the future. "
            "Runbook: CliffwatchDown. Runbook: CliffwatchClockAhead.",
            [
                Query(f"max({selector('schedule_lag_seconds', DAEMON)})", "most overdue run", color=BLUE),
                Query(f"time() - min({selector('last_tick_timestamp_seconds', DAEMON)})", "last tick", color=GREY),
                Query(f"max({selector('asks_nothing_seconds', DAEMON)})", "nothing asked", color=RED),
                Query(f"max({selector('clock_ahead_seconds', DAEMON)}) > 0", "time in the future", color=AMBER),
            ],
            "s", empty=NO_DATA, width=5, low=0, height=7,
        ),
        lines(
            "Errors per hour",
            "Failed checks of the ledger, executions of a run, and scrapes. Runs are retried. "
            "Runbook: CliffwatchDown.",
            [Query(f"sum(rate({selector(metric, DAEMON)}[{RATE}])) * 3600", name) for metric, name in counted],
            "none", empty=NO_DATA, width=5, low=0, height=7, at_least=1,
        ),
        lines(
            "Queued mail",
            "Mails that wait to be sent, the age of the oldest in hours (dashed), and mails given up since the last "
            "one was sent. Runbook: CliffwatchEmailFailed.",
            [
                Query(f"sum({queued})", "queued", color=BLUE),
                Query(age, "age of the oldest, in hours", "reference", AMBER),
                Query(f"sum({selector('email_refused', DAEMON)})", "given up", color=RED),
            ],
            "none", empty=NO_MAIL, width=5, low=0, height=7, at_least=1,
        ),
        listing(
            "Daemons",
            "Version, address, and time since the configuration in force was loaded. "
            "Runbook: CliffwatchConfigReloadFailed.",
            [
                Column("Daemon", label="instance"),
                Column("Version", f"max by (instance, version) ({selector('build_info', DAEMON)})", label="version",
                       width=75),
                Column("Pages", f"max by (instance, url) ({selector('web_info', DAEMON)})", label="url",
                       links=[evidence("/")]),
                Column("Loaded, ago", f"max by (instance) (time() - {reloaded})", unit="s", decimals=1, width=95),
            ],
            empty=NO_DATA, key="instance", first="Daemon", descending=False, width=9, height=7,
        ),
    ]  # fmt: skip
