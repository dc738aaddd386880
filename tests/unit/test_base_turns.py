"""Which probes the base is asked: the choice as a function of a turn, and of what is known before a run."""

from math import ceil

import pytest

from monitor.runs.base_share import FEWEST, TURNS, share_size, turn_of

SIZES = (1, 2, 3, 5, 6, 7, 11, 17, 18, 19, 24, 36, 100, 500, 2000)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("first", [0, 1, 5, 364, 100_003])
def test_every_probe_has_its_turn_within_eight_runs(size: int, first: int) -> None:
    probes = [f"probe-{number}" for number in range(size)]
    turns = [turn_of(probes, "bot/support", first + step) for step in range(TURNS)]
    assert frozenset().union(*turns) == frozenset(probes)
    assert {len(turn) for turn in turns} == {share_size(size)}


@pytest.mark.parametrize("size", SIZES)
def test_a_share_is_an_eighth_and_never_fewer_than_a_reading_needs(size: int) -> None:
    assert share_size(size) == max(ceil(size / TURNS), min(FEWEST, size))


def test_no_probe_is_asked_much_more_often_than_another() -> None:
    for size in (7, 20, 23, 24, 31):
        probes = [f"p{number}" for number in range(size)]
        asked = [probe for turn in range(60 * size) for probe in turn_of(probes, "k", turn)]
        counts = {asked.count(probe) for probe in probes}
        assert max(counts) - min(counts) <= 1


def test_the_order_is_the_stream_s_own_and_does_not_depend_on_the_file() -> None:
    probes = [f"p{number:02}" for number in range(24)]
    assert turn_of(probes, "bot/support/1", 3) == turn_of(probes[::-1], "bot/support/1", 3)
    others = {turn_of(probes, f"bot-{number}/support/1", 3) for number in range(20)}
    assert len(others) > 15, "targets that share a base do not all ask it the same on one day"
    assert turn_of([], "k", 4) == frozenset()
