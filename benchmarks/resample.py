"""Days of evaluations, drawn from the pool's real answers, with days that differ by a known amount.

An independent evaluation takes each probe's answer at random from those that the pool holds of it. Real endpoints are
not that good: their days differ (load, batching, routing) beyond what independent answers do. So each simulated day has
an effect that tilts the odds with which its answers are drawn, exponentially, along what an answer can have more of:

    weight of answer y on the day  ~  exp(a . f(y)),   a ~ normal, drawn once a day,

with f(y) the answer's contrast to the base, its length, whether its checks pass, and a direction drawn at random by
text; all within its probe. The variance of a is set, by measuring, so that a day's sum of each f has ``spread`` times
the standard deviation that independent draws of the same answers would give it. Every answer stays a real one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from benchmarks.pool import Pool, PoolAnswer, graded, pool
from monitor.core.records import JUDGE_GRADER, Arm, Comparison, GradedAnswer
from monitor.detect.policy import threshold_log10
from monitor.detect.text_similarity import similarity_matrix

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
LOOKS_PER_YEAR: Final = 365
FALSE_PAGES: Final = 0.1
LINE_LOG10: Final = threshold_log10(FALSE_PAGES, LOOKS_PER_YEAR, 1)
FEATURES: Final = ("contrast", "length", "right", "random")
TOLERANCE: Final = 0.02
"""How far a feature's measured spread may be off the one asked for, as a share of it."""
_EFFECTS: Final = 4_000
_ROUNDS: Final = 200


@dataclass(frozen=True)
class Kinds:
    """A case's answers, those of one probe and text together. Arrays of (probes, kinds), padded with share 0."""

    members: tuple[tuple[tuple[PoolAnswer, ...], ...], ...]
    share: FloatArray
    features: FloatArray
    """(probes, kinds, features), each centred within its probe, with a standard deviation of 1 over all answers."""

    @property
    def probes(self) -> int:
        return len(self.members)


@dataclass(frozen=True)
class Day:
    """One day's answers: places in `Kinds`, (probes, answers a probe), and the answers themselves."""

    kinds: IntArray
    answers: tuple[PoolAnswer, ...]
    """Probe by probe."""


class Source:
    """One case of the pool, as an endpoint that can be asked day after day."""

    def __init__(
        self, answers: Pool, case: str, spread: float = 1.0, per_day: int = 1, *, judged: bool = False
    ) -> None:
        """``spread``: of days with ``per_day`` answers a probe. ``judged``: with the judge's scores of what it read."""
        self.kinds = _kinds(answers, case, judged)
        self.mixing = _calibrated(self.kinds, spread, per_day) if spread > 1.0 else None

    def draw(self, days: int, per_day: int, rng: np.random.Generator) -> IntArray:
        """The kind of each answer: (days, probes, per_day)."""
        weights = np.repeat(self.kinds.share[None], days, axis=0)
        if self.mixing is not None:
            effects = rng.standard_normal((days, self.mixing.shape[0])) @ self.mixing
            weights = tilted(self.kinds, effects)
        reached = np.cumsum(weights, axis=2)
        place = rng.random((days, self.kinds.probes, per_day, 1)) * reached[:, :, None, -1:]
        return np.asarray((reached[:, :, None, :] <= place).sum(axis=3), dtype=np.int64)

    def days(self, days: int, per_day: int, rng: np.random.Generator) -> list[tuple[PoolAnswer, ...]]:
        """Each day's answers, ``per_day`` to each probe."""
        kinds = self.draw(days, per_day, rng)
        chosen = rng.random(kinds.shape)
        return [
            tuple(
                members[int(chosen[day, probe, k] * len(members))]
                for probe in range(self.kinds.probes)
                for k in range(per_day)
                for members in (self.kinds.members[probe][kinds[day, probe, k]],)
            )
            for day in range(days)
        ]


class Mixed:
    """Two endpoints behind one name: each answer comes from ``other`` with probability ``share``."""

    def __init__(self, usual: Source, other: Source, share: float) -> None:
        self.usual, self.other, self.share = usual, other, share

    def days(self, days: int, per_day: int, rng: np.random.Generator) -> list[tuple[PoolAnswer, ...]]:
        drawn = zip(self.usual.days(days, per_day, rng), self.other.days(days, per_day, rng), strict=True)
        return [
            tuple(o if rng.random() < self.share else u for u, o in zip(usual, other, strict=True))
            for usual, other in drawn
        ]


