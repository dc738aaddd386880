"""The retry loop of all providers: repeats one question until it has an answer or no attempts are left."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

import structlog

from monitor.ask.budget import BudgetGate, Estimate, billed_cost, estimate, worst_cost
from monitor.ask.capabilities import KEPT, Capabilities, shown_by
from monitor.ask.prices import needs_price
from monitor.ask.protocol import AskFailed, Observer, Provider
from monitor.ask.rate_limits import Limits
from monitor.ask.retry import backoff
from monitor.core.providers import Price
from monitor.core.providers import Provider as ProviderSettings
from monitor.core.records import Answer, Exchange, Outcome, Question, Reason, TokenUsage, Unmeasured
from monitor.core.settings import Budget

log = structlog.get_logger()

RESERVATION_MARGIN: Final = timedelta(minutes=2)
"""Time after the question's deadline until the store may release a reservation."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, for ``ask --debug``."""

    outcome: str
    """``answer`` or the reason of the failure."""
    detail: str
    seconds: float
    waits_seconds: float
    """Seconds until the next attempt; 0 without one."""
    exchange: Exchange | None


@dataclass(slots=True)
class ProviderChannel:
    """One provider with the state that its questions share."""

    name: str
    settings: ProviderSettings
    limits: Limits
    provider: Provider

    @property
    def base_url(self) -> str:
        return self.settings.server


@dataclass(frozen=True, slots=True)
class RetryDeps:
    """Dependencies of every retry loop, the same for all questions."""

    capabilities: Capabilities
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    rng: Random
    observer: Observer | None
    _told: set[tuple[str, str]] = field(default_factory=set)

    def tell_usage(self, provider: str, model: str, note: str) -> None:
        """Log once per model that its replies do not state their tokens clearly."""
        if (provider, model) not in self._told:
            self._told.add((provider, model))
            log.warning("usage_unclear", provider=provider, model=model, why=note)


