"""The stage as a whole: its dict, its lines, and what holds for every signal whatever it is given."""

from dataclasses import astuple, fields, replace
from math import isfinite, log10
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.records import Arm, Comparison, Finding, GradedAnswer, Severity
from monitor.core.signals import OF_BASE, SEVERITIES
from monitor.detect import SIGNALS, findings_for
from monitor.lab import product
from tests.summaries import summary_of
from tests.unit.detect_answers import LINE, compared, graded, mixed, rounds

texts = st.sampled_from(["", "a", "yes, of course", "日本語の答え", "\ud800", "{}", "no " * 3000]) | st.text(
    max_size=20
)


@st.composite
def any_answer(draw: st.DrawFn) -> GradedAnswer:
    return graded(
        draw(st.sampled_from(["p1", "p2", "p3"])),
        draw(texts),
        day=draw(st.integers(0, 5)),
        arm=draw(st.sampled_from([Arm.SUBJECT, Arm.SUBJECT, Arm.BASE])),
        replicate=draw(st.integers(0, 1)),
        finish_reason=draw(st.sampled_from(["stop", "length", None])),
        refusal=draw(st.booleans()),
        model=draw(st.sampled_from(["m", "n", None])),
        prompt_tokens=draw(st.integers(0, 3)),
        scores=draw(st.dictionaries(st.sampled_from(["judge", "check:json", "similarity"]), st.floats(0, 1))),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(any_answer(), max_size=20),
    st.lists(any_answer(), max_size=40),
    st.booleans(),
    st.sampled_from(["support", "production"]),
    st.integers(),
)
def test_whatever_comes_findings_are_finite_and_the_same_in_any_order(
    now: list[GradedAnswer], baseline: list[GradedAnswer], at_once: bool, suite: str, seed: int
) -> None:
    found = findings_for(compared(now, baseline, at_once=at_once, suite=suite))
    for one in found:
        assert one.effect_low <= one.effect <= one.effect_high
        assert one.evaluations == 1
        interval = (one.effect, one.effect_low, one.effect_high)
        numbers = (*interval, one.evidence_log10, one.evaluation_log10, *one.measures.values(), *one.scores.values())
        assert all(isfinite(number) for number in (*numbers, *(shown.weight for shown in one.exhibits)))
        assert summary_of(one).count("\n") == 0
    Random(seed).shuffle(now)
    Random(seed).shuffle(baseline)
    again = findings_for(compared(now, baseline, at_once=at_once, suite=suite))
    assert [numbers_of(one) for one in again] == [numbers_of(one) for one in found]


def numbers_of(one: Finding) -> tuple[object, ...]:
    """All of a finding but its exhibits: equal answers may stand for one another there."""
    return tuple(getattr(one, field.name) for field in fields(one) if field.name != "exhibits")


def full(seed: int, speak: object = product.right_reply, page_line: float = LINE) -> Comparison:
    def grade(text: str, rng: Random) -> dict[str, float]:
        return {"judge": float(text.startswith("{")), "check:json": float(text.startswith("{"))}

    baseline = rounds(1, product.right_reply, days=range(14), grade=grade)
    now = rounds(seed, speak, days=range(20, 21), grade=grade)  # type: ignore[arg-type]
    return compared(now, baseline, page_line=page_line)


def test_signals_read_a_full_comparison_in_their_order_and_only_once_the_same() -> None:
    found = findings_for(full(2))
    names = [one.signal for one in found]
    assert names == [name for name in SIGNALS if name in names]
    assert {"adapter_loss", "judge_score", "negative_flips", "length", "contract", "distribution"} <= set(names)
    assert not any(one.alarming for one in found)
    assert [astuple(one) for one in findings_for(full(2))] == [astuple(one) for one in found]


def test_total_loss_alarms_on_every_signal_that_it_touches() -> None:
    found = {one.signal: one for one in findings_for(full(3, product.plain_reply))}
    alarming = {name for name, one in found.items() if one.alarming}
    assert {"adapter_loss", "judge_score", "negative_flips", "contract"} <= alarming
    assert found["length"].evaluation_log10 >= 1, "a day's lengths alone may be odd"
    assert found["adapter_loss"].window_start == found["adapter_loss"].window_end
    assert all(summary_of(one).endswith(".") for one in found.values())


def test_nothing_to_compare_no_findings() -> None:
    whole = full(2)
    assert findings_for(replace(whole, now=())) == []
    assert findings_for(replace(whole, baseline=())) == []
    bases = tuple(one for one in whole.now if one.arm is Arm.BASE)
    assert findings_for(replace(whole, now=bases)) == []  # an outage of the subject is never a reading


def test_pages_and_tickets_each_have_the_rate_for_themselves() -> None:
    """A signal's own line leaves room for each of its kind that was read."""
    found = findings_for(full(2, page_line=3.0))
    for severity, line, of_base in (
        (Severity.PAGE, 3.0, False),
        (Severity.TICKET, LINE, False),
        (Severity.TICKET, LINE, True),
    ):
        mine = [one for one in found if SEVERITIES[one.signal] is severity and (one.signal in OF_BASE) is of_base]
        assert mine
        assert all(one.threshold_log10 == pytest.approx(line + log10(len(mine))) for one in mine)


def test_the_looks_before_add_to_a_finding() -> None:
    slide = full(4, mixed(0.3))
    first = {one.signal: one for one in findings_for(slide)}
    history = {name: (one.scores, one.scores) for name, one in first.items()}
    third = {one.signal: one for one in findings_for(replace(slide, history=history))}
    assert third["negative_flips"].evaluations == 3
    assert third["negative_flips"].evidence_log10 > first["negative_flips"].evidence_log10 + 1
