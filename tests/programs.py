"""Other people's programs, run for real; what needs a missing one is skipped by its name."""

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

import pytest

ENVIRON: Final = {**os.environ, "GOGC": "800"}
"""promtool and amtool live for seconds: collecting their garbage is a fifth of that."""


def run(program: str, *args: str, cwd: Path) -> str:
    """What it printed; fails with that where it does not end well."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([found, *args], cwd=cwd, env=ENVIRON, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def free_port() -> int:
    """A port of the loopback that nobody listened on a moment ago, for a program that has to be told one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
