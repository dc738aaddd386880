"""Power against each of the lab's faults at equal calls and at an equal, measured rate of false positives.

A trial is a fresh baseline (14 days, one answer per probe and day) and one evaluation, all drawn from the lab's real
answers. With 60 calls, an evaluation is 24 probes asked once of the subject and once of the base (48 calls), or twice
of the subject for methods that ask no base; with 250 it is nine and one, or ten (240 calls). All methods get the same
baseline and the same answers. The score of a method is larger for stranger answers: a signal's evidence, Cliffwatch's
alarm (the averaged evidence of the page or the ticket stream over its threshold, whichever is larger), MET's statistic,
stillsane's largest |z|, and so on. A method's threshold is the score that 5 % of its own healthy trials exceed (ties
are split in proportion). All signals are live; the judge's verdict is known of texts that the healthy endpoint or the
base gives as well, and of no others.

``median_days`` and ``p90_days``: daily evaluations of 48 calls until the first alarm at 0.1 false pages per
target-year, days that differ x1.2. Cliffwatch uses its own threshold. The others use the highest score of
``HEALTHY_DAYS`` healthy evaluations, which is exceeded about once in five years and so favours them. A value of
``DAYS`` + 1 means "not within ``DAYS`` days". ``tokens``: tokens read and written by the evaluations up to the median
day.

``--part border``: the signal ``border`` on near-tie inputs against 8-bit weights without log-probabilities, 200 calls
of one token (see ``border_inputs``; it starts the lab).

``met, as published`` is the published test, with its own permutation p-value at 0.05 (with the +1), to compare with its
table of false positives and powers.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import ceil, inf, log
from typing import Final

import numpy as np

from benchmarks import border_inputs, peers, peers_monitors
from benchmarks.fast import FloatArray, Track, grown_log10, remember_distances
from benchmarks.pool import FAULTS, PoolAnswer
from benchmarks.resample import LINE_LOG10, comparison, source
from benchmarks.rows import BOOTSTRAP, Row, bootstrap, parser, report, seed_of, share, spread_out
from monitor.core.records import Arm, Comparison, Finding, GradedAnswer, Severity
from monitor.core.signals import SEVERITIES
from monitor.detect import SIGNALS, evidence, findings_for, readings_for

BENCHMARK: Final = "power"
CASES: Final = tuple(name for name in FAULTS if name != "judge-replaced")
"""Faults of the answers; a replaced judge changes none."""
BASELINE_DAYS: Final = 14
ASKED: Final = {60: (1, 2), 250: (9, 10)}
"""Calls -> the subject's answers a probe with the base asked once beside them, and without."""
LEVEL: Final = 0.05
ALARM: Final = "cliffwatch"
TEXTS: Final = "cliffwatch, no logprobs"
"""Its alarm without the signal that reads first-token log-probabilities: what most endpoints allow."""
TOLD: Final = ("logprobs",)
HEALTHY: Final = "healthy"
HEALTHY_DAYS: Final = 1825
DAYS: Final = 14
DAY_TRIALS: Final = 0.1
"""Trials of the days to detection, as a share of the others."""
SPREAD: Final = 1.2
CHUNK: Final = 10
PARTS: Final = ("roc-60", "roc-250", "border", "published", "days", "all")
PERMUTATIONS: Final = 199

Answers = Sequence[GradedAnswer]
Scores = dict[str, float]


def _met(now: Answers, before: Answers) -> float:
    return peers.met_score(peers.texts(now), peers.texts(before))


def _stillsane(now: Answers, before: Answers) -> float:
    remember_distances()
    return peers.stillsane_flags(now, before).score


def _first_token(now: Answers, before: Answers) -> float:
    """0, no difference, where today's answers come without log-probabilities: then it measures nothing."""
    tops = peers.first_tops(now)
    return peers.first_token_l1(tops, peers.first_tops(before)) if tops else 0.0


def _cosine(now: Answers, before: Answers) -> float:
    return 1.0 - peers.cosine_to_baseline(peers.texts(now), peers.texts(before))


def _naive(now: Answers, before: Answers) -> float:
    return -log(max(peers.naive_daily(now, before).least, 1e-300))


def _monitored(name: str, now: Answers, before: Answers) -> float:
    """The first evaluation's score of a peer that watches day after day."""
    return peers_monitors.MONITORS[name](peers_monitors.by_day(before), [now])[0].score


