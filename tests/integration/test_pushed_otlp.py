"""Spans that the OpenTelemetry SDK exports over OTLP/HTTP to a real daemon, also of its OpenAI instrumentation."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from monitor.store import open_store
from tests.http_server import Reply, ScriptedServer
from tests.pushing import AUTH, PERSON, TOKEN, process, started, until

SOURCE = {"kind": "otlp", "where": {"resource.service.name": "shop"}}


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT", TOKEN)
    monkeypatch.setenv("ALICE", PERSON)


@contextmanager
def tracing(url: str, compression: Compression = Compression.Gzip, **more: Any) -> Iterator[TracerProvider]:
    """The SDK with its batch processor and OTLP exporter, as an application sets them up."""
    exporter = OTLPSpanExporter(f"{url}/v1/traces", headers=AUTH, compression=compression, timeout=30)
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}), **more)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=20_000, max_export_batch_size=512))
    try:
        yield provider
    finally:
        provider.shutdown()


def chat(provider: TracerProvider, text: str, **attributes: Any) -> None:
    messages = [{"role": "user", "parts": [{"type": "text", "content": text}]}]
    with provider.get_tracer("app").start_as_current_span("chat m") as span:
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.input.messages", json.dumps(messages))
        span.set_attributes(attributes)


def counted(url: str) -> dict[str, float]:
    """The metric of pushed inputs, by result."""
    found = {}
    for line in httpx.get(f"{url}/metrics").text.splitlines():
        if line.startswith("cliffwatch_pushed_inputs_total{"):
            found[line.split('result="')[1].split('"')[0]] = float(line.rpartition(" ")[2])
    return found


@pytest.mark.parametrize("compression", [Compression.Gzip, Compression.NoCompression])
def test_every_span_of_the_sdk_is_counted_and_a_sample_kept(tmp_path: Path, compression: Compression) -> None:
    path, url = started(tmp_path, SOURCE)
    with process(path) as daemon:
        until(lambda: httpx.get(f"{url}/healthz").status_code == 200)
        with tracing(url, compression) as provider:
            for n in range(1_500):
                chat(provider, f"Mail anna{n}@example.com about parcel {n}.")
            for n in range(30):
                chat(provider, f"Weather in town {n}?", **{"gen_ai.tool.definitions": "[{}]"})
            with provider.get_tracer("app").start_as_current_span("GET /"):
                pass
        counts = counted(url)
        daemon.terminate()
        daemon.wait(30)
    assert (counts["accepted"], counts["left_out"], counts["duplicate"]) == (1_500, 30, 0)
    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db", migrate=False)
    windows = store.pushed_windows("bot", None, None)
    store.close()
    assert sum(one.tally["read"] for one in windows) == 1_500
    assert all("anna" not in repr(one) for one in windows)
    assert len(windows[-1].inputs) == 20


def test_a_long_attribute_that_the_sdk_cut_is_left_out(tmp_path: Path) -> None:
    from opentelemetry.sdk.trace import SpanLimits

    path, url = started(tmp_path, SOURCE)
    with process(path):
        until(lambda: httpx.get(f"{url}/healthz").status_code == 200)
        with tracing(url, span_limits=SpanLimits(max_span_attribute_length=4_096)) as provider:
            chat(provider, "lorem " * 2_000)
            with provider.get_tracer("app").start_as_current_span("chat m") as span:
                span.set_attribute("llm.input_messages.0.message.role", "user")
                span.set_attribute("llm.input_messages.0.message.content", "lorem " * 2_000)
        assert counted(url) == {"accepted": 0, "duplicate": 0, "left_out": 2, "filtered": 0, "invalid": 0}


async def test_calls_that_the_openai_instrumentation_traces_are_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    path, url = started(tmp_path, SOURCE)
    answer = {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Soon."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }  # fmt: skip
    with process(path) as daemon:
        until(lambda: httpx.get(f"{url}/healthz").status_code == 200)
        async with ScriptedServer([Reply(body=answer)]) as server:
            with tracing(url) as provider:
                instrumentor = OpenAIInstrumentor()  # type: ignore[no-untyped-call]
                instrumentor.instrument(tracer_provider=provider)
                try:
                    async with openai.AsyncOpenAI(base_url=server.url, api_key="none") as client:
                        for n in range(5):
                            system = {"role": "system", "content": "Be short."}
                            asked = {"role": "user", "content": f"Where is parcel {n}?"}
                            await client.chat.completions.create(model="m", messages=[system, asked])  # type: ignore[list-item]
                finally:
                    instrumentor.uninstrument()
        daemon.terminate()
        daemon.wait(30)
    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db", migrate=False)
    inputs = [one.messages for window in store.pushed_windows("bot", None, None) for one in window.inputs]
    store.close()
    expected = {(("system", "Be short."), ("user", f"Where is parcel {n}?")) for n in range(5)}
    assert set(inputs) == expected


def test_refusals_follow_otlp(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from google.rpc.status_pb2 import Status

    path, url = started(tmp_path, SOURCE)
    with process(path):
        until(lambda: httpx.get(f"{url}/healthz").status_code == 200)
        protobuf = {"Content-Type": "application/x-protobuf"}
        unknown = httpx.post(f"{url}/v1/traces", content=b"", headers=protobuf)
        empty = httpx.post(f"{url}/v1/traces", content=b"", headers=protobuf | AUTH)
        broken = httpx.post(f"{url}/v1/traces", content=b"\xff", headers=protobuf | AUTH)
        as_json = httpx.post(f"{url}/v1/traces", json=[], headers=AUTH)
        with caplog.at_level(logging.WARNING), tracing(url) as provider:
            chat(provider, "Where is... [truncated]")
    assert unknown.status_code == 401
    assert Status.FromString(unknown.content).code == 16
    assert (empty.status_code, empty.content) == (200, b"")
    assert empty.headers["content-type"] == "application/x-protobuf"
    assert broken.status_code == 400
    assert "ExportTraceServiceRequest" in Status.FromString(broken.content).message
    assert (as_json.status_code, as_json.json()["code"]) == (400, 3)


def test_an_exporter_survives_a_restart_of_the_daemon_and_counts_nothing_twice(tmp_path: Path) -> None:
    path, url = started(tmp_path, SOURCE)
    with process(path) as daemon, tracing(url) as provider:
        until(lambda: httpx.get(f"{url}/healthz").status_code == 200)
        for n in range(100):
            chat(provider, f"Where is parcel {n}?")
        provider.force_flush()
        daemon.terminate()
        daemon.wait(30)
        for n in range(100, 200):
            chat(provider, f"Where is parcel {n}?")
        began = time.monotonic()
        with process(path) as again:
            provider.force_flush()
            until(lambda: counted(url).get("accepted") == 100)
            assert time.monotonic() - began < 60
            again.terminate()
            again.wait(30)
    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db", migrate=False)
    assert sum(one.tally["read"] for one in store.pushed_windows("bot", None, None)) == 200
    store.close()
