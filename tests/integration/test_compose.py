"""docker-compose.yml and every file that it mounts, as far as they can be checked without an engine."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor import config
from tests import programs

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"cliffwatch", "lab"}


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def run(program: str, *args: str, cwd: Path = ROOT) -> str:
    return programs.run(program, *args, cwd=cwd)


def test_docker_composes_own_schema_accepts_the_file(tmp_path: Path) -> None:
    run("docker-compose", "-f", "docker-compose.yml", "config", "--quiet")
    broken = (ROOT / "docker-compose.yml").read_text(encoding="utf-8").replace("healthcheck:", "helthcheck:", 1)
    (tmp_path / "docker-compose.yml").write_text(broken)
    with pytest.raises(AssertionError, match="helthcheck"):
        run("docker-compose", "-f", str(tmp_path / "docker-compose.yml"), "config", "--quiet")


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service["user"].startswith(("0", "root")), "no service runs as root"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), "nothing is open to the network"


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - OURS))
def test_images_are_pinned_to_a_release(name: str) -> None:
    assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_and_waited_for_is_there(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists()
            assert mount.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        assert wanted["condition"] == "service_healthy"
        assert SERVICES[other]["healthcheck"]


def test_secrets_are_named_and_never_committed() -> None:
    assert SERVICES["cliffwatch"]["env_file"] == ["${CLIFFWATCH_ENV:-deploy/cliffwatch.env.example}"]
    example = (ROOT / "deploy" / "cliffwatch.env.example").read_text(encoding="utf-8")
    assert all(line.startswith("#") or line.endswith("=") for line in example.splitlines())
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "deploy/*.env" in ignored


def test_our_config_is_accepted() -> None:
    settings = config.load(ROOT / "deploy" / "cliffwatch.yaml")
    assert f"127.0.0.1:{settings.http.port}:{settings.http.port}" in SERVICES["cliffwatch"]["ports"]
    base_url = settings.providers["lab"].server
    assert base_url.startswith("http://lab:")
    assert settings.store.startswith("sqlite:////var/lib/cliffwatch/")


def test_promtool_accepts_the_mounted_scrape_config(tmp_path: Path) -> None:
    """Debian's Prometheus 2.42 reads it as Prometheus 3 does."""
    text = (ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8")
    mounted = tmp_path / "prometheus.yml"
    mounted.write_text(
        text.replace("/etc/prometheus/rules.yaml", str(ROOT / "alerts" / "rules.yaml")), encoding="utf-8"
    )
    assert "SUCCESS" in run("promtool", "check", "config", "--lint-fatal", str(mounted))
    jobs = {job["job_name"]: job["static_configs"][0] for job in load("deploy/prometheus.yml")["scrape_configs"]}
    assert jobs == {"cliffwatch": {"targets": ["cliffwatch:9464"], "labels": {"instance": "localhost:9464"}}}


def test_amtool_accepts_the_mounted_routes_which_are_the_shipped_ones() -> None:
    assert "3 receivers" in run("amtool", "check-config", "deploy/alertmanager.yml")
    mounted, shipped = load("deploy/alertmanager.yml"), load("alerts/alertmanager.yml")
    for part in ("route", "inhibit_rules"):
        assert mounted[part] == shipped[part]


async def test_prometheus_and_alertmanager_start_on_the_mounted_files(tmp_path: Path) -> None:
    for program, args, ready in (
        ("prometheus", [f"--config.file={ROOT}/alerts/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"],
         "ready to receive web requests"),
        ("prometheus-alertmanager", [f"--config.file={ROOT}/deploy/alertmanager.yml", f"--storage.path={tmp_path}/am",
                                     "--cluster.listen-address="], "Completed loading of configuration file"),
    ):  # fmt: skip
        found = shutil.which(program)
        if found is None:
            pytest.skip(f"{program} is not installed")
        process = await asyncio.create_subprocess_exec(
            found, *args, "--web.listen-address=127.0.0.1:0",
            stdout=subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert await asyncio.wait_for(said(process, ready), 60)
        finally:
            process.terminate()
            await process.communicate()


async def said(process: asyncio.subprocess.Process, words: str) -> bool:
    assert process.stderr is not None
    async for line in process.stderr:
        if words in line.decode():
            return True
    return False


def test_grafana_is_given_its_data_source_and_dashboards() -> None:
    [source] = load("deploy/grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert source["jsonData"]["timeInterval"] == load("deploy/prometheus.yml")["global"]["scrape_interval"]
    [provider] = load("deploy/grafana/provisioning/dashboards/cliffwatch.yaml")["providers"]
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    assert mounts["./dashboards"] == provider["options"]["path"]


def test_the_image_pins_torch_where_the_constraints_do() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^torch==\d+\.\d+\.\d+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert "\"torch==$(sed -n 's/^torch==//p' constraints.txt)\"" in text
    assert "ca-certificates" in text
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert all(re.search(r":3\.1[12]-slim", line) for line in text.splitlines() if line.startswith("FROM "))
