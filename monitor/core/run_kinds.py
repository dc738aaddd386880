"""The kinds of run, one record each, and what follows from a run's kind.

A new kind is one record here and one clause of ``run_kind``. Nothing else knows the names of the special runs, except
the configuration, which reserves them.
"""

from dataclasses import dataclass
from typing import Final, Literal

from monitor.core.records import JUDGE_TARGET, PRODUCTION_SUITE, Arm


@dataclass(frozen=True, slots=True)
class RunKind:
    """What all runs of one kind have in common."""

    name: str
    words: str
    """What is asked, for people."""
    frozen_items: bool
    """Whether every run asks the same items, so that today's answer to one can be compared with the baseline's. Where
    not, each run, the baseline's too, asks a sample of its own."""
    may_page: bool
    """Whether an alarm may page; all others are tickets."""
    arms: tuple[Arm, ...]
    """Who is asked, where configured. The judge is asked about the answers, not the items."""
    spread: bool
    """Whether a scheduled run is spread over its day in batches. Where not, it is asked in one batch at its slot."""
    schedule: Literal["probes", "production"]
    """The key of the ``schedule`` section that says when it is due."""
    target: str = ""
    """The one target that such runs have; empty: any."""
    suite: str = ""
    """The one suite that such runs have; empty: any."""


PROBES: Final = RunKind(
    "probes", "probes",
    frozen_items=True, may_page=True, arms=(Arm.SUBJECT, Arm.BASE, Arm.SNAPSHOT), spread=True, schedule="probes",
)  # fmt: skip

PRODUCTION: Final = RunKind(
    "production", "a sample of production inputs",
    # No snapshot: the inputs belong to the endpoint they were sent to, and nothing says what a right answer is.
    frozen_items=False, may_page=True, arms=(Arm.SUBJECT, Arm.BASE), spread=False, schedule="production",
    suite=PRODUCTION_SUITE,
)  # fmt: skip

JUDGE: Final = RunKind(
    "judge", "the judge's anchors",
    frozen_items=True, may_page=False, arms=(Arm.SUBJECT,), spread=True, schedule="probes", target=JUDGE_TARGET,
)  # fmt: skip

RUN_KINDS: Final = (PROBES, PRODUCTION, JUDGE)


def run_kind(target: str, suite: str = "") -> RunKind:
    """The kind of a target's runs of one suite. Without ``suite``, of its runs over fixed probes."""
    if target == JUDGE.target:
        return JUDGE
    return PRODUCTION if suite == PRODUCTION.suite else PROBES


def suite_kind(suite: str) -> RunKind:
    """The kind of a suite's runs, whatever the target, for what the target does not change: when they are due."""
    return run_kind("", suite)
