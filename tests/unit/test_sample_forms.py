"""Forms in which servers and collectors log requests: what is read, and what is left out with which reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.records import LeftOut, LeftOutReason, SampleAccount
from monitor.core.settings import Production
from monitor.core.sources import JsonlSource
from monitor.sample import Sampled, sample_production

U: dict[str, Any] = {"role": "user", "content": "my kettle leaks"}
ASKED = [("user", "my kettle leaks")]
BRIEF = [("system", "be brief"), *ASKED]
TURNS = [("user", "one"), ("assistant", "two"), ("user", "three")]
dumps = json.dumps


def sampled(folder: Path, text: str | bytes, **source: Any) -> Sampled:
    path = folder / "requests.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    settings = JsonlSource(kind="jsonl", path=str(path), **source)
    found = sample_production(Production(source=settings, sample=50, rubric=None), 1, None, None)
    assert_adds_up(found.account)
    return found


def assert_adds_up(one: SampleAccount) -> None:
    assert one.lines == one.filtered + one.outside + one.malformed + one.read
    assert one.read == one.unsupported + one.truncated + one.duplicates + one.not_drawn + one.kept
    by_class = {kind: sum(r.count for r in one.reasons if r.left_out is kind) for kind in LeftOut}
    assert by_class == {"outside": one.outside, "unsupported": one.unsupported, "malformed": one.malformed,
                        "truncated": one.truncated}  # fmt: skip


def asked(found: Sampled) -> list[list[tuple[str, str]]]:
    return sorted([(m.role, m.content) for m in one.probe.messages] for one in found.inputs)


def reasons(found: Sampled) -> dict[str, int]:
    return {one.reason.value: one.count for one in found.account.reasons}


LC = ["langchain", "schema", "messages"]
READ: list[tuple[dict[str, Any], dict[str, str], list[tuple[str, str]]]] = [
    ({"contents": [{"role": "user", "parts": [{"text": "my kettle leaks"}]}]}, {}, ASKED),
    ({"contents": [{"parts": [{"text": "my kettle leaks"}]}]}, {}, ASKED),
    (
        {"req": {"contents": [{"role": "user", "parts": {"text": "one"}}, {"role": "model", "parts": [{"text": "two"}]},
                              {"role": "user", "parts": [{"text": "three"}]}]}},
        {"messages": "req.contents"}, TURNS,
    ),
    (
        {"req": {"contents": [U], "systemInstruction": {"parts": [{"text": "be brief"}]}}},
        {"messages": "req.contents"}, BRIEF,
    ),
    ({"req": {"contents": [U], "system_instruction": "be brief"}}, {"messages": "req"}, BRIEF),
    ({"system": "be brief", "messages": [U]}, {}, BRIEF),
    ({"system": [{"type": "text", "text": "be brief", "cache_control": {}}], "messages": [U]}, {}, BRIEF),
    (
        {"input": {"inputBodyJson": {"system": [{"text": "be brief"}],
                                     "messages": [{"role": "user", "content": [{"text": "my kettle leaks"}]}]}}},
        {"messages": "input.inputBodyJson.messages"}, BRIEF,
    ),
    ({"model": "m", "instructions": "be brief", "input": "my kettle leaks"}, {}, BRIEF),
    ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "my kettle leaks"}]}]}, {}, ASKED),
    ({"prompt": "my kettle leaks", "max_tokens": 9}, {}, ASKED),
    ({"prompt": ["my kettle leaks"]}, {}, ASKED),
    ({"custom_id": "7", "method": "POST", "body": {"model": "m", "messages": [U]}}, {}, ASKED),
    ({"custom_id": "7", "params": {"system": "be brief", "messages": [U]}}, {}, BRIEF),
    ({"messages": [["system", "be brief"], ["human", "my kettle leaks"]]}, {}, BRIEF),
    ({"messages": [{"type": t, "content": c} for t, c in (("human", "one"), ("ai", "two"), ("human", "three"))]}, {},
     TURNS),
    ({"messages": [{"type": "human", "data": {"content": "my kettle leaks"}}]}, {}, ASKED),
    (
        {"inputs": {"messages": [[
            {"lc": 1, "type": "constructor", "id": [*LC, "SystemMessage"], "kwargs": {"content": "be brief"}},
            {"lc": 1, "type": "constructor", "id": [*LC, "HumanMessage"], "kwargs": {"content": "my kettle leaks"}},
        ]]}},
        {"messages": "inputs.messages"}, BRIEF,
    ),
    ({"messages": [{"role": r, "content": c} for r, c in (("user", "one"), ("bot", "two"), ("user", "three"))]}, {},
     TURNS),
    ({"talk": [{"from": "human", "value": "my kettle leaks"}, {"from": "gpt", "value": "sorry"}]},
     {"messages": "talk"}, ASKED),
    ({"in": str([U])}, {"messages": "in"}, ASKED),
    ({"in": str({"messages": [U]})}, {"messages": "in"}, ASKED),
    ({"in": repr(({"role": "user", "content": "it's \"so\"\nlate"},))}, {"messages": "in"},
     [("user", 'it\'s "so"\nlate')]),
    ({"in": dumps([U])}, {"messages": "in"}, ASKED),
    ({"in": dumps(dumps([U]))}, {"messages": "in"}, ASKED),
    ({"in": dumps({"system": "be brief", "messages": [U]})}, {"messages": "in"}, BRIEF),
    ({"in": dumps({"messages": [U]})}, {"messages": "in.messages"}, ASKED),
    ({"in": dumps(dumps({"messages": [U]}))}, {"messages": "in.messages"}, ASKED),
    ({"messages": [{"role": "user", "content": str([U])}]}, {}, ASKED),
    ({"messages": [{"role": "user", "content": "[{'type': 'text', 'text': 'my kettle leaks'}]"}]}, {}, ASKED),
    ({"messages": [{"role": "user", "content": '{"order": 7, "type": "tea"}'}]}, {},
     [("user", '{"order": 7, "type": "tea"}')]),
    ({"messages": U}, {}, ASKED),
    ({"messages": [U], "tools": [], "functions": None}, {}, ASKED),
    ({"messages": [U], "tools": [{"type": "function"}], "tool_choice": "none"}, {}, ASKED),
    (
        {"attributes": {"gen_ai.input.messages": dumps([{"role": "user", "parts": [
            {"type": "text", "content": "my kettle leaks"}]}]),
            "gen_ai.system_instructions": [{"type": "text", "content": "be brief"}]}},
        {"messages": "attributes.gen_ai.input.messages"}, BRIEF,
    ),
    ({"llm.input_messages": [{"message": U}]}, {"messages": "llm.input_messages"}, ASKED),
    ({"llm.input_messages": [{"message.role": "user", "message.content": "my kettle leaks"}]},
     {"messages": "llm.input_messages"}, ASKED),
    ({"messages": {}, "proxy_server_request": {"messages": [U]}}, {}, ASKED),
    ({"messages": "{}", "proxy_server_request": dumps({"messages": [U]})}, {}, ASKED),
    ({"messages": [dumps(U)]}, {}, ASKED),
    ({"proxy_server_request": {"url": "/", "body": {"messages": [U]}}}, {"messages": "proxy_server_request"}, ASKED),
]  # fmt: skip


@pytest.mark.parametrize(("record", "source", "expected"), READ)
def test_dialects_that_are_read(
    tmp_path: Path, record: dict[str, Any], source: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    found = sampled(tmp_path, dumps(record) + "\n", **source)
    assert (asked(found), reasons(found)) == ([expected], {})


CALL: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
EMPTY: list[Any] = [{}, [], "", None, "{}", "[]", "null", " ", 0]
LEFT: list[tuple[dict[str, Any], dict[str, str], LeftOutReason]] = [
    ({"messages": [U, CALL, {"role": "tool", "content": "7"}]}, {}, LeftOutReason.TOOL_CALLS),
    ({"messages": [U, {"role": "tool", "content": "7"}]}, {}, LeftOutReason.TOOL_RESULTS),
    ({"messages": [U, {"role": "function", "name": "f", "content": "7"}]}, {}, LeftOutReason.TOOL_RESULTS),
    ({"messages": [U], "tools": [{"type": "function"}]}, {}, LeftOutReason.TOOLS_OFFERED),
    ({"body": {"messages": [U], "toolConfig": {"tools": [1]}}}, {}, LeftOutReason.TOOLS_OFFERED),
    ({"contents": [U, {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]}, {}, LeftOutReason.TOOL_CALLS),
    ({"messages": [U, {"role": "user", "content": [{"toolResult": {"x": 1}}]}]}, {}, LeftOutReason.TOOL_RESULTS),
    ({"input": [U, {"type": "function_call", "name": "f"}]}, {}, LeftOutReason.TOOL_CALLS),
    ({"input": [U, {"type": "function_call_output", "output": "7"}]}, {}, LeftOutReason.TOOL_RESULTS),
    ({"input": [U], "previous_response_id": "r7"}, {}, LeftOutReason.STATE_ELSEWHERE),
    ({"prompt": {"id": "pmpt_7"}}, {}, LeftOutReason.STATE_ELSEWHERE),
    ({"contents": [{"role": "user", "parts": [{"inlineData": {"data": "x"}}]}]}, {}, LeftOutReason.MEDIA),
    ({"messages": [{"role": "user", "content": [{"document": {"name": "x"}}]}]}, {}, LeftOutReason.MEDIA),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, {}, LeftOutReason.MEDIA),
    ({"messages": [{"role": "user", "content": "data:image/png;base64,AAAA"}]}, {}, LeftOutReason.MEDIA),
    ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, {}, LeftOutReason.OTHER_CONTENT),
    *(({"messages": one}, {}, LeftOutReason.NO_MESSAGES) for one in EMPTY),
    ({"other": 1}, {}, LeftOutReason.NO_MESSAGES),
    ({"model": "text-embedding-9", "input": "my kettle leaks"}, {}, LeftOutReason.NO_MESSAGES),
    ({"in": '{"question": "why"}'}, {"messages": "in"}, LeftOutReason.NO_MESSAGES),
    ({"messages": [{"role": "user", "content": None}]}, {}, LeftOutReason.NO_USER_MESSAGE),
    ({"messages": [{"role": "assistant", "content": "hello"}]}, {}, LeftOutReason.NO_USER_MESSAGE),
    ({"messages": [{"role": "alien", "content": "x"}]}, {}, LeftOutReason.UNKNOWN_ROLE),
    ({"messages": ["x"]}, {}, LeftOutReason.BAD_CONTENT),
    ({"messages": [{"role": "user", "content": 7}]}, {}, LeftOutReason.BAD_CONTENT),
    ({"in": "[HumanMessage(content='my kettle leaks')]"}, {"messages": "in"}, LeftOutReason.SERIALISED),
    ({"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": str([U])}]}, {},
     LeftOutReason.SERIALISED),
    ({"in": dumps([U])[:-9]}, {"messages": "in"}, LeftOutReason.CUT_SHORT),
    ({"in": str([U])[:-9]}, {"messages": "in"}, LeftOutReason.CUT_SHORT),
    ({"messages": [{"role": "user", "content": "redacted-by-litellm"}]}, {}, LeftOutReason.PLACEHOLDER),
    ({"messages": [{"role": "system", "content": "<redacted>"}, U]}, {}, LeftOutReason.PLACEHOLDER),
    ({"text": "***"}, {"prompt": "text"}, LeftOutReason.PLACEHOLDER),
    ({"text": "a long story… (4,511 more characters)"}, {"prompt": "text"}, LeftOutReason.MARKER),
]  # fmt: skip


@pytest.mark.parametrize(("record", "source", "reason"), LEFT)
def test_what_is_no_prompt_is_not_asked(
    tmp_path: Path, record: dict[str, Any], source: dict[str, str], reason: LeftOutReason
) -> None:
    found = sampled(tmp_path, dumps({**record, "n": 1}) + "\n" + dumps({"messages": [U]}) + "\n", **source)
    (one,) = (one for one in found.account.reasons if one.reason is reason)
    assert one.place.endswith("requests.jsonl:1")
    assert [messages for messages in asked(found) if messages != ASKED] == []


APP = dumps({"ts": "2026-11-30T10:00:00Z", "messages": [U]})


def docker(text: str, stream: str = "stdout") -> str:
    return dumps({"log": text, "stream": stream, "time": "2026-11-30T10:00:00.1Z"}) + "\n"


WRAPPED: list[tuple[str, str | bytes, dict[str, int]]] = [
    ("docker", docker(APP + "\n"), {}),
    ("docker in parts", docker(APP[:30]) + docker("oops\n", "stderr") + docker(APP[30:50]) + docker(APP[50:] + "\n"),
     {"no_messages": 1}),
    ("docker, last part missing", docker(APP + "\n") + docker(APP[:30]), {"not_json": 1}),
    ("cri", f"2026-11-30T10:00:00.123456789Z stdout F {APP}\n", {}),
    ("cri in parts", f"2026-11-30T10:00:00.1+02:00 stdout P {APP[:30]}\n2026-11-30T10:00:00.1Z stderr F oops\n"
                     f"2026-11-30T10:00:00.1Z stdout P {APP[30:40]}\n2026-11-30T10:00:00.2Z stdout F {APP[40:]}\n",
     {"no_messages": 1}),
    ("fluent bit", dumps({"log": APP, "stream": "stdout", "logtag": "F", "time": "x", "kubernetes": {}}) + "\n", {}),
    ("fluent bit file", f"kube.app: [1764511200.123, {APP}]\n", {}),
    ("fluentd", f"2026-11-30T10:00:00+00:00\tapp\t{APP}\n", {}),
    ("journald", dumps({"MESSAGE": APP, "_PID": "7"}) + "\n", {}),
    ("journald, as bytes", dumps({"MESSAGE": list(APP.encode())}) + "\n", {}),
    ("google", dumps({"jsonPayload": json.loads(APP)}) + "\n", {}),
    ("compose", f"web-1  | {APP}\n", {}),
    ("kubectl", f"[pod/web-1/app] {APP}\n", {}),
    ("syslog", f"Nov 30 10:00:00 host app[12]: {APP}\n", {}),
    ("logging", f"2026-11-30 10:00:00,123 INFO app: {APP}\n", {}),
    ("encoded twice", dumps(APP) + "\n", {}),
    ("an array", f"[\n{APP},\n{APP}\n]\n", {}),
    ("an array in one line", f"[{APP}, {APP}]\n", {}),
    ("several lines", json.dumps(json.loads(APP), indent=2) + "\n", {}),
    ("an array in several lines", json.dumps([json.loads(APP)] * 2, indent=4) + "\n", {}),
    ("mark and CRLF", b"\xef\xbb\xbf" + APP.encode() + b"\r\n", {}),
    ("UTF-16", ("\ufeff" + APP + "\r\n").encode("utf-16-le"), {}),
    ("UTF-16 without a mark", (APP + "\n").encode("utf-16-be"), {}),
    ("a hole", b"\0" * 900 + APP.encode() + b"\n", {}),
    ("a comma at the end", APP + ",\n", {}),
    ("single quotes", str(json.loads(APP)) + "\n", {}),
    ("blank lines", f"\n  \n{APP}\n\r\n", {}),
    ("half a last line", APP + "\n" + APP[:30], {}),
    ("a comma too many", APP + "\n" + APP[:-1] + ",}\n", {"not_json": 1}),
    ("a banner", "started\n" + APP + "\n", {"not_json": 1}),
    ("no UTF-8", bytes(range(160, 250)) + b"\n" + APP.encode() + b"\n", {"not_json": 1}),
    ("a line that was cut", APP[:40] + "\n" + APP + "\n", {"not_json": 1}),
    ("no object", "[1]\n7\n" + APP + "\n", {"not_object": 2}),
]  # fmt: skip


@pytest.mark.parametrize("messages", ["messages", "log.messages"])
@pytest.mark.parametrize(("name", "text", "left"), WRAPPED)
def test_what_collectors_put_around_a_request(
    tmp_path: Path, name: str, text: str | bytes, left: dict[str, int], messages: str
) -> None:
    if messages.startswith("log") and not name.startswith(("docker", "cri", "fluent bit")):
        messages = "messages"
    if name == "fluent bit file":
        messages = "messages"
    found = sampled(tmp_path, text, messages=messages)
    assert (asked(found), reasons(found)) == ([ASKED], left)


@pytest.mark.parametrize("time", ["time", "ts", "log.ts"])
def test_times_of_the_collector_and_of_the_application(tmp_path: Path, time: str) -> None:
    found = sampled(tmp_path, docker(APP + "\n") + f"2026-11-30T10:00:00.1Z stdout F {APP}\n", time=time)
    assert (asked(found), found.account.duplicates) == ([ASKED], 1)


def test_a_part_that_is_no_json_is_named(tmp_path: Path) -> None:
    found = sampled(tmp_path, docker("ready to serve\n"), messages="log.messages")
    (one,) = found.account.reasons
    assert one.detail == "nothing at `log.messages` (`log` is a text that is not JSON)"
    found = sampled(tmp_path, dumps({"messages": {}}) + "\n")
    assert found.account.reasons[0].detail == "no messages at `messages` (found an empty object)"


def test_where_filters_lines_that_are_no_requests(tmp_path: Path) -> None:
    lines = docker("ready\n") + docker(dumps({"kind": "access"}) + "\n")
    lines += docker(dumps({"kind": "request", "messages": [U]}) + "\n")
    found = sampled(tmp_path, lines, messages="log.messages", where={"log.kind": "request"})
    assert (asked(found), reasons(found), found.account.filtered) == ([ASKED], {}, 2)


def test_a_long_line_in_parts_is_bounded(tmp_path: Path) -> None:
    part = "x" * 2**20
    found = sampled(tmp_path, docker("{" + part) + docker(part) * 9 + docker("}\n") + docker(APP + "\n"))
    assert (asked(found), reasons(found)) == ([ASKED], {"line_too_long": 1})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["[REDACTED]", "[{'role': 'user'", "{\"role\"", "user", "assistant", "tool", "text", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["messages", "role", "content", "type", "text", "parts", "contents", "prompt", "body", "input",
                         "log", "stream", "time", "system", "tools", "kwargs", "data", "message", "id"]),
        inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.lists(JSON, max_size=5), st.sampled_from(["messages", "log.messages", "body", "input.0"]))
def test_any_json_is_read_or_counted(tmp_path_factory: pytest.TempPathFactory, values: list[Any], path: str) -> None:
    text = "".join(dumps(one) + "\n" for one in values)
    found = sampled(tmp_path_factory.mktemp("any"), text, messages=path)
    for one in found.inputs:
        assert any(message.role == "user" and message.content.strip() for message in one.probe.messages)


@given(st.lists(st.text(max_size=30) | st.just(APP), max_size=6))
def test_any_text_is_read_or_counted(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    sampled(tmp_path_factory.mktemp("any"), "\n".join(lines))
