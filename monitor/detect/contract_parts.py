"""A part of the contract: its channel of evidence, and what it tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from monitor.core.limits import MOVED_LOG10
from monitor.core.records import Cause
from monitor.detect import evidence
from monitor.detect.day_scores import FARTHEST
from monitor.detect.measurement import Channel

SURE: Final = 14
"""Least days that a constant fact counts for, even if it was seen on one day only: it is not random."""


@dataclass(frozen=True)
class Part:
    """One compared part: its channel, the change with old and new value ("" without a change), and the answers (by
    identity) that show it."""

    channel: Channel
    change: str = ""
    broken: frozenset[int] = frozenset()
    level: str = ""
    """A rate's numbers when they are unchanged; empty for a fact."""
    gap: float = 0.0
    """A rate's share now minus the baseline's."""
    cause: Cause = Cause.UNKNOWN
    """What the change means, if this part is far off or its evaluation alone shows a change."""

    @property
    def evaluation_log10(self) -> float:
        channel = self.channel.counted(structural=False)
        return evidence.running(channel.baseline, [channel.score], channel.side).evaluation_log10

    @property
    def changed(self) -> bool:
        """Whether today's evaluation alone shows the change."""
        return bool(self.change) and self.evaluation_log10 >= MOVED_LOG10


def fact(what: str, news: bool, exceptions: int, trials: int, odd_days: Sequence[bool]) -> Channel:
    """A fact's channel: today's score, and those of the baseline's days, by the rule of succession (see ``contract``).

    ``exceptions`` of ``trials`` were new in the baseline; ``odd_days``: the days on which one was.
    """
    if not exceptions:
        return Channel(what, FARTHEST if news else 0.0, (0.0,) * max(SURE, len(odd_days)), "rise", FARTHEST)
    chance = (exceptions + 1) / (trials + 1)
    score = max(0.0, -NormalDist().inv_cdf(chance)) if chance < 1 else 0.0
    return Channel(what, score * news, tuple(score * odd for odd in odd_days), "rise", FARTHEST)
