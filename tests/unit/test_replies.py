"""Replies in the forms that servers give them: answers, refusals, errors, and what cannot be read."""

import json
from contextlib import suppress
from typing import Any

import pytest

from monitor.ask import AskFailed
from monitor.ask.http import read_reply, receive
from monitor.ask.protocol import Secret
from monitor.ask.reply_text import Said, said_in_chat, said_in_message
from monitor.ask.served import cached_tokens, served_by
from monitor.ask.usage import read_usage
from monitor.core.records import Reason, TokenUsage
from tests.asking import NOW
from tests.http_server import completion, message

REQUEST = {"model": "tuned", "max_tokens": 64}
TOKENS = TokenUsage(11, 7)


def _counted(body: Any) -> TokenUsage | None:
    return TOKENS if body.get("usage") else None


def read(body: Any, status: int = 200, *, messages: bool = False, headers: dict[str, str] | None = None) -> Said:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    received = receive(read_reply(status, headers or {}, raw, Secret("sk-own-key")), REQUEST, (), NOW, _counted)
    tokens = _counted(received.body)
    return said_in_message(received, tokens) if messages else said_in_chat(received, tokens)[0]


def failed(body: Any, status: int = 200, *, messages: bool = False, headers: dict[str, str] | None = None) -> AskFailed:
    with pytest.raises(AskFailed) as raised:
        read(body, status, messages=messages, headers=headers)
    assert raised.value.exchange is not None
    return raised.value


def text(content: Any, **more: Any) -> dict[str, Any]:
    return completion(message={"content": content, **more})


