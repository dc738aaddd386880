"""Fresh samples whose truth is known: every run asks inputs of its own, drawn from the lab's product by a seed."""

from collections.abc import Sequence
from random import Random

from monitor.core.records import Arm, Comparison, GradedAnswer
from monitor.core.run_kinds import PRODUCTION
from monitor.lab import product
from tests.unit.detect_answers import Grade, Speak, compared, graded

INPUTS = 60


def fresh(
    seed: int,
    speak: Speak,
    base: Speak = product.plain_reply,
    *,
    days: range = range(1),
    topics: Sequence[str] = (),
    grade: Grade | None = None,
    twice: int = 8,
) -> list[GradedAnswer]:
    """A sample a day, each of its inputs to both arms, ``twice`` of them to the base a second time. ``topics``: what
    users ask about; empty for everything."""
    found = []
    for day in days:
        rng = Random(f"{seed}-{day}")
        cases = [one for one in product.held_out(0) if not topics or one.facts.topic in topics]
        for index, case in enumerate(rng.choices(cases, k=INPUTS)):
            asked = [(Arm.SUBJECT, speak, 0), (Arm.BASE, base, 0), (Arm.BASE, base, 1)]
            for arm, speaker, replicate in asked if index < twice else asked[:2]:
                text = speaker(case.facts, rng)
                scores = grade(text, rng) if grade else {}
                probe = f"day{day}-{index:02}"
                tokens = len(case.prompt) // 4
                found.append(
                    graded(
                        probe, text, day=day, arm=arm, replicate=replicate, scores=scores, prompt_tokens=tokens
                    )
                )  # fmt: skip
    return found


def sampled(now: Sequence[GradedAnswer], baseline: Sequence[GradedAnswer], page_line: float) -> Comparison:
    return compared(now, baseline, page_line=page_line, suite=PRODUCTION.suite)
