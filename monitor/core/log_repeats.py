"""Folds log lines that repeat: one a minute for each, with the number of lines that were left out."""

import re
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog

EVERY_SECONDS: Final = 60.0

MOST: Final = 1_000
"""Different lines that are remembered."""

EACH: Final = frozenset({"reload_failed", "started", "stopping", "stopped"})
"""Events that a person caused: each is logged."""

ATTEMPTS: Final = frozenset({"ask_retry", "ask_unmeasured", "ask_withheld"})
"""Events of each attempt of each question: folded by provider and reason."""

FOLDED: Final = ATTEMPTS | {"run_due", "asked"}
"""Events below a warning that are folded, too. Without a fast clock, those of a run do not repeat within a minute."""

VARIES: Final = frozenset({
    "timestamp", "run", "slot", "probe", "replicate", "attempt", "attempts", "wait_seconds", "seconds", "exc_info",
    "answers", "unmeasured", "usd",
})  # fmt: skip
"""Fields that differ between lines that say the same."""

OF_TARGET: Final = frozenset({"target", "suite", "arm"})
"""Fields that differ between attempts that say the same."""

_DIGITS: Final = re.compile(r"\d+")


class Repeats:
    """A processor of structlog: drops a line that was logged less than ``EVERY_SECONDS`` ago."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, list[float]] = OrderedDict()
        """Line -> when it was logged, and how many were left out since."""

    def __call__(self, _: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        name = str(event.get("event"))
        if name in EACH or (name not in FOLDED and event.get("level") not in ("warning", "error")):
            return event
        varies = VARIES | OF_TARGET if name in ATTEMPTS else VARIES
        key = _DIGITS.sub("#", "\x00".join(f"{k}={v}" for k, v in sorted(event.items()) if k not in varies))
        if (target := event.get("target")) and "target" not in varies:
            key = f"{target}\x00{key}"  # with its digits: targets are often numbered
        now = self._clock()
        last = self._seen.get(key)
        if last is not None and now - last[0] < EVERY_SECONDS:
            last[1] += 1
            raise structlog.DropEvent
        self._seen[key] = [now, 0]
        self._seen.move_to_end(key)
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)
        if last is not None and last[1]:
            event["repeated"] = int(last[1])
        return event
