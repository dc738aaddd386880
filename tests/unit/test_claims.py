"""A finding in words: what changed, since when, how sure, whose fault, what now."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from monitor.core.records import (
    Alarm,
    AlarmState,
    Arm,
    Cause,
    Confirmation,
    Finding,
    FindingState,
    IdentityCheck,
    Match,
    Point,
    Severity,
)
from monitor.report.explain import claim as claims
from monitor.report.explain import sentences
from monitor.report.explain.claim import claim
from monitor.report.explain.context import FindingContext, neighbours
from monitor.report.explain.onset import beginning, edges
from monitor.report.explain.recovery import ending
from tests.summaries import saying

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SUMMARY = "bot answers like its base model: 4% of the effect is left, e.g. 41 for a. Check the adapter. Then reload."
ALARM = Alarm("bot", "support", "adapter_loss", Severity.PAGE, AlarmState.CONFIRMED, NOW, 3, NOW, 3, id=1)


def lost(summary: str = SUMMARY, *, alarming: bool = True, **changed: Any) -> Finding:
    """A finding that says ``summary``, of its signal and in its numbers where ``changed`` has others."""
    found = Finding(
        3, "bot", "support", "adapter_loss", Severity.PAGE, FindingState.ALARMING, 0.04, -0.02, 0.1, "share", 7.4, 7.1,
        4.0, 2, 40, 120, NOW, NOW, "",
    )  # fmt: skip
    return saying(summary, replace(found, **changed), alarming=alarming)


LOST = lost()


def history(*evidence: float) -> list[Point]:
    """A look a day up to ``NOW``; the last is run 3."""
    last = len(evidence) - 1
    return [
        Point(3 - last + n, NOW - timedelta(days=last - n), 1.0, 0.9, 1.1, one, 4.0, one >= 4)
        for n, one in enumerate(evidence)
    ]


NO_LOSS = "Not an adapter loss, but worth a look: answers of bot moved away from the approved ones."
FIRST_STEP = (
    "Check which adapter the endpoint serves and whether it is applied. If it is lost, restore the server, image, "
    "route or adapter that served "
)


def test_the_claim_is_news_with_how_bad_since_when_and_how_sure() -> None:
    told = claim(LOST, FindingContext(history(0.1, 1.2, 7.4), replace(ALARM, confirmation=Confirmation.FRESH_SAMPLE)))
    assert (told.headline, told.bad) == ("bot answers like its base model", "4% of the effect is left, e.g. 41 for a.")
    assert (
        told.since == "Began between 2026-11-20 12:00 (last healthy evaluation) and 2026-11-21 12:00 UTC (first seen)"
    )
    assert told.began == NOW - timedelta(days=1)
    assert told.sure == "Confirmed by a fresh sample at 12:00 UTC."
    assert (told.now, told.runbook) == (
        f"{FIRST_STEP}at the last healthy evaluation, 2026-11-20 12:00 UTC.",
        "CliffwatchFineTuneLost",
    )


@pytest.mark.parametrize(
    ("apart", "start", "end", "before"),
    [
        (timedelta(seconds=15), "11:59:45", "12:00:00 UTC", "11:59 UTC."),
        (timedelta(hours=6), "06:00", "12:00 UTC", "06:00 UTC."),
    ],
)
def test_the_date_is_said_once(apart: timedelta, start: str, end: str, before: str) -> None:
    well, lost = history(0.1, 7.4)
    told = claim(LOST, FindingContext([replace(well, at=NOW - apart), lost]))
    assert told.since == f"Began 2026-11-22 between {start} (last healthy evaluation) and {end} (first seen)"
    assert told.now == f"{FIRST_STEP}at the last healthy evaluation, {before}"


def test_the_first_look_of_all_has_none_before_it() -> None:
    told = claim(LOST, FindingContext(history(7.4)))
    assert told.since == "First seen 2026-11-22 12:00 UTC"
    assert told.now == f"{FIRST_STEP}before 12:00 UTC."


def test_a_text_with_a_zone_of_its_own_tells_the_same_times_in_it() -> None:
    berlin = ZoneInfo("Europe/Berlin")

    def day(at: datetime) -> str:
        return f"{at.day} {at:%b}"

    midnight = NOW + timedelta(hours=11)
    assert claims.since(midnight, None, berlin, day) == "First seen 23 Nov 00:00"
    assert (
        claims.since(midnight, NOW, berlin, day)
        == "Began between 22 Nov 13:00 (last healthy evaluation) and 23 Nov 00:00 (first seen)"
    )
    assert claims.since(midnight, NOW) == (
        "Began 2026-11-22 between 12:00 (last healthy evaluation) and 23:00 UTC (first seen)"
    ), "one day there, two here"
    close = midnight - timedelta(seconds=20)
    assert (
        claims.since(midnight, close, berlin, day)
        == "Began between 22 Nov 23:59:40 (last healthy evaluation) and 23 Nov 00:00:00 (first seen)"
    )


def test_an_open_alarm_began_no_later_than_the_look_that_raised_it() -> None:
    dipped = history(0.1, 1.2, 7.4, 0.2, 0.3, 7.4)
    raised = replace(ALARM, raised_at=dipped[2].at, raised_run_id=dipped[2].run_id)
    began = (dipped[1].at, dipped[0].at)
    assert beginning(LOST, dipped) == (dipped[5].at, dipped[4].at), "the evidence alone was gone in between"
    assert beginning(LOST, dipped, raised) == began
    told = claim(LOST, FindingContext(dipped, raised)).since
    assert told == "Began between 2026-11-17 12:00 (last healthy evaluation) and 2026-11-18 12:00 UTC (first seen)"
    quiet = lost(alarming=False, evidence_log10=0.3, run_id=dipped[4].run_id)
    assert beginning(quiet, dipped, raised) == began


def test_what_evidence_gains_in_weeks_of_health_is_no_beginning() -> None:
    """The demo's evidence in a month of health, one look a day, and then the loss."""
    health = [
        0.39,
        0.42,
        0.45,
        0.48,
        0.5,
        0.52,
        0.54,
        0.56,
        0.58,
        0.59,
        0.61,
        0.62,
        0.64,
        0.65,
        0.66,
        0.68,
        0.69,
        0.7,
        0.74,
    ]
    creeping = history(*health, 9.19)
    creeps = lost(evaluations=len(health) + 10)
    assert beginning(creeps, creeping) == (NOW, NOW - timedelta(days=1))
    raised = history(*health, 9.19, 17.35, 14.06)
    alarm = replace(ALARM, raised_at=raised[-3].at, raised_run_id=raised[-3].run_id)
    later = replace(creeps, evaluations=len(health) + 12)
    assert beginning(later, raised, alarm) == (raised[-3].at, raised[-4].at)
    assert beginning(later, raised) == (raised[-3].at, raised[-4].at)
    quiet = lost(alarming=False, evidence_log10=0.74, summary="bot behaves as approved: 99% is left.")
    assert claim(quiet, FindingContext()).sure.startswith("No alarm. Evidence of a change: 5 to 1.")


