"""``canaries``: what only the fine-tune gets right, and what is no canary."""

from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
import pytest

from monitor.core.records import Arm, GradedAnswer
from monitor.detect import canaries
from tests.unit.detect_answers import Told, compared, graded, told


def asked(
    seed: int,
    days: Sequence[int],
    passing: Mapping[str, float],
    base: float = 0.0,
    *,
    replicates: int = 1,
    grader: str = "checks",
) -> list[GradedAnswer]:
    """Rounds in which each probe passes at its own rate; the base at ``base``."""
    found = []
    for day in days:
        rng = Random(f"canaries-{seed}-{day}")
        for probe, rate in passing.items():
            for replicate in range(replicates):
                for arm, odds in ((Arm.SUBJECT, rate), (Arm.BASE, base)):
                    scores = {grader: float(rng.random() < odds)}
                    text = f"{arm} {scores[grader]}"
                    found.append(graded(probe, text, day=day, arm=arm, replicate=replicate, scores=scores))
    return found


def all_at(rate: float, probes: int = 12) -> dict[str, float]:
    return {f"p{index:02}": rate for index in range(probes)}


BASELINE = asked(1, range(14), all_at(1.0))


def judged(now: Sequence[GradedAnswer], baseline: Sequence[GradedAnswer] = BASELINE, **more: object) -> Told | None:
    return told(canaries.measure, compared(now, baseline, **more))  # type: ignore[arg-type]


def test_a_lost_fine_tune_pages_at_the_first_look() -> None:
    found = judged(asked(2, [14], all_at(0.0, probes=24)), asked(1, range(14), all_at(1.0, probes=24)))
    assert found is not None
    assert found.verdict.alarming
    assert found.reading.effect[0] == 1
    assert "24 of 24 answers to 24 canaries fail their checks, 0% in the baseline" in found.summary
    assert len(found.reading.exhibits) == 5


def test_all_is_well() -> None:
    found = judged(asked(2, [14], all_at(1.0)))
    assert found is not None
    assert found.reading.effect[0] == 0
    assert found.look <= 1
    assert found.summary.startswith("The canaries pass as approved: 0 of 12 answers to 12 canaries fail")
    assert found.reading.exhibits == ()


def test_a_third_that_fails_adds_up_within_a_week() -> None:
    history: list[dict[str, float]] = []
    for look in range(7):
        found = judged(asked(3, [14 + look], all_at(0.7)), history={"signal": history})
        assert found is not None
        history.append(found.scores)
        paged = found.verdict.alarming
    assert paged


def test_what_is_no_canary_never_enters() -> None:
    """A near-tie, a probe that the base passes too, one without checks: they may fail as they like."""
    passing = all_at(1.0) | {"tie": 0.5, "easy": 1.0}
    baseline = asked(1, range(14), passing)
    baseline = [
        graded("easy", "x", day=one.slot.day - 1, arm=one.arm, scores={"checks": 1.0}) if one.probe == "easy" else one
        for one in baseline
    ] + [graded("free", "x", day=day, arm=arm) for day in range(14) for arm in (Arm.SUBJECT, Arm.BASE)]
    now = [*asked(2, [14], all_at(1.0) | {"tie": 0.0, "easy": 0.0}), graded("free", "x", day=14)]
    found = judged(now, baseline)
    assert found is not None
    assert found.reading.answers_now == 12
    assert found.reading.effect[0] <= 0


@pytest.mark.parametrize(("rate", "days"), [(0.9, 7), (0.93, 14)])
def test_honest_null_where_chance_made_the_canaries(rate: float, days: int) -> None:
    """Probes that fail one time in ten are canaries of 7 days by luck: without care today would look worse."""
    evaluations, gaps, effects = [], [], []
    for seed in range(60):
        found = judged(asked(5000 + seed, [days], all_at(rate, 16)), asked(seed, range(days), all_at(rate, 16)))
        if found is not None:
            evaluations.append(found.look)
            effects.append(found.reading.effect[0])
            gaps.append(found.reading.channels[0].score - float(np.mean(found.reading.channels[0].baseline)))
    error = np.std(evaluations) / np.sqrt(len(evaluations))
    assert len(evaluations) > 30
    assert np.mean(evaluations) <= 1 + 2 * error
    assert abs(np.mean(effects)) <= 3 * np.std(effects) / np.sqrt(len(effects))
    assert np.mean(gaps) <= 3 * np.std(gaps) / np.sqrt(len(gaps))
    assert np.std(gaps) < 1.5


def test_single_checks_count_where_no_whole_is_given() -> None:
    baseline = asked(1, range(14), all_at(1.0), grader="check:json")
    found = judged(asked(2, [14], all_at(0.0), grader="check:json"), baseline)
    assert found is not None
    assert found.reading.effect[0] == 1


def test_no_reading_rather_than_a_guess() -> None:
    lost = asked(2, [14], all_at(0.0))
    assert judged(lost, asked(1, range(14), all_at(1.0), base=1.0)) is None  # nothing only the fine-tune can do
    assert judged(lost, [one for one in BASELINE if one.arm is Arm.SUBJECT]) is None
    assert judged(asked(2, [14], all_at(0.0, 2), replicates=5), asked(1, range(14), all_at(1.0, 2))) is None  # two
    assert judged(asked(2, [14], all_at(0.0, 4))) is None  # four answers
    assert judged(lost, asked(1, range(4), all_at(1.0))) is None  # too few answers to call a probe decisive
    assert judged([]) is None
    assert judged(lost, []) is None


def test_one_day_of_baseline_is_a_ticket() -> None:
    baseline = asked(1, [0], all_at(1.0), replicates=8)
    found = judged(asked(2, [1], all_at(0.0)), baseline)
    assert found is not None
    assert found.reading.effect[0] == 1
    assert found.verdict.severity == "ticket"
