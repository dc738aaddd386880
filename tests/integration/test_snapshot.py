"""The version to roll back to: asked a little in each run, compared only if configured, and never in the run's way."""

import json
from pathlib import Path
from typing import Any

from monitor.config.suites import SNAPSHOT_PROBES
from monitor.core.records import NOT_COUNTED, Arm, Cause, FindingState, Reason, RunOutcome, Severity, Unmeasured
from monitor.runs.context import ensure_run
from monitor.runs.execute import execute_run
from monitor.runs.manual import capture_at_once, run_now
from tests.daemon import AFTER, HEALTHY, LOST, NOON, SUITE, Clock, context_of, fresh_sample, one_day, write
from tests.http_server import Reply, ScriptedServer, completion

ALL = ["Of old: " + ", ".join(f"fact {n}" for n in range(18))]
BEFORE = [{"model": "before", "answers": ALL}, *HEALTHY]
ALL_PASS = [{"model": "tuned", "answers": ALL}, *BEFORE]
WRONG = [{"model": "before", "answers": ["no idea"]}, *ALL_PASS]
GONE = [{"model": "before", "error": {"reason": "server_error"}, "answers": ["never"]}, *HEALTHY]


def with_snapshot(folder: Path, rules: list[dict[str, Any]], **target: Any) -> Path:
    bot = {
        "subject": {"provider": "script", "model": "tuned"},
        "base": {"provider": "script", "model": "plain"},
        "snapshot": {"provider": "script", "model": "before"},
        "suites": ["facts"],
        **target,
    }
    return write(folder, rules, targets={"bot": bot})


async def test_a_run_asks_its_snapshot_a_few_probes_once(tmp_path: Path) -> None:
    clock = Clock(NOON.replace(hour=0))
    async with context_of(with_snapshot(tmp_path, BEFORE), clock) as context:
        chosen = []
        for _ in range(2):
            await one_day(context, clock)
            (run,) = context.store.runs("bot", limit=1)
            asked = [key for key in context.store.answered(run.id) if key[0] is Arm.SNAPSHOT]
            assert len(asked) == SNAPSHOT_PROBES
            assert {replicate for _, _, replicate in asked} == {0}
            chosen.append({probe for _, probe, _ in asked})
            assert run.outcome is RunOutcome.MEASURED
            scores = context.store.scores_of(run.id, {probe for _, probe, _ in asked})
            graders = {one.grader for key, some in scores.items() if key[0] is Arm.SNAPSHOT for one in some}
            assert graders == {"check:contains", "checks"}, "no judge is asked about it"
            assert {answer.arm for answer in context.store.answers([run.id])} == {Arm.SUBJECT, Arm.BASE}
            assert context.store.summaries([run.id])[run.id].questions == 4 * len(SUITE["probes"])
        assert chosen[0] != chosen[1], "each run draws its own"
        (ready,) = context.store.rollback()
        assert (ready.ready, ready.answered, ready.passed, ready.questions) == (True, 1.0, 1.0, 2 * SNAPSHOT_PROBES)


async def test_a_snapshots_outage_is_its_own(tmp_path: Path) -> None:
    clock = Clock(NOON.replace(hour=0))
    async with context_of(with_snapshot(tmp_path, GONE), clock) as context:
        await one_day(context, clock)
        (run,) = context.store.runs("bot", limit=1)
        assert (run.outcome, context.store.unmeasured(run.id)) == (RunOutcome.MEASURED, {})
        assert context.store.summaries([run.id])[run.id].unmeasured_ratio == 0
        (ready,) = context.store.rollback()
        assert (ready.ready, ready.answered, ready.passed) == (False, 0.0, None)


