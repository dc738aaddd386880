"""Findings for tests from sentences: a summary is taken apart with what migrates the stores of old."""

from dataclasses import asdict, replace
from typing import Any

from monitor.core.records import Advice, Cause, Finding, FindingState
from monitor.report.explain import sentences
from monitor.store.migrations import summaries


def state(alarming: bool) -> FindingState:
    return FindingState.ALARMING if alarming else FindingState.QUIET


def saying(summary: str, finding: Finding, *, alarming: bool | None = None) -> Finding:
    """``finding``, with the state, cause and words that ``summary`` has."""
    told = summaries.read(
        summary,
        summaries.Row(
            finding.target, finding.signal, finding.alarming if alarming is None else alarming, finding.recovered,
            finding.effect, finding.effect_high, finding.evidence_log10, finding.threshold_log10, finding.scores,
        ),
    )  # fmt: skip
    parts: dict[str, Any] = asdict(told)
    parts |= {"state": FindingState(told.state), "cause": Cause(told.cause), "advice": Advice(told.advice)}
    return replace(finding, **parts)


summary_of = sentences.summary
