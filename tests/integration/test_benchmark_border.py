"""The benchmark of near-tie inputs: what it asks the lab, and that flipped inputs score higher than healthy ones."""

import asyncio
from pathlib import Path

import numpy as np

from benchmarks import border_inputs
from benchmarks.pool import PoolAnswer
from monitor.lab.process import LabServer


def told(probe: str, text: str) -> PoolAnswer:
    return PoolAnswer("healthy", probe, 0, text, "length", False, "lab", None, 9, 1)


def inputs(flipped: int, noisy: int = 3) -> border_inputs.Inputs:
    """20 near ties: the first ``flipped`` for good; the last ``noisy`` also flip in health."""

    def texts(place: int) -> list[str]:
        if place < flipped:
            return ["no"] * 30
        return ["yes", "no"] * 15 if place >= 20 - noisy else ["yes"] * 30

    return [[told(f"i{place:02}", text) for text in texts(place)] for place in range(20)]


def test_inputs_that_flipped_score_higher_than_those_that_flip_in_health() -> None:
    rng = np.random.default_rng(1)
    quiet = [border_inputs.scores(inputs(0), inputs(0), rng) for _ in range(4)]
    flipped = border_inputs.scores(inputs(0), inputs(6), rng)
    for method, score in flipped.items():
        assert score > max(one[method] for one in quiet)


def test_two_inputs_are_no_measurement() -> None:
    found = border_inputs.scores(inputs(0)[:2], inputs(2)[:2], np.random.default_rng(1))
    assert found["border, no logprobs"] == 0.0
    assert found["met"] > 0


def test_the_labs_near_ties_are_asked_alike_in_health_and_under_the_fault(
    lab_server: LabServer, tmp_path: Path
) -> None:
    asked = asyncio.run(border_inputs.answers(lab_server, 1, tmp_path, 60))
    healthy, faulty = asked["healthy"], asked[border_inputs.FAULT]
    assert 0 < len(healthy) <= 20
    assert [one[0].probe for one in healthy] == [one[0].probe for one in faulty]
    for one in (*healthy, *faulty):
        assert len(one) == border_inputs.KEPT
        assert all(answer.logprobs is None and answer.completion_tokens == 1 for answer in one)
