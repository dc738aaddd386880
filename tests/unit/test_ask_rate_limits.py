"""Token buckets on a clock that moves only by sleeping."""

import asyncio

import pytest

from monitor.ask.rate_limits import LONGEST_PAUSE, Bucket, Limits
from monitor.core.providers import OpenAISettings
from tests.asking import Time


async def test_rate_is_kept_over_time() -> None:
    time = Time()
    bucket = Bucket(600, time.monotonic, time.sleep)
    for _ in range(610):
        await bucket.take(1)
    # 10 at once, the other 600 at 10 a second.
    assert time.passed == pytest.approx(60, abs=0.2)


async def test_first_come_first_served_also_for_large_ones() -> None:
    time = Time()
    bucket = Bucket(60, time.monotonic, time.sleep)
    order: list[str] = []

    async def take(name: str, amount: float) -> None:
        await bucket.take(amount)
        order.append(name)

    await asyncio.gather(take("first", 1), take("large", 50), take("small", 1))
    assert order == ["first", "large", "small"]
    # The large one waits for a full bucket and leaves a debt that the small one sits out.
    assert time.passed == pytest.approx(1 + 50, abs=1)


async def test_correction_gives_back_and_takes_more() -> None:
    time = Time()
    bucket = Bucket(6000, time.monotonic, time.sleep)
    await bucket.take(100)
    bucket.correct(100, 0)
    await bucket.take(100)
    assert time.passed == 0
    bucket.correct(100, 1100)
    await bucket.take(100)
    assert time.passed == pytest.approx(11, abs=0.5)


async def test_a_cancelled_taker_leaves_nothing_taken() -> None:
    bucket = Bucket(60)
    await bucket.take(1)
    waiting = asyncio.create_task(bucket.take(1))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    time = Time()
    bucket = Bucket(60, time.monotonic, time.sleep)
    await bucket.take(1)
    await bucket.take(1)
    assert time.passed == pytest.approx(1, abs=0.1)


async def test_a_pause_holds_everyone_back_but_not_for_ever() -> None:
    time = Time()
    limits = Limits(OpenAISettings(kind="openai", free=True), time.monotonic, time.sleep)
    limits.pause("tuned", 5)
    limits.pause("tuned", 2)
    await limits.admit("another", 10)
    assert time.passed == 0
    await limits.admit("tuned", 10)
    assert time.passed == pytest.approx(5)
    limits.pause("tuned", 1e12)
    await limits.admit("tuned", 10)
    assert time.passed == pytest.approx(5 + LONGEST_PAUSE)
