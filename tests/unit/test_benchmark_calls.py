"""The benchmark of the base's share: what it counts, on made-up answers without a lab."""

import numpy as np
import pytest

from benchmarks.calls import DESIGNS, HEALTHY, Day, Stream, Told, rows_of
from benchmarks.pool import PoolAnswer
from benchmarks.resample import LINE_LOG10

PROBES = 24


def answer(probe: int, text: str, right: float) -> PoolAnswer:
    scores = {"checks": right, "judge": right}
    return PoolAnswer("made-up", f"p{probe:02}", 0, f"{text} ({probe})", "stop", False, "m", "f", 7, 3, scores)


def day(rng: np.random.Generator, subject: str = "It takes {n} days, we hope") -> Day:
    mine = [answer(p, subject.format(n=rng.integers(4)), float("days" in subject)) for p in range(PROBES)]
    return tuple(mine), tuple(answer(p, "Please ask the shop", 0.0) for p in range(PROBES))


def streams(rng: np.random.Generator) -> list[Stream]:
    before = [day(rng) for _ in range(14)]
    return [Stream(design, before, LINE_LOG10, 0.7) for design in DESIGNS]


def test_quiet_days_cost_a_share_and_every_call_is_counted() -> None:
    rng = np.random.default_rng(3)
    every, shared = streams(rng)
    for number in range(1, 7):
        today = day(rng)
        for stream in (every, shared):
            stream.evaluate(number, *today)
    assert (every.calls, every.judged, every.tokens, every.full) == (6 * 48, 6 * 48, 6 * 480, 6)
    assert (shared.calls, shared.judged, shared.tokens, shared.full) == (6 * 27, 6 * 27, 6 * 270, 0)
    assert every.pages == shared.pages == []


def test_a_loss_pages_at_once_in_both_and_the_day_after_asks_all() -> None:
    rng = np.random.default_rng(4)
    every, shared = streams(rng)
    lost = day(rng, "Please ask the shop")
    for stream in (every, shared):
        stream.evaluate(1, *lost)
        assert stream.pages == [1]
    assert (every.calls, shared.calls) == (48 + 48, 27 + 48), "with the fresh sample"
    shared.evaluate(2, *lost)
    assert shared.full == 1


def test_rows_have_both_designs_and_their_ratio() -> None:
    found = [(Told(60, 2880, 100, 0, 60, ()), Told(60, 1700, 60, 0, 1, (7,)))] * 4
    rows = {(row.method, row.measure): row for row in rows_of(HEALTHY, found, 1)}
    assert rows["every probe", "calls_per_evaluation"].value == 48
    assert rows["a share", "calls_ratio"].value == pytest.approx(1700 / 2880)
    assert rows["a share", "share_asking_all"].value == pytest.approx(1 / 60)
    assert rows["every probe", "false_pages_per_target_year"].value == 0
    assert rows["a share", "false_pages_per_target_year"].value == pytest.approx(365 / 60)
