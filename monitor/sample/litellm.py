"""Reads the spend log of a LiteLLM proxy: the table ``LiteLLM_SpendLogs`` of its PostgreSQL database.

The body of a request is in ``proxy_server_request``, if the proxy stores prompts. ``messages`` is ``{}`` for chats.
Columns and values are those of LiteLLM's ``schema.prisma`` and ``proxy/spend_tracking/spend_tracking_utils.py``.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from monitor.core.records import LeftOutReason
from monitor.core.sources import LiteLLMSource
from monitor.sample import keyset
from monitor.sample.database import Database, url_of
from monitor.sample.request_log import Logged, Tally, Window, matches
from monitor.sample.sql import named_table, paths

TABLE: Final = "LiteLLM_SpendLogs"
BODY: Final = "proxy_server_request"
_ANSWER: Final = "response"

CHATS: Final = frozenset(
    {
        "completion", "acompletion", "responses", "aresponses", "anthropic_messages", "aanthropic_messages",
        "generate_content", "agenerate_content", "generate_content_stream", "agenerate_content_stream",
    }
)  # fmt: skip
"""Values of ``call_type`` whose requests are chats."""

_TEXTS: Final = frozenset(
    {
        "call_type", "api_key", "model", "model_id", "model_group", "custom_llm_provider", "user", "cache_hit",
        "team_id", "organization_id", "end_user", "session_id", "status", "agent_id",
    }
)  # fmt: skip
"""Columns of text: the database evaluates ``where`` on them."""

_PRISMA: Final = (
    "schema", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout", "statement_cache_size", "sslaccept",
    "sslidentity", "single_use_connections",
)  # fmt: skip
"""Parameters of LiteLLM's ``DATABASE_URL`` that only Prisma understands."""


def read(source: LiteLLMSource, stratify: str | None, window: Window, tally: Tally) -> Iterator[Logged]:
    """The chats of the window that a model answered, one at a time. Raises CouldNotMeasure, MissingExtra.

    Counts what it leaves out: other calls, failures, answers from the cache, and requests without a stored body.
    """
    url = url_of(source.url_env)
    schema = url.query.get("schema")
    table = f"{schema}.{TABLE}" if isinstance(schema, str) else TABLE
    with Database(url.difference_update_query(_PRISMA), source.url_env, source.timeout_seconds) as database:
        rows = named_table(database, table, source.time, "request_id")
        if BODY not in rows.columns:
            raise rows.wrong(f"no column `{BODY}`: this version of LiteLLM stores no requests; upgrade it")
        keyset.has_columns(rows, paths(source, stratify))
        where = {name: value for name, value in source.where.items() if name in _TEXTS and value}
        rows = replace(rows, where=where, columns=tuple(one for one in rows.columns if one != _ANSWER))
        found = _answered(keyset.records(rows, window, tally), source, tally)
        yield from keyset.requests(found, source, stratify, window, tally)


def _answered(
    found: Iterator[tuple[dict[str, Any], str]], source: LiteLLMSource, tally: Tally
) -> Iterator[tuple[dict[str, Any], str]]:
    """The records of chats with their bodies opened; the others are counted, unless ``where`` excludes them."""
    for record, place in found:
        record[BODY] = _opened(record.get(BODY))
        left = _left_out(record)
        if left is not None and matches(record, source):
            tally.leave(left[0], left[1], place)
        else:
            yield record, place


def _left_out(record: Mapping[str, Any]) -> tuple[LeftOutReason, str] | None:
    """Why a request is not asked, with what was found."""
    call = str(record.get("call_type"))
    metadata, body = _opened(record.get("metadata")), record[BODY]
    if call not in CHATS:
        return LeftOutReason.OTHER_CALL, f"call type `{call}`" if call.isidentifier() and len(call) <= 40 else ""
    if str(record.get("cache_hit")).lower() == "true":
        return LeftOutReason.CACHE_HIT, ""
    failed = metadata.get("status") if isinstance(metadata, Mapping) else None
    if "failure" in (record.get("status"), failed):
        return LeftOutReason.FAILED, ""
    if not body:
        return LeftOutReason.NOT_STORED, f"nothing in `{BODY}`"
    if isinstance(body, Mapping) and body.get("prompt_id"):
        return LeftOutReason.STATE_ELSEWHERE, "a prompt template that the proxy keeps"
    return None


def _opened(value: Any) -> Any:
    """What a JSON column holds; drivers give it opened or as text, and texts may be encoded twice."""
    for _ in range(2):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    return value
