"""False tickets of a fleet: how many a target-year, and their share of all tickets.

Each target has one suite and four ticket signals, a baseline of 14 days and a year of daily evaluations. Day scores are
normal with a spread of 1.2. A stated share of the targets changes once in the year, on a random day: one signal moves
by ``SHIFT`` standard deviations of independent answers and stays there. On each day the rule of the product decides:
a stream is ticketed when its averaged evidence reaches its threshold times ``policy.fleet_factor_log10`` of the others.
A ticket stays open for ``OPEN_DAYS``, in which its evidence still counts for the others. Then the target is as before,
and its evidence starts anew. A ticket is true if its target had changed by then, else false.

Days are each target's own, or shared: the part of the spread that is more than chance is then the same for all targets
on the same day, as it is where they share a provider.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.fast import Track, at_most, grown_log10, log10_sum
from benchmarks.resample import LINE_LOG10, LOOKS_PER_YEAR
from benchmarks.rows import Row, bootstrap, clustered_rate, seed_of, share
from monitor.detect import policy
from monitor.detect.evidence import PRIOR

FloatArray = NDArray[np.float64]

BENCHMARK: Final = "null"
METHOD: Final = "cliffwatch"
RATE: Final = "false_tickets_per_target_year"
SHARE: Final = "false_share_of_tickets"
FLEETS: Final = (1, 30, 300)
SIGNALS: Final = 4
DAYS: Final = 14
SPREAD: Final = 1.2
SHIFT: Final = 4.0
OPEN_DAYS: Final = 7
SETTINGS: Final = ((0.1, False), (0.5, False), (0.1, True))
"""Share of the targets that change in the year, and whether the targets share their days."""
_SCREEN: Final = 0.01
"""log10 by which single precision may be off."""


@dataclass(frozen=True)
class Fleet:
    """One year of one fleet."""

    targets: int
    changed: float
    shared: bool
    seed: int

    @property
    def case(self) -> str:
        days = ", shared days" if self.shared else ""
        return f"{self.targets} target{'s' * (self.targets > 1)}, {self.changed:.0%} change in the year{days}"


@dataclass(frozen=True)
class Tickets:
    """Of one fleet-year."""

    true: int
    false: int


def counted(fleet: Fleet) -> Tickets:
    """A year of one fleet, day by day."""
    year = _Year(fleet)
    raised = [year.day(number) for number in range(LOOKS_PER_YEAR)]
    return Tickets(sum(true for true, _ in raised), sum(false for _, false in raised))


class _Year:
    """The scores of a fleet's year, and what is open on the day that was looked at last."""

    def __init__(self, fleet: Fleet) -> None:
        rng, targets = np.random.default_rng(fleet.seed), fleet.targets
        scores = _scores(fleet, rng)
        self.baselines, self.evaluations = scores[..., :DAYS], scores[..., DAYS:]
        changes = rng.random(targets) < fleet.changed
        self.begins = np.where(changes, rng.integers(0, LOOKS_PER_YEAR, targets), LOOKS_PER_YEAR)
        for target, begin in enumerate(self.begins):
            self.evaluations[target, 0, begin:] += SHIFT
        self.starts = np.zeros(targets, dtype=np.int64)
        self.closes = np.full(targets, -1)
        """Day on which the open ticket closes; -1: none is open."""
        self.over = np.stack([self._bound(target) for target in range(targets)])
        """Each target's evidence over its threshold on each day, log10: a bound from above."""

    def day(self, day: int) -> tuple[int, int]:
        """How many true and false tickets are raised."""
        for target in np.flatnonzero(self.closes == day):
            self._close(int(target), day)
        found = np.full(len(self.over), -np.inf)
        for target in np.flatnonzero(rejected(self.over[:, day] + _SCREEN)):
            found[target] = self._exact(int(target), day)
        new = [one for one in np.flatnonzero(found >= 0) if self.closes[one] < 0 and _ticketed(found, int(one))]
        self.closes[new] = day + OPEN_DAYS
        true = sum(bool(self.begins[one] <= day) for one in new)
        return true, len(new) - true

    def _close(self, target: int, day: int) -> None:
        if self.begins[target] <= day:
            self.evaluations[target, 0, day:] -= SHIFT
            self.begins[target] = LOOKS_PER_YEAR
        self.closes[target], self.starts[target] = -1, day
        self.over[target, day:] = self._bound(target)

    def _bound(self, target: int) -> FloatArray:
        start = self.starts[target]
        total = np.zeros(LOOKS_PER_YEAR)
        with np.errstate(over="ignore"):  # beyond single precision it is over any line
            for baseline, evaluations in zip(self.baselines[target], self.evaluations[target], strict=True):
                # Padded, so that one set of pairs serves every start: no day depends on those after it.
                total += at_most(baseline, np.pad(evaluations[start:], (0, int(start))), PRIOR)
        return np.asarray(np.log10(total[: LOOKS_PER_YEAR - start] / SIGNALS) - LINE_LOG10)

    def _exact(self, target: int, day: int) -> float:
        """The evidence over the line by the product's own code."""
        pairs = zip(self.baselines[target], self.evaluations[target], strict=True)
        tracks = [
            Track(baseline, evaluations, "rise", 1 / SIGNALS, str(number))
            for number, (baseline, evaluations) in enumerate(pairs)
        ]
        grown = grown_log10(tracks, int(self.starts[target]), day)
        return log10_sum(list(grown.values())) - LINE_LOG10


