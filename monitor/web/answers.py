"""Every answer of a finding's run, beside the baseline's."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from monitor.errors import CliffwatchError, StoreError
from monitor.records import Arm, Baseline, Exhibit, Finding
from monitor.web import baselines

NEAREST: Final = 20
"""Different texts of a baseline, spread over its days, among which the nearest to an answer is looked for."""

COMPARED: Final = 8_000
"""Characters of an answer that are compared."""


class Readings(baselines.Readings, Protocol):
    """What is read of the store."""

    def texts(self, run_ids: Collection[int], arm: Arm) -> dict[str, Counter[str]]: ...


def every_answer(store: Readings, finding: Finding) -> list[Exhibit]:
    """All probes of the finding's run, each with the answer that is least like the baseline's.

    Those that the finding shows keep their place in front; the weight of the others is the share of words, 0 to 1,
    that the answer does not have in common with the nearest of the baseline: of all where it is the same, else of
    ``NEAREST``.
    """
    shown = {one.probe for one in finding.exhibits}
    baseline = _baseline(store, finding)
    before = baseline.run_ids if baseline else ()
    prompts = baselines.prompts(store, baseline, finding.run_id) if baseline else {}
    then, now = store.texts(before, Arm.SUBJECT), store.texts([finding.run_id], Arm.SUBJECT)
    bases = store.texts([finding.run_id], Arm.BASE)
    if not now.keys() <= bases.keys():
        bases = store.texts(before, Arm.BASE) | bases
    others = [
        Exhibit(probe, prompts.get(probe, ""), _usual(then.get(probe)) or "", text, _usual(bases.get(probe)), weight)
        for probe, texts in now.items()
        if probe not in shown
        for text, weight in [least_like(list(texts), then.get(probe, Counter()))]
    ]
    return [*finding.exhibits, *sorted(others, key=lambda one: (-one.weight, one.probe))]


def _baseline(store: Readings, finding: Finding) -> Baseline | None:
    """The baseline; ``None`` where it is gone."""
    try:
        return store.baseline(finding.baseline_id)
    except StoreError:
        raise
    except CliffwatchError:
        return None


def _usual(texts: Counter[str] | None) -> str | None:
    return texts.most_common(1)[0][0] if texts else None


def least_like(answers: Sequence[str], baseline: Collection[str]) -> tuple[str, float]:
    """The first of the answers with the largest share of words not in common with the nearest of the baseline, and
    that share: 1 where there is no baseline."""
    new = [one for one in answers if one not in baseline]
    if not new or not baseline:
        return answers[0], float(bool(new))
    apart = _apart(new, list(baseline)[:: -(-len(baseline) // NEAREST)])
    worst = max(range(len(new)), key=apart.__getitem__)
    return new[worst], apart[worst]


def _apart(answers: Sequence[str], others: Sequence[str]) -> list[float]:
    """Of each answer the share of words not in common with the nearest of the others, 0 to 1."""
    import numpy as np  # no page but this one needs it

    # Each new word gets the next number, all of it in C: of what the page takes, this is most.
    places: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    words = [text[:COMPARED].split() for text in (*others, *answers)]
    coded = [np.fromiter(map(places.__getitem__, one), np.intp, len(one)) for one in words]
    counts = np.array([np.bincount(one, minlength=len(places)) for one in coded], np.int32)
    sizes = counts.sum(axis=1)
    found = []
    for mine, size in zip(counts[len(others) :], sizes[len(others) :], strict=True):
        common = np.minimum(mine, counts[: len(others)]).sum(axis=1)
        either = size + sizes[: len(others)] - common
        found.append(float(np.where(either > 0, 1.0 - common / np.maximum(either, 1), 0.0).min()))
    return found
