"""Every way of a page of a rate: raised, on another day confirmed or a ticket; beside structural pages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.records import Alarm, AlarmState, Confirmation, Finding, FindingState, Severity
from monitor.detect import alarms

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
TUESDAY, WEDNESDAY, THURSDAY = MONDAY + DAY, MONDAY + 2 * DAY, MONDAY + 3 * DAY


def found(slot: datetime, **changed: object) -> Finding:
    """An evaluation of ``slot`` that is over the threshold, of a rate unless said otherwise."""
    made = Finding(
        run_id=slot.day, target="bot", suite="facts", signal="canaries", severity=Severity.PAGE,
        state=FindingState.ALARMING, effect=0.3, effect_low=0.1, effect_high=0.5, unit="share", evidence_log10=4.4,
        evaluation_log10=0.8, threshold_log10=4.1, evaluations=9, answers_now=18, answers_baseline=252,
        window_start=slot, window_end=slot, what="fails",
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


def quiet(slot: datetime, **changed: object) -> Finding:
    return found(slot, state=FindingState.QUIET, evaluation_log10=-0.4, evidence_log10=1.0, **changed)


def after(alarm: Alarm | None, one: Finding, *, clears: bool = True, day: timedelta = DAY) -> Alarm:
    told = alarms.next_state(alarm, one, one.window_end + 0.9 * day, clears=clears, day=day)
    assert told is not None
    return told


def raised() -> Alarm:
    return after(None, found(MONDAY))


def ticket() -> Alarm:
    return after(raised(), quiet(TUESDAY))


def test_a_rate_is_raised_and_says_that_it_waits_for_another_day() -> None:
    alarm = raised()
    assert (alarm.state, alarm.severity) == (AlarmState.RAISED, Severity.PAGE)
    assert (alarm.confirmation, alarm.note) == (
        Confirmation.AWAITS_ANOTHER_DAY,
        "Waits for an evaluation on another day.",
    )
    assert alarm.waits_until == MONDAY + timedelta(hours=16)
    assert not alarms.to_confirm([alarm], [found(MONDAY)]), "a sample at once would share the day"


def test_a_structural_page_asks_at_once_also_beside_a_rate_of_the_same_run() -> None:
    loss = found(MONDAY, signal="adapter_loss", structural=True)
    lost, rate = after(None, loss), raised()
    assert (lost.confirmation, lost.waits_until) == (None, None)
    assert alarms.to_confirm([lost, rate], [loss, found(MONDAY)])
    at_once = MONDAY + timedelta(hours=22)
    fresh = [replace(one, confirming=True, window_start=at_once) for one in (loss, found(MONDAY))]
    end = at_once + timedelta(minutes=5)
    confirmed = alarms.next_state(lost, fresh[0], end, clears=True)
    assert confirmed is not None
    assert confirmed.confirmation is Confirmation.FRESH_SAMPLE
    assert alarms.next_state(rate, fresh[1], end, clears=True) is rate, "the same day, whatever it was asked for"


@pytest.mark.parametrize("confirming", [False, True], ids=["the next run", "a fresh sample a day later"])
def test_another_day_confirms_or_makes_it_a_ticket(confirming: bool) -> None:
    page = after(raised(), found(TUESDAY, confirming=confirming))
    assert (page.state, page.severity, page.confirmation) == (
        AlarmState.CONFIRMED, Severity.PAGE, Confirmation.ANOTHER_DAY,
    )  # fmt: skip
    assert (page.confirmed_run_id, page.waits_until) == (TUESDAY.day, None)
    for against in (found(TUESDAY, evaluation_log10=-0.01), quiet(TUESDAY)):
        lowered = after(raised(), replace(against, confirming=confirming))
        assert (lowered.state, lowered.severity, lowered.confirmation) == (
            AlarmState.CONFIRMED, Severity.TICKET, Confirmation.ANOTHER_DAY_DISAGREES,
        )  # fmt: skip
        assert lowered.waits_until is None


@pytest.mark.parametrize("hours", [0, 1, 8, 15.9])
def test_an_evaluation_of_the_same_day_decides_nothing(hours: float) -> None:
    alarm = raised()
    for one in (found(MONDAY + timedelta(hours=hours)), quiet(MONDAY + timedelta(hours=hours))):
        assert after(alarm, one) is alarm
        assert after(alarm, replace(one, confirming=True)) is alarm


@pytest.mark.parametrize("seconds", [2.0, 60.0, 86_400.0, 604_800.0])
def test_another_day_is_one_of_the_schedules_clock(seconds: float) -> None:
    day = timedelta(seconds=seconds)
    alarm = after(None, found(MONDAY), day=day)
    assert alarm.waits_until == MONDAY + day * 2 / 3
    assert after(alarm, found(MONDAY + 0.66 * day), day=day) is alarm
    assert after(alarm, found(MONDAY + 0.96 * day), day=day).confirmation is Confirmation.ANOTHER_DAY


def test_the_next_daily_run_counts_when_the_clocks_go_forward() -> None:
    assert after(raised(), found(MONDAY + timedelta(hours=23))).confirmation is Confirmation.ANOTHER_DAY


def test_a_ticket_becomes_a_page_after_two_days_that_support_it() -> None:
    held = ticket()
    assert after(held, found(WEDNESDAY, evaluation_log10=-0.1)) is held, "it does not support it itself"
    assert after(held, quiet(WEDNESDAY)) is held
    again = after(held, found(WEDNESDAY))
    assert (again.severity, again.state, again.confirmation) == (
        Severity.TICKET, AlarmState.CONFIRMED, Confirmation.AWAITS_ANOTHER_DAY,
    )  # fmt: skip
    assert again.waits_until == WEDNESDAY + timedelta(hours=16)
    assert after(again, found(WEDNESDAY + timedelta(hours=9))) is again
    page = after(again, found(THURSDAY))
    assert (page.severity, page.confirmation, page.raised_run_id) == (
        Severity.PAGE, Confirmation.ANOTHER_DAY, MONDAY.day,
    )  # fmt: skip
    assert after(again, quiet(THURSDAY)).confirmation is Confirmation.ANOTHER_DAY_DISAGREES


def test_what_turns_structural_waits_no_longer() -> None:
    total = found(MONDAY + timedelta(hours=9), structural=True)
    alarm = after(raised(), total)
    assert (alarm.state, alarm.confirmation, alarm.waits_until, alarm.note) == (AlarmState.RAISED, None, None, "")
    assert alarms.to_confirm([alarm], [total])
    assert after(alarm, replace(total, confirming=True)).confirmation is Confirmation.FRESH_SAMPLE
    waiting = after(ticket(), found(WEDNESDAY))
    held = after(waiting, found(WEDNESDAY + timedelta(hours=9), structural=True))
    assert (held.severity, held.waits_until) == (Severity.TICKET, None)
    assert alarms.to_confirm([held], [total])
    assert after(held, replace(total, confirming=True)).severity is Severity.PAGE


def test_a_recovery_clears_what_waits_and_a_fresh_sample_never_does() -> None:
    well = quiet(TUESDAY, recovered=True)
    assert after(raised(), well).state is AlarmState.CLEARED
    assert after(raised(), well, clears=False).severity is Severity.TICKET, "too few answers to clear it"
    assert after(raised(), replace(well, confirming=True)).confirmation is Confirmation.ANOTHER_DAY_DISAGREES
    cleared = replace(raised(), state=AlarmState.CLEARED, cleared_at=TUESDAY)
    assert not alarms.wants_confirmation(cleared)
    assert not alarms.awaited([cleared], WEDNESDAY)


def test_a_sample_soon_after_the_last_question_of_a_spread_run_is_not_on_another_day() -> None:
    alarm = raised()
    assert alarm.waits_past == alarm.raised_at + timedelta(hours=8)
    for slot in (MONDAY + timedelta(hours=22), TUESDAY + timedelta(hours=2)):
        for one in (found(slot), quiet(slot), found(slot, confirming=True)):
            assert alarms.next_state(alarm, one, slot + timedelta(minutes=5), clears=True) is alarm


def test_a_judge_that_moved_holds_it_back_and_then_another_day_grants_it() -> None:
    moved = found(TUESDAY, severity=Severity.TICKET, judge_moved=True)
    for alarm in (None, raised(), after(ticket(), found(MONDAY + timedelta(hours=1)))):
        held = after(alarm, moved)
        assert (held.severity, held.state, held.confirmation) == (
            Severity.TICKET, AlarmState.CONFIRMED, Confirmation.JUDGE_MOVED,
        )  # fmt: skip
        assert held.waits_until is None
        waiting = after(held, found(WEDNESDAY))
        assert waiting.confirmation is Confirmation.AWAITS_ANOTHER_DAY
        assert after(waiting, found(THURSDAY)).severity is Severity.PAGE


class TestWithoutAFinding:
    def step(self, alarm: Alarm, slot: datetime, *, confirming: bool = False) -> Alarm:
        return alarms.unanswered(alarm, 9, slot, slot + DAY, confirming=confirming)

    def test_the_run_after_the_next_serves_as_well_and_none_for_days_pages(self) -> None:
        alarm = raised()
        for slot in (TUESDAY, WEDNESDAY):
            assert self.step(alarm, slot) is alarm
        page = self.step(alarm, THURSDAY)
        assert (page.state, page.severity, page.confirmation, page.waits_until) == (
            AlarmState.CONFIRMED, Severity.PAGE, Confirmation.NOT_ASKED, None,
        )  # fmt: skip
        assert after(alarm, found(WEDNESDAY)).confirmation is Confirmation.ANOTHER_DAY

    def test_a_fresh_sample_that_was_not_possible_pages_what_it_was_asked_for(self) -> None:
        alarm = raised()
        assert self.step(alarm, MONDAY + timedelta(hours=1), confirming=True) is alarm, "asked for another signal"
        assert self.step(alarm, TUESDAY, confirming=True).confirmation is Confirmation.NOT_ASKED
        structural = after(None, found(MONDAY, structural=True))
        assert self.step(structural, MONDAY + timedelta(hours=1), confirming=True).severity is Severity.PAGE
        assert self.step(structural, THURSDAY) is structural, "its fresh sample decides"

    def test_a_ticket_that_waits_stays_a_ticket(self) -> None:
        waiting = after(ticket(), found(WEDNESDAY))
        left = self.step(waiting, THURSDAY, confirming=True)
        assert (left.severity, left.confirmation) == (Severity.TICKET, Confirmation.ANOTHER_DAY_DISAGREES)
        assert self.step(left, THURSDAY + DAY, confirming=True) is left


def test_a_fresh_sample_is_awaited_only_from_its_day_on() -> None:
    assert not alarms.awaited([raised()], MONDAY + timedelta(hours=22))
    assert not alarms.awaited([raised()], MONDAY + timedelta(hours=29))
    assert alarms.awaited([raised()], MONDAY + timedelta(hours=46))
    assert alarms.awaited([after(None, found(MONDAY, structural=True))], MONDAY + timedelta(hours=22))


STEP = st.tuples(
    st.tuples(st.integers(0, 40), st.integers(0, 23)),
    *(st.booleans() for _ in range(5)),
    st.floats(-1, 2),
)  # fmt: skip


@given(st.lists(STEP, max_size=12))
def test_no_rate_pages_on_one_day(steps: list[tuple[tuple[int, int], bool, bool, bool, bool, bool, float]]) -> None:
    """Over any sequence: a page of rates alone follows an evaluation at least 16 hours after the one that it waited
    from, and whoever waits says so in its state."""
    alarm: Alarm | None = None
    slot = MONDAY
    for (hours, spread), over, structural, confirming, moved, recovered, itself in steps:
        slot += timedelta(hours=hours)
        severity = Severity.TICKET if moved else Severity.PAGE
        one = found(
            slot, state=FindingState.ALARMING if over else FindingState.QUIET, structural=structural, severity=severity,
            confirming=confirming, judge_moved=moved, recovered=recovered, evaluation_log10=itself,
        )  # fmt: skip
        before, alarm = alarm, alarms.next_state(alarm, one, slot + timedelta(hours=spread), clears=True)
        if alarm is None:
            continue
        confirmed = alarm.confirmation is Confirmation.ANOTHER_DAY and alarm.state is AlarmState.CONFIRMED
        if confirmed and alarm is not before:
            assert before is not None
            assert before.waits_until is not None
            assert before.waits_past is not None
            assert slot >= before.waits_until
            assert slot + timedelta(hours=spread) >= before.waits_past
            assert itself >= 0
        waits = alarm.confirmation is Confirmation.AWAITS_ANOTHER_DAY
        assert waits == (alarm.waits_until is not None)
        assert alarm.note == ("" if alarm.confirmation is None else alarms.NOTES[alarm.confirmation])
        if alarm.state is AlarmState.CLEARED:
            alarm = None