PEERS: Final[dict[str, Callable[[Answers, Answers], float]]] = {
    "met": _met, "stillsane": _stillsane, "first_token": _first_token, "cosine": _cosine, "naive": _naive,
}  # fmt: skip
MONITORS: Final = {name: partial(_monitored, name) for name in peers_monitors.MONITORS}
"""Peers that remember earlier days: compared by their first evaluation only; for their days see ``refusals``."""


@dataclass(frozen=True)
class Job:
    """Some trials of one case; without ``ours`` only of the others that judge each day by itself."""

    case: str
    calls: int
    trials: int
    seed: int
    spread: float = 1.0
    ours: bool = True


def looked(job: Job) -> list[Scores]:
    """Each trial's score by method."""
    rng = np.random.default_rng(job.seed)
    return [_trial(job, rng) for _ in range(job.trials)]


def _trial(job: Job, rng: np.random.Generator) -> Scores:
    healthy, base = (source(name, job.spread, judged=True) for name in (HEALTHY, "base"))
    beside, alone = ASKED[job.calls]
    answers = source(job.case, job.spread, judged=True).days(1, alone, rng)[0]
    ours = tuple(one for place, one in enumerate(answers) if place % alone < beside)
    before, base_before = healthy.days(BASELINE_DAYS, 1, rng), base.days(BASELINE_DAYS, 1, rng)
    made = comparison(ours, base.days(1, 1, rng)[0], before, base_before)
    theirs = comparison(answers, (), (), ()).now
    baseline = [one for one in made.baseline if one.arm is Arm.SUBJECT]
    others = PEERS | MONITORS if job.ours else PEERS
    scores = {name: score(theirs, baseline) for name, score in others.items()}
    return scores | (own_scores(findings_for(made)) if job.ours else {})


def own_scores(findings: Sequence[Finding]) -> Scores:
    """Every signal's evidence of the evaluation, 0 (no evidence either way) where it could not be measured; the
    alarm's."""
    told = {one.signal: one for one in findings}
    scores = {name: told[name].evidence_log10 if name in told else 0.0 for name in SIGNALS}
    return scores | {ALARM: _alarm(findings), TEXTS: _alarm([one for one in findings if one.signal not in TOLD])}


def _alarm(findings: Sequence[Finding]) -> float:
    """The larger of the page and the ticket stream's averaged evidence over its threshold, log10."""
    streams = [
        evidence.average([evidence.Weight(0.0, one.evidence_log10, 0) for one in mine]).running_log10
        for severity in Severity
        if (mine := [one for one in findings if SEVERITIES[one.signal] is severity])
    ]
    return max(streams) - LINE_LOG10


# --- Days to detection


@dataclass(frozen=True)
class Slow:
    """One trial of the days to detection."""

    case: str
    seed: int


def days_to(job: Slow) -> tuple[float, float]:
    """Days until a page, and until any alarm; infinite where ``DAYS`` were not enough."""
    rng = np.random.default_rng(job.seed)
    healthy, base, faulty = (source(name, SPREAD, judged=True) for name in (HEALTHY, "base", job.case))
    before, base_before = healthy.days(BASELINE_DAYS, 1, rng), base.days(BASELINE_DAYS, 1, rng)
    streams: dict[Severity, dict[tuple[str, str], Track]] = {severity: {} for severity in Severity}
    first = dict.fromkeys(Severity, inf)
    for day in range(1, DAYS + 1):
        made = comparison(faulty.days(1, 1, rng)[0], base.days(1, 1, rng)[0], before, base_before)
        for severity, tracks in streams.items():
            _grow(tracks, made, severity)
            if tracks and first[severity] == inf and _over(tracks):
                first[severity] = day
        if first[Severity.PAGE] < inf:
            break
    return first[Severity.PAGE], min(first.values())


def _grow(tracks: dict[tuple[str, str], Track], made: Comparison, severity: Severity) -> None:
    for name, reading in readings_for(made).items():
        if SEVERITIES[name] is not severity:
            continue
        for one in reading.channels:
            known = tracks.get((name, one.name))
            evaluations = np.append(known.evaluations if known else [], one.score)
            tracks[name, one.name] = Track(
                np.array(one.baseline), evaluations, one.side, 1.0 / len(reading.channels), name
            )