def test_a_slide_began_long_before_its_alarm() -> None:
    slide = history(-0.2, 0.1, 0.0, 0.2, 0.7, 1.1, 1.6, 2.2, 2.9, 3.7, 4.6)
    assert beginning(lost(evaluations=20), slide) == (slide[4].at, slide[3].at)


def test_an_incident_began_after_the_evaluation_that_ended_the_one_before() -> None:
    """Evidence starts anew there, so the earlier incident's own evidence is not the beginning of this one."""
    twice = history(-0.5, 0.4, 5.2, 6.9, 8.3, 3.9, 1.7, 3.1, 5.0)
    again = replace(ALARM, raised_at=twice[8].at, raised_run_id=twice[8].run_id)
    assert beginning(LOST, twice, again) == (twice[6].at, twice[5].at)
    assert edges(LOST, twice, again) == (twice[5].run_id, twice[6].run_id)
    slow = history(-0.5, 0.4, 5.2, 3.9, 0.1, 0.2, 0.3, 3.1, 5.0)
    again = replace(ALARM, raised_at=slow[8].at, raised_run_id=slow[8].run_id)
    assert beginning(LOST, slow, again) == (slow[7].at, slow[6].at), "healthy evaluations came in between"
    look = lost(alarming=False, evidence_log10=0.9)
    assert beginning(look, history(5.2, 6.9, 3.9, 0.9)) == (NOW, NOW - timedelta(days=1)), "a new look, no alarm yet"


def test_an_alarm_that_a_person_cleared_during_the_incident_did_not_end_it() -> None:
    cleared = history(0.1, 5.2, 6.9, 5.1)
    again = replace(ALARM, raised_at=cleared[3].at, raised_run_id=cleared[3].run_id)
    assert beginning(LOST, cleared, again) == (cleared[1].at, cleared[0].at)


