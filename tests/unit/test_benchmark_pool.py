"""The pool of real answers: how it is read, and what it says when it is not there."""

import argparse
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import pool
from monitor.core.records import Arm, TokenLogprob
from monitor.lab.faults import FAULTS

ROW = {
    "case": "healthy",
    "probe": "price-chair",
    "text": "60 euros",
    "finish_reason": "stop",
    "refusal": False,
    "model": "lab-support",
    "fingerprint": "fp",
    "prompt_tokens": 9,
    "completion_tokens": 2,
    "scores": {"checks": 1.0},
}


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokens = [["60", -0.1, {"60": -0.1, "70": -3.0}], [" euros", 0.0, {}]]
    rows: list[dict[str, object]] = [
        {**ROW, "replicate": 0, "logprobs": tokens},
        {**ROW, "replicate": 1, "logprobs": None},
        {**ROW, "replicate": 2, "logprobs": None},
    ]
    write(pool.answers_file("healthy", 7, tmp_path), rows)
    verdicts = [
        {"probe": "price-chair", "replicate": 0, "judge": 1.0},
        {"probe": "price-chair", "replicate": 1, "judge": None},
    ]
    write(pool.judge_file("healthy", 7, tmp_path), list(verdicts))
    return tmp_path


def test_answers_come_with_their_log_probabilities_and_the_judges_scores(folder: Path) -> None:
    first, second, third = pool.pool(7, ["healthy"], folder)["healthy"]["price-chair"]
    assert first.logprobs == (TokenLogprob("60", -0.1, {"60": -0.1, "70": -3.0}), TokenLogprob(" euros", 0.0, {}))
    assert (first.judge, second.judge, third.judge) == (1.0, None, None)
    assert (first.right, first.replicate, second.logprobs) == (1.0, 0, None)


def test_a_graded_answer_is_what_a_detector_reads(folder: Path) -> None:
    slot = datetime(2026, 1, 2, tzinfo=UTC)
    answer = pool.load("healthy", 7, folder)[0]
    graded = pool.graded(answer, 12, slot, Arm.BASE, 3)
    assert (graded.run_id, graded.slot, graded.arm, graded.replicate) == (12, slot, Arm.BASE, 3)
    assert (graded.text, graded.scores["judge"], graded.scores["checks"]) == ("60 euros", 1.0, 1.0)
    assert getattr(graded, "logprobs", answer.logprobs) == answer.logprobs


def test_what_is_missing_is_named_with_the_command_that_collects_it(folder: Path) -> None:
    with pytest.raises(pool.PoolMissingError, match=r"lacks base; .*: python -m benchmarks.pool --seed 7"):
        pool.pool(7, ["healthy", "base"], folder)
    with pytest.raises(pool.PoolMissingError, match="seed 8 lacks healthy"):
        pool.load("healthy", 8, folder)


def test_prompts_are_the_suites() -> None:
    assert len(pool.suite().probes) == 24
    assert set(pool.FAULTS) <= set(FAULTS)


def test_the_plan_is_every_case_with_its_replicates() -> None:
    planned = pool.plans(argparse.Namespace(healthy=240, base=100, fault_replicates=60))
    assert [plan.case for plan in planned] == list(pool.CASES)
    replicates = {plan.case: (plan.replicates, plan.temperature) for plan in planned}
    assert replicates["healthy"] == (240, 0.7)
    assert replicates["base"] == (100, 0.7)
    assert replicates["truncation"] == (60, 0.7)
    assert replicates["weights-4bit@0"] == (1, 0.0)
    assert replicates["routed-to-base@0"] == (20, 0.0)
    assert {plan.case for plan in planned if plan.arm is Arm.BASE} == {"base", "base@0", "base+judge-replaced"}
    assert {plan.name for plan in planned} == {"healthy", "base", *pool.FAULTS}
