"""Alerts about the daemon itself."""

from typing import Final

from monitor.core.limits import ASKS_NOTHING_SECONDS, MAIL_WAITS_SECONDS, PERIODS, TICK_SECONDS
from monitor.report.metrics.alerts import templates as t
from monitor.report.metrics.alerts.spec import AlertSpec

DAEMON: Final = (
    AlertSpec(
        name="CliffwatchConfigReloadFailed",
        severity="ticket",
        by=(),
        when="last_over_time(cliffwatch_config_last_reload_success[1h]) == 0",
        wait="10m",
        title="Cliffwatch runs with an older configuration than its file",
        summary="Cliffwatch runs with an older configuration than its file.",
        description=(
            "The last reload of {{ $labels.instance }} was refused because cliffwatch.yaml, or a suite that it names, "
            "has an error. The previous configuration stays in force. The daemon would not start with the new one.",
            *t.own_line(
                f"In force since: {t.TIME}.",
                t.last("config_last_reload_success_timestamp_seconds", t.DAEMON),
                t.OF_DAEMON,
            ),
            "Do first: cliffwatch check, which lists every problem with its line. Correct the file and reload.",
        ),
        evidence=f"{t.WEB}/",
    ),
    AlertSpec(
        name="CliffwatchEmailFailed",
        severity="ticket",
        by=(),
        when="""\
time() - last_over_time(cliffwatch_email_oldest_queued_timestamp_seconds[1h])
  > on (job, instance) last_over_time(cliffwatch_alert_limit{limit="waiting_seconds"}[1h])
  and on (job, instance) last_over_time(cliffwatch_email_queued[1h]) > 0
or
last_over_time(cliffwatch_email_refused[1h]) > 0
or
time() - last_over_time(cliffwatch_email_last_success_timestamp_seconds[1h])
  > last_over_time(cliffwatch_email_interval_seconds[1h])
    * on (job, instance) last_over_time(cliffwatch_alert_limit{limit="mail_intervals"}[1h])
or
(
  last_over_time(cliffwatch_email_interval_seconds[1h]) <= 86400
    and last_over_time(cliffwatch_email_interval_seconds[1h] offset 2d)
  or
  last_over_time(cliffwatch_email_interval_seconds[1h]) <= 7 * 86400
    and last_over_time(cliffwatch_email_interval_seconds[1h] offset 2w)
)
unless on (job, instance)
last_over_time(cliffwatch_email_last_success_timestamp_seconds[1h])""",
        limits={"waiting_seconds": MAIL_WAITS_SECONDS, "mail_intervals": PERIODS},
        wait="10m",
        title="The summary e-mail cannot be delivered",
        summary="The summary e-mail cannot be delivered.",
        description=(
            "{{ $labels.instance }} cannot deliver the summary e-mail. Alerts do not depend on it.",
            *t.own_line(
                f"Mails waiting: {t.NUMBER}",
                t.last("email_queued", t.DAEMON) + " > 0",
                t.OF_DAEMON,
                more=t.going_on(
                    f", the oldest since {t.TIME}.",
                    t.last("email_oldest_queued_timestamp_seconds", t.DAEMON),
                    t.OF_DAEMON,
                ),
            ),
            *t.own_line(
                f"Mails given up since the last delivery: {t.NUMBER}.",
                t.last("email_refused", t.DAEMON) + " > 0",
                t.OF_DAEMON,
            ),
            *t.own_line(
                f"Last delivered: {t.TIME}.",
                t.last("email_last_success_timestamp_seconds", t.DAEMON),
                t.OF_DAEMON,
                otherwise="Last delivered: never.",
            ),
            "Do first: cliffwatch report --send, which tries again and shows the mail server's reply (login, "
            "certificate, refused address).",
        ),
        evidence=f"{t.WEB}/",
    ),
    AlertSpec(
        name="CliffwatchClockAhead",
        severity="ticket",
        by=(),
        when="last_over_time(cliffwatch_clock_ahead_seconds[1h]) > 0",
        wait="5m",
        title="The store of Cliffwatch has times in the future",
        summary="The store of Cliffwatch has times in the future.",
        description=(
            "A run in the store of {{ $labels.instance }} has a slot or a success in the future. A clock was ahead "
            "when it was made, or the daemon's clock is behind now. What is due now is asked all the same.",
            *t.own_line(
                f"Latest time: {t.TIME}.", f"time() + {t.last('clock_ahead_seconds', t.DAEMON)} > time()", t.OF_DAEMON
            ),
            "Do first: compare the clock of the daemon's machine with another one (timedatectl), and correct it.",
        ),
        evidence=f"{t.WEB}/",
    ),
    AlertSpec(
        name="CliffwatchDown",
        severity="page",
        by=(),
        when="""\
absent(up{job="cliffwatch"})
or
up{job="cliffwatch"} == 0
or
avg_over_time(up{job="cliffwatch"}[15m]) < 0.7
or
time() - cliffwatch_last_tick_timestamp_seconds
  > on (job, instance) last_over_time(cliffwatch_alert_limit{limit="tick_age_seconds"}[1h])
or
cliffwatch_asks_nothing_seconds
  > on (job, instance) last_over_time(cliffwatch_alert_limit{limit="asks_nothing_seconds"}[1h])""",
        held=False,
        limits={"tick_age_seconds": TICK_SECONDS, "asks_nothing_seconds": ASKS_NOTHING_SECONDS},
        wait="5m",
        title="Cliffwatch is down: nothing is monitored",
        summary="Cliffwatch is down or its scheduler is stuck, so nothing is monitored.",
        description=(
            "{{ with $labels.instance }}Cliffwatch at {{ . }} cannot be scraped, keeps restarting, has not checked "
            "its schedule for five minutes, or asks nothing although runs are due.{{ else }}Prometheus has no scrape "
            'target with job="cliffwatch".{{ end }} No drift is detected until it is back. The endpoints themselves '
            "are not affected. Raised alarms stay raised.",
            *t.own_line(
                f"Runs are due, and nothing was asked for: {t.NUMBER} minutes.",
                f"floor(cliffwatch_asks_nothing_seconds{{{t.DAEMON}}} / 60) > 5",
                t.OF_DAEMON,
            ),
            *t.since(
                f"max({t.last('last_tick_timestamp_seconds', t.DAEMON)}) or "
                f'min(ALERTS_FOR_STATE{{alertname="CliffwatchDown",{t.DAEMON}}})',
                f"{t.OF_DAEMON} {t.OF_DAEMON}",
            ),
            "Do first: on its machine, check whether the process runs (systemctl, docker ps or kubectl get pods). Read "
            "its last log lines and restart it. Exit code 2 means the configuration (cliffwatch check); 3 means the "
            "store (disk full, database unavailable).{{ with $labels.instance }} Then: curl -s "
            "http://{{ . }}/readyz{{ else }} If it runs, check its scrape job in Prometheus.{{ end }}",
            "It resumes where it stopped; nothing is lost. More: runbooks/CliffwatchDown.md, next to these rules.",
        ),
        evidence="{{ $externalURL }}/targets",
        runbook='{{ with printf "cliffwatch_web_info{job=%q,instance=%q}" $labels.job $labels.instance | query }}'
        '{{ . | first | label "url" }}/runbooks/CliffwatchDown{{ end }}',
        comment="The third condition is for a daemon that keeps crashing: each start answers a scrape, which would "
        "restart the wait of 5 minutes.",
    ),
    AlertSpec(
        name="CliffwatchWatchdog",
        severity="none",
        by=(),
        when="vector(1)",
        held=False,
        title="Notifications from Prometheus to people work",
        summary="Notifications from Prometheus to people work.",
        description=(
            "This alert always fires, on purpose. It is for a dead man's switch outside this machine, which notifies a "
            "person when the alert stops arriving.",
            'Do first: nothing, while it arrives. If you see it as a page or a ticket, route severity="none" to that '
            "switch. More: runbooks/CliffwatchWatchdog.md, next to these rules.",
        ),
        evidence="{{ $externalURL }}/alerts",
        runbook='{{ with query "cliffwatch_web_info{job=\\"cliffwatch\\"}" }}{{ . | first | label "url" }}'
        "/runbooks/CliffwatchWatchdog{{ end }}",
    ),
)
"""Alerts about the daemon itself."""
