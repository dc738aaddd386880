"""Every answer of a finding's run, next to the baseline's answer."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from monitor.core.errors import CliffwatchError, StoreError
from monitor.core.limits import CAPTURE_DAYS
from monitor.core.records import Arm, Baseline, Exhibit, Finding
from monitor.report.web import baselines
from monitor.report.web.evidence import PER_PAGE, Sort, ordered
from monitor.report.web.formatting import Turn, cut, turn

if TYPE_CHECKING:
    from monitor.store import StoreReader

NEAREST: Final = CAPTURE_DAYS
"""Maximum number of distinct baseline texts, spread over its days, that an answer is compared with."""

COMPARED: Final = 8_000
"""Number of leading characters of an answer that are compared."""


def every_answer(store: "StoreReader", finding: Finding, sort: Sort, page: int) -> tuple[Turn, list[Exhibit]]:
    """A page of all probes of the finding's run, each with the answer that is least like the baseline's answers.

    The finding's own exhibits come first, unless sorted by probe. The weight of the others is the share of words, 0 to
    1, that the answer does not have in common with the nearest baseline answer. An identical answer is found among all
    baseline answers; otherwise ``NEAREST`` of them are compared.
    """
    texts = _texts(store, finding)
    others = sorted(texts.now.keys() - {one.probe for one in finding.exhibits})
    if sort == "probe":  # Only what is on the page is compared with anything.
        every: list[Exhibit | str] = [*finding.exhibits, *others]
        every.sort(key=lambda one: one if isinstance(one, str) else one.probe)
        where = turn(page, len(every), PER_PAGE)
        return where, [texts.exhibit(one) if isinstance(one, str) else one for one in cut(every, where)]
    exhibits = [*finding.exhibits, *ordered([texts.exhibit(probe) for probe in others], sort)]
    where = turn(page, len(exhibits), PER_PAGE)
    return where, list(cut(exhibits, where))


Texts = dict[str, Counter[str]]
"""Probe -> its texts with their counts."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """The answers of a run and of its baseline."""

    now: Texts
    then: Texts
    bases: Texts
    prompts: Mapping[str, str]

    def exhibit(self, probe: str) -> Exhibit:
        then = self.then.get(probe, Counter())
        text, weight = least_like(list(self.now[probe]), then)
        base = _usual(self.bases.get(probe))
        return Exhibit(probe, self.prompts.get(probe, ""), _usual(then), text, base, weight)


def _texts(store: "StoreReader", finding: Finding) -> _Texts:
    baseline = _baseline(store, finding)
    before = baseline.run_ids if baseline else ()
    now, bases = (store.texts([finding.run_id], arm) for arm in (Arm.SUBJECT, Arm.BASE))
    if not now.keys() <= bases.keys():
        bases = store.texts(before, Arm.BASE) | bases
    prompts = baselines.prompts(store, baseline, finding.run_id) if baseline else {}
    return _Texts(now, store.texts(before, Arm.SUBJECT), bases, prompts)


def _baseline(store: "StoreReader", finding: Finding) -> Baseline | None:
    """The finding's baseline; ``None`` if it no longer exists."""
    try:
        return store.baseline(finding.baseline_id)
    except StoreError:
        raise
    except CliffwatchError:
        return None


def _usual(texts: Counter[str] | None) -> str | None:
    return texts.most_common(1)[0][0] if texts else None


def least_like(answers: Sequence[str], baseline: Collection[str]) -> tuple[str, float]:
    """The first answer with the largest share of words not in common with its nearest baseline answer, and that share,
    0 to 1. Without a baseline the share is 1."""
    new = [one for one in answers if one not in baseline]
    if not new or not baseline:
        return answers[0], float(bool(new))
    apart = _apart(new, list(baseline)[:: -(-len(baseline) // NEAREST)])
    worst = max(range(len(new)), key=apart.__getitem__)
    return new[worst], apart[worst]


def _apart(answers: Sequence[str], others: Sequence[str]) -> list[float]:
    """For each answer, the share of words not in common with the nearest of the others, 0 to 1."""
    import numpy as np  # only this page needs it

    # Each new word gets the next number, all in C: this is most of the page's work.
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
