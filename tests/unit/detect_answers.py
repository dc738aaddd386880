"""Comparisons whose truth is known, for the detectors' tests: answers drawn from the lab's product by a seed."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from monitor.lab import product
from monitor.records import Arm, Comparison, GradedAnswer

START = datetime(2026, 1, 1, tzinfo=UTC)
ALPHA = 0.1 / 365 / 2

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
    alpha: float = ALPHA,
    suite: str = "support",
    at_once: bool = False,
) -> Comparison:
    prompts = {one.probe: f"prompt of {one.probe}" for one in (*now, *baseline)}
    return Comparison(99, "support-bot", suite, tuple(now), tuple(baseline), prompts, alpha, at_once)


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