def test_an_alarm_that_is_older_than_the_history_began_when_it_was_raised() -> None:
    known = history(7.4, 7.4)
    old = replace(ALARM, raised_at=NOW - timedelta(days=120), raised_run_id=-99)
    assert beginning(LOST, known, old) == (old.raised_at, None)
    assert beginning(LOST, [], old) == (old.raised_at, None)
    assert beginning(LOST, []) == (NOW, None)


def test_it_began_between_the_last_answers_of_two_looks_not_between_their_ends() -> None:
    """A fault that is switched on while the healthy look is being judged lies between both."""
    evaluations = history(0.1, 0.2, 7.4)
    assert edges(LOST, evaluations, ALARM) == (2, 3)
    asked = {one.run_id: one.at - timedelta(seconds=6) for one in evaluations}
    seen, before = asked[3], asked[2]
    assert beginning(LOST, evaluations, ALARM, asked) == (seen, before)
    assert beginning(LOST, evaluations, ALARM, {3: seen}) == (seen, evaluations[1].at), "answers that are not kept"
    told = claim(LOST, FindingContext(evaluations, ALARM, asked=asked))
    assert (
        told.since == "Began between 2026-11-21 11:59 (last healthy evaluation) and 2026-11-22 11:59 UTC (first seen)"
    )
    assert told.now.endswith("that served at the last healthy evaluation, 2026-11-21 11:59 UTC.")
    judged_again = replace(ALARM, raised_at=NOW - timedelta(days=9), raised_run_id=3)
    assert beginning(LOST, evaluations, judged_again, asked) == (judged_again.raised_at, None)
    early = history(7.4)
    assert edges(LOST, early) == (3,)
    assert beginning(LOST, early, None, asked) == (seen, None)
    assert edges(LOST, []) == ()


def test_a_look_that_was_asked_later_does_not_show_that_all_was_well_before() -> None:
    """One made by hand, beside the day's own, is judged first."""
    evaluations = history(0.1, 7.4)
    asked = {2: NOW - timedelta(seconds=3), 3: NOW - timedelta(seconds=6)}
    assert beginning(LOST, evaluations, ALARM, asked) == (asked[3], None)


@pytest.mark.parametrize(
    ("alarm", "sure"),
    [
        (None, "Evidence of a change: 10,000,000 to 1. Alarm threshold: 10,000 to 1."),
        (ALARM, "Evidence of a change: 10,000,000 to 1. Alarm threshold: 10,000 to 1."),
        (replace(ALARM, note="Two looks disagree."), "threshold: 10,000 to 1. Two looks disagree."),
        (replace(ALARM, confirmation=Confirmation.LATER_LOOK), "Confirmed by a later evaluation at 12:00 UTC."),
        (
            replace(ALARM, confirmation=Confirmation.FRESH_SAMPLE, confirmed_at=NOW - timedelta(days=2)),
            "at 2026-11-20 12:00 UTC.",
        ),
        (replace(ALARM, state=AlarmState.RAISED), "Not confirmed yet. Waiting for a fresh sample since 12:00 UTC."),
    ],
)
def test_how_sure_it_is(alarm: Alarm | None, sure: str) -> None:
    assert claim(LOST, FindingContext(alarm=alarm)).sure.endswith(sure)


def test_quiet_asks_for_nothing_and_its_headline_says_whose_it_is() -> None:
    quiet = lost(alarming=False, evidence_log10=-0.2, summary="The fine-tune holds: 98%.")
    told = claim(quiet, FindingContext(history(-0.2)))
    assert (told.headline, told.bad) == ("bot: the fine-tune holds", "98%.")
    assert (told.since, told.began, told.now, told.suspect, told.runbook) == ("", None, "", "", None)
    assert told.sure.startswith("No evidence of a change")


def test_what_is_worth_a_look_says_that_it_is_no_alarm() -> None:
    look = lost(alarming=False, evidence_log10=1.0,
        summary="Below the alarm line, but worth a look: answers of bot are longer: 51 characters. It goes on.",
    )  # fmt: skip
    told = claim(look, FindingContext(history(1.0)))
    assert (told.headline, told.bad) == ("Answers of bot are longer", "51 characters.")
    assert told.sure.startswith("Worth a look, but no alarm. Evidence of a change: 10 to 1")
    assert told.now.startswith("Nothing yet")


