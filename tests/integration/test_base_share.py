"""How often the base is asked, over scripted answers: a share while nothing moves, all when it may decide something."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from monitor.core.records import Arm, BaselineStatus, Run, RunOutcome, Severity
from monitor.runs.base_share import share_size
from monitor.runs.context import RunContext, ensure_run, open_capture
from monitor.runs.execute import execute_run
from monitor.runs.manual import run_now
from monitor.runs.recompute import recompute
from tests.daemon import AFTER, DAYS, HEALTHY, LOST, SUITE, Clock, context_of, fresh_sample, one_day, write

PROBES = len(SUITE["probes"])
SHARE = share_size(PROBES)
MOVED_BASE = [{"model": "plain", "answers": ["another base model, about {probe}"]}, *HEALTHY]


def asked(context: RunContext, run_id: int) -> Counter[Arm]:
    """Arm -> number of the run's questions that were asked."""
    return Counter(arm for arm, _, _ in context.store.answered(run_id))


def probes_of(context: RunContext, run_id: int) -> set[str]:
    return {probe for arm, probe, _ in context.store.answered(run_id) if arm is Arm.BASE}


def newest(context: RunContext) -> Run:
    """The newest scheduled run."""
    return next(run for run in context.store.runs("bot") if run.scheduled)


async def test_quiet_days_ask_the_base_a_share_and_its_probes_rotate(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, HEALTHY), clock) as context:
        seen: list[set[str]] = []
        for _ in range(7):
            findings = await one_day(context, clock)
            assert {"adapter_loss", "base_drift", "judge_score"} <= {one.signal for one in findings}
            run = newest(context)
            assert run.outcome is RunOutcome.MEASURED
            assert asked(context, run.id) == {
                Arm.SUBJECT: PROBES, Arm.BASE: SHARE, Arm.JUDGE_SUBJECT: PROBES, Arm.JUDGE_BASE: SHARE,
            }  # fmt: skip
            assert context.store.summaries([run.id])[run.id].unmeasured == 0
            seen.append(probes_of(context, run.id))
        assert set().union(*seen[:6]) == {probe["id"] for probe in SUITE["probes"]}
        assert seen[6] == seen[0]
        assert seen[0].isdisjoint(seen[1])
        assert context.store.alarms() == []
        assert recompute(context.store).differences == []


async def test_without_an_approved_baseline_all_are_asked(tmp_path: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(write(tmp_path, HEALTHY), clock) as context:
        for _ in range(2):
            await one_day(context, clock)
            assert asked(context, newest(context).id)[Arm.BASE] == PROBES


async def test_a_changed_suite_has_no_baseline_so_all_are_asked(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    (armed_folder / "probes" / "facts.yaml").write_text(yaml.safe_dump({**SUITE, "probes": SUITE["probes"][1:]}))
    async with context_of(path, clock) as context:
        await one_day(context, clock)
        assert asked(context, newest(context).id)[Arm.BASE] == PROBES - 1


async def test_a_manual_run_asks_all(armed_folder: Path) -> None:
    clock = Clock(AFTER + timedelta(hours=1))
    async with context_of(write(armed_folder, HEALTHY), clock) as context:
        by_hand = await run_now(context, "bot", "facts")
        assert asked(context, by_hand)[Arm.BASE] == PROBES
        await one_day(context, clock)
        assert asked(context, newest(context).id)[Arm.BASE] == SHARE, "it showed nothing"


async def test_a_loss_is_found_by_the_share_and_everything_after_it_asks_all(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, LOST), clock) as context:
        found = {one.signal: one for one in await one_day(context, clock)}
        first = newest(context)
        assert asked(context, first.id)[Arm.BASE] == SHARE
        assert found["adapter_loss"].alarming
        fresh = fresh_sample(context)
        assert await execute_run(context, fresh.id) is not None
        assert asked(context, fresh.id)[Arm.BASE] == PROBES
        assert any(one.severity is Severity.PAGE for one in context.store.open_alarms("bot"))
        await one_day(context, clock)
        assert asked(context, newest(context).id)[Arm.BASE] == PROBES
    async with context_of(write(armed_folder, HEALTHY), clock) as context:
        counts = []
        for _ in range(6):
            await one_day(context, clock)
            counts.append(asked(context, newest(context).id)[Arm.BASE])
        assert counts[0] == PROBES
        assert counts[-1] == SHARE, "the loss is over"


async def test_a_base_that_moved_is_soon_asked_all_and_is_a_ticket(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, MOVED_BASE), clock) as context:
        counts: list[int] = []
        for _ in range(3):
            await one_day(context, clock)
            counts.append(asked(context, newest(context).id)[Arm.BASE])
        assert counts == [SHARE, PROBES, PROBES], "from the next day on"
        assert {(one.signal, one.severity) for one in context.store.open_alarms("bot")} == {
            ("base_drift", Severity.TICKET)
        }
        assert recompute(context.store).differences == []


