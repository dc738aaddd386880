"""Every effect in words, over its whole range: no sentence that cannot be true of anything."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf, nan
from random import Random
from typing import Final

import pytest

from monitor.core.records import Arm, Comparison, Finding, GradedAnswer, Severity
from monitor.core.signals import CATALOGUE, SPECS, Scale
from monitor.core.wording import amount, share, sized
from monitor.detect import finding_of, policy, readings_for
from monitor.detect.measurement import Verdict
from monitor.report.email.charts import worded
from monitor.report.explain import sentences
from monitor.report.explain.claim import claim
from monitor.report.explain.context import FindingContext, with_heads
from monitor.report.web.sparklines import interval
from tests.unit.detect_answers import compared, graded

ABSURD: Final = re.compile(
    r"\bnan\b|\binf\b|\binfinity\b"  # no number
    r"|\b0 of 0\b|(?<![\w.])-\d+ of "  # counts
    r"|\d[\d,.]*e[+-]?\d"  # powers of ten
    r"|(?<![\w.])-0(?:\.0+)?(?![\w.])"  # minus nothing
    r"|-\d+(?:\.\d+)?% (?:more|of)\b"  # less than nothing of something
    r"|\b\d{4,}(?:\.\d+)? ?(?:times|×|%)"  # sizes that say nothing
    r"|\b(?:2[1-9]\d|[3-9]\d\d)(?:\.\d+)?%",  # a share of more than all of it, and more than twice an effect
    re.IGNORECASE,
)
EDGES: Final = (0.0, -0.0, 1e-12, -1e-12, 0.004, -0.004, 0.05, -0.05, 0.5, -0.5, 0.999, 1.0, -1.0, 1.4, 2.0, 9.0, -9.0,
                83 / 87, 4161.9, 1e9, -1e9, 1e300, inf, -inf)  # fmt: skip


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda one: str(one.name))
def test_an_effect_of_any_size_reads_as_one(spec: object) -> None:
    signal = spec.name  # type: ignore[attr-defined]
    for effect in EDGES:
        told = (amount(signal, effect), worded(signal, effect))
        assert not any(map(ABSURD.search, told)), told
        if SPECS[signal].effect.at_least_none or SPECS[signal].effect.scale is Scale.RATIO:
            assert "-" not in told[0]
        elif 0.01 <= abs(effect) <= 1:
            assert (told[0][0] == "-") == (effect < 0)
    assert amount(signal, nan) == "–"


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda one: str(one.name))
def test_an_effect_with_any_interval_is_one_sentence_and_has_a_picture_within_its_bounds(spec: object) -> None:
    signal = spec.name  # type: ignore[attr-defined]
    like = next(made(readings(steady(1)), "contract"))
    for effect in EDGES:
        for low, high in ((effect, effect), (-1e9, 1e9), (effect - 0.01, effect + 300)):
            found = replace(like, signal=signal, effect=effect, effect_low=low, effect_high=high)
            assert not ABSURD.search(sized(found)), sized(found)
            shown = interval(found)
            assert shown is None or all(0 <= one <= 1000 for one in (shown.low, shown.effect, shown.high))


@pytest.mark.parametrize(("value", "told"), [(0.0, "0%"), (1e-9, "under 1%"), (0.9999, "over 99%"), (1.0, "100%")])
def test_a_share_is_all_or_nothing_only_if_it_is(value: float, told: str) -> None:
    assert share(value) == told


def answered(texts: Sequence[Sequence[str]], rng: Random, *, first_day: int, base: str = "base") -> list[GradedAnswer]:
    """One answer of each arm to each probe on each day; ``texts``: the subject's, by day and probe."""
    found = []
    for day, said in enumerate(texts, start=first_day):
        for probe, text in enumerate(said):
            scores = {"check:json": float(rng.random() < 0.8), "judge": rng.choice((0.0, 0.5, 1.0))}
            for arm, words in ((Arm.SUBJECT, text), (Arm.BASE, f"{base} {probe}")):
                found.append(
                    graded(f"p{probe}", words, day=day, arm=arm, scores=scores, refusal=rng.random() < 0.05,
                           finish_reason=rng.choice(("stop", "stop", "length")))
                )  # fmt: skip
    return found