def _scores(fleet: Fleet, rng: np.random.Generator) -> FloatArray:
    """Day scores, (targets, signals, days)."""
    shape = (fleet.targets, SIGNALS, DAYS + LOOKS_PER_YEAR)
    days = rng.normal(0.0, np.sqrt(SPREAD**2 - 1), shape[1:] if fleet.shared else shape)
    return np.asarray(rng.normal(size=shape) + days)


def rejected(over: FloatArray) -> NDArray[np.bool_]:
    """Which streams are ticketed (e-BH): ``over`` is each one's evidence over its threshold, log10."""
    count = over.size
    ranked = np.sort(over)[::-1]
    factors = np.log10(count / np.arange(1.0, count + 1.0))
    reached = np.flatnonzero(ranked >= factors)
    return np.asarray(over >= factors[reached[-1]]) if reached.size else np.zeros(count, dtype=np.bool_)


def _ticketed(over: FloatArray, target: int) -> bool:
    others = np.delete(over, target).tolist()
    return bool(over[target] >= policy.fleet_factor_log10(others))


def fleets(trials: int, seed: int) -> list[Fleet]:
    """Fleet-years with about ``trials`` target-years a setting, and at least four of each fleet."""
    return [
        Fleet(targets, changed, shared, seed_of(seed, targets, changed, shared, number))
        for changed, shared in SETTINGS
        for targets in FLEETS
        if not (shared and targets == 1)
        for number in range(max(4, ceil(trials / targets)))
    ]


def rows(done: Sequence[tuple[Fleet, Tickets]]) -> list[Row]:
    """``n``: target-years of the rate; tickets of the share, whose bounds are Wilson's or, where wider, those of a
    bootstrap over fleet-years."""
    by_case: dict[str, list[tuple[Fleet, Tickets]]] = {}
    for fleet, found in done:
        by_case.setdefault(fleet.case, []).append((fleet, found))
    return [row for case, years in by_case.items() for row in _rows(case, years)]


def _rows(case: str, years: Sequence[tuple[Fleet, Tickets]]) -> list[Row]:
    targets = years[0][0].targets
    counts = np.array([(one.false, one.true + one.false) for _, one in years], dtype=np.float64)
    false, total = (int(one) for one in counts.sum(axis=0))
    rate = clustered_rate(counts[:, 0].tolist(), targets)
    found = [Row(BENCHMARK, METHOD, case, RATE, rate.value, rate.low, rate.high, targets * len(years))]
    if total:
        alone = share(false, total)
        drawn = bootstrap([counts], _false_share, np.random.default_rng(1))
        low, high = min(alone.low, drawn.low), max(alone.high, drawn.high)
        found.append(Row(BENCHMARK, METHOD, case, SHARE, alone.value, low, high, total))
    return found


def _false_share(counts: FloatArray) -> float:
    false, total = counts.sum(axis=0)
    return float(false / total) if total else 0.0
