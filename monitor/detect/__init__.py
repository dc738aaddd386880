"""Detect: what changed between an approved baseline and now. Pure functions of records; nothing is read or written
here.

A *signal* says what to measure (one file each); ``evidence`` says how surprising the numbers are; ``policy`` says which
surprise is worth an alarm.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from monitor.detect import adapter_loss, contract, judge_score, length, policy
from monitor.records import Comparison, Finding, Severity

Signal = Callable[[Comparison], Finding | None]
"""One signal's verdict, or ``None`` where it cannot be computed: never a reading that was not measured."""

_FILES: Final = (
    adapter_loss,
    judge_score,
    length,
    contract,
)

SIGNALS: Final[dict[str, Signal]] = {file.NAME: file.detect for file in _FILES}
SEVERITIES: Final[dict[str, Severity]] = {file.NAME: file.SEVERITY for file in _FILES}


def alpha_for(false_pages_per_target_year: float, looks_per_year: float) -> float:
    """``Comparison.alpha``: the promised rate shared out over a year's looks and the page signals; see ``policy``."""
    return policy.alpha_per_look(false_pages_per_target_year, looks_per_year, _count(Severity.PAGE))


def findings_for(comparison: Comparison) -> list[Finding]:
    """Every signal's finding that could be computed, in the order of ``SIGNALS``; none without answers on both sides.

    Tickets have the same rate as pages, for themselves: their line is ``alpha`` times page signals over ticket signals.
    """
    if not comparison.now or not comparison.baseline:
        return []
    share = _count(Severity.PAGE) / max(1, _count(Severity.TICKET))
    tickets = replace(comparison, alpha=min(1.0, comparison.alpha * share))
    found = (signal(tickets if SEVERITIES[name] is Severity.TICKET else comparison) for name, signal in SIGNALS.items())
    return [one for one in found if one is not None]


def _count(severity: Severity) -> int:
    return sum(one is severity for one in SEVERITIES.values())
