"""Detect what changed between an approved baseline and now. Pure functions of records; nothing is read or written here.

A *signal* defines what to measure (one file each, and a record in ``monitor.core.signals``) and gives every day a score
(``day_scores``). ``evidence`` accumulates the scores over evaluations, ``policy`` decides how much evidence raises an
alarm, and ``alarms`` is the state machine of an alarm.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Final, cast

from monitor.core.records import Comparison, Finding
from monitor.core.signals import CATALOGUE, SEVERITIES, SPECS
from monitor.detect import policy
from monitor.detect.common import with_texts
from monitor.detect.measurement import Reading, Verdict

Signal = Callable[[Comparison], Reading | None]
"""What one signal measures, or ``None`` if it cannot be measured. Never a made-up reading."""


def _measure(name: str, comparison: Comparison) -> Reading | None:
    """Measures one signal; ``None`` as in ``_measured``."""
    return _measured(name, comparison, with_texts(comparison) if SPECS[name].texts else None)


def _measured(name: str, comparison: Comparison, texts: Comparison | None) -> Reading | None:
    """Measures with the signal's own file, which is imported when it is first needed.

    ``texts``: as from ``with_texts``. ``None`` if the signal cannot be read with this baseline, or compares texts and
    too few answers have one.
    """
    readable = texts if SPECS[name].texts else comparison
    if readable is None or name in comparison.unread or not (comparison.texts_kept or SPECS[name].by_equality):
        return None
    measure = cast("Signal", import_module(f"monitor.detect.{name}").measure)
    return measure(readable)


SIGNALS: Final[dict[str, Signal]] = {one.name: partial(_measure, one.name) for one in CATALOGUE}


def readings_for(comparison: Comparison) -> dict[str, Reading]:
    """The readings of all measurable signals, in the order of ``SIGNALS``. Empty without answers on both sides."""
    if not comparison.now or not comparison.baseline:
        return {}
    texts = with_texts(comparison)
    found = ((name, _measured(name, comparison, texts)) for name in SIGNALS)
    return {name: reading for name, reading in found if reading is not None}


def findings_for(comparison: Comparison) -> list[Finding]:
    """Every signal's verdict on the run, with the evidence so far."""
    readings = readings_for(comparison)
    told = policy.verdicts(comparison, readings, SEVERITIES)
    return [finding_of(comparison, name, reading, told[name]) for name, reading in readings.items()]


def finding_of(comparison: Comparison, signal: str, reading: Reading, verdict: Verdict) -> Finding:
    """One signal's reading and the verdict on it as a finding."""
    slots = [one.slot for one in comparison.now]
    effect, low, high = reading.effect
    told = reading.tell(verdict)
    return Finding(
        run_id=comparison.run_id,
        target=comparison.target,
        suite=comparison.suite,
        signal=signal,
        severity=verdict.severity,
        state=told.state,
        effect=effect,
        effect_low=min(effect, low),
        effect_high=max(effect, high),
        unit=reading.unit,
        evidence_log10=verdict.evidence_log10,
        evaluation_log10=verdict.evaluation_log10,
        threshold_log10=verdict.threshold_log10,
        evaluations=verdict.evaluations,
        answers_now=reading.answers_now,
        answers_baseline=reading.answers_baseline,
        window_start=min(slots),
        window_end=max(slots),
        what=told.what,
        measures=reading.measures,
        exhibits=reading.exhibits,
        scores=reading.scores,
        recovered=verdict.recovered,
        confirming=comparison.confirming,
        judge_moved=verdict.judge_moved,
        baseline_id=comparison.baseline_id,
        cause=told.cause,
        advice=told.advice,
        traffic_share=told.traffic_share,
        ways=verdict.ways,
        structural=reading.structural,
        disagrees=told.disagrees,
        numbers=told.numbers,
        caveat=" ".join(filter(None, (told.caveat, verdict.caveat))),
    )
