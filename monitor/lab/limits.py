"""The allowance in rate-limit headers. It is counted and reported but not enforced; the fault ``rate-limited`` does
that."""

from dataclasses import dataclass
from typing import Final

_WINDOW: Final = 60.0
_REQUESTS: Final = 60_000
_TOKENS: Final = 60_000_000


@dataclass(frozen=True)
class Limits:
    """What is allowed and left of the current minute; ``reset_seconds`` until all of it is back."""

    requests: int
    requests_left: int
    tokens: int
    tokens_left: int
    reset_seconds: float


class Meter:
    """Counts requests and tokens in windows of one minute. Time is an argument, in seconds."""

    def __init__(self) -> None:
        self._since = 0.0
        self._requests = 0
        self._tokens = 0

    def count(self, now: float, tokens: int) -> Limits:
        """Count one request of so many tokens, and tell what is left."""
        if now - self._since >= _WINDOW:
            self._since, self._requests, self._tokens = now, 0, 0
        self._requests += 1
        self._tokens += tokens
        left = max(0, _REQUESTS - self._requests), max(0, _TOKENS - self._tokens)
        return Limits(_REQUESTS, left[0], _TOKENS, left[1], self._since + _WINDOW - now)


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes a reset: ``750ms``, ``12s``, ``1m0s``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
