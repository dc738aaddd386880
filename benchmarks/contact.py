"""Mutated replies of six dialects, each asked for over HTTP: what becomes of them, and what never may.

A grammar makes replies of OpenAI, Azure, vLLM, Anthropic, Gemini (through its OpenAI-compatible API) and of a gateway
(LiteLLM, OpenRouter): answers, empty answers, refusals, errors and cuts. Each gets one or two mutations: a field is
missing, null, of another type, given twice, nested, or from another dialect; or the body is cut or framed. Every text
has a marker that tells where it was planted, so no knowledge of the reader is needed to judge what was read.

``--part month`` asks a healthy model for 14 days of baseline and a month of runs, whose replies are mutated.
"""

import asyncio
import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
import yaml

from benchmarks.rows import Row, parser, report, share
from monitor import config
from monitor.ask import Asker
from monitor.core.records import Answer, Arm, BaselineStatus, Message, Outcome, Question, Sampling, Severity, Unmeasured
from monitor.core.settings import Settings
from monitor.runs.context import build_context, ensure_run, open_capture
from monitor.runs.execute import execute_run
from monitor.store import open_store

DIALECTS: Final = ("openai", "azure", "vllm", "anthropic", "gemini", "gateway")
NAMES_A_FIELD: Final = re.compile(
    r"`[\w.\[\]]+`|error in |HTTP \d{3} |finish reason|not JSON|empty|cut|max_tokens|stream"
)
"""What the detail of an unmeasured reply must have: a field of the reply, or what is wrong with the whole body."""
BASELINE_DAYS, MONTH_DAYS = 14, 30


@dataclass(frozen=True)
class Reply:
    """One reply of the grammar."""

    dialect: str
    kind: str
    """``answer``, ``empty``, ``refusal``, ``error`` or ``cut``."""
    status: int
    body: Any
    raw: bytes = b""


class Twice:
    """A field that is given twice."""

    def __init__(self, first: Any, second: Any) -> None:
        self.values = (first, second)


def dump(value: Any) -> str:
    """JSON, with fields that are given twice."""
    if isinstance(value, dict):
        pairs = []
        for name, one in value.items():
            pairs += [f"{json.dumps(name)}: {dump(v)}" for v in (one.values if isinstance(one, Twice) else (one,))]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dump(one) for one in value) + "]"
    return json.dumps(value)


# --- the grammar; markers: A answer, R reasoning, F filter or refusal, E error


def chat(text: Any, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish, **more.pop("choice", {})}
    usage = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1790000000, "model": "m-1"}
    return {**head, "choices": [choice], "usage": usage, **more}


def claude(blocks: list[Any], stop: str | None = "end_turn") -> dict[str, Any]:
    usage = {"input_tokens": 20, "output_tokens": 9, "cache_read_input_tokens": 0}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": blocks,
            "stop_reason": stop, "stop_sequence": None, "usage": usage}  # fmt: skip


Made = Callable[[str], list[tuple[str, int, Any]]]


def _openai(n: str) -> list[tuple[str, int, Any]]:
    return [
        ("answer", 200, chat(f"A{n} text", system_fingerprint="fp")),
        ("answer", 200, chat([{"type": "text", "text": f"A{n} text"}])),
        ("empty", 200, chat(None, "tool_calls", message={"tool_calls": [{"function": {"name": f"R{n}"}}]})),
        ("refusal", 200, chat(None, message={"refusal": f"F{n} no"})),
        ("refusal", 400, {"error": {"message": f"F{n}", "type": "invalid_request_error", "code": "content_filter"}}),
        ("error", 429, {"error": {"message": f"E{n} slow", "type": "requests", "code": "rate_limit_exceeded"}}),
        ("error", 500, {"error": {"message": f"E{n} oops", "type": "server_error", "code": None}}),
        ("cut", 200, chat("", "length")),
    ]


def _azure(n: str) -> list[tuple[str, int, Any]]:
    safe = {"hate": {"filtered": False, "severity": "safe"}}
    blocked = {"hate": {"filtered": True, "severity": "high"}}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": blocked}
    prompt = [{"prompt_index": 0, "content_filter_results": safe}]
    return [
        ("answer", 200, chat(f"A{n} text", choice={"content_filter_results": safe}, prompt_filter_results=prompt)),
        ("refusal", 200, chat(None, "content_filter", choice={"content_filter_results": blocked})),
        ("refusal", 400, {"error": {"message": f"F{n}", "code": "content_filter", "innererror": inner}}),
        ("refusal", 200, {"choices": [], "prompt_filter_results": [{"content_filter_results": blocked}]}),
        ("error", 401, {"error": {"code": "401", "message": f"E{n} access denied"}}),
        ("error", 404, {"error": {"code": "DeploymentNotFound", "message": f"E{n}"}}),
    ]


