"""Refusals become more frequent: Cliffwatch beside dedrift and drift-caliper, in the world that dedrift published.

The world is that of dedrift's own study (its ``tests/test_evalues_anytime.py``, ``docs/anytime.md``): six families of
three probes, each probe asked seven times a day, 126 calls. By family, 5, 5, 10, 2, 15 and 8 % of the answers refuse;
others fail on format or on the arguments of a tool, or come with an error. An answer does so if a standard normal
draw is under the rate's normal quantile plus the day's effect u. The draws of one answer correlate (0.25), and all
answers of a day share u. u is AR(1) with a standard deviation of 0.25 and a coefficient of 0.9: a rate of 5 % is then
between 2.9 and 8.1 % on two days of three, and stays high or low for weeks. ``quiet``: u = 0.

All tools get the same answers: a baseline of 14 days, then daily evaluations. (``published``: a baseline of 5 days
without u, as in dedrift's study.)

* ``false_alarms_per_target_year``: alarms raised in a year without a change.
* ``median_days``, ``p90_days``: days to an alarm after the rates of refusal alone rise by 20 or 10 points, on day 11
  as in dedrift's study, or after half a year of health (``late``). Trials with an open alarm at the rise are left
  out. ``DAYS`` + 1 means "not within ``DAYS`` days". ``found``: the share of trials that alarm within ``DAYS`` days.

Alarm is compared with alarm, whatever it does. Cliffwatch runs the signals that read rates, ``contract`` and
``negative_flips``, through the product's own ``policy`` and ``alarms``, at 0.1 false pages a year. ``contract``
raises tickets: their threshold is that of pages, but they are not promised to be as rare. ``negative_flips`` pages.
An alarm counts when the product tells somebody: a ticket when it is raised, a page when a later day confirms it. The
fresh sample that is asked at once is left out. An answer passes its check if its format and arguments are right and
it does not refuse. The API tells that an answer refuses, as those of OpenAI and Anthropic do. Errors are asked again,
as the product does. There is no base model, so that all calls go to the target; without one, ``canaries`` measures
nothing.

The days' scores are computed for all evaluations at once. On every baseline the product itself measures two
evaluations, the first and the one with most refusals, and the scores must agree.

dedrift's anytime mode runs on its 24 processes and the pooled ones (``peers_monitors``). Its fixed mode is here that
of its own study: two-proportion tests of the 24 rates against the baseline, Benjamini-Hochberg at 0.05, and its gates
on the size of an effect. drift-caliper gets 1 for an answer that passes its check, else 0.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import peers_monitors
from benchmarks.channels import CLOSE
from benchmarks.fast import FloatArray, now_scores
from benchmarks.resample import LINE_LOG10
from benchmarks.rows import Row, bootstrap, clustered_rate, parser, report, seed_of, share, spread_out
from monitor.core.records import Alarm, AlarmState, Arm, Comparison, GradedAnswer
from monitor.core.signals import SEVERITIES
from monitor.detect import SIGNALS, alarms, finding_of, negative_flips, policy
from monitor.detect.measurement import Reading

BENCHMARK: Final = "refusals"
RATES: Final = {
    "refusal": (0.05, 0.05, 0.10, 0.02, 0.15, 0.08),
    "format_valid": (0.98, 0.99, 0.97, 0.99, 0.95, 0.98),
    "args_schema_ok_all": (0.97, 0.96, 0.98, 0.94, 0.97, 0.99),
    "had_error": (0.01, 0.02, 0.01, 0.03, 0.01, 0.02),
}
"""Signature -> its rate in each family."""
FAMILIES, PROBES, EACH = 6, 3, 7
COMMON: Final = 0.5
SIGMA, PHI = 0.25, 0.9
YEAR: Final = 365
BASELINE_DAYS: Final = 14
PUBLISHED_DAYS: Final = 5
ONSETS: Final = {"": 10, ", late": 182}
"""Healthy days before a rise."""
RISES: Final = {"20 points": 0.20, "10 points": 0.10}
DAYS: Final = 200
FIXED_LEVEL: Final = 0.05
RUN: Final = ("contract", "negative_flips")

Flags = NDArray[np.bool_]
"""(days, families, answers of a family, signatures in the order of `RATES`)."""


@dataclass(frozen=True)
class World:
    """What the days are like."""

    name: str
    sigma: float
    clean: bool = False
    """The baseline's days have no effect, and are those of dedrift's study."""

    @property
    def baseline(self) -> int:
        return PUBLISHED_DAYS if self.clean else BASELINE_DAYS


WORLDS: Final = {
    one.name: one for one in (World("AR(1) 0.9", SIGMA), World("quiet", 0.0), World("published", SIGMA, clean=True))
}


def effects(world: World, days: int, rng: np.random.Generator) -> FloatArray:
    """u of each day, the baseline's first."""
    found = np.empty(days + world.baseline)
    found[0] = rng.normal(0.0, world.sigma)
    for day in range(1, found.size):
        found[day] = PHI * found[day - 1] + rng.normal(0.0, world.sigma * np.sqrt(1 - PHI**2))
    if world.clean:
        found[: world.baseline] = 0.0
    return found


