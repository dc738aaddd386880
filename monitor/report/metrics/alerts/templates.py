"""Text, PromQL and Go templates that several alert rules share.

The only logic in a template is "print this if the metric has a value". The daemon decides what is suspected, how bad it
is and what to do; the labels of ``cliffwatch_alarm_info`` carry it.
"""

from typing import Final

DAEMON: Final = "job=%q,instance=%q"
TARGET: Final = f"{DAEMON},target=%q"
"""Label matchers as ``printf`` fills them in from ``OF_DAEMON`` and ``OF_TARGET``."""
OF_DAEMON: Final = "$labels.job $labels.instance"
OF_TARGET: Final = f"{OF_DAEMON} $labels.target"

NUMBER: Final = '{{ . | first | value | printf "%.0f" }}'
PERCENT: Final = '{{ . | first | value | printf "%.0f%%" }}'
MONEY: Final = '{{ . | first | value | printf "%.2f" }}'
TIME: Final = '{{ (. | first | value | toTime).Format "2006-01-02 15:04" }} UTC'
DAY: Final = '{{ (. | first | value | toTime).Format "2006-01-02" }} UTC'

AGO: Final = 'humanizeDuration | printf "%s ago" | reReplaceAll " 0s ago" " ago" | reReplaceAll "^0s ago" "just now"'
"""Pipes a number of seconds, in whole minutes, into words."""

_ADDRESS: Final = (
    '"cliffwatch_web_info{job=%[1]q,instance=%[2]q} or on (job, instance) '
    'last_over_time(cliffwatch_web_info{job=%[1]q,instance=%[2]q}[1d])"'
)
WEB: Final = (
    f'{{{{ with printf {_ADDRESS} {OF_DAEMON} | query }}}}{{{{ . | first | label "url" }}}}'
    "{{ else }}http://{{ $labels.instance }}{{ end }}"
)
"""Address of the daemon's pages, as the daemon reports it; if that is unknown, the address that is scraped."""

_LINES: Final = r'"\nWhat changed: %s\nHow bad: %s\nSince: %s, %s.\nEvidence: %s\nLikely at fault: %s\nDo first: %s"'
_LABELS: Final = (
    f".Labels.what .Labels.how_bad .Labels.since (.Value | {AGO}) .Labels.evidence .Labels.cause .Labels.advice"
)
NOT_TOLD: Final = "open the evidence link, which shows what changed, how bad it is, since when and what to do."
"""The first step if the daemon's text is unknown, because the daemon was unavailable for over a day."""

_AGE: Final = (
    '"floor((time() - (%[1]s or on () (last_over_time(%[1]s[1d]) and '
    'topk(1, max_over_time(timestamp(%[1]s)[1d:1m]))))) / 60) * 60"'
)
"""Seconds since the change began, with the labels of the info series, whose value is the time when the change began.

Uses the current series. If there is none, because the daemon is unavailable, uses the last known one: each change of a
label makes a new series, so there can be several within a day.
"""


def info_lines(alert: str, *by: str) -> str:
    """The template's query for the info series of an alert. ``by``: the labels that distinguish the alert's series."""
    labels = ("job", "instance", *by)
    series = ",".join(f"{label}=%q" for label in ("alert", *labels))
    values = " ".join(f"$labels.{label}" for label in labels)
    return f'printf {_AGE} (printf "cliffwatch_alarm_info{{{series}}}" "{alert}" {values}) | query'


def lines(alert: str, *by: str) -> str:
    """The description's lines from the info series, each with its name in front."""
    return (
        f"{{{{- range {info_lines(alert, *by)} }}}}{{{{ printf {_LINES} {_LABELS} }}}}"
        rf'{{{{ else }}}}{{{{ "\n" }}}}Do first: {NOT_TOLD}{{{{ end }}}}'
    )


def lead(alert: str, *by: str) -> str:
    """The end of a link: the leading signal, if known."""
    return f"{{{{ range {info_lines(alert, *by)} }}}}/{{{{ .Labels.signal }}}}{{{{ end }}}}"


def known(text: str, query: str, values: str, otherwise: str = "") -> str:
    """``text`` if ``query`` has a result, else ``otherwise``. ``values`` fill in the ``%q`` of the query."""
    other = f"{{{{ else }}}}{otherwise}" if otherwise else ""
    return f'{{{{ with printf "{query}" {values} | query }}}}{text}{other}{{{{ end }}}}'


def last(metric: str, matchers: str) -> str:
    """PromQL for the last value of a metric within a day."""
    return f"last_over_time(cliffwatch_{metric}{{{matchers}}}[1d])"


def own_line(text: str, query: str, values: str, otherwise: str = "") -> str:
    """``known`` as a line of its own, without an empty line if there is no result."""
    return "{{- " + known(rf"{_NEW}{text}", query, values, otherwise and _NEW + otherwise)[3:]


_NEW: Final = r'{{ "\n" }}'


def first_seen(alert: str, matchers: str, values: str) -> str:
    """The line with the time at which Prometheus first saw the alert, for alerts whose start only Prometheus knows."""
    query = rf"min(ALERTS_FOR_STATE{{alertname=\"{alert}\",{matchers}}})"
    return own_line(f"Since: {SINCE}", query, values)


SINCE: Final = (
    '{{ $since := . | first | value }}{{ ($since | toTime).Format "Mon 2006-01-02 15:04" }} UTC, '
    '{{ range printf "floor(vector(time() - %f) / 60) * 60" $since | query }}{{ .Value | '
    f"{AGO} }}}}{{{{ end }}}}."
)
"""A time from a query, and how long ago it is."""

JUDGE_ITSELF: Final = (
    '{{ if eq $labels.target "judge" }} This target is the judge itself, tested on its anchors. CliffwatchJudgeDrift '
    "shows whether it still agrees with people.{{ end }}"
)
AGREEMENT: Final = own_line(
    f"Judge: it agrees with people's verdicts on {PERCENT} of its anchors.",
    f"100 * {last('judge_agreement_ratio', DAEMON)}",
    OF_DAEMON,
)
