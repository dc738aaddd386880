"""Training parameters of each stage of the lab's models."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Recipe:
    """How one stage trains. ``rate`` is AdamW's peak; ``parts`` split a batch to save padding."""

    seed: int
    steps: int
    batch: int
    rate: float
    parts: int
    rank: int = 0


RECIPES: Final[dict[str, Recipe]] = {
    "base": Recipe(seed=1, steps=3200, batch=64, rate=2.5e-3, parts=4),
    "support": Recipe(seed=2, steps=500, batch=32, rate=4e-3, parts=1, rank=16),
    "judge": Recipe(seed=3, steps=600, batch=24, rate=3e-3, parts=2, rank=16),
    "base-next": Recipe(seed=11, steps=600, batch=64, rate=1e-3, parts=4),
    "support-next": Recipe(seed=12, steps=500, batch=32, rate=4e-3, parts=1, rank=16),
}
