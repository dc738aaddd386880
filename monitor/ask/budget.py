"""Keeps calls within budget: reserves the maximum cost of a call before it is made."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.ask.group_commit import GroupWriter
from monitor.ask.prices import cost
from monitor.ask.protocol import AskFailed
from monitor.core.providers import Price
from monitor.core.records import Question, Reason, Reservation, TokenUsage
from monitor.core.settings import Budget


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated tokens of one call."""

    likely_tokens: int
    """For the limit of tokens per minute; corrected after the call."""
    most_prompt_tokens: int
    most_completion_tokens: int


def estimate(question: Question) -> Estimate:
    """Bounds from the text alone: tokens never exceed the bytes of the text plus those of the chat template."""
    size = sum(len(m.content.encode("utf-8", "replace")) for m in question.messages)
    if question.response_schema is not None:
        size += len(json.dumps(question.response_schema, default=str))
    size += len(json.dumps(question.parameters)) if question.parameters else 0
    most_prompt = size + 16 * len(question.messages) + 64
    longest = question.sampling.max_tokens
    return Estimate(size // 4 + 8 * len(question.messages) + longest, most_prompt, longest)


def worst_cost(price: Price | None, expected: Estimate) -> float:
    """Maximum cost of the call in USD; 0 without a price."""
    return 0.0 if price is None else cost(price, expected.most_prompt_tokens, expected.most_completion_tokens)


def billed_cost(price: Price, usage: TokenUsage | None, expected: Estimate) -> float:
    """Maximum cost in USD of a call that was made: by the counts of the reply where they are certain.

    A part without a count costs its maximum. Counts that contradict each other cost at least the maximum. Tokens that
    the reply assigns to no part cost the dearer price.
    """
    if usage is None:
        return worst_cost(price, expected)
    prompt = usage.prompt or expected.most_prompt_tokens
    completion = expected.most_completion_tokens if usage.completion is None else usage.completion
    if usage.contradicts:
        prompt = max(prompt, expected.most_prompt_tokens)
        completion = max(completion, expected.most_completion_tokens)
    dearer = max(price.input, price.output)
    if usage.completion is None:
        return max(cost(price, prompt, max(completion, usage.hidden)), dearer * usage.hidden / 1e6)
    return cost(price, prompt, completion) + (dearer - price.output) * usage.hidden / 1e6


class BudgetGate:
    """Makes reservations against the targets' budgets. Targets without a budget need none."""

    def __init__(self, writer: GroupWriter[Reservation, int | None]) -> None:
        self._writer = writer

    async def reserve(
        self, budget: Budget, question: Question, usd: float, *, priced: bool, now: datetime, lasting: timedelta
    ) -> int | None:
        """Reserve ``usd`` and one request. Returns the reservation's id, or ``None`` if the target has no budget.

        Raises:
            AskFailed: BUDGET if the call would exceed the budget; UNPRICED for an unknown cost under a USD limit.
        """
        if budget.usd_per_day is None and budget.requests_per_day is None:
            return None
        if budget.usd_per_day is not None and not priced:
            detail = f"no price is known for {question.model} at {question.provider}, and the target has usd_per_day"
            raise AskFailed(Reason.UNPRICED, detail, permanent=True)
        wanted = Reservation(
            target=question.target,
            run_id=question.run_id,
            day=now.date(),
            usd=usd,
            requests=1,
            usd_limit=budget.usd_per_day,
            requests_limit=budget.requests_per_day,
            expires_at=now + lasting,
        )
        reservation = await self._writer.submit(wanted)
        if reservation is None:
            detail = f"the call would exceed {question.target}'s budget for the day"
            raise AskFailed(Reason.BUDGET, detail, permanent=True)
        return reservation
