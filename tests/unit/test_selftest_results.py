"""What a self-test missed: the rule of ``CliffwatchSelfTestFailed``, and the words for it."""

import pytest

from monitor.core import selftest_results
from monitor.core.records import SelfTest
from monitor.detect.selftest import FAULTS
from tests.fleet import NOW


def planted(fault: str, caught: int, trials: int = 10) -> SelfTest:
    return SelfTest("bot", "support", fault, caught, trials, NOW)


def test_every_fault_that_is_planted_has_words() -> None:
    assert set(selftest_results.FAULTS) == {*FAULTS, selftest_results.CONTROL}


@pytest.mark.parametrize(
    ("fault", "caught", "trials", "missed"),
    [
        ("base-answers", 8, 10, True),
        ("base-answers", 9, 10, False),
        ("truncation", 17, 20, True),
        ("truncation", 18, 20, False),
        ("truncation-30", 0, 10, False),
        ("length-doubled", 0, 10, False),
        ("healthy", 0, 10, False),
        ("base-answers", 0, 0, False),
    ],
)
def test_what_the_alert_holds_against_its_limit_is_missed(fault: str, caught: int, trials: int, missed: bool) -> None:
    assert bool(selftest_results.missed([planted(fault, caught, trials)])) is missed


def test_what_was_missed_is_one_line_and_nothing_is_none() -> None:
    (line,) = selftest_results.on_record([planted("base-answers", 0), planted("truncation", 3)])
    assert line.startswith(
        "self-test missed: base-answers (detected in 0 of 10 trials), truncation (detected in 3 of 10 trials). "
    )
    assert selftest_results.on_record([]) == []


def test_a_whole_loss_stands_first_and_the_control_last() -> None:
    shuffled = [planted(fault, 1) for fault in ("healthy", "newer", "truncation", "base-answers")]
    assert [one.fault for one in selftest_results.in_order(shuffled)] == [
        "base-answers",
        "truncation",
        "healthy",
        "newer",
    ]
