"""``logprobs`` on first-token tables whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from monitor.core.records import PRODUCTION_SUITE, GradedAnswer, Severity, TokenLogprob
from monitor.detect import logprobs
from tests.unit.detect_answers import Told, compared, graded, told

PROBES = 12


def answers(
    seed: int, days: range, *, shift: float = 0.0, noise: float = 0.05, replicates: int = 1, day_noise: float = 0.0
) -> list[GradedAnswer]:
    """A table of five tokens a probe, jittered per answer and, with ``day_noise``, per day; ``shift`` moves one."""
    rng = np.random.default_rng(seed)
    found = []
    for day in days:
        of_day = day_noise * rng.normal(size=5)
        for probe in range(PROBES):
            usual = -np.arange(1.0, 6.0) - 0.1 * probe
            for replicate in range(replicates):
                row = usual + noise * rng.normal(size=5) + of_day
                row[2] += shift
                top = {f"t{i}": float(value) for i, value in enumerate(row)}
                token = (TokenLogprob("t0", top["t0"], top),)
                found.append(graded(f"p{probe:02}", "t0", day=day, replicate=replicate, logprobs=token))
    return found


BASELINE = answers(1, range(10))


def seen(now: list[GradedAnswer], baseline: list[GradedAnswer] = BASELINE) -> Told:
    found = told(logprobs.measure, compared(now, baseline), Severity.TICKET)
    assert found is not None
    return found


def test_a_small_move_of_one_token_is_seen_at_once_but_one_day_may_be_odd() -> None:
    found = seen(answers(2, range(20, 21), shift=0.4, replicates=2))
    assert found.verdict.moved
    assert not found.verdict.alarming
    assert "log-probabilities of support-bot moved" in found.summary
    assert found.reading.effect[1] > 0.02
    assert found.reading.measures["logprobs_p_value"] == pytest.approx(1e-4, rel=0.01)


def test_nothing_changed() -> None:
    found = seen(answers(2, range(20, 21)))
    assert not found.verdict.alarming
    assert "as in the baseline" in found.summary


def test_statistic_by_hand() -> None:
    """Tokens a and b: a moves by 0.1; b is missing now, so it stands at the least that is told, a's -1.1."""
    then = [graded(f"p{p}", "a", day=d, logprobs=(TokenLogprob("a", -1.0, {"a": -1.0, "b": -1.5}),))
            for p in range(5) for d in range(3)]  # fmt: skip
    now = [graded(f"p{p}", "a", day=9, logprobs=(TokenLogprob("a", -1.1, {}),)) for p in range(5)]
    assert seen(now, then).reading.effect[0] == pytest.approx((0.1 + 0.4) / 2 - logprobs.TOLERANCE, rel=1e-4)


def test_last_digits_are_no_change() -> None:
    rigid = answers(1, range(10), noise=0.0)
    assert seen(answers(1, range(20, 21), noise=0.001), rigid).scores == {"first_token": 0}
    assert seen(answers(1, range(20, 21), noise=0.0, shift=0.05, replicates=2), rigid).scores["first_token"] > 7


def test_evidence_is_honest_when_nothing_changed() -> None:
    evaluations, scores = [], []
    for seed in range(40):
        found = seen(answers(9000 + seed, range(20, 21)), answers(seed, range(7)))
        evaluations.append(found.look)
        scores += [found.scores["first_token"], *found.reading.channels[0].baseline]
    assert np.mean(evaluations) <= 1 + 2 * np.std(evaluations) / np.sqrt(len(evaluations))
    assert abs(np.mean(scores)) < 0.2
    assert 0.8 < np.std(scores) < 1.2


def test_days_that_differ_are_told_by_the_baseline() -> None:
    """Days of other batches move every token: the baseline's own scores say so, and a further such day is usual."""
    restless = answers(3, range(14), day_noise=0.1)
    found = seen(answers(4, range(20, 21), day_noise=0.1), restless)
    assert np.std(found.reading.channels[0].baseline) > 1.5
    assert not found.verdict.alarming


def test_too_few_tell_log_probabilities() -> None:
    now = answers(2, range(20, 21))
    silent = [replace(one, logprobs=None) for one in now]
    assert logprobs.measure(compared(silent, BASELINE)) is None
    assert logprobs.measure(compared(silent[:7] + now[7:], BASELINE)) is None
    assert logprobs.measure(compared(silent[:6] + now[6:], BASELINE)) is not None
    assert logprobs.measure(compared(now[:4], BASELINE)) is None
    assert logprobs.measure(compared(now, BASELINE, suite=PRODUCTION_SUITE)) is None


def test_a_token_of_no_probability_is_left_out() -> None:
    odd = [replace(one, logprobs=(TokenLogprob("x", float("-inf"), {"x": float("-inf"), "t0": -1.0}),))
           for one in answers(2, range(20, 21))]  # fmt: skip
    assert np.isfinite(seen(odd).reading.effect).all()
