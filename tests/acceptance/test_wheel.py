"""What ``pip install cliffwatch`` gives: a wheel, unpacked in an empty folder, runs the demo without a checkout."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_a_built_wheel_runs_the_demo_in_an_empty_folder(tmp_path: Path) -> None:
    built, site, empty = tmp_path / "built", tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    # The dependencies are those of this environment; only Cliffwatch itself comes from the wheel.
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(built), str(REPOSITORY)]
    subprocess.run(build, check=True, timeout=120)
    (wheel,) = built.glob("cliffwatch-*.whl")
    subprocess.run([*pip, "install", "-q", "--no-deps", "--target", str(site), str(wheel)], check=True, timeout=120)

    # -S -I would hide the environment's own packages too, so the wheel simply comes first on the path.
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    where = [sys.executable, "-c", "import monitor; print(monitor.__file__)"]
    found = subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(site)), "the checkout was imported, not the wheel"

    demo = [sys.executable, "-m", "monitor", "demo", "--folder", str(empty)]
    done = subprocess.run(demo, cwd=empty, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{_log(empty)}"
    assert "0 alarms" in done.stdout
    assert "adapter_loss" in done.stdout
    assert "detected and confirmed" in done.stdout
    leftovers = {path.name for path in empty.iterdir()}
    assert leftovers <= {"cliffwatch.yaml", "cliffwatch.db", "cliffwatch.db-wal", "cliffwatch.db-shm", "daemon.log"}


def _log(folder: Path) -> str:
    log = folder / "daemon.log"
    return log.read_text()[-3000:] if log.exists() else "no daemon log"
