"""What users ask changes, and the model does not: no signal on fresh samples may take the one for the other."""

from dataclasses import replace
from random import Random

import pytest

from monitor.core.records import Arm, GradedAnswer, Severity
from monitor.detect import contract, judge_score, length
from monitor.detect.day_scores import DayScores
from monitor.detect.fresh_views import least, views
from monitor.lab import product
from tests.unit.detect_answers import LINE, Grade, Speak, Told, padded, told
from tests.unit.fresh_answers import fresh, sampled

LONG_TOPIC, HARD_TOPIC = "returns", "warranty"


def wordy(facts: product.Facts, rng: Random) -> str:
    """The subject says far more about one topic, and the base does not."""
    text = product.right_reply(facts, rng)
    return text + " " + text if facts.topic == LONG_TOPIC else text


def twice(speak: Speak) -> Speak:
    return lambda facts, rng: f"{speak(facts, rng)} {speak(facts, rng)}"


def verdicts(share: float, base: float = 0.5, hard: float | None = None) -> Grade:
    """Passes of the subject and of the base; ``hard``: of the subject on one topic."""

    def grade(text: str, rng: Random) -> dict[str, float]:
        if not text.startswith("{"):
            return {"judge": float(rng.random() < base)}
        difficult = hard is not None and HARD_TOPIC in text.lower()
        return {"judge": float(rng.random() < (hard if difficult and hard is not None else share))}

    return grade


def length_of(speak: Speak, base: Speak, seed: int, *, topics: tuple[str, ...] = (), usual: Speak = wordy) -> Told:
    baseline = fresh(1, usual, days=range(14))
    now = fresh(seed, speak, base, days=range(20, 21), topics=topics)
    found = told(length.measure, sampled(now, baseline, LINE), Severity.TICKET)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("speak", "base", "topics"),
    [
        (wordy, product.plain_reply, ()),
        (wordy, product.plain_reply, (LONG_TOPIC,)),
        (twice(wordy), twice(product.plain_reply), ()),
        (wordy, twice(product.plain_reply), ()),
    ],
    ids=["healthy", "a topic of long answers", "both doubled", "the base doubled"],
)
def test_lengths_that_follow_the_inputs_are_no_change(speak: Speak, base: Speak, topics: tuple[str, ...]) -> None:
    for seed in range(50, 54):
        found = length_of(speak, base, seed, topics=topics)
        assert not found.verdict.alarming
        assert found.look < 6


def test_longer_answers_to_such_inputs_are_a_change() -> None:
    for topics in ((), (LONG_TOPIC,)):
        assert length_of(padded(wordy), product.plain_reply, 50, topics=topics).verdict.alarming


def score_of(now: Grade, seed: int, *, before: Grade, topics: tuple[str, ...] = ()) -> Told:
    baseline = fresh(1, product.right_reply, days=range(14), grade=before)
    today = fresh(seed, product.right_reply, days=range(20, 21), grade=now, topics=topics)
    found = told(judge_score.measure, sampled(today, baseline, LINE))
    assert found is not None
    return found


def test_harder_questions_and_a_stricter_judge_are_no_drop() -> None:
    usual, mixed = verdicts(0.9), verdicts(0.95, hard=0.4)
    for seed in range(50, 54):
        for found in (
            score_of(usual, seed, before=usual),
            score_of(verdicts(0.5, 0.1), seed, before=usual),
            score_of(mixed, seed, before=mixed, topics=(HARD_TOPIC,)),
        ):
            assert not found.verdict.alarming
            assert found.look < 6


def test_a_drop_on_the_same_kind_of_inputs_is_one() -> None:
    assert score_of(verdicts(0.4), 50, before=verdicts(0.9)).verdict.alarming


def refusing(found: list[GradedAnswer], arms: tuple[Arm, ...]) -> list[GradedAnswer]:
    return [replace(one, refusal=True) if one.arm in arms and one.probe[-1] in "01234567" else one for one in found]


def test_refusals_that_the_base_gives_as_well_are_no_change() -> None:
    baseline = fresh(1, product.right_reply, days=range(14))
    now = fresh(50, product.right_reply, days=range(20, 21))
    for arms, alarms in (((Arm.SUBJECT, Arm.BASE), False), ((Arm.SUBJECT,), True)):
        found = told(contract.measure, sampled(refusing(now, arms), baseline, LINE), Severity.TICKET)
        assert found is not None
        assert found.verdict.alarming is alarms


def test_the_least_of_the_views() -> None:
    first, second = DayScores(3.0, (1.0, -2.0)), DayScores(2.0, (-1.0, -3.0))
    assert least((first, second), "either") == DayScores(2.0, (0.0, -2.0))
    assert least((first, second), "drop") == DayScores(3.0, (1.0, -2.0))
    assert least((first, second), "rise") == DayScores(2.0, (-1.0, -3.0))


def test_views_of_fixed_probes_and_without_a_base_are_the_number_itself() -> None:
    baseline, now = fresh(1, product.right_reply, days=range(14)), fresh(2, product.right_reply, days=range(20, 21))
    compared = sampled(now, baseline, LINE)

    def chars(one: GradedAnswer) -> float:
        return float(len(one.text))

    assert len(views(compared, chars)) == 3
    assert len(views(replace(compared, now=tuple(one for one in now if one.arm is Arm.SUBJECT)), chars)) == 1
    assert views(replace(compared, suite="support"), chars) == ()
