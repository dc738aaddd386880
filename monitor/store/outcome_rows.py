"""From recorded outcomes to rows and sums, the same for both backends."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, cast

from monitor.core.records import Answer, Exchange, Recorded
from monitor.store.column_types import clean, dump_json, to_nano
from monitor.store.tables import answer

Key = tuple[int, str, str, int]
"""run, arm, probe, replicate."""

COLUMNS: Final = tuple(column.name for column in answer.columns)
KEY: Final = "run_id, arm, probe, replicate"
Leases = dict[tuple[int, int], datetime]
"""(run, fence) -> until when."""

UsageKey = tuple[str, str, str, str, str]
"""target, arm, provider, model, outcome."""


def key_of(item: Recorded) -> Key:
    question = item.question
    return (question.run_id, str(question.arm), question.probe, question.replicate)


def leases_of(items: Iterable[Recorded]) -> Leases:
    leases: Leases = {}
    for item in items:
        key = (item.question.run_id, item.fence)
        leases[key] = max(item.lease_until, leases.get(key, item.lease_until))
    return leases


def reservations_of(item: Recorded) -> list[int]:
    first = [] if item.reservation_id is None else [item.reservation_id]
    return [*first, *item.retry_reservation_ids]


def usage_of(items: Iterable[Recorded]) -> dict[UsageKey, list[int]]:
    """Requests, prompt tokens, completion tokens and nano-dollars by usage key, in the order of the keys."""
    totals: dict[UsageKey, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for item in items:
        question, outcome = item.question, item.outcome
        usable = isinstance(outcome, Answer)
        became = "ok" if isinstance(outcome, Answer) else str(outcome.reason)
        total = totals[(question.target, str(question.arm), question.provider, question.model, became)]
        total[0] += outcome.attempts
        if usable:
            total[1] += cast("Answer", outcome).prompt_tokens
            total[2] += cast("Answer", outcome).completion_tokens
        total[3] += to_nano(outcome.usd)
    return dict(sorted(totals.items()))


def row_of(item: Recorded) -> tuple[Any, ...]:
    """The answer's row in the order of ``COLUMNS``; JSON is dumped, the time is still a datetime."""
    question, outcome = item.question, item.outcome
    head = (*key_of(item), question.provider, question.model)
    exchange = None if outcome.exchange is None else dump_json(_exchange(outcome.exchange))
    if not isinstance(outcome, Answer):
        return (
            *head, str(outcome.reason), clean(outcome.detail), "", None, False, None, None, None, 0, 0, 0.0,
            outcome.asked_at, outcome.attempts, outcome.usd, exchange, None, None, None, None,
            None, None,
        )  # fmt: skip
    logprobs = outcome.logprobs and dump_json([[t.token, t.logprob, dict(t.top)] for t in outcome.logprobs])
    return (
        *head, None, "", clean(outcome.text), clean(outcome.finish_reason), outcome.refusal, clean(outcome.model),
        clean(outcome.fingerprint), clean(outcome.request_id), outcome.prompt_tokens, outcome.completion_tokens,
        outcome.latency_seconds, outcome.asked_at, outcome.attempts, outcome.usd, exchange, logprobs or None,
        clean(outcome.text_in), dump_json(dict(outcome.served)) if outcome.served else None, outcome.cached_tokens,
        outcome.hashed, outcome.chars,
    )  # fmt: skip


def _exchange(exchange: Exchange) -> Mapping[str, Any]:
    return {
        "request": exchange.request,
        "response": exchange.response,
        "status": exchange.status,
        "headers": exchange.headers,
    }


def day_of(item: Recorded) -> date:
    """The UTC day whose budget pays for a call without a reservation: that of the call."""
    return item.outcome.asked_at.astimezone(UTC).date()
