"""The catalogue of alerts: one record each. ``rules`` generates ``alerts/rules.yaml`` from it.

It belongs to the metrics, because an alert is PromQL over metrics and templates that print them. No layer below the
reports knows the alerts.
"""

from collections.abc import Collection, Mapping
from typing import Final

from monitor.core.run_kinds import JUDGE
from monitor.report.metrics.alerts.daemon import DAEMON
from monitor.report.metrics.alerts.spec import AlertSpec
from monitor.report.metrics.alerts.targets import TARGETS
from monitor.report.metrics.alerts.verdicts import CARRIED

__all__ = ["ALERTS", "LIMITS", "AlertSpec", "carrier"]

ALERTS: Final[tuple[AlertSpec, ...]] = (*CARRIED, *TARGETS, *DAEMON)
"""Every alert, in the order of the file."""

LIMITS: Final[Mapping[tuple[str, str], float]] = {
    (spec.name, limit): value for spec in ALERTS for limit, value in spec.limits.items()
}
"""``alert_limit``: (alert, limit) -> its value."""


def carrier(signal: str, target: str, others: Collection[str] = ()) -> AlertSpec | None:
    """The alert that carries a signal's alarms for a target, or ``None``.

    ``others``: the signals with a confirmed alarm for the target.
    """
    judge = target == JUDGE.target
    for one in ALERTS:
        if signal in one.joined and not judge and set(others) & set(one.signals):
            return one
    found = [one for one in ALERTS if signal in one.signals and one.judge != ("not" if judge else "only")]
    return found[0] if found else None
