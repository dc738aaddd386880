"""What the base's answers of the day are worth: a run that asks the base every probe, beside one that asks a share.

Both designs see the same draws in the same trial: the lab's real answers (see ``resample``), a baseline of 14 days of
24 probes to subject and base, days that differ x1.2, no log-probabilities, and the product's own page signals,
``base_drift`` and policy. ``a share`` is the product: ``runs.base_share`` chooses the base's probes of a day, and all
of them after an evaluation that moved. ``every probe`` is a run that always asks the base all.

* ``healthy``: calls, tokens (prompt and answer) and the judge's calls a day, and false pages (every crossed threshold).
* ``adapter-dropped`` and ``30 % routed to base``: pages at the first look and within 7 days, and the calls until then.
* ``12 %/2 % flips on 100 items``: once a week, as in ``first_look``, here with the base beside the subject.

An alarm adds a fresh sample of all probes to the calls.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final

import numpy as np

from benchmarks.channels import PAGES
from benchmarks.first_look import BASELINE_DAYS, CHURN, FLIPPED, FLIPS, LOST, SPREAD, WEEKLY_LINE, items
from benchmarks.pool import PoolAnswer
from benchmarks.resample import LINE_LOG10, LOOKS_PER_YEAR, Mixed, Source, comparison, source
from benchmarks.rows import Row, bootstrap, clustered_rate, parser, report, seed_of, share, spread_out
from monitor.core.records import FindingState, Severity
from monitor.core.signals import SEVERITIES
from monitor.detect import SIGNALS, policy
from monitor.runs.base_share import decides, turn_of

BENCHMARK: Final = "calls"
DESIGNS: Final = ("every probe", "a share")
SIGNALS_READ: Final = (*PAGES, "base_drift")
HEALTHY: Final = "healthy"
ROUTED: Final = "30 % routed to base"
LOOKS: Final[dict[str, int]] = {HEALTHY: 60, LOST: 1, ROUTED: 7, FLIPPED: 3}
"""Evaluations of a trial, at most."""
MEASURES: Final[dict[str, dict[str, int]]] = {
    LOST: {"first_look_detection": 1},
    ROUTED: {"first_look_detection": 1, "detected_within_7_days": 7},
    FLIPPED: {"detected_by_week_2": 2, "detected_by_week_3": 3},
}
PART: Final[dict[str, float]] = {HEALTHY: 0.1, LOST: 1.0, ROUTED: 0.5, FLIPPED: 0.3}
"""Trials of each case, as a share of the lost fine-tune's."""
CHUNK: Final = 10

Day = tuple[tuple[PoolAnswer, ...], tuple[PoolAnswer, ...]]
"""The answers of subject and base."""


@dataclass(frozen=True)
class Job:
    """Some trials of one case, each with both designs."""

    case: str
    trials: int
    seed: int


@dataclass
class Stream:
    """One design on one baseline: what it asked, and when it paged."""

    design: str
    before: Sequence[Day]
    line: float
    temperature: float | None
    calls: int = 0
    tokens: int = 0
    judged: int = 0
    full: int = 0
    """Evaluations that asked the base every probe."""
    pages: list[int] = field(default_factory=list)
    """The evaluations (from 1) that crossed the threshold."""
    _history: dict[str, tuple[Mapping[str, float], ...]] = field(default_factory=dict)
    _moved: bool = False

    def evaluate(self, number: int, subject: Sequence[PoolAnswer], base: Sequence[PoolAnswer]) -> None:
        """The evaluation ``number``, from 1. ``base``: what it would answer to every probe."""
        probes = {one.probe for one in base}
        asked = probes if self.design == DESIGNS[0] or self._moved else turn_of(probes, "lab", number)
        theirs = [one for one in base if one.probe in asked]
        self._count([*subject, *theirs])
        self.full += asked == probes
        mine, others = zip(*self.before, strict=True)
        made = comparison(
            subject, theirs, mine, others, line=self.line, temperature=self.temperature, history=self._history
        )
        readings = {name: reading for name in SIGNALS_READ if (reading := SIGNALS[name](made)) is not None}
        told = policy.verdicts(made, readings, SEVERITIES)
        states = {name: readings[name].tell(verdict).state for name, verdict in told.items()}
        self._moved = decides(
            {name for name, verdict in told.items() if verdict.moved},
            {name for name, state in states.items() if state is not FindingState.QUIET},
        )
        if any(one.alarming and one.severity is Severity.PAGE for one in told.values()):
            self.pages.append(number)
            self._count([*subject, *base])  # the fresh sample
            self._history = {}
            return
        for name, reading in readings.items():
            self._history[name] = (*self._history.get(name, ()), reading.scores)

    def _count(self, asked: Sequence[PoolAnswer]) -> None:
        self.calls += len(asked)
        self.tokens += sum(one.prompt_tokens + one.completion_tokens for one in asked)
        self.judged += sum(one.judge is not None for one in asked)


