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
from monitor.core.records import Arm
from monitor.report.metrics import Internals
from monitor.report.web import create_app
from monitor.report.web.server import Server
from monitor.store import open_store
from tests import prometheus, weeks
from tests.unit.test_dashboards import BOARD, annotations, panels

ROOT: Final = Path(__file__).parents[2]
URL: Final = "https://cliffwatch.example.com"
WAIT_SECONDS: Final = 40
FIXED: Final[dict[tuple[str, str], str]] = {
    ("fleet", "Targets"): "6",
    ("fleet", "Targets paging"): "1",
    ("fleet", "Targets with a ticket"): "1",
    ("fleet", "Targets not measured"): "1",
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
    ("operations", "Suites not measured"): "1",
    ("operations", "Questions over budget"): "5",
    ("operations", "Configuration"): "in force",
}
"""What a reader sees in a number's panel, where the weeks say what it must be."""

LAST: Final[dict[tuple[str, str], dict[str, float]]] = {
    ("fleet", "Targets that need attention, over time"): {
        "page": 1, "ticket": 1, "unmeasured": 1, "not armed": 1,
    },
    ("target", "Alarms"): {
        "adapter_loss": 2, "base_match": 2, "canaries": 0, "contract": 1, "distribution": 1, "judge_score": 1,
        "length": 1, "negative_flips": 2,
    },
    ("target", "Evidence, share of threshold: signals that page"): {
        "adapter_loss": 2.14, "base_match": 1.77, "canaries": 0.12, "judge_score": 2.12, "negative_flips": 2.2,
    },
    ("target", "Evidence, share of threshold: signals that open a ticket"): {
        "contract": 1.96, "distribution": 1.71, "length": 1.92,
    },
    ("target", "Fine-tune's effect left"): {
        "support": 0.04, "support, 95 % interval: low end": 0, "support, high end": 0.08,
    },
    ("target", "Answers nearer to the base"): {"support": 0.975},
    ("target", "Judge's score: now, baseline, base"): {
        "support now": 0.42, "support baseline": 0.9, "support base": 0.285,
    },
    ("target", "Answers that pass every check: now, baseline, base"): {
        "support now": 0.3, "support baseline": 1, "support base": 0,
    },
    ("target", "Items that flipped"): {"support lost": 0.7, "support won": 0},
    ("target", "Length in characters: now, baseline, base"): {
        "support now": 52.4, "support baseline": 29.5, "support base": 52.8,
    },
    ("target", "Spread of length, over the baseline's"): {"support": 2.4},
    ("target", "Served as declared"): {"listed": 1, "root": 0},
    ("target", "Answered under the same contract"): {
        "checks_passed": 1, "fingerprint": 0, "finish_reason": 1, "model_id": 0, "prompt_tokens": 0, "refusals": 0,
        "empty": 0, "served": 0, "prefix_cache": 0,
    },
    ("target", "Rollback version"): {"answered": 1, "passed": 1},
    ("target", "Time until a model retires"): {"base": 199.5 * 86_400},
    ("target", "Planted faults that were caught"): {
        "base-answers": 1, "quantised": 0.9, "routed-30": 1, "truncation": 0.95,
    },
    ("target", "Unmeasured share of the last run"): {"support": 0, "ticket": 0.2},
    ("target", "Since the last usable run"): {"support": 0, "ticket": 2},
    ("judge", "Agreement with the people who labelled the anchors"): {"judge-2026-06": 0.7, "baseline": 0.957},
    ("judge", "Evidence that the judge drifted, share of threshold"): {"negative_flips": 3.4},
    ("judge", "Alarms about the judge"): {"contract": 0, "negative_flips": 1},
    ("judge", "Did every target's score move at once?"): {
        "median": -0.086, "lowest tenth": -0.333, "highest tenth": -0.074,
    },
    ("judge", "Dollars per day"): {"judge-base": 0.17, "judge-subject": 0.161, "anchors": 0.031},
    ("judge", "Verdicts per day"): {"budget": 0, "ok": 107, "rate_limited": 16, "timeout": 16},
    ("judge", "Tokens per day"): {"completion": 749, "prompt": 4280},
    ("operations", "Unmeasured share of the last runs"): {"worst suite": 0.4, "mean": 0.075, "ticket": 0.2},
    ("operations", "Finished runs per day"): {"measured": 4, "partial": 3, "unmeasured": 0},
    ("operations", "Calls by outcome"): {"budget": 0, "ok": 0, "rate_limited": 0, "rejected": 0, "timeout": 0},
    ("operations", "Rate limits"): {"claude": 0.107, "vllm": 0.104},
    ("operations", "Duration of a call"): {"subject": 0.375, "subject p95": 0.4875},
    ("operations", "Tokens per hour"): {"completion": 0, "prompt": 0},
    ("operations", "Dollars per day, by arm"): {
        "base": 0.2525, "judge-base": 0.17, "judge-subject": 0.161, "snapshot": 0.0294, "subject": 0.25,
    },
    ("operations", "Lag"): {"most overdue run": 0, "last tick": 0.5, "nothing asked": 0},
    ("operations", "Errors per hour"): {"ticks": 0, "runs": 0, "scrapes": 0},
    ("operations", "Queued mail"): {"queued": 0, "age of the oldest, in hours": 0, "given up": 0},
}  # fmt: skip
"""What each line, bar and state of every graph comes to, long enough after the last calls."""
NEAR: Final = 0.15
"""Prometheus stretches an increase to its whole window: of a few seconds' samples by a tenth."""


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
    config = prometheus.SCRAPED.format(rules=ROOT / "alerts" / "rules.yaml", address=address)
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


