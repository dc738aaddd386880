"""The dashboards against a real Prometheus that scrapes the real web app over three weeks of a fleet's life.

Every query of every panel, annotation and variable finds data, and where the weeks fix a number it is that number.
"""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from dashboards.build import BOARDS
from dashboards.frames import Ask, Span, lines, settings_of, shown, substituted, table
from monitor.export import Internals
from monitor.records import Arm
from monitor.store import open_store
from monitor.web import create_app
from monitor.web.server import Server
from tests import prometheus, weeks
from tests.unit.test_dashboards import BOARD, annotations, panels

ROOT: Final = Path(__file__).parents[2]
URL: Final = "https://cliffwatch.example.com"
CONFIG: Final = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs: [{{job_name: cliffwatch, static_configs: [{{targets: ["{address}"]}}]}}]
"""
WAIT_SECONDS: Final = 40
FIXED: Final[dict[tuple[str, str], str]] = {
    ("fleet", "Targets"): "6",
    ("fleet", "Targets paging"): "1",
    ("fleet", "Targets with a ticket"): "1",
    ("fleet", "Targets unmeasured"): "1",
    ("fleet", "Targets not armed"): "1",
    ("fleet", "Models retiring, 30 days"): "1",
    ("fleet", "Judge"): "drifted",
    ("target", "Needs"): "page",
    ("target", "Fine-tune left"): "4%",
    ("target", "Unmeasured"): "0%",
    ("target", "Baseline"): "armed",
    ("target", "Served"): "differs",
    ("target", "Rollback"): "ready",
    ("target", "Self-test"): "90%",
    ("judge", "Verdict"): "drifted",
    ("judge", "Agreement"): "70%",
    ("judge", "Anchors unmeasured"): "0%",
    ("operations", "Scraped"): "up",
    ("operations", "Suites unmeasured"): "1",
    ("operations", "Questions over budget"): "5",
    ("operations", "Configuration"): "in force",
}
"""What a reader sees in a number's panel, where the weeks say what it must be."""


@dataclass(frozen=True, slots=True)
class Live:
    ask: Ask

    def variables(self, board: str) -> dict[str, str]:
        target = "support-bot" if board == "target" else ".+"
        chosen = {"job": "cliffwatch", "instance": ".+", "target": target, "web": URL}
        return {**chosen, "__rate_interval": "5s", "__range": "1h", "__interval": "1s"}

    def frames(self, board: str, panel: dict[str, Any]) -> Any:
        now = datetime.now(UTC).timestamp()
        return lines(panel, self.ask, self.variables(board), Span(now - 20, now, 1))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("live")
    store, internals, settings = open_store(f"sqlite:///{folder / 'weeks.db'}"), Internals(), weeks.settings(URL)
    lived = weeks.Weeks(store, datetime.now(UTC) - timedelta(seconds=5))
    lived.live()
    internals.reloaded(ok=True, at=datetime.now(UTC))

    async def reload() -> None:
        return None

    app = create_app(store, lambda: settings, internals, lambda: {"ok": True, "last_tick_age_seconds": 0.0}, reload)
    server = Server(app, "127.0.0.1", 0)
    address = f"127.0.0.1:{await server.start()}"
    config = CONFIG.format(rules=ROOT / "alerts" / "rules.yaml", address=address)
    moving = asyncio.create_task(move(internals))
    with ExitStack() as stack:
        url = await asyncio.to_thread(stack.enter_context, prometheus.running(folder, config))
        made = Live(partial(prometheus.asked, url))
        await until(lambda: made.ask("query", query="min(count_over_time(up[1m])) >= 3")["result"])
        await asyncio.to_thread(lived.one_more_run, datetime.now(UTC))
        yield made
        moving.cancel()
    await server.stop()
    store.close()


async def move(internals: Internals) -> None:
    """What a daemon's own loop does to its numbers."""
    while True:
        internals.ticked(datetime.now(UTC))
        internals.observe_call("support-bot", Arm.SUBJECT, "vllm", "answer", 0.3)
        await asyncio.sleep(0.3)


async def until(found: Callable[[], Any]) -> Any:
    """What it finds, waited for: Prometheus needs a few scrapes before there is a rate."""
    for _ in range(WAIT_SECONDS * 4):
        if result := await asyncio.to_thread(found):
            return result
        await asyncio.sleep(0.25)
    return found()


