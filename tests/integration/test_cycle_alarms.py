"""An alarm's life over scripted answers: raised, a fresh sample asked at once, confirmed or not, cleared by answers."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.core.records import Alarm, AlarmState, Confirmation, Finding, Run, RunOutcome, Severity
from monitor.detect import alarms as machine
from monitor.detect import findings_for
from monitor.runs.context import LEASE, House, ensure_run
from monitor.runs.execute import execute_run
from monitor.runs.manual import run_now
from monitor.runs.recompute import recompute
from monitor.runs.verdict import compare, detect, line_log10
from tests.daemon import AFTER, HEALTHY, LOST, SUITE, Clock, fresh_sample, house_of, one_day, write

PROBES = len(SUITE["probes"])


def alarm_of(house: House, signal: str = "adapter_loss") -> Alarm:
    return next(alarm for alarm in house.store.alarms("bot") if alarm.signal == signal)


async def raised(folder: Path, clock: Clock, **changes: Any) -> Run:
    """A day on which the fine-tune is lost; its run."""
    path = write(folder, LOST, **changes)
    async with house_of(path, clock) as house:
        found = {finding.signal: finding for finding in await one_day(house, clock)}
        assert found["adapter_loss"].alarming
        assert found["adapter_loss"].severity is Severity.PAGE
        page = alarm_of(house)
        assert page.state is AlarmState.RAISED
        assert alarm_of(house, "length").state is AlarmState.CONFIRMED, "a ticket wakes nobody and waits for nothing"
        return house.store.get_run(page.raised_run_id)


async def confirm(house: House) -> dict[str, Finding]:
    """Execute the fresh sample that is due, in one go."""
    run = fresh_sample(house)
    found = await execute_run(house, run.id)
    assert found is not None, "all batches at once"
    assert all(finding.confirming for finding in found)
    return {finding.signal: finding for finding in found}


async def test_a_loss_is_raised_then_confirmed_by_a_fresh_sample(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    run = await raised(armed_folder, clock)
    async with house_of(armed_folder / "cliffwatch.yaml", clock) as house:
        fresh = fresh_sample(house)
        assert (fresh.confirms, fresh.suite_digest) == (run.id, run.suite_digest)
        assert fresh.seed != run.seed, "other answers, not the same again"
        found = await confirm(house)
        assert found["adapter_loss"].alarming
        assert found["adapter_loss"].looks == 2
        page = alarm_of(house)
        assert (page.state, page.severity, page.confirmation) == (
            AlarmState.CONFIRMED,
            Severity.PAGE,
            Confirmation.FRESH_SAMPLE,
        )
        assert (page.raised_run_id, page.confirmed_run_id) == (run.id, fresh.id)
        assert house.store.due_runs(clock.at) == []
        await one_day(house, clock)
        assert house.store.due_runs(clock.at) == [], "somebody is awake; nothing more to ask"
        assert alarm_of(house) == page


async def test_a_blip_becomes_a_ticket_and_the_next_loss_asks_again(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = write(armed_folder, HEALTHY)
    async with house_of(path, clock) as house:
        found = await confirm(house)
        assert found["adapter_loss"].look_log10 < 0, "the fresh sample does not speak for it"
        blip = alarm_of(house)
        assert (blip.state, blip.severity, blip.confirmation) == (
            AlarmState.CONFIRMED,
            Severity.TICKET,
            Confirmation.FRESH_SAMPLE_DISAGREES,
        )
        assert house.store.due_runs(clock.at) == []
    write(armed_folder, LOST)
    async with house_of(path, clock) as house:
        for _ in range(3):
            found = {finding.signal: finding for finding in await one_day(house, clock)}
            if found["adapter_loss"].alarming:
                break
        await confirm(house)
        page = alarm_of(house)
        assert (page.state, page.severity, page.confirmation) == (
            AlarmState.CONFIRMED,
            Severity.PAGE,
            Confirmation.FRESH_SAMPLE,
        )
        assert page.raised_run_id == blip.raised_run_id, "one alarm all along"


async def test_a_blip_that_stays_one_is_cleared_by_the_next_days(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = write(armed_folder, HEALTHY)
    async with house_of(path, clock) as house:
        await confirm(house)
        await one_day(house, clock)
        assert {alarm.signal for alarm in house.store.open_alarms("bot", "facts")} <= {"contract"}
        assert alarm_of(house).cleared_by is None


async def test_without_budget_for_a_fresh_sample_it_pages_all_the_same_and_says_so(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    budget = {"requests_per_day": 4 * PROBES}  # the day's answers and their judge, and not one call more
    target = {
        "subject": {"provider": "script", "model": "tuned"}, "base": {"provider": "script", "model": "plain"},
        "suites": ["facts"], "budget": budget,
    }  # fmt: skip
    run = await raised(armed_folder, clock, targets={"bot": target})
    assert run.finished_at is not None
    clock.at = run.finished_at  # ``one_day`` leaves the clock on the next day, which has a budget of its own
    async with house_of(armed_folder / "cliffwatch.yaml", clock) as house:
        fresh = fresh_sample(house)
        assert await execute_run(house, fresh.id) == ()
        assert house.store.get_run(fresh.id).outcome is RunOutcome.UNMEASURED
        page = alarm_of(house)
        assert (page.state, page.severity, page.confirmation) == (
            AlarmState.CONFIRMED,
            Severity.PAGE,
            Confirmation.NOT_ASKED,
        )
        assert page.confirmed_run_id == fresh.id


async def test_answers_as_before_clear_it_and_the_evidence_begins_anew(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = armed_folder / "cliffwatch.yaml"
    async with house_of(path, clock) as house:
        await confirm(house)
    write(armed_folder, HEALTHY)
    async with house_of(path, clock) as house:
        found = {finding.signal: finding for finding in await one_day(house, clock)}
        assert found["adapter_loss"].recovered
        cleared = alarm_of(house)
        assert (cleared.state, cleared.cleared_run_id, cleared.cleared_by) == (
            AlarmState.CLEARED, found["adapter_loss"].run_id, None,
        )  # fmt: skip
        again = {finding.signal: finding for finding in await one_day(house, clock)}
        assert (again["adapter_loss"].looks, again["adapter_loss"].alarming) == (1, False)


async def test_a_thin_run_clears_nothing(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = armed_folder / "cliffwatch.yaml"
    async with house_of(path, clock) as house:
        await confirm(house)
    half_down = {"model": "tuned", "probe": "fact-[0-7]", "error": {"reason": "server_error"}, "answers": ["never"]}
    write(armed_folder, [half_down, *HEALTHY])
    async with house_of(path, clock) as house:
        found = {finding.signal: finding for finding in await one_day(house, clock)}
        assert found["adapter_loss"].recovered, "what there is looks well"
        assert alarm_of(house).state is AlarmState.CONFIRMED


async def test_probes_by_hand_are_judged_and_leave_no_trace(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    async with house_of(path, clock) as house:
        await one_day(house, clock)
        for _ in range(3):
            clock.forward(minutes=1)
            by_hand = await run_now(house, "bot", "facts")
        clock.at = AFTER + timedelta(days=2)
        found = {finding.signal: finding for finding in house.store.findings(run_id=by_hand)}
        assert found["adapter_loss"].looks == 2, "the day's and itself"
        after = {finding.signal: finding for finding in await one_day(house, clock)}
        assert after["adapter_loss"].looks == 2


async def test_a_page_that_is_raised_by_hand_is_confirmed_at_once(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, LOST)
    async with house_of(path, clock) as house:
        by_hand = await run_now(house, "bot", "facts")
        page = alarm_of(house)
        assert (page.state, page.raised_run_id) == (AlarmState.CONFIRMED, by_hand)
        assert page.confirmed_run_id is not None
        assert house.store.get_run(page.confirmed_run_id).confirms == by_hand
    write(armed_folder, HEALTHY)
    async with house_of(path, clock) as house:
        clock.at = AFTER + timedelta(days=1)
        await one_day(house, clock)
        assert alarm_of(house).state is AlarmState.CLEARED, "an alarm raised by hand ends by the answers like any other"


async def test_a_fresh_sample_that_was_left_over_is_asked_with_the_next_probe(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    run = await raised(armed_folder, clock)
    async with house_of(armed_folder / "cliffwatch.yaml", clock) as house:
        await run_now(house, "bot", "facts")
        page = alarm_of(house)
        assert (page.state, page.raised_run_id) == (AlarmState.CONFIRMED, run.id)
        assert house.store.under_way("bot", "facts") is None


async def test_a_daemon_killed_between_raised_and_confirmed_goes_on(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = armed_folder / "cliffwatch.yaml"
    slow = [{**rule, "latency_seconds": 30} if rule["model"] == "judge" else rule for rule in LOST]
    write(armed_folder, slow)
    async with house_of(path, clock) as house:
        fresh = fresh_sample(house)
        task = asyncio.create_task(execute_run(house, fresh.id))
        while len(house.store.answered(fresh.id)) < 2 * PROBES:
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert house.store.claim(fresh.id, clock.at, LEASE.total_seconds()), "by one that is killed before it can write"
        assert alarm_of(house).state is AlarmState.RAISED
    write(armed_folder, LOST)
    async with house_of(path, clock) as house:
        assert house.store.due_runs(clock.at) == [], "held by the dead one"
        clock.forward(minutes=1)
        asked = house.store.spent("bot", clock.at.date()).requests
        await confirm(house)
        assert alarm_of(house).state is AlarmState.CONFIRMED
        assert house.store.get_run(fresh.id).attempt == 3
        assert house.store.spent("bot", clock.at.date()).requests - asked == 2 * PROBES, (
            "only the judge was asked again"
        )


async def cut_off(house: House) -> Run:
    """The fresh sample, its answers recorded and its judge not heard when the daemon is stopped."""
    fresh = fresh_sample(house)
    task = asyncio.create_task(execute_run(house, fresh.id))
    while len(house.store.answered(fresh.id)) < 2 * PROBES:
        await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return fresh


async def test_a_fresh_sample_that_ends_after_the_recovery_raises_nothing_and_leaves_nothing(
    armed_folder: Path,
) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    slow = [{**rule, "latency_seconds": 30} if rule["model"] == "judge" else rule for rule in LOST]
    path = write(armed_folder, slow)
    async with house_of(path, clock) as house:
        fresh = await cut_off(house)
    write(armed_folder, HEALTHY)
    async with house_of(path, clock) as house:
        await one_day(house, clock)
        assert house.store.open_alarms("bot", "facts") == [], "cleared by the answers, all of them"
        before = house.store.alarms("bot")
        assert await execute_run(house, fresh.id) == ()
        assert house.store.get_run(fresh.id).outcome is RunOutcome.MEASURED, "its answers were there"
        assert (house.store.alarms("bot"), house.store.findings(run_id=fresh.id)) == (before, [])
        assert house.store.due_runs(clock.at) == [], "nothing waits, nothing is asked"
        found = {finding.signal: finding for finding in await one_day(house, clock)}
        assert (found["adapter_loss"].looks, found["adapter_loss"].alarming) == (1, False)
        again = recompute(house.store)
        assert (again.differences, again.alarms_equal) == ([], again.alarms)


async def test_what_is_raised_while_an_old_fresh_sample_hangs_gets_its_own(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = write(armed_folder, HEALTHY)
    async with house_of(path, clock) as house:
        fresh = fresh_sample(house)
        await one_day(house, clock)
        assert house.store.open_alarms("bot", "facts") == []
    write(armed_folder, LOST)
    async with house_of(path, clock) as house:
        await one_day(house, clock)
        assert alarm_of(house).state is AlarmState.RAISED
        asked = house.store.spent("bot", clock.at.date()).requests
        assert await execute_run(house, fresh.id) == ()
        assert alarm_of(house).state is AlarmState.RAISED, "it was asked for another fault"
        assert house.store.spent("bot", clock.at.date()).requests == asked, "nothing is asked for nobody"
        assert fresh_sample(house).confirms == fresh.id
        await confirm(house)
        assert (alarm_of(house).state, alarm_of(house).confirmation) == (
            AlarmState.CONFIRMED,
            Confirmation.FRESH_SAMPLE,
        )
        assert recompute(house.store).differences == []


async def test_a_later_look_confirms_where_the_fresh_sample_does_not_come(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    async with house_of(armed_folder / "cliffwatch.yaml", clock) as house:
        fresh = fresh_sample(house)
        found = {finding.signal: finding for finding in await one_day(house, clock)}
        page = alarm_of(house)
        assert (page.state, page.severity, page.confirmation) == (
            AlarmState.CONFIRMED,
            Severity.PAGE,
            Confirmation.LATER_LOOK,
        )
        assert page.confirmed_run_id == found["adapter_loss"].run_id
        assert not any(machine.awaited([alarm], fresh.slot) for alarm in house.store.open_alarms("bot", "facts"))
        assert await execute_run(house, fresh.id) == ()
        assert alarm_of(house) == page
        assert recompute(house.store).differences == []


async def test_the_comparison_can_be_made_again_from_the_store(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    live: list[tuple[Any, Any]] = []
    for rules, days in ((HEALTHY, 2), (LOST, 2), (HEALTHY, 2)):
        write(armed_folder, rules)
        async with house_of(path, clock) as house:
            for _ in range(days):
                await one_day(house, clock)
                if any(run.confirms for run in house.store.due_runs(clock.at)):
                    await confirm(house)
                live = [(context, compare(house.store, context)) for context in house.store.verdicts("bot")]
    write(armed_folder, HEALTHY, alarms={"false_pages_per_target_year": 5}, schedule={"probes": "every 3 days"})
    async with house_of(path, clock) as house:
        assert [context.run_id for context, _ in live] == [context.run_id for context in house.store.verdicts()]
        assert len(live) == 7
        for context, comparison in live:
            again = compare(house.store, context)
            assert again == comparison
            stored = sorted(house.store.findings(run_id=context.run_id), key=lambda finding: finding.signal)
            assert sorted(findings_for(again), key=lambda finding: finding.signal) == stored


async def test_a_verdict_that_another_overtook_is_reached_anew(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, LOST)
    async with house_of(path, clock) as house:
        runs = [ensure_run(house, "bot", "facts", AFTER + timedelta(days=day)) for day in range(3)]
        clock.forward(days=3)
        found = await asyncio.gather(*(execute_run(house, run.id, at_once=True) for run in runs))
        looks = sorted(next(f.looks for f in one or () if f.signal == "adapter_loss") for one in found)
        assert looks == [1, 2, 3], "each has seen all those before it, and none twice"
        assert len([alarm for alarm in house.store.alarms("bot") if alarm.signal == "adapter_loss"]) == 1


async def test_a_fleet_that_is_quiet_asks_more_of_a_ticket_and_nothing_more_of_a_page(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    bot = {"subject": {"provider": "script", "model": "tuned"}, "suites": ["facts"]}
    path = write(armed_folder, HEALTHY, targets={"bot": bot, "twin": bot})
    async with house_of(path, clock) as house:
        await one_day(house, clock)
        (alone,) = house.store.verdicts("bot")
        line = line_log10(house.settings, "bot", "facts")
        assert (alone.page_line_log10, alone.ticket_line_log10) == (line, line)
        opened = house.store.open_baseline(
            "twin", "facts", house.suites["facts"].digest, "tuned", None, AFTER, AFTER + timedelta(days=1)
        )
        run = house.store.claim(ensure_run(house, "twin", "facts", AFTER).id, clock.at, 60)
        assert run is not None
        house.store.finish(run.id, run.fence, RunOutcome.MEASURED, (), clock.at)
        house.store.close_due_baselines(clock.at)
        house.store.approve(opened.id, "test", "a second stream", clock.at)
        await one_day(house, clock)
        together = house.store.verdicts("bot")[-1]
        assert together.page_line_log10 == line
        assert together.ticket_line_log10 == pytest.approx(line + 0.30103, abs=1e-4), "twice as much for one of two"


async def test_a_target_with_two_suites_shares_its_rate(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    one = write(armed_folder, HEALTHY)
    async with house_of(one, clock) as house:
        alone = line_log10(house.settings, "bot", "facts")
        assert alone == pytest.approx(3.5623, abs=1e-4), "365 looks at 0.1 a year"
    target = {"subject": {"provider": "script", "model": "tuned"}, "suites": ["facts", "format"]}
    two = write(armed_folder, HEALTHY, targets={"bot": target}, schedule={"probes": "weekly mon 06:00"})
    async with house_of(two, clock) as house:
        assert line_log10(house.settings, "bot", "facts") == pytest.approx(alone + 0.30103 - 0.84510, abs=1e-4)


async def test_a_signal_without_a_finding_in_the_fresh_sample_pages_and_says_so(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = write(armed_folder, LOST)
    async with house_of(path, clock) as house:
        fresh = fresh_sample(house)
        run = house.store.claim(fresh.id, clock.at, 60)
        assert run is not None
        judged = detect(house, run, (), RunOutcome.UNMEASURED, clock.at, clears=False)
        assert judged.context is None
        pages = [alarm for alarm in judged.moves if alarm.severity is Severity.PAGE]
        assert pages
        assert all(alarm.confirmation == Confirmation.NOT_ASKED for alarm in pages)
        assert (judged.findings, judged.confirm) == ((), False)