@dataclass(slots=True)
class RetryLoop:
    """The state of one question on its way; ``outcome`` is called once."""

    question: Question
    line: ProviderChannel
    deps: RetryDeps
    price: Price | None
    budget: Budget
    budget_gate: BudgetGate | None
    """``None`` asks without a budget."""
    reservations: list[int] = field(default_factory=list)
    lessons: dict[str, bool] = field(default_factory=dict)
    """Request parameter -> whether the answer shows that it is taken, where that was unknown."""
    trace: list[Attempt] = field(default_factory=list)
    keep_trace: bool = False
    _attempts: int = 0
    _failures: int = 0
    _usd: float = 0.0
    _reserved_usd: float = 0.0
    _deadline: float = 0.0
    _last: AskFailed | None = None

    async def outcome(self) -> Outcome:
        """Ask until there is an answer, a permanent failure, or no attempt or time left."""
        expected = estimate(self.question)
        started_at = self.deps.clock()
        self._deadline = float("inf")
        while True:
            failed: AskFailed
            try:
                return await self._attempt(expected)
            except AskFailed as error:
                failed = error
            wait = await self._wait_after(failed)
            if wait is None:
                return self._unmeasured(failed, started_at)
            await self.deps.sleep(wait)

    async def _attempt(self, expected: Estimate) -> Answer:
        """Wait for the limits, reserve budget, then call. Raises ``AskFailed``."""
        await self.line.limits.admit(self.question.model, expected.likely_tokens)
        now = self.deps.monotonic()
        if self._deadline == float("inf"):
            # The deadline starts with the first call: waiting for the configured limits is intended.
            self._deadline = now + self.line.settings.deadline_seconds
        elif now >= self._deadline and self._last is not None:
            raise self._out_of_time(self._last)
        await self._reserve(expected)
        self._attempts += 1
        known = await self.deps.capabilities.of(self.line.name, self.line.base_url, self.question.model)
        try:
            answer = await self._call(known, min(self.line.settings.timeout_seconds, self._deadline - now))
        except AskFailed as failed:
            self._settle(failed.tokens and _no_zero(failed.tokens), expected, maybe_billed=failed.maybe_billed)
            raise
        self._settle(_usage_of(answer), expected, maybe_billed=True)
        self.lessons = shown_by(self.question, answer, known)
        return replace(answer, attempts=self._attempts, usd=self._usd)

    async def _call(self, known: Mapping[str, bool], seconds: float) -> Answer:
        """One call within ``seconds``. Every error is raised as ``AskFailed``."""
        started = self.deps.monotonic()
        outcome = "cancelled"
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                answer = await self.line.provider.ask(self.question, known)
            outcome = "answer"
            self._note(outcome, "", started, answer.exchange)
            return answer
        except TimeoutError:
            outcome = Reason.TIMEOUT
            failed = AskFailed(Reason.TIMEOUT, f"no reply within {seconds:.3g} s", maybe_billed=True)
        except AskFailed as error:
            outcome = error.reason
            failed = error
        except Exception as error:
            # A bug in Cliffwatch or in a client library must cost one answer, not the run.
            outcome = Reason.MALFORMED
            where = traceback.extract_tb(error.__traceback__)[-1]
            log.error("provider_bug", provider=self.line.name, error=type(error).__name__,
                      file=where.filename, line=where.lineno)  # fmt: skip
            detail = f"the provider's code failed: {type(error).__name__}"
            failed = AskFailed(Reason.MALFORMED, detail, permanent=True, maybe_billed=True)
        finally:
            if self.deps.observer is not None:
                seconds = self.deps.monotonic() - started
                self.deps.observer(self.question.target, self.question.arm, self.line.name, outcome, seconds)
        self._note(outcome, failed.detail, started, failed.exchange)
        raise failed

    async def _reserve(self, expected: Estimate) -> None:
        if self.price is None and needs_price(self.line.settings):
            model, kind = self.question.model, self.line.settings.kind
            detail = f"no price is known for {model} at {self.line.name}, and kind {kind} has no price list"
            raise AskFailed(Reason.UNPRICED, detail, permanent=True)
        if self.budget_gate is None:
            return
        lasting = timedelta(seconds=self.line.settings.deadline_seconds) + RESERVATION_MARGIN
        # An earlier attempt may have cost more than its reservation, which is settled only with the outcome.
        usd = worst_cost(self.price, expected) + max(0.0, self._usd - self._reserved_usd)
        reservation = await self.budget_gate.reserve(
            self.budget, self.question, usd, priced=self.price is not None, now=self.deps.clock(), lasting=lasting
        )
        if reservation is not None:
            self.reservations.append(reservation)
            self._reserved_usd += usd

    def _settle(self, usage: TokenUsage | None, expected: Estimate, *, maybe_billed: bool) -> None:
        """Count the cost of an attempt: from the tokens in the reply, the maximum for those that it does not count."""
        counted = ((usage.prompt or 0) + (usage.completion or 0)) if usage else 0
        used = counted or (expected.likely_tokens if usage or maybe_billed else 0)
        self.line.limits.settle(expected.likely_tokens, used)
        if self.price is None or not (usage or maybe_billed):
            return
        self._usd += billed_cost(self.price, usage, expected)
        if usage is not None and usage.note and self.price.output + self.price.input > 0:
            self.deps.tell_usage(self.line.name, self.question.model, usage.note)

    async def _wait_after(self, failed: AskFailed) -> float | None:
        """Seconds until the next attempt; ``None`` without one."""
        self._last = failed
        if failed.parameter is not None and await self._drop(failed.parameter):
            return 0.0
        self._failures += 1
        if failed.retry_after is not None and failed.reason is Reason.RATE_LIMITED:
            self.line.limits.pause(self.question.model, failed.retry_after)
        if failed.permanent or self._failures >= self.line.settings.attempts:
            return None
        wait = (failed.retry_after or 0.0) + backoff(self._failures, self.deps.rng)
        if self.deps.monotonic() + wait >= self._deadline:
            self._last = self._out_of_time(failed)
            return None
        self._say("ask_retry", reason=failed.reason, attempt=self._attempts, wait_seconds=round(wait, 3))
        if self.trace:
            self.trace[-1] = replace(self.trace[-1], waits_seconds=wait)
        return wait

    async def _drop(self, parameter: str) -> bool:
        """Remember that the model does not accept ``parameter``. Returns whether a retry can succeed."""
        if parameter not in KEPT or self._attempts > len(KEPT) + self.line.settings.attempts:
            return False
        key = (self.line.name, self.line.base_url, self.question.model)
        await self.deps.capabilities.learn(key, parameter, False, self.deps.clock())
        return True

    def _out_of_time(self, failed: AskFailed) -> AskFailed:
        detail = f"{failed.detail} (no time left within deadline_seconds)"
        return AskFailed(failed.reason, detail, permanent=True, exchange=failed.exchange)

    def _unmeasured(self, failed: AskFailed, asked_at: datetime) -> Unmeasured:
        last = self._last or failed
        withheld = failed.reason in (Reason.BUDGET, Reason.UNPRICED)
        self._say("ask_withheld" if withheld else "ask_unmeasured", reason=last.reason, attempts=self._attempts)
        return Unmeasured(
            reason=last.reason,
            detail=last.detail,
            asked_at=asked_at,
            attempts=self._attempts,
            usd=self._usd,
            exchange=last.exchange,
        )

    def _say(self, event: str, **more: object) -> None:
        """Log an event of this question: its identity, never its content."""
        q = self.question
        log.info(
            event, target=q.target, arm=q.arm, probe=q.probe, replicate=q.replicate, provider=self.line.name, **more
        )

    def _note(self, outcome: str, detail: str, started: float, exchange: Exchange | None) -> None:
        if self.keep_trace:
            self.trace.append(Attempt(outcome, detail, self.deps.monotonic() - started, 0.0, exchange))


def _usage_of(answer: Answer) -> TokenUsage:
    """The tokens of an answer for its cost. Only an empty answer can have 0 completion tokens."""
    usage = answer.usage or TokenUsage(answer.prompt_tokens or None, answer.completion_tokens)
    return _no_zero(usage) if answer.text or answer.text_in else usage


def _no_zero(usage: TokenUsage) -> TokenUsage:
    """``usage`` with an unknown number of completion tokens instead of 0."""
    if usage.completion != 0:
        return usage
    return replace(usage, completion=None, note=usage.note or "completion tokens are stated as 0")
