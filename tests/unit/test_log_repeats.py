"""One line a minute for what repeats, and every line for what does not."""

from typing import Any

import pytest
import structlog

from monitor.core.log_repeats import EVERY_SECONDS, MOST, Repeats


class Log:
    def __init__(self) -> None:
        self.now = 0.0
        self.fold = Repeats(lambda: self.now)

    def __call__(self, event: str, level: str = "warning", **fields: Any) -> dict[str, Any] | None:
        try:
            return dict(self.fold(None, level, {"event": event, "level": level, "timestamp": self.now, **fields}))
        except structlog.DropEvent:
            return None


def test_what_repeats_is_one_line_a_minute_with_its_count() -> None:
    log, told = Log(), []
    for tick in range(3000):
        log.now = tick / 10
        told.append(log("library", "error", message=f"socket.accept() out of system resource, fd={tick}"))
    lines = [line for line in told if line is not None]
    assert len(lines) == 5
    assert [line.get("repeated") for line in lines] == [None, 599, 599, 599, 599]


@pytest.mark.parametrize("level", ["warning", "error"])
def test_other_words_targets_and_levels_are_other_lines(level: str) -> None:
    log = Log()
    assert log("tick_failed", level, exception="store away")
    assert not log("tick_failed", level, exception="store away")
    assert log("tick_failed", level, exception="disk full")
    assert log("identity_mismatch", level, target="bot-1")
    assert log("identity_mismatch", level, target="bot-2")
    assert not log("identity_mismatch", level, target="bot-2")


def test_runs_and_attempts_that_say_the_same_are_one_line() -> None:
    log = Log()
    assert log("ask_retry", "info", target="bot", reason="timeout", probe="a", attempt=1)
    assert not log("ask_retry", "info", target="bot", reason="timeout", probe="b", attempt=2)
    assert not log("ask_retry", "info", target="another", arm="base", reason="timeout", probe="b", attempt=2)
    assert log("ask_retry", "info", target="bot", reason="rate_limited", probe="a")
    assert log("run_due", "info", target="bot-1", run=1)
    assert log("run_due", "info", target="bot-2", run=2)
    assert not log("run_due", "info", target="bot-1", run=3)
    assert log("run_failed", "error", run=1)
    assert not log("run_failed", "error", run=2)


def test_each_of_these_is_said() -> None:
    log = Log()
    assert all(log("run_finished", "info", target="bot") for _ in range(3))
    assert all(log("crashed", "critical", exception="the same") for _ in range(3))
    assert all(log("reload_failed", "error", error="the same") for _ in range(3))


def test_the_memory_of_lines_is_bounded() -> None:
    log = Log()
    for n in range(3 * MOST):
        log("run_failed", "error", target=f"bot-{n}")
    assert len(log.fold._seen) == MOST
    assert log("run_failed", "error", target="bot-0"), "forgotten, so said again"
    log.now = EVERY_SECONDS
    assert log("run_failed", "error", target="bot-0")