@cache
def source(case: str, spread: float = 1.0, seed: int = 1, per_day: int = 1, judged: bool = False) -> Source:
    """`Source` of the pool of ``seed``, made once in a process."""
    return Source(pool(seed, ("healthy", "base", case)), case, spread, per_day, judged=judged)


def comparison(
    now: Sequence[PoolAnswer],
    base_now: Sequence[PoolAnswer],
    baseline: Sequence[Sequence[PoolAnswer]],
    base_baseline: Sequence[Sequence[PoolAnswer]],
    *,
    history: Mapping[str, tuple[Mapping[str, float], ...]] | None = None,
    line: float = LINE_LOG10,
    at_once: bool = False,
    temperature: float | None = 0.7,
) -> Comparison:
    """What the detect stage would be handed: the baseline's days one by one, then today's."""
    before: list[GradedAnswer] = []
    for day, (subject, base) in enumerate(zip(baseline, base_baseline, strict=True)):
        before += [*_run(day, Arm.SUBJECT, subject), *_run(day, Arm.BASE, base)]
    today = len(baseline)
    after = (*_run(today, Arm.SUBJECT, now), *_run(today, Arm.BASE, base_now))
    return Comparison(
        run_id=today + 1, target="lab", suite="lab-support", now=after, baseline=tuple(before), prompts={},
        page_threshold_log10=line, ticket_threshold_log10=line, baseline_at_once=at_once, temperature=temperature,
        history=history or {},
    )  # fmt: skip


def _run(day: int, arm: Arm, answers: Sequence[PoolAnswer]) -> list[GradedAnswer]:
    asked: dict[str, int] = {}
    found = []
    for one in answers:
        asked[one.probe] = asked.get(one.probe, -1) + 1
        found.append(graded(one, day + 1, START + timedelta(days=day), arm, asked[one.probe]))
    return found


def tilted(kinds: Kinds, effects: FloatArray) -> FloatArray:
    """Weights of each day's kinds, (days, probes, kinds), adding up to 1 over a probe's kinds."""
    exponent = np.einsum("pgk,dk->dpg", kinds.features, effects)
    exponent = np.where(kinds.share > 0, exponent, -np.inf)
    weights = kinds.share * np.exp(exponent - exponent.max(axis=2, keepdims=True))
    return np.asarray(weights / weights.sum(axis=2, keepdims=True))


def spreads(kinds: Kinds, effects: FloatArray, per_day: int = 1) -> FloatArray:
    """For each feature: standard deviation of a day's sum over what independent draws of the same answers would give.

    Means and variances given the day are exact; only the days' effects are a sample.
    """
    weights = tilted(kinds, effects)
    mean = np.einsum("dpg,pgk->dpk", weights, kinds.features)
    square = np.einsum("dpg,pgk->dpk", weights, kinds.features**2)
    within = (square - mean**2).sum(axis=1).mean(axis=0) * per_day
    between = mean.sum(axis=1).var(axis=0) * per_day**2
    whole = np.einsum("dpg,pgk->pk", weights, kinds.features) / len(effects)
    independent = (square.mean(axis=0) - whole**2).sum(axis=0) * per_day
    return np.asarray(np.sqrt((within + between) / independent))


def _calibrated(kinds: Kinds, spread: float, per_day: int) -> FloatArray:
    """The matrix that makes a day's effects of standard normal draws: (normals, features).

    To first order an effect with covariance c F^-1 (F the features' correlations, c = (spread^2 - 1) / answers) would
    do; from there each feature's scale is mended until the measured spread is the one asked for.
    """
    rows = kinds.features.reshape(-1, kinds.features.shape[2])
    correlations = (rows * kinds.share.reshape(-1, 1)).T @ rows / kinds.share.sum()
    values, vectors = np.linalg.eigh(correlations)
    root = (vectors[:, values > 1e-6] / np.sqrt(values[values > 1e-6])).T
    normals = np.random.default_rng(7).standard_normal((_EFFECTS, root.shape[0]))
    scales = np.full(rows.shape[1], np.sqrt((spread**2 - 1) / (kinds.probes * per_day)))
    for _ in range(_ROUNDS):
        found = spreads(kinds, normals @ (root * scales), per_day)
        if np.all(np.abs(found / spread - 1) < TOLERANCE / 4):
            break
        excess = np.maximum(found**2 - 1, 1e-3) / (spread**2 - 1)
        scales = scales * np.clip(excess, 0.5, 2.0) ** -0.35
    assert np.all(np.abs(found / spread - 1) < TOLERANCE), f"asked for a spread of {spread}, measured {found}"
    return np.asarray(root * scales)


