"""Production inputs out of an object store, through pyarrow and a server on the loopback."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet as pq
from structlog.testing import capture_logs

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import UnreadReason
from monitor.core.sources import CsvSource, JsonlSource, ParquetSource
from monitor.sample import reader
from monitor.sample.request_log import Tally, Window
from tests.programs import free_port
from tests.s3_server import NOW, Bucket, s3_server

OPEN = Window(None, None)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    bucket = Bucket()
    with s3_server(bucket) as url:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "AKIAPLANTED", "AWS_SECRET_ACCESS_KEY": "planted-secret", "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield bucket


def line(text: str, **more: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}], **more}).encode() + b"\n"


def read(source: Any, window: Window = OPEN, tally: Tally | None = None) -> list[str]:
    found = reader(source)(source, None, window, tally or Tally())
    return sorted(one.messages[-1].content for one in found)


def jsonl(path: str, **more: Any) -> JsonlSource:
    return JsonlSource(kind="jsonl", path=path, **more)


def test_rotated_and_compressed_objects_in_folders(bucket: Bucket) -> None:
    bucket.objects = {
        "a/day=1/x.jsonl": line("one"),
        "a/day=1/x.jsonl.1.gz": gzip.compress(line("two")),
        "a/day=2/x.jsonl": line("three"),
        "a/day=2/x.jsonl.bak": line("no rotation"),
        "b/x.jsonl": line("another"),
    }
    tally = Tally()
    assert read(jsonl("s3://logs/a/*/x.jsonl"), tally=tally) == ["one", "three", "two"]
    assert [one.names for one in tally.account([]).unread] == [("s3://logs/a/day=2/x.jsonl.bak",)]
    assert read(jsonl("s3://logs/**/*.jsonl")) == ["another", "one", "three", "two"]
    assert read(jsonl("s3://logs/b/x.jsonl")) == ["another"]


def test_a_large_object_is_read_in_ranges(bucket: Bucket) -> None:
    many = b"".join(line(f"question {n} " + "x" * 1000) for n in range(12_000))
    bucket.objects = {"a.jsonl": many}
    assert len(read(jsonl("s3://logs/a.jsonl"))) == 12_000
    assert max(bucket.read["a.jsonl"]) <= 4 * 2**20
    assert sum(bucket.read["a.jsonl"]) == len(many)


def test_objects_of_before_the_window_are_not_read(bucket: Bucket) -> None:
    at = (NOW - timedelta(hours=1)).isoformat()
    bucket.objects = {"old.jsonl": line("old", at=at), "new.jsonl": line("new", at=at)}
    bucket.modified = {"old.jsonl": NOW - timedelta(days=8)}
    window = Window(NOW - timedelta(days=7), NOW)
    with capture_logs() as logs:
        assert read(jsonl("s3://logs/*.jsonl", time="at"), window) == ["new"]
    assert [(one["objects"], one["older_than_window"]) for one in logs] == [(2, 1)]
    assert "old.jsonl" not in bucket.read
    assert read(jsonl("s3://logs/*.jsonl"), window) == ["new", "old"]


def test_parquet_and_csv(bucket: Bucket, tmp_path: Path) -> None:
    table = pa.table(
        {
            "messages": [[{"role": "user", "content": f"question {n}"}] for n in range(1000)],
            "at": [datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(1000)],
            "embedding": [[float(n + k) for k in range(400)] for n in range(1000)],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100, use_dictionary=False, compression="none")
    bucket.objects = {"a.parquet": (tmp_path / "a.parquet").read_bytes(), "a.csv": b"prompt\nWhat is 2?\n"}
    window = Window(datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC))
    source = ParquetSource(kind="parquet", path="s3://logs/*.parquet", time="at")
    assert read(source, window) == sorted(f"question {n}" for n in range(24, 48))
    assert read(CsvSource(kind="csv", path="s3://logs/*.csv")) == ["What is 2?"]


def test_what_is_wrong_is_named_without_a_secret(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.objects = {"a.jsonl": line("one"), "b.jsonl": line("two")}
    with pytest.raises(CouldNotMeasure, match="bucket elsewhere not found"):
        read(jsonl("s3://elsewhere/*.jsonl"))
    with pytest.raises(CouldNotMeasure, match="no object matches s3://logs/c/"):
        read(jsonl("s3://logs/c/*.jsonl"))
    bucket.broken = {"b.jsonl"}
    tally = Tally()
    assert read(jsonl("s3://logs/*.jsonl"), tally=tally) == ["one"]
    (unread,) = tally.account([]).unread
    assert (unread.reason, unread.names) == (UnreadReason.NO_ACCESS, ("s3://logs/b.jsonl",))
    assert unread.detail.startswith("access denied; grant listing and reading")
    bucket.denied = True
    with pytest.raises(CouldNotMeasure, match="access denied") as denied:
        read(jsonl("s3://logs/*.jsonl"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(CouldNotMeasure, match="cannot be reached; check the network and AWS_ENDPOINT_URL") as away:
        read(jsonl("s3://logs/*.jsonl"))
    assert "planted" not in f"{denied.value}{away.value}".lower()


@pytest.mark.parametrize("path", ["s3://*/a.jsonl", "ftp://logs/a.jsonl", "s3:///a.jsonl"])
def test_a_url_that_names_no_bucket(path: str) -> None:
    with pytest.raises(CouldNotMeasure, match="use s3://BUCKET/PATH"):
        read(jsonl(path))


def test_azure_needs_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CouldNotMeasure, match="set AZURE_STORAGE_ACCOUNT_NAME"):
        read(jsonl("az://logs/a.jsonl"))
