"""Whether the server's prefix cache changes answers: a part of ``contract``.

At temperature 0, a probe whose baseline answers are all alike has the same answer with and without a cache salt (see
``runs.cache_check``). Where the two differed, the probe was asked three times more: twice with new salts, and once
without. It is a fault of the cache if all answers with a salt are alike, and both without one are alike, and the two
differ. Any other pattern is a near tie, which batching on a healthy server decides either way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from monitor.core.records import Arm, Cause, Comparison, Exhibit, GradedAnswer
from monitor.core.wording import many
from monitor.detect.common import SHOWN, by_probe
from monitor.detect.contract_parts import Part, fact

SALTED: Final = 0
"""Replicate of the first question with a salt."""
CONFIRMING: Final = (1, 2)
"""Replicates with further salts, where the first answer differs."""
PLAIN: Final = 3
"""Replicate of the question without a salt, asked after them."""
NAME: Final = "prefix cache"


@dataclass(frozen=True)
class Fault:
    """One probe that the cache answers differently."""

    cached: GradedAnswer
    """The run's answer without a salt."""
    uncached: str


def part(comparison: Comparison) -> tuple[Part, ...]:
    """The part of the contract; empty if no run since the last alarm found a fault.

    A run that checks nothing tells nothing new, so the last check counts.
    """
    checked, faults = _read(comparison)
    past = [scores[NAME] for scores in comparison.history.get("contract", ()) if NAME in scores]
    if not faults and not past:
        return ()
    if not checked:
        change = "the prefix cache was at fault in the last run that checked it" if past[-1] else ""
        return (Part(fact(NAME, past[-1] > 0, 0, 1, [False]), change),)
    if not faults:
        return (Part(fact(NAME, False, 0, 1, [False])),)
    change = (
        f"the server's prefix cache changes the answers to {len(faults)} of {many(checked, 'checked probe')}, e.g. "
        f"{faults[0].cached.probe}: with a new cache_salt the answer is another one, three times alike"
    )
    broken = frozenset(id(one.cached) for one in faults)
    return (Part(fact(NAME, True, 0, 1, [False]), change, broken, cause=Cause.CACHE_STALE),)


def telling(comparison: Comparison) -> dict[str, tuple[float, GradedAnswer]]:
    """Probe at fault -> its weight as an example, above the others', and the cached answer."""
    return {one.cached.probe: (2.0, one.cached) for one in _read(comparison)[1]}


def with_uncached(comparison: Comparison, exhibits: Iterable[Exhibit]) -> tuple[Exhibit, ...]:
    """The exhibits, with the answer past the cache where the cache changes it."""
    faults = {one.cached.probe: one for one in _read(comparison)[1]}
    return tuple(
        replace(one, uncached=faults[one.probe].uncached[:SHOWN]) if one.probe in faults else one for one in exhibits
    )


def _read(comparison: Comparison) -> tuple[int, list[Fault]]:
    """How many probes were checked with a result, and those at fault."""
    asked = by_probe(comparison.cache_checks, Arm.CACHE_CHECK)
    if not asked:
        return 0, []
    now, then = by_probe(comparison.now, Arm.SUBJECT), by_probe(comparison.baseline, Arm.SUBJECT)
    checked, faults = 0, []
    for probe, found in sorted(asked.items()):
        mine = min(now.get(probe, []), key=lambda one: one.replicate, default=None)
        if mine is None or not mine.has_text or not _steady(then.get(probe, [])):
            continue
        texts = {one.replicate: one.text for one in found if one.has_text}
        if texts.get(SALTED) == mine.text:
            checked += 1
        elif texts.keys() >= {SALTED, *CONFIRMING, PLAIN}:
            checked += 1
            alike = len({texts[one] for one in (SALTED, *CONFIRMING)}) == 1 and texts[PLAIN] == mine.text
            faults += [Fault(mine, texts[SALTED])] if alike else []
    return checked, faults


def _steady(found: Sequence[GradedAnswer]) -> bool:
    """Whether a probe's baseline answers show that it has one answer."""
    return len(found) > 1 and len({one.text for one in found}) == 1 and found[0].has_text
