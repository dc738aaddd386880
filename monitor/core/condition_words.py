"""The conditions of a baseline in words, the same for terminal, pages and logs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from monitor.core.records import Arm, Condition, ConditionReason, ConditionState, Holds
from monitor.core.texts import located
from monitor.core.wording import many

PROBES_SHOWN: Final = 5


def render(found: Iterable[ConditionState]) -> list[str]:
    """A sentence for each condition that does not hold, with the signals that cannot be read because of it."""
    sentences, said = [], set[tuple[Condition, str]]()
    for one in lacking(found):
        about = {(one.condition, name) for name in one.signals}
        if about and about <= said:
            continue  # the same of the other arm
        said |= about
        told = clause(one)
        sentences.append(f"{told[:1].upper()}{told[1:]}.")
    return sentences


def lacking(found: Iterable[ConditionState]) -> list[ConditionState]:
    """The conditions that do not hold."""
    return [one for one in found if one.holds in (Holds.FAILS, Holds.PARTLY)]


def unread(names: Sequence[str]) -> str:
    """A clause about signals that cannot be read.

    >>> unread(["adapter_loss", "base_match", "canaries"]), unread(["border"])
    ('adapter_loss, base_match and canaries cannot be read', 'border cannot be read')
    """
    *others, last = names
    return f"{', '.join(others)} and {last} cannot be read" if others else f"{last} cannot be read"


def clause(one: ConditionState) -> str:
    """What does not hold, and which signals cannot be read, without a capital and a full stop."""
    because = WORDS[one.condition](one)
    if one.condition is Condition.TEXTS and one.arm is Arm.SUBJECT and one.holds is Holds.FAILS:
        return f"{because}. Signals that compare texts cannot be read"
    return f"{because}: {unread(one.signals)}" if one.signals else because


def _texts(one: ConditionState) -> str:
    answers = f"{one.total} answers{' of the base' if one.arm is Arm.BASE else ''}"
    if one.count == 0:
        return f"all {answers} are refusals without text"
    if one.count == one.total:
        counted, where = f"all {answers} are empty", ""
    else:
        verb = "is" if one.count == 1 else "are"
        counted, where = f"{one.count} of {answers} {verb} empty", f" ({_probes(one.probes)})"
    return "; ".join(filter(None, (f"{counted}{where}", located(one.places, one.count))))


def _probes(names: Sequence[str]) -> str:
    shown, more = names[:PROBES_SHOWN], len(names) - PROBES_SHOWN
    return f"{', '.join(shown)} and {more} more" if more > 0 else ", ".join(shown)


def _temperature(one: ConditionState) -> str:
    whose = "the base" if one.arm is Arm.BASE else "the subject"
    if one.reason is ConditionReason.NEVER_SENT:
        return f"this kind of provider never sends a temperature, so {whose} is not asked at temperature 0"
    if one.reason is ConditionReason.REJECTED:
        return f"the endpoint rejects the parameter temperature, so {whose} is not asked at temperature 0"
    if one.reason is ConditionReason.SAMPLED:
        counted = f"{one.count} of {many(one.total, 'answer')}"
        return f"temperature 0 has no effect on {whose}: {counted} contain tokens that it does not choose"
    return f"at temperature 0, {whose} gave different answers to {one.count} of {many(one.total, 'repeated question')}"


def _logprobs(one: ConditionState) -> str:
    if one.reason is ConditionReason.NEVER_SENT:
        return "this kind of provider returns no log-probabilities"
    if one.reason is ConditionReason.REJECTED:
        return "the endpoint rejects the request for log-probabilities, or ignores it"
    return f"{one.count} of {one.total} answers have no log-probabilities, although the suite requests them"


def _alike(one: ConditionState) -> str:
    equal = f"{one.count} of {one.total} approved answers are equal to the base's"
    if one.holds is Holds.PARTLY:
        return equal
    told = f" ({equal})" if one.count > 0.5 * one.total else ""
    return f"the base answers as the subject does{told}"


WORDS: Final[Mapping[Condition, Callable[[ConditionState], str]]] = {
    Condition.TEXTS: _texts,
    Condition.TEMPERATURE: _temperature,
    Condition.LOGPROBS: _logprobs,
    Condition.BASE_DIFFERS: _alike,
}
