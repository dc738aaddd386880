"""Production inputs out of S3 as moto's server speaks it, in an environment of its own."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import fs
from pyarrow import parquet as pq

from monitor.core.errors import CouldNotMeasure
from monitor.core.sources import CsvSource, JsonlSource, ParquetSource
from monitor.sample import reader
from monitor.sample.request_log import Tally, Window
from tests.acceptance.processes import get, wait_for
from tests.programs import free_port

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("moto") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    installed = subprocess.run([folder / "bin/pip", "install", "-q", "moto[s3,server]"], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"moto cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
    port = free_port()
    with subprocess.Popen(
        [folder / "bin/moto_server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for("moto", lambda: get(f"{url}/moto-api/"))
            yield url
        finally:
            server.terminate()


@pytest.fixture
def store(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    files = fs.S3FileSystem(endpoint_override=moto, region="us-east-1", allow_bucket_creation=True)
    files.create_dir("logs")
    return files


def read(source: Any) -> list[str]:
    found = reader(source)(source, None, Window(None, None), Tally())
    return sorted(one.messages[-1].content for one in found)


def put(store: Any, key: str, content: bytes) -> None:
    with store.open_output_stream(f"logs/{key}", compression=None) as stream:
        stream.write(content)


def test_logs_of_each_kind_in_s3(store: Any, tmp_path: Path) -> None:
    lines = [json.dumps({"messages": [{"role": "user", "content": f"question {n}"}]}) + "\n" for n in range(2500)]
    for n in range(1100):  # more than one page of a listing
        put(store, f"many/{n:04}.jsonl", lines[n].encode())
    put(store, "one/x.jsonl.1.gz", gzip.compress("".join(lines[1100:]).encode()))
    assert len(read(JsonlSource(kind="jsonl", path="s3://logs/*/*.jsonl"))) == 2500
    pq.write_table(pa.table({"prompt": ["out of parquet"]}), tmp_path / "a.parquet")
    put(store, "a.parquet", (tmp_path / "a.parquet").read_bytes())
    put(store, "a.csv", b"prompt\nout of csv\n")
    assert read(ParquetSource(kind="parquet", path="s3://logs/*.parquet")) == ["out of parquet"]
    assert read(CsvSource(kind="csv", path="s3://logs/a.csv")) == ["out of csv"]


def test_a_missing_bucket(store: Any) -> None:
    with pytest.raises(CouldNotMeasure, match="bucket elsewhere not found"):
        read(JsonlSource(kind="jsonl", path="s3://elsewhere/*.jsonl"))
