"""The cause of a change, decided from all signals of one run together.

This is the only place that decides. Alerts, metrics, pages and mail repeat the result. A signal names a cause only for
what it measures itself: ``canaries`` shows that abilities are gone, and not whose answers came instead.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from monitor.core.records import Cause, FindingState
from monitor.core.signals import ANSWERS, FINE_TUNE, OF_BASE


class Said(Protocol):
    """What one signal says of the run."""

    @property
    def state(self) -> FindingState: ...
    @property
    def cause(self) -> Cause: ...


LOST: Final = "canaries"
"""The signal of abilities that only the fine-tune has."""
AWAY: Final = "adapter_loss"
"""The signal that shows whether answers are nearer to the base's."""
IN_THE_ANSWER: Final = (Cause.ANSWERS_EMPTY, Cause.ANSWERS_REFUSED, Cause.ANSWERS_CUT)
"""Causes that explain every other change of the answers, whatever is served: there is no whole answer to compare."""
IN_THE_REPLY: Final = (Cause.CACHE_STALE, Cause.PROMPT_CHANGED, Cause.SERVED_ELSEWHERE, Cause.MODEL_RENAMED)
"""Causes that replies name, by their metadata or by a check of the cache."""


IN_THE_REPLIES: Final = (*IN_THE_ANSWER, *IN_THE_REPLY)
"""Causes that ``contract`` shows."""


def decide(found: Mapping[str, Said]) -> Cause:
    """The cause of what changed in one run.

    ``found``: signal -> its finding, quiet ones too, since a quiet ``adapter_loss`` is evidence. In this order:

    1. Answers that alarm as the base's.
    2. Answers that are empty, refused or cut.
    3. Answers that moved toward the base's, without an alarm.
    4. What replies name: a stale cache, and in their metadata prompt, server, model.
    5. Another spread of the answers: sampling.
    6. A change of what subject and base share, or of the base alone.
    7. Answers unlike the snapshot's of the same run: the model's name serves another version.
    8. Answers unlike the approved ones and unlike the base's.

    5 to 8 only by signals that read the answers: a judge's lower score of both arms may be the judge's own change.

    A judge that drifted and identity checks are not among a run's findings: see ``cause``.
    """
    moved = {signal: one for signal, one in found.items() if one.state is not FindingState.QUIET}
    like_base = [one for signal, one in moved.items() if signal in FINE_TUNE and one.cause is Cause.ADAPTER_LOST]
    if any(one.state is FindingState.ALARMING for one in like_base):
        return Cause.ADAPTER_LOST
    reply = moved["contract"].cause if "contract" in moved else Cause.UNKNOWN
    if reply in IN_THE_ANSWER:
        return reply
    if like_base:
        return Cause.ADAPTER_LOST
    if reply in IN_THE_REPLY:
        return reply
    named = {one.cause for signal, one in moved.items() if signal in ANSWERS | OF_BASE and signal != LOST}
    if Cause.SAMPLING_CHANGED in named:
        return Cause.SAMPLING_CHANGED
    shared = next((one for one in (Cause.SHARED_CHANGE, Cause.BASE_MOVED) if one in named), None)
    if shared is not None and not (shared is Cause.BASE_MOVED and _of_the_subject(moved)):
        return shared
    if Cause.ALIAS_MOVED in named:
        return Cause.ALIAS_MOVED
    if Cause.NOT_ADAPTER_LOSS in named or (LOST in moved and AWAY in found):
        return Cause.NOT_ADAPTER_LOSS
    return Cause.UNKNOWN


def of(signal: str, found: Mapping[str, Said]) -> Cause:
    """The cause of one signal's finding, from all of its run."""
    own = found[signal].cause
    return own if own in OWN else decide(found)


OWN: Final = (Cause.JUDGE_DRIFTED, Cause.BASE_MOVED)
"""Causes that are about somebody else than the subject. They stay, whatever changed about the subject."""


def _of_the_subject(moved: Mapping[str, Said]) -> bool:
    """Whether anything moved that does not depend on the base."""
    return any(one.cause is not Cause.BASE_MOVED for one in moved.values())