def drawn(world: World, days: int, rng: np.random.Generator, *, rise: float = 0.0, onset: int = 0) -> Flags:
    """The baseline's answers and those of ``days`` evaluations; refusals rise after ``onset`` of them."""
    from scipy.stats import norm

    day_effects = effects(world, days, rng)
    rates = np.broadcast_to(np.array(list(RATES.values())).T, (day_effects.size, FAMILIES, len(RATES))).copy()
    rates[world.baseline + onset :, :, 0] += rise
    lines = norm.ppf(rates) + day_effects[:, None, None]
    shape = (day_effects.size, FAMILIES, PROBES * EACH)
    own = rng.standard_normal((*shape, len(RATES)))
    latent = COMMON * rng.standard_normal(shape)[..., None] + np.sqrt(1 - COMMON**2) * own
    return np.asarray(latent < lines[:, :, None, :])


# --- The tools: baseline and evaluations -> the days on which an alarm is open


def dedrift_anytime(flags: Flags, before: int) -> Flags:
    counts = flags.sum(axis=2).transpose(2, 1, 0).reshape(-1, len(flags)).astype(float)
    trials = np.full_like(counts, PROBES * EACH)
    both = np.stack([counts, trials], axis=2)
    wealth = peers_monitors.wealth(both[:, :before].sum(axis=1), both[:, before:])
    names = [name for name in RATES for _ in range(FAMILIES)]
    return np.asarray(peers_monitors.over_line(wealth, names) >= 0)


def dedrift_fixed(flags: Flags, before: int) -> Flags:
    from dedrift.config import ProjectConfig
    from dedrift.detectors import benjamini_hochberg, two_proportion_z_test

    tested = cache(two_proportion_z_test)
    gates = ProjectConfig().materiality
    counts, trials = flags.sum(axis=2), PROBES * EACH
    then = counts[:before].sum(axis=0)
    found = []
    for day in counts[before:]:
        told = [
            (name, tested(int(then[family, k]), before * trials, int(day[family, k]), trials))
            for k, name in enumerate(RATES)
            for family in range(FAMILIES)
        ]
        rejected, _ = benjamini_hochberg([one.p_value for _, one in told], q=FIXED_LEVEL)
        found.append(
            any(
                r and abs(one.effect_raw) >= gates.rate_threshold(name)
                for r, (name, one) in zip(rejected, told, strict=True)
            )
        )
    return np.array(found)


def caliper(flags: Flags, before: int) -> Flags:
    passed = right(flags).reshape(len(flags), -1).astype(float)
    fitted = peers_monitors.caliper_limits(passed[:before].ravel().tolist(), passed.shape[1])
    if fitted is None:
        return np.zeros(len(flags) - before, dtype=bool)
    levels = peers_monitors.ewma(passed[before:].ravel(), fitted.cl, fitted.smoothing_param)
    return np.asarray(((levels > fitted.ucl) | (levels < fitted.lcl)).reshape(len(flags) - before, -1).any(axis=1))


def right(flags: Flags) -> Flags:
    """Whether each answer passes its check."""
    return np.asarray(~flags[..., 0] & flags[..., 1] & flags[..., 2])


