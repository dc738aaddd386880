"""Writes what every surface shows of the signal ``echoes``: ``python -m tests.new_signal FOLDER`` to its ``seen.json``.

Run where ``monitor`` has that signal; ``FOLDER`` holds the store of the fixture ``armed_folder``.
"""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from starlette.testclient import TestClient
from typer.testing import CliRunner

import monitor
from dashboards import build
from monitor.cli import app
from monitor.report.email.compose import compose
from monitor.report.email.message import preview
from monitor.report.metrics import Internals
from monitor.report.metrics.alerts import ALERTS, carrier, rules
from monitor.report.web import create_app
from monitor.runs.context import RunContext
from monitor.runs.execute import execute_run
from scripts.generate_docs import pages
from tests.daemon import AFTER, LOST, SUITE, Clock, context_of, fresh_sample, one_day, write

NAME = "echoes"


async def shown(folder: Path) -> dict[str, Any]:
    """Two days of a target that lost its fine-tune, with the page confirmed, seen on the surfaces that read a store."""
    clock = Clock(AFTER)
    async with context_of(write(folder, LOST), clock) as context:
        await one_day(context, clock)
        assert await execute_run(context, fresh_sample(context).id, at_once=True)
        await one_day(context, clock)
        return {
            "code": str(Path(monitor.__file__).parent),
            "metrics": Internals().exposition(context.store, context.settings, clock())[0].decode(),
            "page": page(context, clock, f"/targets/bot/{NAME}"),
            **mail(context, clock),
        }


def page(context: RunContext, clock: Clock, path: str) -> str:
    """The page at ``path``."""
    served = create_app(
        context.store, lambda: context.settings, Internals(), lambda: {"ok": True}, reload, clock, None
    )  # fmt: skip
    with TestClient(served, base_url="http://127.0.0.1") as client:
        return client.get(path).text


async def reload() -> str | None:
    return None


def mail(context: RunContext, clock: Clock) -> dict[str, Any]:
    """The weekly mail of a minute later: subject, HTML, and signal -> what its chart is described by."""
    made = compose(context, clock() + timedelta(minutes=1))
    report, pictures = made.report, made.pictures
    return {
        "subject": report.subject,
        "mail": preview(report, pictures),
        "charts": {key[2]: one.alt for key, one in pictures.items()},
    }


def printed(*command: str) -> str:
    return CliRunner().invoke(app, command).stdout


def main(folder: Path) -> dict[str, Any]:
    found = asyncio.run(shown(folder))
    config = str(folder / "cliffwatch.yaml")
    calibrated = printed("calibrate", "bot", "--config", config, "--json")
    unchecked = {**SUITE, "probes": [{"id": one["id"], "prompt": one["prompt"]} for one in SUITE["probes"]]}
    (folder / "probes" / "facts.yaml").write_text(yaml.safe_dump(unchecked))
    (folder / "cliffwatch.db").unlink()
    return {
        **found,
        "calibrate": json.loads(calibrated),
        "check": json.loads(printed("check", "--config", config, "--json")),
        "rules": rules.rules(),
        "carriers": {one: spec.name for one in (NAME, "length") if (spec := carrier(one, "bot"))},
        "labels": {one.name: list(one.by) for one in ALERTS if one.signals},
        "dashboards": {name: build.render(name) for name in ("fleet", "target")},
        "docs": {name: text for name, text in pages().items() if name in ("signals.md", "metrics.md")},
    }


if __name__ == "__main__":
    (Path(sys.argv[1]) / "seen.json").write_text(json.dumps(main(Path(sys.argv[1]))))