@dataclass(frozen=True)
class Told:
    """One trial of one design."""

    evaluations: int
    calls: int
    tokens: int
    judged: int
    full: int
    pages: tuple[int, ...]


def trials(job: Job) -> list[tuple[Told, ...]]:
    """Each trial, by design."""
    rng = np.random.default_rng(job.seed)
    return [_trial(job.case, rng) for _ in range(job.trials)]


def _trial(case: str, rng: np.random.Generator) -> tuple[Told, ...]:
    weekly = case == FLIPPED
    line, temperature = (WEEKLY_LINE, 0.0) if weekly else (LINE_LOG10, 0.7)
    days = _item_days(rng) if weekly else _days(case, rng)
    before = [next(days) for _ in range(BASELINE_DAYS)]
    streams = [Stream(design, before, line, temperature) for design in DESIGNS]
    done = [0] * len(streams)
    for number in range(1, LOOKS[case] + 1):
        subject, base = next(days)
        for place, stream in enumerate(streams):
            if case == HEALTHY or not stream.pages:
                stream.evaluate(number, subject, base)
                done[place] = number
    return tuple(
        Told(count, one.calls, one.tokens, one.judged, one.full, tuple(one.pages))
        for one, count in zip(streams, done, strict=True)
    )


def _days(case: str, rng: np.random.Generator) -> Iterator[Day]:
    """The baseline's days, then those of the case."""
    healthy, base = (source(name, SPREAD, judged=True) for name in (HEALTHY, "base"))
    for day in zip(healthy.days(BASELINE_DAYS, 1, rng), base.days(BASELINE_DAYS, 1, rng), strict=True):
        yield _untold(day[0]), _untold(day[1])
    lost = source(LOST, SPREAD, judged=True)
    faulty: Source | Mixed = Mixed(healthy, lost, 0.3) if case == ROUTED else lost if case == LOST else healthy
    while True:
        yield _untold(faulty.days(1, 1, rng)[0]), _untold(base.days(1, 1, rng)[0])


def _item_days(rng: np.random.Generator) -> Iterator[Day]:
    """The same of 100 frozen items; the base gives one of its wrong answers to each."""
    week = 0
    while True:
        theirs = items(rng, (0, 0), right=0)
        yield items(rng, CHURN if week < BASELINE_DAYS else FLIPS), theirs
        week += 1


def _untold(day: Sequence[PoolAnswer]) -> tuple[PoolAnswer, ...]:
    return tuple(replace(one, logprobs=None) for one in day)


def rows_of(case: str, found: Sequence[Sequence[Told]], seed: int) -> list[Row]:
    """The measured numbers of one case, design by design."""
    made, rng = [], np.random.default_rng(seed)
    for place, design in enumerate(DESIGNS):
        mine = [trial[place] for trial in found]
        per = np.array([[one.calls, one.tokens, one.judged, one.full, one.evaluations] for one in mine], dtype=float)
        names = ("calls_per_evaluation", "tokens_per_evaluation", "judge_calls_per_evaluation", "share_asking_all")
        for column, name in enumerate(names):
            told = bootstrap([per[:, [column, 4]]], lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum()), rng)
            made.append(Row(BENCHMARK, design, case, name, told.value, told.low, told.high, len(mine)))
        if case == HEALTHY:
            rate = clustered_rate([len(one.pages) for one in mine], LOOKS[case] / LOOKS_PER_YEAR)
            made.append(
                Row(BENCHMARK, design, case, "false_pages_per_target_year", rate.value, rate.low, rate.high, len(mine))
            )
        for measure, within in MEASURES.get(case, {}).items():
            caught = share(sum(bool(one.pages) and one.pages[0] <= within for one in mine), len(mine))
            made.append(Row(BENCHMARK, design, case, measure, caught.value, caught.low, caught.high, len(mine)))
    both = np.array([[trial[0].calls, trial[1].calls] for trial in found], dtype=float)
    ratio = bootstrap([both], lambda rows: float(rows[:, 1].sum() / rows[:, 0].sum()), rng)
    made.append(Row(BENCHMARK, DESIGNS[1], case, "calls_ratio", ratio.value, ratio.low, ratio.high, len(found)))
    return made


def main() -> int:
    made = parser(__doc__, trials=1000, what="evaluations of a lost fine-tune")
    made.add_argument("--cases", nargs="+", choices=PART, default=list(PART), metavar="CASE", help="default: all")
    args = made.parse_args()
    jobs = [
        Job(case, min(CHUNK, count - first), seed_of(args.seed, case, first))
        for case in args.cases
        for count in [ceil(PART[case] * args.trials)]
        for first in range(0, count, CHUNK)
    ]
    found: dict[str, list[tuple[Told, ...]]] = {}
    for job, done in zip(jobs, spread_out(trials, jobs, "trials"), strict=True):
        found.setdefault(job.case, []).extend(done)
    report([row for case, told in found.items() for row in rows_of(case, told, args.seed)], as_json=args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
