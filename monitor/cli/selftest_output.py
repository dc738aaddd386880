"""Prints what a self-test detected."""

import sys
from collections.abc import Sequence
from typing import Final

from rich.text import Text

from monitor.cli.output import print_json
from monitor.cli.terminal import console, table
from monitor.core.condition_words import lacking, render
from monitor.core.records import Baseline, Condition, Holds, SelfTest
from monitor.core.sanitize import visible
from monitor.core.selftest_results import CONTROL
from monitor.detect.selftest import FAULTS, WEEK, failures

UNTESTABLE: Final = frozenset({Condition.TEXTS, Condition.BASE_DIFFERS})
"""Conditions without which no length of the baseline makes a planted loss detectable."""
TOO_LITTLE: Final = (
    "A loss is missed if its evidence stays below the threshold: because of too few answers per evaluation (a complete "
    "loss gets one evaluation), too few baseline days, or days that differ much. False alarms on healthy answers mean "
    "that the baseline's days differ too much."
)


def injected(test: SelfTest) -> str:
    """Name of the injected fault for people; the control has none."""
    return "none (false alarms)" if test.fault == CONTROL else test.fault


def progress(test: SelfTest) -> None:
    """Prints a line of progress to standard error, because a self-test takes a while."""
    sys.stderr.write(f"{test.target}/{test.suite}: {injected(test)}: {test.caught} of {test.trials}\n")


def results(tests: Sequence[SelfTest], failed: Sequence[str], baselines: Sequence[Baseline], *, as_json: bool) -> None:
    """Prints a table of the detected faults, and an explanation if they are too few.

    ``baselines``: that were tested. What they do not fulfil explains why a fault is not detected.
    """
    lacks = {f"{one.target}/{one.suite}": lacking(one.conditions) for one in baselines if lacking(one.conditions)}
    if as_json:
        print_json({"tests": list(tests), "failures": list(failed), "lacking": lacks})
        return
    out = console()
    told = []
    for one in tests:
        evaluations = FAULTS[one.fault].evaluations if one.fault in FAULTS else WEEK
        told.append((f"{one.target}/{one.suite}", injected(one), str(evaluations), str(one.caught), str(one.trials)))
    table(
        out,
        ("target/suite", "fault injected", "evaluations", "caught", "of"),
        told,
        right=("evaluations", "caught", "of"),
    )
    for words in failed:
        out.print(Text(words, style="bold red"))
    for where, states in lacks.items():
        for words in render(states):
            out.print(Text(f"{where}: {visible(words)}", style="yellow"))
    _explain(tests, baselines)


def _explain(tests: Sequence[SelfTest], baselines: Sequence[Baseline]) -> None:
    """Why faults are missed, for the targets whose baselines fulfil what the signals need."""
    hopeless = {
        baseline.target
        for baseline in baselines
        if any(one.condition in UNTESTABLE and one.holds is Holds.FAILS for one in baseline.conditions)
    }
    names = sorted({one.target for one in tests} - hopeless)
    targets = [name for name in names if failures([one for one in tests if one.target == name])]
    if targets:
        console().print(Text(TOO_LITTLE))
    for target in targets:
        console().print(Text(f"see: cliffwatch calibrate {target}"))
