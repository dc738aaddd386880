"""An alarm's life over scripted answers: raised, a fresh sample asked at once, confirmed or not, cleared by answers."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.core.records import Alarm, AlarmState, Confirmation, Finding, Run, RunOutcome, Severity
from monitor.detect import alarms as machine
from monitor.detect import findings_for
from monitor.runs.base_share import share_size
from monitor.runs.context import LEASE, RunContext, ensure_run
from monitor.runs.execute import execute_run
from monitor.runs.manual import run_now
from monitor.runs.recompute import recompute
from monitor.runs.verdict import compare, detect, threshold_log10
from tests.daemon import AFTER, HEALTHY, LOST, SUITE, Clock, context_of, fresh_sample, one_day, write

PROBES = len(SUITE["probes"])


def alarm_of(context: RunContext, signal: str = "adapter_loss") -> Alarm:
    return next(alarm for alarm in context.store.alarms("bot") if alarm.signal == signal)


async def raised(folder: Path, clock: Clock, **changes: Any) -> Run:
    """A day on which the fine-tune is lost; its run."""
    path = write(folder, LOST, **changes)
    async with context_of(path, clock) as context:
        found = {finding.signal: finding for finding in await one_day(context, clock)}
        assert found["adapter_loss"].alarming
        assert found["adapter_loss"].severity is Severity.PAGE
        page = alarm_of(context)
        assert page.state is AlarmState.RAISED
        assert alarm_of(context, "length").state is AlarmState.CONFIRMED, "a ticket wakes nobody and waits for nothing"
        return context.store.get_run(page.raised_run_id)


async def confirm(context: RunContext) -> dict[str, Finding]:
    """Execute the fresh sample that is due, in one go."""
    run = fresh_sample(context)
    found = await execute_run(context, run.id)
    assert found is not None, "all batches at once"
    assert all(finding.confirming for finding in found)
    return {finding.signal: finding for finding in found}


async def test_a_loss_is_raised_then_confirmed_by_a_fresh_sample(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    run = await raised(armed_folder, clock)
    async with context_of(armed_folder / "cliffwatch.yaml", clock) as context:
        fresh = fresh_sample(context)
        assert (fresh.confirms, fresh.suite_digest) == (run.id, run.suite_digest)
        assert fresh.seed != run.seed, "other answers, not the same again"
        found = await confirm(context)
        assert found["adapter_loss"].alarming
        assert found["adapter_loss"].evaluations == 2
        page = alarm_of(context)
        assert (page.state, page.severity, page.confirmation) == (
            AlarmState.CONFIRMED,
            Severity.PAGE,
            Confirmation.FRESH_SAMPLE,
        )
        assert (page.raised_run_id, page.confirmed_run_id) == (run.id, fresh.id)
        assert context.store.due_runs(clock.at) == []
        await one_day(context, clock)
        assert context.store.due_runs(clock.at) == [], "somebody is awake; nothing more to ask"
        assert alarm_of(context) == page


async def test_a_blip_becomes_a_ticket_and_the_next_loss_asks_again(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = write(armed_folder, HEALTHY)
    async with context_of(path, clock) as context:
        found = await confirm(context)
        assert found["adapter_loss"].evaluation_log10 < 0, "the fresh sample does not speak for it"
        blip = alarm_of(context)
        assert (blip.state, blip.severity, blip.confirmation) == (
            AlarmState.CONFIRMED,
            Severity.TICKET,
            Confirmation.FRESH_SAMPLE_DISAGREES,
        )
        assert context.store.due_runs(clock.at) == []
    write(armed_folder, LOST)
    async with context_of(path, clock) as context:
        for _ in range(3):
            found = {finding.signal: finding for finding in await one_day(context, clock)}
            if found["adapter_loss"].alarming:
                break
        await confirm(context)
        page = alarm_of(context)
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
    async with context_of(path, clock) as context:
        await confirm(context)
        await one_day(context, clock)
        assert {alarm.signal for alarm in context.store.open_alarms("bot", "facts")} <= {"contract"}
        assert alarm_of(context).cleared_by is None


async def test_without_budget_for_a_fresh_sample_it_pages_all_the_same_and_says_so(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    budget = {"requests_per_day": 2 * (PROBES + share_size(PROBES))}  # the day's answers and their judge, and no more
    target = {
        "subject": {"provider": "script", "model": "tuned"}, "base": {"provider": "script", "model": "plain"},
        "suites": ["facts"], "budget": budget,
    }  # fmt: skip
    run = await raised(armed_folder, clock, targets={"bot": target})
    assert run.finished_at is not None
    clock.at = run.finished_at  # ``one_day`` leaves the clock on the next day, which has a budget of its own
    async with context_of(armed_folder / "cliffwatch.yaml", clock) as context:
        fresh = fresh_sample(context)
        assert await execute_run(context, fresh.id) == ()
        assert context.store.get_run(fresh.id).outcome is RunOutcome.UNMEASURED
        page = alarm_of(context)
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
    async with context_of(path, clock) as context:
        await confirm(context)
    write(armed_folder, HEALTHY)
    async with context_of(path, clock) as context:
        found = {finding.signal: finding for finding in await one_day(context, clock)}
        assert found["adapter_loss"].recovered
        cleared = alarm_of(context)
        assert (cleared.state, cleared.cleared_run_id, cleared.cleared_by) == (
            AlarmState.CLEARED, found["adapter_loss"].run_id, None,
        )  # fmt: skip
        again = {finding.signal: finding for finding in await one_day(context, clock)}
        assert (again["adapter_loss"].evaluations, again["adapter_loss"].alarming) == (1, False)


async def test_a_thin_run_clears_nothing(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = armed_folder / "cliffwatch.yaml"
    async with context_of(path, clock) as context:
        await confirm(context)
    half_down = {"model": "tuned", "probe": "fact-[0-7]", "error": {"reason": "server_error"}, "answers": ["never"]}
    write(armed_folder, [half_down, *HEALTHY])
    async with context_of(path, clock) as context:
        found = {finding.signal: finding for finding in await one_day(context, clock)}
        assert found["adapter_loss"].recovered, "what there is looks well"
        assert alarm_of(context).state is AlarmState.CONFIRMED


async def test_probes_by_hand_are_judged_and_leave_no_trace(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    async with context_of(path, clock) as context:
        await one_day(context, clock)
        for _ in range(3):
            clock.forward(minutes=1)
            by_hand = await run_now(context, "bot", "facts")
        clock.at = AFTER + timedelta(days=2)
        found = {finding.signal: finding for finding in context.store.findings(run_id=by_hand)}
        assert found["adapter_loss"].evaluations == 2, "the day's and itself"
        after = {finding.signal: finding for finding in await one_day(context, clock)}
        assert after["adapter_loss"].evaluations == 2


async def test_a_page_that_is_raised_by_hand_is_confirmed_at_once(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, LOST)
    async with context_of(path, clock) as context:
        by_hand = await run_now(context, "bot", "facts")
        page = alarm_of(context)
        assert (page.state, page.raised_run_id) == (AlarmState.CONFIRMED, by_hand)
        assert page.confirmed_run_id is not None
        assert context.store.get_run(page.confirmed_run_id).confirms == by_hand
    write(armed_folder, HEALTHY)
    async with context_of(path, clock) as context:
        clock.at = AFTER + timedelta(days=1)
        await one_day(context, clock)
        assert alarm_of(context).state is AlarmState.CLEARED, (
            "an alarm raised by hand ends by the answers like any other"
        )


async def test_a_fresh_sample_that_was_left_over_is_asked_with_the_next_probe(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    run = await raised(armed_folder, clock)
    async with context_of(armed_folder / "cliffwatch.yaml", clock) as context:
        await run_now(context, "bot", "facts")
        page = alarm_of(context)
        assert (page.state, page.raised_run_id) == (AlarmState.CONFIRMED, run.id)
        assert context.store.under_way("bot", "facts") is None


async def test_a_daemon_killed_between_raised_and_confirmed_goes_on(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = armed_folder / "cliffwatch.yaml"
    slow = [{**rule, "latency_seconds": 30} if rule["model"] == "judge" else rule for rule in LOST]
    write(armed_folder, slow)
    async with context_of(path, clock) as context:
        fresh = fresh_sample(context)
        task = asyncio.create_task(execute_run(context, fresh.id))
        while len(context.store.answered(fresh.id)) < 2 * PROBES:
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert context.store.claim(fresh.id, clock.at, LEASE.total_seconds()), (
            "by one that is killed before it can write"
        )
        assert alarm_of(context).state is AlarmState.RAISED
    write(armed_folder, LOST)
    async with context_of(path, clock) as context:
        assert context.store.due_runs(clock.at) == [], "held by the dead one"
        clock.forward(minutes=1)
        asked = context.store.spent("bot", clock.at.date()).requests
        await confirm(context)
        assert alarm_of(context).state is AlarmState.CONFIRMED
        assert context.store.get_run(fresh.id).attempt == 3
        assert context.store.spent("bot", clock.at.date()).requests - asked == 2 * PROBES, (
            "only the judge was asked again"
        )


async def cut_off(context: RunContext) -> Run:
    """The fresh sample, its answers recorded and its judge not heard when the daemon is stopped."""
    fresh = fresh_sample(context)
    task = asyncio.create_task(execute_run(context, fresh.id))
    while len(context.store.answered(fresh.id)) < 2 * PROBES:
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
    async with context_of(path, clock) as context:
        fresh = await cut_off(context)
    write(armed_folder, HEALTHY)
    async with context_of(path, clock) as context:
        await one_day(context, clock)
        assert context.store.open_alarms("bot", "facts") == [], "cleared by the answers, all of them"
        before = context.store.alarms("bot")
        assert await execute_run(context, fresh.id) == ()
        assert context.store.get_run(fresh.id).outcome is RunOutcome.MEASURED, "its answers were there"
        assert (context.store.alarms("bot"), context.store.findings(run_id=fresh.id)) == (before, [])
        assert context.store.due_runs(clock.at) == [], "nothing waits, nothing is asked"
        found = {finding.signal: finding for finding in await one_day(context, clock)}
        assert (found["adapter_loss"].evaluations, found["adapter_loss"].alarming) == (1, False)
        again = recompute(context.store)
        assert (again.differences, again.alarms_equal) == ([], again.alarms)


async def test_what_is_raised_while_an_old_fresh_sample_hangs_gets_its_own(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = write(armed_folder, HEALTHY)
    async with context_of(path, clock) as context:
        fresh = fresh_sample(context)
        await one_day(context, clock)
        assert context.store.open_alarms("bot", "facts") == []
    write(armed_folder, LOST)
    async with context_of(path, clock) as context:
        await one_day(context, clock)
        assert alarm_of(context).state is AlarmState.RAISED
        asked = context.store.spent("bot", clock.at.date()).requests
        assert await execute_run(context, fresh.id) == ()
        assert alarm_of(context).state is AlarmState.RAISED, "it was asked for another fault"
        assert context.store.spent("bot", clock.at.date()).requests == asked, "nothing is asked for nobody"
        assert fresh_sample(context).confirms == fresh.id
        await confirm(context)
        assert (alarm_of(context).state, alarm_of(context).confirmation) == (
            AlarmState.CONFIRMED,
            Confirmation.FRESH_SAMPLE,
        )
        assert recompute(context.store).differences == []


async def test_a_later_look_confirms_where_the_fresh_sample_does_not_come(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    async with context_of(armed_folder / "cliffwatch.yaml", clock) as context:
        fresh = fresh_sample(context)
        found = {finding.signal: finding for finding in await one_day(context, clock)}
        page = alarm_of(context)
        assert (page.state, page.severity, page.confirmation) == (
            AlarmState.CONFIRMED,
            Severity.PAGE,
            Confirmation.LATER_LOOK,
        )
        assert page.confirmed_run_id == found["adapter_loss"].run_id
        assert not any(machine.awaited([alarm], fresh.slot) for alarm in context.store.open_alarms("bot", "facts"))
        assert await execute_run(context, fresh.id) == ()
        assert alarm_of(context) == page
        assert recompute(context.store).differences == []


async def test_the_comparison_can_be_made_again_from_the_store(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    live: list[tuple[Any, Any]] = []
    for rules, days in ((HEALTHY, 2), (LOST, 2), (HEALTHY, 2)):
        write(armed_folder, rules)
        async with context_of(path, clock) as context:
            for _ in range(days):
                await one_day(context, clock)
                if any(run.confirms for run in context.store.due_runs(clock.at)):
                    await confirm(context)
                live = [
                    (verdict_context, compare(context.store, verdict_context))
                    for verdict_context in context.store.verdicts("bot")
                ]
    write(armed_folder, HEALTHY, alarms={"false_pages_per_target_year": 5}, schedule={"probes": "every 3 days"})
    async with context_of(path, clock) as context:
        assert [verdict_context.run_id for verdict_context, _ in live] == [
            verdict_context.run_id for verdict_context in context.store.verdicts()
        ]
        assert len(live) == 7
        for verdict_context, comparison in live:
            again = compare(context.store, verdict_context)
            assert again == comparison
            stored = sorted(context.store.findings(run_id=verdict_context.run_id), key=lambda finding: finding.signal)
            assert sorted(findings_for(again), key=lambda finding: finding.signal) == stored


async def test_a_verdict_that_another_overtook_is_reached_anew(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, LOST)
    async with context_of(path, clock) as context:
        runs = [ensure_run(context, "bot", "facts", AFTER + timedelta(days=day)) for day in range(3)]
        clock.forward(days=3)
        found = await asyncio.gather(*(execute_run(context, run.id, at_once=True) for run in runs))
        evaluations = sorted(next(f.evaluations for f in one or () if f.signal == "adapter_loss") for one in found)
        assert evaluations == [1, 2, 3], "each has seen all those before it, and none twice"
        assert len([alarm for alarm in context.store.alarms("bot") if alarm.signal == "adapter_loss"]) == 1


async def test_a_fleet_that_is_quiet_asks_more_of_a_ticket_and_nothing_more_of_a_page(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    bot = {"subject": {"provider": "script", "model": "tuned"}, "suites": ["facts"]}
    path = write(armed_folder, HEALTHY, targets={"bot": bot, "twin": bot})
    async with context_of(path, clock) as context:
        await one_day(context, clock)
        (alone,) = context.store.verdicts("bot")
        line = threshold_log10(context.settings, "bot", "facts")
        assert (alone.page_threshold_log10, alone.ticket_threshold_log10) == (line, line)
        opened = context.store.open_baseline(
            "twin", "facts", context.suites["facts"].digest, "tuned", None, AFTER, AFTER + timedelta(days=1)
        )
        run = context.store.claim(ensure_run(context, "twin", "facts", AFTER).id, clock.at, 60)
        assert run is not None
        context.store.finish(run.id, run.fence, RunOutcome.MEASURED, (), clock.at)
        context.store.close_due_baselines(clock.at)
        context.store.approve(opened.id, "test", "a second stream", clock.at)
        await one_day(context, clock)
        together = context.store.verdicts("bot")[-1]
        assert together.page_threshold_log10 == line
        assert together.ticket_threshold_log10 == pytest.approx(line + 0.30103, abs=1e-4), (
            "twice as much for one of two"
        )


async def test_a_target_with_two_suites_shares_its_rate(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    one = write(armed_folder, HEALTHY)
    async with context_of(one, clock) as context:
        alone = threshold_log10(context.settings, "bot", "facts")
        assert alone == pytest.approx(3.5623, abs=1e-4), "365 looks at 0.1 a year"
    target = {"subject": {"provider": "script", "model": "tuned"}, "suites": ["facts", "format"]}
    two = write(armed_folder, HEALTHY, targets={"bot": target}, schedule={"probes": "weekly mon 06:00"})
    async with context_of(two, clock) as context:
        assert threshold_log10(context.settings, "bot", "facts") == pytest.approx(
            alone + 0.30103 - 0.84510 + 0.17609, abs=1e-4
        ), "half as many more, for what may be asked in addition"


async def test_a_signal_without_a_finding_in_the_fresh_sample_pages_and_says_so(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    await raised(armed_folder, clock)
    path = write(armed_folder, LOST)
    async with context_of(path, clock) as context:
        fresh = fresh_sample(context)
        run = context.store.claim(fresh.id, clock.at, 60)
        assert run is not None
        judged = detect(context, run, (), RunOutcome.UNMEASURED, clock.at, clears=False)
        assert judged.context is None
        pages = [alarm for alarm in judged.moves if alarm.severity is Severity.PAGE]
        assert pages
        assert all(alarm.confirmation == Confirmation.NOT_ASKED for alarm in pages)
        assert (judged.findings, judged.confirm_at) == ((), None)
