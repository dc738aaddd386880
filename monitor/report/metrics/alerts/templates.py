"""The pieces of text, PromQL and Go template that several alert rules share.

Templates hold no logic beyond "print this where the metric has a value". What is suspected, how bad it is and what to
do is decided by the daemon and arrives in the labels of ``cliffwatch_alarm_info``.
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
"""Where people reach the daemon's pages: its own word, as long as it is known, else where it is scraped."""

_LINES: Final = r'"\nWhat changed: %s\nHow bad: %s\nSince: %s, %s.\nEvidence: %s\nLikely at fault: %s\nDo first: %s"'
_LABELS: Final = (
    f".Labels.what .Labels.how_bad .Labels.since (.Value | {AGO}) .Labels.evidence .Labels.cause .Labels.advice"
)
NOT_TOLD: Final = "open the evidence link, which says what changed, how bad it is, since when and what to do."
"""What to do first where the daemon's own words are not known: it was gone for over a day."""

_AGE: Final = (
    '"floor((time() - (%[1]s or on () (last_over_time(%[1]s[1d]) and '
    'topk(1, max_over_time(timestamp(%[1]s)[1d:1m]))))) / 60) * 60"'
)
"""Seconds since the change began, with the labels of the info series; the value of that series is when it began.

The series that is there now; where none is, because the daemon is away, the one that was seen last. Each change of a
label makes a new series, so several of a day may be remembered.
"""


def info_lines(alert: str, *by: str) -> str:
    """The template's query for the info series of an alert; ``by``: the alert's labels that tell its series apart."""
    labels = ("job", "instance", *by)
    series = ",".join(f"{label}=%q" for label in ("alert", *labels))
    values = " ".join(f"$labels.{label}" for label in labels)
    return f'printf {_AGE} (printf "cliffwatch_alarm_info{{{series}}}" "{alert}" {values}) | query'


def lines(alert: str, *by: str) -> str:
    """A description's lines from the info series, each with its name in front."""
    return (
        f"{{{{- range {info_lines(alert, *by)} }}}}{{{{ printf {_LINES} {_LABELS} }}}}"
        rf'{{{{ else }}}}{{{{ "\n" }}}}Do first: {NOT_TOLD}{{{{ end }}}}'
    )


def lead(alert: str, *by: str) -> str:
    """The rest of a link: the signal that says most, where it is known."""
    return f"{{{{ range {info_lines(alert, *by)} }}}}/{{{{ .Labels.signal }}}}{{{{ end }}}}"


def known(text: str, query: str, values: str, otherwise: str = "") -> str:
    """``text`` where ``query`` finds something; ``values`` fill in its ``%q``. Empty queries leave no line."""
    other = f"{{{{ else }}}}{otherwise}" if otherwise else ""
    return f'{{{{ with printf "{query}" {values} | query }}}}{text}{other}{{{{ end }}}}'


def last(metric: str, matchers: str) -> str:
    """The value that a metric had last, within a day."""
    return f"last_over_time(cliffwatch_{metric}{{{matchers}}}[1d])"


def own_line(text: str, query: str, values: str, otherwise: str = "") -> str:
    """``known`` as a line of its own; there is no empty one where nothing is found."""
    return "{{- " + known(rf"{_NEW}{text}", query, values, otherwise and _NEW + otherwise)[3:]


_NEW: Final = r'{{ "\n" }}'


def first_seen(alert: str, matchers: str, values: str) -> str:
    """The line of an alert of which only Prometheus knows since when: the time that it saw it first."""
    query = rf"min(ALERTS_FOR_STATE{{alertname=\"{alert}\",{matchers}}})"
    return own_line(f"Since: {SINCE}", query, values)


SINCE: Final = (
    '{{ $since := . | first | value }}{{ ($since | toTime).Format "Mon 2006-01-02 15:04" }} UTC, '
    '{{ range printf "floor(vector(time() - %f) / 60) * 60" $since | query }}{{ .Value | '
    f"{AGO} }}}}{{{{ end }}}}."
)
"""A time that a query found, and how long ago it is."""

JUDGE_ITSELF: Final = (
    '{{ if eq $labels.target "judge" }} It is the judge itself, asked about its anchors; whether it still agrees with '
    "people, CliffwatchJudgeDrift tells.{{ end }}"
)
AGREEMENT: Final = own_line(
    f"Judge: it agrees with the people's labels on {PERCENT} of its anchors.",
    f"100 * {last('judge_agreement_ratio', DAEMON)}",
    OF_DAEMON,
)
