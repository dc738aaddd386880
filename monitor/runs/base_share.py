"""Which probes a run asks its base: all of them while that may decide something, else a share in rotation.

The base's answers of the day decide little while nothing moves: ``adapter_loss``, ``base_match`` and ``canaries``
compare with the base's answers of the approved baseline. So a scheduled run with an approved baseline asks its base
only 1/``TURNS`` of the probes. That is enough to see a base that changed, and every probe has its turn within ``TURNS``
scheduled runs. All probes are asked

* without an approved baseline, and in a capture window: the answers may become a baseline;
* by a manual run and by a fresh sample, which are asked because something may be wrong;
* after an evaluation with evidence that a page signal moved, until one has none;
* after one in which the base's numbers moved: so few answers of the base are never much evidence by themselves;
* for production inputs, which never repeat.

The choice depends on what was known before the run's answers, never on the answers themselves, so the evidence of every
signal stays valid. It is the same when a killed run is resumed. If an evaluation that ends during the run moved, the
run asks the other probes as well.
"""

from collections.abc import Collection, Set
from math import ceil
from random import Random
from typing import Final

from monitor.core.records import Arm, GradedAnswer, Run, Severity, Suite
from monitor.core.run_kinds import run_kind
from monitor.core.signals import OF_BASE, of_severity
from monitor.store import StoreReader

TURNS: Final = 8
"""Scheduled runs within which the base is asked every probe."""
FEWEST: Final = 3
"""Least probes that the base is asked in a run: with fewer answers, ``base_drift`` has no reading."""
PAGES: Final = frozenset(one.name for one in of_severity(Severity.PAGE))


def turn_of(probes: Collection[str], key: str, turn: int) -> frozenset[str]:
    """The probes of one turn. Any ``TURNS`` turns in a row have them all.

    ``key``: the order of the probes is drawn from it; the same for all turns.

    >>> sorted(turn_of("abcdefgh", "key", 0) | turn_of("abcdefgh", "key", 1) | turn_of("abcdefgh", "key", 2))
    ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    """
    order = sorted(probes)
    Random(key).shuffle(order)
    count = share_size(len(order))
    return frozenset(order[(turn * count + place) % len(order)] for place in range(count))


def share_size(probes: int) -> int:
    """Number of probes of one turn.

    >>> [share_size(probes) for probes in (1, 5, 18, 24, 100)]
    [1, 3, 3, 3, 13]
    """
    return max(ceil(probes / TURNS), min(FEWEST, probes))


def probes_for_base(store: StoreReader, run: Run, suite: Suite) -> frozenset[str]:
    """The probes that the run asks its base; see the module."""
    probes = frozenset(probe.id for probe in suite.probes)
    if not _may_share(run):
        return probes
    before = store.before_run(run.target, run.suite, run.slot)
    if before.armed_with != run.suite_digest or before.capturing or decides(before.moved, before.noticed):
        return probes
    return turn_of(probes, f"{run.target}/{run.suite}/{run.suite_digest}", before.scheduled)


def decides(moved: Set[str], noticed: Set[str]) -> bool:
    """Whether the base's answers may decide something, after the latest verdict. ``moved``, ``noticed``: as in
    ``BeforeRun``."""
    return bool(moved & PAGES or noticed & OF_BASE)


def of_a_quiet_day(found: Collection[GradedAnswer], target: str, suite: str) -> list[GradedAnswer]:
    """The answers of a run as a run on a quiet day has them: the subject's, and the base's of one turn."""
    if not run_kind(target, suite).frozen_items:
        return list(found)
    shown = turn_of({one.probe for one in found}, f"{target}/{suite}", 0)
    return [one for one in found if one.arm is not Arm.BASE or one.probe in shown]


def _may_share(run: Run) -> bool:
    """Whether a run of this kind may leave out probes of the base."""
    kind = run_kind(run.target, run.suite)
    return kind.frozen_items and Arm.BASE in kind.arms and run.scheduled and run.confirms is None
