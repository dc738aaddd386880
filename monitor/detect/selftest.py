"""Self-test: injects faults into copies of stored answers and counts how many of them are detected.

No call is made. Each day of an approved baseline is used as today in turn and compared with the other days, so that it
is never on both sides. A trial with several evaluations uses one baseline day after another, with the same thresholds,
evidence and history as scheduled runs. So the counts show what this baseline, suite and promised rate can detect today.

They do not show the rate of false alarms. The day of an evaluation is part of the other evaluations' baseline, and
there are only as many days as in the baseline; ``benchmarks/null.py`` measures that rate. The control ``healthy`` shows
that the fault is detected, and not something else.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil
from random import Random
from typing import Final

from monitor.core.limits import CAUGHT
from monitor.core.records import Arm, Comparison, GradedAnswer, SelfTest, Severity
from monitor.core.selftest_results import CONTROL, MUST_SEE, jumpy, share_caught
from monitor.core.signals import OF_BASE, SEVERITIES
from monitor.detect import SIGNALS, policy
from monitor.detect.measurement import Reading

TRIALS: Final = 10
"""Trials of each fault. An evaluation costs as much as a real verdict, 0.1 to 0.3 s with 24 probes and 14 days."""
WEEK: Final = 7
"""Evaluations within which a slowly visible fault must be detected."""
SHARE: Final = 0.3
_THIRD: Final = 1 / 3

Inject = Callable[[GradedAnswer, Sequence[GradedAnswer], Random], GradedAnswer]
"""Returns one of the subject's answers with the fault. Takes the answer, the base's answers to the same probe of any
day, and a seeded random generator."""


@dataclass(frozen=True)
class Fault:
    """What is injected, into which share of the subject's answers, and within how many evaluations it should be
    caught."""

    inject: Inject
    share: float = 1.0
    evaluations: int = WEEK
    needs: Callable[[GradedAnswer], bool] = lambda one: one.arm is Arm.SUBJECT
    """Whether an answer allows the injection; the baseline needs at least one."""
    by_chance: bool = True
    """Whether a second copy of one day differs from the first."""


def base_answers(answer: GradedAnswer, base: Sequence[GradedAnswer], chance: Random) -> GradedAnswer:
    """The base's answer under the subject's name, like a server that silently ignores the adapter."""
    if not base:
        return answer
    other = base[chance.randrange(len(base))]
    return replace(
        answer,
        text=other.text,
        text_in=other.text_in,
        finish_reason=other.finish_reason,
        refusal=other.refusal,
        completion_tokens=other.completion_tokens,
        scores=other.scores,
        logprobs=other.logprobs,
        embedding=other.embedding,
    )


def truncation(answer: GradedAnswer, base: Sequence[GradedAnswer], chance: Random) -> GradedAnswer:
    """The first third. Its scores stay, since no grader is asked again, so only signals of the text itself are
    tested."""
    tokens = max(1, round(_THIRD * answer.completion_tokens))
    return replace(answer, text=answer.text[: ceil(_THIRD * len(answer.text))], finish_reason="length",
                   completion_tokens=tokens)  # fmt: skip


def length_doubled(answer: GradedAnswer, base: Sequence[GradedAnswer], chance: Random) -> GradedAnswer:
    """The text, twice."""
    return replace(answer, text=f"{answer.text} {answer.text}", completion_tokens=2 * answer.completion_tokens)


def scores_shifted(answer: GradedAnswer, base: Sequence[GradedAnswer], chance: Random) -> GradedAnswer:
    """Every score lower by a third: one answer in three fails what it passed; scores between 0 and 1 lose a third."""
    fails = chance.random() < _THIRD
    lowered = {
        grader: value * (1 - _THIRD) if 0 < value < 1 else 0.0 if fails else value
        for grader, value in sorted(answer.scores.items())
    }
    return replace(answer, scores=lowered)


FAULTS: Final[dict[str, Fault]] = {
    "base-answers": Fault(base_answers, evaluations=1, needs=lambda one: one.arm is Arm.BASE and one.has_text),
    "base-answers-30": Fault(base_answers, SHARE, needs=lambda one: one.arm is Arm.BASE and one.has_text),
    "truncation": Fault(truncation, by_chance=False),
    "truncation-30": Fault(truncation, SHARE),
    "scores-shifted": Fault(scores_shifted, needs=lambda one: one.arm is Arm.SUBJECT and bool(one.scores)),
    "length-doubled": Fault(length_doubled, by_chance=False),
}


def self_test(comparison: Comparison, at: datetime, *, trials: int = TRIALS) -> Iterator[SelfTest]:
    """How many of ``trials`` copies of each fault are detected, and how often healthy copies alarm in the same time.

    Args:
        comparison: the baseline with its thresholds and prompts; its answers of today and its history are left out.
        at: the time of the test.
        trials: of each fault.

    Yields:
        One for ``healthy`` and each fault that can be injected into this baseline; nothing if the baseline has fewer
        than two days. The same comparison gives the same results.
    """
    bench = _Bench(replace(comparison, now=(), history={}, raised={}, confirming=False))
    if len(bench.days) < 2:
        return
    cases = {CONTROL: Fault(lambda answer, base, chance: answer, by_chance=False)} | {
        name: fault for name, fault in FAULTS.items() if any(map(fault.needs, comparison.baseline))
    }
    for name, fault in cases.items():
        caught = sum(bench.caught(name, fault, trial) for trial in range(trials))
        yield SelfTest(comparison.target, comparison.suite, name, caught, trials, tested_at=at)


def failures(tests: Sequence[SelfTest]) -> list[str]:
    """Why the monitor is not reliable today, one sentence each; empty if it is."""
    found = []
    tried = {(test.target, test.suite, test.fault) for test in tests}
    for test in tests:
        where, counts = f"{test.target}/{test.suite}", f"{test.caught} of {test.trials}"
        must = next((one for one in MUST_SEE if (test.target, test.suite, one) in tried), None)
        if test.fault == must and share_caught(test) < CAUGHT:
            found.append(f"{where}: {test.fault} was caught in {counts} trials, so a loss today could be missed")
        if jumpy([test]) is not None:
            found.append(f"{where}: {counts} healthy stretches of the baseline itself alarm, so detections mean little")
    return found


class _Bench:
    """A baseline's days as evaluations. Readings do not depend on earlier evaluations, so they are cached."""

    def __init__(self, comparison: Comparison) -> None:
        ordered = sorted(comparison.baseline, key=lambda one: (one.slot, one.probe, one.arm, one.replicate, one.text))
        self.comparison = replace(comparison, baseline=tuple(ordered))
        self.days = sorted({one.slot for one in ordered})
        Random(f"{comparison.target}/{comparison.suite}").shuffle(self.days)
        self._base: dict[str, list[GradedAnswer]] = {}
        for one in ordered:
            if one.arm is Arm.BASE and one.has_text:
                self._base.setdefault(one.probe, []).append(one)
        self._kept: dict[tuple[str, int, Severity], tuple[Comparison, Mapping[str, Reading]]] = {}

    def caught(self, name: str, fault: Fault, trial: int) -> bool:
        """Whether any signal alarms within the fault's evaluations; evaluation k of trial t is copy t + k.

        Pages first: their evidence is separate from the tickets', so if they alarm, tickets need not be measured.
        """
        history: dict[str, tuple[Mapping[str, float], ...]] = {}
        for evaluation in range(min(fault.evaluations, len(self.days))):
            before = dict(history)
            for severity in (Severity.PAGE, Severity.TICKET):
                comparison, readings = self._measured(name, fault, trial + evaluation, severity)
                verdicts = policy.verdicts(replace(comparison, history=before), readings, SEVERITIES)
                if any(one.alarming for one in verdicts.values()):
                    return True
                for signal, reading in readings.items():
                    history[signal] = (*history.get(signal, ()), reading.scores)
        return False

    def _measured(
        self, name: str, fault: Fault, copy: int, severity: Severity
    ) -> tuple[Comparison, Mapping[str, Reading]]:
        """The comparison and readings of copy 0, 1, ...: the days in turn, with other random numbers in each round."""
        if not fault.by_chance:
            copy %= len(self.days)
        key = (name, copy, severity)
        if key not in self._kept:
            comparison = self._comparison(name, fault, copy)
            found = {
                one: measure(comparison)
                for one, measure in SIGNALS.items()
                if SEVERITIES[one] is severity and one not in OF_BASE
            }  # faults are put into the subject
            self._kept[key] = comparison, {one: reading for one, reading in found.items() if reading is not None}
        return self._kept[key]

    def _comparison(self, name: str, fault: Fault, copy: int) -> Comparison:
        today, chance = self.days[copy % len(self.days)], Random(f"{name}/{copy}")
        now = [one for one in self.comparison.baseline if one.slot == today]
        hit = [one.arm is Arm.SUBJECT and chance.random() < fault.share for one in now]
        return replace(
            self.comparison,
            now=tuple(
                fault.inject(one, self._base.get(one.probe, []), chance) if injected else one
                for one, injected in zip(now, hit, strict=True)
            ),
            baseline=tuple(one for one in self.comparison.baseline if one.slot != today),
        )
