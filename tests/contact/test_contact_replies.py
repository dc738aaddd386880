"""What servers send in one reply, and what ``ask`` makes of it."""

import json
from typing import Any

import pytest

from tests.contact.world import MODEL, TARGET, World, asked, probe, said
from tests.http_server import Reply, completion


async def test_an_error_inside_the_choice_is_an_outage(world: World) -> None:
    world.write()
    broken = {"finish_reason": "error", "error": {"code": 503, "message": "no tide data upstream"}}
    world.chat = said("The last b", choice=broken)
    outcome = await world.ask()
    assert outcome["reason"] == "server_error"
    assert "choices[0].error: 503 no tide data upstream" in outcome["detail"]


async def test_a_limit_told_inside_200_is_asked_again_and_kept_in_its_own_words(world: World) -> None:
    world.write(provider={"attempts": 2})
    world.chat = Reply(body={"error": {"code": 429, "message": "harbour quota reached"}, "user_id": "u-1"})
    outcome = await world.ask()
    assert (outcome["reason"], len(world.chats)) == ("rate_limited", 2)
    assert "429 harbour quota reached" in outcome["detail"]


FINISHES = {
    "stop": "", "end_turn": "", "COMPLETE": "", "eos_token": "", "STOP_SEQUENCE": "", "length": "", "MAX_TOKENS": "",
    "content_filter": "", "SAFETY": "", "guardrail_intervened": "", "ERROR_TOXIC": "", "refusal": "", "tool_use": "",
    "abort": "server_error", "ERROR": "server_error", "lost_at_sea": "unknown_finish", "NEW_WORD": "unknown_finish",
}  # fmt: skip


async def test_finish_reasons_of_all_dialects_are_sorted_and_unknown_ones_measure_nothing(world: World) -> None:
    world.write([probe(word.lower(), f"Sign {word} what does it say?") for word in FINISHES])
    world.chat = lambda request: said("Mind the gap.", choice={"finish_reason": asked(request).split()[1]})
    (run,) = (await world.run("probe", TARGET, "--json")).json
    told = [reason for reason in FINISHES.values() if reason]
    assert run["unmeasured"] == {reason: told.count(reason) for reason in told}
    assert run["questions"] == len(FINISHES)


async def test_parts_of_text_are_joined_and_thoughts_are_left_out(world: World) -> None:
    world.write()
    parts: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "They ask for pier 00."}]},
        {"type": "text", "text": "The last boat "},
        {"type": "text", "text": "leaves at 23:40."},
    ]
    world.chat = said(None, message={"content": parts})
    outcome = await world.ask()
    assert (outcome["text"], len(world.chats)) == ("The last boat leaves at 23:40.", 1)


async def test_a_stream_that_nobody_asked_for_is_read_and_told(world: World) -> None:
    world.write()
    events: list[dict[str, Any]] = [
        {"model": MODEL, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "At "}}]},
        {"model": MODEL, "choices": [{"index": 0, "delta": {"content": "23:40."}, "finish_reason": "stop"}]},
    ]
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    world.chat = Reply(body=f": ping\n\n{lines}data: [DONE]\n\n".encode(), headers={"content-type": "text/plain"})
    ran = await world.run("ask", TARGET, "pier00")
    assert (ran.code, ran.out.strip()) == (0, "At 23:40.")
    assert "the server streams although not asked to" in ran.error
    assert world.chats[0].body["stream"] is False


async def test_an_error_in_a_stream_is_no_answer(world: World) -> None:
    world.write()
    first = {"model": MODEL, "choices": [{"index": 0, "delta": {"content": "The last boat"}}]}
    error = {"error": {"message": "the engine stopped", "code": 500}}
    body = f"data: {json.dumps(first)}\n\ndata: {json.dumps(error)}\n\ndata: [DONE]\n\n"
    world.chat = Reply(body=body.encode(), headers={"content-type": "text/event-stream"})
    outcome = await world.ask()
    assert outcome["reason"] == "server_error"
    assert "the engine stopped" in outcome["detail"]


async def test_byte_order_marks_and_carriage_returns_are_read_everywhere(world: World) -> None:
    world.write([probe("board", "line one\nline two\n", {"kind": "contains", "text": "23:40"})])
    for name in ("cliffwatch.yaml", "probes/ferries.yaml"):
        plain = (world.folder / name).read_text()
        world.put(name, b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode())
    world.chat = Reply(body=b"\xef\xbb\xbf" + json.dumps(completion("At 23:40.")).encode())
    assert (await world.ask("board"))["text"] == "At 23:40."
    assert asked(world.chats[0]) == "line one\nline two\n"


async def test_an_address_without_v1_is_told_with_the_one_that_answers(world: World) -> None:
    world.write(provider={"base_url": world.server.url.removesuffix("/v1")})
    world.chat = Reply(404, {"detail": "Not Found"})
    outcome = await world.ask()
    assert outcome["reason"] == "rejected"
    assert f"Set base_url to {world.server.url}" in outcome["detail"]
    ran = await world.run("identify")
    assert ran.code == 3
    assert "add /v1 to the provider's base_url" in ran.out


