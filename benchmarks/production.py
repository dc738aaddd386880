"""What production inputs alone show: a fresh hundred a week, and a frozen hundred asked again every week.

All at 0.1 false pages per target-year, shared by both samples, with the product's own signals and policy: a baseline
of 14 daily samples, then weekly evaluations with what the product asks in addition, days that differ x1.2. A trial
draws its baseline anew. Texts are the lab's real answers (``resample``), at temperature 0.7.

Fresh: a run asks 100 requests that never repeat, drawn from the lab's 24 questions by topic, to subject and base; the
base gets 13 of them twice.

* ``adapter-dropped``, ``routed-30``: all answers, or 30 % of them, come from the base.
* ``score-20-fresh``: the judge passes 80 % before and 60 % after; of the base 50 %.
* ``mix-shift``: the model is steady, and from the first week on users ask what they rarely asked: other topics, which
  are harder (95 % and 60 % pass, of the base 50 % and 20 %), half of them in another script, and twice as long, with
  answers twice as long. ``false_pages_per_target_year``: of years of 52 evaluations.

Frozen: 100 items, with every signal of probes.

* ``flips-12-2``: as in ``first_look``.
* ``score-10-frozen``: the judge passes 80 % before and 70 % after. An item's chance to pass is drawn from a beta
  distribution with a mean of 0.8 (1.6, 0.4): most items nearly always pass.

* ``alias-moved``: the alias serves a version whose fine-tune has half of the effect, its snapshot the old one; both are
  asked the fresh hundred. ``alias-steady``, ``false_tickets_per_target_year``: tickets of ``alias_moved`` while both
  serve the same.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.channels import PAGES
from benchmarks.first_look import BASELINE_DAYS, ITEMS, SPREAD, WEEK, Watch, item_looks
from benchmarks.pool import PoolAnswer
from benchmarks.resample import FloatArray, IntArray, Source, comparison, source
from benchmarks.rows import Row, parser, poisson_rate, report, seed_of, share, spread_out
from monitor.core.records import JUDGE_GRADER, Arm, Comparison, Severity
from monitor.core.run_kinds import PRODUCTION
from monitor.core.schedule import FOLLOWING
from monitor.detect import distribution, fresh_pairs, policy

BENCHMARK: Final = "production"
SAMPLES: Final = 2
"""The fresh and the frozen hundred share the promise."""
LINE: Final = policy.threshold_log10(0.1, 365 / WEEK * (1 + FOLLOWING), SAMPLES)
INPUTS: Final = 100
OTHER_VERSION: Final = "half-scale"
ALIAS: Final = ("alias_moved",)
TWICE: Final = 13
PER_DAY: Final = 4
"""Requests of a day that repeat one of the lab's questions, about; days' spread is of so many."""
YEAR: Final = 52
CHUNK: Final = 5

RARE: Final = ("colour", "hours", "returns")
"""Topics that a tenth of the requests are about, until the mix shifts."""
RARE_SHARE: Final = 0.1
SCRIPT: Final = str.maketrans({chr(97 + place): chr(0x430 + place) for place in range(26)})
"""Another script, letter by letter."""


@dataclass(frozen=True)
class Grades:
    """The judge's chance to pass the subject and the base, of frequent and of rare topics."""

    subject: tuple[float, float] = (0.95, 0.95)
    base: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True)
class World:
    """How requests are answered on one day."""

    other: str = "healthy"
    share: float = 0.0
    """Of the subject's answers that come from ``other``."""
    grades: Grades = Grades()
    arms: tuple[str, str] = ("healthy", "base")
    """The subject's case of the lab's answers, and that of the arm next to it."""
    shifted: bool = False


@dataclass(frozen=True)
class Job:
    case: str
    evaluations: int
    trials: int
    seed: int


