"""The benchmark of refusals: its world is the published one, and Cliffwatch in it is the product."""

import numpy as np
import pytest

from benchmarks import refusals
from benchmarks.refusals import WORLDS, Job, Watch

EXPECTED = np.array(list(refusals.RATES.values())).T


def test_quiet_days_have_the_rates_of_each_family() -> None:
    flags = refusals.drawn(WORLDS["quiet"], 400, np.random.default_rng(1))
    assert flags.shape == (414, 6, 21, 4)
    assert np.abs(flags.mean(axis=(0, 2)) - EXPECTED).max() < 0.015


def test_the_effect_of_a_day_stays_for_weeks() -> None:
    effects = refusals.effects(WORLDS["AR(1) 0.9"], 40_000, np.random.default_rng(1))
    assert effects.std() == pytest.approx(0.25, abs=0.02)
    assert np.corrcoef(effects[:-1], effects[1:])[0, 1] == pytest.approx(0.9, abs=0.02)


def test_the_published_baseline_has_no_effect() -> None:
    effects = refusals.effects(WORLDS["published"], 20, np.random.default_rng(1))
    assert not effects[:5].any()
    assert effects[5:].all()


def test_only_refusals_rise() -> None:
    flags = refusals.drawn(WORLDS["quiet"], 800, np.random.default_rng(1), rise=0.2, onset=400)
    before, after = flags[14:414].mean(axis=(0, 2)), flags[414:].mean(axis=(0, 2))
    assert np.abs(after - before - [0.2, 0.0, 0.0, 0.0]).max() < 0.03


def test_scores_computed_at_once_and_by_the_product_give_the_same_alarms() -> None:
    """Day by day the product measures everything itself; `cliffwatch` measures two days and computes the others."""
    flags = refusals.drawn(WORLDS["AR(1) 0.9"], 14, np.random.default_rng(3), rise=0.2, onset=8)
    watch = Watch(flags[:14])
    alarmed = []
    for place, day in enumerate(flags[14:]):
        made = watch.comparison(day, place)
        alarmed.append(watch.look(made, watch.readings(made)))
    assert refusals.cliffwatch(flags, 14).tolist() == alarmed
    assert set(watch.history) == {"contract", "negative_flips"}
    assert (any(alarmed[:8]), alarmed[-1]) == (False, True)


@pytest.mark.parametrize("name", refusals.TOOLS)
def test_every_tool_is_quiet_on_quiet_days_and_sees_answers_turn_to_refusals(name: str) -> None:
    flags = refusals.drawn(WORLDS["quiet"], 12, np.random.default_rng(5), rise=0.8, onset=6)
    alarming = refusals.TOOLS[name](flags, 14)
    assert alarming.shape == (12,)
    assert not alarming[:3].any() or name == "drift-caliper"
    assert alarming[6:].any()


def test_days_count_from_the_rise_and_an_alarm_open_at_it_leaves_the_trial_out() -> None:
    alarming = np.array([True, False, False, True, True])
    assert refusals._days_to(alarming, 1) is None
    assert refusals._days_to(alarming, 2) == 2
    assert refusals._days_to(alarming, 4) is None
    assert refusals._days_to(alarming[:3], 2) == float("inf")


def test_rows_of_a_year_and_of_a_rise() -> None:
    quiet, rise = (Job("quiet", *rest, seed=1) for rest in (("", ""), ("20 points", ", late")))
    told: list[tuple[Job, dict[str, float | None]]] = [
        (job, dict.fromkeys(refusals.TOOLS, number))
        for job, number in ((quiet, 2.0), (quiet, 0.0), (rise, 3.0), (rise, float("inf")), (rise, None))
    ]
    rows = {(row.case, row.measure): row for row in refusals.rows(told, 1) if row.method == "cliffwatch"}
    year = rows["quiet", "false_alarms_per_target_year"]
    assert (year.value, year.n) == (1.0, 2)
    assert year.low < 1 < year.high
    case = "quiet, +20 points, late"
    assert (rows[case, "found"].value, rows[case, "found"].n) == (0.5, 2)
    assert (rows[case, "median_days"].value, rows[case, "p90_days"].value) == (3.0, refusals.DAYS + 1)


def test_the_published_world_measures_false_alarms_only() -> None:
    made = refusals.jobs(["published", "quiet"], 8, 1)
    assert {one.rise for one in made if one.world == "published"} == {""}
    assert sum(one.rise == "10 points" and one.onset == ", late" for one in made) == 2
    assert len({one.seed for one in made}) == len(made)
