"""A finding in words: what changed, since when, how sure, whose fault, what now."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor import claims
from monitor.claims import Beside, claim
from monitor.records import Alarm, AlarmState, Arm, Finding, IdentityCheck, Point, Severity

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOST = Finding(
    3, "bot", "support", "adapter_loss", Severity.PAGE, True, 0.04, -0.02, 0.1, "share", 7.4, 7.1, 4.0, 2, 40, 120,
    NOW, NOW,
    "bot answers like its base model: 4% of the effect is left, e.g. 41 for a. Check the adapter. Then reload.",
)  # fmt: skip
ALARM = Alarm("bot", "support", "adapter_loss", Severity.PAGE, AlarmState.CONFIRMED, NOW, 3, NOW, 3, id=1)


def history(*evidence: float) -> list[Point]:
    """A look a day up to ``NOW``; the last is run 3."""
    last = len(evidence) - 1
    return [
        Point(3 - last + n, NOW - timedelta(days=last - n), 1.0, 0.9, 1.1, one, 4.0, one >= 4)
        for n, one in enumerate(evidence)
    ]


def test_the_claim_is_one_sentence_with_what_since_when_and_how_bad() -> None:
    told = claim(LOST, Beside(history(0.1, 1.2, 7.4), ALARM))
    assert told.sentence == (
        "bot answers like its base model since 2026-11-21 12:00 UTC (not yet on 2026-11-20 12:00 UTC): "
        "4% of the effect is left, e.g. 41 for a."
    )
    assert told.since.startswith("First seen 2026-11-21 12:00 UTC; the look before, 2026-11-20 12:00 UTC,")
    assert told.sure == "Evidence 10^7 to 1 against chance; it alarms at 10,000 to 1. Confirmed."
    assert (told.now, told.runbook) == ("Check the adapter. Then reload.", "CliffwatchFineTuneLost")


def test_the_first_look_of_all_has_none_before_it() -> None:
    told = claim(LOST, Beside(history(7.4)))
    assert "not yet" not in told.sentence
    assert told.since == "First seen 2026-11-22 12:00 UTC."


def test_quiet_is_its_summary_and_asks_for_nothing() -> None:
    quiet = replace(LOST, alarming=False, evidence_log10=-0.2, summary="The fine-tune holds: 98%.")
    told = claim(quiet, Beside(history(-0.2)))
    assert (told.sentence, told.now, told.suspect, told.runbook) == ("The fine-tune holds: 98%.", "", "", None)
    assert told.sure.startswith("No evidence of a change")


def test_what_is_worth_a_look_says_that_it_is_no_alarm() -> None:
    look = replace(
        LOST, alarming=False, evidence_log10=1.0,
        summary="Below the alarm line, but worth a look: answers of bot are longer: 51 characters. It goes on.",
    )  # fmt: skip
    told = claim(look, Beside(history(1.0)))
    assert told.sentence == (
        "Worth a look, and no alarm: Answers of bot are longer since 2026-11-22 12:00 UTC: 51 characters."
    )
    assert told.now.startswith("Nothing yet")


def test_a_page_that_waits_wakes_nobody_and_one_that_is_over_asks_for_nothing() -> None:
    waiting = replace(ALARM, state=AlarmState.RAISED)
    over = replace(ALARM, state=AlarmState.CLEARED, cleared_at=NOW, cleared_by="jo", cleared_why="on purpose")
    assert claim(LOST, Beside(alarm=waiting)).now.startswith("Nobody is paged yet")
    assert claim(LOST, Beside(alarm=over)).now == "Nothing: cleared by jo, 2026-11-22 12:00: on purpose."


CHECK = IdentityCheck("bot", Arm.SUBJECT, "listed", False, "bot-lora", "llama", NOW, NOW)


@pytest.mark.parametrize(
    ("changed", "beside", "suspect"),
    [
        ({}, {}, "the model"),
        ({}, {"mismatches": [CHECK]}, "what is served"),
        ({"target": "judge"}, {}, "the judge"),
        ({"signal": "judge_score"}, {}, "the judge or the model"),
        ({"signal": "judge_score"}, {"moved": ["contract"]}, "the judge or the model"),
        ({"signal": "judge_score"}, {"moved": ["length"]}, "the model"),
        ({"signal": "judge_score"}, {"moved": ["length"], "judge_drifted": True}, "the judge"),
        ({"signal": "length"}, {"contract": ["prompt tokens"]}, "your own configuration"),
        ({"signal": "length"}, {"contract": ["fingerprint"]}, "the model"),
        ({"signal": "length", "suite": "production"}, {}, "the inputs or the model"),
        ({"signal": "adapter_loss", "suite": "production"}, {}, "the model"),
    ],
)
def test_whose_fault_it_is_likely(changed: dict[str, Any], beside: dict[str, Any], suspect: str) -> None:
    assert claim(replace(LOST, **changed), Beside(**beside)).suspect == suspect


def test_an_outage_beside_it_is_said() -> None:
    assert "50% of the run's questions have no answer" in claim(LOST, Beside(lost=0.5)).why
    assert "no answer" not in claim(LOST, Beside(lost=0.1)).why


def test_every_signal_has_its_runbook() -> None:
    from monitor.detect import SIGNALS
    from monitor.web import runbooks

    assert set(SIGNALS) <= set(claims.RUNBOOKS)
    assert set(claims.RUNBOOKS.values()) <= set(runbooks.names())
