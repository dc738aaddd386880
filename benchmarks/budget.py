"""Recorded cost and budgets under replies that count their tokens wrongly: a real server, the real asker, a real store.

Each reply states its tokens in one of the forms that servers send or could send: as a fraction or a text, twice, not at
all, as null, negative, huge, in another dialect, contradicting its total. The least acceptable cost of each call is
computed here from the way it was mutated, without the product's reader: what is stated in any form is billed, and what
is not readable is billed at the maximum of the call.
"""

import argparse
import asyncio
import json
import logging
import random
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any

import structlog

from benchmarks import rows
from monitor.ask import Asker
from monitor.ask.budget import estimate
from monitor.core.records import Arm, Message, Outcome, Question, Recorded, Reservation, Sampling
from monitor.core.settings import Settings
from monitor.store import Store, open_store

CONCURRENCY = 16
LIMIT = 64
PRICE = {"input": 3.0, "output": 15.0}
KINDS = ("openai", "anthropic")
NAMES = {"openai": ("prompt_tokens", "completion_tokens"), "anthropic": ("input_tokens", "output_tokens")}

Least = tuple[float | None, float | None]
"""Prompt and completion tokens that must be billed at least; ``None``: the maximum of the call."""
Mutated = tuple[str, Least]
"""The part of the reply that counts, as JSON members, and what it costs at least."""
Mutation = Callable[[random.Random, str, int, int], Mutated]
"""(rng, provider kind, prompt tokens, completion tokens)."""


def _usage(kind: str, prompt: object, completion: object, *more: str) -> str:
    p, c = NAMES[kind]
    members = [f'"{name}": {value}' for name, value in ((p, prompt), (c, completion)) if value is not None]
    return '"usage": {' + ", ".join([*members, *more]) + "}"


def plain(rng: random.Random, kind: str, p: int, c: int) -> Mutated:
    return _usage(kind, p, c, *([f'"total_tokens": {p + c}'] if rng.random() < 0.5 else [])), (p, c)


def other_form(rng: random.Random, kind: str, p: int, c: int) -> Mutated:
    forms: list[Callable[[int], tuple[str, float]]] = [
        lambda n: (f"{n}.0", n), lambda n: (f"{n}.25", n + 0.25), lambda n: (f'"{n}"', n), lambda n: (f'"{n}.0"', n),
        lambda n: (f'" {n} "', n), lambda n: (f'"+{n}"', n), lambda n: (f'"{n / 10:g}e1"', n), lambda n: (f"{n}e0", n),
    ]  # fmt: skip
    (said_p, least_p), (said_c, least_c) = rng.choice(forms)(p), rng.choice(forms)(c)
    return _usage(kind, said_p, said_c), (least_p, least_c)


def unreadable(rng: random.Random, kind: str, p: int, c: int) -> Mutated:
    odd = (None, "null", '"many"', '""', "true", "false", "-5", "-0.5", "NaN", "Infinity", "-Infinity", "1e999",
           "1e30", "99999999999999999999", "[]", "{}", "[8]", '{"n": 8}', '"-3"',
           '"1,000"', '"0x10"', '"NaN"', '"1e99"')  # fmt: skip
    which = rng.randrange(3)
    said_p, said_c = (rng.choice(odd) if which != 1 else p), (rng.choice(odd) if which != 0 else c)
    total = [f'"total_tokens": {rng.choice([p + c, 0, "null", -1])}'] if rng.random() < 0.3 else []
    return _usage(kind, said_p, said_c, *total), (p if which == 1 else None, c if which == 0 else None)


def absent(rng: random.Random, kind: str, p: int, c: int) -> Mutated:
    return rng.choice(('"usage": null', '"usage": {}', '"usage": []', '"usage": "20"', '"x": 1', '"usage": 7')), (
        None,
        None,
    )


def twice(rng: random.Random, kind: str, p: int, c: int) -> Mutated:
    name = rng.randrange(4)
    more = rng.randrange(1, 50)
    pair = [(p, c), (p + more, c + more)]
    rng.shuffle(pair)
    if name == 0:
        return ", ".join(_usage(kind, *one) for one in pair), (p + more, c + more)
    if name == 1:
        both = [_usage(kind, p, c), '"usage": null']
        rng.shuffle(both)
        return ", ".join(both), (p, c)
    first, second = (n[1] for n in pair)
    if name == 2:
        return _usage(kind, p, first, f'"{NAMES[kind][1]}": {second}'), (p, c + more)
    return _usage(kind, p, c) + ', "x_usage": {"prompt_tokens": 1, "completion_tokens": ' + f"{c + more}}}", (
        p,
        c + more,
    )


def hidden(rng: random.Random, kind: str, p: int, c: int) -> Mutated:
    extra = rng.randrange(1, 200)
    total = f'"total_tokens": {p + c + extra}'
    details = f'"completion_tokens_details": {{"reasoning_tokens": {extra}}}'
    return _usage(kind, p, c, total, *([details] if rng.random() < 0.5 else [])), (p, c + extra)


