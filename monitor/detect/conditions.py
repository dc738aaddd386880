"""What a baseline's answers fulfil, so that a signal is read only where its condition holds.

Four conditions (``core.records.conditions``): answers have texts, temperature 0 has its effect, log-probabilities are
returned, and the base answers differently than the subject. Pure: from the answers, the suite's sampling, and which
request parameters never reach the model.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from monitor.core.records import (
    Arm,
    Comparison,
    Condition,
    ConditionReason,
    ConditionState,
    GradedAnswer,
    Holds,
    Sampling,
)
from monitor.core.signals import CATALOGUE
from monitor.detect import adapter_loss, base_match, border, canaries, logprobs
from monitor.detect.common import FEWEST_BASELINE, LEAST_TEXTS, by_probe, with_texts

REPEATED: Final = 0.5
"""Least chance that two answers to the same question at temperature 0 are equal. Servers that compute batches of
different sizes differently repeat short answers nearly always and long ones less often (Thinking Machines, Defeating
Nondeterminism in LLM Inference, 2025). Below, equality with the base's answers says little."""
SAME_START: Final = 0.8
"""The same for the first word, which ``border`` reads: near ties are few among the probes of a suite."""
SURE_CHOICE: Final = 0.3
"""Nats by which another token was likelier than the chosen one: at temperature 0 no such token is chosen."""
FEW: Final = 0.05
"""Share of the answers that may contain such a token, for servers whose log-probabilities are of another pass."""
SURELY_ALIKE: Final = 0.95
"""Share of the approved answers that equal the base's from which both are the same, also where ``adapter_loss`` has too
few answers to tell."""
FEWEST_REPEATED: Final = 3
"""Least probes with two answers from which repetition is judged."""

NEED_BASE: Final = frozenset({"adapter_loss", "base_match", "canaries"})
"""Signals that tell the subject's answers from the base's."""

Lacking = Mapping[tuple[Arm, str], ConditionReason]
"""(arm, request parameter) -> why the parameter never reaches the model."""


def conditions(comparison: Comparison, sampling: Sampling, lacking: Lacking) -> tuple[ConditionState, ...]:
    """The state of each condition that applies to the baseline.

    Args:
        comparison: a day of the baseline against the whole baseline.
        sampling: of the suite.
        lacking: request parameters that never reach the model.
    """
    found = [_texts(comparison, arm) for arm in (Arm.SUBJECT, Arm.BASE) if _of(comparison, arm)]
    if sampling.temperature == 0:
        found += [_temperature(comparison, arm, lacking) for arm in (Arm.SUBJECT, Arm.BASE) if _of(comparison, arm)]
    if sampling.logprobs and _of(comparison, Arm.SUBJECT):
        found.append(_logprobs(comparison, lacking))
    if _of(comparison, Arm.BASE):
        found.append(_base_differs(comparison, sampling))
    return tuple(found)


def _of(comparison: Comparison, arm: Arm) -> list[GradedAnswer]:
    return [one for one in comparison.baseline if one.arm == arm]


def _texts(comparison: Comparison, arm: Arm) -> ConditionState:
    """Whether the answers have a text. Below ``LEAST_TEXTS``, signals that compare texts are not read."""
    asked = _of(comparison, arm)
    empty = [one for one in asked if one.empty]
    places = Counter(place for one in empty if (place := one.place) is not None)
    without = sum(not one.has_text for one in asked)
    holds, signals = (Holds.PARTLY, frozenset[str]()) if empty else (Holds.HOLDS, frozenset[str]())
    if without == len(asked) or (arm is Arm.SUBJECT and len(asked) - without < LEAST_TEXTS * len(asked)):
        holds = Holds.FAILS
        signals = frozenset(one.name for one in CATALOGUE if one.texts) if arm is Arm.SUBJECT else NEED_BASE
    return ConditionState(
        Condition.TEXTS, arm, holds, ConditionReason.EMPTY if holds is not Holds.HOLDS else None, len(empty),
        len(asked), _in_order(signals), dict(places), tuple(sorted({one.probe for one in empty})),
    )  # fmt: skip


def _in_order(signals: frozenset[str]) -> tuple[str, ...]:
    return tuple(one.name for one in CATALOGUE if one.name in signals)