def _vllm(n: str) -> list[tuple[str, int, Any]]:
    reasoned = {"reasoning_content": f"R{n} hm", "tool_calls": []}
    wrong = {"object": "error", "message": f"E{n} no", "type": "BadRequestError", "param": None, "code": 400}
    return [
        ("answer", 200, chat(f"A{n} text", message=reasoned, choice={"stop_reason": None}, prompt_logprobs=None)),
        ("empty", 200, chat(None, message=reasoned)),
        ("empty", 200, chat("", message={"reasoning": f"R{n}"})),
        ("error", 200, chat("", "abort")),
        ("error", 400, wrong),
        ("error", 200, wrong),
        ("cut", 200, chat(None, "length", message=reasoned)),
    ]


def _anthropic(n: str) -> list[tuple[str, int, Any]]:
    thought = {"type": "thinking", "thinking": f"R{n} hm", "signature": "s"}
    busy = {"type": "error", "error": {"type": "overloaded_error", "message": f"E{n} busy"}}
    return [
        ("answer", 200, claude([{"type": "text", "text": f"A{n} text"}])),
        ("answer", 200, claude([thought, {"type": "text", "text": f"A{n} text"}], "max_tokens")),
        ("empty", 200, claude([thought])),
        ("refusal", 200, claude([], "refusal")),
        ("error", 529, busy),
        ("error", 200, busy),
        ("cut", 200, claude([thought], "max_tokens")),
    ]


def _gemini(n: str) -> list[tuple[str, int, Any]]:
    full = {"error": {"code": 429, "message": f"E{n} quota", "status": "RESOURCE_EXHAUSTED"}}
    return [
        ("answer", 200, chat(f"A{n} text")),
        ("refusal", 200, chat(None, "content_filter: PROHIBITED_CONTENT")),
        ("refusal", 200, {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}),
        ("error", 429, [full]),
        ("error", 200, [full]),
        ("cut", 200, chat(None, "MAX_TOKENS")),
    ]


def _gateway(n: str) -> list[tuple[str, int, Any]]:
    away = {"code": 502, "message": f"E{n} away", "metadata": {"provider_name": "Host", "raw": f"E{n} raw"}}
    return [
        ("answer", 200, chat(f"A{n} text", provider="Host", choice={"native_finish_reason": "STOP"})),
        ("answer", 200, chat([{"type": "thinking", "thinking": [{"type": "text", "text": f"R{n}"}]},
                              {"type": "text", "text": f"A{n} text"}], provider="Host")),
        ("error", 200, chat(f"A{n} half", "error", choice={"error": away}, provider="Host")),
        ("error", 200, {"error": {**away, "code": 429}, "user_id": "u"}),
        ("refusal", 403, {"error": {"code": 403, "message": f"F{n} flagged", "metadata": {"flagged_input": "x"}}}),
        ("error", 200, chat(None, "stop", choice={"native_finish_reason": "network_error"})),
    ]  # fmt: skip


GRAMMAR: Final[Mapping[str, Made]] = {
    "openai": _openai, "azure": _azure, "vllm": _vllm, "anthropic": _anthropic, "gemini": _gemini, "gateway": _gateway,
}  # fmt: skip


# --- mutations


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every field: its holder and its name or index."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in list(items):
        yield value, name
        yield from _places(one)


def _other_type(value: Any, n: str, rng: random.Random) -> Any:
    others: list[Any] = [7, 2.5, True, [], {}, [[]], {"a": {"b": None}}]
    return rng.choice([one for one in [*others, f"M{n}"] if type(one) is not type(value)])


def _from_another(name: Any, n: str, rng: random.Random) -> Any:
    """A field of the same name in another reply of the grammar."""
    bodies = [body for make in GRAMMAR.values() for _, _, body in make(n)]
    found = [holder[key] for body in bodies for holder, key in _places(body) if key == name]
    # The text of a part of thinking is one like any other once it stands in a part of text.
    found = [one for one in found if not str(one.get("text") if isinstance(one, dict) else one).startswith("R")]
    return deepcopy(rng.choice(found)) if found else None