class Requests:
    """Samples of requests, each with names of its own."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.number = rng, 0
        probes = [members[0][0].probe for members in _source("healthy").kinds.members]
        self.rare = np.array([name.startswith(RARE) for name in probes])

    def day(self, world: World) -> tuple[tuple[PoolAnswer, ...], tuple[PoolAnswer, ...]]:
        """Answers of the subject and of the base to one sample."""
        self.number += 1
        rare = 1 - RARE_SHARE if world.shifted else RARE_SHARE
        weights = np.where(self.rare, rare / self.rare.sum(), (1 - rare) / (~self.rare).sum())
        asked = self.rng.choice(weights.size, size=INPUTS, p=weights)
        strange = world.shifted & (self.rng.random(INPUTS) < 0.5)
        subject = self._answers(world.arms[0], asked, world.grades.subject)
        if world.share:
            other = self._answers(world.other, asked, world.grades.base)
            subject = [o if self.rng.random() < world.share else s for s, o in zip(subject, other, strict=True)]
        base = self._answers(world.arms[1], asked, world.grades.base)
        again = self._answers(world.arms[1], asked[:TWICE], world.grades.base)
        both = (self._changed(found, strange, world) for found in (subject, base, again))
        mine, others, more = both
        return tuple(mine), (*others, *(replace(one, scores={}) for one in more))

    def _answers(self, case: str, asked: IntArray, passes: tuple[float, float]) -> list[PoolAnswer]:
        kinds = _source(case).draw(1, int(np.bincount(asked).max()), self.rng)[0]
        turn = [0] * len(kinds)
        found = []
        for place in asked.tolist():
            members = _source(case).kinds.members[place][kinds[place, turn[place]]]
            turn[place] += 1
            passed = float(self.rng.random() < passes[int(self.rare[place])])
            one = members[int(self.rng.integers(len(members)))]
            found.append(replace(one, scores={JUDGE_GRADER: passed}, logprobs=None))
        return found

    def _changed(self, found: list[PoolAnswer], strange: NDArray[np.bool_], world: World) -> list[PoolAnswer]:
        named = [replace(one, probe=f"{self.number}-{place:03}") for place, one in enumerate(found)]
        if not world.shifted:
            return named
        longer = [
            replace(one, text=f"{one.text} {one.text}", prompt_tokens=2 * one.prompt_tokens) for one in named
        ]  # fmt: skip
        return [
            replace(one, text=one.text.lower().translate(SCRIPT)) if odd else one
            for one, odd in zip(longer, strange, strict=False)
        ]


def _source(case: str) -> Source:
    return source(case, SPREAD, per_day=PER_DAY)


USUAL: Final = World()
HARD: Final = Grades((0.95, 0.6), (0.5, 0.2))
FRESH: Final[Mapping[str, tuple[World, World]]] = {
    "adapter-dropped": (USUAL, World("adapter-dropped", 1.0, Grades(base=(0.5, 0.5)))),
    "routed-30": (USUAL, World("adapter-dropped", 0.3)),
    "score-20-fresh": (World(grades=Grades((0.8, 0.8))), World(grades=Grades((0.6, 0.6)))),
    "mix-shift": (World(grades=HARD), World(grades=HARD, shifted=True)),
}
"""Case -> the baseline's days, and the evaluations'."""


def fresh(case: str, rng: np.random.Generator) -> Iterator[Comparison]:
    """Evaluations of fresh samples on one baseline."""
    requests, (usual, now) = Requests(rng), FRESH[case]
    before = [requests.day(usual) for _ in range(BASELINE_DAYS)]
    known = comparison((), (), [one for one, _ in before], [one for _, one in before], line=LINE).baseline
    while True:
        subject, base = requests.day(now)
        made = comparison(subject, base, (), (), line=LINE)
        yield replace(_after(made), suite=PRODUCTION.suite, baseline=known)


def _after(made: Comparison) -> Comparison:
    """With a run of its own, after the baseline's."""
    number = BASELINE_DAYS + 1
    return replace(made, run_id=number, now=tuple(replace(one, run_id=number) for one in made.now))


def aliases(now: str, rng: np.random.Generator) -> Iterator[Comparison]:
    """Evaluations of fresh samples of an alias that serves ``now``, with its snapshot next to it."""
    requests = Requests(rng)
    usual, later = (World(arms=("healthy", "healthy"), share=share, other=now) for share in (0.0, 1.0))
    before = [requests.day(usual) for _ in range(BASELINE_DAYS)]
    known = comparison((), (), [one for one, _ in before], [one for _, one in before], line=LINE).baseline
    while True:
        subject, dated = requests.day(later)
        made = replace(_after(comparison(subject, dated, (), (), line=LINE)), baseline=known)
        sides = [(*(one for one in side if one.arm is Arm.SUBJECT),) for side in (made.now, made.baseline)]
        others = (replace(one, arm=Arm.SNAPSHOT) for one in (*made.now, *made.baseline) if one.arm is Arm.BASE)
        yield replace(made, suite=PRODUCTION.suite, now=sides[0], baseline=sides[1], snapshots=tuple(others))


def flips(rng: np.random.Generator) -> Iterator[Comparison]:
    """Evaluations of the frozen items, of which some flip."""
    for made in item_looks(rng):
        yield replace(made, page_threshold_log10=LINE, ticket_threshold_log10=LINE)


BEFORE, AFTER = 0.8, 0.7
SURE: Final = 2.0
"""Sum of the beta distribution's parameters."""


def scores(rng: np.random.Generator) -> Iterator[Comparison]:
    """Evaluations of the frozen items, which the judge passes less often; their texts are as before."""
    chances = rng.beta(SURE * BEFORE, SURE * (1 - BEFORE), ITEMS)
    effect = _day_effect(chances)

    def day(now: bool) -> tuple[PoolAnswer, ...]:
        moved = _tilted(chances * (AFTER / BEFORE if now else 1.0), effect * rng.standard_normal())
        passed = rng.random(ITEMS) < moved
        return _items("healthy", passed.astype(np.float64), rng)

    base = [_items("base", np.zeros(ITEMS), rng) for _ in range(BASELINE_DAYS + 1)]
    before = [day(False) for _ in range(BASELINE_DAYS)]
    while True:
        yield comparison(day(True), base[-1], before, base[:-1], line=LINE)


