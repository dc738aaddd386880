"""Hostile and refusing replies, read and classified."""

import json

import pytest

from monitor.ask import AskFailed
from monitor.ask.http import Received, Reply, read_reply, receive, refused_parameter, scrub
from monitor.ask.protocol import Secret
from monitor.core.records import Reason
from tests.asking import NOW


def received(reply: Reply) -> Received:
    return receive(reply, {"model": "m"}, SENT, NOW, lambda _: None)


def failure(reply: Reply) -> AskFailed:
    with pytest.raises(AskFailed) as failed:
        received(reply)
    return failed.value


SENT = ["temperature", "seed", "top_logprobs", "logprobs", "response_format", "max_tokens"]


@pytest.mark.parametrize(
    ("param", "text", "name"),
    [
        ("max_tokens", "unsupported_parameter Unsupported parameter: 'max_tokens' is not supported with this model. "
         "Use 'max_completion_tokens' instead.", "max_tokens"),
        ("temperature", "unsupported_value Unsupported value: 'temperature' does not support 0 with this model. Only "
         "the default (1) value is supported.", "temperature"),
        (None, "You are not allowed to request logprobs from this model", "logprobs"),
        ("response_format.json_schema", "This response_format type is unavailable: not supported", "response_format"),
        (None, "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs not permitted'}]", "seed"),
        ("top_logprobs", "unknown_parameter Unknown parameter: 'top_logprobs'.", "top_logprobs"),
        # No refusals of a parameter: what was asked is wrong, and leaving it out would measure something else.
        ("temperature", "Invalid 'temperature': decimal above maximum value. Expected at most 2", None),
        (None, "This model's maximum context length is 4096 tokens; 64 in max_tokens is not supported here", None),
        ("messages", "Unsupported value: 'messages[0].role' does not support 'system' with this model.", None),
        ("seed", "seed is not an integer", None),
        (17, "Unknown parameter", None),
    ],
)  # fmt: skip
def test_refused_parameter(param: object, text: str, name: str | None) -> None:
    assert refused_parameter(param, text, SENT) == name


@pytest.mark.parametrize(
    ("status", "error", "reason", "permanent"),
    [
        (400, {"message": "bad"}, Reason.REJECTED, True),
        (404, {"message": "no such model", "code": "model_not_found"}, Reason.REJECTED, True),
        (422, {"message": "bad"}, Reason.REJECTED, True),
        (301, {}, Reason.REJECTED, True),
        (401, {"message": "bad key"}, Reason.UNAUTHORIZED, True),
        (403, {"message": "no access"}, Reason.UNAUTHORIZED, True),
        (408, {}, Reason.TIMEOUT, False),
        (409, {}, Reason.SERVER_ERROR, False),
        (429, {"message": "slow down"}, Reason.RATE_LIMITED, False),
        (429, {"message": "pay", "code": "insufficient_quota"}, Reason.QUOTA, True),
        (429, {"message": "You exceeded your current quota", "type": "x"}, Reason.QUOTA, True),
        (400, {"message": "Your credit balance is too low to access the API"}, Reason.QUOTA, True),
        (402, {}, Reason.QUOTA, True),
        (500, {}, Reason.SERVER_ERROR, False),
        (503, {}, Reason.SERVER_ERROR, False),
        (529, {"type": "overloaded_error"}, Reason.SERVER_ERROR, False),
        (501, {}, Reason.SERVER_ERROR, True),
    ],
)
def test_classification(status: int, error: dict[str, str], reason: Reason, permanent: bool) -> None:
    reply = read_reply(status, {}, json.dumps({"error": error}).encode(), None)
    failed = failure(reply)
    assert (failed.reason, failed.permanent) == (reason, permanent)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>502</html>", b'{"error": "text"}', b'{"error": [1]}', b"[]", b"null", b'{"detail": 7}', b"\xff"],
)
def test_any_body_of_an_error_is_classified(body: bytes) -> None:
    assert failure(read_reply(500, {}, body, None)).reason is Reason.SERVER_ERROR


def test_the_providers_own_word_against_retrying_counts() -> None:
    reply = read_reply(500, {"x-should-retry": "false", "retry-after": "3"}, b"{}", None)
    failed = failure(reply)
    assert failed.permanent
    assert failed.retry_after is None


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'"text"', b"null", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_object_is_malformed(body: bytes) -> None:
    failed = failure(read_reply(200, {}, body, None))
    assert failed.reason is Reason.MALFORMED
    assert failed.exchange is not None
    assert len(str(failed.exchange.response)) <= 4000


def test_what_no_database_takes_is_replaced() -> None:
    raw = rb'{"a\u0000": "x\u0000y\ud800z", "n": NaN, "i": [Infinity, 1e999, 1.5], "ok": "\ud83d\ude00"}'
    body = received(read_reply(200, {}, raw, None)).body
    assert body == {"a\ufffd": "x\ufffdy\ufffdz", "n": None, "i": [None, None, 1.5], "ok": "\U0001f600"}


def test_headers_are_kept_by_name_and_without_the_key() -> None:
    kept = read_reply(
        200,
        {"Set-Cookie": "s", "Authorization": "k", "X-Request-Id": "r-1 sk-1", "retry-after": "3"},
        b"",
        Secret("sk-1"),
    ).headers
    assert kept == {"X-Request-Id": "r-1 [key]", "retry-after": "3"}


def test_key_is_scrubbed_as_text_and_as_json() -> None:
    assert scrub('a"b/c and a\\"b/c', Secret('a"b/c')) == "[key] and [key]"
    assert repr(Secret("sk-1")) == "Secret(***)"
    assert scrub(r"PHP writes a\/b", Secret("a/b")) == "PHP writes [key]"


OURS, THEIRS = "plain-words-are-our-key", "sk-proj-aB3dE5fG7hI9jK1lM3nO5pQ7"


@pytest.mark.parametrize("shown", range(0, len(OURS) + 1))
def test_no_part_of_our_key_is_left_where_a_header_is_cut(shown: int) -> None:
    value = "x" * (300 - shown) + OURS
    (kept,) = read_reply(200, {"x-request-id": value}, b"", Secret(OURS)).headers.values()
    assert kept == ("x" * (300 - shown) + "[key]")[:300]


@pytest.mark.parametrize("shown", range(0, len(THEIRS) + 1, 4))
def test_no_part_of_a_key_is_left_where_an_errors_words_are_cut(shown: int) -> None:
    """A gateway's own key: known by its shape alone, and only as long as it is whole."""
    words = "x" * (299 - shown) + " " + THEIRS + " refused"
    for body in ({"error": {"message": words}}, {"error": {"code": words[240:]}}):
        failed = failure(read_reply(401, {}, json.dumps(body).encode(), None))
        assert THEIRS[:4] not in failed.detail
        assert "x" * 20 in failed.detail
