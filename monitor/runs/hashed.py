"""``keep: hashes``: texts of production inputs and answers stay in memory until they are graded, and are never stored.

What is stored in their place: the length of each answer, a keyed hash by which equal answers are known, scores without
their details, token counts, and what the reply says of its model. Raw exchanges, log-probabilities, embeddings (which
can be turned back into text) and the texts of errors are not stored at all.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from monitor.core.keyed_hash import keyed_hash, read_key
from monitor.core.records import Answer, Arm, Exchange, GradedAnswer, Outcome, Probe, Recorded, Score, Unscored
from monitor.core.run_kinds import run_kind
from monitor.core.settings import Settings
from monitor.core.texts import is_empty, not_kept_text
from monitor.store.answers import JudgeReply

AnswerKey = tuple[Arm, str, int]


def keeps_texts(settings: Settings, target: str, suite: str) -> bool:
    """Whether the texts of a target's runs of one suite are stored."""
    if run_kind(target, suite).frozen_items or target not in settings.targets:
        return True
    production = settings.targets[target].production
    return production is None or production.keeps_texts


class Vault:
    """The texts of runs in progress whose texts are not stored. In memory only; a restart loses them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key: bytes | None = None
        self._texts: dict[int, dict[AnswerKey, str]] = defaultdict(dict)
        self._probes: dict[int, tuple[Probe, ...]] = {}

    @property
    def key(self) -> bytes:
        """The key of the hashes. Raises CouldNotMeasure if there is none."""
        if self._key is None:
            self._key = read_key(self._settings.store, create=True)
        return self._key

    def keep_probes(self, run_id: int, probes: Sequence[Probe]) -> None:
        self._probes[run_id] = tuple(probes)

    def probes(self, run_id: int) -> tuple[Probe, ...] | None:
        """The inputs of a run with their texts; ``None`` after a restart."""
        return self._probes.get(run_id)

    def seal(self, item: Recorded) -> Recorded:
        """The outcome as it is stored. Its text stays here until the run is done."""
        question = item.question
        if keeps_texts(self._settings, question.target, question.suite):
            return item
        outcome = item.outcome
        if isinstance(outcome, Answer):
            self._texts[question.run_id][question.key] = outcome.text
        return replace(item, outcome=_sealed(outcome, self.key))

    def opened(self, run_id: int, answers: Iterable[GradedAnswer]) -> list[GradedAnswer]:
        """The answers with their texts, without those whose texts a restart lost."""
        texts = self._texts[run_id]
        keyed = (((one.arm, one.probe, one.replicate), one) for one in answers)
        return [replace(one, text=texts[key]) for key, one in keyed if key in texts]

    def replies(self, run_id: int, replies: Iterable[JudgeReply]) -> list[JudgeReply]:
        """The judge's replies with their texts, likewise."""
        texts = self._texts[run_id]
        keyed = (((one.arm, one.probe, one.replicate), one) for one in replies)
        return [one._replace(text=texts[key]) for key, one in keyed if key in texts]

    def close(self, run_id: int) -> None:
        """Drop the texts of a run that is done."""
        self._texts.pop(run_id, None)
        self._probes.pop(run_id, None)


def _sealed(outcome: Outcome, key: bytes) -> Outcome:
    if not isinstance(outcome, Answer):
        return replace(outcome, detail="", exchange=None)
    nothing = Exchange({}, None)
    bare = replace(outcome, exchange=nothing, logprobs=None)
    if is_empty(outcome.text):  # a block of reasoning may be all that it is
        return replace(bare, text="")
    chars = len(outcome.text)
    return replace(bare, text=not_kept_text(chars), hashed=keyed_hash(key, outcome.text), chars=chars)


def without_details(scores: Sequence[Score], missing: Sequence[Unscored]) -> tuple[list[Score], list[Unscored]]:
    """Scores, and checks without one, as they are stored: their details may quote an answer."""
    return [replace(one, detail="") for one in scores], [replace(one, detail="") for one in missing]
