"""What people are told of a finding and of an alarm that is over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from monitor.core import wording
from monitor.core.records import Alarm, AlarmState, Confirmation, FindingState, Severity
from monitor.detect import findings_for
from monitor.lab import product
from tests.unit.detect_answers import compared, rounds

AT = datetime(2026, 11, 22, 11, 14, tzinfo=UTC)
FINDING = findings_for(
    compared(
        rounds(1, product.right_reply, days=range(9, 10), probes=6),
        rounds(1, product.right_reply, days=range(7), probes=6),
    )
)[0]


@pytest.mark.parametrize(("log10", "told"), [(-0.5, "none"), (0.0, "none"), (0.49, "none"), (1.0, "10 to 1")])
def test_evidence_that_a_coin_toss_has_is_none(log10: float, told: str) -> None:
    finding = replace(FINDING, evidence_log10=log10, evaluation_log10=-0.477, threshold_log10=4.0394, evaluations=3)
    assert wording.evidence(finding) == (told, "threshold: 10,950 to 1; 3 evaluations so far; this one alone: 1 to 3")


@pytest.mark.parametrize("state", [FindingState.QUIET, FindingState.LOOK, FindingState.ALARMING])
def test_a_finding_is_cleared_with_its_alarm_unless_it_was_quiet(state: FindingState) -> None:
    alarm = Alarm("bot", "facts", "length", Severity.TICKET, AlarmState.CONFIRMED, AT, 3)
    finding = replace(FINDING, state=state)
    assert wording.state_of(finding) is wording.state_of(finding, alarm) is state
    over = wording.state_of(finding, replace(alarm, state=AlarmState.CLEARED, cleared_at=AT))
    assert over is (FindingState.QUIET if state is FindingState.QUIET else FindingState.CLEARED)


def test_a_time_is_that_of_the_text_around_it_or_says_that_it_is_utc() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    waiting = Alarm("bot", "facts", "canaries", Severity.PAGE, AlarmState.RAISED, AT, 3)
    confirmed = replace(
        waiting, state=AlarmState.CONFIRMED, confirmed_at=AT, confirmed_run_id=4, confirmation=Confirmation.FRESH_SAMPLE
    )
    seen = replace(confirmed, acknowledged_at=AT, acknowledged_by="kim", acknowledged_why="rolled back")
    assert wording.alarm_state(waiting, AT).startswith("Waiting since 11:14 UTC for")
    assert wording.alarm_state(waiting, AT, berlin).startswith("Waiting since 12:14 for")
    assert wording.alarm_state(seen, AT) == (
        "Confirmed 11:14 UTC by a fresh sample (run 4). Acknowledged by kim, 11:14 UTC: rolled back"
    )
    assert wording.alarm_state(seen, AT, berlin) == (
        "Confirmed 12:14 by a fresh sample (run 4). Acknowledged by kim, 12:14: rolled back"
    )


def test_a_time_of_another_day_has_its_date() -> None:
    """At three in the morning, what was acknowledged four nights ago is not looked into tonight."""
    night, berlin = datetime(2026, 11, 22, 3, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    then = night - timedelta(days=4, minutes=50)
    waiting = Alarm("bot", "facts", "canaries", Severity.PAGE, AlarmState.RAISED, then, 3)
    confirmed = replace(
        waiting,
        state=AlarmState.CONFIRMED,
        confirmed_at=then,
        confirmed_run_id=4,
        confirmation=Confirmation.FRESH_SAMPLE,
    )
    seen = replace(confirmed, acknowledged_at=then, acknowledged_by="alice", acknowledged_why="rolled back")
    assert wording.alarm_state(waiting, night).startswith("Waiting since 2026-11-18 02:10 UTC for")
    assert wording.alarm_state(waiting, night, berlin).startswith("Waiting since Wed 18 Nov 03:10 for")
    assert wording.alarm_state(seen, night) == (
        "Confirmed 2026-11-18 02:10 UTC by a fresh sample (run 4). "
        "Acknowledged by alice, 2026-11-18 02:10 UTC: rolled back"
    )
    assert wording.alarm_state(seen, then) == (
        "Confirmed 02:10 UTC by a fresh sample (run 4). Acknowledged by alice, 02:10 UTC: rolled back"
    )
    late = replace(seen, acknowledged_at=night)
    assert wording.alarm_state(late, then).endswith("Acknowledged by alice, 2026-11-22 03:00 UTC: rolled back")
    midnight = replace(seen, acknowledged_at=datetime(2026, 11, 21, 23, 30, tzinfo=UTC))
    assert ", 2026-11-21 23:30 UTC" in wording.alarm_state(midnight, night)
    assert ", 00:30:" in wording.alarm_state(midnight, night, berlin), "of the same night there"


def test_who_ended_an_alarm() -> None:
    alarm = Alarm("bot", "facts", "length", Severity.TICKET, AlarmState.CLEARED, AT, 3, cleared_at=AT)
    by_hand = replace(alarm, cleared_by="me", cleared_why="deploy 42")
    assert wording.cleared(by_hand) == "cleared by me, 2026-11-22 11:14: deploy 42"
    assert wording.cleared(replace(alarm, cleared_run_id=4)) == "cleared automatically, 2026-11-22 11:14"
    assert wording.cleared(replace(alarm, cleared_why="baseline retired")).endswith(": baseline retired")
