"""The kinds of run, one record each, with what depends on the kind.

A new kind is one record in ``RUN_KINDS``. Other modules ask for a run's kind and its fields. Only the configuration,
which reserves the names of special runs, compares names.
"""

from dataclasses import dataclass
from typing import Final, Literal

from monitor.core.records import FROZEN_SUITE, JUDGE_TARGET, PRODUCTION_SUITE, Arm


@dataclass(frozen=True, slots=True)
class RunKind:
    """Properties of all runs of one kind."""

    name: str
    words: str
    """Description of the questions, for people."""
    frozen_items: bool
    """Whether every run asks the same items, so that answers to an item can be compared with the baseline's. If not,
    each run, including the baseline's, asks its own sample."""
    may_page: bool
    """Whether alarms may page. If not, all alarms are tickets."""
    arms: tuple[Arm, ...]
    """Arms that get the questions, if configured. The judge scores answers, so it is not among them."""
    spread: bool
    """Whether a scheduled run is spread over its day in batches. If not, it is one batch at its slot."""
    schedule: Literal["probes", "production"]
    """Key of the ``schedule`` section with its schedule."""
    target: str = ""
    """The only target of such runs; empty: any."""
    suite: str = ""
    """The only suite of such runs; empty: any."""


PROBES: Final = RunKind(
    "probes", "probes",
    frozen_items=True, may_page=True, arms=(Arm.SUBJECT, Arm.BASE, Arm.SNAPSHOT, Arm.CACHE_CHECK), spread=True,
    schedule="probes",
)  # fmt: skip

PRODUCTION: Final = RunKind(
    "production", "a sample of production inputs",
    # A snapshot is only compared: production inputs have no expected answers to check it with.
    frozen_items=False, may_page=True, arms=(Arm.SUBJECT, Arm.BASE, Arm.SNAPSHOT), spread=False, schedule="production",
    suite=PRODUCTION_SUITE,
)  # fmt: skip

FROZEN: Final = RunKind(
    "frozen", "the frozen sample of production inputs",
    frozen_items=True, may_page=True, arms=(Arm.SUBJECT, Arm.BASE), spread=False, schedule="production",
    suite=FROZEN_SUITE,
)  # fmt: skip

JUDGE: Final = RunKind(
    "judge", "the judge's anchors",
    frozen_items=True, may_page=False, arms=(Arm.SUBJECT,), spread=True, schedule="probes", target=JUDGE_TARGET,
)  # fmt: skip

RUN_KINDS: Final = (JUDGE, PRODUCTION, FROZEN, PROBES)
"""The first one that matches is a run's kind; the last one matches every run."""


def run_kind(target: str, suite: str = "") -> RunKind:
    """Kind of a target's runs of one suite; without ``suite``, of its runs of fixed probes."""
    return next(one for one in RUN_KINDS if one.target in ("", target) and one.suite in ("", suite))


def suite_kind(suite: str) -> RunKind:
    """Kind of a suite's runs for any target, for what does not depend on the target: the schedule."""
    return run_kind("", suite)