def _items(case: str, passed: FloatArray, rng: np.random.Generator) -> tuple[PoolAnswer, ...]:
    """An answer to each frozen item, with the judge's verdict; items take turns with the lab's questions."""
    members = _source(case).kinds.members
    kinds = _source(case).draw(1, ceil(ITEMS / len(members)), rng)[0]
    places = [divmod(number, len(members)) for number in range(ITEMS)]
    return tuple(
        replace(
            members[probe][kinds[probe, turn]][0], probe=f"item-{number:03}", logprobs=None,
            scores={JUDGE_GRADER: float(passed[number])},
        )
        for number, (turn, probe) in enumerate(places)
    )  # fmt: skip


def _tilted(chances: FloatArray, effect: float) -> FloatArray:
    odds = chances / np.maximum(1e-9, 1 - chances) * np.exp(effect)
    return np.asarray(odds / (1 + odds))


def _day_effect(chances: FloatArray) -> float:
    """Standard deviation of a day's effect on log odds with which days spread ``SPREAD`` times as much as by chance."""
    return float(np.sqrt((SPREAD**2 - 1) / (chances * (1 - chances)).sum()))


CASES: Final[Mapping[str, tuple[int, ...]]] = {
    "adapter-dropped": (1, 2), "routed-30": (1, 2), "flips-12-2": (2, 3), "score-20-fresh": (1, 2, 3),
    "score-10-frozen": (3, 6), "mix-shift": (), "alias-moved": (1, 2), "alias-steady": (),
}  # fmt: skip
"""Case -> the weeks by which detection is counted; none: false pages are."""
RATES: Final = {"mix-shift": "false_pages_per_target_year", "alias-steady": "false_tickets_per_target_year"}
PART: Final[Mapping[str, float]] = dict.fromkeys(RATES, 0.75)
"""Trials of a case as a share of the others'."""


def paged(job: Job) -> list[int | None]:
    """The week (from 1) in which each trial paged, or raised a ticket of ``alias_moved``."""
    fresh_pairs.alike = _remembered(fresh_pairs.alike)
    distribution._hashed = _remembered(distribution._hashed)
    rng = np.random.default_rng(job.seed)
    return [_trial(job, rng) for _ in range(job.trials)]


def _remembered(made: Callable[..., Any]) -> Callable[..., Any]:
    return made if hasattr(made, "cache_info") else cache(made)


def _trial(job: Job, rng: np.random.Generator) -> int | None:
    makers: dict[str, Callable[[np.random.Generator], Iterator[Comparison]]] = {
        "flips-12-2": flips, "score-10-frozen": scores, "alias-moved": partial(aliases, OTHER_VERSION),
        "alias-steady": partial(aliases, "healthy"),
    }  # fmt: skip
    made = makers.get(job.case, partial(fresh, job.case))
    alias = job.case.startswith("alias")
    watch = Watch(made(rng), WEEK, ALIAS if alias else PAGES, Severity.TICKET if alias else Severity.PAGE)
    return next((week for week in range(1, job.evaluations + 1) if watch.period((week - 1) * WEEK)), None)


def rows_of(case: str, weeks: Sequence[int | None]) -> list[Row]:
    """Detection by week, or the rate of false pages."""
    rows = []
    for within in CASES[case]:
        found = share(sum(week is not None and week <= within for week in weeks), len(weeks))
        measure = f"detected_by_week_{within}"
        rows.append(Row(BENCHMARK, "cliffwatch", case, measure, found.value, found.low, found.high, len(weeks)))
    if not rows:
        years = sum(YEAR if week is None else week for week in weeks) / YEAR
        rate = poisson_rate(sum(week is not None for week in weeks), years)
        measure = RATES[case]
        rows.append(Row(BENCHMARK, "cliffwatch", case, measure, rate.value, rate.low, rate.high, len(weeks)))
    return rows


def main() -> int:
    made = parser(__doc__, trials=400, what="baselines of each case; three quarters as many target-years")
    made.add_argument("--case", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help="default: all")
    args = made.parse_args()
    jobs = [
        Job(case, max(CASES[case], default=YEAR), min(CHUNK, count - first), seed_of(args.seed, case, first))
        for case in args.case
        for count in [ceil(PART.get(case, 1.0) * args.trials)]
        for first in range(0, count, CHUNK)
    ]
    found: dict[str, list[int | None]] = {}
    for job, weeks in zip(jobs, spread_out(paged, jobs, "trials"), strict=True):
        found.setdefault(job.case, []).extend(weeks)
    report([row for case, weeks in found.items() for row in rows_of(case, weeks)], as_json=args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
