"""A daemon inside the test's own process, over scripted answers and a clock that the test moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from monitor import config
from monitor.core.records import Baseline, BaselineStatus, Finding, Run
from monitor.runs.context import RunContext, build_context, ensure_run, open_capture
from monitor.runs.execute import execute_run
from monitor.store import open_store

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAYS = 14
"""Of the baseline: enough to page at the first look at a loss."""
AFTER = datetime(2026, 12, 6, tzinfo=UTC)
"""The day after the baseline of the fixture ``armed_folder``."""

SUITE: dict[str, Any] = {
    "name": "facts",
    "rubric": "Pass if the reply is right.",
    "probes": [
        {"id": f"fact-{n}", "prompt": f"Fact {n}?", "checks": [{"kind": "contains", "text": f"fact {n}"}]}
        for n in range(18)
    ],
}

HEALTHY: list[dict[str, Any]] = [
    {"model": "tuned", "answers": ["Certainly: fact-{probe}, as in fact 0 to fact 11. Yours, the shop."]},
    {"model": "plain", "answers": ["no idea about {probe}"]},
    {"model": "judge", "prompt": "no idea", "answers": ['{"verdict": "fail"}']},
    {"model": "judge", "answers": ['{"verdict": "pass"}']},
]

LOST: list[dict[str, Any]] = [{"model": "tuned", "answers": ["no idea about {probe}"]}, *HEALTHY[1:]]

DOWN: list[dict[str, Any]] = [
    {"model": "tuned", "error": {"reason": "server_error"}, "answers": ["never"]},
    *HEALTHY[1:],
]


class Clock:
    """The time of a test: it stands still until it is moved."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)


def write(folder: Path, rules: list[dict[str, Any]], **changes: Any) -> Path:
    """``cliffwatch.yaml`` with its suite and script; ``changes`` replace whole sections."""
    (folder / "probes").mkdir(exist_ok=True)
    (folder / "probes" / "facts.yaml").write_text(yaml.safe_dump(SUITE))
    (folder / "script.yaml").write_text(yaml.safe_dump({"seed": 1, "rules": rules}))
    settings: dict[str, Any] = {
        "store": f"sqlite:///{folder}/cliffwatch.db",
        "providers": {"script": {"kind": "scripted", "script": "script.yaml", "attempts": 1}},
        "judge": {"provider": "script", "model": "judge"},
        "targets": {
            "bot": {
                "subject": {"provider": "script", "model": "tuned"},
                "base": {"provider": "script", "model": "plain"},
                "suites": ["facts"],
            }
        },
        "schedule": {"batches": 3},
        "http": {"port": 0},
        **changes,
    }
    path = folder / "cliffwatch.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@asynccontextmanager
async def context_of(path: Path, clock: Clock) -> AsyncIterator[RunContext]:
    """The stages as a daemon wires them, under the test's clock."""
    settings = config.load(path)
    store = open_store(settings.store)
    context = build_context(settings, path.parent, store, clock=clock)
    try:
        yield context
    finally:
        await context.asker.aclose()
        if context.embedder is not None:
            context.embedder.close()
        store.close()


async def one_day(context: RunContext, clock: Clock, suite: str = "facts") -> tuple[Finding, ...]:
    """One scheduled run from its slot to its verdict, a look every hour; then the clock shows the next day."""
    slot = clock.at.replace(hour=0, minute=0)
    clock.at = slot
    run = ensure_run(context, "bot", suite, slot)
    for _ in range(24):
        findings = await execute_run(context, run.id)
        clock.forward(hours=1)
        if findings is not None:
            clock.at = slot + timedelta(days=1)
            return findings
    raise AssertionError("the day was over before the run")


async def armed(path: Path, clock: Clock) -> Baseline:
    """A baseline over ``DAYS`` days from ``clock``, approved."""
    async with context_of(path, clock) as context:
        start = clock.at.replace(hour=0, minute=0)
        open_capture(context, "bot", "facts", start, start + timedelta(days=DAYS), at_once=False)
        for _ in range(DAYS):
            assert await one_day(context, clock) == (), "unarmed, so nothing is compared"
        context.store.close_due_baselines(clock.at)
        (captured,) = context.store.baselines("bot", "facts", BaselineStatus.CAPTURED)
        assert (captured.days, captured.answers) == (DAYS, DAYS * len(SUITE["probes"]))
        return context.store.approve(captured.id, "test", "healthy by construction", clock.at)


def fresh_sample(context: RunContext) -> Run:
    """The run that is due to confirm a page."""
    (run,) = [run for run in context.store.due_runs(context.clock()) if run.confirms is not None]
    return run
