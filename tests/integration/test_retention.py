"""The retention in a daemon, and what pages, commands and metrics show of it."""

import asyncio
import json
import urllib.request
from datetime import timedelta
from pathlib import Path

from typer.testing import CliRunner

from monitor.cli import app
from monitor.core.records import DataKind
from monitor.core.texts import deleted_text
from monitor.daemon.actions import Actions
from monitor.daemon.jobs.retention import Retention
from monitor.report import retention
from monitor.report.metrics.names import PREFIX
from tests import fleet
from tests.daemon import AFTER, HEALTHY, Clock, context_of, one_day, write
from tests.site import Site

SHORT = {"retention": {"texts": 1, "exchanges": 1, "embeddings": 1, "scores": None, "findings": None}}


async def test_the_daemon_deletes_what_is_beyond_its_days(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    path = write(armed_folder, HEALTHY, **SHORT)
    async with context_of(path, clock) as context:
        await one_day(context, clock)
        (approved,) = context.store.baselines("bot")
        mine = context.store.runs("bot", limit=1)[0].id
        clock.forward(days=2)
        job = Retention(pause=0.0)
        job.begin(context, clock.at)
        while retention.read(context.store) is None:
            await asyncio.sleep(0.01)
        await job.end()
        assert {one.kind for one in context.store.deletions([mine])} == {
            DataKind.TEXTS, DataKind.EXCHANGES, DataKind.EMBEDDINGS,
        }  # fmt: skip
        of_baseline = {one.kind for one in context.store.deletions(approved.run_ids)}
        assert of_baseline == {DataKind.EXCHANGES}, "verdicts need the rest of it"
        clock.forward(days=1)
        assert await one_day(context, clock), "later runs are compared as before"
    told = CliRunner().invoke(app, ["status", "--config", str(path), "--json"])
    kept = {"kind": "texts", "reason": "approved_baseline", "runs": len(approved.run_ids)}
    assert kept in json.loads(told.stdout)["kept"]
    told = CliRunner().invoke(app, ["findings", "--config", str(path), "--recompute"])
    assert "cannot be recomputed" in told.output


def get(site: Site, path: str) -> str:
    with urllib.request.urlopen(site.url + path, timeout=30) as reply:
        told: str = reply.read().decode()
        return told


def test_a_finding_without_its_texts_is_shown_without_them(fleet_file: Path) -> None:
    with Site(fleet_file) as site:
        store = site.store
        raised = site.open_alarm()
        Actions(lambda: site.context).clear(raised.id or 0, "kim", "over")
        (run_id,) = {one.run_id for one in store.latest_findings("support-bot") if one.signal == "adapter_loss"}
        for alarm in store.open_alarms("support-bot"):
            Actions(lambda: site.context).clear(alarm.id or 0, "kim", "over")
        for kind in (DataKind.TEXTS, DataKind.EXCHANGES):
            while not store.delete_old(kind, run_id, 7, fleet.NOW + timedelta(days=9)):
                pass
        finding = f"/findings/{run_id}/adapter_loss"
        asked = f"/runs/{run_id}/exchange?arm=subject&probe=probe-0"
        for path in (finding, f"{finding}?show=all", f"/runs/{run_id}", asked, f"/api/v1{asked}"):
            assert deleted_text(7) in get(site, path)
        assert json.loads(get(site, f"/api/v1{finding}"))["exhibits"] == []
        retention.say(store, fleet.NOW, store.kept_runs(DataKind.TEXTS, fleet.NOW + timedelta(days=1)))
        assert f'{PREFIX}retention_kept_runs{{kind="texts",reason="approved_baseline"}}' in get(site, "/metrics")
