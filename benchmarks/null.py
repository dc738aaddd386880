"""False pages per target-year on healthy evaluations, at a setting of 0.1.

By default, in the worlds of ``benchmarks.worlds``: days that are not alike, not independent or not normal, the
product's whole alarm, all signals live (``benchmarks.worlds_null``). ``--case NAME`` runs one, and can be repeated.
``--part grid``: other baselines, pass rates, probes and replicates, and mixtures of worlds.

``--part pages``: Cliffwatch and others on the same days. A target-year is a fresh baseline and 365 daily evaluations of
48 calls: 24 probes, asked of the subject and of the base (Cliffwatch), or twice of the subject (the others, which do
not ask the base). Days are drawn from the lab's real answers and differ by ``spread`` times what independent answers
would (see ``resample``). ``synthetic``: every signal's day scores are normal with that spread. A baseline of one day is
captured at once: 14 rounds in a row, with one day's effect. Cliffwatch raises tickets on it instead of pages; the rate
of a tool that would page is shown next to it.

Here Cliffwatch's evidence is averaged as in ``policy``, compared with the threshold for 0.1 false pages a year, and
restarts after an alarm. Every crossed threshold counts as a page, although the product first asks for confirmation. The
other methods: Model Equality Testing daily at 0.05 (its PyPI package's statistic, p with +1), stillsane at its defaults
(drift, its failing exit code), a naive daily test at 0.05; dedrift in both modes and drift-caliper
(``benchmarks.peers_monitors``), whose alarms count when they are raised.

Bounds are exact Poisson bounds, widened if alarms come in clusters on one baseline.

``--part tickets`` counts the false tickets of fleets instead (``benchmarks.tickets``): seven minutes on one core.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Final, Literal

import numpy as np

from benchmarks import peers, peers_monitors, tickets, worlds, worlds_null
from benchmarks.channels import Alike, Scores, Watched
from benchmarks.fast import Track, crossings, remember_distances
from benchmarks.pool import PoolAnswer
from benchmarks.resample import LINE_LOG10, LOOKS_PER_YEAR, comparison, source
from benchmarks.rows import Row, clustered_rate, parser, report, seed_of, spread_out
from monitor.core.records import Arm, GradedAnswer
from monitor.core.signals import SEVERITIES
from monitor.detect.evidence import AT_ONCE, PRIOR
from monitor.detect.measurement import Channel
from monitor.detect.policy import cannot_carry

Origin = Literal["lab", "synthetic"]

BENCHMARK: Final = "null"
MEASURE: Final = "false_pages_per_target_year"
SPREADS: Final = (1.0, 1.2, 1.5)
DAYS: Final = (1, 7, 14, 30)
BAR: Final = (1.2, 14)
"""Spread and days of the bar."""
ROUNDS_AT_ONCE: Final = 14
PEER_LOOKS: Final = {
    "naive": 73, "met": 73, "stillsane": 37, "dedrift, fixed": 15, "dedrift, anytime": 365, "drift-caliper": 365,
}  # fmt: skip
"""Looks of the others on one baseline."""
SHARE: Final[dict[Origin, float]] = {"lab": 0.08, "synthetic": 0.3}
"""Years of a cell that is not the target's, as a share of the target's."""
PEER_BASELINES: Final = {
    "naive": 0.02, "met": 0.01, "stillsane": 0.006,
    "dedrift, fixed": 0.006, "dedrift, anytime": 0.08, "drift-caliper": 0.08,
}  # fmt: skip
"""Baselines of the others, as a share likewise: one who alarms every other week is measured in few years."""
CHUNK: Final = 25
PERMUTATIONS: Final = 199
ALPHA: Final = 0.05

PARTS: Final = ("worlds", "grid", "pages", "tickets")
ORIGINS: Final[tuple[Origin, ...]] = ("lab", "synthetic")
PROBES: Final = 24
SYNTHETIC_SIGNALS: Final = 4
"""Page signals that are averaged."""

Answers = list[GradedAnswer]


@dataclass(frozen=True)
class Cell:
    """Some target-years of one setting."""

    method: str
    origin: Origin
    spread: float
    days: int
    years: int
    seed: int

    @property
    def case(self) -> str:
        baseline = "captured at once" if self.at_once else f"{self.days}-day baseline"
        return f"{self.origin} answers, spread x{self.spread}, {baseline}"

    @property
    def at_once(self) -> bool:
        return self.days == 1

    @property
    def rounds(self) -> int:
        return ROUNDS_AT_ONCE if self.at_once else self.days


@dataclass(frozen=True)
class Counted:
    """Of each target-year (of each baseline, for the others)."""

    paged: list[int]
    refused: list[int]
    """Alarms of signals that the baseline does not arm: tickets, which a tool that armed would have paged."""


def counted(cell: Cell) -> Counted:
    """A chunk of years."""
    rng = np.random.default_rng(cell.seed)
    if cell.method != "cliffwatch":
        return Counted([PEERS[cell.method](cell, rng) for _ in range(cell.years)], [0] * cell.years)
    paged, refused = [], []
    for _ in range(cell.years):
        found = _lab(cell, rng) if cell.origin == "lab" else _synthetic(cell, rng)
        armed = {one.signal for one in found if not cannot_carry(_channel(one), at_once=cell.at_once)}
        alarms = [bool(armed & set(one.holders)) for one in crossings(_tracks(found, cell), LINE_LOG10)]
        paged.append(sum(alarms))
        refused.append(len(alarms) - sum(alarms))
    return Counted(paged, refused)


@cache
def _alike(spread: float) -> Alike:
    return Alike(*(source(case, spread, judged=True) for case in ("healthy", "base")))


def _lab(cell: Cell, rng: np.random.Generator) -> list[Scores]:
    """A year's scores of the page signals on one fresh baseline."""
    alike = _alike(cell.spread)
    subject, base = alike.subject, alike.base
    if cell.at_once:
        before = (subject.draw(1, cell.rounds, rng)[0].T, base.draw(1, cell.rounds, rng)[0].T)
    else:
        before = (subject.draw(cell.days, 1, rng)[:, :, 0], base.draw(cell.days, 1, rng)[:, :, 0])
    watched = Watched(alike, *before, at_once=cell.at_once)
    evaluations, base_looks = (one.draw(LOOKS_PER_YEAR, 1, rng)[:, :, 0] for one in (subject, base))
    return watched.scores(evaluations, base_looks)