async def test_a_snapshot_that_answers_wrongly_is_not_ready(tmp_path: Path) -> None:
    clock = Clock(NOON.replace(hour=0))
    async with context_of(with_snapshot(tmp_path, ALL_PASS), clock) as context:
        await capture_at_once(context, "bot", "facts", 3, lambda done: clock.forward(minutes=done))
        (captured,) = context.store.baselines("bot")
        context.store.approve(captured.id, "test", "healthy by construction", clock())
        (good,) = context.store.rollback()
        assert (good.ready, good.passed, good.questions) == (True, 1.0, 3 * SNAPSHOT_PROBES)
        assert good.expected == 1.0, "the baseline's share of passes on the same probes"
    async with context_of(with_snapshot(tmp_path, WRONG), clock) as context:
        for _ in range(3):
            clock.forward(hours=1)
            run_id = await run_now(context, "bot", "facts")
            assert not context.store.findings(run_id=run_id, alarming=True), "it is never compared"
        (bad,) = context.store.rollback()
        assert (bad.ready, bad.answered, bad.passed) == (False, 1.0, 0.0)


async def test_a_fresh_sample_asks_no_snapshot(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(with_snapshot(armed_folder, [BEFORE[0], *LOST]), clock) as context:
        found = await one_day(context, clock)
        assert any(finding.alarming for finding in found)
        sample = fresh_sample(context)
        assert await execute_run(context, sample.id) is not None
        assert {arm for arm, _, _ in context.store.answered(sample.id)} == set(Arm) - set(NOT_COUNTED)


async def test_the_runs_own_questions_go_first_where_the_budget_is_short(tmp_path: Path) -> None:
    own = 2 * len(SUITE["probes"])
    path = with_snapshot(tmp_path, BEFORE, budget={"requests_per_day": own})
    path.write_text(path.read_text().replace("judge:\n  model: judge\n  provider: script\n", ""))
    assert "judge" not in path.read_text().partition("targets:")[0]
    async with context_of(path, Clock()) as context:
        run = context.store.get_run(await run_now(context, "bot", "facts"))
        assert run.outcome is RunOutcome.MEASURED
        outcomes = dict(context.store.outcomes(run.id))
        spare = [one for key, one in outcomes.items() if key[0] is Arm.SNAPSHOT]
        assert {one.reason for one in spare if isinstance(one, Unmeasured)} == {Reason.BUDGET}
        assert context.store.rollback() == [], "calls that were never made say nothing"


async def test_a_snapshot_that_hangs_holds_up_a_run_for_a_while_only(tmp_path: Path) -> None:
    async with ScriptedServer([Reply(body=completion("fact"), hang=60)]) as server:
        path = with_snapshot(tmp_path, HEALTHY, snapshot={"provider": "slow", "model": "before"})
        path.write_text(
            path.read_text()
            .replace("providers:", f"providers:\n  slow: {{kind: openai, free: true, base_url: '{server.url}'}}")
            .replace("batches: 3", "batches: 3\n  day_seconds: 10")
        )
        async with context_of(path, Clock()) as context:
            run = context.store.get_run(await run_now(context, "bot", "facts"))
            assert run.outcome is RunOutcome.MEASURED
            outcomes = [one for key, one in context.store.outcomes(run.id) if key[0] is Arm.SNAPSHOT]
            assert len(outcomes) == SNAPSHOT_PROBES
            told = {(one.reason, one.detail) for one in outcomes if isinstance(one, Unmeasured)}
            assert told == {(Reason.TIMEOUT, "no answer within 1 s; the run did not wait longer")}
            (ready,) = context.store.rollback()
            assert (ready.ready, ready.answered) == (False, 0.0)


async def test_a_snapshot_that_cannot_be_opened_fails_no_run(tmp_path: Path) -> None:
    path = with_snapshot(tmp_path, BEFORE, snapshot={"provider": "other", "model": "before"})
    path.write_text(path.read_text().replace("providers:", "providers:\n  other: {kind: scripted, script: other.yaml}"))
    (tmp_path / "other.yaml").write_text((tmp_path / "script.yaml").read_text())
    async with context_of(path, Clock()) as context:
        (tmp_path / "other.yaml").unlink()
        run = context.store.get_run(await run_now(context, "bot", "facts"))
        assert run.outcome is RunOutcome.MEASURED
        outcomes = [one for key, one in context.store.outcomes(run.id) if key[0] is Arm.SNAPSHOT]
        assert {one.reason for one in outcomes if isinstance(one, Unmeasured)} == {Reason.CONNECTION}
        assert not context.store.rollback()[0].ready


async def test_production_inputs_are_not_sent_to_another_endpoint(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    at = NOON.isoformat()
    lines = [{"time": at, "messages": [{"role": "user", "content": f"question {n}"}]} for n in range(9)]
    log.write_text("\n".join(json.dumps(line) for line in lines))
    production = {"source": {"kind": "jsonl", "path": str(log)}, "sample": 5}
    clock = Clock(NOON)
    clock.forward(hours=1)
    async with context_of(with_snapshot(tmp_path, BEFORE, production=production), clock) as context:
        run = ensure_run(context, "bot", "production", clock.at)
        while context.store.get_run(run.id).status != "done":
            await execute_run(context, run.id, at_once=True)
        assert {arm for arm, _, _ in context.store.answered(run.id)} == {Arm.SUBJECT, Arm.BASE}


async def test_a_snapshot_to_compare_gets_every_probe_and_shows_a_moved_alias(tmp_path: Path) -> None:
    clock, compared = Clock(NOON.replace(hour=0)), {"provider": "script", "model": "before", "compare": True}
    moved = [{"model": "tuned", "answers": ["Nobody knows that."]}, *ALL_PASS]
    async with context_of(with_snapshot(tmp_path, ALL_PASS, snapshot=compared), clock) as context:
        await capture_at_once(context, "bot", "facts", 3, lambda done: clock.forward(minutes=done))
        (captured,) = context.store.baselines("bot")
        context.store.approve(captured.id, "test", "healthy by construction", clock())
        run_id = await run_now(context, "bot", "facts")
        asked = [key for key in context.store.answered(run_id) if key[0] is Arm.SNAPSHOT]
        assert sorted(probe for _, probe, _ in asked) == sorted(one["id"] for one in SUITE["probes"])
        (quiet,) = (one for one in context.store.findings(run_id=run_id) if one.signal == "alias_moved")
        assert (quiet.state, quiet.effect) == (FindingState.QUIET, 0.0)
    async with context_of(with_snapshot(tmp_path, moved, snapshot=compared), clock) as context:
        clock.forward(hours=1)
        run_id = await run_now(context, "bot", "facts")
        (told,) = (one for one in context.store.findings(run_id=run_id) if one.signal == "alias_moved")
        said = (told.state, told.cause, told.severity)
        assert said == (FindingState.LOOK, Cause.ALIAS_MOVED, Severity.TICKET), "a look, on a baseline of one day"
        assert told.effect > 0.3


async def test_production_inputs_go_to_a_snapshot_only_to_compare(tmp_path: Path) -> None:
    asked = [{"at": NOON.isoformat(), "messages": [{"role": "user", "content": f"Where is {n}?"}]} for n in range(9)]
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
    source = {"kind": "jsonl", "path": "requests.jsonl", "time": "at"}
    for compare, expected in ((False, 0), (True, 9 + 3)):
        folder, clock = tmp_path / str(compare), Clock()
        folder.mkdir()
        (folder / "requests.jsonl").symlink_to(tmp_path / "requests.jsonl")
        spare = {"provider": "script", "model": "before", "compare": compare}
        made = with_snapshot(folder, ALL_PASS, snapshot=spare, production={"source": source, "sample": 20})
        async with context_of(made, clock) as context:
            clock.forward(minutes=1)
            run_id = await run_now(context, "bot", "production")
            keys = context.store.answered(run_id)
        assert sum(arm is Arm.SNAPSHOT for arm, _, _ in keys) == expected
        assert sum(arm is Arm.SUBJECT for arm, _, _ in keys) == 9
