"""Detect: what changed between an approved baseline and now. Pure functions of records; nothing is read or written
here.

A *signal* says what to measure (one file each) and gives every day a score (``surprise``); ``evidence`` adds the scores
up, look after look; ``policy`` says how much of it is worth an alarm, and ``alarms`` what becomes of one.
"""

from collections.abc import Callable
from typing import Final

from monitor.core.records import Comparison, Finding, Severity
from monitor.detect import (
    adapter_loss,
    base_match,
    border,
    canaries,
    contract,
    distribution,
    judge_score,
    length,
    logprobs,
    negative_flips,
    policy,
)
from monitor.detect.measurement import Reading, Verdict

Signal = Callable[[Comparison], Reading | None]
"""What one signal measures, or ``None`` where it cannot be measured: never a reading that was not."""

_FILES: Final = (
    adapter_loss,
    base_match,
    canaries,
    judge_score,
    negative_flips,
    distribution,
    logprobs,
    border,
    length,
    contract,
)

SIGNALS: Final[dict[str, Signal]] = {file.NAME: file.measure for file in _FILES}
SEVERITIES: Final[dict[str, Severity]] = {file.NAME: file.SEVERITY for file in _FILES}


def readings_for(comparison: Comparison) -> dict[str, Reading]:
    """Every signal's reading that could be had, in the order of ``SIGNALS``; none without answers on both sides."""
    if not comparison.now or not comparison.baseline:
        return {}
    found = ((name, signal(comparison)) for name, signal in SIGNALS.items())
    return {name: reading for name, reading in found if reading is not None}


def findings_for(comparison: Comparison) -> list[Finding]:
    """Every signal's verdict on the run, with the evidence so far."""
    readings = readings_for(comparison)
    told = policy.verdicts(comparison, readings, SEVERITIES)
    return [_finding(comparison, name, reading, told[name]) for name, reading in readings.items()]


def _finding(comparison: Comparison, signal: str, reading: Reading, verdict: Verdict) -> Finding:
    slots = [one.slot for one in comparison.now]
    effect, low, high = reading.effect
    return Finding(
        run_id=comparison.run_id,
        target=comparison.target,
        suite=comparison.suite,
        signal=signal,
        severity=verdict.severity,
        alarming=verdict.alarming,
        effect=effect,
        effect_low=min(effect, low),
        effect_high=max(effect, high),
        unit=reading.unit,
        evidence_log10=verdict.evidence_log10,
        look_log10=verdict.look_log10,
        line_log10=verdict.line_log10,
        looks=verdict.looks,
        answers_now=reading.answers_now,
        answers_baseline=reading.answers_baseline,
        window_start=min(slots),
        window_end=max(slots),
        summary=reading.tell(verdict) + verdict.caveat,
        measures=reading.measures,
        exhibits=reading.exhibits,
        scores={channel.name: channel.score for channel in reading.channels},
        recovered=verdict.recovered,
        confirming=comparison.confirming,
        judge_moved=verdict.judge_moved,
        baseline_id=comparison.baseline_id,
    )
