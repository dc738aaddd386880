"""The lab's suite is what the product makes, and its checks tell the house's replies from all others."""

from pathlib import Path
from random import Random

import pytest

from monitor.config.suites import load_suite
from monitor.core.package_data import shipped
from monitor.judge.checks import Grade, score_answer
from monitor.lab import product
from monitor.lab.suite import NAME, cases, suite_text

PAIRS = list(zip(load_suite(NAME, Path("/nowhere")).probes, cases(), strict=True))


def _passes(grades: tuple[Grade, ...]) -> float:
    return {grade.grader: grade.value for grade in grades}["checks"]


def test_the_file_is_what_the_product_makes() -> None:
    assert (shipped("probes") / f"{NAME}.yaml").read_text(encoding="utf-8") == suite_text()


def test_every_topic_is_asked_about_alike() -> None:
    suite = load_suite(NAME, Path("/nowhere"))
    topics = [case.facts.topic for case in cases()]
    assert {topic: topics.count(topic) for topic in product.TOPICS} == dict.fromkeys(product.TOPICS, 4)
    assert suite.rubric == product.SUPPORT_RUBRIC
    assert suite.sampling.temperature == 0.7


def test_a_right_reply_passes_every_check() -> None:
    rng = Random(1)
    for probe, case in PAIRS:
        for _ in range(20):
            assert _passes(score_answer(probe, product.right_reply(case.facts, rng))) == 1, probe.id


@pytest.mark.parametrize("kind", product.WRONG_KINDS)
def test_a_wrong_reply_fails_a_check(kind: str) -> None:
    rng = Random(2)
    for probe, case in PAIRS:
        for _ in range(20):
            assert _passes(score_answer(probe, product.wrong_reply(case.facts, kind, rng))) == 0, probe.id