def _over(tracks: Mapping[tuple[str, str], Track]) -> bool:
    evaluation = max(one.evaluations.size for one in tracks.values()) - 1
    grown = grown_log10(list(tracks.values()), 0, evaluation)
    return bool(np.log10(sum(10.0 ** min(one, 300.0) for one in grown.values()) / len(grown)) >= LINE_LOG10)


# --- Model Equality Testing as published


def published(job: Job) -> int:
    """How many of the trials the test as published rejects at ``LEVEL``, by its own permutation p-value."""
    rng = np.random.default_rng(job.seed)
    rejected = 0
    for _ in range(job.trials):
        now = source(job.case).days(1, ASKED[job.calls][1], rng)[0]
        before = [one for day in source(HEALTHY).days(BASELINE_DAYS, 1, rng) for one in day]
        texts, known = (peers.texts(comparison(side, (), (), ()).now) for side in (now, before))
        rejected += peers.met_p(texts, known, PERMUTATIONS, int(rng.integers(2**31))) <= LEVEL
    return rejected


def published_rows(cases: Sequence[str], trials: int, seed: int) -> list[Row]:
    """False positives in health, then power on each case."""
    jobs = [Job(case, 250, trials, seed_of(seed, "published", case)) for case in (HEALTHY, *cases)]
    rows = []
    for job, rejected in zip(jobs, spread_out(published, jobs, "as published"), strict=True):
        found = share(rejected, trials)
        measure = "false_positive_rate" if job.case == HEALTHY else "power_250"
        rows.append(Row(BENCHMARK, "met, as published", job.case, measure, found.value, found.low, found.high, trials))
    return rows


# --- What is made of the scores


def power(threshold_of: FloatArray, faulty: FloatArray) -> float:
    """Share of the faulty scores over the threshold that ``LEVEL`` of the healthy ones are over; ties in proportion."""
    ordered = np.sort(threshold_of)[::-1]
    over = LEVEL * ordered.size
    at = ordered[min(int(over), ordered.size - 1)]
    above, equal = (ordered > at).sum(), (ordered == at).sum()
    split = min(1.0, max(0.0, (over - above) / equal))
    return float((faulty > at).mean() + split * (faulty == at).mean())


def area(healthy: FloatArray, faulty: FloatArray) -> float:
    """Under the curve of power against level: the chance that a faulty evaluation scores higher than a healthy one."""
    ordered = np.sort(healthy)
    below, upto = np.searchsorted(ordered, faulty, "left"), np.searchsorted(ordered, faulty, "right")
    return float((below + upto).mean() / (2 * ordered.size))


