"""The source ``litellm`` on a real PostgreSQL, with the table that LiteLLM's own migrations make."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import NullPool, create_engine, text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason
from monitor.core.settings import Production
from monitor.core.sources import LiteLLMSource
from monitor.sample import litellm, sample_production
from monitor.sample.request_log import Logged, Tally, Window
from tests.daemon import HEALTHY, write
from tests.postgres import Postgres

UNTIL: Final = datetime(2026, 12, 1, 6, tzinfo=UTC)
WEEK: Final = Window(UNTIL - timedelta(days=7), UNTIL, UNTIL)
VARIABLE: Final = "DATABASE_URL"
BODY: Final = "proxy_server_request"

SPEND_LOGS: Final = """
CREATE TABLE "LiteLLM_SpendLogs" (
    "request_id" TEXT NOT NULL, "call_type" TEXT NOT NULL, "api_key" TEXT NOT NULL DEFAULT '',
    "spend" DOUBLE PRECISION NOT NULL DEFAULT 0.0, "total_tokens" INTEGER NOT NULL DEFAULT 0,
    "prompt_tokens" INTEGER NOT NULL DEFAULT 0, "completion_tokens" INTEGER NOT NULL DEFAULT 0,
    "startTime" TIMESTAMP(3) NOT NULL, "endTime" TIMESTAMP(3) NOT NULL, "request_duration_ms" INTEGER,
    "completionStartTime" TIMESTAMP(3), "model" TEXT NOT NULL DEFAULT '', "model_id" TEXT DEFAULT '',
    "model_group" TEXT DEFAULT '', "custom_llm_provider" TEXT DEFAULT '', "api_base" TEXT DEFAULT '',
    "user" TEXT DEFAULT '', "metadata" JSONB DEFAULT '{}', "cache_hit" TEXT DEFAULT '', "cache_key" TEXT DEFAULT '',
    "request_tags" JSONB DEFAULT '[]', "team_id" TEXT, "organization_id" TEXT, "end_user" TEXT,
    "requester_ip_address" TEXT, "messages" JSONB DEFAULT '{}', "response" JSONB DEFAULT '{}', "session_id" TEXT,
    "status" TEXT, "mcp_namespaced_tool_name" TEXT, "billing_agent_id" TEXT, "agent_id" TEXT,
    "proxy_server_request" JSONB DEFAULT '{}', "litellm_call_id" TEXT,
    "created_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "LiteLLM_SpendLogs_pkey" PRIMARY KEY ("request_id")
);
CREATE INDEX "LiteLLM_SpendLogs_startTime_request_id_idx" ON "LiteLLM_SpendLogs"("startTime", "request_id");
"""

Insert = Callable[..., None]


@pytest.fixture
def insert(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Insert:
    """Adds rows to an empty spend log, each given by what differs from an answered chat."""
    url = postgres_server.fresh()
    # as a proxy is given it, with a parameter that only Prisma knows
    monkeypatch.setenv(VARIABLE, url.replace("+psycopg", "") + "&schema=public&connection_limit=5")
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(SPEND_LOGS)

    def add(*rows: dict[str, Any]) -> None:
        with engine.begin() as connection:
            for number, given in enumerate(rows):
                row = {
                    "request_id": f"r{number:03}", "call_type": "acompletion", "cache_hit": "None", "status": "success",
                    "model_group": "support", "startTime": UNTIL - timedelta(hours=1), **given,
                }  # fmt: skip
                row["endTime"] = row["startTime"] = row["startTime"].astimezone(UTC).replace(tzinfo=None)
                row = {key: json.dumps(one) if isinstance(one, dict | list) else one for key, one in row.items()}
                names = ", ".join(f'"{name}"' for name in row)
                connection.execute(text(f'INSERT INTO "LiteLLM_SpendLogs" ({names}) VALUES (:{", :".join(row)})'), row)

    return add


def body(prompt: str = "Where is my kettle?", **more: Any) -> dict[str, Any]:
    return {"proxy_server_request": {"model": "support", "messages": [{"role": "user", "content": prompt}], **more}}


def source(**more: Any) -> LiteLLMSource:
    return LiteLLMSource(kind="litellm", url_env=VARIABLE, **more)


def read(tally: Tally | None = None, stratify: str | None = None, **more: Any) -> list[Logged]:
    return [*litellm.read(source(**more), stratify, WEEK, tally or Tally())]


def prompts(tally: Tally | None = None, **more: Any) -> list[str]:
    return [one.messages[-1].content for one in read(tally, **more)]


def as_litellm_cuts(value: str, limit: int, note: str) -> str:
    head, tail = int(limit * 0.35), int(limit * 0.65)
    return f"{value[:head]}... (litellm_truncated skipped {len(value) - head - tail} chars{note}) ...{value[-tail:]}"


LONG: Final = "The kettle leaks when it is hot. " * 100
NOTE: Final = (
    ". Truncation is a DB storage safeguard. Full, untruncated data is logged to logging callbacks (OTEL, Datadog, "
    "etc.). To increase the truncation limit, set `MAX_STRING_LENGTH_PROMPT_IN_DB` in your env."
)

ROWS: Final[dict[str, tuple[dict[str, Any], LeftOutReason | None]]] = {
    "chat": (body("chat"), None),
    "twice encoded": ({BODY: json.dumps(json.dumps(body("text")[BODY]))}, None),
    "responses": (
        {"call_type": "aresponses", "proxy_server_request": {"input": "responses", "instructions": "Hi"}},
        None,
    ),
    "anthropic": ({**body("anthropic", system="Be kind."), "call_type": "anthropic_messages"}, None),
    "not stored": ({"proxy_server_request": {}, "messages": {}}, LeftOutReason.NOT_STORED),
    "null": ({"proxy_server_request": None}, LeftOutReason.NOT_STORED),
    "cut, old": (body(as_litellm_cuts(LONG, 1000, "")), LeftOutReason.MARKER),
    "cut, new": (body(as_litellm_cuts(LONG, 2048, NOTE)), LeftOutReason.MARKER),
    "redacted": (body("redacted-by-litellm"), LeftOutReason.PLACEHOLDER),
    "cached": ({**body(), "cache_hit": "True", "request_id": "r_cache_hit1764.5"}, LeftOutReason.CACHE_HIT),
    "failed": ({**body(), "status": "failure"}, LeftOutReason.FAILED),
    "failed, old": ({**body(), "status": None, "metadata": {"status": "failure"}}, LeftOutReason.FAILED),
    "embedding": ({"call_type": "aembedding", "proxy_server_request": {"input": "x"}}, LeftOutReason.OTHER_CALL),
    "pass-through": ({**body(), "call_type": "pass_through_endpoint"}, LeftOutReason.OTHER_CALL),
    "template": (body(prompt_id="greeting"), LeftOutReason.STATE_ELSEWHERE),
    "tools": (body(tools=[{"type": "function", "function": {"name": "f"}}]), LeftOutReason.TOOLS_OFFERED),
    "image": (body([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]), LeftOutReason.MEDIA),  # type: ignore[arg-type]
    "early": ({**body(), "startTime": UNTIL - timedelta(days=8)}, None),
    "late": ({**body(), "startTime": UNTIL}, None),
}


def test_each_kind_of_row_is_read_or_counted_by_reason(insert: Insert) -> None:
    insert(*({"request_id": name, **row} for name, (row, _) in ROWS.items()))
    tally = Tally()
    found = read(tally, stratify="model_group")
    assert Counter(one.messages[-1].content for one in found) == Counter(["chat", "text", "responses", "anthropic"])
    assert {one.stratum for one in found} == {"support"}
    assert {one.messages[0].content for one in found if len(one.messages) > 1} == {"Be kind.", "Hi"}
    account = tally.account([])
    expected = Counter(reason for _, reason in ROWS.values() if reason)
    assert {one.reason: one.count for one in account.reasons} == expected
    assert (account.outside, account.truncated, account.read) == (5, 2, 4 + 2 + 3)
    assert {one.place for one in account.reasons} >= {"table public.LiteLLM_SpendLogs embedding"}


def test_where_on_columns_and_on_metadata(insert: Insert) -> None:
    insert(
        {**body("mine"), "team_id": "red", "metadata": {"route": "chat"}},
        {**body("other route"), "team_id": "red", "metadata": {"route": "mail"}},
        {**body("other team"), "team_id": "blue", "metadata": {"route": "chat"}},
        {**body("no team"), "metadata": {"route": "chat"}},
        {**body("no team, cached"), "cache_hit": "True"},
        {**body("red, cached"), "team_id": "red", "cache_hit": "True", "metadata": {"route": "chat"}},
        {**body("red, another, cached"), "team_id": "red", "cache_hit": "True", "metadata": {"route": "mail"}},
    )
    tally = Tally()
    assert prompts(tally, where={"team_id": "red", "metadata.route": "chat"}) == ["mine"]
    account = tally.account([1])
    assert (account.lines, account.filtered, account.outside, account.kept) == (7, 5, 1, 1)
    assert prompts(where={"team_id": ""}) == ["no team"]


def test_a_proxy_that_stores_no_prompts_says_which_setting(insert: Insert, tmp_path: Path) -> None:
    now = datetime.now(UTC) - timedelta(hours=1)
    insert(*({"startTime": now, "call_type": call} for call in ["acompletion"] * 9 + ["aembedding"]))
    target = {
        "subject": {"provider": "script", "model": "tuned"},
        "production": {"source": {"kind": "litellm", "url_env": VARIABLE}, "stratify": "model_group"},
    }
    config = write(tmp_path, HEALTHY, targets={"bot": target})
    shown = CliRunner().invoke(app, ["sample", "bot", "--dry-run", "--config", str(config)])
    told = " ".join(shown.output.split())
    assert isinstance(shown.exception, CouldNotMeasure)
    assert "9 of 9 requests have no stored prompt: nothing in `proxy_server_request`" in told
    assert "`general_settings.store_prompts_in_spend_logs: true`" in told
    assert "1 of 10 requests has another call type than a chat: call type `aembedding`" in told
    checked = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert "store_prompts_in_spend_logs" in " ".join(checked.output.split())


def test_an_old_version_without_bodies(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres_server.fresh()
    monkeypatch.setenv(VARIABLE, url)
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql(SPEND_LOGS.replace("\"proxy_server_request\" JSONB DEFAULT '{}',", ""))
    with pytest.raises(CouldNotMeasure, match="no column `proxy_server_request`: this version of LiteLLM stores no"):
        read()
    monkeypatch.setenv(VARIABLE, postgres_server.fresh())
    with pytest.raises(CouldNotMeasure, match="LiteLLM_SpendLogs"):
        read()


def test_the_sample_is_stratified_and_redacted(insert: Insert) -> None:
    insert(
        *(
            {**body(f"Mail jo@example.com about order {n}"), "request_id": f"a{n}", "model_group": "a"}
            for n in range(9)
        ),
        *({**body(f"Order {n}?"), "request_id": f"b{n}", "model_group": "b"} for n in range(3)),
    )
    drawn = sample_production(Production(source=source(), sample=4, stratify="model_group"), 1, None, None)
    assert Counter(one.stratum for one in drawn.inputs) == {"a": 3, "b": 1}
    assert all("@" not in message.content for one in drawn.inputs for message in one.probe.messages)
