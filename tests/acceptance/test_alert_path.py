"""The whole way: real faults of a real fine-tune reach a webhook and a mailbox through Prometheus and Alertmanager."""

import asyncio
import contextlib
import json
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import yaml

from monitor.core.package_data import shipped
from monitor.core.records import Confirmation
from monitor.core.schedule import day_start
from monitor.detect.alarms import NOTES
from monitor.lab.process import LabServer
from monitor.runs.context import ensure_run, open_capture
from monitor.runs.execute import execute_run
from tests.acceptance.processes import (
    SUITE,
    TARGET,
    Daemon,
    MailServer,
    Webhook,
    cliffwatch,
    get,
    prometheus_and_alertmanager,
    shipped_routes,
    wait_for,
    write_config,
)
from tests.daemon import Clock, context_of

FINE_TUNE = {"adapter_loss", "base_match", "canaries"}
"""Whichever of them is confirmed first leads the page."""
RESTORE = r"at the last healthy evaluation, \d{4}-\d\d-\d\d \d\d:\d\d UTC\."
HOW_BAD = (
    r"\nHow bad: .*(of the fine-tune's effect( is left)?|are identical to the base's|canaries fail their checks)"
    r".* \(suite short\)\."
)
DAYS = 8
"""Of the baseline: a week arms pages."""
DAY_SECONDS = 7
PROBES = 12
"""Of the lab's suite: enough for a page at the first look, and few enough for a day of seconds."""


def test_each_severity_reaches_its_people_by_webhook_and_mail_and_a_return_to_health_resolves_the_page(
    tmp_path: Path, lab_server: LabServer
) -> None:
    config = write_config(tmp_path, lab_server.url, day_seconds=DAY_SECONDS, suite=shorter_suite(tmp_path))
    arm(config)
    with Webhook() as hook, MailServer() as mail, Daemon(config) as daemon:
        daemon.wait_ready()
        routes = shipped_routes(hook.url, mail.address)
        with prometheus_and_alertmanager(tmp_path, daemon.url.removeprefix("http://"), routes):
            told = wait_for(
                "the dead man's switch", lambda: next(iter(hook.alerts("CliffwatchWatchdog", "firing")), None)
            )
            assert (told["receiver"], told["labels"]["severity"]) == ("deadman", "none")
            finished_runs(daemon, 1)
            assert {one["labels"]["alertname"] for one in hook.received} == {"CliffwatchWatchdog"}, "healthy, and yet"
            assert mail.received == []

            with lab_server.fault("other-fingerprint"):
                reached(hook, mail, "CliffwatchContractChanged", {"contract"}, "ticket", daemon.url)
            with lab_server.fault("adapter-dropped"):
                note = reached(hook, mail, "CliffwatchFineTuneLost", FINE_TUNE, "page", daemon.url)
                assert note["title"] == f"{TARGET} answers like its base model"
                assert re.search(HOW_BAD, note["description"]), note["description"]
                assert re.search(RESTORE, note["description"]), note["description"]
                confirmed(config)
            wait_for("the page to be resolved", lambda: first(hook, "CliffwatchFineTuneLost", "resolved"), 60)
            pages = {(one["status"], one["startsAt"]) for one in hook.received if one["receiver"] == "page"}
            assert {status for status, _ in pages} == {"firing", "resolved"}
            assert len(pages) == 2, "one event, one alert, whichever signals saw it"
            wait_for("the mail that says so", lambda: mail.about("[RESOLVED] support-bot answers like its base"), 30)
    rebuilt = json.loads(cliffwatch("findings", "--recompute", "--json", config=config))
    assert (rebuilt["differences"], rebuilt["equal"]) == ([], rebuilt["findings"])
    assert rebuilt["alarms_equal"] == rebuilt["alarms"] >= 2


def first(hook: Webhook, name: str, status: str) -> dict[str, Any] | None:
    return next(iter(hook.alerts(name, status)), None)


