"""How good a judge is, with its interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from monitor.judge.agreement import agreement, share


def test_agreement_by_example() -> None:
    verdicts = [True] * 45 + [False] * 5 + [False] * 38 + [True] * 2 + [None] * 3
    truths = [True] * 50 + [False] * 40 + [True, False, False]
    found = agreement(verdicts, truths)
    assert (found.sensitivity.value, found.specificity.value, found.unmeasured) == (0.9, 0.95, 3)
    assert found.accuracy.value == pytest.approx(83 / 90)
    # Wilson's interval as scipy has it
    assert (found.sensitivity.low, found.sensitivity.high) == pytest.approx((0.7864, 0.9565), abs=1e-4)


@given(st.integers(0, 400), st.integers(1, 400))
def test_the_interval_is_wilsons(hits: int, total: int) -> None:
    hits = min(hits, total)
    found, known = share(hits, total), binomtest(hits, total).proportion_ci(0.95, "wilson")
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-9)
    assert found.value is not None
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_nothing_to_go_by() -> None:
    found = agreement([None, None], [True, False])
    assert (found.accuracy.value, found.accuracy.low, found.accuracy.high, found.unmeasured) == (None, 0.0, 1.0, 2)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        agreement([True], [True, False])
    with pytest.raises(ValueError, match="3 of 2"):
        share(3, 2)
