"""Other tools that watch an endpoint day after day, on the same answers: dedrift and drift-caliper, from PyPI.

Each monitor gets the subject's answers by day: the days of the baseline, then those of the evaluations. It says of each
evaluation whether it alarms, and how strange it is. All defaults are the tool's own. Docstrings name every deviation.

Both packages come with ``make setup`` (the group ``bench`` of pyproject.toml). dedrift's licence is the AGPL: only
benchmarks call it, and they are not distributed.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.records import JUDGE_GRADER, GradedAnswer

FloatArray = NDArray[np.float64]
Answers = Sequence[GradedAnswer]
Days = Sequence[Answers]

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Look:
    """A monitor's verdict on one evaluation."""

    alarming: bool
    score: float
    """Larger is stranger; comparable between evaluations of one monitor."""


Monitor = Callable[[Days, Days], list[Look]]
"""Baseline days and evaluations -> a verdict on each evaluation."""


def by_day(answers: Iterable[GradedAnswer]) -> list[list[GradedAnswer]]:
    """The answers of each slot, in the order of the slots."""
    found: dict[datetime, list[GradedAnswer]] = {}
    for one in answers:
        found.setdefault(one.slot, []).append(one)
    return [found[slot] for slot in sorted(found)]


def raised(looks: Iterable[Look]) -> int:
    """How often an alarm was raised: alarming evaluations after one that was not."""
    count, before = 0, False
    for look in looks:
        count, before = count + (look.alarming and not before), look.alarming
    return count


# --- dedrift 0.5.0, https://github.com/dedrift/dedrift


def dedrift_fixed(baseline: Days, looks: Days) -> list[Look]:
    """``dedrift check``, its default mode: ``check.run_check`` after every cycle, in a project of its own ``store``.

    Every day is a cycle; those of the baseline are its golden baseline (theirs: the first 3 to 5). The rolling
    reference is that of its defaults, the last five cycles before the current one that are not golden. A look alarms
    where the check reports an alert, so where ``dedrift check`` exits with 2 for drift. Its score is -log10 of the
    least p-value of the tests that are over its effect-size gates.

    Answers become its records by `_records`. Channels that a text endpoint does not have (tools, steps, retries,
    latency) are constant and stay in its battery, as they do for its users. No embedder is pinned, which is its
    default. A day whose probes were not asked equally often is not checked: its store refuses such a cycle.
    """
    from dedrift.check import run_check, set_golden_baseline
    from dedrift.config import ProjectConfig
    from dedrift.store import Store

    settings, found = ProjectConfig(), []
    with TemporaryDirectory() as folder, Store.init_project(Path(folder)) as store:
        store.append_many(_records(baseline, 0))
        set_golden_baseline(store, [_cycle(number) for number in range(len(baseline))])
        for number, day in enumerate(looks, len(baseline)):
            if not _balanced(day):
                found.append(Look(False, 0.0))
                continue
            store.append_many(_records([day], number))
            with warnings.catch_warnings():  # scipy's, of channels that hardly vary; its users see them
                warnings.simplefilter("ignore", RuntimeWarning)
                result = run_check(store, settings)
            material = [one.outcome.p_value for one in result.tests if one.primary and one.material]
            least = min((p for p in material if p == p), default=1.0)
            found.append(Look(result.n_alerts > 0, -float(np.log10(max(least, 1e-300)))))
    return found


