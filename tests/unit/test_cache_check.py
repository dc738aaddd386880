"""Which answers with and without a cache salt are a fault of the prefix cache: every pattern of three texts."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pytest

from monitor.core.records import Arm, Cause, Comparison, FindingState, GradedAnswer, Probe
from monitor.detect import cache_check, contract
from monitor.runs.cache_check import TURNS, turn
from tests.unit.detect_answers import compared, graded, told

TEXTS = ("noon", "dusk", "dawn")
PROBES = [f"tide-{n}" for n in range(12)]
BASELINE = [graded(probe, TEXTS[0], day=day) for day in range(14) for probe in PROBES]
NOW = [graded(probe, TEXTS[0], day=20) for probe in PROBES]


def checked(probe: str, texts: Mapping[int, str]) -> list[GradedAnswer]:
    """The probe's answers of the check: replicate -> text."""
    return [graded(probe, text, day=20, arm=Arm.CACHE_CHECK, replicate=one) for one, text in texts.items()]


def comparison(
    cached: str, salted: Mapping[int, str], baseline: list[GradedAnswer] = BASELINE, **more: object
) -> Comparison:
    now = [replace(NOW[0], text=cached), *NOW[1:]]
    made = compared(now, baseline, temperature=0.0, **more)  # type: ignore[arg-type]
    return replace(made, cache_checks=tuple(checked(PROBES[0], salted)))


@pytest.mark.parametrize("texts", list(product(TEXTS, repeat=5)))
def test_a_fault_is_three_equal_salted_answers_against_two_equal_others(texts: tuple[str, ...]) -> None:
    cached, *answers = texts
    salted = answers[:1] if answers[0] == cached else answers
    given = comparison(cached, dict(enumerate(salted)))
    parts = cache_check.part(given)
    fault = cached != answers[0] == answers[1] == answers[2] and answers[3] == cached
    assert [part.cause for part in parts] == ([Cause.CACHE_STALE] if fault else [])
    found = told(contract.measure, given)
    assert found is not None
    assert found.reading.measures.get("contract_changed_prefix_cache") == (1.0 if fault else None)
    assert [one.uncached for one in found.reading.exhibits if one.uncached] == ([answers[0]] if fault else [])
    assert found.reading.tell(found.verdict).state is (FindingState.ALARMING if fault else FindingState.QUIET)


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_an_unanswered_question_leaves_the_probe_open(missing: int) -> None:
    texts = dict(enumerate(("dusk", "dusk", "dusk", "noon")))
    del texts[missing]
    assert cache_check.part(comparison("noon", texts)) == ()


@pytest.mark.parametrize("blank", ["", "  ", "\u200b"])
def test_an_empty_answer_shows_nothing_about_the_cache(blank: str) -> None:
    assert cache_check.part(comparison("noon", dict(enumerate((blank, blank, blank, "noon"))))) == ()
    assert cache_check.part(comparison(blank, dict(enumerate(("dusk", "dusk", "dusk", blank))))) == ()


def test_a_probe_that_wavered_in_the_baseline_tells_nothing() -> None:
    fault = dict(enumerate(("dusk", "dusk", "dusk", "noon")))
    wavered = [replace(BASELINE[0], text="dusk"), *BASELINE[1:]]
    assert cache_check.part(comparison("noon", fault, wavered)) == ()
    once = [one for one in BASELINE if one.probe != PROBES[0]] + BASELINE[:1]
    assert cache_check.part(comparison("noon", fault, once)) == ()
    assert cache_check.part(comparison("noon", fault)) != ()


def test_a_run_without_a_check_leaves_the_last_one_standing() -> None:
    for last in (0.0, 9.0):
        given = comparison("noon", {}, history={"contract": ({cache_check.NAME: 9.0}, {cache_check.NAME: last})})
        (part,) = cache_check.part(given)
        assert (part.channel.score > 0, bool(part.change)) == (last > 0, last > 0)
    clean = comparison("noon", {0: "noon"}, history={"contract": ({cache_check.NAME: 9.0},)})
    (part,) = cache_check.part(clean)
    assert (part.channel.score, part.change) == (0.0, "")


@pytest.mark.parametrize("count", [1, 3, 9, 10, 11, 24, 100])
@pytest.mark.parametrize("start", [0, 7, 20_421])
def test_every_probe_has_its_turn_once_in_ten_runs(count: int, start: int) -> None:
    probes = [Probe(f"p{n}", ()) for n in range(count)]
    turns = [turn(probes, start + number) for number in range(TURNS)]
    assert sorted(one.id for some in turns for one in some) == sorted(one.id for one in probes)
    assert max(map(len, turns)) - min(map(len, turns)) <= 1
    assert {one.id for one in turn(probes, start, {"p0"})} == {one.id for one in turns[0]} | {"p0"}