def _verdicts(answers: Pool) -> dict[tuple[str, str], float]:
    """What the judge says of each text that it read, in health or of the base: the same whenever it is asked."""
    found: dict[tuple[str, str], float] = {}
    for case in ("healthy", "base"):
        for one in (one for kept in answers[case].values() for one in kept if one.judge is not None):
            assert one.judge is not None
            assert found.setdefault((one.probe, one.text), one.judge) == one.judge
    return found


def _scores(one: PoolAnswer, verdicts: Mapping[tuple[str, str], float] | None) -> Mapping[str, float]:
    """The checks' scores, with the judge's of the text where there is one in ``verdicts``."""
    checks = {grader: value for grader, value in one.scores.items() if grader != JUDGE_GRADER}
    judged = None if verdicts is None else verdicts.get((one.probe, one.text))
    return checks if judged is None else checks | {JUDGE_GRADER: judged}


def _kinds(answers: Pool, case: str, judged: bool) -> Kinds:
    verdicts = _verdicts(answers) if judged else None
    groups: list[tuple[tuple[PoolAnswer, ...], ...]] = []
    raw: list[FloatArray] = []
    for probe, found in answers[case].items():
        by_text: dict[tuple[str, float], list[PoolAnswer]] = {}
        for one in found:
            by_text.setdefault((one.text, one.right), []).append(replace(one, scores=_scores(one, verdicts)))
        groups.append(tuple(tuple(members) for _, members in sorted(by_text.items())))
        raw.append(_features(groups[-1], answers["healthy"][probe], answers["base"][probe]))
    most = max(map(len, groups))
    share, features = np.zeros((len(groups), most)), np.zeros((len(groups), most, len(FEATURES)))
    for probe_place, (members_of, values) in enumerate(zip(groups, raw, strict=True)):
        counts = np.array([len(members) for members in members_of], dtype=np.float64)
        share[probe_place, : counts.size] = counts / counts.sum()
        features[probe_place, : counts.size] = values - (counts / counts.sum()) @ values
    deviations = np.sqrt(np.einsum("pg,pgk->k", share, features**2) / len(groups))
    varied = deviations > 1e-9
    return Kinds(tuple(groups), share, features[:, :, varied] / deviations[varied])


def _features(
    kinds: Sequence[Sequence[PoolAnswer]], healthy: Sequence[PoolAnswer], base: Sequence[PoolAnswer]
) -> FloatArray:
    """One row a kind: contrast to the base, characters, checks passed, a number drawn by the text."""
    texts = [members[0].text for members in kinds]
    own, own_counts = _counted(healthy)
    other, other_counts = _counted(base)
    alike = similarity_matrix([*texts, *own, *other])[: len(texts)]
    to_own = alike[:, len(texts) : len(texts) + len(own)] @ own_counts
    to_base = alike[:, len(texts) + len(own) :] @ other_counts
    drawn = [np.random.default_rng(crc32(text.encode("utf-8", "replace"))).standard_normal() for text in texts]
    return np.stack(
        [
            to_own - to_base,
            np.array([len(text) for text in texts], dtype=np.float64),
            np.array([members[0].right for members in kinds]),
            np.array(drawn),
        ],
        axis=1,
    )


def _counted(answers: Sequence[PoolAnswer]) -> tuple[list[str], FloatArray]:
    """The different texts, and the share of the answers that each is."""
    texts, counts = np.unique([one.text for one in answers], return_counts=True)
    return [str(text) for text in texts], np.asarray(counts / counts.sum(), dtype=np.float64)
