"""``distribution``: the distribution of the answers differs from the baseline's, in any way.

Three channels, each a permutation test within probes (``mmd``) of today against the baseline:

* ``characters``: MMD^2 summed over probes. The kernel is the mean of two similarities of texts: the share of equal
  characters at equal places (the Hamming kernel of Model Equality Testing; I. Gao, P. Liang, C. Guestrin, ICLR 2025,
  arXiv 2410.20247) and trigram F1, which tolerates inserted words.
* ``wording``: hashed counts of words and signs, and the shift that all probes share. It detects much weaker faults than
  a sum over probes, because quantization, a prompt or a new version changes the wording everywhere.
* ``meaning``: MMD^2 of the answers' embeddings, if every answer has one.

Effect: the unbiased MMD^2 of ``characters`` as a share of what answers without anything in common would have, 0 to 1
(a little under 0 by chance), with an interval by bootstrap over probes.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import sqrt
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from monitor.core.records import Advice, Cause, Comparison, Exhibit, GradedAnswer
from monitor.core.run_kinds import run_kind
from monitor.detect import evidence, mmd
from monitor.detect.common import alarming, exhibits, no_longer, quiet, quiet_but_moved
from monitor.detect.day_scores import NOW
from monitor.detect.measurement import Channel, Reading, Told, Verdict
from monitor.detect.text_similarity import LONGEST, hamming_matrix, similarity_matrix

FAR_OFF: Final = 0.25
"""Share of the maximum distance that is never reported as unchanged, however few answers."""
FEWEST_PROMPTS: Final = 5
"""Prompts with two answers or more today from which the spread of answers to a prompt is compared."""
SPREAD: Final = 0.1
"""Least change of the similarity of two answers to a prompt that is called another sampling."""
SLACK: Final = 0.02
"""How much less like the baseline's answers today's may be than the wider group is like itself."""
WORDS: Final = 128
"""Coordinates that words are hashed into. More cost more and detect no more (measured on the lab's faults)."""
_WORD: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\uffff]|[^\W_]+|\S")
"""A sign of a script without spaces, a run of letters and digits, or any other sign."""


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` with too few answers to the same probes, and for production samples: their inputs never
    repeat, so a change of inputs could not be distinguished from one of answers."""
    frozen = run_kind(comparison.target, comparison.suite).frozen_items
    found = mmd.grouped(comparison) if frozen else None
    if found is None:
        return None
    texts = [[one.text for one in answers] for answers in found.answers]
    characters = mmd.Kernel([_characters(one) for one in texts])
    statistics: dict[str, mmd.Statistic] = {
        "characters": characters,
        "wording": mmd.Shift([hashed_words(t) for t in texts]),
    }
    if all(one.embedding is not None for answers in found.answers for one in answers):
        statistics["meaning"] = mmd.Kernel([_embeddings(answers) for answers in found.answers])
    results = mmd.tested(found, list(statistics.values()))
    channels = tuple(
        Channel.of(name, one.scores, "rise", found.now)
        for name, one in zip(statistics, results, strict=True)
    )  # fmt: skip
    above, below = _distances(found, characters)
    inflation = evidence.likely_spread(channels[0].baseline)
    effect = mmd.bootstrapped(above, below, mmd.seed_of(found), inflation)
    return Reading(
        channels=channels,
        effect=effect,
        unit="share of the way to nothing in common",
        per_score=max(1e-6, results[0].spread / float(below.sum())),
        answers_now=found.now,
        answers_baseline=found.baseline,
        tell=lambda verdict: _tell(comparison.target, verdict, channels, effect, _cause(found, characters)),
        measures={"distribution_p_value": min(1.0, len(results) * min(one.p_value for one in results))},
        exhibits=_exhibits(comparison, found, characters),
    )


def _tell(
    target: str, verdict: Verdict, channels: Sequence[Channel], effect: tuple[float, float, float], cause: Cause
) -> Told:
    numbers = _numbers(effect)
    loudest = max(channels, key=lambda one: one.score).name
    if verdict.evaluation_disagrees:
        return no_longer(
            f"answers of {target} are distributed differently than in the baseline", numbers, verdict, cause=cause
        )
    if verdict.alarming:
        what = f"Answers of {target} are no longer distributed as in the baseline, most clearly in their {loudest}"
        return alarming(what, numbers, Advice.COMPARE_ANSWERS, cause)
    if not (verdict.moved or effect[0] >= FAR_OFF or any(mmd.stands_out(one) for one in channels)):
        return quiet("Answers are distributed as in the baseline", numbers)
    return quiet_but_moved(f"the distribution of {target}'s answers changed, most in their {loudest}", numbers, cause)


def _numbers(effect: tuple[float, float, float]) -> str:
    """The effect in words. Below 0, which happens by chance without a change, it is not shown as a distance."""
    low, high = (min(1.0, max(0.0, one)) for one in effect[1:])
    way, interval = "of the maximum distance", f"95% interval {low:.1%} to {high:.1%}"
    if effect[0] < 0:
        return f"characters differ no more than within the baseline ({interval} {way})"
    return f"{min(1.0, effect[0]):.1%} {way} ({interval})"


def _characters(texts: Sequence[str]) -> mmd.Single:
    """Vectors of the kernel of one probe's answers; equal texts are compared once."""
    distinct, places = np.unique(np.array(texts, dtype=object), return_inverse=True)
    both = 0.5 * (similarity_matrix(distinct.tolist()) + hamming_matrix(distinct.tolist()))
    return mmd.kernel_vectors(both)[places]


def hashed_words(texts: Sequence[str]) -> mmd.Single:
    """Root counts of words, hashed with signs and scaled to length 1 (K. Weinberger et al., Feature hashing for large
    scale multitask learning, ICML 2009): one row a text."""
    known: dict[str, list[float]] = {}
    for text in texts:
        if text not in known:
            known[text] = _hashed(text)
    rows = np.array([known[text] for text in texts], dtype=np.float32)
    return np.asarray(rows / np.maximum(np.float32(1e-6), np.linalg.norm(rows, axis=1, keepdims=True)))


def _hashed(text: str) -> list[float]:
    row = [0.0] * WORDS
    for word, count in Counter(_WORD.findall(text[:LONGEST].lower())).items():
        number = _number(word)
        row[number % WORDS] += (1 if number >> 16 & 1 else -1) * sqrt(count)
    return row


@lru_cache(maxsize=16_384)
def _number(word: str) -> int:
    return crc32(word.encode("utf-8", "surrogatepass"))


def _embeddings(answers: Sequence[GradedAnswer]) -> mmd.Single:
    return np.array([one.embedding for one in answers], dtype=np.float32)


def _distances(found: mmd.Grouped, kernel: mmd.Kernel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each probe's unbiased MMD^2, and its maximum, without anything in common: similarity within now and within then.

    If a probe has one answer now, the similarity within the baseline replaces that within now.
    """
    above, below = [], []
    for days, vectors in zip(found.days, kernel.vectors, strict=True):
        now, gram = days == NOW, vectors @ vectors.T
        across = float(gram[np.ix_(now, ~now)].mean())
        inside = [_off_diagonal(gram[np.ix_(side, side)]) for side in (now, ~now)]
        told = [one for one in inside if one is not None] or [1.0]
        within = 2 * float(np.mean(told))
        above.append(within - 2 * across)
        below.append(within)
    return np.array(above), np.maximum(np.array(below), 1e-9)


def _cause(found: mmd.Grouped, kernel: mmd.Kernel) -> Cause:
    """Whether only the spread of the answers changed, as with another temperature: today's answers to a prompt are
    more alike, or less, than the baseline's, and no less like the baseline's than the wider of the two groups is like
    itself. Another model or prompt would move the middle as well. It takes at least two answers to a prompt in a run.
    """
    rows = []
    for days, vectors in zip(found.days, kernel.vectors, strict=True):
        now, gram = days == NOW, vectors @ vectors.T
        inside = [_off_diagonal(gram[np.ix_(side, side)]) for side in (now, ~now)]
        if inside[0] is not None and inside[1] is not None:
            rows.append((inside[0], inside[1], float(gram[np.ix_(now, ~now)].mean())))
    if len(rows) < FEWEST_PROMPTS:
        return Cause.UNKNOWN
    today, before, across = np.array(rows, dtype=np.float64).T
    gap = today - before
    clear = abs(float(gap.mean())) >= max(SPREAD, 3 * float(gap.std(ddof=1)) / sqrt(gap.size))
    same_middle = float(across.mean()) >= min(float(today.mean()), float(before.mean())) - SLACK
    return Cause.SAMPLING_CHANGED if clear and same_middle else Cause.UNKNOWN


def _off_diagonal(gram: mmd.Single) -> float | None:
    size = gram.shape[0]
    return float((gram.sum() - np.trace(gram)) / (size * (size - 1))) if size > 1 else None


def _exhibits(comparison: Comparison, found: mmd.Grouped, kernel: mmd.Kernel) -> tuple[Exhibit, ...]:
    """The probes that moved most, each with today's answer that is least like the baseline's."""
    moved = mmd.parts_today(found, kernel)
    telling: dict[str, tuple[float, GradedAnswer]] = {}
    for place, (probe, days, vectors) in enumerate(zip(found.probes, found.days, kernel.vectors, strict=True)):
        now = np.flatnonzero(days == NOW)
        strangest = now[int(np.argmin(vectors[now] @ vectors[days != NOW].mean(0)))]
        telling[probe] = (float(moved[place]), found.answers[place][int(strangest)])
    return exhibits(comparison, telling)
