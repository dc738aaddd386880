"""Alerts about one target or suite that carry no verdict: what prevents its monitoring now, or soon will."""

from typing import Final

from monitor.core.limits import CAUGHT, IDENTITY_SECONDS, PARTLY, PERIODS, RETIRES_SECONDS
from monitor.core.selftest_results import MUST_SEE
from monitor.report.metrics.alerts import templates as t
from monitor.report.metrics.alerts.spec import TARGET_PAGE, AlertSpec

_SUITE: Final = f"{t.TARGET},suite=%q"
_OF_SUITE: Final = f"{t.OF_TARGET} $labels.suite"

_ARM: Final = f"{t.TARGET},arm=%q"
_OF_ARM: Final = f"{t.OF_TARGET} $labels.arm"
_UNLISTED: Final = t.last("identity_match", 'check=%q,check="listed"')
"""The alert's own check, if it is that of the model's name; nothing for other checks."""
_LAST_DAY: Final = t.last("model_retirement_timestamp_seconds", _ARM)
TARGETS: Final = (
    AlertSpec(
        name="CliffwatchIdentityMismatch",
        severity="page",
        by=("target", "check"),
        when="last_over_time(cliffwatch_identity_match[1h]) == 0",
        title="{{ $labels.target }} does not serve the declared weights",
        summary="An endpoint does not serve the weights that were declared for it.",
        description=(
            '{{ $labels.target }} fails the identity check "{{ $labels.check }}": what is served or stored is not the '
            "adapter or base model that cliffwatch.yaml declares.",
            *t.lines("CliffwatchIdentityMismatch", "target", "check"),
            *t.own_line(
                "The endpoint does not know the model, and no question of the last run has a usable answer (100% "
                "unmeasured): users get errors, not another model.",
                f"{t.last('run_unmeasured_ratio', t.TARGET)} >= 1 and on (instance, target) {_UNLISTED} == 0",
                f"{t.OF_TARGET} $labels.check",
                otherwise="Users may get another model.",
            ),
            *t.own_line(f"Checked: {t.TIME}.", t.last("identity_checked_timestamp_seconds", t.TARGET), t.OF_TARGET),
        ),
        evidence=TARGET_PAGE,
    ),
    AlertSpec(
        name="CliffwatchUnmeasured",
        severity="ticket",
        by=("target", "suite"),
        when="""\
last_over_time(cliffwatch_run_unmeasured_ratio[1h])
  > on (job, instance) group_left () last_over_time(cliffwatch_alert_limit{limit="unmeasured_ratio"}[1h])
or
time() - last_over_time(cliffwatch_run_last_success_timestamp_seconds[1h])
  > last_over_time(cliffwatch_run_interval_seconds[1h])
    * on (job, instance) group_left () last_over_time(cliffwatch_alert_limit{limit="run_intervals"}[1h])
or
(
  last_over_time(cliffwatch_run_interval_seconds[1h]) <= 86400
    and last_over_time(cliffwatch_run_interval_seconds[1h] offset 2d)
  or
  last_over_time(cliffwatch_run_interval_seconds[1h])
    and last_over_time(cliffwatch_run_interval_seconds[1h] offset 2w)
)
unless on (job, instance, target, suite)
last_over_time(cliffwatch_run_last_success_timestamp_seconds[1h])
or
time() - last_over_time(cliffwatch_identity_checked_timestamp_seconds[1h])
  > on (job, instance) group_left () last_over_time(cliffwatch_alert_limit{limit="identity_age_seconds"}[1h])""",
        limits={"unmeasured_ratio": PARTLY, "run_intervals": PERIODS, "identity_age_seconds": IDENTITY_SECONDS},
        wait="5m",
        title="{{ $labels.target }} cannot be measured",
        summary="A target cannot be measured, so its drift would go undetected.",
        description=(
            "{{ with $labels.suite }}Target {{ $labels.target }} cannot be measured in suite {{ . }}: over a "
            "fifth of a run has no usable answer, or no run has succeeded for two periods. Its drift would go "
            "undetected. Missing answers never count as a measurement.",
            *t.own_line(
                f"How bad: {t.PERCENT} of the last run's questions have no usable answer.",
                f"100 * {t.last('run_unmeasured_ratio', _SUITE)}",
                _OF_SUITE,
            ),
            *t.own_line(
                f"Last usable run: {t.TIME}.",
                t.last("run_last_success_timestamp_seconds", _SUITE),
                _OF_SUITE,
                otherwise="Last usable run: none yet.",
            ),
            *t.info_lines(
                ("{{ .Labels.evidence }}", "Likely at fault: {{ .Labels.cause }}"),
                "CliffwatchUnmeasured",
                "target",
                "suite",
            ),
            "Do first: check whether the endpoint is also down for its users. If so, treat that as the incident. "
            "Otherwise run: cliffwatch ask {{ $labels.target }} PROBE --debug",
            "{{- else }}The identity of target {{ $labels.target }} has not been checked for two days: its server does "
            "not report it, or its adapter's files are missing. Other weights than declared would go undetected. The "
            "last known result stays in force.",
            *t.own_line(
                f"Last checked: {t.TIME}.", t.last("identity_checked_timestamp_seconds", t.TARGET), t.OF_TARGET
            ),
            "Do first: cliffwatch identify {{ $labels.target }}, which checks again and shows what cannot be read, and "
            "why.{{ end }}",
        ),
        evidence=TARGET_PAGE,
    ),
    AlertSpec(
        name="CliffwatchBudgetExhausted",
        severity="ticket",
        when="last_over_time(cliffwatch_budget_refused_questions[1h]) > 0",
        wait="5m",
        title="{{ $labels.target }} has spent its budget",
        summary="A target's budget is spent before its questions are asked.",
        description=(
            "Target {{ $labels.target }} has spent its daily budget, so some of its questions are not asked. Its drift "
            "is detected later, or not at all. Nothing is spent beyond the budget.",
            *t.own_line(
                f"How bad: {t.NUMBER} questions of its last runs were not asked.",
                t.last("budget_refused_questions", t.TARGET),
                t.OF_TARGET,
            ),
            *t.first_seen("CliffwatchBudgetExhausted", t.TARGET, t.OF_TARGET),
            *t.own_line(f"Left today: {t.MONEY} USD.", t.last("budget_remaining_usd", t.TARGET), t.OF_TARGET),
            *t.own_line(
                f"Left today: {t.NUMBER} requests.", t.last("budget_remaining_requests", t.TARGET), t.OF_TARGET
            ),
            "Do first: check whether the cost grew by itself (retries, longer answers, a new price). If so, find the "
            "cause. Otherwise raise the target's budget in cliffwatch.yaml, or ask fewer probes or replicates.",
        ),
        evidence=TARGET_PAGE,
    ),
    AlertSpec(
        name="CliffwatchModelRetiring",
        severity="ticket",
        by=("target", "arm"),
        when="""\
last_over_time(cliffwatch_model_retirement_timestamp_seconds[1h]) - time()
  < on (job, instance) group_left () last_over_time(cliffwatch_alert_limit{limit="notice_seconds"}[1h])""",
        limits={"notice_seconds": RETIRES_SECONDS},
        wait="1h",
        title="{{ $labels.target }} depends on a model that retires soon",
        summary="A model that a target depends on retires soon.",
        description=(
            "The {{ $labels.arm }} model of target {{ $labels.target }} will be shut down by its provider.",
            *t.info_lines(("What changed: {{ .Labels.what }}",), "CliffwatchModelRetiring", "target", "arm"),
            *t.own_line(f"When: {t.DAY}.", _LAST_DAY, _OF_ARM),
            *t.own_line(f"Days left: {t.NUMBER}.", f"floor(({_LAST_DAY} - time()) / 86400)", _OF_ARM),
            "Do first: choose the successor, add it as a target of its own next to this one, and approve a baseline "
            "for it before that day. If the day has passed, check whether the model still answers, and which model "
            "does.",
        ),
        evidence=TARGET_PAGE,
    ),
    AlertSpec(
        name="CliffwatchRollbackNotReady",
        severity="ticket",
        when="last_over_time(cliffwatch_rollback_ready[1h]) == 0",
        wait="5m",
        title="{{ $labels.target }} has no version ready to roll back to",
        summary="The version to roll back to does not answer as expected.",
        description=(
            "The snapshot of target {{ $labels.target }} (the version to roll back to) is not ready. If the target "
            "drifted today, a rollback would not help.",
            *t.own_line(
                f"How bad: it gave a usable answer to {t.PERCENT} of its questions",
                f"100 * {t.last('rollback_answered_ratio', t.TARGET)}",
                t.OF_TARGET,
                more=(
                    *t.going_on(
                        f"; {t.PERCENT} of the answers pass their checks",
                        f"100 * {t.last('rollback_pass_ratio', t.TARGET)}",
                        t.OF_TARGET,
                    ),
                    '{{- "." }}',
                ),
            ),
            *t.first_seen("CliffwatchRollbackNotReady", t.TARGET, t.OF_TARGET),
            "Do first: send a request to the snapshot's endpoint yourself. Is it still deployed? Is its key valid? Was "
            "its version retired? Restore it, or configure another one under snapshot in cliffwatch.yaml.",
        ),
        evidence=TARGET_PAGE,
    ),
    AlertSpec(
        name="CliffwatchNotArmed",
        severity="ticket",
        by=("target", "suite"),
        when="""\
last_over_time(cliffwatch_baselines{status="approved"}[1h]) == 0
unless ignoring (status)
last_over_time(cliffwatch_baselines{status="capturing"}[1h]) > 0""",
        wait="1h",
        title="{{ $labels.target }} has no approved baseline",
        summary="A target has no approved baseline, so no alarm can be raised for it.",
        description=(
            "Target {{ $labels.target }} has no approved baseline for suite {{ $labels.suite }}, and none is being "
            "captured. Its answers are not compared, so it looks healthy whatever it serves.",
            *t.own_line(
                "Why: the suite changed after its baseline was approved, so that baseline no longer applies.",
                t.last("baselines", f'{_SUITE},status="outdated"') + " > 0",
                _OF_SUITE,
            ),
            *t.own_line(
                f"Captured baselines that wait for approval: {t.NUMBER}.",
                t.last("baselines", f'{_SUITE},status="captured"'),
                _OF_SUITE,
            ),
            "Do first: cliffwatch baseline show {{ $labels.target }}. Read the answers of a captured baseline and "
            "approve it, or capture one: cliffwatch baseline capture {{ $labels.target }} --days 14",
        ),
        evidence=TARGET_PAGE,
    ),
    AlertSpec(
        name="CliffwatchSelfTestFailed",
        severity="ticket",
        by=("target", "fault"),
        when=f"""\
last_over_time(cliffwatch_selftest_detection_ratio{{fault=~"{"|".join(MUST_SEE)}"}}[1h])
  < on (job, instance) group_left () last_over_time(cliffwatch_alert_limit{{limit="detection_ratio"}}[1h])""",
        limits={"detection_ratio": CAUGHT},
        wait="5m",
        title="{{ $labels.target }} could be lost without an alarm",
        summary="A lost fine-tune, or answers that are cut off, would go undetected today.",
        description=(
            "In the self-test of target {{ $labels.target }} the fault {{ $labels.fault }} was put into copies of its "
            "stored answers",
            *t.going_on(
                f", and only {t.PERCENT} of the trials raised an alarm",
                f"100 * {t.last('selftest_detection_ratio', f'{t.TARGET},fault=%q')}",
                f"{t.OF_TARGET} $labels.fault",
            ),
            '{{- "." }} The absence of alarms for this target means little until this is fixed.',
            *t.first_seen("CliffwatchSelfTestFailed", f"{t.TARGET},fault=%q", f"{t.OF_TARGET} $labels.fault"),
            "Do first: cliffwatch calibrate {{ $labels.target }}, which shows what is missing: usually a longer "
            "baseline, or more answers per run.",
        ),
        evidence=TARGET_PAGE,
    ),
)
"""Alerts about one target or suite."""
