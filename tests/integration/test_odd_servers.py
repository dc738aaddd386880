"""Replies of odd servers on the loopback, through the whole ask stage: what is retried, billed, learned and said."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog

from monitor.ask import Asker
from monitor.cli import output
from monitor.cli.operations import Asked
from monitor.core.records import Answer, Outcome, Question, Reason, Sampling, Unmeasured
from tests.asking import QUESTION, Ledger, Time, settings
from tests.http_server import Reply, Request, Script, ScriptedServer, completion, message

OK = Reply(body=completion())
LISTED = Reply(body={"object": "list", "data": [{"id": "tuned"}]})


async def ask(
    script: Script, question: Question = QUESTION, *, address: Callable[[str], str] = str, times: int = 1, **more: Any
) -> tuple[Outcome, list[Request], Ledger]:
    ledger, time = Ledger(), Time()
    async with ScriptedServer(script) as server:
        made = settings(**{"base_url": address(server.url), **more})
        asker = Asker(made, ledger, clock=time.clock, monotonic=time.monotonic, sleep=time.sleep)
        await asker.ask([replace(question, probe=f"p{n}") for n in range(times)], fence=1)
        await asker.aclose()
    return ledger.recorded[-1].outcome, server.requests, ledger


ONCE = [
    completion(None, message={"reasoning_content": "In three weeks."}),
    completion(message={"content": 7}),
    completion(choices=[]),
    completion(choices={"message": {"content": "a"}}),
    completion("a", choice={"finish_reason": "brownout"}),
    completion(None, choice={"finish_reason": "model_length"}),
    completion("half", choice={"error": {"code": 400, "message": "bad"}}),
    {"error": {"code": "content_filter", "message": "no"}},
]


UNCOUNTED = [
    {name: value for name, value in body.items() if name != "usage"}
    for body in (
        *(one for one in ONCE if one.get("choices")),
        completion(message={"content": [{"type": "text", "text": None}]}),
        completion(choice={"message": 3}),
        completion(choices=["a"]),
        completion(None, choice={"finish_reason": None}, message={"reasoning": "In three weeks."}),
        {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "a"}]},
        {"candidates": [{"content": {"parts": [{"text": "a"}]}}]},
        {"id": "resp_1", "object": "response", "output": [{"type": "message"}]},
    )
]
"""Replies of servers that never count tokens."""


@pytest.mark.parametrize("body", [*ONCE, *UNCOUNTED], ids=str)
async def test_what_would_come_back_the_same_is_asked_once(body: Any) -> None:
    outcome, requests, _ = await ask([Reply(body=body), OK])
    assert outcome.attempts == len(requests) == 1


AGAIN = [
    completion("", choice={"finish_reason": None}, usage={"prompt_tokens": 9, "completion_tokens": 0}),
    completion("half", choice={"error": {"code": 502, "message": "went away"}}),
    completion("", choice={"finish_reason": "error"}),
    {"error": {"code": 429, "message": "later"}},
    {"error": "overloaded"},
    {"status": "loading"},
    {"id": "chatcmpl-1", "object": "chat.completion", "choices": []},
    {"id": "chatcmpl-1", "object": "chat.completion", "choices": None},
    {"detail": "warming up", "progress": 0.4},
    {name: value for name, value in completion("", choice={"finish_reason": None}).items() if name != "usage"},
    b"<html><title>503 Service Temporarily Unavailable</title></html>",
    b"",
    b'{"choices": [',
    b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n',
]


@pytest.mark.parametrize("body", AGAIN, ids=str)
async def test_what_may_pass_is_asked_again(body: Any) -> None:
    outcome, requests, _ = await ask([Reply(body=body), OK])
    assert isinstance(outcome, Answer)
    assert (outcome.text, outcome.attempts) == ("hello", len(requests)) == ("hello", 2)


@pytest.mark.parametrize("counted", [{}, {"usage": None}], ids=["counted", "uncounted"])
@pytest.mark.parametrize("content", [None, 7, [{"type": "text", "text": None}], [{"a": 1}]], ids=str)
async def test_a_message_without_a_text_is_asked_once(content: Any, counted: dict[str, Any]) -> None:
    reply = Reply(body=message(**counted) | {"content": content})
    outcome, requests, _ = await ask([reply, Reply(body=message())], kind="anthropic")
    assert isinstance(outcome, Unmeasured)
    assert (outcome.reason, outcome.attempts, len(requests)) == (Reason.MALFORMED, 1, 1)


@pytest.mark.parametrize(("kind", "reply"), [("openai", completion()), ("anthropic", message())])
async def test_nobody_is_asked_to_stream(kind: str, reply: Any) -> None:
    outcome, requests, _ = await ask([Reply(body=reply)], kind=kind)
    assert isinstance(outcome, Answer)
    assert requests[0].body["stream"] is False


async def test_a_server_that_streams_all_the_same_is_told_once() -> None:
    event = {"model": "m", "choices": [{"delta": {"content": "In three weeks."}, "finish_reason": "stop"}]}
    stream = Reply(
        body=f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode(), headers={"content-type": "text/plain"}
    )
    with structlog.testing.capture_logs() as logs:
        outcome, requests, _ = await ask([stream], times=3)
    assert isinstance(outcome, Answer)
    assert (outcome.text, len(requests)) == ("In three weeks.", 3)
    said = [line for line in logs if line["event"] == "streams_unasked"]
    assert len(said) == 1
    assert "the server streams although not asked to" in said[0]["problem"]


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("packed", [True, False])
async def test_gzip_is_read_declared_or_not_and_so_is_what_only_says_it(declared: bool, packed: bool) -> None:
    body = json.dumps(completion("a b")).encode()
    headers = {"content-encoding": "gzip"} if declared else {}
    outcome, _, _ = await ask([Reply(201, gzip.compress(body) if packed else body, headers)])
    assert isinstance(outcome, Answer)
    assert outcome.text == "a b"


async def test_a_filter_teaches_nothing_about_parameters_and_is_billed_in_full() -> None:
    filtered = Reply(400, {"error": {"code": "content_filter", "message": "no", "param": "prompt"}})
    question = replace(QUESTION, sampling=Sampling(0.0, 64, logprobs=2))
    price: dict[str, Any] = {
        "free": False,
        "prices": {"tuned": {"input": 1.0, "output": 1000.0}},
        "budget": {"usd_per_day": 1.0},
    }
    outcome, requests, ledger = await ask([filtered], question, **price)
    assert isinstance(outcome, Answer)
    assert (outcome.text, outcome.refusal, outcome.finish_reason) == ("", True, "content_filter")
    assert (outcome.model, outcome.exchange.status, len(requests)) == (None, 400, 1)
    assert outcome.usd == ledger.reserved[0].usd > 0
    assert not any(ledger.capabilities.values())


async def test_who_served_it_is_kept_with_the_answer() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 8}}
    headers = {"x-litellm-model-id": "dep-2", "x-litellm-attempted-fallbacks": "1"}
    outcome, _, _ = await ask([Reply(body=completion(provider="SomeHost", usage=usage), headers=headers)])
    assert isinstance(outcome, Answer)
    assert dict(outcome.served) == {"deployment": "dep-2", "fallbacks": "1", "provider": "SomeHost"}
    assert outcome.cached_tokens == 8


def only_v1(request: Request) -> Reply:
    """A server with its API below /v1 and nothing else."""
    if request.path == "/v1/models":
        return LISTED
    return OK if request.path == "/v1/chat/completions" else Reply(404, b"404 page not found")


@pytest.mark.parametrize(
    "address",
    [
        lambda url: url.removesuffix("/v1"),
        lambda url: url + "/chat/completions",
        lambda url: url + "/v1",
        lambda url: url.removesuffix("/v1") + "/api/v9",
    ],
)
async def test_a_wrong_address_is_told_with_the_one_that_answers(address: Callable[[str], str]) -> None:
    outcome, requests, _ = await ask(only_v1, address=address, times=2)
    assert isinstance(outcome, Unmeasured)
    assert (outcome.reason, outcome.attempts) == (Reason.REJECTED, 1)
    assert "/v1/models answers. Set base_url to http://127.0.0.1:" in outcome.detail
    assert outcome.detail.endswith("/v1")
    looks = [request.path for request in requests if not request.path.endswith("/chat/completions")]
    assert len(looks) == len(set(looks)) <= 6


async def test_no_address_is_guessed_where_none_answers() -> None:
    nothing, _, _ = await ask([Reply(404, b"404 page not found")], address=lambda url: url.removesuffix("/v1"))
    assert isinstance(nothing, Unmeasured)
    assert nothing.detail == "HTTP 404 404 page not found"

    def gone(request: Request) -> Reply:
        return LISTED if request.path == "/v1/models" else Reply(404, {"error": {"message": "no such model"}})

    model, _, _ = await ask(gone)
    assert isinstance(model, Unmeasured)
    assert model.detail == "HTTP 404 no such model"


async def test_a_page_of_the_same_server_is_told_with_the_address_of_its_api() -> None:
    def site(request: Request) -> Reply:
        return LISTED if request.path == "/v1/models" else Reply(body=b"<!doctype html><title>Chat with me</title>")

    outcome, _, _ = await ask(site, address=lambda url: url.removesuffix("/v1"), attempts=2)
    assert isinstance(outcome, Unmeasured)
    assert outcome.reason is Reason.MALFORMED
    assert outcome.detail.startswith("the reply is not JSON: an HTML page: Chat with me. base_url lacks /v1: http://")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (completion(None, message={"reasoning_content": "In three weeks."}), "has text in `reasoning_content`"),
        (completion(""), "(empty)"),
        (completion(None, choice={"finish_reason": "content_filter"}), "(empty) Refused, without a text"),
        (completion(None, message={"refusal": "I cannot."}), "I cannot."),
    ],
    ids=str,
)
async def test_ask_shows_where_an_empty_reply_has_its_text(
    body: Any, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ScriptedServer([Reply(body=body)]) as server:
        asker = Asker(settings(base_url=server.url), Ledger())
        explanation = await asker.exchange(QUESTION)
        await asker.aclose()
    output.exchange(Asked(explanation, ()), debug=False, as_json=False)
    assert shown in capsys.readouterr().out
    assert len(server.requests) == 1
