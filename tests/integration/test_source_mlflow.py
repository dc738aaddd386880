"""Reads from a loopback server that follows MLflow's REST API: pages by offset, and spans in OTLP's JSON."""

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason
from monitor.core.sources import MlflowSource
from monitor.sample import mlflow
from monitor.sample.json_api import Limits
from monitor.sample.request_log import Logged, Tally, Window
from tests.json_servers import Asked, Said, json_server

BEGIN = datetime(2026, 11, 23, 6, tzinfo=UTC)
END = BEGIN + timedelta(days=7)
FAST = Limits(first_wait=0.01, silence=2.0, page_bytes=200_000)


def any_value(value: Any) -> dict[str, Any]:
    """OTLP's ``AnyValue`` of a JSON value."""
    if isinstance(value, dict):
        pairs = [{"key": name, "value": any_value(one)} for name, one in value.items()]
        return {"kvlist_value": {"values": pairs}}
    if isinstance(value, list):
        return {"array_value": {"values": [any_value(one) for one in value]}}
    return {"string_value": value} if isinstance(value, str) else {"double_value": value}


def span(name: str, parent: str | None, kind: str, inputs: Any, **more: Any) -> dict[str, Any]:
    attributes = {"mlflow.spanType": kind, "mlflow.spanInputs": inputs, **more}
    pairs = [{"key": key, "value": any_value(value)} for key, value in attributes.items()]
    return {"span_id": name, "parent_span_id": parent, "name": name, "attributes": pairs}


def trace(number: int, at: datetime, text: str = "") -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": text or f"Question {number}?"}], "temperature": 0.5}
    info = {
        "trace_id": f"tr-{number:04}", "request_time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request_preview": "the first characters", "tags": {"route": "a"}, "state": "OK",
    }  # fmt: skip
    spans = [
        span("root", None, "CHAIN", {"question": "x"}), span("model", "root", "CHAT_MODEL", body),
        span("wrapped", "model", "LLM", body),
    ]  # fmt: skip
    return {"trace_info": info, "spans": spans}


