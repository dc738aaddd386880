"""When to ask again: headers as providers send them, and jitter."""

from random import Random

import pytest

from monitor.ask.retry import LONGEST_WAIT, backoff, retry_after
from tests.asking import NOW


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "99"}, 1.5),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"}, 360),
        ({"x-ratelimit-reset-tokens": "12ms", "x-ratelimit-remaining-tokens": "0"}, 0.012),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s", "x-ratelimit-remaining-tokens": "0"}, 3723.5),
        ({"x-ratelimit-reset-tokens": "1d", "x-ratelimit-remaining-tokens": "0"}, 86_400),
        ({"x-ratelimit-reset-requests": "60", "x-ratelimit-remaining-requests": "0"}, 60),
        (
            {
                "anthropic-ratelimit-output-tokens-reset": "2026-11-22T12:00:09Z",
                "anthropic-ratelimit-output-tokens-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-22T13:00:00Z",
                "anthropic-ratelimit-requests-remaining": "49",
            },
            9,
        ),
        ({}, None),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "5"}, None),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"x-ratelimit-reset-tokens": "", "x-ratelimit-remaining-tokens": "0"}, None),
        ({"x-ratelimit-reset-tokens": "tomorrow", "x-ratelimit-remaining-tokens": "0"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    found = retry_after(headers, NOW)
    assert found == (seconds if seconds is None else pytest.approx(seconds))


def test_backoff_grows_is_bounded_and_full() -> None:
    rng = Random(1)
    first = [backoff(1, rng) for _ in range(500)]
    assert min(first) < 0.05
    assert 0.45 < max(first) <= 0.5
    assert max(backoff(3, rng) for _ in range(500)) > 1.8
    assert max(backoff(10_000, rng) for _ in range(500)) <= LONGEST_WAIT
