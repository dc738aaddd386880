"""What healthy days are like on real servers: spread, tails, dependence and common factors of every signal's scores.

``benchmarks.real_servers`` asks real servers on days of honest operation; ``--keep`` puts its answers, with the lab
judge's scores of them, into ``real_days.json.gz``, which is committed. Without it, the committed days are measured with
the product's own code:

* each day against all days of its recording, as the product scores the days of a baseline: ``spread`` (standard
  deviation; 1 is what independent answers would have), ``kurtosis`` (excess), ``over_3`` (share of scores beyond 3),
  ``odd_days`` (share beyond 3 robust standard deviations and beyond 3), ``autocorrelation`` (from one day to the next,
  bounds of two standard errors).
* the same days with each probe's answers in another order, which leaves the answers as they are and takes away all that
  a day's answers have in common: ``spread_over_shuffled``, and ``common_shuffled`` beside ``common``, the mean
  correlation between two signals' scores of a day (of each signal its first channel that varies).
* the days from the 15th on against the first 14, with the evidence of the days before: ``spread_on_14`` and
  ``shift_on_14`` of the scores, ``pages`` and ``tickets`` a target-year at a setting of 0.1.

``logprobs`` is measured at temperature 0, and its tickets as if it were the only ticket signal.

A case named ``all regimes`` is every recording of the server at that temperature together.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations, groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_servers import RAW
from benchmarks.recorded import BLOCK, FILE, Day, Recording, blocks, first_tokens, keep_raw, recorded_days
from benchmarks.resample import comparison
from benchmarks.rows import BOOTSTRAP, Bounded, Row, parser, poisson_rate, report, seed_of, share, spread_out
from monitor.core.records import Comparison, FindingState, Severity
from monitor.detect import SIGNALS, findings_for, readings_for

FloatArray = NDArray[np.float64]
Channel = tuple[str, str]
"""Signal and channel."""

BENCHMARK: Final = "real_days"
BASELINE: Final = 14
FAR: Final = 3.0
ALL: Final = "all regimes"
LOGPROBS: Final = "logprobs"
FACTORS: Final = ("quality", "contrast", "length")


@dataclass(frozen=True)
class Measured:
    """One recording. Arrays have a score a day; of a channel whose scores are all equal they are kept too."""

    server: str
    regime: str
    temperature: float
    days: Mapping[Channel, FloatArray]
    shuffled: Sequence[Mapping[Channel, FloatArray]]
    after: Mapping[Channel, FloatArray] = field(default_factory=dict)
    """On the first ``BASELINE`` days."""
    alarms: Mapping[Severity, Sequence[str]] = field(default_factory=dict)
    """Signals that alarmed on the first ``BASELINE`` days."""
    evaluations: int = 0


def scored(recording: Recording) -> dict[Channel, FloatArray]:
    """Every channel's score of each day against all days."""
    made = _comparison(recording, recording.subject[0], recording.base[0], slice(None))
    return {
        (signal, channel.name): np.array(channel.baseline)
        for signal, reading in readings_for(made).items()
        for channel in reading.channels
        if len(channel.baseline) == len(recording.subject)
    }


def _comparison(recording: Recording, now: Day, base_now: Day, baseline: slice) -> Comparison:
    """``LOGPROBS`` alone is read where there are log-probabilities, since they are of the first token alone."""
    made = comparison(
        now, base_now, recording.subject[baseline], recording.base[baseline], temperature=recording.temperature
    )
    others = frozenset(SIGNALS) - {LOGPROBS} if now[0].logprobs else frozenset({LOGPROBS})
    return replace(made, unread=others)


def shuffled(recording: Recording, rng: np.random.Generator) -> Recording:
    """The same answers, those of each probe and arm on other days."""
    arms = []
    for arm in (recording.subject, recording.base):
        columns = list(zip(*arm, strict=True))
        mixed = [[column[day] for day in rng.permutation(len(arm))] for column in columns]
        arms.append(tuple(zip(*mixed, strict=True)))
    return Recording(recording.server, recording.regime, recording.temperature, *arms)


def evaluated(recording: Recording) -> tuple[dict[Channel, FloatArray], dict[Severity, list[str]]]:
    """The scores of the days after the first ``BASELINE``, and the signals that alarm on any, as the product runs."""
    history: dict[str, tuple[Mapping[str, float], ...]] = {}
    alarms: dict[Severity, list[str]] = {one: [] for one in Severity}
    for now, base_now in zip(recording.subject[BASELINE:], recording.base[BASELINE:], strict=True):
        made = _comparison(recording, now, base_now, slice(BASELINE))
        for one in findings_for(replace(made, history=history)):
            history[one.signal] = (*history.get(one.signal, ()), one.scores)
            if one.state is FindingState.ALARMING and one.signal not in alarms[one.severity]:
                alarms[one.severity].append(one.signal)
    days = len(recording.subject) - BASELINE
    found = {
        (signal, channel): np.array([day[channel] for day in told])
        for signal, told in history.items()
        for channel in told[0]
        if len(told) == days and all(channel in day for day in told)
    }
    return found, alarms