def mutated(body: Any, n: str, rng: random.Random) -> tuple[str, Any]:
    """The mutation's name and the body, changed in one field."""
    whole = deepcopy(body)
    places = list(_places(whole))
    # Fields near the top decide more, so they are drawn as often as all below them.
    holder, name = rng.choice(places[:1] + places if rng.random() < 0.7 else places[: max(1, len(places) // 3)])
    value = holder[name]
    kind = rng.choice(["missing", "null", "other type", "twice", "nested", "another dialect"])
    if kind == "missing":
        del holder[name]
    elif kind == "null":
        holder[name] = None
    elif kind == "other type":
        holder[name] = _other_type(value, n, rng)
    elif kind == "nested":
        holder[name] = rng.choice([[value], {"value": value}, {str(name): value}, [[value]]])
    elif kind == "twice" and isinstance(holder, dict):
        holder[name] = Twice(*rng.sample([value, rng.choice([None, "", value, _from_another(name, n, rng)])], 2))
    else:
        kind = "another dialect"
        holder[name] = _from_another(name, n, rng)
    return kind, whole


_FRAMES: Final = ("\ufeff{}", "\n\n{}\n", ": keep-alive\n\n{}", "{}\n\ndata: [DONE]\n\n", "{}trailing", "data: {}\n\n")


def replies(count: int, seed: int, only: str | None = None) -> list[tuple[str, Reply]]:
    """``count`` replies, each with the name of its mutation; ``only`` takes one kind of reply."""
    rng = random.Random(seed)
    made: list[tuple[str, Reply]] = []
    while len(made) < count:
        n = f"{len(made):05}"
        dialect = DIALECTS[len(made) % len(DIALECTS)]
        kind, status, body = rng.choice([one for one in GRAMMAR[dialect](n) if only in (None, one[0])])
        draw, how = rng.random(), "none"
        if draw < 0.85:
            how, body = mutated(body, n, rng)
        if draw < 0.2:
            again, body = mutated(body, n, rng) if list(_places(body)) and not _has_twice(body) else ("", body)
            how = f"{how} and {again}" if again else how
        text = dump(body)
        if 0.85 <= draw < 0.92:
            how, text = "framed", rng.choice(_FRAMES).format(text)
        elif 0.92 <= draw < 0.97:
            how, text = "cut", text[: rng.randrange(len(text))]
        made.append((how, Reply(dialect, kind, status, body, text.encode())))
    return made


def _has_twice(value: Any) -> bool:
    return any(isinstance(holder[name], Twice) for holder, name in _places(value))


# --- the server, and what was made of its replies


class Server(asyncio.Protocol):
    """Answers ``reply-N`` in a prompt with the reply N."""

    def __init__(self, choose: Callable[[bytes], Reply]) -> None:
        self._choose = choose
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = re.search(rb"content-length: (\d+)", self._buffer[:end].lower())
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < whole:
                return
            request, self._buffer = self._buffer[:whole], self._buffer[whole:]
            reply = Reply("", "", 404, None, b"no") if request.startswith(b"GET") else self._choose(request)
            head = f"HTTP/1.1 {reply.status} X\r\ncontent-type: application/json\r\ncontent-length: {len(reply.raw)}"
            self._transport.write(f"{head}\r\n\r\n".encode() + reply.raw)


@asynccontextmanager
async def serving(choose: Callable[[bytes], Reply]) -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(lambda: Server(choose), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


def verdict(reply: Reply, outcome: Outcome) -> str:
    """What became of a reply: ``read``, ``empty``, ``refusal``, ``unmeasured``, or what must not happen."""
    if isinstance(outcome, Unmeasured):
        if "the provider's code failed" in outcome.detail:
            return "crash"
        return "unmeasured" if NAMES_A_FIELD.search(outcome.detail) else "no field named"
    if outcome.refusal:
        return "refusal"
    if not outcome.text.strip():
        return "empty"
    markers = set(re.findall(r"\b([A-Z])\d{5}", outcome.text))
    if re.search(rb"\bE\d{5}", reply.raw):
        return "error taken for an answer"
    return "read" if markers and markers <= {"A", "M"} else "empty reply taken for an answer"


async def asked(made: list[tuple[str, Reply]], folder: Path) -> list[Outcome]:
    """The outcome of each reply, through the whole ask stage."""

    def choose(request: bytes) -> Reply:
        found = re.search(rb"reply-(\d+)", request)
        assert found is not None
        return made[int(found[1])][1]

    async with serving(choose) as url:
        common = {"base_url": url, "free": True, "attempts": 1, "concurrency": 16}
        providers = {kind: {"kind": kind, **common} for kind in ("openai", "anthropic")}
        targets = {"bot": {"subject": {"provider": "openai", "model": "m"}}}
        store = open_store(f"sqlite:///{folder}/contact.db")
        asker = Asker(Settings.model_validate({"providers": providers, "targets": targets}), store)

        async def one(number: int, reply: Reply) -> Outcome:
            kind = "anthropic" if reply.dialect == "anthropic" else "openai"
            question = Question(
                0, "bot", "suite", Arm.SUBJECT, "p", 0, kind, "m", (Message("user", f"reply-{number}"),),
                Sampling(temperature=None, max_tokens=64),
            )  # fmt: skip
            return (await asker.exchange(question)).outcome

        try:
            return await asyncio.gather(*(one(number, reply) for number, (_, reply) in enumerate(made)))
        finally:
            await asker.aclose()
            store.close()


BAD: Final = ("crash", "error taken for an answer", "empty reply taken for an answer", "no field named")
GOOD: Final = ("read", "empty", "refusal", "unmeasured")


def rows_of(made: list[tuple[str, Reply]], outcomes: list[Outcome]) -> list[Row]:
    """Shares by dialect, and what must be 0 over all."""
    found: dict[str, Counter[str]] = {name: Counter() for name in (*DIALECTS, "all")}
    for (_, reply), outcome in zip(made, outcomes, strict=True):
        told = verdict(reply, outcome)
        found[reply.dialect][told] += 1
        found["all"][told] += 1
    rows = []
    for case, counts in found.items():
        for measure in (*GOOD, *(BAD if case == "all" else ())):
            one = share(counts[measure], counts.total())
            rows.append(Row("contact", "cliffwatch", case, measure, one.value, one.low, one.high, counts.total()))
    return rows


# --- a month


PROBES: Final = 18


async def month(folder: Path, seed: int, share_mutated: float) -> Counter[str]:
    """Runs with a page or a ticket in a month of a healthy model, with how many of its replies could be compared."""
    rng = random.Random(seed)
    pool = [reply for _, reply in replies(2_000, seed, only="answer") if reply.dialect != "anthropic"]
    broken = False

    def choose(request: bytes) -> Reply:
        found = re.search(rb"Fact (\d+)\?", request)
        number = found[1].decode() if found else "0"
        text = f"no idea about {number}" if b'"plain"' in request else f"Certainly: fact {number}. Yours, the shop."
        if not broken or rng.random() > share_mutated:
            return Reply("", "", 200, None, dump(chat(text)).encode())
        reply = rng.choice(pool)
        return Reply("", "", reply.status, None, re.sub(rb"A\d{5} text", text.encode(), reply.raw))

    async with serving(choose) as url:
        (folder / "probes").mkdir()
        probes = [{"id": f"p{n}", "prompt": f"Fact {n}?", "checks": [{"kind": "contains", "text": f"fact {n}."}]}
                  for n in range(PROBES)]  # fmt: skip
        (folder / "probes/facts.yaml").write_text(yaml.safe_dump({"name": "facts", "probes": probes}))
        provider = {"kind": "openai", "base_url": url, "free": True, "attempts": 1}
        target = {"subject": {"provider": "s", "model": "tuned"}, "base": {"provider": "s", "model": "plain"},
                  "suites": ["facts"]}  # fmt: skip
        path = folder / "cliffwatch.yaml"
        made = {"store": f"sqlite:///{folder}/month.db", "providers": {"s": provider}, "targets": {"bot": target}}
        path.write_text(yaml.safe_dump(made))
        now = datetime(2026, 11, 1, tzinfo=UTC)
        settings = config.load(path)
        store = open_store(settings.store)
        context = build_context(settings, folder, store, clock=lambda: now)
        counts: Counter[str] = Counter()
        try:
            open_capture(context, "bot", "facts", now, now + timedelta(days=BASELINE_DAYS), at_once=False)
            for day in range(BASELINE_DAYS + MONTH_DAYS):
                if day == BASELINE_DAYS:
                    store.close_due_baselines(now)
                    (captured,) = store.baselines("bot", "facts", BaselineStatus.CAPTURED)
                    store.approve(captured.id, "benchmark", "healthy", now)
                    broken = True
                slot = now
                run = ensure_run(context, "bot", "facts", slot)
                while await execute_run(context, run.id) is None:
                    now += timedelta(hours=1)
                if broken:
                    counts["runs"] += 1
                    counts["answers"] += sum(isinstance(one, Answer) for _, one in store.outcomes(run.id))
                now = slot + timedelta(days=1)
            alarms = store.alarms("bot")
            counts["pages"] = sum(alarm.severity is Severity.PAGE for alarm in alarms)
            counts["tickets"] = sum(alarm.severity is Severity.TICKET for alarm in alarms)
        finally:
            await context.asker.aclose()
            store.close()
    return counts


def main() -> None:
    made = parser(__doc__, trials=2_000, what="replies")
    made.add_argument("--part", choices=["replies", "month"], default="replies")
    made.add_argument("--share", type=float, default=1.0, help="share of the month's replies that are mutated")
    args = made.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory() as folder:
        if args.part == "replies":
            drawn = replies(args.trials, args.seed)
            rows = rows_of(drawn, asyncio.run(asked(drawn, Path(folder))))
        else:
            counts = asyncio.run(month(Path(folder), args.seed, args.share))
            rows = [
                Row("contact", "cliffwatch", f"month, {args.share:.0%} mutated", name, counts[name], counts[name],
                    counts[name], counts["runs"])
                for name in ("pages", "tickets", "answers")
            ]  # fmt: skip
        report(rows, as_json=args.json)


if __name__ == "__main__":
    main()