@pytest.mark.parametrize("stopped_after", [1, 2])
async def test_a_run_that_goes_on_after_a_stop_asks_the_same(armed_folder: Path, stopped_after: int) -> None:
    """A daemon that is stopped between the batches, and a second one with its own memory."""
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    async with context_of(path, clock) as context:
        run = ensure_run(context, "bot", "facts", clock.at)
        clock.forward(hours=8 * stopped_after)
        assert await execute_run(context, run.id) is None
        before = set(context.store.answered(run.id))
        assert before
    clock.forward(hours=8)
    async with context_of(path, clock) as context:
        clock.forward(hours=16)
        assert await execute_run(context, run.id) is not None
        after = set(context.store.answered(run.id))
        assert before < after
        assert asked(context, run.id)[Arm.BASE] == SHARE
        assert asked(context, run.id)[Arm.SUBJECT] == PROBES
        other = ensure_run(context, "bot", "facts", AFTER + timedelta(days=1))
        clock.at = AFTER + timedelta(days=2)
        assert await execute_run(context, other.id) is not None
        assert probes_of(context, other.id).isdisjoint(probes_of(context, run.id))


async def test_an_evaluation_that_moves_during_a_run_adds_the_other_probes(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    async with context_of(path, clock) as context:
        run = ensure_run(context, "bot", "facts", clock.at)
        clock.forward(hours=9)
        assert await execute_run(context, run.id) is None
    async with context_of(write(armed_folder, LOST), clock) as context:
        await run_now(context, "bot", "facts")
    async with context_of(write(armed_folder, HEALTHY), clock) as context:
        clock.forward(hours=14)
        assert await execute_run(context, run.id) is not None
        assert asked(context, run.id) == {
            Arm.SUBJECT: PROBES, Arm.BASE: PROBES, Arm.JUDGE_SUBJECT: PROBES, Arm.JUDGE_BASE: PROBES,
        }  # fmt: skip


async def test_a_new_baseline_has_all_the_base_s_answers(armed_folder: Path) -> None:
    """While the old one is approved, the days of a capture window ask the base all; the day after it, a share."""
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    async with context_of(path, clock) as context:
        await one_day(context, clock)
        open_capture(context, "bot", "facts", clock.at, clock.at + timedelta(days=DAYS), at_once=False)
        counts = []
        for _ in range(DAYS):
            await one_day(context, clock)
            counts.append(asked(context, newest(context).id)[Arm.BASE])
        assert counts == [PROBES] * DAYS
        await one_day(context, clock)
        assert asked(context, newest(context).id)[Arm.BASE] == SHARE
        context.store.close_due_baselines(clock.at)
        (captured,) = context.store.baselines("bot", "facts", BaselineStatus.CAPTURED)
        answers = context.store.answers(captured.run_ids)
        assert Counter(one.arm for one in answers) == {Arm.SUBJECT: DAYS * PROBES, Arm.BASE: DAYS * PROBES}
        context.store.approve(captured.id, "test", "healthy", clock.at)
        findings = {one.signal: one for one in await one_day(context, clock)}
        assert {"adapter_loss", "judge_score", "base_drift"} <= findings.keys()
        assert {one.baseline_id for one in findings.values()} == {captured.id}
