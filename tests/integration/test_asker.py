"""The ask stage against a real server on the loopback; time passes only by sleeping, except where it must."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.ask import Asker, LostFence
from monitor.core.errors import ConfigError
from monitor.core.records import Answer, Arm, Message, Outcome, Question, Reason, Recorded, Sampling, Unmeasured
from monitor.store import Store, open_store
from tests.asking import NOW, QUESTION, Ledger, Time, questions, settings
from tests.http_server import Reply, Request, Script, ScriptedServer, completion, message

OK = Reply(body=completion())
PRICE = {"tuned": {"input": 1.0, "output": 1000.0}}


def refuse(parameter: str, status: int = 400) -> Reply:
    text = f"Unsupported parameter: '{parameter}' is not supported with this model."
    return Reply(status, {"error": {"message": text, "param": parameter, "code": "unsupported_parameter"}})


class Stage:
    """One asker at one server."""

    def __init__(self, server: ScriptedServer, **more: Any) -> None:
        budget = more.pop("budget", None)
        self.server = server
        self.ledger: Ledger = more.pop("ledger", None) or Ledger()
        self.time = Time()
        self.seen: list[str] = []
        self.asker = Asker(
            settings(budget, **{"base_url": server.url, **more}),
            self.ledger,
            clock=self.time.clock,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
            observer=lambda *attempt: self.seen.append(attempt[3]),
        )

    @property
    def calls(self) -> list[Request]:
        """Without the looks for an API near the address."""
        return [request for request in self.server.requests if request.body is not None]

    async def outcome(self, question: Question = QUESTION) -> Outcome:
        await self.asker.ask([question], fence=1)
        return self.ledger.recorded[-1].outcome


async def ask(script: Script, question: Question = QUESTION, **more: Any) -> tuple[Outcome, Stage]:
    async with ScriptedServer(script) as server:
        stage = Stage(server, **more)
        outcome = await stage.outcome(question)
        await stage.asker.aclose()
    return outcome, stage


async def test_an_answer_is_recorded_whole() -> None:
    outcome, stage = await ask([OK])
    assert isinstance(outcome, Answer)
    assert (outcome.text, outcome.model, outcome.fingerprint, outcome.attempts) == ("hello", "m-2026", "fp-1", 1)
    assert (outcome.prompt_tokens, outcome.completion_tokens, outcome.usd) == (11, 7, 0.0)
    request = stage.server.requests[0]
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "tuned",
        "messages": [{"role": m.role, "content": m.content} for m in QUESTION.messages],
        "stream": False,
        "max_tokens": 64,
        "temperature": 0.0,
        "seed": 7,
    }
    assert outcome.exchange.request == request.body
    assert stage.seen == ["answer"]


@pytest.mark.parametrize("trouble", [429, 500, 503, 529, 408])
async def test_passing_trouble_is_tried_again(trouble: int) -> None:
    outcome, stage = await ask([Reply(trouble, {}), Reply(body=b"<html>"), Reply(drop=True), OK])
    assert isinstance(outcome, Answer)
    assert outcome.attempts == len(stage.calls) == 4
    assert 0 < sum(stage.time.slept) <= 0.5 + 1 + 2


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(400, {"error": {"message": "bad"}}), Reason.REJECTED),
        (Reply(401, {}), Reason.UNAUTHORIZED),
        (Reply(404, b"gone"), Reason.REJECTED),
        (Reply(307, {}, {"location": "http://127.0.0.1:1/v1/chat/completions"}), Reason.REJECTED),
        (Reply(429, {"error": {"code": "insufficient_quota"}}), Reason.QUOTA),
        (Reply(body=completion("", choice={"finish_reason": "length"})), Reason.TRUNCATED),
    ],
)
async def test_lasting_trouble_is_not(reply: Reply, reason: Reason) -> None:
    outcome, stage = await ask([reply, OK])
    assert isinstance(outcome, Unmeasured)
    assert outcome.reason is reason
    assert outcome.exchange is not None
    assert len(stage.calls) == outcome.attempts == 1


async def test_attempts_are_limited() -> None:
    outcome, stage = await ask([Reply(500, {})], attempts=3)
    assert isinstance(outcome, Unmeasured)
    assert outcome.reason is Reason.SERVER_ERROR
    assert len(stage.server.requests) == outcome.attempts == 3
    assert stage.seen == ["server_error"] * 3


async def test_retry_after_is_obeyed_by_all() -> None:
    slow = Reply(429, {}, {"retry-after": "20"})
    async with ScriptedServer([slow, OK]) as server:
        stage = Stage(server, concurrency=1)
        await stage.asker.ask(questions(2), fence=1)
        await stage.asker.aclose()
    assert 20 <= stage.time.passed <= 21
    assert [type(r.outcome) for r in stage.ledger.recorded] == [Answer, Answer]


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    outcome, stage = await ask([Reply(429, {}, {"retry-after": "1000"}), OK])
    assert isinstance(outcome, Unmeasured)
    assert outcome.reason is Reason.RATE_LIMITED
    assert "no time left" in outcome.detail
    assert stage.time.passed == 0


async def test_a_hanging_server_is_a_timeout() -> None:
    outcome, _ = await ask([Reply(hang=30)], timeout_seconds=0.2, attempts=2)
    assert isinstance(outcome, Unmeasured)
    assert (outcome.reason, outcome.attempts) == (Reason.TIMEOUT, 2)


async def test_nobody_there_is_a_connection_failure() -> None:
    async with ScriptedServer([OK]) as server:
        url = server.url
        stage = Stage(server, base_url=url, attempts=2)
    outcome = await stage.outcome()
    await stage.asker.aclose()
    assert isinstance(outcome, Unmeasured)
    assert outcome.reason is Reason.CONNECTION
    assert outcome.detail == f"no reply from {url.removesuffix('/v1')}: connection refused"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"[" * 50_000,
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [None]},
        {"choices": {"0": 1}},
        {"choices": [{"message": None}]},
        completion(message={"content": 7}),
        b'{"choices": [{"message": {"content": "' + b"x" * (9 * 2**20) + b'"}}]}',
    ],
    ids=lambda body: str(body)[:40],
)
async def test_a_malformed_reply_is_no_reading_and_no_crash(body: Any) -> None:
    outcome, _ = await ask([Reply(body=body)], attempts=1)
    assert isinstance(outcome, Unmeasured)
    assert outcome.reason is Reason.MALFORMED


async def test_odd_but_readable_fields_are_read() -> None:
    odd = completion("x\x00y", usage={"prompt_tokens": "many"}, model=["m"], system_fingerprint=3, id=None)
    outcome, _ = await ask([Reply(body=odd)])
    assert isinstance(outcome, Answer)
    assert (outcome.text, outcome.model, outcome.fingerprint, outcome.prompt_tokens) == ("x\ufffdy", None, None, 0)


async def test_refusals_and_cuts_are_behaviour() -> None:
    refusal, _ = await ask([Reply(body=completion(None, message={"refusal": "I cannot."}))])
    filtered, _ = await ask([Reply(body=completion(None, choice={"finish_reason": "content_filter"}))])
    cut, _ = await ask([Reply(body=completion("half an", choice={"finish_reason": "length"}))])
    empty, _ = await ask([Reply(body=completion(""))])
    found = [(o.text, o.finish_reason, o.refusal) for o in (refusal, filtered, cut, empty) if isinstance(o, Answer)]
    assert found == [
        ("I cannot.", "stop", True),
        ("", "content_filter", True),
        ("half an", "length", False),
        ("", "stop", False),
    ]


async def test_refused_parameters_are_dropped_once_and_remembered() -> None:
    def reply(request: Request) -> Reply:
        for name in ("temperature", "seed", "max_tokens"):
            if name in request.body:
                return refuse(name)
        return OK

    async with ScriptedServer(reply) as server:
        stage = Stage(server, attempts=1)
        outcome = await stage.outcome()
        assert isinstance(outcome, Answer)
        assert outcome.attempts == 4
        assert set(server.requests[-1].body) == {"model", "messages", "stream", "max_completion_tokens"}
        known = stage.ledger.capabilities["server", server.url, "tuned"]
        assert known == {"temperature": False, "seed": False, "max_tokens": False, "max_completion_tokens": True}
        again = Stage(server, ledger=stage.ledger)
        await again.asker.ask([QUESTION], fence=1)
        assert len(server.requests) == 5
        for each in (stage, again):
            await each.asker.aclose()


async def test_logprobs_read_and_a_server_that_ignores_them() -> None:
    question = replace(QUESTION, sampling=Sampling(0.0, 64, logprobs=2))
    token = {"token": "hi", "logprob": -0.1, "top_logprobs": [{"token": "hi", "logprob": -0.1},
                                                            {"token": "no", "logprob": -9999.0}]}  # fmt: skip
    outcome, stage = await ask([Reply(body=completion(choice={"logprobs": {"content": [token]}}))], question)
    assert isinstance(outcome, Answer)
    assert outcome.logprobs is not None
    assert (outcome.logprobs[0].logprob, dict(outcome.logprobs[0].top)) == (-0.1, {"hi": -0.1})
    assert stage.server.requests[0].body["top_logprobs"] == 2
    unlikely = completion(choice={"logprobs": {"content": [{"token": "hi", "logprob": -9999.0}]}})
    outcome, stage = await ask([Reply(body=unlikely)], question)
    assert isinstance(outcome, Answer)
    assert outcome.logprobs == ()
    outcome, stage = await ask([OK], question)
    assert isinstance(outcome, Answer)
    assert outcome.logprobs is None
    assert next(iter(stage.ledger.capabilities.values()))["logprobs"] is False


async def test_anthropic_speaks_the_current_version() -> None:
    schema = {"type": "object"}
    asked = replace(QUESTION, response_schema=schema)
    replies = [refuse("thinking"), Reply(body=message(stop_reason="refusal"), headers={"request-id": "req-9"})]
    outcome, stage = await ask(replies, asked, kind="anthropic")
    assert isinstance(outcome, Answer)
    assert (outcome.refusal, outcome.request_id, outcome.attempts) == (True, "req-9", 2)
    first, second = stage.server.requests
    assert first.path == "/v1/messages"
    assert first.headers["anthropic-version"] == "2026-10-21"
    assert first.body == {
        "model": "tuned",
        "max_tokens": 64,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Where is my order?"}],
        "stream": False,
        "thinking": {"type": "disabled"},
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }
    assert "thinking" not in second.body


@pytest.mark.parametrize("body", [{}, {"content": 7}, {"content": [{"type": "text"}]}, message(None, stop_reason=None)])
async def test_anthropic_malformed(body: Any) -> None:
    outcome, _ = await ask([Reply(body=body)], kind="anthropic", attempts=1)
    assert isinstance(outcome, Unmeasured)
    assert outcome.reason is Reason.MALFORMED


async def test_limits_hold() -> None:
    async with ScriptedServer([Reply(body=completion(), hang=0.01)]) as server:
        stage = Stage(server, concurrency=3, requests_per_minute=120, tokens_per_minute=1_000_000)
        await stage.asker.ask(questions(42), fence=1)
        await stage.asker.aclose()
    assert server.most_in_flight <= 3
    assert len(server.requests) == 42
    assert stage.time.passed >= 19  # 2 at once, 40 at 2 a second


async def test_budget_is_reserved_before_and_settled_after_each_call() -> None:
    outcome, stage = await ask([Reply(500, {}), OK], free=False, prices=PRICE, budget={"usd_per_day": 1.0})
    assert isinstance(outcome, Answer)
    item = stage.ledger.recorded[0]
    assert (item.reservation_id, item.retry_reservation_ids) == (1, (2,))
    assert outcome.usd == pytest.approx((11 * 1 + 7 * 1000) / 1e6)
    worst = stage.ledger.reserved[0]
    assert (worst.target, worst.requests, worst.usd_limit, worst.day) == ("bot", 1, 1.0, NOW.date())
    assert worst.usd > 64 * 1000 / 1e6


async def test_what_may_have_been_billed_counts_in_full() -> None:
    outcome, stage = await ask(
        [Reply(body=b"<html>"), OK], free=False, prices=PRICE, attempts=1, budget={"usd_per_day": 1.0}
    )
    assert isinstance(outcome, Unmeasured)
    assert outcome.usd == stage.ledger.reserved[0].usd > 0


async def test_over_budget_or_unpriced_is_never_asked() -> None:
    async with ScriptedServer([OK]) as server:
        stage = Stage(server, free=False, prices=PRICE, budget={"requests_per_day": 1})
        stage.ledger.allow = 1
        asked = await stage.asker.ask(questions(3), fence=1)
        await stage.asker.aclose()
        assert (asked.answers, dict(asked.unmeasured)) == (1, {Reason.BUDGET: 2})
        assert len(server.requests) == 1
    outcome, stage = await ask([OK], free=False, budget={"usd_per_day": 1.0})
    assert isinstance(outcome, Unmeasured)
    assert (outcome.reason, outcome.attempts) == (Reason.UNPRICED, 0)
    assert stage.server.requests == []


async def test_a_lost_fence_stops_the_rest() -> None:
    async with ScriptedServer([OK]) as server:
        stage = Stage(server, concurrency=1)
        with pytest.raises(LostFence):
            await stage.asker.ask(questions(50), fence=2)
        await stage.asker.aclose()
        assert len(server.requests) < 10


async def test_cancellation_keeps_what_came_and_drops_the_rest() -> None:
    def reply(request: Request) -> Reply:
        return Reply(body=completion(), hang=60 if "slow" in str(request.body) else 0)

    slow = replace(QUESTION, probe="slow", messages=(Message("user", "slow"),))
    async with ScriptedServer(reply) as server:
        stage = Stage(server, concurrency=8)
        work = asyncio.create_task(stage.asker.ask([*questions(5), slow], fence=1))
        while len(stage.ledger.recorded) < 5:
            await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        await stage.asker.aclose()
    assert {r.question.probe for r in stage.ledger.recorded} == {f"p{n}" for n in range(5)}


async def test_exchange_explains_and_records_nothing() -> None:
    async with ScriptedServer([Reply(503, {}), refuse("seed"), OK]) as server:
        stage = Stage(server)
        told = await stage.asker.exchange(QUESTION)
        await stage.asker.aclose()
    assert isinstance(told.outcome, Answer)
    assert [a.outcome for a in told.attempts] == ["server_error", "rejected", "answer"]
    assert told.attempts[0].waits_seconds > 0
    assert told.accepts["seed"] is False
    assert stage.ledger.recorded == []


def claimed(store: Store) -> Question:
    run = store.ensure_run("bot", "support", NOW, 1, "digest", NOW)
    assert store.claim(run.id, NOW, 3600) is not None
    return replace(QUESTION, run_id=run.id)


async def test_the_store_takes_it_all_and_the_key_is_in_no_file_and_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    key = "sk-planted-5d1e77"
    (tmp_path / "key").write_text(key + "\n")
    echo = {"error": {"message": f"Incorrect API key provided: {key}"}}

    def reply(request: Request) -> Reply:
        assert request.headers["authorization"] == f"Bearer {key}"
        probe = request.body["messages"][-1]["content"]
        if probe == "p1":
            return Reply(401, echo, {"x-request-id": key})
        return Reply(body=completion(f"your key is {key}") if probe == "p2" else completion())

    caplog.set_level(logging.DEBUG)
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    question = claimed(store)
    asked = [replace(question, probe=f"p{n}", messages=(Message("user", f"p{n}"),)) for n in range(8)]
    async with ScriptedServer(reply) as server:
        config = settings({"usd_per_day": 1.0}, base_url=server.url, api_key_file=tmp_path / "key")
        asker = Asker(config, store, clock=lambda: NOW)
        result = await asker.ask(asked, fence=1)
        assert key not in repr(vars(asker))
        await asker.aclose()
    assert (result.answers, dict(result.unmeasured)) == (7, {Reason.UNAUTHORIZED: 1})
    assert store.answered(question.run_id) == {(Arm.SUBJECT, f"p{n}", 0) for n in range(8)}
    spent = store.spent("bot", NOW.date())
    assert (spent.requests, spent.reserved_requests, spent.reserved_usd) == (8, 0, 0.0)
    assert store.capability("server", config.providers["server"].server, "tuned")["seed"] is True
    store.close()
    assert all(key.encode() not in file.read_bytes() for file in tmp_path.iterdir() if file.name != "key")
    shown = capfd.readouterr()
    assert key not in caplog.text + shown.out + shown.err
    assert "Where is my order?" not in caplog.text


async def test_a_real_budget_is_never_passed(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    question = claimed(store)
    async with ScriptedServer([OK]) as server:
        config = settings({"requests_per_day": 10}, base_url=server.url, concurrency=8)
        asker = Asker(config, store, clock=lambda: NOW)
        result = await asker.ask([replace(question, probe=f"p{n}") for n in range(40)], fence=1)
        await asker.aclose()
        assert len(server.requests) == 10
    assert (result.answers, dict(result.unmeasured)) == (10, {Reason.BUDGET: 30})
    store.close()


def test_a_missing_key_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"api_key_env": "CLIFFWATCH_NO_SUCH_KEY"}, "CLIFFWATCH_NO_SUCH_KEY is not set or empty"),
        ({"api_key_file": tmp_path / "absent"}, "cannot be read: FileNotFoundError"),
        ({"base_url": None}, "name it with api_key_env or api_key_file"),
    ]
    for provider, says in wrong:
        with pytest.raises(ConfigError, match=says):
            Asker(settings(**provider), Ledger())


async def test_a_group_is_one_transaction() -> None:
    async with ScriptedServer([Reply(body=completion(), hang=0.02)]) as server:
        stage = Stage(server, concurrency=32)
        await stage.asker.ask(questions(64), fence=1)
        await stage.asker.aclose()
    assert sum(stage.ledger.groups) == 64
    assert len(stage.ledger.groups) < 64
    assert all(isinstance(item, Recorded) for item in stage.ledger.recorded)
