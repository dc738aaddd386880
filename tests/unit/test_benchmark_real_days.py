"""``benchmarks/real_days.py`` on made-up days whose spread, tails and dependence are known; the recorded days' file."""

import argparse
import asyncio
import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks import real_days, real_regimes, real_servers
from benchmarks.pool import PoolAnswer, suite
from benchmarks.recorded import Recording, blocks, first_tokens, keep, recorded_days
from monitor.core.records import Severity, TokenLogprob

PROBES = [f"probe-{number:02}" for number in range(24)]


def ar(days: int, memory: float, rng: np.random.Generator) -> real_days.FloatArray:
    """Unit variance, correlated from one day to the next by ``memory``."""
    found = rng.standard_normal(days)
    for day in range(1, days):
        found[day] = memory * found[day - 1] + np.sqrt(1 - memory**2) * found[day]
    return found


def answer(probe: str, text: str, right: float = 1.0) -> PoolAnswer:
    return PoolAnswer(
        "made", probe, 0, text, "stop", False, "m", "f", 9, len(text), {"checks": right, "check:x": right}
    )


def recording(effects: real_days.FloatArray, rng: np.random.Generator) -> Recording:
    """Answers whose log length is normal (sd 0.3) around the probe's own; a day moves all of them by its effect."""
    usual = rng.uniform(4.0, 5.5, len(PROBES))
    subject = tuple(
        tuple(
            answer(probe, "x" * round(float(np.exp(middle + 0.3 * rng.standard_normal() + effect))))
            for probe, middle in zip(PROBES, usual, strict=True)
        )
        for effect in effects
    )
    base = tuple(tuple(answer(probe, "no idea", 0.0) for probe in PROBES) for _ in effects)
    return Recording("made", "made", 0.7, subject, base)


@pytest.mark.parametrize("memory", [-0.3, 0.0, 0.5, 0.8])
def test_autocorrelation_of_known_days(memory: float) -> None:
    rng = np.random.default_rng(5)
    found = [
        real_days.autocorrelation([2.0 * ar(120, memory, rng) + offset for offset in (0.0, 7.0, -3.0)])
        for _ in range(100)
    ]
    assert np.mean([one.value for one in found]) == pytest.approx(memory, abs=0.03)
    assert sum(one.low < memory < one.high for one in found) >= 88
    assert found[0].high - found[0].low == pytest.approx(4 / np.sqrt(3 * 119))


def test_days_without_any_variation_say_nothing_of_dependence() -> None:
    found = real_days.autocorrelation([np.full(60, 1.5), ar(60, 0.9, np.random.default_rng(1))])
    assert found.value > 0.6
    assert real_days.autocorrelation([np.zeros(60)]).value == 0.0


def test_spread_kurtosis_and_shift_of_known_days() -> None:
    rng = np.random.default_rng(2)
    normal = [1.3 * rng.standard_normal(2000) + mean for mean in (3.0, -4.0)]
    assert real_days.spread(normal) == pytest.approx(1.3, rel=0.05)
    assert real_days.shift(normal) == pytest.approx(np.sqrt(12.5), rel=0.03)
    assert real_days.kurtosis(normal) == pytest.approx(0.0, abs=0.3)
    assert real_days.kurtosis([rng.standard_t(3, 4000)]) > 3
    assert real_days.kurtosis([np.zeros(9)]) == 0.0
    within = real_days.bounded(normal, real_days.spread, 1)
    assert within.low < 1.3 < within.high
    assert within.high - within.low < 0.15


def test_odd_days_are_those_far_from_the_usual_ones() -> None:
    track = np.random.default_rng(3).normal(2.0, 0.9, 90).clip(0.0, 4.0)
    assert real_days.odd(track) == 0
    track[[4, 40, 77]] = 9.0, -5.0, 6.5
    assert real_days.odd(track) == 3
    assert real_days.odd(np.array([0.0] * 20 + [2.9])) == 0, "within what independent answers do"