def contradicting(rng: random.Random, kind: str, p: int, c: int) -> Mutated:
    return _usage(kind, p, c, f'"total_tokens": {rng.randrange(0, p + c)}'), (None, None)


def zero(rng: random.Random, kind: str, p: int, c: int) -> Mutated:
    return rng.choice(
        ((_usage(kind, 0, 0), (None, None)), (_usage(kind, p, 0), (p, None)), (_usage(kind, 0, c), (None, c)))
    )


def dialect(rng: random.Random, kind: str, p: int, c: int) -> Mutated:
    said: list[tuple[str, Least]] = [
        (f'"usageMetadata": {{"promptTokenCount": {p}, "candidatesTokenCount": {c}, "thoughtsTokenCount": 9, '
         f'"totalTokenCount": {p + c + 9}}}', (p, c + 9)),
        (f'"usage": {{"inputTokens": {p}, "outputTokens": {c}, "totalTokens": {p + c}}}', (p, c)),
        (f'"usage": {{"input_tokens": {p}, "cache_read_input_tokens": 5, "output_tokens": {c}}}', (p + 5, c)),
        (f'"timings": {{"prompt_n": {p}, "predicted_n": {c}}}', (p, c)),
        (f'"usage": [{{"prompt_tokens": {p}, "completion_tokens": {c}}}]', (p, c)),
        (f'"usage": [{{"prompt_tokens": {p}, "completion_tokens": {c}}}, '
         '{"prompt_tokens": 3, "completion_tokens": 4}]',
         (p + 3, c + 4)),
        (f'"x_groq": {{"usage": {{"prompt_tokens": {p}, "completion_tokens": {c}}}}}', (p, c)),
        (f'"prompt_eval_count": {p}, "eval_count": {c}', (p, c)),
        (f'"usage": {{"billed_units": {{"input_tokens": {p}, "output_tokens": {c}}}}}', (p, c)),
    ]  # fmt: skip
    return rng.choice(said)


MUTATIONS: tuple[Mutation, ...] = (
    plain, other_form, unreadable, absent, twice, hidden, contradicting, zero, dialect,
)  # fmt: skip


@dataclass(slots=True)
class Bills:
    """The least acceptable cost of each call, and what was recorded for it."""

    rng: random.Random
    owed: dict[str, float] = field(default_factory=dict)
    """Question's number -> USD, summed over its attempts."""
    calls: int = 0
    short: list[tuple[str, str, float, float]] = field(default_factory=list)
    """Calls that were recorded for less: question, reply, recorded, owed."""
    said: dict[str, str] = field(default_factory=dict)
    most_over: float = 0.0
    """Largest excess of one outcome's cost over its reservations, in USD."""
    waste: float = 0.0
    recorded: float = 0.0

    def reply(self, kind: str, question: Question) -> bytes:
        rng = self.rng
        p, c = rng.randrange(5, 90), rng.randrange(1, LIMIT + 1)
        said, (least_p, least_c) = rng.choice(MUTATIONS)(rng, kind, p, c)
        most = estimate(question)
        prompt = most.most_prompt_tokens if least_p is None else ceil(least_p)
        completion = most.most_completion_tokens if least_c is None else ceil(least_c)
        name = question.probe
        self.owed[name] = self.owed.get(name, 0.0) + (PRICE["input"] * prompt + PRICE["output"] * completion) / 1e6
        self.said[name] = said
        self.calls += 1
        broken = rng.random() < 0.02  # billed, although there is no answer in it
        return _body(kind, said, broken=broken)

    def check(self, item: Recorded, outcome: Outcome) -> None:
        name = item.question.probe
        owed = self.owed.get(name, 0.0)
        self.recorded += outcome.usd
        self.waste += outcome.usd - owed
        if outcome.usd < owed - 1e-12:
            self.short.append((name, self.said[name], outcome.usd, owed))
        most = estimate(item.question)
        reserved = (PRICE["input"] * most.most_prompt_tokens + PRICE["output"] * LIMIT) / 1e6 * max(1, outcome.attempts)
        self.most_over = max(self.most_over, outcome.usd - reserved)


def _body(kind: str, said: str, *, broken: bool) -> bytes:
    if kind == "openai":
        choices = "[]" if broken else '[{"index": 0, "message": {"role": "assistant", "content": "Five days."}, ' \
            '"finish_reason": "stop"}]'  # fmt: skip
        return f'{{"id": "c", "model": "m", "choices": {choices}, {said}}}'.encode()
    content = "null" if broken else '[{"type": "text", "text": "Five days."}]'
    start = f'{{"id": "m", "model": "m", "type": "message", "content": {content}, "stop_reason": "end_turn", '
    return f"{start}{said}}}".encode()