def _synthetic(cell: Cell, rng: np.random.Generator) -> list[Scores]:
    """Normal day scores of four independent signals; rounds captured at once share their day's effect."""
    found = []
    for number in range(SYNTHETIC_SIGNALS):
        before = rng.normal(0.0, cell.spread, cell.rounds)
        if cell.at_once:
            before = rng.normal(size=cell.rounds) + rng.normal(0.0, np.sqrt(cell.spread**2 - 1))
        found.append(Scores(str(number), "day", "rise", before, rng.normal(0.0, cell.spread, LOOKS_PER_YEAR)))
    return found


def _tracks(found: Sequence[Scores], cell: Cell) -> list[Track]:
    """Each channel with its weight: channels averaged within signals, signals within the stream, as ``policy`` does."""
    signals = [one.signal for one in found]
    share = 1 / len(set(signals))
    return [
        Track(
            one.baseline, one.evaluations, one.side, share / signals.count(one.signal), one.signal,
            AT_ONCE if cell.at_once else PRIOR,
        )
        for one in (raw.counted(PROBES) if raw.signal in SEVERITIES else raw for raw in found)
    ]  # fmt: skip


def _channel(one: Scores) -> Channel:
    return Channel(one.channel, float(one.evaluations[0]), tuple(one.baseline.tolist()), one.side)


def _peer_days(cell: Cell, rng: np.random.Generator) -> tuple[Answers, list[Answers]]:
    """The baseline's days and the evaluations', the subject asked twice a probe."""
    subject = source("healthy", cell.spread, per_day=2)
    before = subject.days(1, 2 * cell.rounds, rng) if cell.at_once else subject.days(cell.days, 2, rng)
    graded = [_graded(day) for day in before]
    evaluations = subject.days(PEER_LOOKS[cell.method], 2, rng)
    return [one for day in graded for one in day], [_graded(day) for day in evaluations]


def _graded(day: Sequence[PoolAnswer]) -> Answers:
    return [one for one in comparison(day, (), (), ()).now if one.arm is Arm.SUBJECT]


def _naive(cell: Cell, rng: np.random.Generator) -> int:
    before, evaluations = _peer_days(cell, rng)
    return sum(peers.naive_daily(evaluation, before, ALPHA).alarming for evaluation in evaluations)


def _met(cell: Cell, rng: np.random.Generator) -> int:
    before, evaluations = _peer_days(cell, rng)
    texts = peers.texts(before)
    return sum(
        peers.met_p(peers.texts(evaluation), texts, PERMUTATIONS, int(rng.integers(2**31))) <= ALPHA
        for evaluation in evaluations
    )


