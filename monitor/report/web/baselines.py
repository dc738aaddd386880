"""A baseline for a person to read before approval: each probe with its distinct answers and their scores."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from monitor.core.records import Arm, Baseline, Message

if TYPE_CHECKING:
    from monitor.store import StoreReader

PER_PAGE: Final = 50
"""Probes on one page."""

SUBJECTS: Final = 5
BASES: Final = 2
"""Maximum number of distinct answers shown per probe."""

TEXT: Final = 4_000
"""Maximum number of characters shown of one answer."""

Texts = Mapping[str, list[Mapping[str, float]]]
"""Distinct text -> the scores, by grader, of every answer with this text."""


@dataclass(frozen=True, slots=True)
class BaselineText:
    """One distinct answer with its count."""

    text: str
    count: int
    scores: Mapping[str, float]
    """Grader -> mean score."""


@dataclass(frozen=True, slots=True)
class ProbeTexts:
    """One probe of a baseline."""

    probe: str
    prompt: str | None
    """``None`` if it was not stored."""
    answers: int
    """Number of answers of the subject."""
    scores: Mapping[str, float]
    """Grader -> mean score of the subject's answers."""
    subject: tuple[BaselineText, ...]
    subject_more: int
    """Number of further distinct answers of the subject that are not shown."""
    base: tuple[BaselineText, ...]
    base_more: int


def sheets(store: "StoreReader", baseline: Baseline) -> list[ProbeTexts]:
    """Every answered probe of the baseline, in the suite's order."""
    given = store.graded_texts(baseline.run_ids)
    answered = dict.fromkeys(probe for _, probe in given)
    asked = prompts(store, baseline)
    ordered = [*(probe for probe in asked if probe in answered), *(probe for probe in answered if probe not in asked)]
    return [
        _sheet(probe, asked.get(probe), given.get((Arm.SUBJECT, probe), {}), given.get((Arm.BASE, probe), {}))
        for probe in ordered
    ]


def _sheet(probe: str, prompt: str | None, subject: Texts, base: Texts) -> ProbeTexts:
    scores = list(chain.from_iterable(subject.values()))
    return ProbeTexts(
        probe, prompt, len(scores), _means(scores),
        _told(subject, SUBJECTS), max(0, len(subject) - SUBJECTS), _told(base, BASES), max(0, len(base) - BASES),
    )  # fmt: skip


def _told(texts: Texts, most: int) -> tuple[BaselineText, ...]:
    """The most frequent texts. Equally frequent texts keep the order in which they were first given."""
    frequent = sorted(texts.items(), key=lambda one: -len(one[1]))[:most]
    return tuple(BaselineText(text, len(scores), _means(scores)) for text, scores in frequent)


def _means(scores: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for one in scores:
        for grader, value in one.items():
            found[grader].append(value)
    return {grader: sum(values) / len(values) for grader, values in sorted(found.items())}


def prompts(store: "StoreReader", baseline: Baseline, run_id: int | None = None) -> dict[str, str]:
    """Probe id -> prompt, from the suite as it was asked, or from the sampled inputs of its runs and of ``run_id``."""
    body = store.suite_body(baseline.suite_digest)
    if body is not None:
        probes = _read(body)
        return {str(probe["id"]): said([Message(**one) for one in probe["messages"]]) for probe in probes}
    run_ids = [*baseline.run_ids, *([] if run_id is None else [run_id])]
    sampled = (probe for one in run_ids for probe in store.production_inputs(one))
    return {probe.id: said(probe.messages) for probe in sampled}


def _read(body: str) -> list[dict[str, Any]]:
    probes: list[dict[str, Any]] = json.loads(body)["probes"]
    return probes


def said(messages: Sequence[Message]) -> str:
    """The messages as text, without the system prompt that all probes share. A conversation also names the roles."""
    spoken = [message for message in messages if message.role != "system"]
    if len(spoken) == 1:
        return spoken[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in spoken)
