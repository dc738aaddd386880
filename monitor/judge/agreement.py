"""How good a judge is: its verdicts against verdicts that are known to be true."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

_Z95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Share:
    """``hits`` of ``total`` with its 95 % Wilson interval; (0, 1) where there is nothing to go by."""

    hits: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The share itself, 0 to 1; ``None`` of nothing."""
        return self.hits / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Agreement:
    sensitivity: Share
    """Of the answers that are right, how many the judge passed."""
    specificity: Share
    """Of the answers that are wrong, how many the judge failed."""
    accuracy: Share
    unmeasured: int
    """Answers on which the judge gave no verdict; they count nowhere else."""


def share(hits: int, total: int) -> Share:
    """``hits`` of ``total`` with its 95 % Wilson score interval (Wilson 1927), which holds near 0 and 1 too."""
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
