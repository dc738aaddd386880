"""The dashboard: what is committed is what the builder writes, and every query finds data in a real Prometheus."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitor.export import Internals
from monitor.records import Arm
from monitor.store import open_store
from monitor.web import create_app
from monitor.web.server import Server
from tests import fleet

ROOT = Path(__file__).parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "dashboards" / "overview.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {
    "$__rate_interval": "15s",
    "$job": "cliffwatch",
    "$instance": ".+",
    "$target": "support-bot|summariser|extractor",
}

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs: [{{job_name: cliffwatch, static_configs: [{{targets: ["{address}"]}}]}}]
"""


def test_the_committed_dashboard_is_current() -> None:
    pytest.importorskip("grafana_foundation_sdk.cog", reason="grafana-foundation-sdk is not installed")
    builder = [sys.executable, str(ROOT / "dashboards" / "build.py"), "--check"]
    assert subprocess.run(builder, check=False).returncode == 0, "run: python dashboards/build.py"


def test_every_panel_has_what_grafana_and_a_reader_need() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert x < 24
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_rates_use_the_interval_that_follows_the_scrape() -> None:
    for expr in expressions():
        assert not re.search(r"\b(rate|increase)\(.*\[\d", expr), expr
        assert 'job=~"$job"' in expr


def test_named_runbooks_exist_and_are_linked() -> None:
    for panel in PANELS:
        for name in re.findall(r"Runbook: (\w+)", panel["description"]):
            assert (ROOT / "alerts" / "runbooks" / f"{name}.md").exists()
            assert f"/runbooks/{name}" in json.dumps(panel["links"])


def test_every_alert_has_a_panel_that_shows_why() -> None:
    named = {name for panel in PANELS for name in re.findall(r"Runbook: (\w+)", panel["description"])}
    alerts = {path.stem for path in (ROOT / "alerts" / "runbooks").iterdir()}
    assert named == alerts - {"CliffwatchWatchdog"}


def expressions() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


@pytest.fixture
async def prometheus(fleet_file: Path, tmp_path: Path) -> AsyncIterator[str]:
    """A Prometheus that scrapes, every second, a real exporter whose internals move."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed")
    store, internals, settings = open_store(f"sqlite:///{fleet_file}"), Internals(), fleet.settings()
    internals.reloaded(ok=True, at=datetime.now(UTC))

    async def reload() -> None:
        return None

    app = create_app(store, lambda: settings, internals, lambda: {"ok": True, "last_tick_age_seconds": 0.0}, reload)
    server = Server(app, "127.0.0.1", 0)
    address = f"127.0.0.1:{await server.start()}"
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(rules=ROOT / "alerts" / "rules.yaml", address=address), encoding="utf-8")
    port = free_port()
    process = subprocess.Popen(
        [program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    moving = asyncio.create_task(move(internals))
    yield f"http://127.0.0.1:{port}"
    moving.cancel()
    process.terminate()
    await asyncio.to_thread(process.wait, 20)
    await server.stop()
    store.close()


async def move(internals: Internals) -> None:
    while True:
        internals.ticked(datetime.now(UTC))
        internals.observe_call("support-bot", Arm.SUBJECT, "vllm", "answer", 0.3)
        await asyncio.sleep(0.3)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def substituted(expr: str) -> str:
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return expr


def ask(url: str, expr: str) -> list[Any]:
    query = urllib.parse.urlencode({"query": expr})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as reply:
        return list(json.load(reply)["data"]["result"])


async def found(url: str, expr: str) -> list[Any]:
    """The query's result, waited for: Prometheus needs a few scrapes before there is a rate."""
    result: list[Any] = []
    for _ in range(120):
        try:
            result = await asyncio.to_thread(ask, url, expr)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
        except (urllib.error.URLError, ConnectionError):
            pass  # not listening yet
        if result and all(one["value"][1] != "NaN" for one in result):
            return result
        await asyncio.sleep(0.25)
    return result


def firing() -> Iterator[str]:
    for annotation in DASHBOARD["annotations"]["list"]:
        if "ALERTS" in annotation.get("expr", ""):
            yield annotation["expr"]


async def test_every_query_finds_data(prometheus: str) -> None:
    for expr in [*expressions(), *firing()]:
        assert "$" not in substituted(expr)
        assert await found(prometheus, substituted(expr)), expr
    numbers = {
        panel["title"]: (await found(prometheus, substituted(panel["targets"][0]["expr"])))[0]["value"][1]
        for panel in PANELS
        if panel["type"] == "stat"
    }
    del numbers["Last tick"]
    assert numbers == {
        "Targets": "3", "Pages raised": "1", "Tickets raised": "1", "Not armed": "1", "Unmeasured, worst": "0.5"
    }  # fmt: skip
    raised = await found(prometheus, 'ALERTS{alertname="CliffwatchFineTuneLost", alertstate="firing"}')
    assert [one["metric"]["target"] for one in raised] == ["support-bot"]
