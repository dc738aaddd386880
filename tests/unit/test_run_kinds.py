"""A run's kind, and that nothing but the catalogue knows special runs by name."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import monitor
from monitor.core import schedule
from monitor.core.records import Arm
from monitor.core.run_kinds import FROZEN, JUDGE, PROBES, PRODUCTION, RUN_KINDS, RunKind, run_kind, suite_kind
from monitor.core.settings import Schedule

MONITOR = Path(monitor.__file__).parent
MAY_NAME = ("core", "config", "store")
"""Where the names may stand: the records that the store keeps, the catalogue, and what reserves them in a file."""


@pytest.mark.parametrize(
    ("target", "suite", "kind"),
    [
        ("bot", "facts", PROBES),
        ("bot", "production", PRODUCTION),
        ("bot", "production-frozen", FROZEN),
        ("judge", "people-say", JUDGE),
        ("judges", "productions", PROBES),
    ],
)
def test_a_run_has_one_kind(target: str, suite: str, kind: RunKind) -> None:
    assert run_kind(target, suite) is kind
    assert (kind.target or target, kind.suite or suite) == (target, suite)
    if kind is not JUDGE:
        assert suite_kind(suite) is kind


def test_what_follows_from_a_kind() -> None:
    assert len({kind.name for kind in RUN_KINDS}) == len({kind.words for kind in RUN_KINDS}) == len(RUN_KINDS)
    assert [kind for kind in RUN_KINDS if not kind.frozen_items] == [PRODUCTION]
    assert [kind for kind in RUN_KINDS if not kind.may_page] == [JUDGE]
    assert [kind for kind in RUN_KINDS if Arm.SNAPSHOT in kind.arms] == [PRODUCTION, PROBES]
    assert all(kind.arms[0] is Arm.SUBJECT for kind in RUN_KINDS)


@pytest.mark.parametrize("kind", RUN_KINDS, ids=lambda kind: kind.name)
def test_a_kind_is_due_as_its_key_of_the_schedule_says(kind: RunKind) -> None:
    plan = Schedule(probes="daily", production="weekly mon 06:00", batches=4)
    suite = kind.suite or "facts"
    assert schedule.expression_of(plan, suite) == getattr(plan, kind.schedule)
    monday = datetime(2026, 11, 30, tzinfo=UTC)
    assert len(schedule.batch_times(monday, plan, 1, suite)) == (4 if kind.spread else 1)


def test_nothing_else_knows_special_runs_by_name() -> None:
    named = {
        str(path.relative_to(MONITOR))
        for path in MONITOR.rglob("*.py")
        if re.search(r"\b(PRODUCTION_SUITE|JUDGE_TARGET)\b", path.read_text(encoding="utf-8"))
    }
    assert not {name for name in named if not name.startswith(MAY_NAME)}
    assert any(name.startswith("core") for name in named)