class Checked:
    """A store that compares each recorded outcome with what the call owes."""

    def __init__(self, store: Store, bills: Bills) -> None:
        self._store, self._bills = store, bills
        self.capability, self.set_capability = store.capability, store.set_capability

    def record(self, items: Sequence[Recorded]) -> list[bool]:
        for item in items:
            self._bills.check(item, item.outcome)
        return self._store.record(items)

    def reserve(self, items: Sequence[Reservation]) -> list[int | None]:
        return self._store.reserve(items)


class Server(asyncio.Protocol):
    """Answers each request with a mutated reply to the question that its prompt names."""

    def __init__(self, bills: Bills, questions: dict[str, Question]) -> None:
        self.bills, self.questions, self.buffer = bills, questions, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            found = re.search(rb"content-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            if len(self.buffer) < end + 4 + length:
                return
            asked, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            name = re.search(rb"Question (q[\w-]+)", asked)
            assert name is not None
            kind = "anthropic" if b"/messages" in head.split(b"\r\n")[0] else "openai"
            body = self.bills.reply(kind, self.questions[name[1].decode()])
            lines = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            self.transport.write(lines.encode() + body)


def settings_for(port: int, targets: int, usd: float) -> Settings:
    shared = {
        "base_url": f"http://127.0.0.1:{port}/v1",
        "concurrency": CONCURRENCY,
        "prices": {"m": PRICE},
        "attempts": 2,
    }
    return Settings.model_validate(
        {
            "providers": {kind: {"kind": kind, **shared} for kind in KINDS},
            "targets": {
                f"bot{n}": {"subject": {"provider": KINDS[n % 2], "model": "m"}, "budget": {"usd_per_day": usd}}
                for n in range(targets)
            },
        }
    )


@dataclass(frozen=True, slots=True)
class Result:
    calls: int
    short: int
    """Calls that were recorded for less than they owe."""
    passed: float
    """Largest amount by which a target's spending passed its budget, in USD."""
    in_flight: float
    """Largest excess of one call over its reservation, times the calls in flight."""
    overpaid: float
    """Recorded cost over the least acceptable cost."""
    exhausted: int
    seconds: float
    examples: tuple[tuple[str, str, float, float], ...]


async def measure(folder: Path, *, seed: int, calls: int, targets: int) -> Result:
    """Ask until every target has spent its budget."""
    per_target = calls // targets
    usd = per_target * 0.00125  # about the mean recorded cost of a call
    bills, questions = Bills(random.Random(seed)), dict[str, Question]()
    server = await asyncio.get_running_loop().create_server(lambda: Server(bills, questions), "127.0.0.1", 0)
    store = open_store(f"sqlite:///{folder}/budget.db")
    asker = Asker(
        settings_for(server.sockets[0].getsockname()[1], targets, usd),
        Checked(store, bills),
        sleep=lambda _: asyncio.sleep(0),
        lease=timedelta(hours=2),
    )
    now, passed, exhausted, started = datetime.now(UTC), 0.0, 0, time.perf_counter()
    for n in range(targets):
        run = store.ensure_run(f"bot{n}", "suite", now, n, "digest", now)
        claimed = store.claim(run.id, now, 7200)
        assert claimed is not None
        asked = [_question(run.id, n, k) for k in range(2 * per_target)]
        questions.update({one.probe: one for one in asked})
        left = (await asker.ask(asked, claimed.fence)).unmeasured
        exhausted += any(reason == "budget" for reason in left)
        passed = max(passed, max(store.spent(f"bot{n}", day).usd for day in _days(now)) - usd)
    await asker.aclose()
    store.close()
    server.close()
    overpaid = bills.recorded / (bills.recorded - bills.waste)
    return Result(bills.calls, len(bills.short), passed, max(0.0, bills.most_over) * CONCURRENCY, overpaid, exhausted,
                  time.perf_counter() - started, tuple(bills.short[:5]))  # fmt: skip


def _days(start: datetime) -> list[Any]:
    return sorted({start.date(), datetime.now(UTC).date()})


def _question(run: int, target: int, number: int) -> Question:
    name = f"q{target}-{number}"
    return Question(
        run, f"bot{target}", "suite", Arm.SUBJECT, name, 0, KINDS[target % 2], "m",
        (Message("user", f"Question {name}: when do I get my money back?"),), Sampling(max_tokens=LIMIT),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=100_000, help="calls")
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), seed=args.seed, calls=args.trials, targets=args.targets))
    if found.examples:
        print(json.dumps(found.examples, indent=2))
    measured = {
        "calls": found.calls, "calls recorded for less than they owe": found.short, "budgets spent": found.exhausted,
        "USD over budget": found.passed, "USD over reservations in flight": found.in_flight,
        "recorded over owed": found.overpaid, "seconds": found.seconds,
    }  # fmt: skip
    rows.report(
        [rows.Row("budget", "cliffwatch", "mutated usage", what, value, value, value, found.calls)
         for what, value in measured.items()],
        as_json=args.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()
