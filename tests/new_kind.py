"""Writes what is shown of a target whose answers changed: ``python -m tests.new_kind HEALTHY CHANGED SUITE``.

``HEALTHY`` and ``CHANGED`` are configurations over one store that is empty, of the target ``bot``. What is seen goes to
``seen.json`` beside them.
"""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import monitor
from dashboards import build
from monitor.report.metrics import Internals
from monitor.runs.context import open_capture
from tests.daemon import Clock, context_of, one_day
from tests.new_signal import mail, page

DAYS = 7
"""Of the baseline: enough for tickets."""
CHANGED_DAYS = 3


async def shown(healthy: Path, changed: Path, suite: str) -> dict[str, Any]:
    """A week as in ``healthy``, which becomes the baseline; then days as in ``changed``."""
    clock = Clock()
    async with context_of(healthy, clock) as context:
        start = clock.at.replace(hour=0, minute=0)
        opened = open_capture(context, "bot", suite, start, start + timedelta(days=DAYS), at_once=False)
        for _ in range(DAYS):
            await one_day(context, clock, suite)
        context.store.close_due_baselines(clock.at)
        context.store.approve(opened, "test", "healthy by construction", clock.at)
    async with context_of(changed, clock) as context:
        found = [one for _ in range(CHANGED_DAYS) for one in await one_day(context, clock, suite) if one.alarming]
        return {
            "code": str(Path(monitor.__file__).parent),
            "alarming": sorted({one.signal for one in found}),
            "metrics": Internals().exposition(context.store, context.settings, clock())[0].decode(),
            "finding": page(context, clock, f"/findings/{found[-1].run_id}/{found[-1].signal}"),
            **mail(context, clock),
        }


def main(healthy: Path, changed: Path, suite: str) -> dict[str, Any]:
    committed = {name: (build.FOLDER / f"{name}.json").read_text(encoding="utf-8") for name in build.BOARDS}
    seen = asyncio.run(shown(healthy, changed, suite))
    return {**seen, "dashboards": {name: build.render(name) == text for name, text in committed.items()}}


if __name__ == "__main__":
    config = Path(sys.argv[1])
    config.with_name("seen.json").write_text(json.dumps(main(config, Path(sys.argv[2]), sys.argv[3])))