def dedrift_anytime(baseline: Days, looks: Days) -> list[Look]:
    """``dedrift check --inference anytime`` after every cycle, at its defaults; see `wealth` and `over_line`.

    Signatures are taken by its own ``signatures_frame`` from the records of `_records`; the pool is its own: every
    family and rate signature that the baseline has. Its store is left out, so that thousands of days can be
    evaluated; a test holds the two against each other.
    """
    from dedrift.signatures import signatures_frame
    from dedrift.signatures.structural import RATE_SIGNATURES

    usable = [day for day in looks if _balanced(day)]
    frame = signatures_frame(_records([*baseline, *usable], 0))
    cycles = [_cycle(number) for number in range(len(baseline) + len(usable))]
    then, now, signatures = [], [], []
    for name in RATE_SIGNATURES:
        told = frame[frame[name].notna()]
        counts = told[name].astype(float).groupby([told["family"], told["cycle_id"]]).agg(["sum", "count"])
        for family in sorted(set(told["family"])):
            mine = counts.loc[family].reindex(cycles, fill_value=0.0).to_numpy(dtype=float)
            if mine[: len(baseline), 1].sum():
                then.append(mine[: len(baseline)].sum(axis=0))
                now.append(mine[len(baseline) :])
                signatures.append(name)
    over = iter(over_line(wealth(np.array(then), np.array(now)), signatures).tolist())
    found = [Look(False, 0.0)]
    for day in looks:
        score = next(over) if _balanced(day) else found[-1].score
        found.append(Look(score >= 0, score))
    return found[1:]


def wealth(then: FloatArray, now: FloatArray) -> FloatArray:
    """ln of dedrift's e-processes after each cycle: (streams, cycles).

    ``then``: (streams, 2), successes and trials of the golden baseline; ``now``: (streams, cycles, 2), those of each
    cycle. ``evalues.twosample.log_beta_binomial_evalue`` summed over cycles: the sum has a closed form, because each
    cycle's ratio begins where the last one ended.
    """
    from scipy.special import betaln

    wins = now[:, :, 0].cumsum(axis=1)
    losses = now[:, :, 1].cumsum(axis=1) - wins
    known, lost = then[:, :1], then[:, 1:] - then[:, :1]
    pooled = betaln(1 + known + wins, 1 + lost + losses) - betaln(1 + known, 1 + lost)
    return np.asarray(betaln(1 + wins, 1 + losses) - pooled)


def over_line(log_wealth: FloatArray, signatures: Sequence[str]) -> FloatArray:
    """log10 of how far each cycle's battery is over dedrift's line; it alarms from 0 on.

    As ``anytime.run_anytime_check``: each signature's processes are also multiplied over the families into one more.
    Then ``evalues.ebh.ebh_from_logs`` at 0.05: the k-th largest of m must reach m / (0.05 k), for some k.
    """
    from dedrift.config import AnytimeConfig

    names = np.array(signatures)
    pooled = [log_wealth[names == name].sum(axis=0) for name in sorted(set(signatures)) if np.sum(names == name) > 1]
    battery = -np.sort(-np.concatenate([log_wealth, *(one[None] for one in pooled)]), axis=0)
    ranks = np.arange(1, len(battery) + 1)[:, None]
    needed = np.log(len(battery)) - np.log(AnytimeConfig().alpha) - np.log(ranks)
    return np.asarray((battery - needed).max(axis=0) / np.log(10.0))


def _cycle(number: int) -> str:
    return f"cycle-{number:05}"


def _balanced(day: Answers) -> bool:
    """Whether each probe was asked equally often."""
    return len({sum(one.probe == probe for one in day) for probe in {one.probe for one in day}}) == 1


def _records(days: Days, first: int) -> list[Any]:
    """dedrift's records of each day's answers, from cycle number ``first`` on.

    Probes are dealt out to its six families in turn, as its own simulator does. Whether an answer passes its probe's
    checks is told as its ``expected``, which makes its signatures ``exact_match`` and ``format_valid``. Whether an
    answer refuses is left to its own patterns.
    """
    from dedrift.canary import DEDRIFT_METADATA_KEY, EXPECTED_KEY, FAMILIES
    from dedrift.schema import InteractionInput, InteractionOutput, InteractionRecord, Source

    probes = sorted({one.probe for day in days for one in day})
    families = {probe: FAMILIES[place % len(FAMILIES)] for place, probe in enumerate(probes)}
    found = []
    for number, day in enumerate(days, first):
        asked: dict[str, int] = {}
        for one in day:
            asked[one.probe] = asked.get(one.probe, 0) + 1
            checked = one.scores.get("checks")
            expected = {} if checked is None else {DEDRIFT_METADATA_KEY: {EXPECTED_KEY: {"passed": True}}}
            structured = None if checked is None else {"passed": checked >= 1.0}
            found.append(
                InteractionRecord(
                    id=f"{_cycle(number)}/{one.probe}/{asked[one.probe]}",
                    ts=START + timedelta(days=number),
                    source=Source.CANARY,
                    canary_id=one.probe,
                    cycle_id=_cycle(number),
                    repetition=asked[one.probe],
                    input=InteractionInput(text=one.probe, metadata={"family": families[one.probe], **expected}),
                    output=InteractionOutput(text=one.text, structured=structured),
                    tokens_in=one.prompt_tokens,
                    tokens_out=one.completion_tokens,
                    config=_stack(),
                )
            )
    return found


