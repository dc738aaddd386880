"""Time until the page: a lost fine-tune, a share of traffic without it, and a version that gets items wrong.

All at the default setting of 0.1 false pages per target-year, with the product's own signals and policy, on the lab's
real answers, drawn again for every trial (see ``resample``): a baseline of 14 days with one answer per probe and day,
then evaluations of 48 calls (24 probes, subject and base), days that differ x1.2, no log-probabilities.

* ``first_look_detection``: the base answers under the subject's name. Does the first evaluation page?
* ``detected_within_7_days``: each answer comes from the base with probability 0.3 (or 0.16); daily evaluations.
* ``detected_by_week_2``, ``_3``: 100 frozen items asked once a week, 75 of which were answered right before. In health,
  2 of 100 flip from right to wrong in a week and 2 the other way; the new version flips 12 and 2. A right answer is one
  of the subject's, a wrong one an answer of the base, but not the one that the base gives in the same run. Which items
  flip is drawn every week; the baseline is 14 rounds. Both arms are asked and judged.

All page signals are live and share the evidence; the one that finds the fault carries those that do not. Of a fault's
texts, the judge's verdict is known where it is a text of the healthy endpoint or of the base.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from math import ceil
from typing import Final

import numpy as np

from benchmarks.channels import PAGES
from benchmarks.pool import PoolAnswer
from benchmarks.resample import LINE_LOG10, Mixed, comparison, source
from benchmarks.rows import Row, parser, report, seed_of, share, spread_out
from monitor.core.records import AT, Alarm, AlarmState, Comparison, Finding, Severity
from monitor.core.schedule import FOLLOWING
from monitor.core.signals import SEVERITIES
from monitor.detect import SIGNALS, alarms, finding_of, policy

BENCHMARK: Final = "first_look"
BASELINE_DAYS: Final = 14
SPREAD: Final = 1.2
ITEMS, RIGHT = 100, 75
CHURN: Final = (2, 2)
FLIPS: Final = (12, 2)
WEEK: Final = 7
WEEKLY_LINE: Final = policy.threshold_log10(0.1, 365 / WEEK * (1 + FOLLOWING), 1)
START: Final = datetime(2026, 6, 1, tzinfo=UTC)
CHUNK: Final = 20


@dataclass(frozen=True)
class Job:
    """Some trials of one case; each runs until its first page, at most ``evaluations`` evaluations."""

    case: str
    evaluations: int
    trials: int
    seed: int


SHARES: Final[dict[str, float]] = {"30 % routed to base": 0.3, "16 % routed to base": 0.16}
LOST: Final = "adapter-dropped"
FLIPPED: Final = "12 %/2 % flips on 100 items"


def paged(job: Job) -> list[int | None]:
    """The evaluation (from 1) at which each trial paged."""
    rng = np.random.default_rng(job.seed)
    return [_trial(job, rng) for _ in range(job.trials)]


def _trial(job: Job, rng: np.random.Generator) -> int | None:
    weekly = job.case == FLIPPED
    target = Watch(item_looks(rng) if weekly else _looks(job.case, rng), WEEK if weekly else 1)
    for number in range(1, job.evaluations + 1):
        if target.period((number - 1) * target.apart):
            return number
    return None


class Watch:
    """One suite as the product watches it: its evaluations, fresh samples and alarms."""

    def __init__(
        self, looks: Iterator[Comparison], apart: int, names: Sequence[str] = PAGES, alarm: Severity = Severity.PAGE
    ) -> None:
        """``names``: the signals that are live. ``alarm``: what counts as an alarm."""
        self.looks, self.apart, self.names, self.alarm = looks, apart, names, alarm
        self.history: dict[str, tuple[Mapping[str, float], ...]] = {}
        self.open: dict[str, Alarm] = {}

    def period(self, day: int) -> bool:
        """A scheduled evaluation and what is asked because of it until the next one; whether a page is confirmed."""
        found = self._evaluate(day)
        if alarms.to_confirm(self.open.values(), found):
            found = self._evaluate(day, fresh=True)
        for later in range(day + 1, day + self.apart):
            waits = any(one.waits_until is not None for one in self.open.values())
            if not self._paged() and (waits or any(map(policy.grew, found))):
                found = self._evaluate(later, fresh=waits)
        return self._paged()

    def _paged(self) -> bool:
        return any(one.state is AlarmState.CONFIRMED and one.severity is self.alarm for one in self.open.values())

    def _evaluate(self, day: int, *, fresh: bool = False) -> list[Finding]:
        at = START + timedelta(days=day, hours=fresh)
        made = replace(
            next(self.looks), history=self.history, confirming=fresh, at=at.timestamp(), days_apart=self.apart
        )
        made = replace(made, now=tuple(replace(one, slot=at) for one in made.now))
        readings = {name: reading for name in self.names if (reading := SIGNALS[name](made)) is not None}
        told = policy.verdicts(made, readings, SEVERITIES)
        found = [finding_of(made, name, reading, told[name]) for name, reading in readings.items()]
        for finding in found:
            name = finding.signal
            alarm = alarms.next_state(self.open.get(name), finding, at + timedelta(minutes=1), clears=True)
            if alarm is not None:
                self.open[name] = alarm
            self.history[name] = (*self.history.get(name, ()), {**finding.scores, AT: at.timestamp()})
        return found


def _looks(case: str, rng: np.random.Generator) -> Iterator[Comparison]:
    """Daily evaluations on one fresh baseline."""
    healthy, base, lost = (source(name, SPREAD, judged=True) for name in ("healthy", "base", LOST))
    faulty = Mixed(healthy, lost, SHARES[case]) if case in SHARES else lost
    before, base_before = healthy.days(BASELINE_DAYS, 1, rng), base.days(BASELINE_DAYS, 1, rng)
    plain = [_untold(day) for day in before]
    plain_base = [_untold(day) for day in base_before]
    while True:
        now, base_now = faulty.days(1, 1, rng)[0], base.days(1, 1, rng)[0]
        yield comparison(_untold(now), _untold(base_now), plain, plain_base, line=LINE_LOG10)


def _untold(day: tuple[PoolAnswer, ...]) -> tuple[PoolAnswer, ...]:
    return tuple(replace(one, logprobs=None) for one in day)


def item_looks(rng: np.random.Generator) -> Iterator[Comparison]:
    """Weekly evaluations of frozen items, judged, both arms asked at temperature 0."""
    before = [items(rng, CHURN) for _ in range(BASELINE_DAYS)]
    base = tuple(_item(number, right=False, turn=-1) for number in range(ITEMS))
    while True:
        now = items(rng, FLIPS)
        yield comparison(now, base, before, [base] * BASELINE_DAYS, line=WEEKLY_LINE, temperature=0.0)


def items(rng: np.random.Generator, flips: tuple[int, int], right: int = RIGHT) -> tuple[PoolAnswer, ...]:
    """One week's answers: of 100 items, of which ``right`` were answered right, ``flips`` go from right to wrong and
    from wrong to right, on average."""
    was = np.arange(ITEMS) < right
    flip = rng.random(ITEMS) < np.where(was, flips[0] / RIGHT, flips[1] / (ITEMS - RIGHT))
    return tuple(_item(number, right=bool(right), turn=0) for number, right in enumerate(was ^ flip))


@cache
def _item(number: int, *, right: bool, turn: int) -> PoolAnswer:
    """An item's answer: the first (``turn`` 0) or the last (-1) kind of those that are right, or wrong, and judged."""
    members = source("healthy" if right else "base", judged=True).kinds.members
    kinds = [kind[0] for kind in members[number % len(members)] if kind[0].right == float(right)]
    found = [one for one in kinds if one.judge is not None] or kinds
    return replace(found[turn], probe=f"item-{number:03}", logprobs=None)