def _stillsane(cell: Cell, rng: np.random.Generator) -> int:
    remember_distances()
    before, evaluations = _peer_days(cell, rng)
    return sum(peers.stillsane_flags(evaluation, before).alarming for evaluation in evaluations)


def _monitored(cell: Cell, rng: np.random.Generator) -> int:
    before, evaluations = _peer_days(cell, rng)
    each = len(before) // cell.days
    days = [before[first : first + each] for first in range(0, len(before), each)]
    return peers_monitors.raised(peers_monitors.MONITORS[cell.method](days, evaluations))


PEERS: Final = {
    "naive": _naive, "met": _met, "stillsane": _stillsane, **dict.fromkeys(peers_monitors.MONITORS, _monitored),
}  # fmt: skip
SLOW: Final = ("stillsane", "dedrift, fixed")
"""Others that take half a second a look or more: measured on the bar's baseline only."""


def cells(trials: int, seed: int) -> list[Cell]:
    """What is to be counted; the target's cell whole, the others a part of it each."""
    wanted: list[tuple[str, Origin, float, int, int]] = []
    for origin in ORIGINS:
        for spread in SPREADS:
            for days in DAYS:
                share = 1.0 if (spread, days) == BAR else SHARE[origin]
                wanted.append(("cliffwatch", origin, spread, days, ceil(share * trials)))
    for name, share in PEER_BASELINES.items():
        wanted += [(name, "lab", spread, BAR[1], max(2, ceil(share * trials))) for spread in SPREADS]
        if name not in SLOW:
            wanted += [(name, "lab", BAR[0], days, max(2, ceil(share * trials))) for days in DAYS if days != BAR[1]]
    return [
        Cell(*one[:4], min(_chunk(one[0]), one[4] - first), seed_of(seed, *one[:4], first))
        for one in wanted
        for first in range(0, one[4], _chunk(one[0]))
    ]


def _chunk(method: str) -> int:
    return CHUNK if method == "cliffwatch" else 1


def rows(done: Sequence[tuple[Cell, Counted]]) -> list[Row]:
    by_cell: dict[tuple[str, str], list[tuple[Cell, Counted]]] = {}
    for cell, found in done:
        by_cell.setdefault((cell.method, cell.case), []).append((cell, found))
    result = []
    for (method, case), chunks in by_cell.items():
        paged = [count for _, found in chunks for count in found.paged]
        refused = [count for _, found in chunks for count in found.refused]
        result.append(_row(method, case, MEASURE, paged))
        if sum(refused) or (method == "cliffwatch" and chunks[0][0].at_once):
            result.append(_row(method, case, "refused_pages_per_target_year", refused))
    return result


def _row(method: str, case: str, measure: str, counts: Sequence[int]) -> Row:
    """Per target-year. ``n``: target-years, rounded."""
    years = PEER_LOOKS[method] / LOOKS_PER_YEAR if method in PEER_LOOKS else 1.0
    rate = clustered_rate(counts, years)
    return Row(BENCHMARK, method, case, measure, rate.value, rate.low, rate.high, round(years * len(counts)))


def main() -> int:
    what = "target-years of each case; with --part pages at the target setting; 6 times as many of each fleet"
    made = parser(__doc__, trials=300, what=what)
    made.add_argument("--part", choices=PARTS, default="worlds", help="what to count (default: worlds)")
    made.add_argument("--case", action="append", choices=worlds.CASES, default=[], metavar="NAME",
                      help=f"one of the worlds, may be repeated: {', '.join(worlds.CASES)} (default: all)")  # fmt: skip
    made.add_argument("--answers", choices=worlds_null.METHOD, default="synthetic",
                      help="in the worlds: made up, or from the lab's pool (default: synthetic)")  # fmt: skip
    args = made.parse_args()
    if args.part in ("worlds", "grid"):
        years = worlds_null.cells(args.case, args.trials, args.seed, args.answers)
        if args.part == "grid":
            years = worlds_null.grid(args.trials, args.seed)
        done = spread_out(worlds_null.counted, years, "target-years")
        found = worlds_null.rows(list(zip(years, done, strict=True)))
    elif args.part == "pages":
        wanted = cells(args.trials, args.seed)
        found = rows(list(zip(wanted, spread_out(counted, wanted, "target-years"), strict=True)))
    else:
        fleets = tickets.fleets(6 * args.trials, args.seed)
        told = spread_out(tickets.counted, fleets, "fleet-years", processes=1)
        found = tickets.rows(list(zip(fleets, told, strict=True)))
    report(found, as_json=args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
