"""Comparisons whose truth is known, for the detectors' tests: answers drawn from the lab's product by a seed."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import log10
from random import Random
from typing import NamedTuple

from monitor.core.records import Arm, Comparison, Finding, GradedAnswer, Severity
from monitor.detect import SIGNALS, evidence, finding_of, policy
from monitor.detect.evidence import PRIOR
from monitor.detect.measurement import Reading, Verdict
from monitor.lab import product
from monitor.report.explain import sentences

START = datetime(2026, 1, 1, tzinfo=UTC)
LINE = log10(3650)
"""The line of one suite that is looked at daily, at 0.1 false pages a year."""

Speak = Callable[[product.Facts, Random], str]
Grade = Callable[[str, Random], Mapping[str, float]]


def graded(
    probe: str, text: str, *, day: int = 0, arm: Arm = Arm.SUBJECT, replicate: int = 0, **changed: object
) -> GradedAnswer:
    """One answer with everyday values for all that a test does not name."""
    fields: dict[str, object] = {
        "run_id": day + 1,
        "slot": START + timedelta(days=day),
        "arm": arm,
        "probe": probe,
        "replicate": replicate,
        "text": text,
        "finish_reason": "stop",
        "refusal": False,
        "model": "support",
        "fingerprint": "fp-1",
        "prompt_tokens": 20 + len(probe),
        "completion_tokens": 10,
        "scores": {},
    }
    return GradedAnswer(**(fields | changed))  # type: ignore[arg-type]


def compared(
    now: Sequence[GradedAnswer],
    baseline: Sequence[GradedAnswer],
    *,
    page_line: float = LINE,
    ticket_line: float = LINE,
    suite: str = "support",
    at_once: bool = False,
    temperature: float | None = None,
    history: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    raised: Mapping[str, int] | None = None,
    confirming: bool = False,
) -> Comparison:
    return Comparison(
        run_id=99,
        target="support-bot",
        suite=suite,
        now=tuple(now),
        baseline=tuple(baseline),
        prompts={one.probe: f"prompt of {one.probe}" for one in (*now, *baseline)},
        page_threshold_log10=page_line,
        ticket_threshold_log10=ticket_line,
        baseline_id=7,
        baseline_at_once=at_once,
        temperature=temperature,
        history={signal: tuple(evaluations) for signal, evaluations in (history or {}).items()},
        raised=raised or {},
        confirming=confirming,
    )


class Told(NamedTuple):
    """One signal's reading and the verdict on it, as if it were the only signal."""

    reading: Reading
    verdict: Verdict
    signal: str

    @property
    def summary(self) -> str:
        return self.say(self.verdict)

    def say(self, verdict: Verdict) -> str:
        """The summary of a finding with this reading, under a verdict of choice."""
        return sentences.summary(self.finding(verdict))

    def finding(self, verdict: Verdict) -> Finding:
        return finding_of(compared([graded("p", "")], []), self.signal, self.reading, verdict)

    @property
    def look(self) -> float:
        """The e-value of this look alone: at most 1 on average if nothing changed."""
        return float(10**self.verdict.evaluation_log10)

    @property
    def scores(self) -> dict[str, float]:
        """As a later look finds them in its history."""
        return {channel.name: channel.score for channel in self.reading.channels}


def e_value(baseline: Sequence[float], look: float, side: evidence.Side, *, prior: evidence.Prior = PRIOR) -> float:
    """The e-value of one look alone: expectation at most 1 over baselines and looks if nothing changed."""
    return float(10 ** evidence.running(baseline, [look], side, prior=prior).evaluation_log10)


def told(
    measure: Callable[[Comparison], Reading | None], comparison: Comparison, severity: Severity = Severity.PAGE
) -> Told | None:
    """What one signal (its ``measure``) says of a comparison; ``None`` where it has no reading.

    ``history`` and ``raised`` of the comparison are looked up under the name ``signal``.
    """
    reading = measure(comparison)
    if reading is None:
        return None
    verdict = policy.verdicts(comparison, {"signal": reading}, {"signal": severity})["signal"]
    named = measure.__module__.rpartition(".")[2]
    return Told(reading, verdict, named if named in SIGNALS else "signal")


def rounds(
    seed: int,
    speak: Speak,
    base: Speak = product.plain_reply,
    *,
    probes: int = 24,
    days: range = range(1),
    replicates: int = 1,
    suite_seed: int = 0,
    grade: Grade | None = None,
) -> list[GradedAnswer]:
    """Rounds of the suite drawn by ``suite_seed``: each probe to both arms, ``replicates`` times on each day."""
    found = []
    for day in days:
        rng = Random(f"{seed}-{day}")
        for index, case in enumerate(product.held_out(suite_seed, probes)):
            for replicate in range(replicates):
                for arm, speaker in ((Arm.SUBJECT, speak), (Arm.BASE, base)):
                    text = speaker(case.facts, rng)
                    scores = grade(text, rng) if grade else {}
                    found.append(graded(f"p{index:02}", text, day=day, arm=arm, replicate=replicate, scores=scores))
    return found


def padded(speak: Speak) -> Speak:
    """``speak``, and then on and on: two or three times the length."""
    return lambda facts, rng: speak(facts, rng) + " " + " ".join(rng.choices(FILLER, k=25))


def mixed(share: float, other: Speak = product.plain_reply, usual: Speak = product.right_reply) -> Speak:
    """``usual``, but ``other`` for a share of the answers."""
    return lambda facts, rng: (other if rng.random() < share else usual)(facts, rng)


FILLER = product.COUNTRIES + product.PRODUCTS + product.WEEKDAYS
