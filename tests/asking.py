"""What the ask stage's tests share: questions, settings, time that passes only when someone sleeps."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.core.records import Arm, Message, Question, Recorded, Reservation, Sampling
from monitor.core.settings import Settings

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

QUESTION = Question(
    run_id=1,
    target="bot",
    suite="support",
    arm=Arm.SUBJECT,
    probe="p0",
    replicate=0,
    provider="server",
    model="tuned",
    messages=(Message("system", "Be brief."), Message("user", "Where is my order?")),
    sampling=Sampling(temperature=0.0, max_tokens=64),
    seed=7,
)


def questions(count: int, **changes: Any) -> list[Question]:
    return [replace(QUESTION, probe=f"p{n}", **changes) for n in range(count)]


def settings(budget: Mapping[str, Any] | None = None, **provider: Any) -> Settings:
    """One target whose provider ``server`` is free and of kind openai unless told otherwise."""
    return Settings.model_validate(
        {
            "providers": {"server": {"kind": "openai", "free": True, **provider}},
            "targets": {"bot": {"subject": {"provider": "server", "model": "tuned"}, "budget": budget or {}}},
        }
    )


class Time:
    """A clock that moves only by sleeping; ``slept`` lists how long each sleep was."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.passed

    def clock(self) -> datetime:
        return NOW + timedelta(seconds=self.passed)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += max(0.0, seconds)
        await asyncio.sleep(0)


class Ledger:
    """A recorder in memory; counts its transactions. The store itself is met in the integration tests."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.groups: list[int] = []
        self.reserved: list[Reservation] = []
        self.allow = 10**9
        self.fence = 1
        self.capabilities: defaultdict[tuple[str, str, str], dict[str, bool]] = defaultdict(dict)

    def record(self, items: Sequence[Recorded]) -> list[bool]:
        self.groups.append(len(items))
        self.recorded += [item for item in items if item.fence == self.fence]
        return [item.fence == self.fence for item in items]

    def reserve(self, items: Sequence[Reservation]) -> list[int | None]:
        ids: list[int | None] = []
        for item in items:
            fits = len(self.reserved) < self.allow
            if fits:
                self.reserved.append(item)
            ids.append(len(self.reserved) if fits else None)
        return ids

    def capability(self, provider: str, base_url: str, model: str) -> dict[str, bool]:
        return dict(self.capabilities[provider, base_url, model])

    def set_capability(
        self, provider: str, base_url: str, model: str, name: str, accepted: bool, now: datetime
    ) -> None:
        self.capabilities[provider, base_url, model][name] = accepted