def steady(seed: int) -> Comparison:
    """At temperature 0 lengths never varied in the baseline; today each differs by a few characters."""
    rng = Random(seed)
    usual = ["x" * (80 + rng.randrange(8)) for _ in range(6)]
    today = [text + "y" * rng.randrange(1, 6) for text in usual]
    then = answered([usual] * 10, rng, first_day=0)
    return compared(answered([today], rng, first_day=20), then, temperature=0.0)


def scattered(seed: int) -> Comparison:
    """Few answers of any length, also none, to few probes, over few days."""
    rng = Random(seed)

    def text() -> str:
        return rng.choice(("", " ", "a", "no", "base 1", "words " * rng.randrange(60), "z" * 2000, "日本 語"))

    probes = rng.randrange(2, 7)
    then = [[text() for _ in range(probes)] for _ in range(rng.randrange(2, 9))]
    now = [[text() for _ in range(probes)] for _ in range(rng.randrange(1, 4))]
    temperature = rng.choice((0.0, 1.0))
    return compared(
        answered(now, rng, first_day=20, base=rng.choice(("base", "other"))), answered(then, rng, first_day=0),
        temperature=temperature, suite=rng.choice(("support", "support", "production")), at_once=rng.random() < 0.3,
    )  # fmt: skip


def swapped(seed: int) -> Comparison:
    """All of the answers are the base's, or the base's are the subject's, with as few answers as give a verdict."""
    rng = Random(seed)
    usual = [[f"fine {probe}" for probe in range(5)]] * 2
    now = [[rng.choice((f"base {probe}", f"fine {probe}", "neither")) for probe in range(5)]]
    return compared(answered(now, rng, first_day=20), answered(usual, rng, first_day=0), temperature=0.0)


def readings(comparison: Comparison) -> tuple[Comparison, dict[str, object]]:
    return comparison, dict(readings_for(comparison))


def made(read: tuple[Comparison, dict[str, object]], *only: str) -> Iterator[Finding]:
    """Each signal's finding, as it would be worded with any evidence."""
    comparison, found = read
    verdict = Verdict(
        alarming=False, severity=Severity.TICKET, evidence_log10=0.0, evaluation_log10=0.0, threshold_log10=4.0,
        evaluations=3, recovered=False, judge_moved=False, caveat="",
    )  # fmt: skip
    ways = (
        verdict,
        replace(verdict, evidence_log10=3.5),
        replace(verdict, alarming=True, evidence_log10=9.0, evaluation_log10=2.0),
        replace(verdict, alarming=True, evidence_log10=9.0, evaluation_log10=-2.0),
        replace(verdict, alarming=True, evidence_log10=9.0, evaluation_log10=-2.0, recovered=True),
    )
    for name, reading in found.items():
        if not only or name in only:
            for way in ways:
                yield finding_of(comparison, name, reading, way)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [steady, scattered, swapped])
def test_what_is_said_of_any_answers_is_possible(kind: object) -> None:
    """Over hundreds of comparisons with small denominators, and any evidence: no sentence is absurd."""
    signals = set()
    for seed in range(60):
        heads = list(made(readings(kind(seed))))  # type: ignore[operator]
        signals |= {one.signal for one in heads}
        for one in heads:
            told = claim(one, with_heads(FindingContext(), one, heads))
            words = (sentences.summary(one), told.headline, told.bad, told.sure, told.why, told.now, sized(one))
            for text in words:
                assert not ABSURD.search(text), (seed, one.signal, text)
    assert {"length", "contract", "adapter_loss"} <= signals


def test_a_few_characters_at_temperature_0_are_told_in_characters() -> None:
    """A ratio of a spread that was nothing says nothing."""
    length = next(one for one in made(readings(steady(3)), "length") if one.alarming)
    assert "variance ratio" not in length.numbers
    assert re.search(r"answers differ by [\d.]+ characters from their usual length, 0 in the baseline", length.numbers)
    assert re.search(r"; \d\d characters on average, \d\d in the baseline$", sized(length))
    assert length.effect > 0
    assert not re.search(r"\d{3,}\.\d", sized(length).replace("100.00", ""))


def test_verdicts_of_the_policy_are_said_as_well() -> None:
    comparison, found = readings(steady(5))
    told = policy.verdicts(comparison, found, {name: SPECS[name].severity for name in found})  # type: ignore[arg-type]
    for name, reading in found.items():
        assert not ABSURD.search(sentences.summary(finding_of(comparison, name, reading, told[name])))  # type: ignore[arg-type]
