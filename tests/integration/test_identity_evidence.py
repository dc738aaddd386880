"""Identity with what the store knows: answers under names that no list has, and what was approved. Over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor.core.records import Arm, BaselineStatus, IdentityCheck, Match
from monitor.daemon.actions import Actions
from monitor.daemon.jobs import identity_checks
from monitor.runs.context import RunContext
from monitor.runs.manual import capture_at_once, run_now
from tests.daemon import Clock, context_of
from tests.http_server import Reply, Request, ScriptedServer
from tests.integration.test_identity import bot, configured, identify

GATEWAY: dict[str, Any] = {"object": "list", "data": [{"id": "acme/chat"}, {"id": "group-1"}]}


def vllm(root: str = "/adapters/tuned") -> dict[str, Any]:
    base = {"id": "plain", "root": "/models/plain", "parent": None}
    return {"object": "list", "data": [base, {"id": "tuned", "root": root, "parent": "plain"}]}


def completion(model: str) -> dict[str, Any]:
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Fact 1."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    }  # fmt: skip


class Server:
    """A server whose list, and whose answers to each model, a test changes."""

    def __init__(self, listed: Any, *, status: int = 200, answers: bool = True) -> None:
        self.listed, self.status, self.answers = listed, status, answers
        self.reply_as: Callable[[str], str] = lambda model: model

    def __call__(self, request: Request) -> Reply:
        if request.path == "/v1/models":
            return Reply(self.status, self.listed)
        if request.body is None:
            return Reply(404, {"error": {"message": "Not Found"}})
        model = request.body["model"]
        if not self.answers:
            return Reply(404, {"error": {"message": f"The model `{model}` does not exist.", "code": 404}})
        return Reply(200, completion(self.reply_as(model)))


@asynccontextmanager
async def watching(folder: Path, server: Server, **target: Any) -> AsyncIterator[tuple[RunContext, Clock]]:
    async with ScriptedServer(server) as http:
        path = configured(folder, http.url, {"bot": bot(**target)})
        clock = Clock()
        async with context_of(path, clock) as context:
            yield context, clock


async def round_of(context: RunContext) -> dict[str, IdentityCheck]:
    """One round; the subject's checks."""
    await asyncio.to_thread(identity_checks.settle, context, await identity_checks.look(context), context.clock())
    return {one.check: one for one in context.store.identity_checks("bot") if one.arm is Arm.SUBJECT}


async def ask(context: RunContext, clock: Clock) -> None:
    await run_now(context, "bot", "facts")
    clock.forward(minutes=5)


@pytest.mark.parametrize("name", ["helpdesk-prod", "team-chat", "group-1-fast"])
@pytest.mark.parametrize("status", [200, 401, 403, 404, 405])
async def test_a_name_that_no_list_has_is_known_by_its_answers(name: str, status: int, tmp_path: Path) -> None:
    server = Server(GATEWAY, status=status)
    async with watching(tmp_path, server, subject=name, base=None) as (context, clock):
        before = await round_of(context)
        assert before["listed"].result is Match.CANNOT_TELL
        assert context.store.identity_checks(result=Match.DIFFERS) == []
        await ask(context, clock)
        after = await round_of(context)
        assert after["listed"].result is Match.MATCHES
        assert "it answers" in after["listed"].found
        server.answers = False
        await ask(context, clock)
        lost = await round_of(context)
        assert lost["listed"].differs
        assert f"the endpoint does not know the model '{name}'; every request is refused" in lost["listed"].found


async def test_an_adapter_that_is_unloaded_leaves_the_list_and_its_old_answers_do_not_hide_it(tmp_path: Path) -> None:
    server = Server(vllm())
    async with watching(tmp_path, server, subject="tuned", base="plain") as (context, clock):
        await ask(context, clock)
        assert (await round_of(context))["listed"].result is Match.MATCHES
        server.listed = {"object": "list", "data": vllm()["data"][:1]}
        clock.forward(hours=1)
        gone = await round_of(context)
        assert gone["listed"].differs
        assert "the server lists 'plain'" in gone["listed"].found
        await ask(context, clock)
        assert (await round_of(context))["listed"].result is Match.MATCHES, "it answers: it is loaded on demand"


