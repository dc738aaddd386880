"""The quality of a judge: its verdicts against known verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

_Z95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Share:
    """``hits`` of ``total`` with its 95 % Wilson interval; (0, 1) without data."""

    hits: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The share itself, 0 to 1; ``None`` if ``total`` is 0."""
        return self.hits / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Agreement:
    sensitivity: Share
    """Of the right answers, how many the judge passed."""
    specificity: Share
    """Of the wrong answers, how many the judge failed."""
    accuracy: Share
    unmeasured: int
    """Answers without a verdict of the judge; they do not count elsewhere."""


def share(hits: int, total: int) -> Share:
    """``hits`` of ``total`` with its 95 % Wilson score interval (Wilson 1927), which is valid near 0 and 1 too."""
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} of {total} is no share")
    if total == 0:
        return Share(0, 0, 0.0, 1.0)
    p, z2 = hits / total, _Z95**2
    middle = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * sqrt(p * (1 - p) / total + z2 / (4 * total**2))
    return Share(hits, total, max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half)))


def agreement(verdicts: Sequence[bool | None], truths: Sequence[bool]) -> Agreement:
    """The judge's ``verdicts`` (``None``: no verdict) against the ``truths`` of the same answers, in the same order."""
    pairs = list(zip(verdicts, truths, strict=True))
    passed_right = [verdict for verdict, truth in pairs if truth and verdict is not None]
    passed_wrong = [verdict for verdict, truth in pairs if not truth and verdict is not None]
    true_pass, true_fail = sum(passed_right), len(passed_wrong) - sum(passed_wrong)
    return Agreement(
        sensitivity=share(true_pass, len(passed_right)),
        specificity=share(true_fail, len(passed_wrong)),
        accuracy=share(true_pass + true_fail, len(passed_right) + len(passed_wrong)),
        unmeasured=sum(verdict is None for verdict, _ in pairs),
    )
