"""What servers say they serve, over real HTTP: the lab's, and one that replays replies, hostile ones too."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor import config
from monitor.core.records import Arm, IdentityCheck, Match
from monitor.daemon.app import App
from monitor.daemon.jobs import identity_checks
from monitor.lab.broken import BROKEN
from monitor.lab.process import LabServer
from monitor.lab.served import weights_dir
from monitor.runs.context import RunContext
from tests.daemon import HEALTHY, Clock, context_of, write
from tests.http_server import Reply, Request, ScriptedServer

VLLM = {"kind": "openai", "free": True}
LISTED: dict[str, Any] = {
    "object": "list",
    "data": [
        {"id": "support", "root": "/adapters/support", "parent": "llama"},
        {"id": "llama", "root": "meta-llama/Llama-3.1-8B-Instruct", "parent": None},
        {"id": "llama-alias", "root": "meta-llama/Llama-3.1-8B-Instruct", "parent": None},
        {"id": "mistral", "root": "mistralai/Mistral-7B", "parent": None},
        {"id": "merged", "root": "/models/merged", "parent": None},
        {"id": "qwen:latest"},
        {"id": "openrouter/*"},
    ],
}


def configured(folder: Path, url: str, targets: dict[str, Any], **provider: Any) -> Path:
    """``cliffwatch.yaml`` with the targets at one server, scripted answers beside it."""
    providers = {
        "vllm": {**VLLM, "base_url": url, **provider},
        "script": {"kind": "scripted", "script": "script.yaml"},
    }
    return write(folder, HEALTHY, providers=providers, targets=targets)


def bot(subject: str, base: str | None = "llama", **more: Any) -> dict[str, Any]:
    target = {"subject": {"provider": "vllm", "model": subject}, "suites": ["facts"], **more}
    return target | ({"base": {"provider": "vllm", "model": base}} if base else {})


@asynccontextmanager
async def looked(folder: Path, script: Any, **target: Any) -> AsyncIterator[tuple[RunContext, ScriptedServer]]:
    async with ScriptedServer(script) as server:
        path = configured(folder, server.url, {"bot": bot(**target)})
        async with context_of(path, Clock()) as context:
            yield context, server


def subject(context: RunContext) -> dict[str, bool | None]:
    """Check -> whether it matches; ``None``: it cannot tell."""
    return {one.check: result(one) for one in context.store.identity_checks("bot") if one.arm is Arm.SUBJECT}


def result(one: IdentityCheck) -> bool | None:
    return None if one.result is Match.CANNOT_TELL else one.result is Match.MATCHES


def found(context: RunContext, check: str) -> IdentityCheck:
    (one,) = [one for one in context.store.identity_checks("bot") if (one.arm, one.check) == (Arm.SUBJECT, check)]
    return one


async def look(context: RunContext, at: datetime | None = None) -> None:
    identity_checks.settle(context, await identity_checks.look(context), at or context.clock())


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({"subject": "support"}, {"listed": True, "parent": True}),
        ({"subject": "support", "base": "llama-alias"}, {"listed": True, "parent": True}),
        ({"subject": "support", "base": "mistral"}, {"listed": True, "parent": False}),
        ({"subject": "support", "base": None}, {"listed": True}),
        ({"subject": "merged"}, {"listed": True, "root": True}),
        ({"subject": "llama-alias"}, {"listed": True, "root": False}),
        ({"subject": "gone"}, {"listed": False}),
        ({"subject": "qwen", "base": None}, {"listed": True}),
        ({"subject": "openrouter/any/model", "base": None}, {"listed": True}),
    ],
)
async def test_what_a_server_lists_is_compared(target: dict[str, Any], told: dict[str, bool], tmp_path: Path) -> None:
    def script(request: Request) -> Reply:
        return Reply(body=LISTED) if request.path == "/v1/models" else Reply(404, {"error": {"message": "no"}})

    async with looked(tmp_path, script, **target) as (context, server):
        await look(context)
        assert subject(context) == told
        assert all(request.body is None for request in server.requests), "no question was asked"


async def test_the_words_of_a_mismatch_say_what_to_look_at(tmp_path: Path) -> None:
    async with looked(tmp_path, [Reply(body=LISTED)], subject="support", base="mistral") as (context, _):
        await look(context)
        parent = found(context, "parent")
        assert parent.expected == "an adapter on 'mistral', the declared base"
        assert parent.found == "an adapter on 'llama' (loaded from 'meta-llama/Llama-3.1-8B-Instruct')"


async def test_a_declared_adapter_says_its_base_where_none_is_served(tmp_path: Path) -> None:
    adapter = {"path": str(weights_dir() / "support"), "base_model": "lab/base"}
    served = {"data": [{"id": "support", "parent": "b"}, {"id": "b", "root": "lab/base"}]}
    async with looked(tmp_path, [Reply(body=served)], subject="support", base=None, adapter=adapter) as (
        context,
        server,
    ):
        await look(context)
        assert result(found(context, "parent"))
        served["data"][1]["root"] = "lab/other"
        server.script = [Reply(body=served)]
        await look(context)
        assert found(context, "parent").differs
        served["data"][1]["root"], served["data"][0]["parent"] = "/models/b", "/models/b"
        await look(context)
        assert subject(context)["parent"] is None, "a folder there and a hub id here cannot be compared"


async def test_a_model_that_the_list_leaves_out_is_asked_for_by_its_name(tmp_path: Path) -> None:
    def script(request: Request) -> Reply:
        if request.path == "/v1/models":
            return Reply(body=LISTED)
        return Reply(body={"id": "org/hidden"}) if request.path == "/v1/models/org%2Fhidden" else Reply(404)

    async with looked(tmp_path, script, subject="org/hidden", base=None) as (context, _):
        await look(context)
        assert subject(context) == {"listed": True}


OUTAGES: dict[str, list[Reply]] = {
    "500": [Reply(500, {"error": "down"})],
    "401": [Reply(401, {"error": {"message": "no"}})],
    "no such path": [Reply(404, b"<html>not found</html>")],
    "dropped": [Reply(drop=True)],
    "cut": [Reply(body=LISTED, cut=True)],
    "not json": [Reply(body=b"{nope")],
    "no list": [Reply(body={"data": "support"})],
    "a list of nothing": [Reply(body={"data": []})],
    "entries of no kind": [Reply(body={"data": [1, None, {"id": 5}, []]})],
    "deep": [Reply(body=b"[" * 100_000)],
    "huge": [Reply(body=b'{"data": "' + b"x" * 9_000_000 + b'"}')],
    "slow": [Reply(body=LISTED, hang=30)],
}


@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage_leaves_the_last_word_standing(name: str, tmp_path: Path) -> None:
    async with ScriptedServer([Reply(body=LISTED)]) as server:
        path = configured(tmp_path, server.url, {"bot": bot("support")}, timeout_seconds=1)
        async with context_of(path, Clock()) as context:
            await look(context)
            before = context.store.identity_checks()
            server.script = OUTAGES[name]
            seen = await identity_checks.look(context)
            assert all(one.reading is None and one.error for one in seen)
            identity_checks.settle(context, seen, context.clock() + timedelta(hours=1))
            assert context.store.identity_checks() == before


async def test_hostile_names_are_cut_and_made_visible(tmp_path: Path) -> None:
    odd = {"id": "\x1b[2J\u202e" + "a" * 5000, "parent": {"x": 1}, "root": 7}
    data = [odd, odd, odd, {"id": "support", "parent": "\n" * 9000}]
    async with looked(tmp_path, [Reply(body={"data": data})], subject="support") as (context, server):
        await look(context)
        parent = found(context, "parent")
        assert result(parent) is None
        assert parent.found.isprintable()
        assert len(parent.found) < 300
        server.script = lambda request: Reply(body={"data": data[:1]}) if request.path == "/v1/models" else Reply(404)
        await look(context)
        assert found(context, "listed").found.isprintable()


async def test_since_is_kept_and_what_no_longer_applies_is_forgotten(tmp_path: Path) -> None:
    async with looked(tmp_path, [Reply(body=LISTED)], subject="support", base="mistral") as (context, server):
        start = context.clock()
        for hours in range(3):
            await look(context, start + timedelta(hours=hours))
        assert found(context, "parent").since == start
        plain = {"data": [{"id": one["id"]} for one in LISTED["data"]]}
        server.script = [Reply(body=plain)]
        await look(context, start + timedelta(hours=3))
        assert subject(context) == {"listed": True}, "a server that says less has no parent to compare"


async def test_a_target_that_moved_to_where_nothing_can_be_asked_leaves_no_mismatch_behind(tmp_path: Path) -> None:
    async with looked(tmp_path, [Reply(body=LISTED)], subject="support", base="mistral") as (context, _):
        await look(context)
        assert found(context, "parent").differs
    moved = {**bot("support", None), "subject": {"provider": "script", "model": "support"}}
    async with context_of(configured(tmp_path, "http://127.0.0.1:9/v1", {"bot": moved}), Clock()) as context:
        assert subject(context), "the store of before"
        await identity_checks.identify_now(context, "bot")
        assert subject(context) == {}


async def test_a_new_mismatch_is_looked_at_twice(tmp_path: Path) -> None:
    async with looked(tmp_path, [Reply(body=LISTED)], subject="support") as (context, server):
        memory = identity_checks.Memory()

        async def again() -> None:
            identity_checks.settle(context, await identity_checks.look(context), context.clock(), memory)

        await again()
        gone = {"data": [one for one in LISTED["data"] if one["id"] != "support"]}
        server.script = lambda request: Reply(body=gone) if request.path == "/v1/models" else Reply(404)
        await again()
        assert result(found(context, "listed")), "a server that restarts lists its adapters a moment later"
        assert memory.doubted
        await again()
        assert found(context, "listed").differs
        assert not memory.doubted
        server.script = [Reply(body=LISTED)]
        await again()
        assert result(found(context, "listed")), "good news needs no second look"


FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme::AbC123"


@pytest.mark.parametrize(
    ("base", "matches"), [("gpt-4o-mini-2024-07-18", True), ("gpt-4o-mini", True), ("gpt-4o-2024-08-06", False)]
)
async def test_a_fine_tunes_id_names_its_base(base: str, matches: bool, tmp_path: Path) -> None:
    listed = {"data": [{"id": FINE_TUNE}, {"id": base}]}
    async with looked(tmp_path, [Reply(body=listed)], subject=FINE_TUNE, base=base) as (context, _):
        await look(context)
        assert result(found(context, "ft_base")) is matches


async def test_retirements_come_from_the_api_and_the_configuration_wins(tmp_path: Path) -> None:
    listed = {
        "data": [
            {"id": FINE_TUNE},
            {"id": "gpt-4o-mini-2024-07-18", "shutdown_date": "2027-01-14"},
            {"id": "next", "shutdown_date": "9999-99-99"},
        ]
    }
    january = datetime(2027, 1, 14, tzinfo=UTC)
    target = bot(FINE_TUNE, "gpt-4o-mini-2024-07-18", snapshot={"provider": "vllm", "model": "next"})
    async with ScriptedServer([Reply(body=listed)]) as server:
        async with context_of(configured(tmp_path, server.url, {"bot": target}), Clock()) as context:
            await look(context)
            told = {one.arm: (one.retires_at, one.source, one.model) for one in context.store.retirements("bot")}
            assert told == {
                Arm.SUBJECT: (january, "vllm", FINE_TUNE),
                Arm.BASE: (january, "vllm", "gpt-4o-mini-2024-07-18"),
            }, "a fine-tune ends with its base; a day that is none is not told"
            server.script = [Reply(500)]
            await look(context)
            assert len(context.store.retirements("bot")) == 2, "an outage postpones nothing"
        target["subject"]["retires"] = "2026-12-24"
        async with context_of(configured(tmp_path, server.url, {"bot": target}), Clock()) as context:
            await look(context)
            told = {one.arm: (one.retires_at, one.source, one.model) for one in context.store.retirements("bot")}
            assert told[Arm.SUBJECT] == (datetime(2026, 12, 24, tzinfo=UTC), "config", FINE_TUNE)
        del target["subject"]["retires"], target["base"]
        async with context_of(configured(tmp_path, server.url, {"bot": target}), Clock()) as context:
            await look(context)
            assert context.store.retirements("bot") == [], "nobody says these any more"


async def test_anthropics_models_api(tmp_path: Path) -> None:
    def script(request: Request) -> Reply:
        assert request.headers["anthropic-version"]
        models = {
            "claude-a": {"id": "claude-a", "lifecycle": "deprecated", "retires_at": "2026-11-30T00:00:00Z"},
            "claude-b": {"id": "claude-b", "lifecycle": "retired", "retires_at": None},
        }
        name = request.path.rpartition("/")[2]
        error = {"type": "error", "error": {"type": "not_found_error", "message": f"model: {name}"}}
        return Reply(body=models[name]) if name in models else Reply(404, error)

    async with ScriptedServer(script) as server:
        targets = {
            name: {"subject": {"provider": "vllm", "model": f"claude-{name}"}, "suites": ["facts"]} for name in "abc"
        }
        path = configured(tmp_path, server.url, targets, kind="anthropic")
        async with context_of(path, Clock()) as context:
            await look(context)
            told = {one.target: (one.check, result(one)) for one in context.store.identity_checks()}
            assert told == {"a": ("listed", True), "b": ("listed", False), "c": ("listed", False)}
            (retirement,) = context.store.retirements()
            assert (retirement.target, retirement.retires_at) == ("a", datetime(2026, 11, 30, tzinfo=UTC))
            server.script = [Reply(404, b"no such page")]
            assert all(one.error for one in await identity_checks.look(context)), "a gateway's 404 is not the API's"


async def test_the_labs_server_and_its_listing_faults(tmp_path: Path, lab_server: LabServer) -> None:
    adapter = {"path": str(weights_dir() / "support"), "base_model": "lab/base"}
    path = configured(tmp_path, lab_server.openai_url, {"bot": bot("lab-support", "lab-base", adapter=adapter)})
    async with context_of(path, Clock()) as context:
        await look(context)
        told = subject(context)
        assert set(told) == {"listed", "parent", "served_root", "adapter_base", "adapter_tensors", "adapter_effect"}
        assert all(told.values())
        with lab_server.fault("other-parent"):
            await look(context)
        assert {check for check, matches in subject(context).items() if not matches} == {"parent"}
        with lab_server.fault("adapter-unlisted"):
            await look(context)
        assert {check for check, matches in subject(context).items() if not matches} == {"listed"}
        with lab_server.fault("server-errors"):
            await look(context)
        assert subject(context)["listed"], "its answers fail; its listing does not"


def test_the_command_says_what_differs_and_keeps_it(tmp_path: Path, lab_server: LabServer) -> None:
    broken = BROKEN["zero_lora_b"](weights_dir() / "support", tmp_path)
    adapter = {"path": str(broken), "base_model": "lab/base"}
    targets = {"bot": bot("lab-support", "lab-base", adapter=adapter), "fine": bot("lab-support", "lab-base")}
    path = configured(tmp_path, lab_server.openai_url, targets)
    code, out, _ = identify(path, "bot")
    assert code == 1
    assert out.splitlines()[0].startswith("MISMATCH  bot subject adapter_effect: expected lora_B that are not")
    assert "ok        bot subject parent: an adapter on 'lab-base', the declared base" in out
    code, out, _ = identify(path, "fine", "--json")
    assert code == 0
    assert {(one["arm"], one["check"]) for one in json.loads(out)["checks"]} == {
        ("base", "listed"), ("subject", "listed"), ("subject", "parent"),
    }  # fmt: skip
    away = configured(tmp_path, "http://127.0.0.1:9/v1", {"bot": bot("lab-support", "lab-base")})
    code, out, _ = identify(away)
    assert (code, out.count("unread")) == (3, 2)


def identify(path: Path, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "monitor", "identify", *arguments]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


async def test_the_daemon_finds_a_mismatch_by_itself_and_its_end(tmp_path: Path, lab_server: LabServer) -> None:
    path = configured(tmp_path, lab_server.openai_url, {"bot": bot("lab-support", "lab-base")})
    path.write_text(path.read_text().replace("batches: 3", "batches: 3\n  day_seconds: 20"))
    assert config.load(path).schedule.day_seconds == 20
    app = App(path)
    await app.start()
    try:
        assert app.context is not None
        context = app.context

        async def until(matches: bool) -> None:
            async with asyncio.timeout(20):
                while subject(context).get("parent") is not matches:
                    await asyncio.sleep(0.1)

        await until(True)
        lab_server.switch_on("other-parent")
        await until(False)
        lab_server.switch_off()
        await until(True)
    finally:
        lab_server.switch_off()
        await app.stop()


async def test_a_server_that_hangs_holds_up_neither_ticks_nor_the_stop(tmp_path: Path) -> None:
    async with ScriptedServer([Reply(body=LISTED, hang=600)]) as server:
        app = App(configured(tmp_path, server.url, {"bot": bot("support")}))
        await app.start()
        async with asyncio.timeout(60):
            while not evaluations(server):
                await asyncio.sleep(0.05)
            assert app.context is not None
            await app.tick(app.context.clock() + timedelta(hours=2))
            assert evaluations(server) == 1, "one round at a time"
            configured(tmp_path, server.url, {"bot": bot("another")})
            assert await app.reload() is None
            await app.tick(app.context.clock())
            while evaluations(server) < 2:
                await asyncio.sleep(0.05)  # the new configuration is looked at, and the old round is given up
            await app.stop()


def evaluations(server: ScriptedServer) -> int:
    return [request.path for request in server.requests].count("/v1/models")