def test_common_factor_of_signals() -> None:
    rng = np.random.default_rng(4)
    day = rng.standard_normal(2000)
    apart = {(name, "x"): rng.standard_normal(2000) for name in "abc"}
    together = {channel: track + day for channel, track in apart.items()} | {("a", "second"): day}
    assert (real_days.common(apart) or 0) < 0.05
    assert real_days.common(together) == pytest.approx(0.5, abs=0.05)
    assert real_days.common({("a", "x"): day, ("b", "x"): np.zeros(2000)}) is None


def test_a_day_effect_is_found_and_shuffling_takes_it_away() -> None:
    """An effect of 0.12 on answers with a deviation of 0.3: a day's sum spreads sqrt(1 + 24 x 0.16) = 2.2 times."""
    rng = np.random.default_rng(6)
    made = recording(0.12 * ar(90, 0.6, rng), rng)
    mixed = real_days.shuffled(made, rng)
    for probe in range(len(PROBES)):
        texts, other = (sorted(day[probe].text for day in one.subject) for one in (made, mixed))
        assert texts == other
    usual, chance = (real_days.scored(one)["length", "mean"] for one in (made, mixed))
    assert chance.std() == pytest.approx(1.0, abs=0.2)
    # the effect is part of the pooled deviation too: sqrt(24 x 0.16 + 1) / sqrt(0.16 + 1)
    assert usual.std() == pytest.approx(2.04, abs=0.4)
    assert real_days.autocorrelation([usual]).value == pytest.approx(0.5, abs=0.25)
    assert abs(real_days.autocorrelation([chance]).value) < 0.3


def test_rows_of_quiet_days_and_of_days_with_a_change() -> None:
    rng = np.random.default_rng(7)
    effects = np.zeros(20)
    effects[16:] = 1.5
    quiet, changed = (recording(one, rng) for one in (np.zeros(20), effects))
    for made, alarms in ((quiet, False), (changed, True)):
        after, told = real_days.evaluated(made)
        assert after["length", "mean"].size == 20 - real_days.BASELINE
        assert ("length" in told[Severity.TICKET]) == alarms
    days = real_days.scored(quiet)
    found = real_days.rows(
        [real_days.Measured("s", "r", 0.7, days, [days], {("length", "mean"): np.ones(18)}, {}, 18)] * 2
    )
    rows = {(row.case, row.measure): row for row in found}
    assert rows["r, temperature 0.7", "length.mean spread_over_shuffled"].value == pytest.approx(1.0)
    assert rows["all regimes, temperature 0.7", "length.mean spread"].n == 40
    assert rows["all regimes, temperature 0.7", "pages_per_target_year"].high == pytest.approx(
        3.69 * 365 / 36, rel=0.01
    )
    assert all(row.low <= row.value <= row.high for row in found)


def test_blocks_are_consecutive_days() -> None:
    rng = np.random.default_rng(8)
    places = blocks(60, 365, rng, 14)
    assert places.size == 365
    assert places.min() >= 0
    assert places.max() < 60
    steps = np.diff(places)
    assert (steps[np.arange(364) % 14 != 13] == 1).all()
    assert set(blocks(60, 40_000, rng).tolist()) == set(range(60))
    assert blocks(5, 12, rng, 14).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    rows = [
        {
            "server": "s", "regime": "steady", "temperature": 0.0, "arm": arm, "day": day, "probe": probe,
            "replicate": 0, "text": f"{arm} {day % 2} ü", "finish_reason": "stop", "refusal": False, "model": arm,
            "fingerprint": None, "prompt_tokens": 3, "completion_tokens": day, "scores": {"checks": float(day % 2)},
            "logprobs": ["a", -0.5, {"a": -0.5, "b": -1.25}],
        }
        for day in (1, 0, 2)
        for probe in ("b", "a")
        for arm in ("base", "subject")
    ]  # fmt: skip
    file = tmp_path / "kept.json.gz"
    size = keep(rows, {("a", "subject 1 ü"): 1.0}, ["a", "b"], file)
    assert size == file.stat().st_size
    (found,) = recorded_days(None, file)
    assert recorded_days("other", file) == []
    assert [len(day) for day in found.subject] == [2, 2, 2]
    assert [one.text for one in found.subject[1]] == ["subject 1 ü"] * 2
    assert [one.probe for one in found.base[2]] == ["a", "b"]
    assert [one.judge for one in found.subject[1]] == [1.0, None]
    assert [day[0].completion_tokens for day in found.on([2, 0, 2]).base] == [2, 0, 2]
    assert found.subject[1][0].right == 1.0
    assert all(one.logprobs is None for day in found.subject for one in day)
    tokens = first_tokens(found, file)
    assert tokens is not None
    assert tokens.subject[2][0].logprobs == (TokenLogprob("a", -0.5, {"a": -0.5, "b": -1.25}),)


