"""The ask stage: sends many questions to many providers concurrently, and records each outcome at once."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

import structlog

from monitor.ask.budget import BudgetGate
from monitor.ask.capabilities import Capabilities
from monitor.ask.group_commit import GroupWriter
from monitor.ask.prices import price_of
from monitor.ask.protocol import AskFailed, Looks, LostFence, Observer, Recorder, Secret, Setup
from monitor.ask.rate_limits import Limits, Sleep
from monitor.ask.registry import provider_class
from monitor.ask.retry_loop import Attempt, ProviderChannel, RetryDeps, RetryLoop
from monitor.ask.secrets import read_keys
from monitor.core.clock import utcnow
from monitor.core.errors import CouldNotMeasure
from monitor.core.providers import Price
from monitor.core.records import Answer, Arm, Outcome, Question, Reason, Recorded, Reservation, Unmeasured
from monitor.core.settings import Budget, Endpoint, Settings

log = structlog.get_logger()

LEASE: Final = timedelta(seconds=30)
"""Extension of a run's lease by each recorded outcome."""

LOOK_SECONDS: Final = 30.0
"""Timeout for metadata, in seconds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Result of ``ask``; the answers are in the store."""

    answers: int = 0
    unmeasured: Mapping[Reason, int] = field(default_factory=dict)
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """One exchange with all details, for ``ask --debug``."""

    question: Question
    outcome: Outcome
    attempts: tuple[Attempt, ...]
    accepts: Mapping[str, bool]
    """Request parameter -> whether the model accepts it, as known afterwards."""
    price: Price | None
    provider_kind: str
    base_url: str
    """Empty: the vendor's."""


