"""``adapter_loss`` on fresh samples: what must page without an earlier answer to compare with, and what must not."""

from dataclasses import replace
from math import log10
from random import Random

import pytest

from monitor.core.records import Arm, Cause
from monitor.detect import adapter_loss
from monitor.lab import product
from tests.unit.detect_answers import LINE, Speak, Told, graded, mixed, padded, told
from tests.unit.fresh_answers import fresh, sampled

BASELINE = fresh(1, product.right_reply, days=range(14))
STREAM = LINE + log10(3)
"""The line with two more page signals beside it."""


def judged(subject: Speak, base: Speak = product.plain_reply, seed: int = 50, topics: tuple[str, ...] = ()) -> Told:
    now = fresh(seed, subject, base, days=range(20, 21), topics=topics)
    found = told(adapter_loss.measure, sampled(now, BASELINE, STREAM))
    assert found is not None
    return found


def test_a_total_loss_pages_at_the_first_look() -> None:
    for seed in range(50, 55):
        found = judged(product.plain_reply, seed=seed)
        assert found.verdict.alarming
        assert found.reading.structural
        assert found.reading.effect[0] == pytest.approx(0, abs=0.15)
        assert found.finding(found.verdict).traffic_share == 1.0
        assert "answers like its base model: " in found.summary
        assert found.reading.exhibits[0].base is not None


def test_a_routed_share_is_estimated() -> None:
    shares = []
    for seed in range(50, 56):
        found = judged(mixed(0.3, product.plain_reply), seed=seed)
        assert found.look > 20
        shares.append(1 - found.reading.effect[0])
    assert 0.2 < sum(shares) / len(shares) < 0.4


def dull(facts: product.Facts, rng: Random) -> str:
    return "".join(rng.choices("abcdefgh ijk", k=60))


@pytest.mark.parametrize(
    ("subject", "base", "topics"),
    [
        (product.right_reply, product.plain_reply, ()),
        (product.right_reply, product.plain_reply, ("delivery",)),
        (padded(product.right_reply), product.plain_reply, ()),
        (padded(product.right_reply), padded(product.plain_reply), ()),
        (dull, product.plain_reply, ()),
        (product.right_reply, dull, ()),
        (lambda facts, rng: product.wrong_reply(facts, "wrong_fact", rng), product.plain_reply, ()),
    ],
    ids=["healthy", "other topics", "longer", "both longer", "garbage", "base garbage", "wrong facts"],
)
def test_other_changes_are_not_called_adapter_loss(subject: Speak, base: Speak, topics: tuple[str, ...]) -> None:
    for seed in range(50, 53):
        found = judged(subject, base, seed, topics)
        assert not found.verdict.alarming
        assert found.look < 3


def test_a_base_that_moved_to_the_subject_is_no_loss() -> None:
    for seed in range(50, 53):
        found = judged(product.right_reply, product.right_reply, seed)
        assert not found.verdict.alarming
        assert found.reading.channels[0].score <= 0
        assert found.finding(found.verdict).cause is Cause.BASE_MOVED


def test_a_loss_is_seen_while_users_ask_about_one_thing() -> None:
    assert judged(product.plain_reply, topics=("delivery",)).verdict.alarming


def test_a_base_asked_once_or_an_equal_one_gives_no_reading() -> None:
    now = fresh(50, product.plain_reply, days=range(20, 21), twice=0)
    once = [one for one in BASELINE if not one.replicate]
    assert adapter_loss.measure(sampled(now, once, STREAM)) is None
    same = fresh(2, product.plain_reply, days=range(14))
    compared = sampled(now, same, STREAM)
    assert adapter_loss.measure(compared) is None
    assert adapter_loss.separable(compared) is False
    assert adapter_loss.separable(sampled(now, BASELINE, STREAM)) is True


def test_by_hand_at_temperature_zero() -> None:
    """The base repeats itself, the subject never says what it says: half of today's answers are the base's."""
    texts = {Arm.SUBJECT: "yes, it is", Arm.BASE: "no way"}
    answers = [
        graded(f"d{day}-{index}", texts[arm], day=day, arm=arm, replicate=replicate)
        for day in range(7)
        for index in range(10)
        for arm, replicate in ((Arm.SUBJECT, 0), (Arm.BASE, 0), (Arm.BASE, 1))
    ]
    now = [replace(one, probe=f"n{one.probe}", run_id=9) for one in answers if one.run_id == 1]
    routed = [
        replace(one, text=texts[Arm.BASE]) if one.arm is Arm.SUBJECT and int(one.probe[-1]) < 5 else one
        for one in now
    ]  # fmt: skip
    found = told(adapter_loss.measure, sampled(routed, answers, STREAM))
    assert found is not None
    assert found.reading.effect[0] == pytest.approx(0.5)
    assert found.reading.measures == {"adapter_effect_ratio": found.reading.effect[0], "base_like_ratio": 0.5}
    assert "About 50% of the answers come from the base" in found.summary
    healthy = told(adapter_loss.measure, sampled(now, answers, STREAM))
    assert healthy is not None
    assert healthy.reading.effect[0] == pytest.approx(1.0)
    assert healthy.reading.channels[0].score == 0