def test_the_recorded_days_are_whole() -> None:
    found = recorded_days()
    assert {one.server for one in found} >= {"llama.cpp", "vllm"}
    probes = [probe.id for probe in suite().probes]
    for one in found:
        assert len(one.subject) == len(one.base)
        assert all([answer.probe for answer in day] == probes for day in (*one.subject, *one.base))
        assert any(answer.judge is not None for answer in one.subject[0])


def test_day_effects_are_drawn_from_the_recorded_days() -> None:
    drawn = [real_days.day_effects(400, np.random.default_rng(seed)) for seed in range(12)]
    together = np.concatenate(drawn, axis=1)
    assert drawn[0].shape == (len(real_days.FACTORS), 400)
    assert np.abs(together.mean(axis=1)).max() < 0.25
    assert together.std(axis=1)[[0, 2]] == pytest.approx(np.ones(2), abs=0.25)
    assert together.std(axis=1)[1] < 1.25


def test_regimes_do_what_they_say() -> None:
    def plan(regime: str, kind: real_regimes.Kind = real_regimes.LLAMA) -> list[real_regimes.Day]:
        return real_regimes.planned(kind, regime, 200, 1)

    default = {name: values[0] for name, values in real_regimes.LLAMA.flags.items()}
    assert [day.restart for day in plan("steady")] == [True] + [False] * 199
    assert all(day.restart for day in plan("restarted"))
    assert 5 < sum(day.restart for day in plan("restarted", real_regimes.VLLM)) < 40
    loads = [day.clients for day in plan("loaded")]
    assert all(2 <= one <= 12 for place, one in enumerate(loads) if place % 7 < 5)
    assert all(one <= 2 for place, one in enumerate(loads) if place % 7 >= 5)
    flags = plan("flags")
    changes = [old.flags != new.flags for old, new in pairwise(flags)]
    assert 20 < sum(changes) < 60
    assert all(new.restart == changed for new, changed in zip(flags[1:], changes, strict=True))
    assert all(day.flags == default and day.clients == 0 for day in plan("replicas"))
    assert len({day.share for day in plan("replicas")}) > 20
    assert {day.share for day in plan("loaded")} == {None}
    assert plan("all") == plan("all")


def test_a_real_server_is_asked_on_honest_days(tmp_path: Path) -> None:
    """llama.cpp with the lab's weights: two replicas, other clients, restarts."""
    arguments = argparse.Namespace(days=2, seed=3, python="")
    path = tmp_path / "llama.cpp-all.jsonl.gz"
    asyncio.run(real_servers.collect(real_regimes.LLAMA, "all", path, arguments))
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    probes = len(suite().probes)
    assert len(rows) == 2 * 2 * 2 * probes
    assert {(row["day"], row["temperature"], row["arm"]) for row in rows} == {
        (day, temperature, arm) for day in (0, 1) for temperature in (0.0, 0.7) for arm in ("subject", "base")
    }
    assert {row["replica"] for row in rows} == {0, 1}
    right = {
        arm: np.mean([row["scores"]["checks"] for row in rows if row["arm"] == arm]) for arm in ("subject", "base")
    }
    assert right["subject"] > 0.9
    assert right["base"] < 0.1
    assert all((row["logprobs"] is not None) == (row["temperature"] == 0.0) for row in rows)
    assert {row["model"] for row in rows} == {"lab-support", "lab-base"}
