"""The judge is watched too: a judge that moves raises a ticket of its own, and what rests on it pages nobody."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from monitor.core.records import Alarm, AlarmState, BaselineStatus, Confirmation, RunOutcome, Severity
from monitor.detect import policy
from monitor.report.explain.claim import claim_of
from monitor.runs.context import RunContext, ensure_run, open_capture
from monitor.runs.execute import execute_run
from monitor.runs.judge_check import check_judge, judge_moved
from monitor.runs.recompute import recompute
from tests.daemon import AFTER, DAYS, HEALTHY, LOST, NOON, Clock, context_of, write
from tests.summaries import summary_of

ANCHORS: dict[str, Any] = {
    "name": "people-say",
    "rubric": "Pass if the reply is right.",
    "anchors": [
        {"id": f"{verdict}-{n}", "prompt": f"Fact {n}?", "answer": answer.format(n=n), "verdict": verdict}
        for n in range(12)
        for verdict, answer in (("pass", "Certainly: fact {n}."), ("fail", "no idea about {n}"))
    ],
}
JUDGE = {"provider": "script", "model": "judge", "anchors": "people-say.yaml"}
STRICT: list[dict[str, Any]] = [*HEALTHY[:2], {"model": "judge", "answers": ['{"verdict": "fail"}']}]
RAMBLING: list[dict[str, Any]] = [*HEALTHY[:2], {"model": "judge", "answers": ["I would say that it passes."]}]
OURS = (("bot", "facts"), ("judge", "people-say"))


def configure(folder: Path, rules: list[dict[str, Any]], **judge: Any) -> Path:
    (folder / "people-say.yaml").write_text(yaml.safe_dump(ANCHORS))
    return write(folder, rules, judge={**JUDGE, **judge})


async def one_day(context: RunContext, clock: Clock, first: str = "bot") -> None:
    """The day's runs of both, that of ``first`` before the other's, and the fresh samples that they ask for."""
    slot = clock.at.replace(hour=0, minute=0)
    clock.at = slot + timedelta(hours=20)
    for target, suite in sorted(OURS, key=lambda one: one[0] != first):
        run = ensure_run(context, target, suite, slot)
        assert await execute_run(context, run.id, at_once=True) is not None
        for fresh in [run for run in context.store.due_runs(clock.at) if run.confirms is not None]:
            clock.forward(minutes=5)
            assert await execute_run(context, fresh.id) is not None
    clock.at = slot + timedelta(days=1)


def open_alarm(context: RunContext, target: str, signal: str) -> Alarm | None:
    suite = dict(OURS)[target]
    return next((one for one in context.store.open_alarms(target, suite) if one.signal == signal), None)


async def watched(folder: Path) -> None:
    """Both armed by a healthy fortnight."""
    clock = Clock(NOON.replace(hour=0))
    async with context_of(configure(folder, HEALTHY), clock) as context:
        for target, suite in OURS:
            open_capture(context, target, suite, clock.at, clock.at + timedelta(days=DAYS), at_once=False)
        for _ in range(DAYS):
            await one_day(context, clock)
        context.store.close_due_baselines(clock.at)
        for captured in context.store.baselines(status=BaselineStatus.CAPTURED):
            context.store.approve(captured.id, "test", "healthy by construction", clock.at)
        assert clock.at == AFTER


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    asyncio.run(watched(folder))
    return folder / "cliffwatch.db"


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    shutil.copy(template, tmp_path)
    return tmp_path


def recomputes(context: RunContext) -> bool:
    again = recompute(context.store)
    assert again.differences == []
    return again.alarms_equal == again.alarms == len(context.store.alarms())


async def test_a_judge_as_it_was_raises_nothing(folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(configure(folder, HEALTHY), clock) as context:
        for _ in range(3):
            await one_day(context, clock)
        assert context.store.alarms() == []
        found = {one.signal: one for one in context.store.latest_findings("judge", "people-say")}
        assert {"negative_flips", "contract"} <= found.keys()
        assert not {"judge_score", "adapter_loss", "base_match", "canaries"} & found.keys()
        assert {one.severity for one in found.values()} == {Severity.TICKET}
        run = context.store.runs("judge", limit=1)[0]
        assert context.store.summaries([run.id])[run.id].pass_ratio == 1, "it agrees with every person"
        assert context.store.judges([run.id]) == {}, "nobody judges the judge"


@pytest.mark.parametrize("first", ["bot", "judge"])
async def test_a_judge_that_moved_is_a_ticket_and_what_rests_on_it_pages_nobody(folder: Path, first: str) -> None:
    clock = Clock(AFTER)
    async with context_of(configure(folder, STRICT), clock) as context:
        await one_day(context, clock, first)
        flips, score = open_alarm(context, "judge", "negative_flips"), open_alarm(context, "bot", "judge_score")
        assert flips is not None
        assert (flips.severity, flips.state) == (Severity.TICKET, AlarmState.CONFIRMED)
        assert score is not None
        assert (score.severity, score.state, score.confirmation) == (
            Severity.TICKET, AlarmState.CONFIRMED, Confirmation.JUDGE_MOVED,
        )  # fmt: skip
        assert all(one.severity is Severity.TICKET for one in context.store.alarms())
        (told,) = context.store.findings("bot", run_id=score.confirmed_run_id, signal="judge_score")
        assert told.judge_moved
        why = policy.JUDGE_MOVED if first == "judge" else policy.UNCHANGED  # the answers are the approved ones
        assert told.caveat == f"A ticket instead of a page: {why[:1].lower()}{why[1:]}"
        by_itself = context.store.findings("judge", signal="negative_flips")[0]
        assert summary_of(by_itself).startswith("judge no longer agrees with people as before: 12 of 24 answers")
        assert policy.JUDGE_ITSELF[1:] in by_itself.caveat
        asked_anew = [run for run in context.store.runs("judge") if not run.scheduled]
        assert asked_anew == [], "nothing to confirm: it is known, or the answers show that the target did not change"
        assert recomputes(context)


async def test_a_judge_that_gives_no_verdicts_has_moved(folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(configure(folder, RAMBLING), clock) as context:
        await one_day(context, clock)
        assert open_alarm(context, "judge", "negative_flips") is not None
        run = context.store.runs("judge", limit=1)[0]
        assert context.store.summaries([run.id])[run.id].pass_ratio == 0


async def test_a_judge_that_is_only_another_build_lowers_no_page(folder: Path) -> None:
    """Its fingerprint is news of its own; the anchors say that it agrees with people as it did."""
    named = [{**rule, "fingerprint": "another"} if rule["model"] == "judge" else rule for rule in LOST]
    clock = Clock(AFTER)
    async with context_of(configure(folder, named), clock) as context:
        await one_day(context, clock, "judge")
        assert {one.signal for one in context.store.open_alarms("judge", "people-say")} == {"contract"}
        assert not judge_moved(context)
        score = open_alarm(context, "bot", "judge_score")
        assert score is not None
        assert score.severity is Severity.PAGE
        (told,) = context.store.findings("judge", signal="contract")[:1]
        said = claim_of(context.store, told)
        assert (said.suspect, said.runbook) == ("the model", "CliffwatchContractChanged")
        dropped = context.store.findings("bot", signal="judge_score")[0]
        assert claim_of(context.store, dropped).suspect != "the judge"
        assert recomputes(context)


async def test_a_real_drop_still_pages_while_the_judge_is_as_it_was(folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(configure(folder, LOST), clock) as context:
        await one_day(context, clock)
        score = open_alarm(context, "bot", "judge_score")
        assert score is not None
        assert (score.severity, score.confirmation) == (Severity.PAGE, Confirmation.FRESH_SAMPLE)
        (anew,) = [run for run in context.store.runs("judge") if not run.scheduled]
        assert anew.finished_at is not None
        assert score.confirmed_at is not None
        assert anew.finished_at <= score.confirmed_at, "the anchors were heard before anybody was woken"
        assert context.store.open_alarms("judge", "people-say") == []
        assert recomputes(context)


async def test_the_anchors_are_scored_before_the_sample_is_asked(folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(configure(folder, LOST), clock) as context:
        clock.at = AFTER.replace(hour=20)
        run = ensure_run(context, "bot", "facts", AFTER.replace(hour=0))
        assert await execute_run(context, run.id, at_once=True) is not None
        (fresh,) = [one for one in context.store.due_runs(clock.at) if one.confirms is not None]
        with capture_logs() as logged:
            assert await execute_run(context, fresh.id) is not None
        told = [one for one in logged if one["event"] in {"anchors_asked_anew", "asked", "run_finished"}]
        assert [(one["event"], one.get("target")) for one in told] == [
            ("anchors_asked_anew", "bot"), ("asked", None), ("run_finished", "judge"),
            ("asked", None), ("asked", None), ("run_finished", "bot"),
        ], "the anchors, then the sample, then the judge about it"  # fmt: skip


async def test_anchors_that_cannot_be_scored_hold_up_no_page(folder: Path) -> None:
    clock, asked = Clock(AFTER), []

    async def broken(run_id: int) -> None:
        asked.append(run_id)
        raise RuntimeError("an error of ours")

    async with context_of(configure(folder, LOST), clock) as context:
        clock.at = AFTER.replace(hour=20)
        run = ensure_run(context, "bot", "facts", AFTER.replace(hour=0))
        assert await execute_run(context, run.id, at_once=True) is not None
        (fresh,) = [one for one in context.store.due_runs(clock.at) if one.confirms is not None]
        await check_judge(context, fresh, context.suites["facts"], broken)
        assert len(asked) == 1


async def test_a_page_is_lowered_when_the_judge_moves_and_pages_again_when_it_is_back(folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(configure(folder, LOST), clock) as context:
        await one_day(context, clock)
        raised = open_alarm(context, "bot", "judge_score")
        assert raised is not None
        assert raised.severity is Severity.PAGE
    lost_and_strict = [LOST[0], *STRICT[1:]]
    async with context_of(configure(folder, lost_and_strict), clock) as context:
        await one_day(context, clock, "judge")
        lowered = open_alarm(context, "bot", "judge_score")
        assert lowered is not None
        assert (lowered.id, lowered.severity, lowered.confirmation) == (
            raised.id,
            Severity.TICKET,
            Confirmation.JUDGE_MOVED,
        )
        other = open_alarm(context, "bot", "adapter_loss")
        assert other is not None
        assert other.severity is Severity.PAGE, "what does not rest on the judge pages as before"
        assert recomputes(context)
    async with context_of(configure(folder, LOST), clock) as context:
        for _ in range(DAYS):
            await one_day(context, clock, "judge")
            if not context.store.open_alarms("judge", "people-say"):
                break
        back = open_alarm(context, "bot", "judge_score")
        assert back is not None
        assert (back.id, back.severity, back.confirmation) == (raised.id, Severity.PAGE, Confirmation.FRESH_SAMPLE)
        assert recomputes(context)


async def test_the_anchors_have_a_budget_of_their_own(folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(configure(folder, HEALTHY, budget={"requests_per_day": 10}), clock) as context:
        await one_day(context, clock)
        (scored,) = [run for run in context.store.runs("judge") if run.slot == AFTER]
        assert scored.outcome is RunOutcome.PARTIAL
        assert context.store.unmeasured(scored.id) == {"budget": 14}
        assert context.store.spent("judge", AFTER.date()).requests == 10
        assert context.store.runs("bot", limit=1)[0].outcome is RunOutcome.MEASURED