@dataclass(frozen=True)
class Task:
    """One recording's work."""

    server: str
    regime: str
    temperature: float
    shuffles: int
    seed: int


def measured(task: Task) -> Measured:
    (recording,) = (
        one for one in recorded_days(task.server) if (one.regime, one.temperature) == (task.regime, task.temperature)
    )
    parts = [one for one in (recording, first_tokens(recording)) if one is not None]
    rng, days = np.random.default_rng(task.seed), len(recording.subject)
    told = [evaluated(one) for one in parts]
    mixed = [[scored(shuffled(one, rng)) for one in parts] for _ in range(task.shuffles)]
    return Measured(
        recording.server, recording.regime, recording.temperature,
        days=_joined(scored(one) for one in parts),
        shuffled=[_joined(one) for one in mixed],
        after=_joined(after for after, _ in told),
        alarms={one: [name for _, alarms in told for name in alarms[one]] for one in Severity},
        evaluations=days - BASELINE,
    )  # fmt: skip


def _joined(parts: Iterable[Mapping[Channel, FloatArray]]) -> dict[Channel, FloatArray]:
    return {channel: track for part in parts for channel, track in part.items()}


def autocorrelation(tracks: Sequence[FloatArray]) -> Bounded:
    """From one day to the next, over several stretches of days. Bounds: two standard errors, 1 / sqrt(pairs) each."""
    varied = [one - one.mean() for one in tracks if one.std() > 1e-9]
    products, squares = (sum(float(each) for each in sums) for sums in (
        [(one[1:] * one[:-1]).sum() for one in varied], [(one**2).sum() * (one.size - 1) / one.size for one in varied],
    ))  # fmt: skip
    pairs = sum(one.size - 1 for one in varied)
    value = products / squares if squares else 0.0
    error = 2 / np.sqrt(pairs) if pairs else 0.0
    return Bounded(value, value - error, value + error)


def spread(tracks: Sequence[FloatArray]) -> float:
    """The standard deviation around each stretch's own mean."""
    squares = sum(float(((one - one.mean()) ** 2).sum()) for one in tracks)
    return float(np.sqrt(squares / sum(one.size - 1 for one in tracks)))


def kurtosis(tracks: Sequence[FloatArray]) -> float:
    """Excess kurtosis around each stretch's own mean; 0 where nothing varies."""
    centred = np.concatenate([one - one.mean() for one in tracks])
    variance = float((centred**2).mean())
    return float((centred**4).mean()) / variance**2 - 3.0 if variance > 1e-12 else 0.0


def odd(track: FloatArray) -> int:
    """Days beyond 3 robust standard deviations (at least 1) of the median."""
    away = np.abs(track - np.median(track))
    return int((away > FAR * max(1.0, 1.4826 * float(np.median(away)))).sum())


