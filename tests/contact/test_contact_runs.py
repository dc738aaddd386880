"""What a run makes of a server that is away, filters, empties its answers, cuts them, or was exchanged."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from monitor.core.records import Alarm, AlarmState, Point, Severity
from monitor.report.explain.onset import beginning
from tests.contact.world import (
    BASE,
    MODEL,
    SUITE,
    TARGET,
    World,
    asked,
    by_model,
    by_prompt,
    plain,
    said,
    timetable,
    tuned,
)
from tests.http_server import Reply, Request, completion

PIERS = [f"Pier {n:02}:" for n in range(20)]


def signals(run: Any) -> dict[str, dict[str, Any]]:
    return {one["signal"]: one for one in run["findings"]}


async def probed(world: World) -> tuple[int, Any]:
    """Exit code and result of one run."""
    ran = await world.run("probe", TARGET, "--json")
    (run,) = ran.json
    return ran.code, run


async def test_an_outage_told_inside_the_choice_raises_nothing(approved: World) -> None:
    gone = {"finish_reason": "error", "error": {"code": 502, "message": "the mainland is away"}}
    approved.chat = lambda request: said("" if "7" in asked(request) else "The last", choice=gone)
    for _ in range(2):
        code, run = await probed(approved)
        assert (code, run["run"]["outcome"], run["findings"], run["alarms"]) == (3, "unmeasured", [], [])
        assert run["unmeasured"] == {"server_error": 40}, "twenty probes, subject and base"
    ran = await approved.run("alarms", "list")
    assert (ran.code, ran.out) == (0, "no open alarms\n")


async def test_a_filter_is_the_same_refusal_as_400_and_as_200(approved: World) -> None:
    policy = {"code": "content_filter", "message": "blocked", "innererror": {"code": "ResponsibleAIPolicyViolation"}}
    told = []
    for blocked in (Reply(400, {"error": policy}), said(None, choice={"finish_reason": "content_filter"})):
        approved.chat = by_model({MODEL: by_prompt(dict.fromkeys(PIERS[3:9], blocked), tuned), BASE: plain})
        _, run = await probed(approved)
        found = signals(run)["contract"]
        assert (run["unmeasured"], found["state"], found["cause"]) == ({}, "look", "answers_refused")
        assert "refusals 30% of answers instead of 0%" in found["summary"]
        told.append(found["what"])
    assert told[0] == told[1]


async def test_a_baseline_of_empty_answers_says_so_and_is_not_approved(world: World) -> None:
    world.write(timetable(10))
    world.chat = said("", message={"reasoning": "The last boat leaves at 23:40."})
    captured = await world.run("baseline", "capture", TARGET, "--at-once", "2")
    assert "All 20 answers are empty; the text is in `reasoning`" in captured.out
    ran = await world.run("baseline", "approve", TARGET, "--by", "mate", "--why", "read")
    assert ran.code == 2
    assert "cannot be approved: all 20 answers are empty; the text is in `reasoning`" in ran.error


async def test_answers_that_turn_empty_are_neither_the_bases_nor_a_loss(approved: World) -> None:
    approved.chat = lambda request: Reply(
        body=completion(None, model=request.body["model"], message={"reasoning_content": "The last boat ..."})
    )
    _, run = await probed(approved)
    found = signals(run)
    assert found["contract"]["cause"] == "answers_empty"
    assert "empty; the text is in `reasoning_content`" in found["contract"]["summary"]
    assert not {"adapter_loss", "base_match", "distribution"} & {
        name for name, one in found.items() if one["state"] != "quiet" and one["cause"] != "answers_empty"
    }


async def test_a_changed_fingerprint_is_shown_with_what_cannot_be_seen_and_accepted_once(approved: World) -> None:
    def upgraded(request: Request) -> Reply:
        text = tuned(request).body["choices"][0]["message"]["content"]
        return said(text.replace("at 23:40", "at\u00a023:40"), system_fingerprint="boat-2.1")

    approved.chat = by_model({MODEL: upgraded, BASE: plain})
    ran = await approved.run("probe", TARGET)
    assert ran.code == 1
    assert "fingerprint 'boat-2.1' instead of 'fp-1' (20 of 20 answers)" in ran.out
    assert "They look alike, but" in ran.out
    assert "NO-BREAK SPACE (U+00A0)" in ran.out
    accepted = await approved.run("accept", TARGET, "fingerprint", "--by", "mate", "--why", "the server was upgraded")
    assert "mate accepted fingerprint 'boat-2.1' instead of 'fp-1'" in accepted.out
    code, run = await probed(approved)
    assert (code, signals(run)["contract"]["state"]) == (0, "quiet")


async def test_a_server_that_answers_every_name_alike_is_told_at_approval(world: World) -> None:
    world.write(timetable(20, {"kind": "contains", "text": "23:40"}), base={"provider": "pier", "model": BASE})
    world.chat = tuned
    ran = await world.approved(runs=2)
    assert "The base answers as the subject does (40 of 40 approved answers are equal to the base's)" in ran.out
    assert "adapter_loss, base_match and canaries cannot be read" in ran.out


async def test_a_base_that_moves_is_told_of_the_base_and_pages_nobody(approved: World) -> None:
    approved.chat = by_model({MODEL: tuned, BASE: tuned})
    code, run = await probed(approved)
    found = signals(run)
    assert (code, run["alarms"]) == (0, [])
    assert (found["base_drift"]["state"], found["adapter_loss"]["state"]) == ("look", "quiet")
    assert found["base_match"]["summary"].startswith("Cannot be read: the base of quay now gives the approved answers")


async def test_a_token_cap_is_told_as_a_cap_and_not_as_the_base(approved: World) -> None:
    def capped(request: Request) -> Reply:
        text = tuned(request).body["choices"][0]["message"]["content"]
        return said(text[:26], choice={"finish_reason": "length"})

    approved.chat = by_model({MODEL: capped, BASE: plain})
    _, run = await probed(approved)
    assert signals(run)["contract"]["cause"] == "answers_cut"
    ran = await approved.run("findings", TARGET)
    told = [line for line in ran.out.splitlines() if line.startswith("Likely at fault")]
    assert len(told) > 1
    assert all("A token limit cuts the answers" in line for line in told)


async def test_one_answer_of_another_deployment_is_named_with_its_share(approved: World) -> None:
    def fallback(request: Request) -> Reply:
        reply = tuned(request)
        headers = {"x-litellm-attempted-fallbacks": "1"} if asked(request).startswith(PIERS[4]) else {}
        return Reply(body=reply.body, headers=headers)

    approved.chat = by_model({MODEL: fallback, BASE: plain})
    _, run = await probed(approved)
    found = signals(run)["contract"]
    assert found["cause"] == "served_elsewhere"
    assert "1 of 20 answers" in found["summary"]


async def test_effects_on_equal_lengths_stay_in_proportion(approved: World) -> None:
    def longer(request: Request) -> Reply:
        text = tuned(request).body["choices"][0]["message"]["content"]
        return said(text + " Bye." if asked(request)[:8] in PIERS[:5] else text)

    approved.chat = by_model({MODEL: longer, BASE: plain})
    ran = await approved.run("probe", TARGET)
    assert "characters on average, 49 in the baseline" in ran.out
    assert "times as much" not in ran.out
    assert "-5%" not in ran.out


def test_an_incident_begins_after_the_recovery_from_the_last_one() -> None:
    at = [datetime(2026, 5, 4, hour, tzinfo=UTC) for hour in range(9)]
    evidence = [0.1, 5.2, 6.0, 7.1, 3.0, 1.1, 2.9, 5.0, 5.5]
    raised = [False, True, True, True, False, False, False, True, True]
    rows = zip(range(9), at, evidence, raised, strict=True)
    history = [Point(run, when, 0.0, 0.0, 0.0, log10, 4.3, alarming) for run, when, log10, alarming in rows]
    alarm = Alarm(
        id=2,
        target=TARGET,
        suite=SUITE,
        signal="canaries",
        severity=Severity.PAGE,
        state=AlarmState.CONFIRMED,
        raised_at=at[7],
        raised_run_id=7,
    )
    began, healthy = beginning(Now(8, 4, at[8]), history, alarm)
    assert began >= at[4], "evaluation 4 cleared the first alarm"
    assert healthy is None or healthy >= at[4]


@dataclass(frozen=True)
class Now:
    """What ``beginning`` reads of a finding."""

    run_id: int
    evaluations: int
    window_end: datetime