async def test_a_reply_of_another_date_contradicts_a_pinned_version(tmp_path: Path) -> None:
    server = Server({"data": [{"id": "chat-2026-08-06"}, {"id": "chat-2026-11-20"}]})
    async with watching(tmp_path, server, subject="chat-2026-08-06", base=None) as (context, clock):
        await ask(context, clock)
        assert (await round_of(context))["answered_as"].result is Match.MATCHES
        server.reply_as = lambda _: "chat-2026-11-20"
        await ask(context, clock)
        found = (await round_of(context))["answered_as"]
        assert found.differs
        assert found.found == "replies name 'chat-2026-11-20'"
    async with watching(tmp_path, server, subject="chat", base=None) as (context, clock):
        await ask(context, clock)
        assert "answered_as" not in await round_of(context), "an alias may move"


async def test_another_adapter_than_at_the_approval_is_a_mismatch_until_it_is_accepted(tmp_path: Path) -> None:
    server = Server(vllm())
    async with watching(tmp_path, server, subject="tuned", base="plain") as (context, clock):
        assert "served_root" not in await round_of(context), "nothing to compare it with"
        await capture_at_once(context, "bot", "facts", 2)
        clock.forward(minutes=1)
        context.store.close_due_baselines(clock())
        (captured,) = context.store.baselines("bot", status=BaselineStatus.CAPTURED)
        Actions(lambda: context).approve(captured.id, "ada", "read")
        assert (await round_of(context))["served_root"].result is Match.MATCHES
        server.listed = vllm("/adapters/judge")
        clock.forward(hours=1)
        moved = (await round_of(context))["served_root"]
        assert moved.differs
        assert "loaded from '/adapters/tuned', as when the baseline was approved" in moved.expected
        assert moved.found == "'tuned' is loaded from '/adapters/judge'"
        Actions(lambda: context).accept("bot", "root", "ada", "another volume")
        clock.forward(hours=1)
        assert (await round_of(context))["served_root"].result is Match.MATCHES
        server.listed = vllm("/adapters/third")
        assert (await round_of(context))["served_root"].differs


async def test_an_incomplete_list_proves_no_absence(tmp_path: Path) -> None:
    server = Server({**vllm(), "has_more": True})
    async with watching(tmp_path, server, subject="other", base=None) as (context, _):
        assert (await round_of(context))["listed"].result is Match.CANNOT_TELL


def test_the_exit_code_says_whether_everything_was_told(tmp_path: Path) -> None:
    asyncio.run(_exit_codes(tmp_path))


async def _exit_codes(folder: Path) -> None:
    server = Server(vllm())

    async def code(subject: str, base: str | None, **target: Any) -> tuple[int, str]:
        async with ScriptedServer(server) as http:
            path = configured(folder, http.url, {"bot": bot(subject, base, **target)})
            found = await asyncio.to_thread(identify, path)
        return found[0], found[1] + found[2]

    assert (await code("tuned", "plain"))[0] == 0
    assert (await code("absent", "plain"))[0] == 1
    server.listed = GATEWAY
    status, told = await code("absent", None, budget={"requests_per_day": 0})
    assert (status, "unknown   bot subject listed" in told) == (3, True)
    status, told = await code("absent", None)
    assert (status, "'absent' is served" in told) == (0, True), "it answers the one question"
    server.status = 500
    status, told = await code("tuned", "plain")
    assert (status, told.count("unread")) == (3, 2)


async def test_an_address_without_v1_is_told_as_such(tmp_path: Path) -> None:
    async with ScriptedServer(Server(vllm())) as http:
        path = configured(tmp_path, http.url.removesuffix("/v1"), {"bot": bot("tuned", "plain")})
        status, out, _ = await asyncio.to_thread(identify, path)
    assert status == 3
    assert "GET /v1/models has the list: add /v1 to the provider's base_url" in out
