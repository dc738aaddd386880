"""``alerts export`` and ``dashboards export``: what a Prometheus, Alertmanager and Grafana elsewhere load."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from monitor.cli.export_files import export
from monitor.core.errors import UsageError
from monitor.core.package_data import shipped
from tests import programs


def cliffwatch(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_alerts_that_are_handed_out_are_accepted_by_promtool_and_amtool(tmp_path: Path) -> None:
    done = cliffwatch("alerts", "export", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"rule_files: [{tmp_path}/out/rules.yaml]" in done.stdout
    programs.run("promtool", "check", "rules", "--lint-fatal", "rules.yaml", cwd=tmp_path / "out")
    programs.run("promtool", "check", "config", "--lint-fatal", "prometheus.yml", cwd=tmp_path / "out")
    assert "1 templates" in programs.run("amtool", "check-config", "alertmanager.yml", cwd=tmp_path / "out")
    given = {path.name for path in (tmp_path / "out" / "runbooks").iterdir()}
    assert given == {path.name for path in (shipped("alerts") / "runbooks").iterdir()}
    assert not list((tmp_path / "out").glob("*_test.yaml")), "our tests are ours"


def test_the_dashboards_that_are_handed_out_are_those_of_this_version(tmp_path: Path) -> None:
    done = cliffwatch("dashboards", "export", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Import" in done.stdout
    given = {path.name: json.loads(path.read_text(encoding="utf-8"))["title"] for path in tmp_path.glob("*.json")}
    assert given.keys() == {path.name for path in shipped("dashboards").glob("*.json")}
    assert all(given.values())


def test_what_was_changed_by_hand_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    first = export("alerts", tmp_path)
    assert not first.same
    mine = tmp_path / "alertmanager.yml"
    mine.write_text("mine")
    (tmp_path / "rules.yaml").unlink()
    refused = cliffwatch("alerts", "export", str(tmp_path))
    assert refused.returncode == 2
    assert f"{mine}: exists with different content" in refused.stderr
    assert "--force" in refused.stderr
    assert not (tmp_path / "rules.yaml").exists(), "all or nothing"
    assert mine.read_text() == "mine"

    again = export("alerts", tmp_path, force=True)
    assert {str(name) for name in again.written} == {"alertmanager.yml", "rules.yaml"}
    assert len(again.same) == len(first.written) - 2
    assert export("alerts", tmp_path).written == ()


def test_the_rules_link_to_runbooks_in_a_place_of_yours(tmp_path: Path) -> None:
    export("alerts", tmp_path, runbooks="https://wiki.example.com/{alert}.md")
    programs.run("promtool", "check", "rules", "--lint-fatal", "rules.yaml", cwd=tmp_path)
    handed, ours = (
        [rule for group in yaml.safe_load((folder / "rules.yaml").read_text(encoding="utf-8"))["groups"]
         for rule in group["rules"] if "alert" in rule]
        for folder in (tmp_path, shipped("alerts"))
    )  # fmt: skip
    for rule, before in zip(handed, ours, strict=True):
        assert rule["annotations"].pop("runbook_url") == f"https://wiki.example.com/{rule['alert']}.md"
        before["annotations"].pop("runbook_url")
        assert rule == before


@pytest.mark.parametrize("address", ["wiki/{alert}", "https://wiki.example.com/", "https://x/{alert}'"])
def test_an_address_of_runbooks_that_leads_nowhere_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be an http"):
        export("alerts", tmp_path / "out", runbooks=address)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = cliffwatch("dashboards", "export", str(tmp_path / "file"))
    assert refused.returncode == 2
    assert f"{tmp_path}/file" in refused.stderr
    assert "cannot be written" in refused.stderr
