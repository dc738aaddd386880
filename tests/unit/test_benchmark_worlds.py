"""The worlds of ``benchmarks/worlds.py``: days as stated, scores and alarms as the product gives them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pytest

from benchmarks import worlds, worlds_alarm, worlds_null
from benchmarks.channels import Scores
from benchmarks.worlds import Design, Drawn, Effects, World
from benchmarks.worlds_alarm import Alarms
from monitor.core.records import JUDGE_GRADER, Alarm, AlarmState, Arm, Comparison, GradedAnswer, Severity
from monitor.core.signals import SEVERITIES
from monitor.detect import SIGNALS, alarms, finding_of, policy
from monitor.detect.measurement import Channel, Reading, Told, Verdict

START: Final = datetime(2025, 1, 1, tzinfo=worlds_alarm.START.tzinfo)
"""Of the baseline."""


# --- days


def test_every_law_has_unit_variance_and_no_mean() -> None:
    for name, world in {**worlds.CASES, **worlds.FURTHER}.items():
        if world.law in ("real", "t3"):
            continue
        rng = np.random.default_rng(1)
        sizes = np.concatenate([world.effects(14, 2000, rng).sizes for _ in range(12)], axis=1)
        assert sizes.std() == pytest.approx(1.0, abs=0.08), name
        assert sizes.mean() == pytest.approx(0.0, abs=0.1), name


def test_heavy_tails_are_students() -> None:
    sizes = np.abs(World("t3").effects(14, 60_000, np.random.default_rng(2)).sizes)
    assert (sizes > 3).mean() == pytest.approx(0.0138, rel=0.1)  # P(|t3| > 3 sqrt 3)


@pytest.mark.parametrize("memory", [0.5, 0.8])
def test_days_remember(memory: float) -> None:
    sizes = World("ar", memory=memory).effects(14, 40_000, np.random.default_rng(3)).sizes
    for one in sizes:
        assert np.corrcoef(one[1:], one[:-1])[0, 1] == pytest.approx(memory, abs=0.03)
        assert np.corrcoef(one[7:], one[:-7])[0, 1] == pytest.approx(memory**7, abs=0.05)
    assert abs(np.corrcoef(sizes[0], sizes[1])[0, 1]) < 0.05


def test_states_stay_as_long_as_stated() -> None:
    sizes = World("two-state", memory=20.0).effects(14, 60_000, np.random.default_rng(4)).sizes
    assert (sizes[0, 1:] != sizes[0, :-1]).mean() == pytest.approx(1 / 20, rel=0.1)
    assert (sizes == sizes[0]).all()  # one backend for everything


def test_a_week_repeats() -> None:
    sizes = World("weekly").effects(14, 70, np.random.default_rng(5)).sizes
    assert sizes[:, 7:] == pytest.approx(sizes[:, :-7])


def test_odd_days_come_after_the_baseline_unless_they_are_meant_to_be_in_it() -> None:
    rng = np.random.default_rng(6)
    after = [worlds.CASES["odd-day"].effects(14, 365, rng).odd for _ in range(200)]
    within = [worlds.CASES["odd-day-in-baseline"].effects(14, 365, rng).odd for _ in range(200)]
    assert not any(one[:14].any() for one in after)
    assert all(one[:14].sum() == 1 for one in within)
    assert np.mean([one[14:].mean() for one in (*after, *within)]) == pytest.approx(1 / 30, rel=0.1)


# --- answers


@pytest.mark.parametrize("pass_rate", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("world", [World(), World(spread=1.5), World("t3"), World("two-state", memory=5.0)])
def test_a_days_sum_has_the_stated_spread_and_mean(world: World, pass_rate: float) -> None:
    shares = worlds.Logit.of(pass_rate, world).shares(Effects(world.marginal()[None], np.zeros(1, dtype=bool)))
    assert shares.mean() == pytest.approx(pass_rate, abs=1e-6)
    count, usual = worlds.REFERENCE, pass_rate * (1 - pass_rate)
    variance = count * (shares * (1 - shares)).mean() + count**2 * shares.var()
    assert np.sqrt(variance / (count * usual)) == pytest.approx(world.spread, rel=1e-3)


def test_the_answers_of_days_follow_their_effects() -> None:
    world, rng = World(spread=1.5), np.random.default_rng(7)
    effects = world.effects(14, 6000, rng)
    endpoint = worlds.Synthetic(world, Design(pass_rate=0.9), effects.on(slice(0, 14)), rng)
    found = endpoint.draw(effects.on(slice(14, None)), rng)
    independent = np.sqrt(24 * 0.9 * 0.1)
    assert found.passed.mean() == pytest.approx(0.9, abs=0.005)
    assert found.passed.sum(axis=(1, 2)).std() / independent == pytest.approx(1.5, rel=0.05)
    logs = (np.log(found.chars) - endpoint.usual[None, :, None]) / worlds.LENGTHS[2]
    assert logs.sum(axis=(1, 2)).std() / np.sqrt(24) == pytest.approx(1.5, rel=0.05)


def test_an_odd_day_is_three_standard_deviations_worse() -> None:
    effects = Effects(np.zeros((3, 4000)), np.arange(4000) % 2 == 0)
    endpoint = worlds.Synthetic(World(spread=1.0), Design(), effects.on(slice(0, 14)), np.random.default_rng(8))
    fails = 24 - endpoint.draw(effects, np.random.default_rng(9)).passed.sum(axis=(1, 2))
    gap = fails[effects.odd].mean() - fails[~effects.odd].mean()
    assert gap / np.sqrt(24 * 0.98 * 0.02) == pytest.approx(3.0, rel=0.06)


def test_the_judges_noise_turns_verdicts_around() -> None:
    effects = Effects(np.zeros((3, 500)), np.zeros(500, dtype=bool))
    for noise in (0.0, 0.05):
        world = World(spread=1.0, judge_noise=noise)
        endpoint = worlds.Synthetic(world, Design(), effects.on(slice(0, 14)), np.random.default_rng(10))
        found = endpoint.draw(effects, np.random.default_rng(11))
        differ = 1 - worlds.JUDGE_AGREES
        assert (found.judged != found.passed).mean() == pytest.approx(
            noise * (1 - differ) + differ * (1 - noise), abs=0.006
        )


def test_partial_runs_lack_answers_and_more_of_the_long_ones() -> None:
    world, rng = worlds.CASES["partial"], np.random.default_rng(12)
    effects = world.effects(14, 400, rng)
    endpoint = worlds.Synthetic(world, Design(), effects.on(slice(0, 14)), rng)
    found = endpoint.draw(effects.on(slice(14, None)), rng)
    missing = np.isnan(found.passed)
    assert 0.05 < missing.mean() < 0.2
    assert (np.isnan(found.chars) == missing).all()
    known = np.log(found.chars[~missing]) - np.broadcast_to(endpoint.usual[None, :, None], missing.shape)[~missing]
    assert known.mean() < 0.0


# --- scores, as the signals give them


def _answers(drawn: Drawn, day: int, slot: datetime, run_id: int) -> Iterator[GradedAnswer]:
    """One day's answers of both arms as the detect stage is handed them. A text stands for its length alone."""
    for probe in range(drawn.passed.shape[1]):
        for replicate in range(drawn.passed.shape[2]):
            place = day, probe, replicate
            if np.isnan(drawn.passed[place]):
                continue
            scores = {"checks": drawn.passed[place], JUDGE_GRADER: drawn.judged[place]}
            yield GradedAnswer(
                run_id, slot, Arm.SUBJECT, f"p{probe:03}", replicate, "x" * int(drawn.chars[place]),
                "length" if drawn.cut[place] else "stop", bool(drawn.refused[place]), "m", "f", 5, 5, scores,
            )  # fmt: skip