def rows_of(found: Mapping[str, list[Scores]], calls: int, rng: np.random.Generator) -> list[Row]:
    """Power and area by method and case, and each method's mean over all cases."""
    made: list[Row] = []
    for method in found[HEALTHY][0]:
        healthy = _column(found[HEALTHY], method)
        picks = [rng.integers(healthy.size, size=healthy.size) for _ in range(BOOTSTRAP // 4)]
        for measure, statistic in ((f"power_{calls}", power), ("auc", area)):
            values, draws = [], []
            for case in (name for name in found if name != HEALTHY):
                faulty = _column(found[case], method)
                again = [statistic(healthy[one], rng.choice(faulty, faulty.size)) for one in picks]
                values.append(statistic(healthy, faulty))
                draws.append(again)
                made.append(_row(method, case, calls, measure, values[-1], again, faulty.size))
            together = np.mean(draws, axis=0).tolist()
            mean = float(np.mean(values))
            made.append(_row(method, "mean of all faults", calls, measure, mean, together, len(values)))
    return made


def _column(trials: Sequence[Scores], method: str) -> FloatArray:
    return np.array([one[method] for one in trials])


def _row(method: str, case: str, calls: int, measure: str, value: float, again: Sequence[float], n: int) -> Row:
    low, high = np.percentile(again, [2.5, 97.5])
    named = f"{case}, {calls} calls" if measure == "auc" else case
    return Row(BENCHMARK, method, named, measure, value, min(value, float(low)), max(value, float(high)), n)


def day_rows(
    case: str,
    trials: Sequence[FloatArray],
    days: Callable[..., float],
    method: str,
    tokens: float,
    rng: np.random.Generator,
) -> list[Row]:
    """Median and ninth decile of the days, and the tokens up to the median. ``days(*trials, part)`` is a quantile."""
    found = [bootstrap(trials, partial(days, part=part), rng, BOOTSTRAP // 4) for part in (0.5, 0.9)]
    measures = zip(("median_days", "p90_days", "tokens"), (*found, found[0]), (1.0, 1.0, tokens), strict=True)
    return [
        Row(BENCHMARK, method, case, name, by * one.value, by * one.low, by * one.high, trials[-1].size)
        for name, one, by in measures
    ]


def own_days(days: FloatArray, part: float) -> float:
    return float(np.minimum(np.sort(days)[ceil(part * days.size) - 1], DAYS + 1))


def peer_days(healthy: FloatArray, faulty: FloatArray, part: float) -> float:
    """Days by which a share ``part`` is over all healthy evaluations, days being independent."""
    missed = float((faulty <= healthy.max()).mean())
    if missed == 0.0:
        return 1.0
    return min(DAYS + 1.0, ceil(log(1 - part) / log(missed) - 1e-9)) if missed < 1.0 else DAYS + 1.0


@cache
def tokens_a_look(case: str) -> float:
    """Tokens read and written by one evaluation of 48 calls, subject and base."""
    return _tokens(source(case).kinds.members) + _tokens(source("base").kinds.members)


def _tokens(members: Sequence[Sequence[Sequence[PoolAnswer]]]) -> float:
    return sum(
        float(np.mean([one.prompt_tokens + one.completion_tokens for kind in probe for one in kind]))
        for probe in members
    )


def main() -> int:
    made = parser(__doc__, trials=200, what="evaluations of each fault; twice as many healthy ones")
    made.add_argument("--cases", nargs="+", default=list(CASES), help="faults (default: all)")
    made.add_argument("--part", choices=PARTS, default="all", help="minutes each")
    args = made.parse_args()
    rng = np.random.default_rng(args.seed)
    rows: list[Row] = []
    for calls in (calls for calls in ASKED if args.part in (f"roc-{calls}", "all")):
        rows += rows_of(_roc(args.cases, calls, args.trials, args.seed), calls, rng)
    if args.part in ("border", "all"):
        rows += rows_of(border_inputs.looked(args.trials, args.seed), border_inputs.CALLS, rng)
    if args.part in ("published", "all"):
        rows += published_rows(args.cases, args.trials, args.seed)
    if args.part in ("days", "all"):
        rows += _days(args.cases, args.trials, args.seed, rng)
    report(rows, as_json=args.json)
    return 0


def _roc(cases: Sequence[str], calls: int, trials: int, seed: int) -> dict[str, list[Scores]]:
    jobs = [
        Job(case, calls, min(CHUNK, count - first), seed_of(seed, case, calls, first))
        for case, count in ((HEALTHY, 2 * trials), *((case, trials) for case in cases))
        for first in range(0, count, CHUNK)
    ]
    found: dict[str, list[Scores]] = {}
    for job, scores in zip(jobs, spread_out(looked, jobs, f"{calls} calls"), strict=True):
        found.setdefault(job.case, []).extend(scores)
    return found


def _days(cases: Sequence[str], trials: int, seed: int, rng: np.random.Generator) -> list[Row]:
    few = max(4, round(DAY_TRIALS * trials))
    slow = [Slow(case, seed_of(seed, "days", case, trial)) for case in cases for trial in range(few)]
    ours = list(zip(slow, spread_out(days_to, slow, "days"), strict=True))
    healthy_looks = round(HEALTHY_DAYS * min(1.0, trials / 200))
    jobs = [
        Job(case, 60, min(CHUNK, count - first), seed_of(seed, "peers", case, first), SPREAD, ours=False)
        for case, count in ((HEALTHY, healthy_looks), *((case, trials) for case in cases))
        for first in range(0, count, CHUNK)
    ]
    found: dict[str, list[Scores]] = {}
    for job, scores in zip(jobs, spread_out(looked, jobs, "others' days"), strict=True):
        found.setdefault(job.case, []).extend(scores)
    rows: list[Row] = []
    for case in cases:
        mine = [days for job, days in ours if job.case == case]
        for place, method in enumerate(("cliffwatch, page", ALARM)):
            own = [np.array([one[place] for one in mine])]
            rows += day_rows(case, own, own_days, method, tokens_a_look(case), rng)
        for method in PEERS:
            seen = [_column(found[name], method) for name in (HEALTHY, case)]
            rows += day_rows(case, seen, peer_days, method, 2 * _tokens(source(case).kinds.members), rng)
    return rows


if __name__ == "__main__":
    sys.exit(main())
