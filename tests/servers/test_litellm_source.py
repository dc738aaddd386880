"""The source ``litellm`` on what a real LiteLLM proxy in front of the lab writes.

The proxy runs in an environment of its own (or in the folder ``LITELLM_VENV``). The rows are what LiteLLM's own code
makes of each call, in the table that LiteLLM's own migrations make. A callback inserts them: the engine of LiteLLM's
database client, Prisma, is a download from outside the package registries.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest
import yaml

from monitor.core.records import LeftOutReason
from monitor.core.sources import LiteLLMSource
from monitor.lab.process import LabServer
from monitor.sample import litellm
from monitor.sample.request_log import Logged, Tally, Window
from tests.acceptance.processes import get, wait_for
from tests.postgres import Postgres
from tests.programs import free_port

pytestmark = pytest.mark.servers

KEY: Final = f"sk-{token_hex(32)}"
LIMIT: Final = 200
"""Characters of a text after which this proxy cuts it."""

WRITER: Final = """
import os

import psycopg
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy.spend_tracking.spend_tracking_utils import get_logging_payload


class Writer(CustomLogger):
    async def _write(self, kwargs, response, start, end):
        row = get_logging_payload(kwargs=kwargs, response_obj=response, start_time=start, end_time=end)
        with psycopg.connect(os.environ["SPEND_LOG"]) as connection:
            found = connection.execute('SELECT * FROM "LiteLLM_SpendLogs" LIMIT 0').description
            names = [one.name for one in found if row.get(one.name) is not None]
            columns = ", ".join('"' + name + '"' for name in names)
            values = ", ".join("%s" for _ in names)
            given = [row[name].replace(tzinfo=None) if hasattr(row[name], "tzinfo") else row[name] for name in names]
            connection.execute(f'INSERT INTO "LiteLLM_SpendLogs" ({columns}) VALUES ({values})', given)

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        await self._write(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        kwargs["litellm_params"]["metadata"]["status"] = "failure"
        kwargs["completion_start_time"] = start_time
        await self._write(kwargs, response_obj, start_time, end_time or start_time)


writer = Writer()
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with ``litellm[proxy]``."""
    if given := os.environ.get("LITELLM_VENV"):
        return Path(given)
    folder = tmp_path_factory.mktemp("litellm") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [f"{folder}/bin/pip", "install", "-q", "litellm[proxy]", "psycopg[binary]"]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"litellm[proxy] cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
    return folder


def made_by_its_migrations(venv: Path, server: Postgres) -> str:
    """URL of a database with the table of LiteLLM's own migrations."""
    url = server.fresh()
    (folder,) = venv.glob("lib/python*/site-packages/litellm_proxy_extras/migrations")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for path in sorted(folder.glob("*/migration.sql")):
            without_comments = re.sub(r"--.*", "", path.read_text())
            for statement in without_comments.split(";"):
                if '"LiteLLM_SpendLogs"' in statement and "CONCURRENTLY" not in statement:
                    connection.execute(statement.encode())
    return url


@dataclass(frozen=True)
class Proxy:
    url: str
    database: str

    def post(self, path: str, body: dict[str, Any]) -> int:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        try:
            with urlopen(Request(f"{self.url}{path}", json.dumps(body).encode(), headers), timeout=60) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code

    def rows(self) -> int:
        with psycopg.connect(self.database.replace("+psycopg", "")) as connection:
            (found,) = connection.execute('SELECT count(*) FROM "LiteLLM_SpendLogs"').fetchone() or (0,)
        return int(found)


@pytest.fixture(scope="module")
def proxy(
    python: Path, lab_server: LabServer, postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder, port = tmp_path_factory.mktemp("proxy"), free_port()
    params = {"api_base": lab_server.openai_url, "api_key": "none"}
    models = {
        "support": {"model": "hosted_vllm/lab-support", **params},
        # a provider without the Responses API: LiteLLM asks its chat completions
        "bridged": {"model": "together_ai/lab-support", **params},
        "gone": {"model": "hosted_vllm/no-such-model", **params},
    }
    (folder / "spend_writer.py").write_text(WRITER)
    config = {
        "model_list": [{"model_name": name, "litellm_params": one} for name, one in models.items()],
        "litellm_settings": {"callbacks": "spend_writer.writer", "cache": True, "cache_params": {"type": "local"}},
        "general_settings": {"store_prompts_in_spend_logs": True},
        "router_settings": {"num_retries": 0},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    database = made_by_its_migrations(python, postgres_server)
    environ = {
        **os.environ, "SPEND_LOG": database.replace("+psycopg", ""), "MAX_STRING_LENGTH_PROMPT_IN_DB": str(LIMIT),
        "LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(folder),
    }  # fmt: skip
    environ.pop("DATABASE_URL", None)
    command = [f"{python}/bin/litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log, subprocess.Popen(
        command, cwd=folder, env=environ, stdout=log, stderr=log
    ) as process:  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for("the proxy", lambda: process.poll() is not None or get(f"{url}/health/liveliness"), 120)
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            yield Proxy(url, database)
        finally:
            process.terminate()


SYSTEM: Final = {"role": "system", "content": "Answer in one word."}
LONG: Final = "Where is my order? " * 20


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_what_a_real_proxy_writes(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    chat: dict[str, Any] = {"model": "support", "max_tokens": 5}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {**chat, "messages": [SYSTEM, user("Where is order 1?")]}),
        ("/v1/chat/completions", {**chat, "messages": [SYSTEM, user("Where is order 1?")]}),
        ("/v1/chat/completions", {**chat, "messages": [user("Where is order 2?")], "user": "u7"}),
        ("/v1/chat/completions", {**chat, "messages": [user(LONG)]}),
        ("/v1/messages", {**chat, "system": "Be kind.", "messages": [user("Where is order 3?")]}),
        ("/v1/responses", {"model": "bridged", "max_output_tokens": 5, "input": "Where is order 4?"}),
        ("/v1/chat/completions", {"model": "gone", "messages": [user("Where is order 5?")]}),
    ]
    codes = []
    for number, (path, body) in enumerate(asked, start=1):
        codes.append(proxy.post(path, body))
        wait_for(f"row {number}", lambda number=number: proxy.rows() >= number, 30)  # type: ignore[misc]
    assert codes[:4] == [200] * 4
    assert codes[-1] >= 400
    monkeypatch.setenv("SPEND_DATABASE", proxy.database)
    now = datetime.now(UTC)
    source = LiteLLMSource(kind="litellm", url_env="SPEND_DATABASE")
    tally = Tally()
    window = Window(now - timedelta(hours=1), now + timedelta(minutes=1), now)
    found: list[Logged] = [*litellm.read(source, "model_group", window, tally)]
    texts = Counter(tuple((one.role, one.content) for one in request.messages) for request in found)
    assert texts[("system", SYSTEM["content"]), ("user", "Where is order 1?")] == 1
    assert texts[(("user", "Where is order 2?"),)] == 1
    assert texts[("system", "Be kind."), ("user", "Where is order 3?")] == 1
    assert texts[(("user", "Where is order 4?"),)] == 1
    assert {request.stratum for request in found} == {"support", "bridged"}
    counts = {one.reason: one.count for one in tally.account([]).reasons}
    assert counts[LeftOutReason.CACHE_HIT] == 1
    assert counts[LeftOutReason.MARKER] == 1
    assert counts[LeftOutReason.FAILED] == 1
