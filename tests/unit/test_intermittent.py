"""A fault of one answer in many: one alarm while it comes and goes, and no alarm once it is gone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from monitor.core.records import Alarm, AlarmState, Comparison, Finding, GradedAnswer
from monitor.detect import alarms as machine
from monitor.detect import evidence, findings_for
from tests.summaries import summary_of
from tests.unit.detect_answers import compared, graded

PROBES = 26
BASELINE = [graded(f"p{probe}", f"answer {probe}", day=day, model="m") for probe in range(PROBES) for day in range(14)]


def evaluation(day: int, fallbacks: int) -> list[GradedAnswer]:
    """A day's answers, of which ``fallbacks`` come from another model."""
    return [
        graded(f"p{probe}", f"answer {probe}", day=day, model="m" if probe >= fallbacks else "other")
        for probe in range(PROBES)
    ]


def follow(fallbacks: Sequence[int]) -> list[tuple[Finding, Alarm | None]]:
    """The contract's finding and alarm after each evaluation, as the daemon would reach them."""
    history: list[dict[str, float]] = []
    alarm: Alarm | None = None
    raised, found = 0, list[tuple[Finding, Alarm | None]]()
    for day, count in enumerate(fallbacks, start=20):
        comparison = replace(
            compared(evaluation(day, count), BASELINE),
            run_id=day,
            history={"contract": tuple(history)},
            raised={"contract": raised} if alarm else {},
        )
        finding = contract_of(comparison)
        history.append(dict(finding.scores))
        before, alarm = alarm, machine.next_state(alarm, finding, finding.window_end + timedelta(hours=1), clears=True)
        if before is None and alarm is not None:
            raised = len(history)
        found.append((finding, alarm))
        if alarm is not None and alarm.state is AlarmState.CLEARED:
            alarm, history = None, []
    return found


def contract_of(comparison: Comparison) -> Finding:
    return next(one for one in findings_for(comparison) if one.signal == "contract")


def test_a_rare_fault_is_one_alarm_with_its_rate() -> None:
    """Five times in eleven evaluations, as a gateway falls back for single requests."""
    told = follow([1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1])
    assert [alarm.raised_run_id for _, alarm in told if alarm is not None] == [20] * 11, "raised once, never cleared"
    assert all(alarm.state is not AlarmState.CLEARED for _, alarm in told if alarm is not None)
    last = summary_of(told[-1][0])
    assert "Intermittent: 5 of 11 evaluations saw it, on 1.7% of the answers." in last
    assert "The last 2 did not; " in summary_of(told[4][0])


def test_it_is_over_when_clean_evaluations_would_be_unlikely_at_its_rate() -> None:
    told = follow([1, 0, 0, 0])
    states = [alarm.state if alarm else None for _, alarm in told]
    assert states == [AlarmState.CONFIRMED, AlarmState.CONFIRMED, AlarmState.CONFIRMED, AlarmState.CLEARED]
    assert (25 / 26) ** (3 * 26) < 0.05 < (25 / 26) ** (2 * 26)


@pytest.mark.parametrize("affected", [13, 26])
def test_what_hit_many_answers_is_over_at_the_first_clean_evaluation(affected: int) -> None:
    told = follow([affected, 0])
    assert told[-1][1] is not None
    assert told[-1][1].state is AlarmState.CLEARED


def test_how_often_it_clears_too_early() -> None:
    """A fault on one answer in 26 that never stops: at most one clear in 20 evaluations, of 2,000 simulated ones."""
    rng = Random(12)
    share, clean, clears = 1 / 26, 0, 0
    for _ in range(2_000):
        clean = 0 if any(rng.random() < share for _ in range(PROBES)) else clean + 1
        if evidence.absent_log10(share, clean * PROBES) >= 1.3:
            clears, clean = clears + 1, 0
    assert clears <= 2_000 / 20