def bounded(tracks: Sequence[FloatArray], statistic: Callable[[Sequence[FloatArray]], float], seed: int) -> Bounded:
    """``statistic`` with percentile bounds over resampled days of each stretch."""
    rng, value = np.random.default_rng(seed), statistic(tracks)
    draws = [statistic([rng.choice(one, one.size) for one in tracks]) for _ in range(BOOTSTRAP // 2)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Bounded(value, min(value, float(low)), max(value, float(high)))


def common(days: Mapping[Channel, FloatArray]) -> float | None:
    """Mean correlation between signals' first channels that vary; ``None`` with fewer than two of them."""
    first: dict[str, FloatArray] = {}
    for (signal, _), track in days.items():
        if track.std() > 1e-9:
            first.setdefault(signal, track)
    pairs = [abs(float(np.corrcoef(one, other)[0, 1])) for one, other in combinations(first.values(), 2)]
    return float(np.mean(pairs)) if pairs else None


def rows(found: Sequence[Measured]) -> list[Row]:
    """Every recording's, then those of each server and temperature together."""
    result = [row for one in found for row in _rows(one.server, f"{one.regime}, {_warm(one)}", [one])]
    ordered = sorted(found, key=lambda one: (one.server, one.temperature))
    for (server, _), group in groupby(ordered, key=lambda one: (one.server, one.temperature)):
        together = list(group)
        result += _rows(server, f"{ALL}, {_warm(together[0])}", together)
    return result


def _warm(one: Measured) -> str:
    return f"temperature {one.temperature:g}"


def _rows(server: str, case: str, group: Sequence[Measured]) -> Iterator[Row]:
    for channel in dict.fromkeys(name for one in group for name in one.days):
        tracks = [one.days[channel] for one in group if channel in one.days]
        yield from _channel(server, case, channel, tracks, group)
    for measure, told in (
        ("common", [one.days for one in group]),
        ("common_shuffled", [mixed for one in group for mixed in one.shuffled]),
    ):
        values = np.array([value for one in told if (value := common(one)) is not None])
        if values.size:
            error = 2 * float(values.std()) / np.sqrt(values.size)
            value = float(values.mean())
            yield Row(BENCHMARK, server, case, measure, value, value - error, value + error, values.size)
    years = sum(one.evaluations for one in group) / 365
    for severity, measure in ((Severity.PAGE, "pages"), (Severity.TICKET, "tickets")):
        rate = poisson_rate(sum(len(one.alarms.get(severity, ())) for one in group), years)
        evaluations = sum(one.evaluations for one in group)
        yield Row(BENCHMARK, server, case, f"{measure}_per_target_year", rate.value, rate.low, rate.high, evaluations)


def _channel(
    server: str, case: str, channel: Channel, tracks: Sequence[FloatArray], group: Sequence[Measured]
) -> Iterator[Row]:
    name, days = ".".join(channel).replace(" ", "_"), sum(one.size for one in tracks)
    seed = seed_of(server, case, name)

    def row(measure: str, told: Bounded, count: int = days) -> Row:
        return Row(BENCHMARK, server, case, f"{name} {measure}", told.value, told.low, told.high, count)

    yield row("spread", bounded(tracks, spread, seed))
    if all(one.std() < 1e-9 for one in tracks):
        return
    mixed = [one[channel] for told in group for one in told.shuffled if channel in one]
    chance = spread(mixed) if mixed else 0.0
    if chance > 1e-9:
        yield row("spread_over_shuffled", bounded(tracks, lambda drawn: spread(drawn) / chance, seed))
    yield row("kurtosis", bounded(tracks, kurtosis, seed))
    yield row("over_3", share(int(sum((np.abs(one) > FAR).sum() for one in tracks)), days))
    yield row("odd_days", share(sum(map(odd, tracks)), days))
    yield row("autocorrelation", autocorrelation(tracks))
    after = [one.after[channel] for one in group if channel in one.after]
    if after:
        count = sum(one.size for one in after)
        yield row("spread_on_14", bounded(after, spread, seed), count)
        yield row("shift_on_14", bounded(after, shift, seed), count)


def shift(tracks: Sequence[FloatArray]) -> float:
    """Root mean square of the stretches' means."""
    return float(np.sqrt(np.mean([float(one.mean()) ** 2 for one in tracks])))


def day_effects(days: int, rng: np.random.Generator, length: int = BLOCK) -> FloatArray:
    """Effects of ``days`` days drawn from the recorded ones: (factors, days) in the order of ``FACTORS``.

    Positive is worse, nearer to the base, longer. Each factor has a mean of 0 and a standard deviation of 1 over its
    recording; the second is 0 throughout where no day is nearer to the base. A call draws by `blocks` from one
    recording in which quality and length vary.
    """
    recordings = _effects()
    chosen = recordings[int(rng.integers(len(recordings)))]
    return chosen[:, blocks(chosen.shape[1], days, rng, length)]


@cache
def _effects() -> tuple[FloatArray, ...]:
    found = []
    for recording in recorded_days():
        wrong = np.array([sum(1.0 - one.right for one in day) for day in recording.subject])
        sizes = np.array([sum(np.log1p(len(one.text)) for one in day) for day in recording.subject])
        if min(wrong.std(), sizes.std()) < 1e-9:
            continue
        reading = SIGNALS["adapter_loss"](_comparison(recording, recording.subject[0], recording.base[0], slice(None)))
        nearer = np.zeros(wrong.size) if reading is None else np.array(reading.channels[0].baseline)
        effects = np.stack([wrong, nearer, sizes])
        deviations = effects.std(axis=1, keepdims=True)
        found.append((effects - effects.mean(axis=1, keepdims=True)) / np.where(deviations > 1e-9, deviations, 1.0))
    return tuple(found)


def main() -> int:
    made = parser(__doc__, trials=3, what="shuffled copies of each recording")
    made.add_argument("--keep", action="store_true", help="first put the raw answers into real_days.json.gz")
    args = made.parse_args()
    if args.keep:
        print(f"{FILE.name}: {keep_raw(RAW)} bytes", file=sys.stderr)
    tasks = [
        Task(*name, args.trials, seed_of(args.seed, *name))
        for name in ((one.server, one.regime, one.temperature) for one in recorded_days())
    ]
    report(rows(spread_out(measured, tasks, "recordings")), as_json=args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
