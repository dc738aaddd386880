"""What one alert is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from monitor.report.metrics.alerts.templates import WEB


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSpec:
    """One alert. Templates are Go templates as Prometheus expands them; lines of ``description`` become its lines."""

    name: str
    severity: Literal["page", "ticket", "none"] | None = None
    """``None``: the severity of the verdict's alarm."""
    signals: tuple[str, ...] = ()
    """The signals whose alarms it carries; the first that alarms leads the text and the link."""
    judge: Literal["too", "not", "only"] = "too"
    """Whether it carries those of the judge's anchors."""
    by: tuple[str, ...] = ("target",)
    """Labels that tell its instances apart, after ``job`` and ``instance``."""
    when: str
    """PromQL."""
    held: bool = True
    """Whether it goes on firing while the daemon cannot be scraped."""
    limits: Mapping[str, float] = field(default_factory=dict)
    wait: str = ""
    """``for`` of the rule; empty: it fires at once."""
    title: str
    """The news, with the target's name. It heads subjects, so it has no full stop."""
    summary: str
    """The same for every target: alerts are grouped by it."""
    description: tuple[str, ...]
    evidence: str
    """Where its evidence page is."""
    runbook: str = ""
    """Where its runbook is; empty: on the daemon's own page."""
    comment: str = ""


TARGET_PAGE: Final = f"{WEB}/targets/{{{{ $labels.target }}}}"
"""The link to a target's page."""
