"""A baseline as a person reads it before approving: each probe with its distinct answers and their scores."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from monitor.records import Arm, Baseline, BaselineStatus, GradedAnswer, Message, Probe

PER_PAGE: Final = 50
"""Probes on one page."""

SUBJECTS: Final = 5
BASES: Final = 2
"""Distinct answers shown of a probe."""

TEXT: Final = 4_000
"""Characters shown of one answer."""


class Readings(Protocol):
    """What the page reads of the store."""

    def baseline(self, baseline_id: int) -> Baseline: ...
    def baselines(
        self, target: str | None = None, suite: str | None = None, status: BaselineStatus | None = None
    ) -> list[Baseline]: ...
    def answers(self, run_ids: Sequence[int]) -> list[GradedAnswer]: ...
    def suite_body(self, suite_digest: str) -> str | None: ...
    def production_inputs(self, run_id: int) -> list[Probe]: ...


@dataclass(frozen=True, slots=True)
class Told:
    """One answer, as often as it was given."""

    text: str
    count: int
    scores: Mapping[str, float]
    """Grader -> mean score."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One probe of a baseline."""

    probe: str
    prompt: str | None
    """``None``: it was not kept."""
    answers: int
    """Of the subject."""
    scores: Mapping[str, float]
    """Grader -> mean score of the subject's answers."""
    subject: tuple[Told, ...]
    subject_more: int
    """Further distinct answers of the subject, not shown."""
    base: tuple[Told, ...]
    base_more: int


def sheets(store: Readings, baseline: Baseline) -> list[Sheet]:
    """Every probe of the baseline that was answered, in the suite's order."""
    found: dict[str, dict[Arm, list[GradedAnswer]]] = defaultdict(lambda: {Arm.SUBJECT: [], Arm.BASE: []})
    for answer in store.answers(baseline.run_ids):
        found[answer.probe][answer.arm].append(answer)
    asked = prompts(store, baseline)
    ordered = [*(probe for probe in asked if probe in found), *(probe for probe in found if probe not in asked)]
    return [_sheet(probe, asked.get(probe), found[probe][Arm.SUBJECT], found[probe][Arm.BASE]) for probe in ordered]


def _sheet(probe: str, prompt: str | None, subject: Sequence[GradedAnswer], base: Sequence[GradedAnswer]) -> Sheet:
    mine, theirs = _told(subject), _told(base)
    return Sheet(
        probe, prompt, len(subject), _means(subject),
        mine[:SUBJECTS], len(mine[SUBJECTS:]), theirs[:BASES], len(theirs[BASES:]),
    )  # fmt: skip


def _told(answers: Sequence[GradedAnswer]) -> tuple[Told, ...]:
    """Distinct answers, the most frequent first."""
    counts = Counter(answer.text for answer in answers)
    return tuple(
        Told(text, count, _means(answer for answer in answers if answer.text == text))
        for text, count in counts.most_common()
    )


def _means(answers: Iterable[GradedAnswer]) -> dict[str, float]:
    scores: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        for grader, value in answer.scores.items():
            scores[grader].append(value)
    return {grader: sum(values) / len(values) for grader, values in sorted(scores.items())}


def prompts(store: Readings, baseline: Baseline, run_id: int | None = None) -> dict[str, str]:
    """Probe id -> prompt, from the suite as it was asked, or from the inputs sampled by its runs and by ``run_id``."""
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
    """What was said, without the system prompt that all probes share; who said it, where it is a conversation."""
    spoken = [message for message in messages if message.role != "system"]
    if len(spoken) == 1:
        return spoken[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in spoken)
