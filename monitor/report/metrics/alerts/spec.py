"""The record of one alert."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from monitor.report.metrics.alerts.templates import WEB


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSpec:
    """One alert. Texts are Go templates for Prometheus; each item of ``description`` is one line."""

    name: str
    severity: Literal["page", "ticket", "none"] | None = None
    """``None``: the severity of the verdict's alarm."""
    signals: tuple[str, ...] = ()
    """The signals whose alarms it carries. The first one that alarms leads the text and the link."""
    joined: tuple[str, ...] = ()
    """Signals of other alerts whose alarms it carries while it has one of ``signals`` for the same target."""
    judge: Literal["too", "not", "only"] = "too"
    """Whether it carries alarms of the judge's anchors: also, not, or only those."""
    by: tuple[str, ...] = ("target",)
    """Labels that distinguish its instances, after ``job`` and ``instance``."""
    when: str
    """PromQL."""
    held: bool = True
    """Whether it keeps firing while the daemon cannot be scraped."""
    limits: Mapping[str, float] = field(default_factory=dict)
    wait: str = ""
    """``for`` of the rule; empty: it fires at once."""
    title: str
    """What happened, with the target's name. It starts subjects, so it has no full stop."""
    summary: str
    """What happened, the same for every target: alerts are grouped by it."""
    description: tuple[str, ...]
    evidence: str
    """Address of its evidence page."""
    runbook: str = ""
    """Address of its runbook; empty: the daemon's own page."""
    comment: str = ""


TARGET_PAGE: Final = f"{WEB}/targets/{{{{ $labels.target }}}}"
"""The link to a target's page."""