def test_looks_that_disagree_are_the_news_and_the_last_one_the_numbers() -> None:
    summary = "The looks so far say that bot lost its fine-tune; this look alone does not: 98% is left. Check it."
    told = claim(lost(summary=summary, effect=0.98), FindingContext())
    assert told.headline == "The evaluations so far indicate that bot lost its fine-tune"
    assert told.bad == "This evaluation alone does not show it: 98% is left."
    assert told.now.endswith("Check every replica: only part of the traffic may be affected.")
    over = "The looks since the alarm are evidence enough of recovery to clear it."
    well = lost(recovered=True, summary=summary.replace("Check it.", over), effect=0.98)
    assert claim(well, FindingContext()).now == sentences.RECOVERED


PARTLY = "bot answers like its base model on part of the traffic: about 30% of the answers come from the base. Check."


@pytest.mark.parametrize(
    ("changed", "hit"),
    [
        ({}, "all sampled traffic"),
        ({"summary": PARTLY}, "about 30% of the sampled traffic"),
        ({"effect": 0.7}, "part of the sampled traffic"),
        ({"signal": "canaries", "effect": 1.0, "traffic_share": 1.0}, "all sampled traffic"),
        ({"signal": "canaries", "effect": 0.4, "traffic_share": 0.4}, "about 40% of the sampled traffic"),
        ({"signal": "base_match", "effect": 0.4}, "at least 40% of the sampled traffic"),
    ],
)
def test_how_much_of_the_traffic_lost_its_fine_tune(changed: dict[str, Any], hit: str) -> None:
    told = claim(lost(**changed), FindingContext(cause=Cause.ADAPTER_LOST))
    assert f"or traffic is routed to the base model. Affected: {hit}." in told.why
    assert ("only part of the traffic may be affected" in told.now) == (hit != "all sampled traffic")


def test_inputs_that_come_by_themselves_are_not_said_to_be_the_baseline_s() -> None:
    assert "the inputs did not change" in claim(LOST, FindingContext()).why
    assert "inputs" not in claim(lost(suite="production"), FindingContext()).why


def test_a_page_that_waits_wakes_nobody_and_one_that_is_over_asks_for_nothing() -> None:
    waiting = replace(ALARM, state=AlarmState.RAISED)
    over = replace(ALARM, state=AlarmState.CLEARED, cleared_at=NOW, cleared_by="jo", cleared_why="on purpose")
    assert claim(LOST, FindingContext(alarm=waiting)).now.startswith("Nobody is paged yet")
    assert claim(LOST, FindingContext(alarm=over)).now == "Nothing to do: cleared by jo, 2026-11-22 12:00: on purpose."
    again = replace(ALARM, raised_at=NOW + timedelta(days=1))
    assert claim(LOST, FindingContext(alarm=over, again=again)).now == (
        "See the alarm that was raised again at 2026-11-23 12:00 UTC. "
        "This one was cleared by jo, 2026-11-22 12:00: on purpose."
    )
    gone = replace(again, cleared_at=NOW + timedelta(days=2))
    assert claim(LOST, FindingContext(alarm=over, again=gone)).now.startswith("Nothing to do: cleared by jo")


def test_a_look_that_ended_its_alarm_is_the_news_of_a_recovery() -> None:
    over_now = replace(ALARM, state=AlarmState.CLEARED, cleared_at=NOW, cleared_run_id=3)
    told = claim(lost(effect=0.99, recovered=True), FindingContext(history(0.1, 7.4), over_now, lost=0.5))
    assert (told.state, told.headline) == ("cleared", "bot has recovered (Fine-tune's effect)")
    assert told.bad == "99% of the approved fine-tune's effect (95% interval 0% to 10%)."
    assert (told.since, told.began, told.suspect, told.why) == ("", None, "", "")
    assert told.now == "Nothing to do: cleared automatically, 2026-11-22 12:00."
    later = claim(LOST, FindingContext(history(0.1, 7.4), replace(over_now, cleared_run_id=9)))
    assert (later.state, later.headline, later.suspect) == ("cleared", "bot answers like its base model", "")
    assert claim(lost(recovered=True), FindingContext(alarm=ALARM)).state is FindingState.ALARMING, (
        "an open alarm is not over"
    )


def test_which_alarm_of_a_finding_is_over() -> None:
    first = replace(ALARM, raised_run_id=3, cleared_at=NOW, cleared_run_id=6, id=1)
    by_hand = replace(ALARM, raised_run_id=8, cleared_at=NOW, cleared_by="jo", cleared_why="x", id=2)
    now = replace(ALARM, raised_run_id=11, id=3)
    alarms = [now, by_hand, replace(first, signal="length", cleared_run_id=99), first]

    def over_of(run_id: int, hours: float = 0) -> int | None:
        found = ending(alarms, lost(run_id=run_id, window_end=NOW + timedelta(hours=hours)))
        return None if found is None else found.id

    assert [over_of(run) for run in (2, 3, 6, 7)] == [None, 1, 1, None]
    assert [over_of(8, 1), over_of(9, -1), over_of(10, 1)] == [2, 2, None], "one cleared by a person ends at its time"
    assert [over_of(11), over_of(12)] == [None, None], "the open one"