def mlflow_api(traces: list[dict[str, Any]]) -> Callable[[Asked], Said]:
    """The three calls of an MLflow 3 server that a reader needs."""

    def milliseconds(one: dict[str, Any]) -> int:
        return round(datetime.fromisoformat(one["trace_info"]["request_time"]).timestamp() * 1000)

    def search(body: dict[str, Any]) -> Said:
        bounds = re.findall(r"timestamp_ms ([<>]=) (\d+)", body.get("filter", ""))
        assert body["order_by"] == ["timestamp_ms DESC"]
        assert body["locations"][0]["mlflow_experiment"] == {"experiment_id": "7"}
        found = [
            one for one in traces
            if all((milliseconds(one) - int(to)) * (1 if sign == ">=" else -1) >= 0 for sign, to in bounds)
        ]  # fmt: skip
        found.sort(key=lambda one: (-milliseconds(one), one["trace_info"]["trace_id"]))
        begin = json.loads(base64.b64decode(body["page_token"]))["offset"] if "page_token" in body else 0
        end = begin + body["max_results"]
        more = {"next_page_token": base64.b64encode(b'{"offset": %d}' % end).decode()} if end < len(found) else {}
        return Said({"traces": [one["trace_info"] for one in found[begin:end]], **more})

    def answer(asked: Asked) -> Said:
        if asked.path == "/api/2.0/mlflow/experiments/get-by-name":
            if asked.query["experiment_name"] == ["support bot"]:
                return Said({"experiment": {"experiment_id": "7", "name": "support bot"}})
            return Said({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Could not find experiment"}, 404)
        if asked.path == "/api/3.0/mlflow/traces/search":
            return search(asked.body)
        if asked.path == "/api/3.0/mlflow/traces/batchGet":
            names = asked.query["trace_ids"]
            return Said(
                {"traces": [one for one in traces if one["trace_info"]["trace_id"] in names and "spans" in one]}
            )
        return Said({}, 404)

    return answer


def read(url: str, tally: Tally, **more: Any) -> list[Logged]:
    source = MlflowSource(kind="mlflow", base_url=url, **{"experiments": ["support bot"], **more})
    return list(mlflow.read(source, "tags.route", Window(BEGIN, END, END), tally, FAST))


def questions(found: list[Logged]) -> list[str]:
    return sorted(one.messages[-1].content for one in found)


def test_the_request_of_each_trace_is_read_once_from_its_outer_model_span() -> None:
    traces = [trace(number, BEGIN + timedelta(minutes=number)) for number in range(345)]
    traces += [trace(900, BEGIN - timedelta(milliseconds=1)), trace(901, END)]
    tally = Tally()
    with json_server(mlflow_api(traces)) as server:
        found = read(server.url, tally)
        spans = [one for one in server.asked if one.path.endswith("batchGet")]
        assert all("page_token" not in one.body for one in server.asked if one.path.endswith("search"))
    assert questions(found) == sorted(f"Question {number}?" for number in range(345))
    assert {one.stratum for one in found} == {"a"}
    assert max(len(one.query["trace_ids"]) for one in spans) == 10
    assert {one.reason: one.count for one in tally.account([]).reasons} == {LeftOutReason.AFTER: 1}


def test_many_traces_of_one_millisecond_are_all_read_once() -> None:
    same = BEGIN + timedelta(hours=3)
    traces = [trace(number, same) for number in range(250)]
    traces += [trace(300 + number, same + timedelta(seconds=number + 1)) for number in range(30)]
    traces += [trace(400 + number, same - timedelta(seconds=number + 1)) for number in range(30)]
    with json_server(mlflow_api(traces)) as server:
        found = read(server.url, Tally())
    expected = [*range(250), *range(300, 330), *range(400, 430)]
    assert questions(found) == sorted(f"Question {number}?" for number in expected)


def test_a_trace_that_arrives_while_pages_are_read_moves_no_other() -> None:
    traces = [trace(number, BEGIN + timedelta(minutes=number)) for number in range(250)]
    answer = mlflow_api(traces)

    def growing(asked: Asked) -> Said:
        said = answer(asked)
        if asked.path.endswith("search"):
            traces.extend(trace(1000 + len(traces) + n, END - timedelta(seconds=n + 1)) for n in range(20))
        return said

    with json_server(growing) as server:
        found = questions(read(server.url, Tally()))
    assert set(found) >= {f"Question {number}?" for number in range(250)}
    assert len(found) == len(set(found))


def test_large_and_missing_traces_tools_and_rubbish_are_counted() -> None:
    at = BEGIN + timedelta(hours=1)
    tools = trace(4, at)
    tools["spans"][1] = span("model", "root", "CHAT_MODEL", {"messages": "x"}, **{"mlflow.chat.tools": [{"type": "f"}]})
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    nested = trace(5, at)
    nested["spans"][1] = span("model", "root", "LLM", deep)
    old = trace(6, at)
    body = json.dumps({"messages": [{"role": "user", "content": "Old form?"}]})
    old["spans"] = [{"span_id": "a", "attributes": {"mlflow.spanType": '"LLM"', "mlflow.spanInputs": body}}]
    without = {"trace_info": trace(3, at)["trace_info"]}
    traces = [trace(1, at), trace(2, at, "y" * 300_000), without, tools, nested, old]
    tally = Tally()
    with json_server(mlflow_api(traces)) as server:
        found = read(server.url, tally)
    assert questions(found) == ["Old form?", "Question 1?"]
    reasons = {one.reason: (one.count, one.place) for one in tally.account([]).reasons}
    assert reasons == {
        LeftOutReason.LINE_TOO_LONG: (1, "tr-0002"), LeftOutReason.TOOLS_OFFERED: (1, "tr-0004"),
        LeftOutReason.NO_MESSAGES: (2, "tr-0003"),
    }  # fmt: skip


def test_errors_and_authorization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_PASSWORD", "hunter-2-hunter")
    with json_server(mlflow_api([])) as server:
        assert read(server.url, Tally(), experiments=["7"]) == []
        with pytest.raises(CouldNotMeasure, match='HTTP 404, "Could not find experiment"; check `experiments`'):
            read(server.url, Tally(), experiments=["gone"])
        read(server.url, Tally(), username="me", password_env="MLFLOW_PASSWORD")
        assert server.asked[-1].headers["Authorization"] == "Basic bWU6aHVudGVyLTItaHVudGVy"
        read(server.url, Tally(), token_env="MLFLOW_PASSWORD")
        assert server.asked[-1].headers["Authorization"] == "Bearer hunter-2-hunter"
    endless = {"traces": [trace(1, END)["trace_info"]], "next_page_token": "t"}
    with json_server(lambda _: Said(endless)) as server, pytest.raises(CouldNotMeasure, match="same cursor twice"):
        read(server.url, Tally(), experiments=["7"])
