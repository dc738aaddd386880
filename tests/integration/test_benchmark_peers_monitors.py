"""The peers that watch day after day: our adapters compute what the peers' own code does, and see a gross change."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers_monitors as monitors
from benchmarks import pool
from monitor.core.records import Arm, GradedAnswer
from monitor.lab.process import LabServer

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 5
Day = list[GradedAnswer]


@pytest.fixture(scope="module")
def lab_days(lab_server: LabServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Day]]:
    """Real answers of the lab to its 24 probes: seven healthy days, and one on which it refuses."""
    folder = tmp_path_factory.mktemp("pool")

    async def collect() -> None:
        collector = pool.Collector(lab_server, 3, folder)
        for case, days in (("healthy", DAYS + 2), ("refusals", 1)):
            await collector.answers(pool.Plan(case, days, 0.7))
        await collector.provider.aclose()

    asyncio.run(collect())
    return {case: [*_days(pool.load(case, 3, folder))] for case in ("healthy", "refusals")}


def _days(answers: Sequence[pool.PoolAnswer]) -> list[Day]:
    number = 1 + max(one.replicate for one in answers)
    return [
        [pool.graded(one, day, START + timedelta(days=day), Arm.SUBJECT, 0) for one in answers if one.replicate == day]
        for day in range(number)
    ]


def with_a_failure(days: list[Day]) -> list[Day]:
    """The days with one failed check, since drift-caliper refuses scores that are all alike."""
    return [[replace(days[0][0], scores={"checks": 0.0}), *days[0][1:]], *days[1:]]


@pytest.mark.parametrize("name", monitors.MONITORS)
def test_a_monitor_is_quiet_in_health_and_alarms_when_the_lab_refuses(
    name: str, lab_days: dict[str, list[Day]]
) -> None:
    healthy, refusing = lab_days["healthy"], lab_days["refusals"][0]
    looks = monitors.MONITORS[name](with_a_failure(healthy[:DAYS]), [*healthy[DAYS:], refusing])
    assert [look.alarming for look in looks] == [False, False, True]
    assert looks[2].score > max(looks[0].score, looks[1].score)


def answer(probe: str, day: int, replicate: int, *, passes: bool, refuses: bool = False) -> GradedAnswer:
    text = "I'm sorry, but I can't help with that." if refuses else f"An answer to {probe}."
    return GradedAnswer(
        run_id=day, slot=START + timedelta(days=day), arm=Arm.SUBJECT, probe=probe, replicate=replicate, text=text,
        finish_reason="stop", refusal=False, model="m", fingerprint=None, prompt_tokens=9, completion_tokens=7,
        scores={"checks": float(passes)},
    )  # fmt: skip


def made_up(rng: np.random.Generator, days: Sequence[float], each: int = 3) -> list[Day]:
    """Days of 8 probes asked three times, on which a share of the answers fails; some of those refuse."""
    found = []
    for number, share in enumerate(days):
        fails = rng.random((8, each)) < share
        refuses = fails & (rng.random((8, each)) < 0.5)
        found.append(
            [
                answer(f"p{probe}", number, k, passes=not fails[probe, k], refuses=bool(refuses[probe, k]))
                for probe in range(8)
                for k in range(each)
            ]
        )
    return found


def test_dedrifts_evidence_is_that_of_its_own_check_after_every_cycle(tmp_path: Path) -> None:
    from dedrift.anytime import run_anytime_check
    from dedrift.check import set_golden_baseline
    from dedrift.config import ProjectConfig
    from dedrift.store import Store

    baseline = made_up(np.random.default_rng(1), [0.1] * 4)
    looks = made_up(np.random.default_rng(2), [0.1] * 3 + [0.5] * 9)
    ours = monitors.dedrift_anytime(baseline, looks)
    theirs = []
    with Store.init_project(tmp_path) as store:
        store.append_many(monitors._records(baseline, 0))
        set_golden_baseline(store, [monitors._cycle(number) for number in range(4)])
        for number, day in enumerate(looks, 4):
            store.append_many(monitors._records([day], number))
            result = run_anytime_check(store, ProjectConfig())
            ranked = sorted((one.log_wealth for one in result.processes), reverse=True)
            needed = [np.log(len(ranked) / (0.05 * rank)) for rank in range(1, len(ranked) + 1)]
            theirs.append((result.n_alerts > 0, max(np.subtract(ranked, needed)) / np.log(10)))
    assert [one.alarming for one in ours] == [alarming for alarming, _ in theirs]
    assert [one.score for one in ours] == pytest.approx([score for _, score in theirs], abs=1e-9)
    assert (ours[2].alarming, ours[-1].alarming) == (False, True)


def test_a_day_that_dedrift_would_not_take_is_no_evidence() -> None:
    baseline = made_up(np.random.default_rng(1), [0.1] * 4)
    looks = made_up(np.random.default_rng(2), [0.1, 0.9, 0.9, 0.9])
    partial = [looks[0], looks[1][:-1], *looks[2:]]
    for monitor in (monitors.dedrift_anytime, monitors.dedrift_fixed):
        told = monitor(baseline, partial)
        assert [one.alarming for one in told] == [False, False, True, True]
    assert monitors.dedrift_anytime(baseline, partial)[1] == monitors.dedrift_anytime(baseline, looks)[0]


def test_dedrifts_fixed_mode_exits_as_its_command_would() -> None:
    looks = monitors.dedrift_fixed(
        *(made_up(np.random.default_rng(s), d) for s, d in ((1, [0.1] * 4), (2, [0.1, 0.9])))
    )
    assert [one.alarming for one in looks] == [False, True]
    assert 0 <= looks[0].score < looks[1].score


def test_the_calipers_chart_is_that_of_its_monitor() -> None:
    from drift_caliper import Monitor

    baseline = made_up(np.random.default_rng(1), [0.3] * 6)
    looks = made_up(np.random.default_rng(2), [0.3] * 4 + [0.8] * 3)
    own = Monitor(monitors.caliper_limits([s for day in baseline for s in monitors._scores(day)], 24))
    controlled = [
        [own.record(monitors.scored(score)).is_in_control for score in monitors._scores(day)] for day in looks
    ]
    told = monitors.caliper(baseline, looks)
    theirs = [not all(one) for one in controlled]
    assert [one.alarming for one in told] == theirs
    assert any(theirs)
    assert not all(theirs)


@pytest.mark.parametrize("days", [[0.3] * 4, [0.0] * 6])
def test_a_baseline_that_the_caliper_refuses_never_alarms(days: list[float]) -> None:
    baseline = made_up(np.random.default_rng(1), days)  # 96 scores, and 144 that are all alike
    assert monitors.caliper(baseline, made_up(np.random.default_rng(2), [1.0])) == [monitors.Look(False, 0.0)]


def test_an_alarm_that_stays_is_raised_once() -> None:
    looks = [monitors.Look(bool(one), 0.0) for one in (1, 1, 0, 1, 0, 0, 1, 1)]
    assert monitors.raised(looks) == 3


def test_answers_are_told_apart_by_their_day() -> None:
    days = made_up(np.random.default_rng(1), [0.5] * 3)
    assert monitors.by_day([one for day in reversed(days) for one in day]) == days