async def test_a_text_that_moved_to_the_reasoning_is_named_and_asked_once(world: World) -> None:
    world.write(provider={"attempts": 3})
    world.chat = said(None, message={"reasoning_content": "Pier 00 closes late. The last boat leaves at 23:40."})
    ran = await world.run("ask", TARGET, "pier00")
    assert "(empty)" in ran.out
    assert "has text in `reasoning_content`" in ran.out
    assert len(world.chats) == 1


NO_ANSWERS = {
    "empty": said(""),
    "blank": said(" \n"),
    "thoughts only": said("<think>They ask for pier 00.</think>"),
    "filtered": said(None, choice={"finish_reason": "content_filter"}),
    "filtered with a text": said("The last", choice={"finish_reason": "content_filter"}),
    "filtered as an error": Reply(400, {"error": {"code": "content_filter", "message": "blocked"}}),
    "an error": Reply(400, {"error": {"message": "no such thing"}}),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_ask_exits_3_where_nothing_was_measured(world: World, name: str) -> None:
    world.write()
    world.chat = NO_ANSWERS[name]
    assert (await world.run("ask", TARGET, "pier00")).code == 3


async def test_ask_exits_0_for_an_answer_and_for_the_models_own_refusal(world: World) -> None:
    world.write()
    assert (await world.run("ask", TARGET, "pier00")).code == 0
    world.chat = said(None, message={"refusal": "I cannot tell you that."})
    assert (await world.run("ask", TARGET, "pier00")).code == 0


async def test_a_reply_without_choices_names_the_field_and_is_asked_once(world: World) -> None:
    world.write(provider={"attempts": 3})
    world.chat = Reply(body=completion(choices=[]))
    outcome = await world.ask()
    assert (outcome["reason"], len(world.chats)) == ("malformed", 1)
    assert "`choices`" in outcome["detail"]


PRICED = {"free": False, "prices": {MODEL: {"input": 1.0, "output": 2.0}}}
USAGES: list[tuple[Any, int, int, float]] = [
    ({"prompt_tokens": "30", "completion_tokens": 12.0}, 30, 12, 54e-6),
    ({"prompt_tokens": 30, "input_tokens": 40, "completion_tokens": 12, "output_tokens": 9}, 40, 12, 64e-6),
]


@pytest.mark.parametrize(("usage", "prompt", "completion_tokens", "usd"), USAGES)
async def test_usage_in_any_form_is_read_and_the_higher_of_two_is_billed(
    usage: Any, prompt: int, completion_tokens: int, usd: float, world: World
) -> None:
    world.write(provider=PRICED)
    world.chat = said("At 23:40.", usage=usage)
    outcome = await world.ask()
    assert (outcome["prompt_tokens"], outcome["completion_tokens"]) == (prompt, completion_tokens)
    assert outcome["usd"] == pytest.approx(usd)


async def test_unknown_usage_costs_the_maximum(world: World) -> None:
    world.write(provider=PRICED)
    world.chat = said("At 23:40.", usage={"prompt_tokens": None, "completion_tokens": -3})
    outcome = await world.ask()
    assert outcome["usd"] >= 2 * 40e-6, "40 tokens of an answer are allowed"
    assert "usage.prompt_tokens is null" in outcome["usage"]["note"]


async def test_checks_read_the_number_as_written_and_refuse_what_has_two_readings(world: World) -> None:
    checks = [{"kind": "number", "value": 1234.5}, {"kind": "number", "value": 50}, {"kind": "number", "value": 1.2345}]
    world.write([probe("fare", "What does a season ticket cost?", *checks)])
    world.chat = said("A season ticket costs 1.234,50 EUR.")
    graded = (await world.run("ask", TARGET, "fare", "--json")).json["grades"]
    assert [score for name, score, _ in graded if name != "checks"] == [1.0, 0.0, 0.0]
    assert "read from '1.234,50'" in graded[0][2]
    doubtful = [{"kind": "number", "value": 1234}, {"kind": "number", "value": 5}]
    world.write([probe("fare", "7.000?", *doubtful)])
    world.chat = said("1.234")
    found = (await world.run("ask", TARGET, "fare", "--json")).json
    assert "check:number" in json.dumps(found["unscored"]), "1234, or one and a bit"
    assert [score for name, score, _ in found["grades"] if name == "check:number:2"] == [0.0], "5 is neither"


async def test_texts_that_look_alike_are_told_apart_in_a_check(world: World) -> None:
    world.write([probe("length", "How long is the crossing?", {"kind": "exact", "text": "10 km"})])
    world.chat = said("10\u00a0km")
    grades = (await world.run("ask", TARGET, "length", "--json")).json["grades"]
    assert grades[0][1] == 0.0
    assert "NO-BREAK SPACE (U+00A0)" in grades[0][2]


async def test_a_format_that_no_endpoint_of_the_kind_honours_is_told_before_anything_is_asked(world: World) -> None:
    sampling = {"temperature": 0, "max_tokens": 40, "logprobs": 3}
    world.write(provider={"kind": "anthropic"}, suite={"sampling": sampling})
    ran = await world.run("check")
    assert (ran.code, world.server.requests) == (0, [])
    assert "temperature 0, which kind anthropic never sends" in ran.error
    assert "requests logprobs, which kind anthropic does not return" in ran.error