def cliffwatch(flags: Flags, before: int) -> Flags:
    watch = Watch(flags[:before])
    days = flags[before:]
    scores = fast_scores(flags, before)
    odd = int(np.argmax(days[..., 0].sum(axis=(1, 2))))
    readings = {place: watch.readings(watch.comparison(days[place], place)) for place in (0, odd)}
    for place, told in readings.items():
        for name, reading in told.items():
            for channel in reading.channels:
                ours = scores[channel.name][place] if channel.name in scores else 0.0
                assert abs(ours - channel.score) < CLOSE, f"{name} {channel.name}: {ours}, {channel.score}"
    found = []
    for place in range(len(days)):
        today = {
            name: replace(
                reading,
                channels=tuple(
                    replace(one, score=float(scores[one.name][place])) if one.name in scores else one
                    for one in reading.channels
                ),
            )
            for name, reading in readings[0].items()
        }
        found.append(watch.look(watch.comparison(days[place, :1, :1], place), today))
    return np.array(found)


def fast_scores(flags: Flags, before: int) -> dict[str, FloatArray]:
    """Scores of all evaluations, by channel."""
    passed, refused = (one.reshape(len(flags), FAMILIES * PROBES, EACH) for one in (right(flags), flags[..., 0]))
    found = {
        name: now_scores(np.concatenate(list(value[:before].astype(float)), axis=1), value[before:].astype(float))
        for name, value in (("checks passed", passed), ("refusals", refused))
    }
    whole = {f"{item:02}": (before * EACH, int(passed[:before, item].sum())) for item in range(FAMILIES * PROBES)}
    counts = passed[before:].sum(axis=2)
    flips = [
        negative_flips._day({item: (EACH, int(day[place])) for place, item in enumerate(whole)}, whole)
        for day in counts
    ]
    return found | {"flips": np.array([one.score(negative_flips.ignored(one)) for one in flips])}


class Watch:
    """One target as the product watches it: readings, verdicts, and the state of each signal's alarm."""

    def __init__(self, baseline: Flags) -> None:
        self.baseline = tuple(one for number, day in enumerate(baseline) for one in _answers(day, number))
        self.days = len(baseline)
        self.history: dict[str, tuple[dict[str, float], ...]] = {}
        self.open: dict[str, Alarm] = {}
        self.raised: dict[str, int] = {}

    def comparison(self, day: Flags, place: int) -> Comparison:
        """What the detect stage would be handed on evaluation ``place``, so far without its history."""
        now = _answers(day, self.days + place)
        return Comparison(
            run_id=now[0].run_id, target="endpoint", suite="refusals", now=now, baseline=self.baseline, prompts={},
            page_threshold_log10=LINE_LOG10, ticket_threshold_log10=LINE_LOG10, temperature=0.7,
        )  # fmt: skip

    def readings(self, made: Comparison) -> dict[str, Reading]:
        return {name: reading for name in RUN if (reading := SIGNALS[name](made)) is not None}

    def look(self, made: Comparison, readings: Mapping[str, Reading]) -> bool:
        """Evaluate one day; returns whether an alarm that somebody was told of is open."""
        made = replace(made, history={**self.history}, raised={**self.raised})
        told = policy.verdicts(made, readings, SEVERITIES)
        for name, reading in readings.items():
            self.history[name] = (*self.history.get(name, ()), dict(reading.scores))
            finding = finding_of(made, name, reading, told[name])
            self._turn(name, alarms.next_state(self.open.get(name), finding, finding.window_end, clears=True))
        return any(one.state is AlarmState.CONFIRMED for one in self.open.values())

    def _turn(self, name: str, alarm: Alarm | None) -> None:
        if alarm is None:
            return
        if alarm.state is AlarmState.CLEARED:
            del self.open[name], self.raised[name], self.history[name]
            return
        self.raised.setdefault(name, len(self.history[name]))
        self.open[name] = alarm


def _answers(day: Flags, number: int) -> tuple[GradedAnswer, ...]:
    slot = peers_monitors.START + timedelta(days=number)
    told = zip(np.ndindex(day.shape[:2]), day[..., 0].flat, right(day).flat, strict=True)
    return tuple(
        _answer(f"{family * PROBES + k // EACH:02}", number, slot, k % EACH, bool(refuses), bool(passes))
        for (family, k), refuses, passes in told
    )