class Asker:
    """Sends questions within the limits, retries and budgets of the settings, and records outcomes with ``recorder``.

    One asker belongs to one event loop and one configuration; a reload creates a new one.
    """

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder,
        *,
        clock: Callable[[], datetime] = utcnow,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        rng: Random | None = None,
        observer: Observer | None = None,
        lease: timedelta = LEASE,
        waits: Callable[[int], None] = lambda run_id: None,
        seal: Callable[[Recorded], Recorded] = lambda item: item,
    ) -> None:
        """
        Args:
            settings: providers, targets and budgets.
            recorder: the store, for outcomes and reservations.
            clock, monotonic, sleep, rng: time and chance, for tests.
            observer: called after every attempt, for the daemon's metrics.
            lease: how far a recorded outcome extends its run's lease.
            waits: called with the id of a run whose open questions all wait for a retry or for a paused model.
            seal: applied to every outcome before it is recorded, to leave out texts that are not to be stored.

        Raises:
            ConfigError: a key that the settings name is missing.
        """
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._lease = lease
        self._waits = waits
        self._seal = seal
        self._keys: dict[str, Secret | None] = read_keys(settings.providers)
        self._channels: dict[str, asyncio.Future[ProviderChannel]] = {}
        self._limits = {name: Limits(p, monotonic, sleep) for name, p in settings.providers.items()}
        self._recording: GroupWriter[Recorded, bool] = GroupWriter(recorder.record)
        self._reserving: GroupWriter[Reservation, int | None] = GroupWriter(recorder.reserve)
        self._budget_gate = BudgetGate(self._reserving)
        self._deps = RetryDeps(Capabilities(recorder), clock, monotonic, sleep, rng or random.Random(), observer)
        self._prices: dict[tuple[str, str], Price | None] = {}

    async def ask(self, questions: Sequence[Question], fence: int) -> Asked:
        """Send all questions concurrently, within each provider's limits, and record each outcome as it arrives.

        Returns when all are recorded. If cancelled, it still records received outcomes and drops the calls in flight.

        Raises:
            LostFence: the store rejected an outcome, because another worker has taken over the run.
            StoreError: the store cannot be written to.
        """
        unique = {(q.run_id, *q.key): q for q in questions}
        for provider in {q.provider for q in questions}:
            await self._channel(provider)  # a provider that cannot be opened fails before any call is made
        tally = _Tally()
        rest = _Rest(len(unique), self._sleep, lambda: self._waits(questions[0].run_id))
        deps = replace(self._deps, sleep=rest.sleep)
        try:
            await _all([self._ask_one(q, fence, tally, deps, rest) for q in unique.values()])
        finally:
            await asyncio.shield(self._recording.drain())
        if tally.outcomes:
            log.info(
                "asked",
                answers=tally.answers,
                unmeasured={str(reason): count for reason, count in tally.unmeasured.items()},
                usd=round(tally.usd, 6),
            )
        return Asked(tally.answers, dict(tally.unmeasured), tally.usd)

    async def exchange(self, question: Question) -> Explanation:
        """Send one question like ``ask`` and explain it. Not recorded and not charged to the target's budget."""
        line = await self._channel(question.provider)
        retry_loop = await self._retry_loop(question, line, self._deps, budget_gate=None)
        retry_loop.keep_trace = True
        try:
            outcome = await retry_loop.outcome()
        finally:
            retry_loop.leave()
        await self._learn(retry_loop, line)
        known = await self._deps.capabilities.of(line.name, line.base_url, question.model)
        return Explanation(
            question, outcome, tuple(retry_loop.trace), dict(known), retry_loop.price, line.settings.kind, line.base_url
        )

    async def look(self, provider: str, path: str) -> tuple[int, Any]:
        """GET metadata of a provider's API, which costs nothing. Returns status and parsed body.

        Does not use a question's slot, and waits for at most ``LOOK_SECONDS``. Raises CouldNotMeasure without a reply.
        """
        asked = (await self._channel(provider)).provider
        if not isinstance(asked, Looks):
            raise CouldNotMeasure(f"provider {provider} has no metadata API")
        try:
            async with asyncio.timeout(min(LOOK_SECONDS, self._settings.providers[provider].timeout_seconds)):
                return await asked.look(path)
        except AskFailed as error:
            raise CouldNotMeasure(f"provider {provider}: {error.detail}") from None
        except TimeoutError:
            raise CouldNotMeasure(f"provider {provider}: no reply in time") from None

    def same_keys(self, other: "Asker") -> bool:
        """Whether both have the same keys of providers."""
        mine, theirs = ({name: key and key.reveal() for name, key in asker._keys.items()} for asker in (self, other))
        return mine == theirs

    @property
    def in_flight(self) -> int:
        """Number of calls that wait for a reply."""
        return sum(limits.in_flight for limits in self._limits.values())

    async def aclose(self) -> None:
        """Write what is pending and close every provider."""
        await self._recording.drain()
        await self._reserving.drain()
        for future in self._channels.values():
            with suppress(Exception):
                await (await future).provider.aclose()
        self._channels.clear()

    async def _ask_one(self, question: Question, fence: int, tally: "_Tally", deps: RetryDeps, rest: "_Rest") -> None:
        line = await self._channel(question.provider)
        retry_loop = await self._retry_loop(question, line, deps, budget_gate=self._budget_gate)
        try:
            outcome = await retry_loop.outcome()
            # Nothing awaits from here to the queue, so a cancellation cannot separate an answer from its record.
            recorded = self._recording.submit(
                self._seal(self._recorded(question, outcome, fence, retry_loop.reservations))
            )
            tally.add(outcome)
            if not await recorded:
                raise LostFence(f"another worker has taken over run {question.run_id}")
        finally:
            # The slot is released only after the outcome is recorded: a crash loses at most `concurrency` answers.
            retry_loop.leave()
            rest.done()
        await self._learn(retry_loop, line)

    def _recorded(self, question: Question, outcome: Outcome, fence: int, reservations: Sequence[int]) -> Recorded:
        first = reservations[0] if reservations else None
        return Recorded(question, outcome, fence, self._clock() + self._lease, first, tuple(reservations[1:]))

    async def _retry_loop(
        self, question: Question, line: ProviderChannel, deps: RetryDeps, budget_gate: BudgetGate | None
    ) -> RetryLoop:
        target = self._settings.targets.get(question.target)
        return RetryLoop(
            question=question,
            line=line,
            deps=deps,
            price=await self._price(question),
            budget=target.budget if target is not None else Budget(),
            budget_gate=budget_gate,
        )

    async def _learn(self, retry_loop: RetryLoop, line: ProviderChannel) -> None:
        key = (line.name, line.base_url, retry_loop.question.model)
        for name, accepted in retry_loop.lessons.items():
            await self._deps.capabilities.learn(key, name, accepted, self._clock())

    async def _price(self, question: Question) -> Price | None:
        key = (question.provider, question.model)
        if key not in self._prices:
            provider = self._settings.providers[question.provider]
            self._prices[key] = await asyncio.to_thread(price_of, provider, question.model)
        return self._prices[key]

    async def _channel(self, name: str) -> ProviderChannel:
        """The channel of a provider, created with its first question, because vendors' clients import slowly."""
        future = self._channels.get(name)
        if future is None or (future.done() and not future.cancelled() and future.exception() is not None):
            # A failed open is retried: a missing file may exist now.
            future = self._channels[name] = asyncio.ensure_future(self._open(name))
        return future.result() if future.done() else await asyncio.shield(future)

    async def _open(self, name: str) -> ProviderChannel:
        settings = self._settings.providers[name]
        setup = Setup(name, settings, self._keys[name], self._endpoints(name), self._clock)
        make = await asyncio.to_thread(provider_class, settings.kind)
        return ProviderChannel(name, settings, self._limits[name], make(setup))

    def _endpoints(self, provider: str) -> dict[tuple[str, Arm], Endpoint]:
        found: dict[tuple[str, Arm], Endpoint] = {}
        for name, target in self._settings.targets.items():
            arms = {Arm.SUBJECT: target.subject, Arm.BASE: target.base, Arm.SNAPSHOT: target.snapshot}
            arms[Arm.CACHE_CHECK] = target.subject
            arms |= dict.fromkeys((Arm.JUDGE_SUBJECT, Arm.JUDGE_BASE), self._settings.judge)
            found |= {(name, arm): e for arm, e in arms.items() if e is not None and e.provider == provider}
        return found


@dataclass(slots=True)
class _Tally:
    answers: int = 0
    unmeasured: Counter[Reason] = field(default_factory=Counter)
    usd: float = 0.0

    @property
    def outcomes(self) -> int:
        return self.answers + self.unmeasured.total()

    def add(self, outcome: Outcome) -> None:
        self.usd += outcome.usd
        match outcome:
            case Answer():
                self.answers += 1
            case Unmeasured(reason=reason):
                self.unmeasured[reason] += 1


class _Rest:
    """Counts which questions of one ``ask`` are open, and which of them wait without a slot."""

    def __init__(self, questions: int, sleep: Sleep, all_wait: Callable[[], None]) -> None:
        self._open = questions
        self._waiting = 0
        self._sleep = sleep
        self._all_wait = all_wait

    def done(self) -> None:
        self._open -= 1
        self._look()

    async def sleep(self, seconds: float) -> None:
        self._waiting += 1
        self._look()
        try:
            await self._sleep(seconds)
        finally:
            self._waiting -= 1

    def _look(self) -> None:
        if 0 < self._open == self._waiting:
            self._all_wait()


async def _all(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all concurrently. The first failure, or a cancellation, stops the others before it is raised."""
    tasks = [asyncio.create_task(one) for one in work]
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