@cache
def _stack() -> Any:
    from dedrift.schema import AgentConfig

    return AgentConfig(model="lab", prompt_hash="none", tool_schema_hash="none", agent_version="1")


# --- drift-caliper 0.1.0a1, https://github.com/binary-glide/drift-caliper

PROMISED_YEARS: Final = 10.0
"""Years to a false alarm that it is asked for, as Cliffwatch is by 0.1 false pages a year."""
LEAST_ARL, MOST_ARL = 100.0, 1_000_000.0
"""Observations to a false alarm that it accepts."""


def caliper(baseline: Days, looks: Days) -> list[Look]:
    """Its default chart, ``fit_ewma``, over the answers' scores one by one, as ``Monitor.record`` evaluates them.

    The score of an answer is the judge's, else whether it passes its checks; answers without either are left out. Its
    README says that it is not made for scores of 0 and 1, which most judges and all checks give. ``target_arl``, which
    has no default, asks for one false alarm in ten years of evaluations like the first. A baseline that it refuses
    (under 100 scores, or all alike) never alarms. The chart is computed at once; a test holds it against ``Monitor``.
    """
    fitted = caliper_limits([score for day in baseline for score in _scores(day)], len(_scores(looks[0])))
    if fitted is None:
        return [Look(False, 0.0) for _ in looks]
    scores = [_scores(day) for day in looks]
    levels = ewma(np.array([score for day in scores for score in day]), fitted.cl, fitted.smoothing_param)
    off = np.split(np.abs(levels - fitted.cl) / (fitted.ucl - fitted.cl), np.cumsum([len(day) for day in scores])[:-1])
    return [Look(bool((day > 1.0).any()), float(day.max(initial=0.0))) for day in off]


def ewma(scores: FloatArray, start: float, weight: float) -> FloatArray:
    """The chart's level after each score. ``Monitor`` does not reset it after a signal."""
    from scipy.signal import lfilter

    return np.asarray(start + lfilter([weight], [1.0, weight - 1.0], scores - start))


def caliper_limits(scores: Sequence[float], a_look: int) -> Any:
    """Its fitted limits on the baseline's scores, with ``a_look`` scores in an evaluation; ``None`` if it refuses."""
    from drift_caliper import Baseline, DegenerateBaselineError, InsufficientBaselineError, fit_ewma

    known = Baseline()
    for score in scores:
        known.record(scored(score))
    try:
        return fit_ewma(known, target_arl=min(MOST_ARL, max(LEAST_ARL, PROMISED_YEARS * 365 * a_look)))
    except (InsufficientBaselineError, DegenerateBaselineError):
        return None


def scored(score: float) -> Any:
    """A score as drift-caliper's judge would return it."""
    from drift_caliper import ModelVersion, Provenance, ScoringCriteria, ScoringResult

    measured = Provenance(model_version=ModelVersion(value="lab"), scoring_criteria=ScoringCriteria(value="passes"))
    return ScoringResult(score=score, reasoning="none", provenance=measured)


def _scores(day: Answers) -> list[float]:
    told = (one.scores.get(JUDGE_GRADER, one.scores.get("checks")) for one in day)
    return [score for score in told if score is not None]


MONITORS: Final[dict[str, Monitor]] = {
    "dedrift, fixed": dedrift_fixed,
    "dedrift, anytime": dedrift_anytime,
    "drift-caliper": caliper,
}
