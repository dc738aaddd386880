"""The whole way: a real fine-tune is lost, and a webhook hears of it through Prometheus and Alertmanager."""

import json
from pathlib import Path

from monitor.lab.process import LabServer
from tests.acceptance.house import (
    SUITE,
    TARGET,
    Daemon,
    Webhook,
    cliffwatch,
    get,
    prometheus_and_alertmanager,
    wait_for,
    write_config,
)

LOST = "CliffwatchFineTuneLost"
DAYS = 10
"""Of the baseline: a week arms pages, and a busy machine may miss a day."""


def test_a_lost_fine_tune_reaches_the_webhook_and_its_return_resolves_it(tmp_path: Path, lab_server: LabServer) -> None:
    config = write_config(tmp_path, lab_server.url, day_seconds=8)
    assert "unarmed" in cliffwatch("status", config=config)
    with Webhook() as hook, Daemon(config) as daemon:
        daemon.wait_ready()
        arm(config)
        scraped = daemon.url.removeprefix("http://")
        with prometheus_and_alertmanager(tmp_path, scraped, hook.url):
            finished_runs(daemon, 4)
            named = {a["labels"]["alertname"] for a in hook.received}
            assert named <= {"CliffwatchWatchdog"}, f"healthy, and yet: {hook.received}"

            with lab_server.fault("adapter-dropped"):
                alert = wait_for("the page", lambda: next(iter(hook.alerts(LOST, "firing")), None), 90)
                assert (
                    alert["labels"] | {"target": TARGET, "signal": "adapter_loss", "severity": "page"}
                    == alert["labels"]
                )
                evidence = get(alert["annotations"]["evidence_url"])
                assert TARGET in evidence
                listed = json.loads(cliffwatch("alarms", TARGET, "--json", config=config, expect=1))
                (page,) = [one for one in listed if one["signal"] == "adapter_loss"]
                assert (page["state"], page["note"]) == ("confirmed", "A fresh sample, asked at once, agrees.")
                shown = cliffwatch(
                    "findings", TARGET, "--signal", "adapter_loss", "--alarming", "--limit", "1", config=config
                )
                assert "baseline" in shown
                cliffwatch("status", config=config, expect=1)
            wait_for("the page to be resolved", lambda: next(iter(hook.alerts(LOST, "resolved")), None), 120)
    rebuilt = json.loads(cliffwatch("findings", "--recompute", "--json", config=config))
    assert (rebuilt["differences"], rebuilt["equal"]) == ([], rebuilt["findings"])
    assert rebuilt["alarms_equal"] == rebuilt["alarms"] >= 1


def arm(config: Path) -> None:
    """Have the daemon capture a baseline over days of its clock, and approve it."""
    cliffwatch("baseline", "capture", TARGET, "--days", str(DAYS), config=config)

    def captured() -> bool:
        (found,) = json.loads(cliffwatch("baseline", "show", TARGET, "--json", config=config))
        return bool(found["status"] == "captured")

    wait_for("the baseline to be captured", captured, 240)
    (found,) = json.loads(cliffwatch("baseline", "show", TARGET, "--json", config=config))
    assert found["days"] >= 7, "this machine is too busy for days of 8 seconds"
    cliffwatch("baseline", "approve", TARGET, "--by", "acceptance", "--why", "the lab is healthy", config=config)


def finished_runs(daemon: Daemon, more: int) -> None:
    """Wait until ``more`` further runs have finished measured."""

    def measured() -> int:
        wanted = f'cliffwatch_runs_total{{outcome="measured",suite="{SUITE}",target="{TARGET}"}} '
        line = next((line for line in get(f"{daemon.url}/metrics").splitlines() if line.startswith(wanted)), "0")
        return int(float(line.rsplit(" ", 1)[-1]))

    goal = measured() + more
    wait_for(f"{more} more measured runs", lambda: measured() >= goal, 120)