PLAIN = [
    text("a b"),
    text([{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]),
    text([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a b"}]),
    text([{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": "a b", "annotations": []}]),
    text([{"text": "hm", "thought": True}, {"text": "a b"}]),
    text(["a ", "b"]),
    text([["a "], [{"type": "text", "text": {"value": "b"}}]]),
    text({"type": "text", "text": "a b"}),
    text({"role": "model", "parts": [{"text": "a b"}]}),
    text([None, {"type": "text", "text": "a b"}, {"type": "image_url", "image_url": {"url": "x"}}]),
    text("a b", reasoning_content="hm"),
    {"choices": [{"index": 0, "text": "a b", "finish_reason": "length"}]},
    {"choices": [{"delta": {"content": "a b"}, "finish_reason": "stop"}]},
    completion("a b", choice={"finish_reason": None}),
    completion("a b", choice={"finish_reason": "eos"}),
    completion("a b", choice={"finish_reason": "tool_calls"}),
    completion("a b", error=None, success=True, code=200, detail=""),
    completion("a b", error={"code": 0, "message": ""}, message={"error": None}, choice={"error": {}}),
    completion("a b", prompt_filter_results=[{"content_filter_results": {"hate": {"filtered": False}}}]),
    completion("a b", choice={"content_filter_results": {"error": {"code": "content_filter_error"}}}),
]


@pytest.mark.parametrize("body", PLAIN, ids=lambda body: json.dumps(body)[:90])
def test_a_text_in_any_shape_is_read(body: Any) -> None:
    said = read(body)
    assert (said.text, said.refusal, said.text_in) == ("a b", False, None)


FRAMED = [
    b"\xef\xbb\xbf%s",
    b"\r\n\r\n  %s\n\n",
    b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n%s",
    b"%s\n\ndata: [DONE]\n\n",
    b"%s<!-- served by proxy -->",
    b"data: %s\n\ndata: [DONE]\n\n",
    b"event: message\ndata: %s\n\n",
    b"%s\n%s",
    b"%s\x00\x00",
]


@pytest.mark.parametrize("frame", FRAMED)
def test_harmless_frames_are_taken_off(frame: bytes) -> None:
    body = json.dumps(completion("a b")).encode()
    assert read(frame.replace(b"%s", body)).text == "a b"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_encodings_are_read(encoding: str) -> None:
    body = json.dumps(completion("ä b"), ensure_ascii=False).encode(encoding)
    assert read(body, headers={"content-type": "application/json; charset=ISO-8859-1"}).text == "ä b"


def test_bytes_and_numbers_that_no_text_has_do_no_harm() -> None:
    raw = rb'{"id": NaN, "x": [Infinity, 1e999], "choices": [{"message": {"content": "a \ud800\u0000 \xff"},'
    raw = raw.replace(rb"\xff", b"\xff") + b'"finish_reason": "stop"}]}'
    assert read(raw).text == "a \ufffd\ufffd \ufffd"


def chunks(*events: Any, end: str = "data: [DONE]\n\n") -> bytes:
    return ("".join(f"data: {json.dumps(event)}\n\n" for event in events) + end).encode()


def piece(content: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    return {"id": "s", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


STREAMS = [
    chunks(piece("a "), piece("b", "stop")),
    chunks(piece("a "), piece("b")),
    chunks(piece("a "), piece("b", "stop"), end=""),
    chunks(piece("a "), piece("b"), piece(None, "stop"), {"choices": [], "usage": {"prompt_tokens": 3}}),
    chunks(piece("a "), piece("b", "stop")).replace(b"\n\n", b"\n"),
    chunks(piece("a "), piece("b", "stop")).replace(b"\n", b"\r\n"),
    b": ping\n\nid: 7\nretry: 10\n" + chunks(piece("a "), piece("b", "stop")),
    b"".join(json.dumps(one).encode() + b"\n" for one in (piece("a "), piece("b", "stop"))),
]


@pytest.mark.parametrize("body", STREAMS)
def test_a_stream_that_nobody_asked_for_is_put_together(body: bytes) -> None:
    assert read(body).text == "a b"


def test_a_stream_of_messages_is_put_together() -> None:
    events: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": {"type": "message", "content": [], "usage": {"input_tokens": 3}}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        ("content_block_start", {"index": 1, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": "a "}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": "b"}}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        ("message_stop", {}),
    ]
    lines = [f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n" for kind, data in events]
    assert read("".join(lines).encode(), messages=True) == Said("a b", "stop")
    cut = failed("".join(lines[:6]).encode(), messages=True)
    assert (cut.reason, cut.permanent) == (Reason.MALFORMED, False)


EMPTY = [
    (text(None, reasoning_content="21 days"), "reasoning_content"),
    (text("", reasoning="21 days"), "reasoning"),
    (text(" \n", thinking="21 days"), "thinking"),
    (text([{"type": "thinking", "thinking": "21 days"}]), "thinking"),
    (text([], reasoning_details=[{"type": "reasoning.text", "text": "21 days"}]), "reasoning_details"),
    (completion(None, message={"tool_calls": [{"function": {"name": "f"}}]}, choice={"finish_reason": "tool_calls"}),
     "tool_calls"),
    (text(None, function_call={"name": "f", "arguments": "{}"}), "function_call"),
    (text(None, audio={"id": "a", "transcript": "21 days"}), "audio"),
    (completion(None, output_text="21 days"), "output_text"),
    (completion(None, choice={"text": "21 days"}), "text"),
    (text([{"type": "tool_use", "name": "f"}]), "tool_use"),
    (text(None, tool_calls=[], refusal=None, reasoning_content=""), None),
    (text(""), None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "where"), EMPTY, ids=str)
def test_an_empty_answer_names_where_the_text_is(body: Any, where: str | None) -> None:
    said = read(body)
    assert (said.text.strip(), said.refusal, said.text_in) == ("", False, where)


@pytest.mark.parametrize(("word", "used", "told"), [
    ("length", 64, "max_tokens (64) was used up before the answer began; the reply has text in `reasoning_content`"),
    ("length", 12, "the server's own limit ended the reply after 12 of 64 tokens"),
    ("model_length", 64, "the server's own limit"),
])  # fmt: skip
def test_a_cut_before_any_text_names_the_limit(word: str, used: int, told: str) -> None:
    body = completion(None, message={"reasoning_content": "hm"}, choice={"finish_reason": word})
    received = receive(read_reply(200, {}, json.dumps(body).encode(), None), REQUEST, (), NOW, _counted)
    with pytest.raises(AskFailed) as raised:
        said_in_chat(received, TokenUsage(11, used))
    assert (raised.value.reason, raised.value.permanent) == (Reason.TRUNCATED, True)
    assert told in raised.value.detail
    assert read(completion("a b", choice={"finish_reason": word})).text == "a b"


def test_a_word_that_the_table_lacks_is_not_measured() -> None:
    told = failed(completion("a b", choice={"finish_reason": "brown\x1bout"}))
    assert (told.reason, told.permanent, told.tokens) == (Reason.UNKNOWN_FINISH, True, TOKENS)
    assert "'brown out'" in told.detail


FILTERS: list[tuple[int, Any]] = [
    (200, completion(None, choice={"finish_reason": "content_filter"})),
    (200, {"choices": [{"finish_reason": "content_filter", "content_filter_results": {"hate": {"filtered": True}}}]}),
    (200, completion(None, choice={"finish_reason": "content_filter: PROHIBITED_CONTENT"})),
    (200, completion("", choice={"finish_reason": "stop", "native_finish_reason": "SAFETY"})),
    (200, completion(None, choice={"finish_reason": "guardrail_intervened"})),
    (200, {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}}),
    (200, {"choices": [], "prompt_filter_results": [{"content_filter_results": {"jailbreak": {"filtered": True}}}]}),
    (200, {"error": {"code": "content_policy_violation", "message": "no"}}),
    (200, {"error": {"code": 400, "message": "ContentPolicyViolationError: no", "type": None}}),
    (400, {"error": {"code": "content_filter", "message": "The response was filtered", "status": 400}}),
    (400, {"error": {"code": "400", "message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
    (400, {"error": {"message": "litellm.ContentPolicyViolationError: AzureException", "type": None, "code": "400"}}),
    (400, {"error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}}),
    (400, {"error": {"type": "invalid_request_error", "message": "Content Exists Risk"}}),
    (400, {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}),
    (400, {"error": {"code": "InputTextSensitiveContentDetected", "message": "the input may contain a word"}}),
    (403, {"code": "The caller may not do this", "error": "Content violates usage guidelines."}),
    (200, {"choices": None, "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}),
    (400, {"error": {"message": "Your prompt was flagged as potentially violating our usage policy",
                     "code": "invalid_prompt"}}),
    (400, [{"error": {"code": 400, "message": "blocked", "details": [{"reason": "PROHIBITED_CONTENT"}]}}]),
    (400, {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}),
    (403, {"error": {"code": 403, "message": "Input was flagged",
                     "metadata": {"reasons": ["violence"], "flagged_input": "x"}}}),
    (400, {"error": {"message": "{'error': 'Violated guardrail policy'}", "type": "None", "code": "400"}}),
    (422, {"detail": "Blocked by the moderation endpoint"}),
    (200, chunks(piece("a"), {"error": {"code": "content_filter", "message": "cut"}})),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), FILTERS, ids=str)
def test_a_filter_is_a_refusal_however_it_is_told(status: int, body: Any) -> None:
    said = read(body, status)
    assert said.refusal
    assert said.finish_reason


def test_a_refusal_keeps_its_words() -> None:
    assert read(text(None, refusal="I cannot.")) == Said("I cannot.", "stop", refusal=True)
    assert read(text([{"type": "refusal", "refusal": "I cannot."}])) == Said("I cannot.", "stop", refusal=True)
    assert read(message("No.", stop_reason="refusal"), messages=True) == Said("No.", "refusal", refusal=True)
    assert read(message(None, content=None, stop_reason="refusal"), messages=True).refusal


ERRORS: list[tuple[int, Any, Reason, bool, str]] = [
    (200, completion("half", choice={"error": {"code": 502, "message": "went away"}}), Reason.SERVER_ERROR, False,
     "choices[0].error: 502 went away"),
    (200, completion("half", choice={"finish_reason": "error"}), Reason.SERVER_ERROR, False, "'error'"),
    (200, completion("whole", message={"error": "upstream failed"}), Reason.SERVER_ERROR, False, "upstream failed"),
    (200, completion("whole", error={"message": "slow down", "code": "429"}), Reason.RATE_LIMITED, False, "slow down"),
    (200, {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "busy"}}},
     Reason.RATE_LIMITED, False, "429 Provider returned error (busy)"),
    (200, {"error": "model is overloaded"}, Reason.SERVER_ERROR, False, "error: model is overloaded"),
    (200, {"error": ["a", "b"]}, Reason.SERVER_ERROR, False, "a"),
    (200, {"error": True, "message": "rate limit reached"}, Reason.RATE_LIMITED, False, "rate limit reached"),
    (200, {"detail": "Not authenticated"}, Reason.UNAUTHORIZED, True, "Not authenticated"),
    (200, {"detail": [{"loc": ["body", "seed"], "msg": "extra inputs"}]}, Reason.REJECTED, True, "extra inputs"),
    (200, {"object": "error", "message": "no such model", "type": "NotFoundError", "code": 404}, Reason.REJECTED, True,
     "404 no such model"),
    (200, {"code": 429, "message": "slow down"}, Reason.RATE_LIMITED, False, "slow down"),
    (200, {"code": "Throttling.RateQuota", "message": "x"}, Reason.RATE_LIMITED, False, "Throttling"),
    (200, {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]}, Reason.UNAUTHORIZED, True,
     "Authentication error"),
    (200, {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, Reason.RATE_LIMITED, False, "rate limit"),
    (200, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Reason.SERVER_ERROR, False,
     "overloaded_error Overloaded"),
    (200, [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "later"}}], Reason.SERVER_ERROR, False, "later"),
    (200, {"error": {"type": "insufficient_quota", "message": "pay"}}, Reason.QUOTA, True, "pay"),
    (200, {"error": {"code": "invalid_api_key", "message": "no"}}, Reason.UNAUTHORIZED, True, "invalid_api_key no"),
    (200, {"error": {"type": "invalid_request_error", "message": "no"}}, Reason.REJECTED, True, "no"),
    (200, {"message": "Too Many Requests"}, Reason.RATE_LIMITED, False, "Too Many Requests"),
    (200, b"data: {\"error\": {\"message\": \"no capacity\", \"code\": 503}}\n\n", Reason.SERVER_ERROR, False, "503"),
    (200, b"event: error\ndata: upstream timed out\n\n", Reason.SERVER_ERROR, False, "upstream timed out"),
    (200, json.dumps(completion()).encode() + b'\n{"error": {"code": 500, "message": "late"}}', Reason.SERVER_ERROR,
     False, "late"),
    (200, b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", Reason.SERVER_ERROR, False,
     "502 Bad Gateway"),
    (200, b"upstream connect error or disconnect/reset before headers", Reason.SERVER_ERROR, False, "upstream connect"),
    (400, {"error": {"message": "Budget has been exceeded! Current cost: 3", "code": "400"}}, Reason.QUOTA, True, "B"),
    (200, {"error": "Loading model"}, Reason.SERVER_ERROR, False, "Loading model"),
    (200, b"error code: 1015", Reason.RATE_LIMITED, False, "1015"),
    (500, {"error": {"code": "x", "message": "Content moderation is unavailable"}}, Reason.SERVER_ERROR, False, "mod"),
    (429, {"error": {"code": "content_filter", "message": "slow"}}, Reason.RATE_LIMITED, False, "slow"),
    (200, {"error": {"value": [{"x": {"code": 503, "message": "later"}}]}}, Reason.SERVER_ERROR, False, "503 later"),
    (403, {"error": {"message": "Your account was flagged by our policies"}}, Reason.UNAUTHORIZED, True, "account"),
    (400, {"error": {"message": "Unknown parameter: 'content_filter'", "code": "unknown_parameter"}}, Reason.REJECTED,
     True, "unknown_parameter"),
    (429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota",
                     "details": [{"retryDelay": "26s"}]}}, Reason.RATE_LIMITED, False, "429"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "reason", "permanent", "words"), ERRORS, ids=str)
def test_an_error_is_an_error_wherever_it_stands(
    status: int, body: Any, reason: Reason, permanent: bool, words: str
) -> None:
    told = failed(body, status)
    assert (told.reason, told.permanent) == (reason, permanent)
    assert words in told.detail


def test_the_error_itself_may_say_when_to_come_back() -> None:
    body = {"error": {"code": 429, "message": "x", "details": [{"@type": "RetryInfo", "retryDelay": "26s"}]}}
    assert failed(body).retry_after == 26
    assert failed(body, headers={"retry-after": "3"}).retry_after == 3


DEEP = [
    '"error": %s', '"usage": %s', '"choices": [{"message": {"content": %s}, "finish_reason": "stop"}]',
    '"choices": [{"message": {"content": null, "reasoning": %s}, "finish_reason": "stop"}]', '"promptFeedback": %s',
]  # fmt: skip


@pytest.mark.parametrize("field", DEEP)
@pytest.mark.parametrize("depth", [50, 101, 450, 900, 5000])
def test_no_depth_breaks_the_reader(field: str, depth: int) -> None:
    for begin, end in (("[", "]"), ('{"a": ', "}")):
        body = ("{" + field % (begin * depth + '"x\\u0000"' + end * depth) + "}").encode()
        if depth > 100:
            told = failed(body)
            assert told.reason is Reason.MALFORMED
            assert "deep" in told.detail
        else:
            with suppress(AskFailed):
                read(body)


ODD: list[tuple[Any, str]] = [
    (b"", "empty"),
    (b"<html><body>Welcome</body></html>", "an HTML page"),
    (b"hello there", "hello there"),
    (b'{"choices": [{"mess', "cut"),
    ([1], "a list"),
    (b"\"text\"", "no object"),
    ({}, "`choices` is missing"),
    ({"choices": None}, "`choices` is null"),
    ({"choices": []}, "`choices` is empty"),
    ({"choices": {"message": {"content": "a"}, "finish_reason": "stop"}}, "`choices` is an object, not a list"),
    ({"choices": "a"}, "`choices` is a text"),
    ({"choices": [None]}, "`choices[0]` is null"),
    ({"choices": ["a"]}, "`choices[0]` is a text"),
    ({"choices": [{"message": None}]}, "`choices[0].message` is null"),
    ({"choices": [{"message": "a b"}]}, "`choices[0].message` is a text"),
    ({"choices": [{"content": "a b"}]}, "`choices[0].message` is missing; the choice has `content`"),
    (text(7), "`choices[0].message.content` is a number"),
    (text(True), "`choices[0].message.content` is true or false"),
    (text([{"type": "text"}]), "`choices[0].message.content[0].text` is missing"),
    (text([{"type": "text", "text": None}]), "`choices[0].message.content[0].text` is null"),
    (text([3]), "`choices[0].message.content[0]` is a number"),
    (text({"answer": "a b"}), "`choices[0].message.content` is an object without a text (it has `answer`)"),
    (completion(None, choice={"finish_reason": None}), "neither a text nor a finish reason"),
    (message("a b"), "`choices` is missing; the reply has"),
    ({"candidates": [{"content": {"parts": [{"text": "a"}]}}]}, "as in Gemini's own API"),
    (chunks(piece("a "), end=""), "the stream was cut"),
    (b'data: {"type": "response.output_text.delta", "delta": "a"}\n\n', "streams although not asked to"),
    (json.dumps(completion("a")).encode() + json.dumps(completion("b")).encode(), "more than one reply"),
    (b'{"choices": [{"message": {"content": "a", "content": "b"}, "finish_reason": "stop"}]}', "`content`"),
    (b'{"choices": [{"message": {"content": "a"}, "finish_reason": "stop", "finish_reason": "error"}]}',
     "`finish_reason`"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "words"), ODD, ids=str)
def test_what_cannot_be_read_names_the_field(body: Any, words: str) -> None:
    told = failed(body)
    assert told.reason is Reason.MALFORMED
    assert words in told.detail
    # What counts its tokens was billed, and would come back the same; so would a choice that cannot be read.
    shown = words.startswith(("`choices[0]", "`choices` is an object", "`choices` is a text", "as in"))
    assert told.permanent is (told.tokens is not None or shown)


def test_a_field_that_is_given_twice() -> None:
    raw = (
        b'{"usage": {"prompt_tokens": 5, "completion_tokens": 90}, "error": null, "choices": [{"message":'
        b'{"content": "a", "content": "a", "content": null}, "finish_reason": "stop", "finish_reason": ""}],'
        b'"usage": {"prompt_tokens": 9, "completion_tokens": 1}}'
    )
    reply = read_reply(200, {}, raw, None)
    received = receive(reply, REQUEST, (), NOW, _counted)
    assert received.body["usage"] == {"prompt_tokens": [5, 9], "completion_tokens": [90, 1]}
    assert read_usage(received.body) == TokenUsage(
        9, 90, note="prompt tokens are stated as 5 and 9; completion tokens are stated as 90 and 1"
    )
    assert said_in_chat(received, TOKENS)[0] == Said("a", "stop")


@pytest.mark.parametrize("padding", [0, 100_000])
def test_a_field_that_is_given_twice_in_a_long_reply(padding: int) -> None:
    body = json.dumps(completion("a", system_fingerprint="f" * padding))[:-1]
    assert read(body.encode() + b"}").text == "a"
    twice = failed(body.encode() + b', "choices": [{"message": {"content": "b"}}]}')
    assert "`choices`" in twice.detail


def test_a_redirect_is_told_without_what_may_be_secret() -> None:
    told = failed(b"", 307, headers={"Location": "https://user:pw@other.example:8443/v1/chat?key=sk-x#y"})
    assert (told.reason, told.permanent) == (Reason.REJECTED, True)
    assert told.detail == "HTTP 307; the server redirects to https://other.example:8443/v1/chat"
    assert failed(b"", 204).detail == "HTTP 204: the reply is empty"


def test_the_errors_own_words_are_cleaned_and_cut() -> None:
    body = {"error": {"message": "bad\x1b[31m\r\nkey sk-own-key " + "x" * 900, "code": "a\u202eb"}}
    detail = failed(body, 401).detail
    assert detail.startswith("HTTP 401 a b bad [31m key [key] xxx")
    assert detail.isprintable()
    assert len(detail) < 330


def test_who_served_it() -> None:
    headers = {
        "X-LiteLLM-Model-Api-Base": "https://user:pw@vllm-2.internal:8000/v1?key=sk-secret#x",
        "x-litellm-model-id": "dep-7",
        "x-litellm-attempted-fallbacks": "1",
        "x-litellm-call-id": "changes-every-time",
        "x-ms-region": "Sweden Central",
        "set-cookie": "s",
    }
    kept = read_reply(200, headers, b"{}", Secret("sk-secret")).headers
    assert served_by(kept, {"provider": "SomeHost\n"}) == {
        "api_base": "https://vllm-2.internal:8000/v1",
        "deployment": "dep-7",
        "fallbacks": "1",
        "provider": "SomeHost",
        "region": "Sweden Central",
    }
    assert served_by({}, {"provider": {"name": 3}}) == {}


@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 16}}, 16),
        ({"cache_read_input_tokens": 0}, 0),
        ({"prompt_tokens_details": {"cached_tokens": True}}, None),
        ({"prompt_tokens_details": None}, None),
        ([], None),
    ],
)
def test_cached_tokens(usage: Any, cached: int | None) -> None:
    assert cached_tokens({"usage": usage}) == cached
