"""``border`` on near ties whose odds are known."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from monitor.core.records import GradedAnswer, Severity, TokenLogprob
from monitor.detect import border
from tests.unit.detect_answers import Told, compared, graded, told


def tossed(
    seed: int, share: float, days: range, *, inputs: int = 12, replicates: int = 10, decisive: int = 0
) -> list[GradedAnswer]:
    """``inputs`` that answer "yes" with this ``share`` and else "no", and ``decisive`` ones that never vary."""
    found = []
    for day in days:
        rng = Random(f"{seed}-{day}")
        for probe in range(inputs + decisive):
            for replicate in range(replicates):
                text = "yes" if probe >= inputs or rng.random() < share else "no"
                found.append(graded(f"p{probe:02}", text, day=day, replicate=replicate))
    return found


BASELINE = tossed(1, 0.5, range(10))


def seen(now: list[GradedAnswer], baseline: list[GradedAnswer] = BASELINE) -> Told:
    found = told(border.measure, compared(now, baseline, temperature=0), Severity.TICKET)
    assert found is not None
    return found


def test_other_odds_are_worth_a_look_at_once_and_a_ticket_when_they_stay() -> None:
    now, then = tossed(2, 0.95, range(20, 21), inputs=20), tossed(1, 0.5, range(10), inputs=20)
    assert seen(now, then).verdict.evaluation_log10 > 0.9
    days = {"signal": tuple(seen(now, then).reading.scores for _ in range(6))}
    found = told(border.measure, replace(compared(now, then, temperature=0), history=days), Severity.TICKET)
    assert found is not None
    assert found.verdict.alarming
    assert found.verdict.severity == "ticket"
    assert found.reading.effect[0] == pytest.approx(0.45 - found_by_chance(), abs=0.08)
    assert "decides near ties differently" in found.summary


def found_by_chance() -> float:
    """Mean total variation of 10 tosses against 100."""
    rng = np.random.default_rng(1)
    return float(np.abs(rng.binomial(10, 0.5, 4000) / 10 - rng.binomial(100, 0.5, 4000) / 100).mean())


def test_nothing_changed() -> None:
    found = seen(tossed(2, 0.5, range(20, 21)))
    assert not found.verdict.alarming
    assert "as in the baseline" in found.summary


def test_evidence_is_honest_when_nothing_changed() -> None:
    evaluations, scores = [], []
    for seed in range(40):
        found = seen(tossed(9000 + seed, 0.5, range(20, 21), replicates=4), tossed(seed, 0.5, range(7), replicates=4))
        evaluations.append(found.look)
        scores += [found.scores["first_token"], *found.reading.channels[0].baseline]
    assert np.mean(evaluations) <= 1 + 2 * np.std(evaluations) / np.sqrt(len(evaluations))
    assert abs(np.mean(scores)) < 0.2
    assert 0.8 < np.std(scores) < 1.2


def test_only_what_varied_is_a_border_input() -> None:
    found = seen(tossed(2, 0.5, range(20, 21), decisive=5), tossed(1, 0.5, range(10), decisive=5))
    assert found.reading.measures["border_inputs"] == 12


def test_fewer_than_three_or_another_temperature() -> None:
    now, then = tossed(2, 0.5, range(20, 21), inputs=2, decisive=9), tossed(1, 0.5, range(10), inputs=2, decisive=9)
    assert border.measure(compared(now, then, temperature=0)) is None
    assert border.measure(compared(tossed(2, 0.5, range(20, 21)), BASELINE, temperature=0.7)) is None
    assert border.measure(compared(tossed(2, 0.5, range(20, 21)), BASELINE)) is None


def test_margins_and_single_tokens_make_border_inputs_too() -> None:
    def one(first: float, second: float, tokens: int) -> list[GradedAnswer]:
        top = (TokenLogprob("a", first, {"a": first, "b": second}),)
        return [graded("p", "a", day=day, logprobs=top, completion_tokens=tokens) for day in range(3)]

    assert border.border_inputs(one(-0.6, -0.8, 9)) == {"p"}
    assert border.border_inputs(one(-0.1, -2.3, 9)) == frozenset()
    assert border.border_inputs(one(-0.1, -2.3, 1)) == {"p"}


def test_distance_by_hand() -> None:
    """Three inputs: yes 5 of 10 then, 5 of 5 now: a distance of 1/2 each, over what dealings have."""
    then = [graded(f"p{p}", "no" if day % 2 else "yes", day=day) for p in range(3) for day in range(10)]
    now = [graded(f"p{p}", "yes of course", day=20, replicate=r) for p in range(3) for r in range(5)]
    found = seen(now, then)
    pool = np.array([1] * 10 + [0] * 5)
    rng = np.random.default_rng(0)
    by_chance = np.mean([abs(d[:5].mean() - d[5:].mean()) for d in (rng.permutation(pool) for _ in range(4000))])
    assert found.reading.effect[0] == pytest.approx(0.5 - by_chance, abs=0.01)


def test_one_day_of_baseline_has_one_score() -> None:
    assert len(seen(tossed(2, 0.5, range(20, 21)), tossed(1, 0.5, range(1))).reading.channels[0].baseline) == 1
