"""What the latest self-test says could go unseen: one rule and one wording for pages and ``cliffwatch status``."""

from collections.abc import Iterable, Sequence
from typing import Final

from monitor.core.limits import CAUGHT
from monitor.core.records import SelfTest

MUST_SEE: Final = ("base-answers", "truncation")
"""The planted faults that stand for a whole loss: ``CliffwatchSelfTestFailed`` holds either against ``CAUGHT``."""

CONTROL: Final = "healthy"
"""The trials in which nothing was planted, and nothing should be caught."""

FAULTS: Final = {
    "base-answers": "the base's answers in place of its own",
    "base-answers-30": "the base's answers for three in ten of its own",
    "truncation": "answers cut to a third",
    "truncation-30": "three in ten answers cut to a third",
    "scores-shifted": "scores lower by a third",
    "length-doubled": "everything said twice",
    CONTROL: "nothing",
}
"""Fault of a self-test -> what was planted, in words."""


def share_caught(test: SelfTest) -> float:
    """From 0 to 1; 0 where nothing was tried."""
    return test.caught / test.trials if test.trials else 0.0


def missed(tests: Iterable[SelfTest]) -> list[SelfTest]:
    """Those that stand for a whole loss and were caught too seldom, as ``CliffwatchSelfTestFailed`` has it."""
    return [one for one in tests if one.fault in MUST_SEE and one.trials and share_caught(one) < CAUGHT]


def jumpy(tests: Iterable[SelfTest]) -> SelfTest | None:
    """The control, where it alarmed so often that what was caught says little."""
    return next((one for one in tests if one.fault == CONTROL and share_caught(one) > 1 - CAUGHT), None)


def in_order(tests: Iterable[SelfTest]) -> list[SelfTest]:
    """What stands for a whole loss first, the control last."""
    names = list(FAULTS)
    return sorted(tests, key=lambda one: (names.index(one.fault) if one.fault in FAULTS else len(names), one.fault))


def planted(test: SelfTest) -> str:
    """What was planted, in words; a fault of another version by its name."""
    return FAULTS.get(test.fault, test.fault)


def on_record(failed: Sequence[SelfTest]) -> list[str]:
    """A line for ``cliffwatch status`` about what ``missed`` of one suite; none where all was seen."""
    if not failed:
        return []
    counts = ", ".join(f"{one.fault} (caught in {one.caught} of {one.trials} trials)" for one in failed)
    return [
        f"self-test missed: {counts}. A loss of that kind could go unseen today: cliffwatch calibrate "
        f"{failed[0].target} says what is missing"
    ]