MEASURES: Final[dict[str, dict[str, int]]] = {
    LOST: {"first_look_detection": 1},
    **{name: {"first_look_detection": 1, "detected_within_7_days": 7} for name in SHARES},
    FLIPPED: {"detected_by_week_1": 1, "detected_by_week_2": 2, "detected_by_week_3": 3},
}
PART: Final[dict[str, float]] = {LOST: 1.0, **dict.fromkeys(SHARES, 0.08), FLIPPED: 0.1}
"""Trials of each case, as a share of the lost fine-tune's."""


def main() -> int:
    made = parser(__doc__, trials=5000, what="evaluations of a lost fine-tune")
    made.add_argument("--cases", nargs="+", choices=PART, default=list(PART), metavar="CASE", help="default: all")
    args = made.parse_args()
    jobs = [
        Job(case, max(MEASURES[case].values()), min(CHUNK, count - first), seed_of(args.seed, case, first))
        for case in args.cases
        for count in [ceil(PART[case] * args.trials)]
        for first in range(0, count, CHUNK)
    ]
    found: dict[str, list[int | None]] = {}
    for job, evaluations in zip(jobs, spread_out(paged, jobs, "evaluations"), strict=True):
        found.setdefault(job.case, []).extend(evaluations)
    rows = []
    for case, evaluations in found.items():
        for measure, within in MEASURES[case].items():
            caught = share(
                sum(evaluation is not None and evaluation <= within for evaluation in evaluations), len(evaluations)
            )
            rows.append(
                Row(BENCHMARK, "cliffwatch", case, measure, caught.value, caught.low, caught.high, len(evaluations))
            )
    report(rows, as_json=args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
