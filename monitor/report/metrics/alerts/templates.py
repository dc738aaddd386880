"""Text, PromQL and Go templates that several alert rules share.

Templates hold no logic beyond "print this where the metric has a value": no ``if``, and at most one query a line. What
is suspected, how bad it is and what to do is decided by the daemon and arrives in the labels of
``cliffwatch_alarm_info``, which the recording rules (``RECORDED``) hold while the daemon is away.
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
DAY: Final = '{{ (. | first | value | toTime).Format "2006-01-02" }} UTC'
_AGE: Final = 'humanizeDuration | reReplaceAll " 0s$" "" }} ago'
"""Pipes a number of seconds, in whole minutes, into words."""

_INFO: Final = "cliffwatch:alarm_info:age_seconds"
_WEB: Final = "cliffwatch:web_info:newest"
_OF_INFO: Final = "job, instance, alert, target, severity, check, suite, arm"
"""Labels of ``cliffwatch_alarm_info`` that tell whose text it is; the others are the text."""


def _newest(metric: str, labels: str) -> str:
    """The series that are there now; of those that went with their daemon, the ones that were seen last in a day.

    Each change of a label makes a new series, so several of a day may be remembered.
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
"""Recording rules, by name: where people reach the pages, and what alerts print, with the seconds since the change
began in whole minutes, at least one."""


def _query(series: str, values: str) -> str:
    """The template's query; ``values`` fill in the ``%q`` of ``series``."""
    return f"printf `{series}` {values} | query"


WEB: Final = (
    f"{{{{ range {_query(f'{_WEB}{{{DAEMON}}}', OF_DAEMON)} }}}}{{{{ .Labels.url }}}}"
    "{{ else }}http://{{ $labels.instance }}{{ end }}"
)
"""Address of the daemon's pages, as the daemon reports it; if that is unknown, the address that is scraped."""

NOT_TOLD: Final = "open the evidence link, which says what changed, how bad it is, since when and what to do."
"""What to do first where the daemon's own words are not known: it was gone for over a day."""


def info(alert: str, *by: str) -> str:
    """The template's query for the info series of an alert; ``by``: the alert's labels that tell its series apart."""
    labels = ("job", "instance", *by)
    matchers = ",".join(f"{label}=%q" for label in labels)
    return _query(f'{_INFO}{{alert="{alert}",{matchers}}}', " ".join(f"$labels.{label}" for label in labels))


def lines(alert: str, *by: str) -> tuple[str, ...]:
    """A description's lines from the info series, each with its name in front."""
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
    """The link to the evidence page of the signal that says most, where it is known."""
    told, unknown = "{{ .Labels.evidence_url }}", "http://{{ $labels.instance }}/targets/{{ $labels.target }}"
    return "\n".join((f"{{{{ range {info(alert, *by)} -}}}}", told, "{{- else -}}", unknown, "{{- end }}"))


def last(metric: str, matchers: str) -> str:
    """PromQL for the last value of a metric within a day."""
    return f"last_over_time(cliffwatch_{metric}{{{matchers}}}[1d])"


def own_line(text: str, query: str, values: str, otherwise: str = "", *, more: tuple[str, ...] = ()) -> tuple[str, ...]:
    """``text`` as a line of its own where ``query`` finds something, else ``otherwise``; no empty line for neither.

    ``values`` fill in the ``%q`` of ``query``; ``more``: template lines that go on with ``text``.
    """
    other = ("{{- else }}", otherwise) if otherwise else ()
    return (f"{{{{- with {_query(query, values)} }}}}", text, *more, *other, "{{- end }}")


def going_on(text: str, query: str, values: str) -> tuple[str, ...]:
    """``text``, which begins with no space, on the line before, where ``query`` finds something."""
    return (f"{{{{- with {_query(query, values)} -}}}}", text, "{{- end }}")


def info_lines(texts: tuple[str, ...], alert: str, *by: str) -> tuple[str, ...]:
    """Lines of their own from the labels of the info series."""
    return (f"{{{{- range {info(alert, *by)} }}}}", *texts, "{{- end }}")


def since(query: str, values: str) -> tuple[str, ...]:
    """A line: the time that a query finds, and how long ago it is."""
    when = '{{ (. | first | value | toTime).Format "Mon 2006-01-02 15:04" }} UTC'
    age = f", {{{{ . | first | value | {_AGE}."
    return (
        *own_line(f"Since: {when}", query, values),
        *going_on(age, f"floor((time() - ({query})) / 60) * 60", values),
    )


def first_seen(alert: str, matchers: str, values: str) -> tuple[str, ...]:
    """The line of an alert of which only Prometheus knows since when: the time that it saw it first."""
    return since(f'min(ALERTS_FOR_STATE{{alertname="{alert}",{matchers}}})', values)


AGREEMENT: Final = own_line(
    f"Judge: it agrees with people's verdicts on {PERCENT} of its anchors.",
    f"100 * {last('judge_agreement_ratio', DAEMON)}",
    OF_DAEMON,
)
"""Whether the judge that scored can be trusted."""
