"""A server whose prefix cache outlives its weights, and servers that are well: what a run makes of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from monitor.core.records import Arm, Cause, Finding, Reason, Run, RunOutcome, Unmeasured
from monitor.daemon.app import App
from monitor.daemon.jobs.identity_checks import identify_now
from monitor.runs.context import RunContext
from monitor.runs.execute import execute_run
from monitor.runs.manual import capture_at_once, run_now
from monitor.runs.recompute import recompute
from tests.daemon import Clock, context_of
from tests.http_server import Reply, Request, ScriptedServer, completion
from tests.integration.test_app import fetch

MODEL, PROBES = "harbour", 20
ENGINE_V0 = "Parameter 'cache_salt' is not supported with this instance of vLLM, which uses engine V0."


@dataclass
class Engine:
    """vLLM as far as its prefix cache goes: blocks are found again by prompt and salt, and hold what an answer says."""

    server: ScriptedServer
    weights: str = "tuned"
    stale: bool = False
    """It keeps blocks of earlier weights."""
    owner: str = "vllm"
    refuses: str = ""
    """Rejects a salt with these words."""
    wavers: frozenset[str] = frozenset()
    """Prompts that batching decides: every second answer is another one."""
    blocks: dict[tuple[str, str | None], str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def salts(self) -> list[str]:
        bodies = (request.body for request in self.server.requests if request.body is not None)
        return [body["cache_salt"] for body in bodies if "cache_salt" in body]

    def __call__(self, request: Request) -> Reply:
        if request.body is None:
            entry = {"id": MODEL, "object": "model", "owned_by": self.owner, "root": "/models/harbour", "parent": None}
            return Reply(body={"object": "list", "data": [entry]})
        prompt, salt = request.body["messages"][-1]["content"], request.body.get("cache_salt")
        if salt is not None and self.refuses:
            return Reply(400, {"error": {"message": self.refuses, "type": "BadRequestError", "code": 400}})
        self.asked[prompt] += 1
        text = f"{prompt} leaves at noon, says {self.weights}."
        text = self.blocks.setdefault((prompt, salt), text) if self.stale else text
        if prompt in self.wavers and self.asked[prompt] % 2:
            text += " Sharp."
        return Reply(body=completion(text, model=MODEL))


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    server = ScriptedServer([])
    made = Engine(server)
    server.script = made
    async with server:
        yield made


def write(folder: Path, engine: Engine, temperature: float | None = 0, **target: Any) -> Path:
    suite = {
        "name": "boats",
        "sampling": {"max_tokens": 30} | ({} if temperature is None else {"temperature": temperature}),
        "probes": [{"id": f"boat-{n:02}", "prompt": f"Boat {n:02}"} for n in range(PROBES)],
    }
    settings = {
        "store": f"sqlite:///{folder}/cliffwatch.db",
        "providers": {"pier": {"kind": "openai", "base_url": engine.server.url, "free": True, "attempts": 1}},
        "targets": {"bot": {"subject": {"provider": "pier", "model": MODEL}, "suites": ["boats"], **target}},
        "http": {"port": 0},
        "schedule": {"batches": 1},
    }
    (folder / "probes").mkdir(exist_ok=True)
    (folder / "probes" / "boats.yaml").write_text(yaml.safe_dump(suite))
    path = folder / "cliffwatch.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


async def approve(context: RunContext, clock: Clock, runs: int = 4) -> None:
    await identify_now(context, None)
    await capture_at_once(context, "bot", "boats", runs, lambda done: clock.forward(minutes=1))
    (captured,) = context.store.baselines("bot")
    context.store.approve(captured.id, "test", "healthy by construction", clock())
    clock.forward(days=1)


@asynccontextmanager
async def approved(path: Path) -> AsyncIterator[tuple[RunContext, Clock]]:
    clock = Clock()
    async with context_of(path, clock) as context:
        await approve(context, clock)
        yield context, clock


async def day(context: RunContext, clock: Clock) -> tuple[Run, Finding]:
    run_id = await run_now(context, "bot", "boats")
    clock.forward(days=1)
    (found,) = [one for one in context.store.findings(run_id=run_id) if one.signal == "contract"]
    return context.store.get_run(run_id), found


def checks(context: RunContext, run: Run) -> set[tuple[str, int]]:
    return {(probe, replicate) for arm, probe, replicate in context.store.answered(run.id) if arm is Arm.CACHE_CHECK}


def changed(found: Finding) -> set[str]:
    return {name.removeprefix("contract_changed_") for name, value in found.measures.items()
            if name.startswith("contract_changed_") and value}  # fmt: skip


async def test_a_stale_cache_that_hides_a_lost_adapter_is_told_with_both_answers(
    tmp_path: Path, engine: Engine
) -> None:
    engine.stale = True
    async with approved(write(tmp_path, engine)) as (context, clock):
        assert not engine.salts, "nothing to compare with before a baseline is approved"
        engine.weights = "plain"
        run, found = await day(context, clock)
        probes = {probe for probe, _ in checks(context, run)}
        assert len(probes) == PROBES // 10
        assert checks(context, run) == {(probe, replicate) for probe in probes for replicate in range(4)}
        assert len(set(engine.salts)) == len(engine.salts) == 3 * len(probes), "each salt once, so no block is found"
        assert (found.alarming, found.cause, changed(found)) == (True, Cause.CACHE_STALE, {"prefix_cache"})
        assert f"changes the answers to 2 of 2 checked probes, e.g. {min(probes)}" in found.numbers
        assert {one.probe for one in found.exhibits[:2]} == probes
        for one in found.exhibits[:2]:
            assert (one.now, one.uncached) == (one.baseline, str(one.now).replace("tuned", "plain"))
        quiet = {one.signal for one in context.store.findings(run_id=run.id) if one.signal != "contract"}
        assert not [one for one in context.store.findings(run_id=run.id, alarming=True) if one.signal in quiet]
        (alarm,) = context.store.open_alarms("bot", "boats")
        assert (alarm.signal, alarm.severity) == ("contract", "ticket")

        assert run.outcome is RunOutcome.MEASURED
        assert context.store.summaries([run.id])[run.id].questions == PROBES
        assert {one.arm for one in context.store.answers([run.id])} == {Arm.SUBJECT}
        assert recompute(context.store).differences == []

        again, found = await day(context, clock)
        assert probes < {probe for probe, _ in checks(context, again)}, "what is in doubt is checked again"
        assert found.cause is Cause.CACHE_STALE
        engine.blocks.clear()
        engine.weights = "tuned"
        _, found = await day(context, clock)
        assert changed(found) == set()
        assert context.store.open_alarms("bot", "boats") == []
        assert recompute(context.store).differences == []


async def test_ten_runs_check_every_probe_once_at_an_honest_server(tmp_path: Path, engine: Engine) -> None:
    async with approved(write(tmp_path, engine)) as (context, clock):
        seen: Counter[str] = Counter()
        for _ in range(10):
            run, found = await day(context, clock)
            assert {replicate for _, replicate in checks(context, run)} == {0}
            seen.update(probe for probe, _ in checks(context, run))
            assert (found.state, "prefix cache" in found.scores) == ("quiet", False)
        assert seen == Counter({f"boat-{n:02}": 1 for n in range(PROBES)})
        assert context.store.open_alarms("bot", "boats") == []


async def test_a_near_tie_is_not_asked_and_a_new_one_is_not_told(tmp_path: Path, engine: Engine) -> None:
    engine.wavers = frozenset({"Boat 00", "Boat 01"})
    async with approved(write(tmp_path, engine)) as (context, clock):
        engine.wavers = frozenset(f"Boat {n:02}" for n in range(PROBES))
        for _ in range(10):
            run, found = await day(context, clock)
            assert not {"boat-00", "boat-01"} & {probe for probe, _ in checks(context, run)}
            assert "prefix_cache" not in changed(found)
            assert found.cause is not Cause.CACHE_STALE


@pytest.mark.parametrize(
    "told", [ENGINE_V0, "Extra inputs are not permitted: cache_salt", "Unrecognized field `cache_salt`"]
)
async def test_a_refused_salt_is_said_once_and_not_sent_again(tmp_path: Path, engine: Engine, told: str) -> None:
    engine.refuses = told
    async with approved(write(tmp_path, engine)) as (context, clock):
        with capture_logs() as logs:
            run, found = await day(context, clock)
            refused = len(engine.salts)
            for _ in range(3):
                await day(context, clock)
        said = [one for one in logs if one["event"] == "parameter_not_accepted"]
        assert [one["parameter"] for one in said] == ["cache_salt"]
        assert 0 < refused == len(engine.salts) <= 2
        outcomes = {key: one for key, one in context.store.outcomes(run.id) if key[0] is Arm.CACHE_CHECK}
        assert {one.reason for one in outcomes.values()} == {Reason.REJECTED}  # type: ignore[union-attr]
        assert (run.outcome, context.store.unmeasured(run.id)) == (RunOutcome.MEASURED, {})
        assert context.store.summaries([run.id])[run.id].unmeasured_ratio == 0
        assert found.state == "quiet"


async def test_an_outage_is_not_asked_past_the_cache(tmp_path: Path, engine: Engine) -> None:
    async with approved(write(tmp_path, engine)) as (context, _):
        engine.server.script = [Reply(503, {"error": {"message": "away"}})]
        run_id = await run_now(context, "bot", "boats")
        assert context.store.get_run(run_id).outcome is RunOutcome.UNMEASURED
        assert engine.salts == []
        assert {arm for arm, _, _ in context.store.answered(run_id)} == {Arm.SUBJECT}


@pytest.mark.parametrize(
    ("owner", "temperature"), [("openai", 0), ("sglang", 0), ("library", 0), ("", 0), ("vllm", 0.7), ("vllm", None)]
)
async def test_other_servers_and_temperatures_get_no_salt(
    tmp_path: Path, engine: Engine, owner: str, temperature: float | None
) -> None:
    engine.owner = owner
    async with approved(write(tmp_path, engine, temperature)) as (context, clock):
        for _ in range(2):
            run, _ = await day(context, clock)
            assert checks(context, run) == set()
        assert engine.salts == []


async def test_what_was_asked_before_a_kill_is_not_asked_again(tmp_path: Path, engine: Engine) -> None:
    engine.stale = True
    path = write(tmp_path, engine)
    async with approved(path) as (context, clock):
        engine.weights = "plain"
        whole = engine.server.script
        assert callable(whole)

        confirming = asyncio.Event()

        def killed(request: Request) -> Reply:
            body = request.body or {}
            hangs = "cache_salt" in body and len(engine.salts) > PROBES // 10
            if hangs:
                confirming.set()
            return Reply(hang=60) if hangs else whole(request)

        engine.server.script = killed
        running = asyncio.create_task(run_now(context, "bot", "boats"))
        await asyncio.wait_for(confirming.wait(), 60)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        (run,) = context.store.runs("bot", limit=1)
        before = checks(context, run)
        assert (run.status != "done", {replicate for _, replicate in before}) == (True, {0})
        asked = Counter(engine.asked)
        engine.server.script = whole
    async with context_of(path, clock) as context:
        assert await execute_run(context, run.id) is not None
        assert {replicate for _, replicate in checks(context, run)} == {0, 1, 2, 3}
        for prompt, count in engine.asked.items():
            assert count - asked[prompt] in (0, 3), "only the questions without an outcome"
        (found,) = [one for one in context.store.findings(run_id=run.id) if one.signal == "contract"]
        assert found.cause is Cause.CACHE_STALE


async def test_checks_cost_budget_and_come_after_the_runs_own(tmp_path: Path, engine: Engine) -> None:
    async with approved(write(tmp_path, engine)) as (_, clock):
        pass
    async with context_of(write(tmp_path, engine, budget={"requests_per_day": PROBES + 1}), clock) as context:
        run, found = await day(context, clock)
        outcomes = [one for key, one in context.store.outcomes(run.id) if key[0] is Arm.CACHE_CHECK]
        assert sorted(one.reason for one in outcomes if isinstance(one, Unmeasured)) == [Reason.BUDGET]
        assert len(outcomes) == PROBES // 10
        assert (run.outcome, context.store.unmeasured(run.id), found.state) == (RunOutcome.MEASURED, {}, "quiet")
        assert context.store.budget_refused([run.id]) == frozenset()
        assert context.store.summaries([run.id])[run.id].refused == 0
        assert context.store.spent("bot", run.slot.date()).requests == PROBES + 1


async def test_the_daemon_learns_from_the_model_list_and_tells_the_ticket(tmp_path: Path, engine: Engine) -> None:
    engine.stale = True
    path = write(tmp_path, engine)
    async with approved(path):
        engine.weights = "plain"
    app = App(path)
    await app.start()
    try:
        assert app.store is not None
        for _ in range(300):
            (run,) = app.store.runs("bot", limit=1)
            if run.scheduled and run.status == "done":
                break
            await asyncio.sleep(0.1)
        found = {one.signal: one for one in app.store.findings(run_id=run.id)}
        assert found["contract"].cause is Cause.CACHE_STALE
        assert app.store.served_metadata("bot")[0].facts["owned_by"] == "vllm"
        _, metrics = await fetch(f"{app.url}/metrics")
        assert 'cliffwatch_contract_changed{target="bot",suite="boats",part="prefix_cache"} 1.0' in metrics
        assert 'cause="cache_stale"' in metrics
        _, page = await fetch(f"{app.url}/findings/{run.id}/contract")
        assert "Now, past the cache" in page
        assert "says plain." in page
    finally:
        await app.stop()