def _temperature(comparison: Comparison, arm: Arm, lacking: Lacking) -> ConditionState:
    """Whether temperature 0 has its effect on the answers of an arm."""
    needing = frozenset({"base_match", "border"} if arm is Arm.SUBJECT else {"base_match"})
    if reason := lacking.get((arm, "temperature")):
        return ConditionState(Condition.TEMPERATURE, arm, Holds.FAILS, reason, signals=_in_order(needing))
    answers = [one for one in _of(comparison, arm) if one.has_text]
    if (sampled := _sampled(answers)) is not None:
        odd, known = sampled
        if odd > FEW * known:
            return ConditionState(
                Condition.TEMPERATURE, arm, Holds.FAILS, ConditionReason.SAMPLED, odd, known, _in_order(needing)
            )
        return ConditionState(Condition.TEMPERATURE, arm, Holds.HOLDS, None, odd, known)
    if all(one.completion_tokens == 1 for one in answers):  # border inputs, which vary by design
        return ConditionState(Condition.TEMPERATURE, arm, Holds.UNKNOWN)
    repeated = [found for found in by_probe(answers, arm).values() if len(found) > 1]
    if len(repeated) < FEWEST_REPEATED:
        return ConditionState(Condition.TEMPERATURE, arm, Holds.UNKNOWN)
    differ = sum(len({one.text for one in found}) > 1 for found in repeated)
    if _equal_pairs([[one.text for one in found] for found in repeated]) >= REPEATED:
        return ConditionState(Condition.TEMPERATURE, arm, Holds.HOLDS, None, differ, len(repeated))
    if _equal_pairs([[border.first_token(one) for one in found] for found in repeated]) >= SAME_START:
        needing -= {"border"}
    return ConditionState(
        Condition.TEMPERATURE, arm, Holds.FAILS, ConditionReason.NOT_REPEATED, differ, len(repeated),
        _in_order(needing),
    )  # fmt: skip


def _sampled(answers: Sequence[GradedAnswer]) -> tuple[int, int] | None:
    """Number of answers with a token that temperature 0 does not choose, and of those with log-probabilities of
    alternatives; ``None`` if these are too few to tell."""
    known = [one for one in answers if one.logprobs and any(len(token.top) > 1 for token in one.logprobs)]
    if not known or len(known) < logprobs.LEAST_SHARE * len(answers):
        return None
    odd = sum(
        any(token.top and max(token.top.values()) - token.logprob > SURE_CHOICE for token in one.logprobs or ())
        for one in known
    )
    return odd, len(known)


def _equal_pairs(groups: Sequence[Sequence[str]]) -> float:
    """Chance that two different answers of one group are equal, averaged over the groups."""
    shares = []
    for found in groups:
        counts = np.array(list(Counter(found).values()))
        shares.append(float((counts * (counts - 1)).sum()) / (len(found) * (len(found) - 1)))
    return float(np.mean(shares))


def _logprobs(comparison: Comparison, lacking: Lacking) -> ConditionState:
    """Whether the requested log-probabilities are returned."""
    answers = _of(comparison, Arm.SUBJECT)
    without = sum(not one.logprobs for one in answers)
    if len(answers) - without >= logprobs.LEAST_SHARE * len(answers):
        return ConditionState(Condition.LOGPROBS, Arm.SUBJECT, Holds.HOLDS, None, without, len(answers))
    reason = lacking.get((Arm.SUBJECT, "logprobs"), ConditionReason.NOT_RETURNED)
    return ConditionState(
        Condition.LOGPROBS, Arm.SUBJECT, Holds.FAILS, reason, without, len(answers), ("logprobs",)
    )  # fmt: skip


def _base_differs(comparison: Comparison, sampling: Sampling) -> ConditionState:
    """Whether the base's answers can be distinguished from the subject's."""
    readable = with_texts(comparison)
    if readable is None:
        return ConditionState(Condition.BASE_DIFFERS, Arm.BASE, Holds.UNKNOWN)
    equal, total = base_match.equal_answers(readable)
    alike = total > 0 and equal > base_match.MOST_ALIKE * total
    apart = adapter_loss.separable(readable)
    if apart is None and total >= FEWEST_BASELINE and equal >= SURELY_ALIKE * total:
        apart = False
    if apart is None and not (alike and sampling.temperature == 0):
        return ConditionState(Condition.BASE_DIFFERS, Arm.BASE, Holds.UNKNOWN, None, equal, total)
    if apart is False:
        lost = NEED_BASE - ({"canaries"} if canaries.measure(comparison) is not None else set())
        holds, signals = Holds.FAILS, lost
    else:
        holds = Holds.PARTLY if alike and sampling.temperature == 0 else Holds.HOLDS
        signals = frozenset({"base_match"}) if holds is Holds.PARTLY else frozenset()
    reason = None if holds is Holds.HOLDS else ConditionReason.ALIKE
    return ConditionState(Condition.BASE_DIFFERS, Arm.BASE, holds, reason, equal, total, _in_order(signals))
