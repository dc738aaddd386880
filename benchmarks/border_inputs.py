"""Near-tie inputs against 8-bit weights, at an endpoint that tells no log-probabilities.

The lab's fine-tune is asked for one token at temperature 0. The candidates are those of ``cliffwatch near-ties``: a few
words of the target's own probes. As the command does, ``near_ties.nearest`` keeps up to 20 of them: those whose token
varies, then those whose two likeliest tokens are closest, by log-probabilities that are told once, when the inputs are
chosen. From then on none are told. An evaluation asks each input ten times, as the suite of the command does; the
baseline has 14 such days. All are drawn from the lab's answers to these inputs, in health and with 8-bit weights.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks import peers, pool
from benchmarks.pool import PoolAnswer
from benchmarks.resample import comparison
from benchmarks.rows import seed_of
from monitor.core.records import Arm
from monitor.core.signals import SEVERITIES
from monitor.detect import SIGNALS, policy
from monitor.lab.process import LabServer
from monitor.runs import near_ties

FAULT: Final = "weights-8bit"
CANDIDATES: Final = 400
BASELINE_DAYS: Final = 14
KEPT: Final = 30
"""The lab's answers to each input, in health and under the fault."""
CALLS: Final = near_ties.MOST_INPUTS * near_ties.REPLICATES
"""Of an evaluation."""

Inputs = list[list[PoolAnswer]]
"""For each input the lab's answers to it."""


def looked(trials: int, seed: int, candidates: int = CANDIDATES) -> dict[str, list[dict[str, float]]]:
    """Scores by method of ``trials`` evaluations with 8-bit weights, and of twice as many in health."""
    with TemporaryDirectory() as folder, LabServer() as lab:
        asked = asyncio.run(answers(lab, seed, Path(folder), candidates))
    rng = np.random.default_rng(seed_of(seed, "border"))
    return {
        case: [scores(asked["healthy"], asked[case], rng) for _ in range(count)]
        for case, count in (("healthy", 2 * trials), (FAULT, trials))
    }


async def answers(lab: LabServer, seed: int, folder: Path, candidates: int) -> dict[str, Inputs]:
    """The answers to the kept inputs by case, without log-probabilities."""
    chosen, kept = (pool.Collector(lab, seed, folder / name) for name in ("chosen", "kept"))
    chosen.suite = near_ties.candidate_suite(pool.suite().probes, "lab", candidates)
    found = {one[0].probe: one for one in await _collected(chosen, "healthy", near_ties.TIMES)}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    names = near_ties.nearest(
        {probe: [pool.graded(one, 1, at, Arm.SUBJECT, one.replicate) for one in told] for probe, told in found.items()}
    )
    kept.suite = replace(chosen.suite, probes=tuple(one for one in chosen.suite.probes if one.id in names))
    asked = {case: await _collected(kept, case, KEPT) for case in ("healthy", FAULT)}
    for collector in (chosen, kept):
        await collector.provider.aclose()
    return {case: [[replace(one, logprobs=None) for one in told] for told in inputs] for case, inputs in asked.items()}


async def _collected(collector: pool.Collector, case: str, replicates: int) -> Inputs:
    await collector.answers(pool.Plan(case, replicates, 0.0))
    found: dict[str, list[PoolAnswer]] = {}
    for one in pool.load(case, collector.seed, collector.folder):
        found.setdefault(one.probe, []).append(one)
    return list(found.values())


def scores(healthy: Inputs, now: Inputs, rng: np.random.Generator) -> dict[str, float]:
    """One trial: a fresh baseline and one evaluation. 0 for a signal that cannot be measured."""
    before = [_day(healthy, rng) for _ in range(BASELINE_DAYS)]
    today = _day(now, rng)
    made = comparison(today, (), before, [()] * BASELINE_DAYS, temperature=0.0)
    reading = SIGNALS["border"](made)
    told = {} if reading is None else policy.verdicts(made, {"border": reading}, SEVERITIES)
    return {
        "border, no logprobs": told["border"].evidence_log10 if told else 0.0,
        "met": peers.met_score(peers.texts(made.now), peers.texts(made.baseline)),
    }


def _day(inputs: Inputs, rng: np.random.Generator) -> Sequence[PoolAnswer]:
    return [told[int(k)] for told in inputs for k in rng.integers(len(told), size=near_ties.REPLICATES)]
