"""The schedule: every slot once, whatever the clocks do, and batches that stay in their day."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import schedule
from monitor.core.providers import ScriptedSettings
from monitor.core.records import PRODUCTION_SUITE, Arm, Message, Question, Sampling
from monitor.core.settings import Endpoint, Schedule, Settings, Target

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def settings(plan: Schedule) -> Settings:
    return Settings(
        providers={"p": ScriptedSettings(kind="scripted", script=Path("answers.yaml"))},
        targets={"bot": Target(subject=Endpoint(provider="p", model="m"))},
        schedule=plan,
    )


def slots_seen(expression: str, plan: Schedule, ticks: Sequence[datetime]) -> list[datetime]:
    """The slots that a daemon makes which looks at these moments."""
    used = settings(plan.model_copy(update={"probes": expression}))
    latest: datetime | None = None
    seen = []
    for tick in ticks:
        for _, _, slot in schedule.due(used, tick, {("bot", "support"): latest}):
            seen.append(slot)
            latest = slot
    return seen


@pytest.mark.parametrize(
    ("expression", "now", "slot", "following"),
    [
        ("daily", "2026-11-22T13:00", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("daily", "2026-11-22T00:00", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("daily", "2026-11-21T23:59:59.999999", "2026-11-21T00:00", "2026-11-22T00:00"),
        ("every 3 days", "1970-01-06T23:00", "1970-01-04T00:00", "1970-01-07T00:00"),
        ("every 1 days", "2026-11-22T13:00", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("weekly mon 06:00", "2026-11-23T05:59", "2026-11-16T06:00", "2026-11-23T06:00"),
        ("weekly mon 06:00", "2026-11-23T06:00", "2026-11-23T06:00", "2026-11-30T06:00"),
        ("weekly sun 23:30", "2026-11-22T12:00", "2026-11-15T23:30", "2026-11-22T23:30"),
    ],
)
def test_the_period_that_now_lies_in(expression: str, now: str, slot: str, following: str) -> None:
    for zone in ("UTC", "Europe/Berlin", "America/St_Johns"):
        plan = Schedule(timezone=zone)
        at = local(now, ZoneInfo(zone))
        assert schedule.current_slot(expression, plan, at) == local(slot, ZoneInfo(zone))
        assert schedule.next_slot(expression, plan, at) == local(following, ZoneInfo(zone))


def test_slots_are_in_utc() -> None:
    slot = schedule.current_slot("daily", Schedule(timezone="Europe/Berlin"), utc("2026-07-01T12:00"))
    assert slot.tzinfo is UTC
    assert slot == utc("2026-06-30T22:00")


@pytest.mark.parametrize("expression", ["", "hourly", "every 0 days", "every days", "weekly", "weekly xyz 06:00",
                                        "weekly mon 24:00", "weekly mon 6:60", "daily daily"])  # fmt: skip
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="is not a schedule; use 'daily'"):
        schedule.parse(expression)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        schedule.current_slot("daily", Schedule(), datetime(2026, 11, 22))  # noqa: DTZ001


# Berlin loses 02:00-03:00 on 2026-03-29 and has it twice on 2026-10-25.


def test_a_spring_day_is_a_day_of_23_hours() -> None:
    plan = Schedule(timezone="Europe/Berlin")
    noon = local("2026-03-29T12:00")
    slot, following = schedule.current_slot("daily", plan, noon), schedule.next_slot("daily", plan, noon)
    assert following - slot == 23 * HOUR
    assert all(slot <= at < following for at in schedule.batch_times(slot, plan, seed=1))


def test_an_autumn_day_is_a_day_of_25_hours() -> None:
    plan = Schedule(timezone="Europe/Berlin", batches=96)
    noon = local("2026-10-25T12:00")
    slot, following = schedule.current_slot("daily", plan, noon), schedule.next_slot("daily", plan, noon)
    assert following - slot == 25 * HOUR
    times = schedule.batch_times(slot, plan, seed=1)
    assert times[-1] > slot + 23 * HOUR, "the longer day is used"


@pytest.mark.parametrize("expression", ["weekly sun 02:30", "weekly sun 02:00", "weekly sun 03:00", "daily"])
@pytest.mark.parametrize("sunday", ["2026-03-29", "2026-10-25"])
def test_a_clock_change_makes_no_slot_twice_and_none_never(expression: str, sunday: str) -> None:
    start = local(f"{sunday}T00:00") - 15 * DAY
    ticks = [start + minutes * timedelta(minutes=10) for minutes in range(31 * 24 * 6)]
    seen = slots_seen(expression, Schedule(timezone="Europe/Berlin"), ticks)
    days = [slot.astimezone(BERLIN).date() for slot in seen]
    step = 1 if expression == "daily" else 7
    assert all((after - before).days == step for before, after in pairwise(days))
    assert len(seen) == len(set(seen)) >= 31 // step


def test_a_time_that_spring_skips_comes_by_the_clock_of_before() -> None:
    plan = Schedule(timezone="Europe/Berlin")
    slot = schedule.current_slot("weekly sun 02:30", plan, local("2026-03-29T12:00"))
    assert slot.astimezone(BERLIN).time().isoformat() == "03:30:00"
    assert schedule.current_slot("weekly sun 02:30", plan, slot - SECOND) == local("2026-03-22T02:30")


def test_a_time_that_autumn_repeats_counts_once_and_first() -> None:
    plan = Schedule(timezone="Europe/Berlin")
    first, second = local("2026-10-25T02:30"), local("2026-10-25T02:30", fold=1)
    assert second - first == HOUR
    for now in (first, second, second + SECOND):
        assert schedule.current_slot("weekly sun 02:30", plan, now) == first


def test_a_new_target_is_due_at_once_and_only_the_latest_missed_run_is_made_up() -> None:
    plan = Schedule()
    used = settings(plan)
    now = utc("2026-11-22T13:00")
    pairs = {("bot", "a"): None, ("bot", "b"): utc("2026-11-10T00:00"), ("bot", "c"): utc("2026-11-22T00:00"),
             ("bot", PRODUCTION_SUITE): utc("2026-11-09T06:00")}  # fmt: skip
    assert schedule.due(used, now, pairs) == [
        ("bot", "a", utc("2026-11-22T00:00")),
        ("bot", "b", utc("2026-11-22T00:00")),
        ("bot", PRODUCTION_SUITE, utc("2026-11-16T06:00")),
    ]


@pytest.mark.parametrize("ahead", ["2026-11-21T00:00", "2026-11-22T00:00", "2027-12-25T00:00"])
def test_a_slot_of_a_clock_that_was_ahead_does_not_keep_today_from_being_asked(ahead: str) -> None:
    used = settings(Schedule())
    today = [("bot", "a", utc("2026-11-20T00:00"))]
    assert schedule.due(used, utc("2026-11-20T12:00"), {("bot", "a"): utc(ahead)}) == today


def test_a_shortened_day_is_aligned_to_the_epoch_and_a_week_has_seven() -> None:
    plan = Schedule(day_seconds=10, timezone="Europe/Berlin")
    now = utc("2026-11-22T13:00:07.5")
    assert schedule.current_slot("daily", plan, now) == utc("2026-11-22T13:00:00")
    assert schedule.next_slot("daily", plan, now) == utc("2026-11-22T13:00:10")
    weekly = schedule.current_slot("weekly mon 06:00", plan, now)
    assert (weekly - schedule.EPOCH) % (70 * SECOND) == timedelta(0)
    assert schedule.interval_seconds(plan, "production") == 70
    assert schedule.interval_seconds(Schedule(), "production") == 7 * 86_400
    assert schedule.day_start(plan, now) == utc("2026-11-22T13:00:00")


moments = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo",
                         "Asia/Kathmandu", "Pacific/Apia", "America/Havana"])  # fmt: skip
expressions = st.sampled_from(["daily", "every 2 days", "every 5 days", "weekly mon 06:00", "weekly sun 00:00",
                               "weekly sat 23:59", "weekly fri 02:30"])  # fmt: skip
lengths = st.sampled_from([86_400.0, 10.0, 2.5, 3600.0, 1.1])


@given(expressions, zones, lengths, moments)
def test_periods_follow_one_another_without_gap_or_overlap(
    expression: str, zone: str, day_seconds: float, now: datetime
) -> None:
    plan = Schedule(timezone=zone, day_seconds=day_seconds)
    slot, following = schedule.current_slot(expression, plan, now), schedule.next_slot(expression, plan, now)
    assert slot <= now < following
    assert schedule.current_slot(expression, plan, slot) == slot
    assert schedule.current_slot(expression, plan, following - timedelta(microseconds=1)) == slot
    assert schedule.current_slot(expression, plan, following) == following


@given(expressions, zones, moments, st.lists(st.integers(1, 40 * 3600), min_size=1, max_size=60))
def test_any_sequence_of_ticks_makes_each_slot_once_and_skips_only_what_was_missed(
    expression: str, zone: str, start: datetime, pauses: list[int]
) -> None:
    ticks = [start]
    for pause in pauses:
        ticks.append(ticks[-1] + pause * SECOND)
    plan = Schedule(timezone=zone)
    seen = slots_seen(expression, plan, ticks)
    assert seen == sorted(set(seen))
    assert seen == sorted({schedule.current_slot(expression, plan, tick) for tick in ticks})


@given(
    zones, lengths, moments, st.integers(1, 96), st.integers(0, 2**63 - 1), st.sampled_from(["daily", "every 3 days"])
)
def test_batches_are_in_order_each_in_its_stretch_and_leave_a_margin(
    zone: str, day_seconds: float, now: datetime, batches: int, seed: int, expression: str
) -> None:
    plan = Schedule(timezone=zone, day_seconds=day_seconds, batches=batches, probes=expression)
    slot = schedule.current_slot(expression, plan, now)
    end = schedule.next_slot("daily", plan, slot)
    times = schedule.batch_times(slot, plan, seed)
    stretch = (end - slot) * 0.95 / batches
    assert len(times) == batches
    for place, at in enumerate(times):
        slack = timedelta(microseconds=batches)
        assert slot + place * stretch - slack <= at <= slot + (place + 1) * stretch + slack
    assert list(times) == sorted(times)
    assert times == schedule.batch_times(slot, plan, seed), "the same on every call"


@given(zones, lengths, moments, st.integers(1, 96), st.integers(0, 1000), st.sampled_from(["daily", "every 3 days"]))
def test_a_late_run_is_spread_over_what_is_left(
    zone: str, day_seconds: float, now: datetime, batches: int, seed: int, expression: str
) -> None:
    plan = Schedule(timezone=zone, day_seconds=day_seconds, batches=batches, probes=expression)
    slot, end = schedule.current_slot(expression, plan, now), schedule.next_slot(expression, plan, now)
    times = schedule.batch_times(slot, plan, seed, "support", start=now)
    assert times[0] == now or now == slot
    assert list(times) == sorted(times)
    assert times[-1] <= end
    assert times[-1] - now <= timedelta(hours=25)
    if now > slot and batches > 2 and end - now > SECOND:
        assert times[1] > now, "not in one burst"


def test_a_run_that_outlived_its_period_is_asked_at_once() -> None:
    late = utc("2026-11-24T10:00")
    assert set(schedule.batch_times(utc("2026-11-22T00:00"), Schedule(), 1, "support", start=late)) == {late}


def test_production_inputs_are_one_batch_at_the_slot() -> None:
    slot = utc("2026-11-16T06:00")
    assert schedule.batch_times(slot, Schedule(), 1, PRODUCTION_SUITE) == (slot,)
    assert schedule.batch_times(slot, Schedule(), 1, PRODUCTION_SUITE, start=slot + HOUR) == (slot + HOUR,)


def test_two_runs_do_not_ask_at_the_same_moments() -> None:
    slot = utc("2026-11-22T00:00")
    seeds = [schedule.run_seed("bot", suite, slot + day * DAY) for suite in "ab" for day in range(20)]
    assert len(set(seeds)) == 40
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len({schedule.batch_times(slot, Schedule(), seed)[0] for seed in seeds}) == 40
    assert schedule.run_seed("bot", "a", slot) == schedule.run_seed("bot", "a", slot.astimezone(BERLIN))


def questions(probes: int, replicates: int) -> list[Question]:
    return [
        Question(1, "bot", "support", arm, f"p{probe}", replicate, "p", "m", (Message("user", "hi"),), Sampling())
        for replicate in range(replicates)
        for probe in range(probes)
        for arm in (Arm.SUBJECT, Arm.BASE)
    ]


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 12), st.integers(0, 2**63 - 1))
def test_plans_are_balanced_and_keep_subject_and_base_together(
    probes: int, replicates: int, batches: int, seed: int
) -> None:
    asked = questions(probes, replicates)
    times = [utc("2026-11-22T00:00") + batch * HOUR for batch in range(batches)]
    planned = schedule.plan(asked, times, seed)
    assert [q.key for q in planned] == [q.key for q in asked], "the order is kept"
    together: dict[tuple[str, int], set[datetime | None]] = {}
    for one in planned:
        together.setdefault((one.probe, one.replicate), set()).add(one.due_at)
    assert all(len(at) == 1 for at in together.values())
    sizes = Counter(q.due_at for q in planned)
    assert set(sizes) <= set(times)
    counts = [sizes[at] for at in times]
    assert max(counts) - min(counts) <= 2
    assert schedule.plan(asked[::-1], times, seed)[::-1] == planned, "whatever order they come in"


def test_replicates_of_a_probe_are_spread_and_change_places_between_runs() -> None:
    times = [utc("2026-11-22T00:00") + batch * HOUR for batch in range(6)]
    for probes in (6, 10, 12, 25):
        planned = schedule.plan(questions(probes, 6), times, seed=5)
        batches: dict[str, set[datetime | None]] = {}
        for one in planned:
            batches.setdefault(one.probe, set()).add(one.due_at)
        assert min(len(at) for at in batches.values()) >= 4
    other = schedule.plan(questions(25, 6), times, seed=6)
    assert [q.due_at for q in other] != [q.due_at for q in planned]


def test_no_questions_is_no_plan() -> None:
    assert schedule.plan([], [utc("2026-11-22T00:00")], 1) == []


def test_looks_a_year_follow_the_suites_own_schedule() -> None:
    plan = Schedule(probes="every 5 days", production="weekly mon 06:00", day_seconds=60)
    more = 1 + schedule.FOLLOWING
    assert schedule.evaluations_per_year(plan, "support") == pytest.approx(73 * more)
    assert schedule.evaluations_per_year(plan, PRODUCTION_SUITE) == pytest.approx(365 / 7 * more)
    assert (schedule.period_days(plan, "support"), schedule.period_days(plan, PRODUCTION_SUITE)) == (5, 7)
    assert schedule.evaluations_per_year(Schedule(), "support") == 365


def test_a_fresh_sample_has_a_seed_of_its_own() -> None:
    seeds = {schedule.confirming_seed(seed) for seed in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seeds.isdisjoint(range(1000))
    assert schedule.confirming_seed(7) == schedule.confirming_seed(7)


CLOCKS = (
    ("Europe/London", "2026-03-25"), ("Europe/London", "2026-10-20"), ("Australia/Lord_Howe", "2026-10-01"),
    ("America/Santiago", "2026-09-03"), ("Africa/Cairo", "2026-04-21"), ("Antarctica/Troll", "2026-03-25"),
    ("Antarctica/Troll", "2026-10-20"), ("Pacific/Apia", "2011-12-26"), ("UTC", "2026-03-25"),
)  # fmt: skip
"""Weeks in which the clocks change: by an hour, by half of one, at midnight, by two hours, by a day."""


@pytest.mark.parametrize(("zone", "first"), CLOCKS)
@pytest.mark.parametrize("days", [7, 14])
def test_daily_runs_span_as_many_days_as_they_are_in_every_zone(zone: str, first: str, days: int) -> None:
    plan = Schedule(timezone=zone)
    start = schedule.day_start(plan, local(f"{first}T12:00", ZoneInfo(zone)))
    slots = [start]
    while len(slots) < days:
        slots.append(schedule.next_slot("daily", plan, slots[-1]))
    assert schedule.days_spanned(slots, 86_400) == days
    assert schedule.days_spanned([*reversed(slots), *slots], 86_400) == days


@pytest.mark.parametrize(
    ("every", "count", "days"),
    [
        (HOUR, 24, 1),
        (HOUR, 25, 2),
        (HOUR, 72, 3),
        (SECOND, 14, 1),
        (6 * HOUR, 12, 3),
        (12 * HOUR, 3, 2),
        (7 * DAY, 3, 3),
    ],
)
def test_more_runs_than_one_a_day_span_the_days_that_they_take(every: timedelta, count: int, days: int) -> None:
    start = utc("2026-11-22T05:00")
    assert schedule.days_spanned([start + place * every for place in range(count)], 86_400) == days


def test_no_run_spans_no_day_and_a_short_day_is_a_day() -> None:
    start = utc("2026-11-22T05:00")
    assert schedule.days_spanned([], 86_400) == 0
    assert schedule.days_spanned([start + place * 60 * SECOND for place in range(3)], 120) == 2


@pytest.mark.parametrize(("zone", "first"), CLOCKS[:-2])
def test_so_many_days_later_is_the_same_time_by_the_clocks(zone: str, first: str) -> None:
    plan, here = Schedule(timezone=zone), ZoneInfo(zone)
    start = schedule.day_start(plan, local(f"{first}T12:00", here))
    assert schedule.days_after(plan, start, 14) == schedule.day_start(plan, start + 14 * DAY + 3 * HOUR)
    noon = local(f"{first}T12:00", here)
    assert (
        schedule.days_after(plan, noon, 14).astimezone(here).replace(tzinfo=None)
        == noon.astimezone(here).replace(tzinfo=None) + 14 * DAY
    )


def test_a_short_schedules_days_later_are_its_own() -> None:
    start = utc("2026-11-22T05:00")
    assert schedule.days_after(Schedule(day_seconds=120), start, 7) == start + timedelta(seconds=840)
