"""A daemon inside the test's own process, over scripted answers and a clock that the test moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from monitor import config
from monitor.app import build_house
from monitor.cycle import House
from monitor.store import open_store

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

SUITE: dict[str, Any] = {
    "name": "facts",
    "rubric": "Pass if the reply is right.",
    "probes": [
        {"id": f"fact-{n}", "prompt": f"Fact {n}?", "checks": [{"kind": "contains", "text": f"fact {n}"}]}
        for n in range(12)
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
async def house_of(path: Path, clock: Clock) -> AsyncIterator[House]:
    """The stages as a daemon wires them, under the test's clock."""
    settings = config.load(path)
    store = open_store(settings.store)
    house = build_house(settings, path.parent, store, clock=clock)
    try:
        yield house
    finally:
        await house.asker.aclose()
        store.close()
