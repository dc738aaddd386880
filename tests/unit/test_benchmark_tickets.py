"""The fleets of ``benchmarks/tickets.py``: its fast screen decides as the product's own rule does, day by day."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import tickets
from benchmarks.fast import Track, grown_log10, log10_sum
from benchmarks.resample import LINE_LOG10, LOOKS_PER_YEAR
from monitor.detect import policy


@settings(max_examples=100)
@given(st.lists(st.integers(-30, 60).map(lambda n: n / 15 + 0.0077), min_size=1, max_size=6))
def test_the_screen_is_the_products_rule(over: list[float]) -> None:
    others = [over[:at] + over[at + 1 :] for at in range(len(over))]
    wanted = [one >= policy.fleet_factor_log10(rest) for one, rest in zip(over, others, strict=True)]
    assert tickets.rejected(np.array(over)).tolist() == wanted


@pytest.mark.parametrize("seed", [3, 4])
def test_a_year_is_what_the_products_code_says_of_every_day(seed: int) -> None:
    """Without the screen: every target's evidence on every day, by ``evidence.running``."""
    fleet = tickets.Fleet(3, 1.0, False, seed)
    year = tickets._Year(fleet)
    scores, begins = year.evaluations.copy(), year.begins.copy()
    starts, closes, plain = [0, 0, 0], [-1, -1, -1], []
    for day in range(LOOKS_PER_YEAR):
        for target in (one for one in range(3) if closes[one] == day):
            if begins[target] <= day:
                scores[target, 0, day:] -= tickets.SHIFT
                begins[target] = LOOKS_PER_YEAR
            closes[target], starts[target] = -1, day
        over = []
        for target in range(3):
            tracks = [Track(year.baselines[target, n], scores[target, n], "rise", 0.25, str(n)) for n in range(4)]
            over.append(log10_sum(list(grown_log10(tracks, starts[target], day).values())) - LINE_LOG10)
        new = [t for t in range(3)
               if closes[t] < 0 and over[t] >= policy.fleet_factor_log10(over[:t] + over[t + 1 :])]  # fmt: skip
        for target in new:
            closes[target] = day + tickets.OPEN_DAYS
        true = sum(bool(begins[one] <= day) for one in new)
        plain.append((true, len(new) - true))
    assert [year.day(day) for day in range(LOOKS_PER_YEAR)] == plain
    assert sum(true for true, _ in plain) >= 2, "a shift of four standard deviations is seen"


def test_shared_days_are_the_same_for_all_targets() -> None:
    rng = np.random.default_rng(1)
    for shared in (False, True):
        scores = tickets._scores(tickets.Fleet(40, 0.0, shared, 1), rng)
        assert scores.std() == pytest.approx(tickets.SPREAD, rel=0.05)
        alike = np.mean([np.corrcoef(scores[0, n], scores[1, n])[0, 1] for n in range(tickets.SIGNALS)])
        assert (alike > 0.2) == shared


def test_rows_tell_the_rate_and_the_share() -> None:
    done = [(tickets.Fleet(30, 0.1, False, seed), tickets.Tickets(3, int(seed == 0))) for seed in range(10)]
    rate, share = tickets.rows(done)
    assert (rate.measure, rate.n, share.measure, share.n) == (tickets.RATE, 300, tickets.SHARE, 31)
    assert (rate.value, share.value) == pytest.approx((1 / 300, 1 / 31))
    assert rate.low < rate.value < rate.high
    assert share.low < share.value < share.high
    assert rate.case == "30 targets, 10% change in the year"


def test_nothing_raised_has_no_share() -> None:
    (rate,) = tickets.rows([(tickets.Fleet(1, 0.1, False, seed), tickets.Tickets(0, 0)) for seed in range(50)])
    assert (rate.value, rate.low) == (0, 0)
    assert rate.high == pytest.approx(3.69 / 50, rel=0.01)
