"""The sample: its size, that it is uniform, that order does not matter, and how strata share it."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.sample.reservoir import OTHER, Strata, allocate

Stream = list[tuple[str, int]]


def draw(stream: Stream, size: int, seed: int, limit: int | None = None) -> list[tuple[str, int, int]]:
    strata: Strata[int] = Strata(size, seed, limit)
    for stratum, item in stream:
        strata.add(stratum, str(item).encode(), item)
    return [(stratum, kept.item, kept.count) for stratum, kept in strata.draw()]


STREAMS = st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 60)), max_size=200)


@given(STREAMS, st.integers(1, 30), st.integers())
def test_size_and_no_input_twice(stream: Stream, size: int, seed: int) -> None:
    sample = draw(stream, size, seed)
    assert len(sample) == min(size, len({item for _, item in stream}))
    assert len({item for _, item, _ in sample}) == len(sample)


@given(STREAMS, st.integers(1, 30), st.integers(), st.randoms(use_true_random=False), st.sampled_from([None, 2]))
def test_the_order_of_the_stream_changes_nothing(
    stream: Stream, size: int, seed: int, random: Random, limit: int | None
) -> None:
    shuffled = list(stream)
    random.shuffle(shuffled)
    assert draw(stream, size, seed, limit) == draw(shuffled, size, seed, limit)


@given(STREAMS, st.integers(1, 30), st.integers())
def test_counts_are_exact(stream: Stream, size: int, seed: int) -> None:
    asked = Counter(stream)
    assert all(count == asked[stratum, item] for stratum, item, count in draw(stream, size, seed))


def test_another_seed_draws_another_sample() -> None:
    stream = [("a", item) for item in range(1000)]
    assert draw(stream, 20, 1) == draw(stream, 20, 1)
    assert draw(stream, 20, 1) != draw(stream, 20, 2)


def test_every_input_is_as_likely_as_any_other() -> None:
    """50 inputs, some asked often, 10 drawn, 4,000 seeds: each input's share is 0.2 with a standard error of 0.0063,
    each pair's 0.0367 with 0.0030. The largest of 50 deviations stays under 4.5 errors (p < 0.001 if uniform)."""
    stream = [("a", item) for item in range(50) for _ in range(1 + item % 7)]
    seeds = 4000
    single: Counter[int] = Counter()
    pairs: Counter[tuple[int, int]] = Counter()
    for seed in range(seeds):
        chosen = [item for _, item, _ in draw(stream, 10, seed)]
        single.update(chosen)
        pairs.update((item, item + 1) for item in chosen if item + 1 in chosen)
    error = (0.2 * 0.8 / seeds) ** 0.5
    assert max(abs(single[item] / seeds - 0.2) for item in range(50)) < 4.5 * error
    together = 10 * 9 / (50 * 49)
    error = (together * (1 - together) / seeds) ** 0.5
    assert max(abs(pairs[item, item + 1] / seeds - together) for item in range(49)) < 4.5 * error


def test_traffic_decides_the_strata_not_the_chance_of_an_input() -> None:
    stream = [("big", item % 300) for item in range(9000)] + [("small", 1000 + item % 300) for item in range(1000)]
    sample = Counter(stratum for stratum, _, _ in draw(stream, 50, 3))
    assert sample == {"big": 45, "small": 5}


def test_an_input_in_two_strata_is_drawn_once_and_its_place_filled() -> None:
    stream = [(stratum, item) for stratum in "ab" for item in range(100)]
    sample = draw(stream, 40, 5)
    assert len(sample) == 40
    assert Counter(stratum for stratum, _, _ in sample) == {"a": 20, "b": 20}


def test_too_many_strata_share_one() -> None:
    strata: Strata[int] = Strata(10, 1, limit=3)
    for item in range(100):
        strata.add(f"user-{item}", str(item).encode(), item)
    requests = strata.requests()
    assert len(requests) == 4
    assert requests[OTHER] == 97
    assert len(strata.draw()) == 10


def test_a_stratum_that_is_called_other() -> None:
    assert draw([(OTHER, 1), ("a", 2), ("b", 3), ("c", 4)], 10, 1, limit=2)[0][0] == OTHER
    assert len(draw([(OTHER, 1), ("a", 2), ("b", 3), ("c", 4)], 10, 1, limit=2)) == 4


SIZES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 500), min_size=1)


@settings(max_examples=300)
@given(SIZES, st.integers(1, 60), st.data())
def test_shares(sizes: dict[str, int], total: int, data: st.DataObject) -> None:
    available = {name: data.draw(st.integers(1, size)) for name, size in sizes.items()}
    given_ = allocate(sizes, available, total)
    assert sum(given_.values()) == min(total, sum(available.values()))
    assert all(0 <= given_[name] <= available[name] for name in sizes)
    if len(sizes) <= total:
        assert min(given_.values()) >= 1


@settings(max_examples=300)
@given(SIZES, st.integers(1, 60))
def test_shares_are_proportional_where_nothing_binds(sizes: dict[str, int], total: int) -> None:
    quotas = {name: total * size / sum(sizes.values()) for name, size in sizes.items()}
    if min(quotas.values()) >= 1:
        given_ = allocate(sizes, dict.fromkeys(sizes, total), total)
        assert all(abs(given_[name] - quotas[name]) < 1 for name in sizes)


@pytest.mark.parametrize(
    ("sizes", "available", "total", "expected"),
    [
        ({"a": 70, "b": 20, "c": 10}, None, 10, {"a": 7, "b": 2, "c": 1}),
        ({"a": 999, "b": 1}, None, 10, {"a": 9, "b": 1}),
        ({"a": 5, "b": 9, "c": 7}, None, 2, {"a": 0, "b": 1, "c": 1}),
        ({"a": 80, "b": 10, "c": 10}, {"a": 2, "b": 10, "c": 10}, 10, {"a": 2, "b": 4, "c": 4}),
        ({"a": 1, "b": 1, "c": 1}, None, 10, {"a": 1, "b": 1, "c": 1}),
        ({}, None, 10, {}),
    ],
)
def test_shares_by_example(
    sizes: dict[str, int], available: dict[str, int] | None, total: int, expected: dict[str, int]
) -> None:
    assert allocate(sizes, available or sizes, total) == expected
