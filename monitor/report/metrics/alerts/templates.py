"""Text, PromQL and Go templates that several alert rules share.

The only logic in a template is "print this if the metric has a value": no ``if``, and at most one query per line. The
daemon decides what is suspected, how bad it is and what to do; the labels of ``cliffwatch_alarm_info`` carry it. The
recording rules (``RECORDED``) keep these labels while the daemon is unavailable.
"""

from collections.abc import Mapping
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
PARTS: Final = '{{ range . }} {{ .Labels.part | reReplaceAll "_" " " }},{{ end }}'
"""The part of each series, each with a space before and a comma after it."""
DAY: Final = '{{ (. | first | value | toTime).Format "2006-01-02" }} UTC'
_AGE: Final = 'humanizeDuration | reReplaceAll " 0s$" "" }} ago'
"""Pipes a number of seconds, in whole minutes, into words."""

_INFO: Final = "cliffwatch:alarm_info:age_seconds"
_WEB: Final = "cliffwatch:web_info:newest"
_OF_INFO: Final = "job, instance, alert, target, severity, check, suite, arm"
"""Labels of ``cliffwatch_alarm_info`` that identify the alert; the others are its text."""


def _newest(metric: str, labels: str) -> str:
    """The current series. If there is none, because the daemon is unavailable, the last known one of the past day.

    Each change of a label makes a new series, so there can be several within a day.
    """
    seen = f"max_over_time(timestamp({metric})[1d:1m])"
    return f"""\
{metric}
or on ({labels})
(
  last_over_time({metric}[1d])
  and
  {seen}
    == on ({labels}) group_left ()
  max by ({labels}) ({seen})
)"""


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


RECORDED: Final[Mapping[str, str]] = {
    _WEB: _newest("cliffwatch_web_info", "job, instance"),
    _INFO: "clamp_min(floor((time() - (\n"
    + _indented(_newest("cliffwatch_alarm_info", _OF_INFO))
    + "\n)) / 60) * 60, 60)",
}
"""Recording rules, by name: the address of the pages, and the text that alerts print. The value of the text is the
number of seconds since the change began, in whole minutes, at least one."""


def _query(series: str, values: str) -> str:
    """The template's query; ``values`` fill in the ``%q`` of ``series``."""
    return f"printf `{series}` {values} | query"


WEB: Final = (
    f"{{{{ range {_query(f'{_WEB}{{{DAEMON}}}', OF_DAEMON)} }}}}{{{{ .Labels.url }}}}"
    "{{ else }}http://{{ $labels.instance }}{{ end }}"
)
"""Address of the daemon's pages, as the daemon reports it; if that is unknown, the address that is scraped."""

NOT_TOLD: Final = "open the evidence link, which shows what changed, how bad it is, since when and what to do."
"""The first step if the daemon's text is unknown, because the daemon was unavailable for over a day."""


def info(alert: str, *by: str) -> str:
    """The template's query for the info series of an alert. ``by``: the labels that distinguish the alert's series."""
    labels = ("job", "instance", *by)
    matchers = ",".join(f"{label}=%q" for label in labels)
    return _query(f'{_INFO}{{alert="{alert}",{matchers}}}', " ".join(f"$labels.{label}" for label in labels))


def lines(alert: str, *by: str) -> tuple[str, ...]:
    """The description's lines from the info series, each with its name in front."""
    return (
        f"{{{{- range {info(alert, *by)} }}}}",
        "What changed: {{ .Labels.what }}",
        "How bad: {{ .Labels.how_bad }}",
        f"Since: {{{{ .Labels.since }}}}, {{{{ .Value | {_AGE}.",
        "Evidence: {{ .Labels.evidence }}",
        "Likely at fault: {{ .Labels.cause }}",
        "Do first: {{ .Labels.advice }}",
        "{{- else }}",
        f"Do first: {NOT_TOLD}",
        "{{- end }}",
    )


def evidence(alert: str, *by: str) -> str:
    """The link to the evidence page of the leading signal, if known; else to the target's page."""
    told, unknown = "{{ .Labels.evidence_url }}", "http://{{ $labels.instance }}/targets/{{ $labels.target }}"
    return "\n".join((f"{{{{ range {info(alert, *by)} -}}}}", told, "{{- else -}}", unknown, "{{- end }}"))


def last(metric: str, matchers: str) -> str:
    """PromQL for the last value of a metric within a day."""
    return f"last_over_time(cliffwatch_{metric}{{{matchers}}}[1d])"


def own_line(text: str, query: str, values: str, otherwise: str = "", *, more: tuple[str, ...] = ()) -> tuple[str, ...]:
    """``text`` as a line of its own if ``query`` has a result, else ``otherwise``. Without either, no empty line.

    ``values`` fill in the ``%q`` of ``query``. ``more``: template lines that continue ``text``.
    """
    other = ("{{- else }}", otherwise) if otherwise else ()
    return (f"{{{{- with {_query(query, values)} }}}}", text, *more, *other, "{{- end }}")


def going_on(text: str, query: str, values: str) -> tuple[str, ...]:
    """Appends ``text``, which must not begin with a space, to the line before if ``query`` has a result."""
    return (f"{{{{- with {_query(query, values)} -}}}}", text, "{{- end }}")


def info_lines(texts: tuple[str, ...], alert: str, *by: str) -> tuple[str, ...]:
    """Lines of their own from the labels of the info series."""
    return (f"{{{{- range {info(alert, *by)} }}}}", *texts, "{{- end }}")


def since(query: str, values: str) -> tuple[str, ...]:
    """A line with a time from a query, and how long ago it is."""
    when = '{{ (. | first | value | toTime).Format "Mon 2006-01-02 15:04" }} UTC'
    age = f", {{{{ . | first | value | {_AGE}."
    return (
        *own_line(f"Since: {when}", query, values),
        *going_on(age, f"floor((time() - ({query})) / 60) * 60", values),
    )


def first_seen(alert: str, matchers: str, values: str) -> tuple[str, ...]:
    """The line with the time at which Prometheus first saw the alert, for alerts whose start only Prometheus knows."""
    return since(f'min(ALERTS_FOR_STATE{{alertname="{alert}",{matchers}}})', values)


AGREEMENT: Final = own_line(
    f"Judge: it agrees with people's verdicts on {PERCENT} of its anchors.",
    f"100 * {last('judge_agreement_ratio', DAEMON)}",
    OF_DAEMON,
)
"""The line that shows whether the judge's scores can be trusted."""
