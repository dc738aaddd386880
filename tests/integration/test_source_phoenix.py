"""Reads from a loopback server that follows Phoenix's API: newest first, a cursor by insertion, 1,000 a page."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason
from monitor.core.sources import PhoenixSource
from monitor.sample import phoenix
from monitor.sample.json_api import Limits
from monitor.sample.request_log import Logged, Tally, Window
from tests.json_servers import Asked, Said, json_server

BEGIN = datetime(2026, 11, 23, 6, tzinfo=UTC)
END = BEGIN + timedelta(days=7)
FAST = Limits(first_wait=0.01, silence=2.0)


def span(number: int, kind: str = "LLM", attributes: Any = None, **more: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": f"Question {number}?"}]}
    return {
        "id": base64.b64encode(b"Span:%d" % number).decode(), "name": "ChatCompletion", "span_kind": kind,
        "context": {"trace_id": f"{number:032x}", "span_id": f"{number:016x}"}, "parent_id": None,
        "start_time": (BEGIN + timedelta(seconds=number)).isoformat(), "status_code": "OK", "events": [],
        "attributes": {"input.value": json.dumps(body)} if attributes is None else attributes, **more,
    }  # fmt: skip


def phoenix_api(spans: list[dict[str, Any]], knows_kinds: bool = True) -> Callable[[Asked], Said]:
    """``GET /v1/projects/{project}/spans`` as Phoenix has it."""

    def answer(asked: Asked) -> Said:
        query = {name: values[0] for name, values in asked.query.items()}
        if asked.path != "/v1/projects/support%20bot/spans":
            return Said(b"Project with name x not found", 404)
        limit = int(query.get("limit", "100"))
        if limit > 1000:
            return Said({"detail": [{"msg": "Input should be less than or equal to 1000"}]}, 422)
        found = [one for one in spans if query["start_time"] <= one["start_time"] < query["end_time"]]
        found = [one for one in found if not knows_kinds or one["span_kind"] == query["span_kind"]]
        found = found[::-1]
        if "cursor" in query:
            found = found[[one["id"] for one in found].index(query["cursor"]) :]
        return Said({"data": found[:limit], "next_cursor": found[limit]["id"] if len(found) > limit else None})

    return answer


def read(url: str, tally: Tally, **more: Any) -> list[Logged]:
    source = PhoenixSource(kind="phoenix", base_url=url, project="support bot", **more)
    return list(phoenix.read(source, "attributes.metadata.route", Window(BEGIN, END, END), tally, FAST))


@pytest.mark.parametrize("knows_kinds", [True, False])
def test_every_llm_span_of_the_window_is_read_once(knows_kinds: bool) -> None:
    spans = [span(number, "CHAIN" if number % 2 else "LLM") for number in range(650)]
    tally = Tally()
    with json_server(phoenix_api(spans, knows_kinds)) as server:
        found = read(server.url, tally)
        assert len(server.asked) == (4 if knows_kinds else 7)
    expected = [f"Question {number}?" for number in range(0, 650, 2)]
    assert sorted(one.messages[-1].content for one in found) == sorted(expected)
    assert tally.account([]).lines == 325


NESTED = {
    "llm": {"input_messages": [{"message": {"role": "system", "content": "Be brief."}},
                               {"message": {"role": "user", "content": "Nested?"}}]},
    "input": {"value": "not this"}, "metadata": {"route": "b"},
}  # fmt: skip
FLAT = {
    "llm.input_messages.1.message.role": "user", "llm.input_messages.1.message.content": "Flat?",
    "llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": "Be brief.",
    "metadata.route": "b",
}  # fmt: skip
BLOCKS = {
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.contents.0.message_content.type": "text",
    "llm.input_messages.0.message.contents.0.message_content.text": "One?",
    "llm.input_messages.0.message.contents.1.message_content.type": "text",
    "llm.input_messages.0.message.contents.1.message_content.text": "Two?",
}


@pytest.mark.parametrize(
    ("attributes", "messages", "stratum"),
    [
        (NESTED, [("system", "Be brief."), ("user", "Nested?")], "b"),
        (FLAT, [("system", "Be brief."), ("user", "Flat?")], "b"),
        (BLOCKS, [("user", "One?\nTwo?")], "(none)"),
        ({"input.value": "Plain?", "input.mime_type": "text/plain"}, [("user", "Plain?")], "(none)"),
    ],
)
def test_messages_are_read_in_every_form(
    attributes: dict[str, Any], messages: list[tuple[str, str]], stratum: str
) -> None:
    with json_server(phoenix_api([span(1, attributes=attributes)])) as server:
        (found,) = read(server.url, Tally())
    assert [(one.role, one.content) for one in found.messages] == messages
    assert found.stratum == stratum


def test_rubbish_is_counted_by_reason() -> None:
    picture = {**BLOCKS, "llm.input_messages.0.message.contents.1.message_content.type": "image"}
    called = {**FLAT, "llm.input_messages.0.message.tool_calls.0.tool_call.function.name": "f"}
    spans = [
        span(1), span(2, attributes={}), span(3, attributes=picture), span(4, attributes=called),
        span(5, attributes={**FLAT, "llm.tools.0.tool.json_schema": '{"type": "function"}'}),
        span(6, attributes={"llm": "x", "llm.input_messages.0.message.role": "user"}),
        span(7, attributes={".".join("a" * 5000): 1, "input.value": "__REDACTED__"}),
        span(8, attributes=[1]), span(9, start_time=(BEGIN + timedelta(seconds=9)).isoformat(), attributes=FLAT),
    ]  # fmt: skip
    tally = Tally()
    with json_server(phoenix_api(spans)) as server:
        found = read(server.url, tally)
    assert [one.messages[-1].content for one in found] == ["Flat?", "Question 1?"]
    reasons = {one.reason: (one.count, one.place) for one in tally.account([]).reasons}
    places = {number: span(number)["id"] for number in range(1, 10)}
    assert reasons == {
        LeftOutReason.NO_MESSAGES: (3, places[8]), LeftOutReason.MEDIA: (1, places[3]),
        LeftOutReason.TOOL_CALLS: (1, places[4]), LeftOutReason.TOOLS_OFFERED: (1, places[5]),
        LeftOutReason.PLACEHOLDER: (1, places[7]),
    }  # fmt: skip


def test_errors_and_authorization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOENIX_KEY", "hunter-2-hunter")
    with json_server(phoenix_api([])) as server:
        assert read(server.url + "/", Tally(), api_key_env="PHOENIX_KEY") == []
        assert server.asked[-1].headers["Authorization"] == "Bearer hunter-2-hunter"
    with json_server(lambda _: Said(b"Project with name x not found", 404)) as server:
        told = f"{server.url}/v1/projects/support%20bot/spans: HTTP 404, "
        with pytest.raises(CouldNotMeasure) as error:
            read(server.url, Tally())
    assert str(error.value) == f'{told}"Project with name x not found"; check `project` and `base_url`'