def results(live: Live, expr: str) -> Any:
    return live.ask("query", query=expr)["result"]


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.asyncio(loop_scope="module")
async def test_every_query_of_a_panel_finds_data(live: Live, name: str) -> None:
    for panel in panels(BOARD[name]):
        asked = {target["refId"] for target in panel["targets"]}

        def answered(panel: dict[str, Any] = panel, asked: set[str] = asked) -> Any:
            found = live.frames(name, panel)
            real = {line.ref for line in found if any(value == value for _, value in line.points)}
            return found if real == asked else None

        assert await until(answered), f"{panel['title']}: a query finds nothing"


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.asyncio(loop_scope="module")
async def test_every_annotation_and_variable_finds_data(live: Live, name: str) -> None:
    for one in annotations(BOARD[name]):
        expr = substituted(one["expr"], live.variables(name))
        assert await until(partial(results, live, expr)), one["name"]
    found = {}
    for one in BOARD[name]["templating"]["list"]:
        if one["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", one["definition"]).groups()  # type: ignore[union-attr]
            match = substituted(metric, live.variables(name))
            found[one["name"]] = live.ask(f"label/{label}/values", **{"match[]": match})
    assert found["job"] == ["cliffwatch"]
    assert found["web"] == [URL]
    if name != "fleet":
        assert set(found["target"]) == set(weeks.settings().targets)


@pytest.mark.asyncio(loop_scope="module")
async def test_numbers_are_what_the_weeks_say(live: Live) -> None:
    seen = {}
    for name in BOARDS:
        for panel in panels(BOARD[name]):
            if panel["type"] == "stat" and (name, panel["title"]) in FIXED:
                found = await until(partial(live.frames, name, panel))
                seen[name, panel["title"]] = shown(found[0].points[-1][1], settings_of(panel))[0]
    assert seen == FIXED


def rows(live: Live, board: str, title: str) -> list[dict[str, Any]]:
    (panel,) = [panel for panel in panels(BOARD[board]) if panel["title"] == title]
    return [
        {
            name: shown(value, settings_of(panel, name=name))[0] if isinstance(value, float) else value
            for name, value in row.items()
        }
        for row in table(panel, live.frames(board, panel)).rows
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_fleet_says_who_needs_somebody_the_most_urgent_first(live: Live) -> None:
    found = await asyncio.to_thread(rows, live, "fleet", "Targets, the most urgent first")
    needs = [(row["Target"], row["Needs"]) for row in found]
    assert needs[:3] == [("support-bot", "page"), ("extractor", "unmeasured"), ("translator", "not armed")]
    assert needs[3:5] == [("classifier", "model retires"), ("tagger", "budget spent")]
    assert found[0]["Worst signal"] in ("adapter_loss", "base_match", "negative_flips"), "a page before a ticket"
    assert float(found[0]["Of its line"].removesuffix("%")) >= 100
    assert needs[5:] == [("summariser", "quiet")]
    raised = await asyncio.to_thread(rows, live, "fleet", "Raised now")
    assert {(row["Target"], row["Signal"], row["Severity"]) for row in raised} == {
        ("support-bot", "adapter_loss", "page"),
        ("support-bot", "base_match", "page"),
        ("support-bot", "negative_flips", "page"),
        ("support-bot", "length", "ticket"),
        ("support-bot", "contract", "ticket"),
        ("support-bot", "distribution", "ticket"),
        ("support-bot", "judge_score", "ticket"),
    }
    assert [row["Severity"] for row in raised] == ["page"] * 3 + ["ticket"] * 4
    assert all(row["For"] in ("1.4 days", "1.5 days") for row in raised)


@pytest.mark.asyncio(loop_scope="module")
async def test_one_target_alone_fell_or_all_did(live: Live) -> None:
    found = await asyncio.to_thread(rows, live, "judge", "Score of each target")
    assert found[0]["Target"] == "support-bot"
    assert {row["Target"] for row in found} == set(weeks.settings().targets) - {"judge", "translator"}
    assert all(float(row["Moved"].removesuffix("%")) < -5 for row in found), "the judge is stricter with all of them"


@pytest.mark.asyncio(loop_scope="module")
async def test_alerts_fire_for_what_the_dashboards_show(live: Live) -> None:
    def firing(name: str) -> Any:
        return results(live, f'ALERTS{{alertname="{name}", alertstate="firing"}}')

    (lost, *_) = await until(lambda: firing("CliffwatchFineTuneLost"))
    assert lost["metric"]["target"] == "support-bot"
    assert await until(lambda: firing("CliffwatchJudgeDrift"))
