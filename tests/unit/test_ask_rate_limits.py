"""Token buckets on a clock that moves only by sleeping."""

import asyncio

import pytest

from monitor.ask.rate_limits import LONGEST_PAUSE, Limits
from monitor.core.providers import OpenAISettings
from tests.asking import Time


def limits_of(time: Time, **settings: object) -> Limits:
    return Limits(
        OpenAISettings.model_validate({"kind": "openai", "free": True, **settings}), time.monotonic, time.sleep
    )


async def call(limits: Limits, model: str = "tuned", tokens: int = 1) -> None:
    assert await limits.enter(model, tokens)
    limits.leave()


async def test_rate_is_kept_over_time() -> None:
    time = Time()
    limits = limits_of(time, requests_per_minute=600)
    for _ in range(610):
        await call(limits)
    # 10 at once, the other 600 at 10 a second.
    assert time.passed == pytest.approx(60, abs=0.2)


async def test_first_come_first_served_also_for_large_ones() -> None:
    time = Time()
    limits = limits_of(time, tokens_per_minute=60)
    order: list[str] = []

    async def one(name: str, amount: int) -> None:
        await call(limits, tokens=amount)
        order.append(name)

    await asyncio.gather(one("first", 1), one("large", 50), one("small", 1))
    assert order == ["first", "large", "small"]
    # The large one waits for a full bucket and leaves a debt that the small one sits out.
    assert time.passed == pytest.approx(1 + 50, abs=1)


async def test_correction_gives_back_and_takes_more() -> None:
    time = Time()
    limits = limits_of(time, tokens_per_minute=6000)
    await call(limits, tokens=100)
    limits.settle(100, 0)
    await call(limits, tokens=100)
    assert time.passed == 0
    limits.settle(100, 1100)
    await call(limits, tokens=100)
    assert time.passed == pytest.approx(11, abs=0.5)


async def test_a_cancelled_wait_leaves_nothing_taken() -> None:
    limits = Limits(OpenAISettings(kind="openai", free=True, requests_per_minute=60, concurrency=1))
    await call(limits)
    waiting = [asyncio.create_task(limits.enter("tuned", 1)) for _ in range(3)]
    await asyncio.sleep(0.01)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    started = asyncio.get_running_loop().time()
    await asyncio.wait_for(call(limits), 5)
    assert asyncio.get_running_loop().time() - started == pytest.approx(1, abs=0.3)


async def test_a_question_that_waits_for_the_rate_holds_no_slot() -> None:
    bucket = asyncio.Event()

    async def sleep(_: float) -> None:
        await bucket.wait()
        time.passed += 60

    time = Time()
    limits = Limits(
        OpenAISettings(kind="openai", free=True, requests_per_minute=1, concurrency=1), time.monotonic, sleep
    )
    await call(limits)
    waiting = asyncio.create_task(limits.enter("tuned", 1))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert not limits._slots.locked()
    bucket.set()
    assert await waiting


async def test_models_take_turns() -> None:
    time = Time()
    limits = limits_of(time, concurrency=1)
    order: list[str] = []

    async def one(model: str) -> None:
        assert await limits.enter(model, 1)
        order.append(model)
        await asyncio.sleep(0)
        limits.leave()

    await asyncio.gather(*(one("slow") for _ in range(50)), *(one("neighbour") for _ in range(5)))
    assert order.index("neighbour") <= 3
    assert [place for place, model in enumerate(order) if model == "neighbour"][-1] <= 13


async def test_cancelled_questions_pass_their_turn_on() -> None:
    time = Time()
    limits = limits_of(time, concurrency=1)
    assert await limits.enter("a", 1)
    waiting = [asyncio.create_task(limits.enter(model, 1)) for model in "abcabc"]
    await asyncio.sleep(0)
    for place in (0, 1, 3, 5):
        waiting[place].cancel()
    limits.leave()
    waiting[2].cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert [task.done() and not task.cancelled() for task in waiting] == [False, False, False, False, True, False]
    limits.leave()
    assert await limits.enter("d", 1)


async def test_a_pause_is_for_one_model_and_not_for_ever() -> None:
    time = Time()
    limits = limits_of(time)
    limits.pause("tuned", 5)
    limits.pause("tuned", 2)
    await call(limits, "another")
    assert not await limits.enter("tuned", 10)
    assert limits.pause_left("tuned") == 5
    time.passed = 5
    await call(limits)
    limits.pause("tuned", 1e12)
    assert limits.pause_left("tuned") == LONGEST_PAUSE


async def test_a_pause_that_begins_while_a_question_waits_for_a_slot_holds_it_back() -> None:
    limits = limits_of(Time(), concurrency=1)
    assert await limits.enter("tuned", 1)
    waiting = [asyncio.create_task(limits.enter("tuned", 1)) for _ in range(3)]
    await asyncio.sleep(0)
    limits.pause("tuned", 60)
    limits.leave()
    assert await asyncio.gather(*waiting) == [False, False, False]
    await call(limits, "another")
