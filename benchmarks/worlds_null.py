"""False pages and tickets per target-year in the worlds of ``benchmarks.worlds``, by the product's whole alarm.

A target-year is a fresh baseline and 365 daily evaluations, all signals live. Unless it says otherwise, a case has 24
probes asked once a day of subject and base, a pass rate of 0.98 and a baseline of 14 days. ``not_armed`` is the share
of baselines on which no page signal is armed; their years count, with tickets in the place of pages.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Final, Literal

import numpy as np

from benchmarks.channels import Scores
from benchmarks.resample import LINE_LOG10, LOOKS_PER_YEAR
from benchmarks.rows import Row, clustered_rate, seed_of, share
from benchmarks.worlds import CASES, FURTHER, Design, Effects, Synthetic, World
from benchmarks.worlds_alarm import Alarms, Raised
from benchmarks.worlds_lab import Lab

Answers = Literal["synthetic", "lab"]

BENCHMARK: Final = "null"
METHOD: Final[dict[Answers, str]] = {"synthetic": "cliffwatch", "lab": "cliffwatch, lab answers"}
CHUNK: Final = 10
USUAL: Final = "iid-1.2"
"""The case that the grid varies."""
PASS_RATES: Final = (0.5, 0.8, 0.9, 0.95, 0.995, 0.999)
PROBES: Final = (5, 12, 100, 500)
BASELINES: Final = (7, 30)
SPREADS: Final = ("iid-1.5", "t3-1.2", "ar5-1.2", "ar8-1.2", "odd-day")
"""Cases that the grid has with every baseline."""


@dataclass(frozen=True)
class Cell:
    """Some target-years of one case."""

    case: str
    world: World
    design: Design
    years: int
    seed: int
    answers: Answers = "synthetic"


def counted(cell: Cell) -> list[Raised]:
    """The years of one cell."""
    return [_year(cell, np.random.default_rng((cell.seed, year))) for year in range(cell.years)]


def _year(cell: Cell, rng: np.random.Generator) -> Raised:
    return year(cell.world, cell.design, rng, answers=cell.answers).year()


def year(
    world: World, design: Design, rng: np.random.Generator, *, evaluations: int = LOOKS_PER_YEAR,
    answers: Answers = "synthetic",
) -> Alarms:  # fmt: skip
    """A year that is ready to be run: the scores of all evaluations, and fresh samples for those that want one."""
    effects = world.effects(design.days, evaluations, rng)
    made: type[Lab] | type[Synthetic] = Lab if answers == "lab" else Synthetic
    return _watched(made(world, design, effects.on(slice(0, design.days)), rng), effects, rng)


def _watched(endpoint: Lab | Synthetic, effects: Effects, rng: np.random.Generator) -> Alarms:
    design, world = endpoint.design, endpoint.world
    evaluations = effects.odd.size - design.days
    asked = np.flatnonzero(rng.random(evaluations) >= world.partial)  # the others are missed
    days = effects.on(design.days + asked)

    def scored(which: Effects) -> list[Scores]:
        if isinstance(endpoint, Lab):
            return endpoint.scores(endpoint.draw(which, rng))
        return endpoint.scores(endpoint.draw(which, rng))

    return Alarms(
        scored(days), lambda evaluation: scored(days.on(slice(evaluation, evaluation + 1))), LINE_LOG10,
        days=asked.tolist(), answers=design.probes * design.replicates,
    )  # fmt: skip


def cells(cases: Sequence[str], trials: int, seed: int, answers: Answers = "synthetic") -> list[Cell]:
    """``trials`` target-years of each case; of every case that can be measured here, if none is named."""
    wanted = {name: CASES[name] for name in cases or CASES if name in cases or _recorded(name)}
    return [cell for name, world in wanted.items() for cell in _chunks(name, world, Design(), trials, seed, answers)]


def grid(trials: int, seed: int) -> list[Cell]:
    """Further designs and worlds."""
    usual, world = Design(), CASES[USUAL]
    wanted = [(f"{USUAL}, pass rate {rate:g}", world, replace(usual, pass_rate=rate)) for rate in PASS_RATES]
    wanted += [(f"{USUAL}, {count} probes", world, replace(usual, probes=count)) for count in PROBES]
    wanted += [(f"{USUAL}, 5 replicates", world, replace(usual, replicates=5))]
    wanted += [
        (f"{case}, {days}-day baseline", CASES[case], replace(usual, days=days))
        for case in (USUAL, *SPREADS)
        for days in BASELINES
    ]
    wanted += [(name, one, usual) for name, one in FURTHER.items()]
    return [cell for name, one, design in wanted for cell in _chunks(name, one, design, trials, seed)]


def _recorded(case: str) -> bool:
    return CASES[case].law != "real" or find_spec("benchmarks.real_days") is not None


def _chunks(
    case: str, world: World, design: Design, trials: int, seed: int, answers: Answers = "synthetic"
) -> Iterator[Cell]:
    for first in range(0, trials, CHUNK):
        yield Cell(case, world, design, min(CHUNK, trials - first), seed_of(seed, case, first), answers)


def rows(done: Sequence[tuple[Cell, list[Raised]]]) -> list[Row]:
    """``n``: target-years; of ``not_armed``, baselines."""
    by_case: dict[tuple[Answers, str], list[Raised]] = {}
    for cell, found in done:
        by_case.setdefault((cell.answers, cell.case), []).extend(found)
    return [row for (answers, case), years in by_case.items() for row in _rows(METHOD[answers], case, years)]


def _rows(method: str, case: str, years: Sequence[Raised]) -> Iterator[Row]:
    for measure, counts in (
        ("false_pages_per_target_year", [one.pages for one in years]),
        ("false_tickets_per_target_year", [one.tickets for one in years]),
    ):
        rate = clustered_rate(counts, 1.0)
        yield Row(BENCHMARK, method, case, measure, rate.value, rate.low, rate.high, len(years))
    unarmed = share(sum(not one.armed for one in years), len(years))
    yield Row(BENCHMARK, method, case, "not_armed", unarmed.value, unarmed.low, unarmed.high, len(years))