ABSENT: Final = {
    ("operations", "Requests left out"): {"A", "B", "C"},  # no target of the weeks has production inputs
    ("operations", "Requests of the last samples, by outcome"): {"A"},
    ("operations", "Lag"): {"D"},  # no clock was ahead
}
"""Panel -> its queries that rightly find nothing."""


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.asyncio(loop_scope="module")
async def test_every_query_of_a_panel_finds_data(live: Live, name: str) -> None:
    for panel in panels(BOARD[name]):
        asked = {target["refId"] for target in panel["targets"]} - ABSENT.get((name, panel["title"]), set())

        def answered(panel: dict[str, Any] = panel, asked: set[str] = asked) -> Any:
            found = live.frames(name, panel)
            real = {line.ref for line in found if any(value == value for _, value in line.points)}
            return found if real == asked else None

        assert not asked or await until(answered), f"{panel['title']}: a query finds nothing"


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


@pytest.mark.asyncio(loop_scope="module")
async def test_every_graph_comes_to_what_the_weeks_say(live: Live) -> None:
    drawn = {
        (name, panel["title"]): panel
        for name in BOARDS
        for panel in panels(BOARD[name])
        if panel["type"] in ("timeseries", "state-timeline", "bargauge")
        and (name, panel["title"]) != ("operations", "Requests of the last samples, by outcome")
    }
    assert drawn.keys() == LAST.keys()
    for (name, title), panel in drawn.items():
        wanted = pytest.approx(LAST[name, title], rel=NEAR, abs=2 if title == "Lag" else 0.01)
        seen: dict[str, float] = {}

        def arrived(
            name: str = name, title: str = title, panel: Any = panel, wanted: Any = wanted, seen: Any = seen
        ) -> bool:
            seen.clear()
            seen.update({line.name: line.points[-1][1] for line in live.frames(name, panel)})
            return bool(seen == wanted)

        await until(arrived)
        assert seen == wanted, title


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
    found = await asyncio.to_thread(rows, live, "fleet", "Targets, most urgent first")
    needs = [(row["Target"], row["Needs"]) for row in found]
    assert needs[:3] == [("support-bot", "page"), ("extractor", "unmeasured"), ("translator", "not armed")]
    assert needs[3:5] == [("classifier", "model retires"), ("tagger", "budget spent")]
    assert found[0]["Worst signal"] in ("adapter_loss", "base_match", "negative_flips"), "a page before a ticket"
    assert float(found[0]["Of threshold"].removesuffix("%")) >= 100
    assert needs[5:] == [("summariser", "quiet")]
    raised = await asyncio.to_thread(rows, live, "fleet", "Open alarms")
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
    assert all(row["Raised, ago"] in ("1.4 days", "1.5 days") for row in raised)


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
