"""``alias_moved``: the subject next to its snapshot, on fixed probes and on production inputs."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from monitor.core.records import Arm, Cause, Comparison, GradedAnswer, Severity
from monitor.core.run_kinds import PRODUCTION
from monitor.detect import alias_moved
from monitor.lab import product
from tests.unit.detect_answers import LINE, Speak, Told, compared, padded, rounds, told
from tests.unit.fresh_answers import fresh


def dated(found: Sequence[GradedAnswer]) -> tuple[list[GradedAnswer], list[GradedAnswer]]:
    """The subject's answers, and those that were the base's as the snapshot's."""
    mine = [one for one in found if one.arm is Arm.SUBJECT]
    return mine, [replace(one, arm=Arm.SNAPSHOT) for one in found if one.arm is Arm.BASE]


def comparison(
    subject: Speak,
    snapshot: Speak,
    seed: int = 50,
    *,
    suite: str = "support",
    asked: int | None = None,
    topics: tuple[str, ...] = (),
) -> Comparison:
    """Both served the same version in the baseline. ``asked``: answers of today's snapshot."""
    usual = product.right_reply
    if suite == PRODUCTION.suite:
        then = fresh(1, usual, usual, days=range(14))
        now = fresh(seed, subject, snapshot, days=range(20, 21), topics=topics)
    else:
        then = rounds(1, usual, usual, days=range(14))
        now = rounds(seed, subject, snapshot, days=range(20, 21))
    (before, then_dated), (today, now_dated) = dated(then), dated(now)
    return replace(
        compared(today, before, ticket_line=LINE, suite=suite), snapshots=(*then_dated, *now_dated[:asked])
    )  # fmt: skip


def judged(found: Comparison) -> Told:
    said = told(alias_moved.measure, found, Severity.TICKET)
    assert said is not None
    return said


def random(facts: product.Facts, rng: Random) -> str:
    return "".join(rng.choices("abcdefgh ijk", k=60))


def newer(facts: product.Facts, rng: Random) -> str:
    """The next version: the same facts in other words."""
    return f"Sure! {facts.entity}: {facts.value}. Anything else about {facts.topic}?"


@pytest.mark.parametrize("suite", ["support", PRODUCTION.suite])
def test_an_alias_that_serves_another_version_is_told(suite: str) -> None:
    found = judged(comparison(newer, product.right_reply, suite=suite))
    assert found.verdict.alarming
    assert found.verdict.severity is Severity.TICKET
    assert found.finding(found.verdict).cause is Cause.ALIAS_MOVED
    assert "support-bot no longer answers like its snapshot: 0 of " in found.summary
    assert found.reading.effect[1] > 0.1
    assert found.reading.exhibits[0].weight > 0.3


@pytest.mark.parametrize("suite", ["support", PRODUCTION.suite])
@pytest.mark.parametrize(
    ("both", "topics"),
    [(product.right_reply, ()), (newer, ()), (padded(product.right_reply), ()), (product.right_reply, ("delivery",))],
    ids=["healthy", "both moved", "both longer", "other questions"],
)
def test_what_moves_both_is_not_the_aliases(suite: str, both: Speak, topics: tuple[str, ...]) -> None:
    for seed in range(50, 54):
        found = judged(comparison(both, both, seed, suite=suite, topics=topics))
        assert not found.verdict.alarming


def test_a_snapshot_that_gets_a_few_probes_is_not_compared() -> None:
    assert alias_moved.measure(comparison(newer, product.right_reply, asked=5)) is None
    everything = comparison(newer, product.right_reply)
    assert alias_moved.measure(replace(everything, snapshots=())) is None