def reached(
    hook: Webhook, mail: MailServer, name: str, signals: Collection[str], severity: str, url: str
) -> dict[str, str]:
    """Wait until the alert is with its receiver, by webhook and as a mail that says all; its annotations."""

    def arrived() -> dict[str, Any] | None:
        return next((one for one in hook.alerts(name, "firing") if one["receiver"] == severity), None)

    alert = wait_for(f"{name} at the receiver {severity}", arrived, 60)
    assert alert["labels"] | {"target": TARGET, "severity": severity} == alert["labels"]
    note: dict[str, str] = alert["annotations"]
    assert note["evidence_url"] in {f"{url}/targets/{TARGET}/{signal}" for signal in signals}
    assert TARGET in get(note["evidence_url"])
    assert "Diagnosis" in get(note["runbook_url"])
    for words in (
        f"{TARGET} ",
        "\nWhat changed: ",
        "\nHow bad: ",
        "\nLikely at fault: ",
        " ago.\n",
        "to 1 that something changed",
        "\nDo first:",
    ):
        assert words in note["description"].replace(", just now.", ", 0m ago."), note["description"]
    assert since_of(note["description"]) in pages_since(f"{url}/targets/{TARGET}", signals)

    letter = wait_for("the mail", lambda: mail.about(f"[{severity.upper()}] {TARGET} "), 30)
    assert letter["To"] == f"{severity}@example.com"
    text, html = (letter.get_body(kind) for kind in (("plain",), ("html",)))
    assert text is not None
    assert html is not None
    for part in (text.get_content(), unescape(html.get_content())):
        for words in (
            note["title"],
            "Since:",
            "Do first:",
            f"/targets/{TARGET}/",
            "/runbooks/Cliffwatch",
            "/#/silences/new?filter=",
        ):
            assert words in part, part
    return note


def since_of(description: str) -> list[str]:
    """The hours and minutes that the alert says it began between, or was first seen at."""
    (line,) = re.findall(r"^Since: (.+ UTC)", description, re.MULTILINE)
    return re.findall(r"\b\d\d:\d\d\b", line)


def pages_since(target: str, signals: Collection[str]) -> list[list[str]]:
    """The same of each signal's page; it has seconds, too, where looks are close together."""
    found = []
    for signal in signals:
        with contextlib.suppress(HTTPError):
            told = re.search(r"(?:Began|First seen) ([^<,]+ UTC)", get(f"{target}/{signal}"))
            found += [re.findall(r"(?<![:\d])\d\d:\d\d", told[1])] if told else []
    return found


def confirmed(config: Path) -> None:
    """The commands say what the page says."""
    listed = json.loads(cliffwatch("alarms", TARGET, "--json", config=config, expect=1))
    (page,) = [one for one in listed if one["signal"] == "adapter_loss"]
    assert (page["state"], page["note"]) == ("confirmed", NOTES[Confirmation.FRESH_SAMPLE])
    finding = ("findings", TARGET, "--signal", "adapter_loss", "--alarming", "--limit", "1")
    assert "baseline" in cliffwatch(*finding, config=config)
    cliffwatch("status", config=config, expect=1)


def shorter_suite(folder: Path) -> str:
    """The name of a suite of the first ``PROBES`` probes of the lab's."""
    suite = yaml.safe_load((shipped("probes") / f"{SUITE}.yaml").read_text(encoding="utf-8"))
    suite |= {"name": "short", "probes": suite["probes"][:PROBES]}
    (folder / "probes").mkdir()
    (folder / "probes" / "short.yaml").write_text(yaml.safe_dump(suite))
    return "short"


def arm(config: Path, day_seconds: float = DAY_SECONDS) -> None:
    """A baseline of ``DAYS`` days of the lab's answers, approved. Real runs under a clock of the test's, which is moved
    from day to day: how long a run takes here does not matter."""

    async def captured() -> None:
        clock = Clock(datetime.now(UTC) - timedelta(seconds=(DAYS + 3) * day_seconds))
        async with context_of(config, clock) as context:
            slot = clock.at = day_start(context.settings.schedule, clock.at)
            end = slot + timedelta(seconds=DAYS * day_seconds)
            open_capture(context, TARGET, "short", slot, end, at_once=False)
            while slot < end:
                run = ensure_run(context, TARGET, "short", slot)
                while await execute_run(context, run.id) is None:
                    clock.forward(seconds=day_seconds / 10)
                slot = clock.at = slot + timedelta(seconds=day_seconds)
            context.store.close_due_baselines(clock.at)

    asyncio.run(captured())
    (found,) = json.loads(cliffwatch("baseline", "show", TARGET, "--json", config=config))
    assert (found["status"], found["days"]) == ("captured", DAYS)
    cliffwatch("baseline", "approve", TARGET, "--by", "acceptance", "--why", "the lab is healthy", config=config)


def finished_runs(daemon: Daemon, more: int) -> None:
    """Wait until ``more`` further runs have finished measured."""

    def measured() -> int:
        lines = [
            line for line in get(f"{daemon.url}/metrics").splitlines() if line.startswith("cliffwatch_runs_total{")
        ]
        return sum(int(float(line.rsplit(" ", 1)[-1])) for line in lines if 'outcome="measured"' in line)

    goal = measured() + more
    wait_for(f"{more} more measured runs", lambda: measured() >= goal, 60)
