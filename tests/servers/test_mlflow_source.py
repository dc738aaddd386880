"""The source ``mlflow`` on traces that MLflow's own client writes to a real MLflow server.

Server and client run in an environment of their own, or in the folder ``MLFLOW_VENV``.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from monitor.core.errors import CouldNotMeasure
from monitor.core.sources import MlflowSource
from monitor.sample import mlflow
from monitor.sample.json_api import Limits
from monitor.sample.request_log import Logged, Tally, Window
from tests.acceptance.processes import get, wait_for
from tests.programs import free_port

pytestmark = pytest.mark.servers

TRACES: Final = 230
LONG: Final = "very " * 400

WRITER: Final = """
import sys

import mlflow
from mlflow.entities import SpanType

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("support bot")
for number in range(int(sys.argv[2])):
    with mlflow.start_span("chain", span_type=SpanType.CHAIN) as chain:
        chain.set_inputs({"question": f"not the request {number}"})
        with mlflow.start_span("Completions", span_type=SpanType.CHAT_MODEL) as span:
            asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": sys.argv[3] + str(number)}]
            span.set_inputs({"model": "m", "temperature": 0.2, "messages": asked})
            span.set_outputs({"choices": [{"message": {"role": "assistant", "content": "A"}}]})
mlflow.flush_trace_async_logging()
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment with ``mlflow``."""
    if given := os.environ.get("MLFLOW_VENV"):
        return Path(given) / "bin"
    folder = tmp_path_factory.mktemp("mlflow") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [str(folder / "bin/pip"), "install", "-q", "mlflow>=3.17,<4"]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"mlflow cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
    return folder / "bin"


@pytest.fixture(scope="module")
def server(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("mlflow-server"), free_port()
    command = [str(programs / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (folder / "log").open("wb") as log, subprocess.Popen(
        [*command, "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"], cwd=folder, stdout=log, stderr=log,
        env=environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    ) as process:  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for("mlflow", lambda: get(f"{url}/health"), seconds=120)
            writer = [str(programs / "python"), "-c", WRITER, url, str(TRACES), f"Question {LONG}"]
            subprocess.run(writer, cwd=folder, check=True, env=environ, capture_output=True)
            yield url
        finally:
            process.terminate()


def read(url: str, experiment: str, window: Window, tally: Tally, limits: Limits | None = None) -> list[Logged]:
    source = MlflowSource(kind="mlflow", base_url=url, experiments=[experiment])
    return list(mlflow.read(source, "inputs.model", window, tally, limits))


def test_every_trace_is_read_once_with_its_whole_request(server: str) -> None:
    now = datetime.now(UTC)
    tally = Tally()
    found = read(server, "support bot", Window(now - timedelta(hours=1), now, now), tally)
    expected = sorted(f"Question {LONG}{number}" for number in range(TRACES))
    assert sorted(one.messages[-1].content for one in found) == expected
    assert {(one.stratum, one.messages[0].content) for one in found} == {("m", "Be brief.")}
    assert (tally.read, tally.malformed) == (TRACES, 0)


def test_windows_that_follow_each_other_read_each_trace_once(server: str) -> None:
    now = datetime.now(UTC)
    step, begin = timedelta(seconds=3), now - timedelta(minutes=10)
    windows = [Window(begin + step * number, begin + step * (number + 1), now) for number in range(200)]
    found = [one.messages[-1].content for window in windows for one in read(server, "1", window, Tally())]
    assert len(found) == len(set(found))
    assert set(found) <= {f"Question {LONG}{number}" for number in range(TRACES)}


def test_small_pages_read_the_same(server: str) -> None:
    found = read(server, "support bot", Window(None, None), Tally(), Limits(page_bytes=60_000))
    assert len({one.messages[-1].content for one in found}) == len(found) == TRACES


def test_an_unknown_experiment_is_told(server: str) -> None:
    with pytest.raises(CouldNotMeasure, match=r'HTTP 404, "Could not find experiment .*check `experiments`'):
        read(server, "gone", Window(None, None), Tally())