def test_an_alarm_s_neighbours_are_of_its_own_signal() -> None:
    def raised(day: int, *, over: bool = True, signal: str = ALARM.signal) -> Alarm:
        at = NOW + timedelta(days=day)
        return replace(ALARM, signal=signal, raised_at=at, cleared_at=at + timedelta(hours=1) if over else None)

    first, second, third, last = (raised(0), raised(1), raised(2), raised(3, over=False))
    listed = [last, raised(4, signal="length"), third, second, first]
    assert neighbours(listed, first) == (None, last), "the open one, whatever was between"
    assert neighbours(listed, last) == (third, None)
    assert neighbours([third, second, first], first) == (None, second), "none is open: the next"
    assert neighbours(listed, None) == (None, None)


CHECK = IdentityCheck("bot", Arm.SUBJECT, "listed", Match.DIFFERS, "bot-lora", "llama", NOW, NOW)


@pytest.mark.parametrize(
    ("changed", "beside", "suspect"),
    [
        ({}, {}, "the served model"),
        ({}, {"contract": ["model id"]}, "the served model"),
        ({"signal": "length"}, {}, "the model"),
        ({}, {"mismatches": [CHECK]}, "the served model"),
        ({"target": "judge", "signal": "negative_flips"}, {}, "the judge"),
        ({"target": "judge", "signal": "contract"}, {"contract": ["fingerprint"]}, "the model"),
        ({"signal": "judge_score"}, {}, "the judge or the model"),
        ({"signal": "judge_score"}, {"moved": ["contract"]}, "the judge or the model"),
        ({"signal": "judge_score"}, {"moved": ["length"]}, "the model"),
        ({"signal": "judge_score"}, {"moved": ["length"], "judge_drifted": True}, "the judge"),
        ({"signal": "length"}, {"contract": ["prompt tokens"]}, "your own configuration"),
        ({"signal": "length"}, {"contract": ["fingerprint"]}, "the model"),
        ({"signal": "length"}, {"moved": ["canaries"]}, "the model"),
        ({"signal": "length"}, {"cause": Cause.ADAPTER_LOST, "contract": ["model id"]}, "the served model"),
        ({"signal": "length"}, {"cause": Cause.ADAPTER_LOST, "contract": ["prompt tokens"]}, "the served model"),
        ({"signal": "judge_score"}, {"cause": Cause.ADAPTER_LOST}, "the served model"),
        ({"signal": "judge_score"}, {"cause": Cause.ADAPTER_LOST, "judge_drifted": True}, "the judge"),
        ({"signal": "length"}, {"cause": Cause.NOT_ADAPTER_LOSS}, "the model"),
        ({"signal": "judge_score"}, {"cause": Cause.NOT_ADAPTER_LOSS}, "the model"),
        ({"signal": "canaries"}, {}, "the model"),
        ({"signal": "canaries"}, {"cause": Cause.ANSWERS_CUT}, "your own configuration"),
        ({"signal": "canaries"}, {"cause": Cause.ANSWERS_CUT, "mismatches": [CHECK]}, "the served model"),
        ({"signal": "base_drift"}, {"cause": Cause.BASE_MOVED, "mismatches": [CHECK]}, "the base model"),
        ({"alarming": False, "summary": NO_LOSS}, {}, "the model"),
        ({"signal": "length", "suite": "production"}, {}, "the inputs or the model"),
        ({"signal": "adapter_loss", "suite": "production"}, {}, "the served model"),
    ],
)
def test_whose_fault_it_is_likely(changed: dict[str, Any], beside: dict[str, Any], suspect: str) -> None:
    assert claim(lost(**changed), FindingContext(**beside)).suspect == suspect


def test_what_is_not_as_declared_is_said_in_plain_words_first() -> None:
    assert claim(LOST, FindingContext(mismatches=[CHECK])).why == (
        "The server no longer offers this model. Declared: bot-lora; found: llama."
    )


def test_an_outage_beside_it_is_said() -> None:
    assert "50% of the run's questions have no answer" in claim(LOST, FindingContext(lost=0.5)).why
    assert "no answer" not in claim(LOST, FindingContext(lost=0.1)).why
