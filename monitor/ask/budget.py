"""Never over budget: what a call may cost at most is set aside before it is made."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.ask.group_commit import GroupWriter
from monitor.ask.prices import cost
from monitor.ask.protocol import AskFailed
from monitor.core.providers import Price
from monitor.core.records import Question, Reason, Reservation
from monitor.core.settings import Budget


@dataclass(frozen=True, slots=True)
class Estimate:
    """One call, before it is made."""

    likely_tokens: int
    """For the limit on tokens a minute, corrected afterwards."""
    most_prompt_tokens: int
    most_completion_tokens: int


def estimate(question: Question) -> Estimate:
    """Bounds from the text alone: no tokenizer has more tokens than the text has bytes, plus the chat template's."""
    size = sum(len(m.content.encode("utf-8", "replace")) for m in question.messages)
    if question.response_schema is not None:
        size += len(str(question.response_schema))
    most_prompt = size + 16 * len(question.messages) + 64
    longest = question.sampling.max_tokens
    return Estimate(size // 4 + 8 * len(question.messages) + longest, most_prompt, longest)


def worst_cost(price: Price | None, expected: Estimate) -> float:
    """USD that the call costs at most; 0 where there is no price."""
    return 0.0 if price is None else cost(price, expected.most_prompt_tokens, expected.most_completion_tokens)


class BudgetGate:
    """Hands out reservations against the targets' budgets; a target without a budget needs none."""

    def __init__(self, writer: GroupWriter[Reservation, int | None]) -> None:
        self._writer = writer

    async def reserve(
        self, budget: Budget, question: Question, usd: float, *, priced: bool, now: datetime, lasting: timedelta
    ) -> int | None:
        """Set ``usd`` and one request aside; the reservation's id, or ``None`` when the target has no budget.

        Raises:
            AskFailed: BUDGET, when it would go over; UNPRICED, when there is a limit in USD and the cost is unknown.
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
            detail = f"the call would go over {question.target}'s budget for the day"
            raise AskFailed(Reason.BUDGET, detail, permanent=True)
        return reservation