def _base_answers(
    judged: np.ndarray, passed: np.ndarray, slot: datetime, run_id: int
) -> Iterator[GradedAnswer]:
    for probe, (verdict, check) in enumerate(zip(judged.tolist(), passed.tolist(), strict=True)):
        scores = {"checks": check, JUDGE_GRADER: verdict}
        yield GradedAnswer(
            run_id, slot, Arm.BASE, f"p{probe:03}", 0, f"base {probe}", "stop", False, "b", "f", 5, 5, scores
        )


def _comparison(endpoint: worlds.Synthetic, now: Drawn, row: int, line: float) -> Comparison:
    before: list[GradedAnswer] = []
    for day in range(endpoint.design.days):
        slot = START + timedelta(days=day)
        before += _answers(endpoint.before, day, slot, day + 1)
        before += _base_answers(endpoint.before.base_judged[day, :, 0], endpoint.base_passed[day], slot, day + 1)
    slot = START + timedelta(days=100)
    judged = now.base_judged[row, :, 0]
    today = [*_answers(now, row, slot, 1000), *_base_answers(judged, judged, slot, 1000)]
    return Comparison(
        run_id=1000, target="t", suite="s", now=tuple(today), baseline=tuple(before), prompts={},
        page_threshold_log10=line, ticket_threshold_log10=line, temperature=0.7,
    )  # fmt: skip


MEASURED: Final = ("canaries", "negative_flips", "judge_score", "length", "contract")


def _readings(made: Comparison) -> dict[str, Reading]:
    return {name: reading for name in MEASURED if (reading := SIGNALS[name](made)) is not None}


@pytest.mark.parametrize(
    ("case", "design"),
    [
        ("iid-1.5", Design()),
        ("odd-day", Design(probes=40, pass_rate=0.9, days=7)),
        ("judge-noise", Design(probes=12, replicates=3, pass_rate=0.95)),
    ],
)
def test_scores_are_those_of_the_signals(case: str, design: Design) -> None:
    world, rng = worlds.CASES[case], np.random.default_rng(13)
    effects = world.effects(design.days, 6, rng)
    effects.odd[-1] = True
    endpoint = worlds.Synthetic(world, design, effects.on(slice(0, design.days)), rng)
    now = endpoint.draw(effects.on(slice(design.days, None)), rng)
    found = {(one.signal, one.channel): one for one in endpoint.scores(now)}
    for row in range(6):
        told = {
            (name, channel.name): channel
            for name, reading in _readings(_comparison(endpoint, now, row, 3.5)).items()
            for channel in reading.channels
        }
        assert told.keys() == found.keys() - {("adapter_loss", "text")}
        for key, channel in told.items():
            ours = found[key]
            assert ours.evaluations[row] == pytest.approx(channel.score, abs=1e-6), key
            beside = worlds_alarm._beside(ours)
            baseline = ours.baseline if beside is None else beside(row)
            assert baseline == pytest.approx(channel.baseline, abs=1e-6), key
            assert (ours.side, ours.prior) == (channel.side, channel.prior)
