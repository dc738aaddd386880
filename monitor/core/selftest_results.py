"""What the latest self-test missed: one rule and one wording for pages and ``cliffwatch status``."""

from collections.abc import Iterable, Sequence
from typing import Final

from monitor.core.limits import CAUGHT
from monitor.core.records import SelfTest

MUST_SEE: Final = ("base-answers", "truncation")
"""Injected faults that represent a complete loss. ``CliffwatchSelfTestFailed`` compares both with ``CAUGHT``."""

CONTROL: Final = "healthy"
"""Trials without a fault, in which nothing should be detected."""

FAULTS: Final = {
    "base-answers": "the base's answers instead of its own",
    "base-answers-30": "the base's answers instead of 3 in 10 of its own",
    "truncation": "answers cut to a third",
    "truncation-30": "3 in 10 answers cut to a third",
    "scores-shifted": "scores lower by a third",
    "length-doubled": "answers of double length",
    CONTROL: "nothing",
}
"""Fault of a self-test -> description for people."""


def share_caught(test: SelfTest) -> float:
    """Detected share, 0 to 1; 0 without trials."""
    return test.caught / test.trials if test.trials else 0.0


def missed(tests: Iterable[SelfTest]) -> list[SelfTest]:
    """Tests of a complete loss with too few detections, as in ``CliffwatchSelfTestFailed``."""
    return [one for one in tests if one.fault in MUST_SEE and one.trials and share_caught(one) < CAUGHT]


def jumpy(tests: Iterable[SelfTest]) -> SelfTest | None:
    """The control, if it alarms so often that the other detections mean little."""
    return next((one for one in tests if one.fault == CONTROL and share_caught(one) > 1 - CAUGHT), None)


def in_order(tests: Iterable[SelfTest]) -> list[SelfTest]:
    """Tests of a complete loss first, the control last."""
    names = list(FAULTS)
    return sorted(tests, key=lambda one: (names.index(one.fault) if one.fault in FAULTS else len(names), one.fault))


def planted(test: SelfTest) -> str:
    """Description of the injected fault; its name if it is from another version."""
    return FAULTS.get(test.fault, test.fault)


def on_record(failed: Sequence[SelfTest]) -> list[str]:
    """Lines for ``cliffwatch status`` about the ``missed`` tests of one suite; empty without any."""
    if not failed:
        return []
    counts = ", ".join(f"{one.fault} (detected in {one.caught} of {one.trials} trials)" for one in failed)
    return [
        f"self-test missed: {counts}. Such a loss could be missed today; see cliffwatch calibrate {failed[0].target}"
    ]
