"""Terminal, pages and mail rank the targets of a fleet alike."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import create_engine, update

from monitor.core.records import (
    Alarm,
    AlarmState,
    Arm,
    IdentityCheck,
    Match,
    Retirement,
    RunOutcome,
    SelfTest,
    Severity,
    Suite,
)
from monitor.core.records import (
    Reason as Lost,
)
from monitor.report import attention
from monitor.report.attention import NEVER, QUIET, Need, Reason
from monitor.report.email.compose import compose
from monitor.report.status.fleet import status
from monitor.report.web import fleet_overview as pages
from monitor.runs.readonly import ReadOnlyContext
from monitor.store import open_store, tables
from tests import fleet
from tests.store_records import answer, recorded, unmeasured

HOUR = timedelta(hours=1)


@pytest.fixture
def kept(fleet_file: Path) -> Iterator[ReadOnlyContext]:
    """The fleet, with suites whose baselines are of their present version."""
    store = open_store(f"sqlite:///{fleet_file}")
    found = ReadOnlyContext(fleet.settings(), {fleet.SUITE: Suite(fleet.SUITE, "", (), 1)}, store, lambda: fleet.NOW)
    engine = create_engine(f"sqlite:///{fleet_file}")
    with engine.begin() as connection:
        for table in (tables.baseline, tables.run):
            digest = found.digest("summariser", fleet.SUITE)
            connection.execute(update(table).values(suite_digest=digest))
    engine.dispose()
    yield found
    store.close()


def raised(kept: ReadOnlyContext, target: str, severity: Severity, state: AlarmState, before: timedelta) -> None:
    """Ends a run of the target in an alarm that was raised so long ago."""
    ended(kept, target, before, (severity, state))


def ended(
    kept: ReadOnlyContext, target: str, before: timedelta, raises: tuple[Severity, AlarmState] | None = None
) -> None:
    slot = fleet.NOW - before
    made = kept.store.ensure_run(
        target, fleet.SUITE, slot, 7, kept.digest(target, fleet.SUITE), next_at=slot, scheduled=False
    )
    run = kept.store.claim(made.id, slot, 60)
    assert run is not None
    moves = [Alarm(target, fleet.SUITE, "length", *raises, slot, run.id, slot, run.id, "")] if raises else []
    assert kept.store.finish(run.id, run.fence, RunOutcome.MEASURED, (), slot, moves=moves)


def misserved(kept: ReadOnlyContext, target: str) -> None:
    check = IdentityCheck(target, Arm.SUBJECT, "root", Match.DIFFERS, "lora", "base", fleet.NOW, fleet.NOW)
    kept.store.save_identity_checks([check])


def surfaces(kept: ReadOnlyContext) -> dict[str, list[str]]:
    """Surface -> the targets in its order; of the mail those that need somebody, as it lists the others apart."""
    mail = compose(kept, fleet.NOW).report
    rows = pages.overview(kept.store, kept.settings, fleet.NOW, pages.FleetCache()).rows
    return {
        "status": [row.target for row in status(kept).watches],
        "pages": [row.target for row in rows],
        "mail": [*(card.name for card in mail.cards), *(one.name for one in mail.others.items)],
    }


def said_of(kept: ReadOnlyContext, target: str) -> tuple[str | None, str, str]:
    """What status says that the target needs somebody for, its state on the pages, the first label of its card."""
    (needs,) = [row.needs for row in status(kept).watches if row.target == target]
    rows = pages.overview(kept.store, kept.settings, fleet.NOW, pages.FleetCache()).rows
    (state,) = [row.state for row in rows if row.target == target]
    (card,) = [one for one in compose(kept, fleet.NOW).report.cards if one.name == target]
    return needs, state, card.items[0].label


def assert_alike(kept: ReadOnlyContext, order: list[str], *, needing: int) -> None:
    found = surfaces(kept)
    assert (found["status"], found["pages"], found["mail"]) == (order, order, order[:needing])
    assert sum(row.needs is not None for row in status(kept).watches) == needing


def test_the_fleet_as_it_is(kept: ReadOnlyContext) -> None:
    assert_alike(kept, ["support-bot", "extractor", "summariser"], needing=2)


def test_what_is_not_as_declared_comes_before_a_page_that_may_not_be_confirmed(kept: ReadOnlyContext) -> None:
    misserved(kept, "summariser")
    raised(kept, "extractor", Severity.PAGE, AlarmState.RAISED, 2 * HOUR)
    assert_alike(kept, ["support-bot", "summariser", "extractor"], needing=3)


def test_of_two_pages_the_older_comes_first(kept: ReadOnlyContext) -> None:
    raised(kept, "summariser", Severity.PAGE, AlarmState.CONFIRMED, 2 * HOUR)
    misserved(kept, "extractor")
    assert_alike(kept, ["summariser", "support-bot", "extractor"], needing=3)


def test_a_ticket_comes_before_a_gap(kept: ReadOnlyContext) -> None:
    raised(kept, "summariser", Severity.TICKET, AlarmState.CONFIRMED, 2 * HOUR)
    assert_alike(kept, ["support-bot", "summariser", "extractor"], needing=3)


def test_a_loss_that_the_self_test_missed_comes_after_what_is_not_measured(kept: ReadOnlyContext) -> None:
    kept.store.save_self_tests([SelfTest("summariser", fleet.SUITE, "base-answers", 3, 20, fleet.NOW)])
    assert_alike(kept, ["support-bot", "extractor", "summariser"], needing=3)
    found = pages.overview(kept.store, kept.settings, fleet.NOW, pages.FleetCache())
    assert found.rows[-1].state == "self-test"
    assert len(found.missed) == 1


def asked(kept: ReadOnlyContext, target: str, *lost: tuple[Arm, Lost]) -> None:
    """Ends a run of nine answers and as many questions without one."""
    digest, at = kept.digest(target, fleet.SUITE), fleet.NOW - HOUR / 2
    made = kept.store.ensure_run(target, fleet.SUITE, at, 7, digest, next_at=at, scheduled=False)
    run = kept.store.claim(made.id, at, 60)
    assert run is not None
    answers = [recorded(run, answer(), f"fact-{n}") for n in range(9)]
    missing = [recorded(run, unmeasured(why), f"lost-{n}", arm=arm) for n, (arm, why) in enumerate(lost)]
    assert all(kept.store.record([*answers, *missing]))
    assert kept.store.finish(run.id, run.fence, RunOutcome.PARTIAL, (), fleet.NOW)


def retiring(kept: ReadOnlyContext, target: str, days: float) -> None:
    day = fleet.NOW + timedelta(days=days)
    kept.store.save_retirements([Retirement(target, Arm.SUBJECT, "lora", day, "config", fleet.NOW)])


def test_a_rollback_that_is_not_ready_needs_somebody(kept: ReadOnlyContext) -> None:
    asked(kept, "summariser", *[(Arm.SNAPSHOT, Lost.TIMEOUT)] * 3)
    assert_alike(kept, ["support-bot", "extractor", "summariser"], needing=3)
    assert said_of(kept, "summariser") == ("no rollback", "rollback", "Not ready")


def test_a_model_that_retires_within_the_notice_needs_somebody(kept: ReadOnlyContext) -> None:
    retiring(kept, "summariser", 40)
    assert_alike(kept, ["support-bot", "extractor", "summariser"], needing=2)
    retiring(kept, "summariser", 20)
    assert_alike(kept, ["support-bot", "extractor", "summariser"], needing=3)
    assert said_of(kept, "summariser") == ("model retires", "retires", "Retires")


def test_a_budget_that_was_spent_needs_somebody(kept: ReadOnlyContext) -> None:
    asked(kept, "summariser", (Arm.SUBJECT, Lost.BUDGET))
    assert_alike(kept, ["support-bot", "extractor", "summariser"], needing=3)
    assert said_of(kept, "summariser") == ("budget spent", "budget", "Budget")


def test_a_page_that_may_not_be_confirmed_is_called_by_what_is_served(kept: ReadOnlyContext) -> None:
    misserved(kept, "summariser")
    raised(kept, "summariser", Severity.PAGE, AlarmState.RAISED, 2 * HOUR)
    assert said_of(kept, "summariser")[:2] == ("identity", "identity")
    mail = compose(kept, fleet.NOW).report
    (card,) = [one for one in mail.cards if one.name == "summariser"]
    assert [item.label for item in card.items] == ["Page", "Page, being confirmed"]
    assert card.items[0].name == "What is served"


def test_who_captures_a_baseline_needs_nobody_and_is_not_quiet(kept: ReadOnlyContext) -> None:
    ended(kept, "extractor", HOUR / 4)
    assert_alike(kept, ["support-bot", "extractor", "summariser"], needing=1)
    assert (status(kept).capturing, status(kept).needing) == (1, {"page": 1})
    rows = pages.overview(kept.store, kept.settings, fleet.NOW, pages.FleetCache()).rows
    assert [row.state for row in rows] == ["page", "capturing", "quiet"]


def test_names_break_ties_and_nothing_depends_on_the_order_of_what_is_told() -> None:
    reasons = {
        "late": [Reason(Need.LATE, fleet.NOW)],
        "later": [Reason(Need.LATE)],
        "both": [QUIET, Reason(Need.TICKET, fleet.NOW), Reason(Need.PAGE, fleet.NOW)],
        "a": [],
        "b": [QUIET],
        "older": [Reason(Need.PAGE), Reason(Need.PAGE, fleet.NOW - HOUR)],
    }
    expected = ["older", "both", "late", "later", "a", "b"]
    for seed in range(20):
        names = list(reasons)
        Random(seed).shuffle(names)
        assert attention.ranked({name: reasons[name][::-1] for name in names}) == expected
    assert attention.worst([]) == QUIET
    assert Reason(Need.TICKET).since == NEVER
    assert [one.name for one in Need if not one.somebody] == ["CAPTURING", "NOT_MEASURED_YET", "QUIET"]