def _answer(probe: str, number: int, slot: datetime, replicate: int, refuses: bool, passes: bool) -> GradedAnswer:
    text = "I'm sorry, but I can't help with that request." if refuses else f"Answer {number}, {replicate} to {probe}."
    return GradedAnswer(
        number + 1, slot, Arm.SUBJECT, probe, replicate, text, "stop", refuses, "model", None, 64, len(text) // 4,
        {"checks": float(passes)},
    )  # fmt: skip


Tool = Callable[[Flags, int], Flags]
TOOLS: Final[dict[str, Tool]] = {
    "dedrift, fixed": dedrift_fixed,
    "dedrift, anytime": dedrift_anytime,
    "drift-caliper": caliper,
    "cliffwatch": cliffwatch,
}


# --- What is counted


@dataclass(frozen=True)
class Job:
    """One trial: a year of health, or (with ``rise``) the days after a rise."""

    world: str
    rise: str
    onset: str
    seed: int

    @property
    def case(self) -> str:
        return f"{self.world}, +{self.rise}{self.onset}" if self.rise else self.world


def tried(job: Job) -> dict[str, float | None]:
    """By tool: alarms raised in a year, or days from the rise to an alarm (``None`` if one is open at the rise)."""
    world, rng = WORLDS[job.world], np.random.default_rng(job.seed)
    if not job.rise:
        flags = drawn(world, YEAR, rng)
        return {name: float(_raised(tool(flags, world.baseline))) for name, tool in TOOLS.items()}
    onset = ONSETS[job.onset]
    flags = drawn(world, onset + DAYS, rng, rise=RISES[job.rise], onset=onset)
    return {name: _days_to(tool(flags, world.baseline), onset) for name, tool in TOOLS.items()}


def _raised(alarming: Flags) -> int:
    return peers_monitors.raised(peers_monitors.Look(bool(one), 0.0) for one in alarming)


def _days_to(alarming: Flags, onset: int) -> float | None:
    if alarming[onset - 1]:
        return None
    after = np.flatnonzero(alarming[onset:])
    return float(after[0] + 1) if after.size else float("inf")


def rows(done: Sequence[tuple[Job, dict[str, float | None]]], seed: int) -> list[Row]:
    found: list[Row] = []
    rng = np.random.default_rng(seed)
    for case, job in {job.case: job for job, _ in done}.items():
        for tool in TOOLS:
            counts = [told for one, by_tool in done if one.case == case and (told := by_tool[tool]) is not None]
            if not job.rise:
                rate = clustered_rate(counts, 1.0)
                measure = "false_alarms_per_target_year"
                found.append(Row(BENCHMARK, tool, case, measure, rate.value, rate.low, rate.high, len(counts)))
            elif counts:
                found += _day_rows(tool, case, np.array(counts), rng)
    return found


def _day_rows(tool: str, case: str, days: FloatArray, rng: np.random.Generator) -> list[Row]:
    seen = share(int(np.isfinite(days).sum()), days.size)
    made = [Row(BENCHMARK, tool, case, "found", seen.value, seen.low, seen.high, days.size)]
    for measure, part in (("median_days", 0.5), ("p90_days", 0.9)):
        one = bootstrap([days], lambda drawn, part=part: _quantile(drawn, part), rng)
        made.append(Row(BENCHMARK, tool, case, measure, one.value, one.low, one.high, days.size))
    return made


def _quantile(days: FloatArray, part: float) -> float:
    return float(np.minimum(np.sort(days)[ceil(part * days.size) - 1], DAYS + 1))


def jobs(worlds: Sequence[str], trials: int, seed: int) -> list[Job]:
    """``trials`` years of each world; a quarter as many of each rise, none in the published one."""
    cases = [(world, "", "", trials) for world in worlds]
    cases += [
        (world, rise, onset, ceil(trials / 4))
        for world in worlds
        if not WORLDS[world].clean
        for rise in RISES
        for onset in ONSETS
    ]
    return [
        Job(world, rise, onset, seed_of(seed, world, rise, onset, trial))
        for world, rise, onset, count in cases
        for trial in range(count)
    ]


def main() -> int:
    made = parser(__doc__, trials=100, what="target-years of each world; a quarter as many of each rise")
    made.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS), metavar="WORLD", help="default: all")
    args = made.parse_args()
    wanted = jobs(args.worlds, args.trials, args.seed)
    report(rows(list(zip(wanted, spread_out(tried, wanted, "trials"), strict=True)), args.seed), as_json=args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
