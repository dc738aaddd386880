"""The source ``phoenix`` on spans that the OpenTelemetry SDK writes to a real Phoenix server.

Server and SDK run in an environment of their own, or in the folder ``PHOENIX_VENV``.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason
from monitor.core.sources import PhoenixSource
from monitor.sample import phoenix
from monitor.sample.json_api import Limits
from monitor.sample.request_log import Logged, Tally, Window
from tests.acceptance.processes import get, wait_for
from tests.programs import free_port

pytestmark = pytest.mark.servers

SPANS: Final = 1200
"""More than the 1,000 that the API gives at once."""

WRITER: Final = """
import json
import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(resource=Resource.create({"openinference.project.name": "support bot"}))
exporter = OTLPSpanExporter(sys.argv[1] + "/v1/traces")
provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=10_000))
tracer = provider.get_tracer("writer")
MESSAGE = "llm.input_messages.{}.message."
for number in range(int(sys.argv[2])):
    text = f"Question {number}?"
    with tracer.start_as_current_span("chain") as chain:
        chain.set_attributes({"openinference.span.kind": "CHAIN", "input.value": "not the request"})
        with tracer.start_as_current_span("ChatCompletion") as span:
            span.set_attribute("openinference.span.kind", "LLM")
            if number % 3 == 0:
                body = {"messages": [{"role": "user", "content": text}]}
                span.set_attributes({"input.value": json.dumps(body), "input.mime_type": "application/json"})
            elif number % 3 == 1:
                for place, role, said in ((0, "system", "Be brief."), (1, "user", text)):
                    begin = MESSAGE.format(place)
                    span.set_attributes({begin + "role": role, begin + "content": said})
                if number == 1:
                    span.set_attribute("llm.tools.0.tool.json_schema", json.dumps({"type": "function"}))
            else:
                begin = MESSAGE.format(0)
                block = begin + "contents.0.message_content."
                span.set_attributes({begin + "role": "user", block + "type": "text", block + "text": text})
provider.shutdown()
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment with ``arize-phoenix``."""
    if given := os.environ.get("PHOENIX_VENV"):
        return Path(given) / "bin"
    folder = tmp_path_factory.mktemp("phoenix") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [str(folder / "bin/pip"), "install", "-q", "arize-phoenix>=20", "opentelemetry-exporter-otlp-proto-http"]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"arize-phoenix cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
    return folder / "bin"


def read(url: str, window: Window, tally: Tally, limits: Limits | None = None, project: str = "x") -> list[Logged]:
    source = PhoenixSource(kind="phoenix", base_url=url, project=project)
    return list(phoenix.read(source, "name", window, tally, limits))


@pytest.fixture(scope="module")
def server(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("phoenix-server"), free_port()
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ |= {
        "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_TELEMETRY_ENABLED": "false",
    }  # fmt: skip
    with (folder / "log").open("wb") as log, subprocess.Popen(
        [programs / "phoenix", "serve"], cwd=folder, stdout=log, stderr=log, env=environ
    ) as process:  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for("phoenix", lambda: get(f"{url}/healthz"), seconds=120)
            writer = [str(programs / "python"), "-c", WRITER, url, str(SPANS)]
            subprocess.run(writer, cwd=folder, check=True, env=environ, capture_output=True)
            wait_for("the spans", lambda: _lines(url) >= SPANS, seconds=300)
            yield url
        finally:
            process.terminate()


def _lines(url: str) -> int:
    tally = Tally()
    time.sleep(1)  # the server writes spans in batches, and reading all of them takes its time
    try:
        read(url, Window(None, None), tally, project="support bot")
    except CouldNotMeasure:
        return 0  # the project appears with its first span
    return tally.account([]).lines


@pytest.mark.parametrize("limits", [Limits(), Limits(page_bytes=20_000)])
def test_every_llm_span_is_read_once(server: str, limits: Limits) -> None:
    now = datetime.now(UTC)
    tally = Tally()
    found = read(server, Window(now - timedelta(hours=1), now, now), tally, limits, "support bot")
    expected = sorted(f"Question {number}?" for number in range(SPANS) if number != 1)
    assert sorted(one.messages[-1].content for one in found) == expected
    assert {one.stratum for one in found} == {"ChatCompletion"}
    assert {one.reason: one.count for one in tally.account([]).reasons} == {LeftOutReason.TOOLS_OFFERED: 1}


def test_a_window_before_the_spans_is_empty_and_an_unknown_project_is_told(server: str) -> None:
    now = datetime.now(UTC)
    assert (
        read(server, Window(now - timedelta(days=9), now - timedelta(days=8), now), Tally(), None, "support bot") == []
    )
    with pytest.raises(CouldNotMeasure, match=r"HTTP 404, .*gone.*; check `project` and `base_url`"):
        read(server, Window(None, None), Tally(), None, "gone")
