"""A suite that is asked weekly is asked again a day later while its evidence grows."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.core.records import BaselineStatus, Finding, FindingState, Run, RunOutcome, Severity
from monitor.core.schedule import FOLLOWING, MOST_FOLLOWING
from monitor.detect import policy
from monitor.runs.context import RunContext, ensure_run
from monitor.runs.execute import execute_run
from monitor.runs.recompute import recompute
from monitor.runs.verdict import threshold_log10
from monitor.store import More
from tests.daemon import AFTER, HEALTHY, Clock, context_of, write

DAY = timedelta(days=1)
WEEKLY: dict[str, Any] = {"schedule": {"batches": 1, "probes": "weekly sun 00:00"}}


def slips(probes: str) -> list[dict[str, Any]]:
    return [
        {"model": "tuned", "probe": probes, "answers": ["Certainly: another thing. Yours, the shop."]},
        {"model": "judge", "prompt": "another thing", "answers": ['{"verdict": "fail"}']},
        *HEALTHY,
    ]


def following(context: RunContext) -> list[Run]:
    """The runs that follow a scheduled one, oldest first."""
    return sorted((one for one in context.store.runs("bot") if one.follows is not None), key=lambda one: one.id)


async def week(context: RunContext, clock: Clock) -> Run:
    """The week's scheduled run, at once; then it is two hours later."""
    run = ensure_run(context, "bot", "facts", clock.at)
    clock.forward(hours=2)
    assert await execute_run(context, run.id, at_once=True) is not None
    return run


async def test_evidence_that_grows_is_asked_for_a_day_later_and_counts(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, slips("fact-[0-3]"), **WEEKLY), clock) as context:
        for _ in range(8):
            first = await week(context, clock)
            if following(context):
                break
            clock.at = first.slot + 7 * DAY
        (more,) = following(context)
        assert (more.follows, more.scheduled, more.confirms, more.next_at) == (first.id, False, None, clock.at + DAY)
        grown = [one for one in context.store.findings(run_id=first.id) if policy.grew(one)]
        assert grown, "a page signal has evidence and does not alarm"
        assert context.store.due_runs(clock.at) == []
        before = {one.signal: one.evaluations for one in grown}
        clock.at = more.next_at
        assert [one.id for one in context.store.due_runs(clock.at)] == [more.id]
        found = {one.signal: one for one in await execute_run(context, more.id) or ()}
        assert all(found[name].evaluations == count + 1 for name, count in before.items())
        assert not any(one.confirming for one in found.values())
        clock.at = first.slot + 7 * DAY
        after = await week(context, clock)
        counted = {one.signal: one.evaluations for one in context.store.findings(run_id=after.id)}
        runs = 2 + len([one for one in following(context) if one.status == "done"])
        assert all(counted[name] >= count + 2 for name, count in before.items()), runs
        again = recompute(context.store)
        assert (again.differences, again.alarms_equal) == ([], again.alarms)


async def test_a_daily_suite_and_a_quiet_one_are_not_asked_more(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, slips("fact-[0-3]")), clock) as context:
        for day in range(3):
            clock.at = AFTER + day * DAY
            await week(context, clock)
        assert following(context) == []
    async with context_of(write(armed_folder, HEALTHY, **WEEKLY), clock) as context:
        clock.at = AFTER + 7 * DAY
        await week(context, clock)
        assert following(context) == []


async def test_at_most_six_follow_a_run_and_none_joins_a_capture(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, HEALTHY, **WEEKLY), clock) as context:
        store = context.store
        store.open_baseline(
            "bot", "facts", context.suites["facts"].digest, "tuned", None, AFTER, AFTER + 5 * DAY, at_once=True
        )
        run = ensure_run(context, "bot", "facts", AFTER)
        first = run.id
        for number in range(MOST_FOLLOWING + 2):
            claimed = store.claim(run.id, clock.at, 60)
            assert claimed is not None
            more = More(clock.at + DAY, number, MOST_FOLLOWING)
            assert store.finish(run.id, claimed.fence, RunOutcome.MEASURED, (), clock.at, more=more)
            open_ones = [one for one in following(context) if one.status != "done"]
            if not open_ones:
                break
            (run,) = open_ones
            assert run.follows == first
            clock.forward(days=1)
        assert len(following(context)) == MOST_FOLLOWING
        (capture,) = store.baselines("bot", "facts", BaselineStatus.CAPTURING)
        assert capture.run_ids == (first,)
        store.close_due_baselines(clock.at)
        later = store.open_baseline(
            "bot", "facts", context.suites["facts"].digest, "tuned", None, AFTER, AFTER + 30 * DAY, at_once=True
        )
        assert later.run_ids == (first,), "nor does a capture that is opened later take them"


async def test_the_threshold_counts_what_may_be_asked_more(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    lines = []
    for expression in ("daily", "every 2 days", "every 7 days"):
        path = write(armed_folder, HEALTHY, schedule={"probes": expression})
        async with context_of(path, clock) as context:
            lines.append(10 ** threshold_log10(context.settings, "bot", "facts"))
    assert lines == pytest.approx([3650, 3650 / 2 * (1 + FOLLOWING), 3650 / 7 * (1 + FOLLOWING)])


def test_evidence_grew_if_this_evaluation_added_to_it() -> None:
    one = Finding(
        run_id=1, target="bot", suite="facts", signal="canaries", severity=Severity.PAGE, state=FindingState.LOOK,
        effect=0.1, effect_low=0.0, effect_high=0.2, unit="share", evidence_log10=1.2, evaluation_log10=0.7,
        threshold_log10=3.0, evaluations=4, answers_now=18, answers_baseline=252, window_start=AFTER, window_end=AFTER,
        what="fails more",
    )  # fmt: skip
    assert policy.grew(one)
    for changed in (
        {"evidence_log10": 0.99},
        {"evaluation_log10": 0.1},
        {"severity": Severity.TICKET},
        {"state": FindingState.ALARMING},
    ):
        assert not policy.grew(replace(one, **changed))
