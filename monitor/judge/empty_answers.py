"""Grades of an answer without a text: it fails every check, also one that an empty text would fulfil."""

from collections import Counter
from typing import Final

from monitor.core.records import Probe
from monitor.judge.checks import Grade

DETAIL: Final = "the answer is empty"


def empty_grades(probe: Probe) -> tuple[Grade, ...]:
    """The grades of an empty answer, under the names that ``checks.score_answer`` gives. Empty without checks.

    Nothing is run: a pattern that forbids a word, or a limit of length, holds for an empty text, but the user got no
    answer.
    """
    if not probe.checks:
        return ()
    seen: Counter[str] = Counter()
    graders = []
    for check in probe.checks:
        seen[check.kind] += 1
        graders.append(f"check:{check.kind}" + (f":{seen[check.kind]}" if seen[check.kind] > 1 else ""))
    return tuple(Grade(grader, 0.0, DETAIL) for grader in (*graders, "checks"))
