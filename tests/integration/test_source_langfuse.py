"""Reads from a loopback server that follows Langfuse's public API: newest first, keyset cursor, 1,000 a page."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason
from monitor.core.settings import Production
from monitor.core.sources import LangfuseSource
from monitor.sample import langfuse, sample_production
from monitor.sample.json_api import Limits
from monitor.sample.request_log import Logged, Tally, Window
from tests.json_servers import Asked, Said, json_server

BEGIN = datetime(2026, 11, 23, 6, tzinfo=UTC)
END = BEGIN + timedelta(days=7)
FAST = Limits(first_wait=0.01, silence=2.0, page_bytes=200_000)
CHECK = "check that `base_url` is that of the server's API"
SECRET = "zebra-crossing-77"


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-lf-1")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", SECRET)


def observation(number: int, at: datetime, text: str = "", **more: Any) -> dict[str, Any]:
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text or f"Question {number}?"}]
    return {
        "id": f"o-{number:05}", "traceId": f"t-{number:05}", "type": "GENERATION", "startTime": at.isoformat(),
        "environment": "production", "input": json.dumps(asked), "metadata": {"route": "a" if number % 2 else "b"},
        **more,
    }  # fmt: skip


def langfuse_api(records: list[dict[str, Any]]) -> Callable[[Asked], Said]:
    """``GET /api/public/v2/observations`` as Langfuse 4 has it."""

    def answer(asked: Asked) -> Said:
        if asked.path != "/api/public/v2/observations":
            return Said({"message": "Not Found"}, 404)
        query = {name: values[0] for name, values in asked.query.items()}
        limit = int(query.get("limit", "50"))
        if limit > 1000 or "parseIoAsJson" in query:
            return Said({"message": "Invalid request data", "error": "BadRequest"}, 400)
        since, until = query.get("fromStartTime", ""), query.get("toStartTime", "9999")
        found = [one for one in records if one["type"] == query["type"] and since <= one["startTime"] < until]
        found.sort(key=lambda one: (one["startTime"], one["id"]), reverse=True)
        if "cursor" in query:
            after = tuple(json.loads(base64.b64decode(query["cursor"])))
            found = [one for one in found if (one["startTime"], one["id"]) < after]
        page = found[:limit]
        meta = {}
        if len(found) > limit:
            last = json.dumps([page[-1]["startTime"], page[-1]["id"]]).encode()
            meta = {"cursor": base64.b64encode(last).decode()}
        if "io" not in query["fields"].split(","):
            page = [{key: one[key] for key in ("id", "traceId", "startTime", "type")} for one in page]
        return Said({"data": page, "meta": meta})

    return answer


def week(count: int) -> list[dict[str, Any]]:
    step = (END - BEGIN) / count
    return [observation(number, BEGIN + step * number) for number in range(count)]


def read(url: str, tally: Tally, limits: Limits = FAST, **more: Any) -> list[Logged]:
    source = LangfuseSource(kind="langfuse", base_url=url, **more)
    return list(langfuse.read(source, "metadata.route", Window(BEGIN, END, END), tally, limits))


def failure(answer: Callable[[Asked], Said], limits: Limits = FAST) -> str:
    with json_server(answer) as server:
        with pytest.raises(CouldNotMeasure) as error:
            read(server.url, Tally(), limits)
        told = str(error.value).replace(server.url, "http://HOST")
    assert SECRET not in told
    return told


def test_every_page_of_the_window_is_read_once() -> None:
    records = [*week(1234), observation(9001, BEGIN - timedelta(hours=1)), observation(9002, END)]
    records.append(observation(9003, BEGIN, type="SPAN"))
    tally = Tally()
    with json_server(langfuse_api(records)) as server:
        found = read(server.url, tally)
        asked = server.asked
    assert sorted(one.messages[-1].content for one in found) == sorted(f"Question {n}?" for n in range(1234))
    assert {one.stratum for one in found} == {"a", "b"}
    assert [message.role for message in found[0].messages] == ["system", "user"]
    assert len(asked) == 7
    expected = base64.b64encode(f"pk-lf-1:{SECRET}".encode()).decode()
    assert {one.headers["Authorization"] for one in asked} == {f"Basic {expected}"}
    assert (tally.read, tally.files) == (1234, 1)


def test_the_sample_is_of_the_whole_window_and_reproducible() -> None:
    with json_server(langfuse_api(week(900))) as server:
        source = LangfuseSource(kind="langfuse", base_url=server.url, where={"environment": "production"})
        production = Production(source=source, sample=50, rubric=None)
        first = sample_production(production, 1, BEGIN, END, END)
        again = sample_production(production, 1, BEGIN, END, END)
    assert first == again
    assert first.account.read == 900
    numbers = [int(one.probe.messages[-1].content.split()[1][:-1]) for one in first.inputs]
    assert min(numbers) < 200
    assert max(numbers) > 700


def test_rubbish_is_counted_by_reason_with_its_id() -> None:
    at = BEGIN + timedelta(hours=1)
    rubbish: list[Any] = [
        observation(1, at), observation(2, at, input=None), observation(3, at, input="[{\"role\": \"user\", \"con"),
        observation(4, at, input="Plain text of a user"), observation(5, at, input="[REDACTED]"),
        observation(6, at, input=json.dumps({"messages": [{"role": "user", "content": "x"}], "tools": [{"a": 1}]})),
        observation(10, at, modelParameters='{"temperature": "0.5", "max_tokens": "inf", "tools": [{"a": 1}]}'),
        "text", None, 7, observation(8, at, input=42), {"id": "o-9", "input": "x"},
    ]  # fmt: skip
    tally = Tally()
    with json_server(lambda _: Said({"data": rubbish, "meta": {}})) as server:
        found = read(server.url, tally)
    assert [one.messages[-1].content for one in found] == ["Question 1?", "Plain text of a user"]
    reasons = {one.reason: one for one in tally.account([]).reasons}
    assert {reason: one.count for reason, one in reasons.items()} == {
        LeftOutReason.NO_MESSAGES: 2, LeftOutReason.CUT_SHORT: 1, LeftOutReason.PLACEHOLDER: 1,
        LeftOutReason.TOOLS_OFFERED: 2, LeftOutReason.NOT_OBJECT: 3, LeftOutReason.NO_TIME: 1,
    }  # fmt: skip
    assert reasons[LeftOutReason.CUT_SHORT].place == "o-00003"


def test_large_pages_are_asked_again_in_parts_and_a_single_large_record_is_counted() -> None:
    records = week(300)
    for number in (10, 11, 200):
        records[number] = observation(number, BEGIN + timedelta(hours=number / 2), "x" * 150_000)
    records[100] = observation(100, BEGIN + timedelta(hours=50), "y" * 300_000)
    tally = Tally()
    with json_server(langfuse_api(records)) as server:
        found = read(server.url, tally)
        sizes = [int(one.query["limit"][0]) for one in server.asked]
    assert {one.reason: one.count for one in tally.account([]).reasons} == {LeftOutReason.LINE_TOO_LONG: 1}
    assert len(found) == 299
    assert min(sizes) == 1
    assert len(sizes) < 60


def test_a_page_of_50_mb_does_not_reach_memory() -> None:
    whole = json.dumps({"data": [observation(1, BEGIN)], "meta": {}, "more": "x" * 50_000_000}).encode()

    def answer(asked: Asked) -> Said:
        return Said({"data": [], "meta": {}}) if "io" not in asked.query["fields"][0] else Said(whole)

    with json_server(answer) as server:
        assert read(server.url, Tally(), Limits(page_bytes=2**20)) == []
        assert len(server.asked) > 1


def test_429_and_500_are_retried_and_retry_after_is_kept() -> None:
    answer, trouble = (
        langfuse_api(week(450)),
        [Said({"message": "slow down"}, 429, {"Retry-After": "1"}), Said({}, 500)],
    )

    def sometimes(asked: Asked) -> Said:
        return trouble.pop() if trouble and "cursor" in asked.query else answer(asked)

    tally = Tally()
    before = datetime.now(UTC)
    with json_server(sometimes) as server:
        assert len(read(server.url, tally)) == 450
    assert datetime.now(UTC) - before >= timedelta(seconds=1)
    assert not trouble


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            lambda _: Said({"message": f"Invalid credentials for {SECRET}"}, 401),
            'HTTP 401, "Invalid credentials for [key]"; check `public_key_env` and `secret_key_env`, '
            "and that the keys belong to this server",
        ),
        (
            lambda _: Said({"message": "LangfuseNotFoundError"}, 404),
            'HTTP 404, "LangfuseNotFoundError"; check `base_url`; self-hosted Langfuse has this API from version 4',
        ),
        (
            lambda _: Said({"error": "busy"}, 429, {"Retry-After": "7200"}),
            'HTTP 429, "busy"; it asks to wait 7,200 s; raise the server\'s rate limit, or sample at another time',
        ),
        (lambda _: Said({}, 503), "HTTP 503 (5 attempts); look at the server's log"),
        (
            lambda _: Said(b"", 302, {"Location": "https://user:pw@login.example.com/sso?token=1"}),
            "HTTP 302, a redirect to login.example.com, which is not followed; correct `base_url`",
        ),
        (
            lambda _: Said(b"<html>Sign in</html>"),
            f"HTTP 200 with a web page; {CHECK}",
        ),
        (
            lambda _: Said(b'{"data": [NaN]}'),
            f"HTTP 200 with no valid JSON; {CHECK}",
        ),
        (lambda _: Said(b"[" * 100_000), f"HTTP 200 with no valid JSON; {CHECK}"),
        (lambda _: Said([]), f"the reply is an empty list, not an object; {CHECK}"),
        (lambda _: Said({"ok": 1}), "no `data` in the reply; check that `base_url` is Langfuse"),
        (lambda _: Said({"data": {"a": 1}}), "`data` is an object, not a list; update the server"),
        (
            lambda _: Said({"data": [], "meta": {"cursor": "same"}}),
            "the server returned the same cursor twice, so the list does not end; update the server",
        ),
    ],
)  # fmt: skip
def test_an_error_names_the_url_the_status_and_what_to_do(answer: Callable[[Asked], Said], told: str) -> None:
    assert failure(answer) == f"http://HOST/api/public/v2/observations: {told}"


def test_a_server_that_hangs_or_pages_without_end_is_left() -> None:
    hanging = failure(lambda _: Said({"data": []}, hang=0.6), Limits(attempts=2, first_wait=0.01, silence=0.2))
    assert "no reply in time (2 attempts); check that the server runs" in hanging
    pages = iter(range(10**9))
    endless = failure(
        lambda _: Said({"data": [], "meta": {"cursor": f"c-{next(pages)}"}}), Limits(total=0.3, first_wait=0.01)
    )
    assert "not read to the end within 0 s; sample more often" in endless


def test_a_server_that_is_away_and_a_missing_key_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CouldNotMeasure, match=r"no reply \(connection refused\) \(5 attempts\); check that the server"):
        read("http://127.0.0.1:1", Tally())
    monkeypatch.delenv("LANGFUSE_SECRET_KEY")
    with pytest.raises(CouldNotMeasure, match="environment variable LANGFUSE_SECRET_KEY is not set"):
        read("http://127.0.0.1:1", Tally())


def test_a_peek_reads_the_newest_only() -> None:
    with json_server(langfuse_api(week(3000))) as server:
        tally = Tally(max_lines=100)
        source = LangfuseSource(kind="langfuse", base_url=server.url)
        found = list(langfuse.read(source, None, Window(None, None), tally))
        assert len(server.asked) == 1
    assert len(found) == 100
    assert found[0].messages[-1].content == "Question 2999?"
