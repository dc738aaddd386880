"""What stands in logs of production requests, and what a sample makes of it."""

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.contact.world import TARGET, World, said

NOW = datetime.now(UTC)


def line(entry: Any) -> str:
    return json.dumps(entry) + "\n"


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def account(world: World, entries: Sequence[Any] = (), expect: int = 0, **source: Any) -> dict[str, Any]:
    """The account of a dry run over ``logs/boats.jsonl``."""
    if entries:
        world.put("logs/boats.jsonl", "".join(map(line, entries)))
    jsonl = {"kind": "jsonl", "path": "logs/boats.jsonl", **source}
    world.write(production={"source": jsonl, "sample": 20})
    ran = await world.run("sample", TARGET, "--dry-run", "--json")
    assert ran.code == expect, ran.printed
    assert world.chats == [], "a dry run asks nothing"
    return dict(ran.json)


def reasons(found: Mapping[str, Any]) -> dict[str, int]:
    return {one["reason"]: one["count"] for one in found["reasons"]}


async def test_the_names_of_every_rotation_are_read_and_others_are_named(world: World) -> None:
    names = [
        "boats.jsonl", "boats.jsonl.1", "boats.jsonl-20261129", "boats-2026-11-28.jsonl", "boats.jsonl.2026-11-27",
        "boats.jsonl.2026-11-26_23-00-00", "boats.1.jsonl", "boats.jsonl.4.gz",
    ]  # fmt: skip
    for hours, name in enumerate(names):
        entry = line(user(f"Is boat {hours} late?", at=(NOW - timedelta(hours=hours + 1)).isoformat()))
        world.put(f"logs/{name}", gzip.compress(entry.encode()) if name.endswith(".gz") else entry)
    world.put("logs/boats.jsonl.save-me", line(user("Is boat 99 late?")))
    found = await account(world, time="at")
    assert (found["files"], found["read"], found["kept"]) == (len(names), len(names), len(names))
    assert [(one["reason"], one["count"]) for one in found["unread"]] == [("another_name", 1)]
    assert "boats.jsonl.save-me" in found["notes"][0]


async def test_the_frames_of_container_logs_are_taken_off(world: World) -> None:
    stamp = NOW.isoformat().replace("+00:00", "Z")
    half = json.dumps(user("Is pier 3 open today?"))
    docker = {"log": line(user("Is pier 1 open?")), "stream": "stdout", "time": stamp}
    world.put("logs/docker.log", line(docker))
    world.put("logs/cri.log", f"{stamp} stdout F {json.dumps(user('Is pier 2 open?'))}\n")
    world.put("logs/cri-parts.log", f"{stamp} stdout P {half[:20]}\n{stamp} stdout F {half[20:]}\n")
    found = await account(world, path="logs/*.log", messages="messages")
    assert (found["kept"], found["malformed"]) == (3, 0)


async def test_a_python_repr_is_read_as_its_messages_and_never_asked_as_a_text(world: World) -> None:
    text = "It's late: does the boat still sail?"
    entries = [{"messages": repr([{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}])}]
    await account(world, entries)
    world.chat = said("It does.")
    await world.run("probe", TARGET, "--suite", "production")
    assert [request.body["messages"] for request in world.chats] == [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    ]


async def test_cut_and_redacted_prompts_are_counted_and_not_asked(world: World) -> None:
    cut = [user("The tide table says ... (litellm_truncated 3312 chars)"), user("Dear harbour master, [truncated]")]
    hidden = [user("redacted-by-litellm"), user("[REDACTED]"), user("redacted-by-litellm")]
    found = await account(world, [*cut, *hidden, user("Is it windy?")])
    assert (found["truncated"], found["malformed"], found["kept"]) == (2, 3, 1)
    assert reasons(found) == {"marker": 2, "placeholder": 3}
    assert all("boats.jsonl:" in one["place"] for one in found["reasons"])


async def test_what_text_alone_cannot_repeat_is_unsupported_by_reason(world: World) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "book", "arguments": "{}"}}
    steps = [
        {"role": "user", "content": "Book it"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "booked"},
    ]
    photo = [{"type": "text", "text": "Which boat is it?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    found = await account(world, [{"messages": steps}, {"messages": [{"role": "user", "content": photo}]}, user("Hi?")])
    assert (found["unsupported"], found["kept"]) == (2, 1)
    assert reasons(found) == {"tool_calls": 1, "media": 1}
    assert any("2 of 3" in note or "1 of 3" in note for note in found["notes"])


async def test_dialects_of_other_vendors_are_asked_with_their_roles(world: World) -> None:
    gemini = {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hello"}]},
            {"role": "model", "parts": [{"text": "Ahoy"}]},
            {"role": "user", "parts": [{"text": "When is the next boat?"}]},
        ],
    }
    found = await account(world, [gemini], messages="contents")
    assert found["kept"] == 1
    await world.run("probe", TARGET, "--suite", "production")
    (request,) = world.chats
    turns = [(one["role"], one["content"]) for one in request.body["messages"]]
    assert turns[-3:] == [("user", "Hello"), ("assistant", "Ahoy"), ("user", "When is the next boat?")]


async def test_empty_messages_say_where_and_what_was_found(world: World) -> None:
    found = await account(world, [{"messages": {}}] * 4, expect=3)
    assert (found["kept"], found["malformed"]) == (0, 4)
    (note,) = found["notes"]
    assert "4 of 4 requests have no messages at `messages` (found an empty object)" in note
    assert "boats.jsonl:1" in note


async def test_lines_that_are_no_request_are_counted_with_their_place(world: World) -> None:
    good = json.dumps(user("Is there a café?"))
    world.put("logs/boats.jsonl", b"\xef\xbb\xbf" + good.encode() + b'\r\n{"messages": [\n\n"words"\n')
    found = await account(world)
    assert (found["kept"], found["malformed"]) == (1, 2)
    assert {one["place"].rsplit(":", 1)[1] for one in found["reasons"]} <= {"2", "4"}
