"""Every table of the store, in the order in which a datum reaches it.

Money columns (``*_nano``) are whole nano-dollars. ``slot`` is the start of a run's period, in UTC.
"""

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.schema import SchemaItem

from monitor.store.types import BigId, UtcDateTime

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *parts: SchemaItem, numbered: bool = False) -> Table:
    """``numbered``: the database gives the ids, and none a second time."""
    return Table(name, METADATA, *parts, sqlite_autoincrement=numbered)


def _key(name: str, kind: Any = String, *parts: SchemaItem, **options: Any) -> Column[Any]:
    return Column(name, kind, *parts, primary_key=True, **options)


def _needed(name: str, kind: Any, *parts: SchemaItem, **options: Any) -> Column[Any]:
    """A column that is never NULL; ``Column`` itself makes one that may be."""
    return Column(name, kind, *parts, nullable=False, **options)


def _of_an_answer(name: str) -> tuple[SchemaItem, ...]:
    """The key of table ``name``, or its beginning: the answer that a row is about."""
    key = ("run_id", "arm", "probe", "replicate")
    return (
        *(_key(column, column_type) for column, column_type in zip(key, (BigId, String, String, Integer), strict=True)),
        ForeignKeyConstraint(key, [f"answer.{one}" for one in key], name=f"fk_{name}_answer", ondelete="CASCADE"),
    )


run: Final = _table(
    "run",
    _key("id", BigId),
    _needed("target", String),
    _needed("suite", String),
    _needed("slot", UtcDateTime),
    _needed("status", String),
    Column("outcome", String),
    _needed("attempt", Integer, default=0),
    _needed("fence", Integer, default=0),
    Column("lease_until", UtcDateTime),
    _needed("starts_at", UtcDateTime),
    _needed("next_at", UtcDateTime),
    _needed("seed", BigInteger),
    _needed("suite_digest", String),
    _needed("scheduled", Boolean, default=True),
    Column("finished_at", UtcDateTime),
    Column("confirms", BigId),
    UniqueConstraint("target", "suite", "slot"),
    Index("ix_run_open", "next_at", sqlite_where=text("status <> 'done'")),
    Index("ix_run_confirms", "confirms", unique=True),
    Index("ix_run_finished", "target", "suite", "finished_at", "slot"),
    numbered=True,
)

answer: Final = _table(
    "answer",
    _key("run_id", BigId, ForeignKey("run.id", ondelete="CASCADE")),
    _key("arm"),
    _key("probe"),
    _key("replicate", Integer),
    _needed("provider", String),
    _needed("asked_model", String),
    Column("reason", String),
    _needed("detail", Text, default=""),
    _needed("text", Text, default=""),
    Column("finish_reason", String),
    _needed("refusal", Boolean, default=False),
    Column("model", String),
    Column("fingerprint", String),
    Column("request_id", String),
    _needed("prompt_tokens", Integer, default=0),
    _needed("completion_tokens", Integer, default=0),
    _needed("latency_seconds", Float, default=0.0),
    _needed("asked_at", UtcDateTime),
    _needed("attempts", Integer, default=1),
    _needed("usd", Float, default=0.0),
    Column("exchange", JSON),
    Column("logprobs", JSON),
)
"""One outcome: an answer, or with a ``reason`` why there is none."""

score: Final = _table(
    "score",
    *_of_an_answer("score"),
    _key("grader"),
    _needed("value", Float),
    _needed("detail", Text, default=""),
)

embedding: Final = _table(
    "embedding",
    *_of_an_answer("embedding"),
    _needed("vector", LargeBinary),
)
"""The meaning of an answer's text as a unit vector: little-endian half floats."""

reservation: Final = _table(
    "reservation",
    _key("id", BigInteger, autoincrement=False),
    _needed("target", String),
    _needed("day", Date),
    _needed("run_id", BigInteger),
    _needed("nano", BigInteger),
    _needed("requests", Integer),
    _needed("expires_at", UtcDateTime, index=True),
)
"""Budget set aside for a call in flight. The id is drawn by the caller's process, at random."""

spend: Final = _table(
    "spend",
    _key("target"),
    _key("day", Date, index=True),
    _needed("nano", BigInteger, default=0),
    _needed("requests", Integer, default=0),
    _needed("reserved_nano", BigInteger, default=0),
    _needed("reserved_requests", Integer, default=0),
)
"""One target's UTC day: what was spent, and the sum of its open reservations."""

usage: Final = _table(
    "usage",
    _key("target"),
    _key("arm"),
    _key("provider"),
    _key("model"),
    _key("outcome"),
    _needed("requests", BigInteger),
    _needed("prompt_tokens", BigInteger),
    _needed("completion_tokens", BigInteger),
    _needed("nano", BigInteger),
)

progress: Final = _table(
    "suite_progress",
    _key("target"),
    _key("suite"),
    Column("latest_slot", UtcDateTime),
    Column("last_attempt", UtcDateTime),
    Column("last_success", UtcDateTime),
    _needed("measured", Integer, default=0),
    _needed("partial", Integer, default=0),
    _needed("unmeasured", Integer, default=0),
)
"""Counters of one target and suite, so that a scrape reads few rows however old the store is."""

_OF_A_HISTORY: Final = (
    "target", "suite", "signal", "id", "run_id", "found_at", "alarming",
    "effect", "effect_low", "effect_high", "evidence_log10", "line_log10",
)  # fmt: skip
"""All that a history is drawn from stands in its index: a finding's row is large, and read for its answers only."""

finding: Final = _table(
    "finding",
    _key("id", BigId),
    _needed("run_id", BigId, ForeignKey("run.id", ondelete="CASCADE")),
    _needed("target", String),
    _needed("suite", String),
    _needed("signal", String),
    _needed("severity", String),
    _needed("alarming", Boolean),
    Column("effect", Float),
    Column("effect_low", Float),
    Column("effect_high", Float),
    _needed("unit", String),
    _needed("answers_now", Integer),
    _needed("answers_baseline", Integer),
    _needed("window_start", UtcDateTime),
    _needed("window_end", UtcDateTime),
    _needed("summary", Text),
    _needed("measures", JSON),
    _needed("exhibits", JSON),
    _needed("found_at", UtcDateTime),
    # Nullable, as all columns that came later: SQLite adds no others to a table without copying it. NULL is no number.
    Column("evidence_log10", Float),
    Column("look_log10", Float),
    Column("line_log10", Float),
    Column("looks", Integer),
    Column("scores", JSON),
    Column("recovered", Boolean),
    Column("confirming", Boolean),
    Column("baseline_id", BigId),
    Column("judge_moved", Boolean),
    UniqueConstraint("run_id", "signal"),
    Index("ix_finding_series", *_OF_A_HISTORY),
    Index("ix_finding_alarming", "alarming", "id"),
    numbered=True,
)

verdict: Final = _table(
    "verdict",
    _key("seq", BigId),
    _needed("run_id", BigId, ForeignKey("run.id", ondelete="CASCADE"), unique=True),
    _needed("target", String),
    _needed("suite", String),
    _needed("baseline_id", BigId),
    _needed("page_line_log10", Float),
    _needed("ticket_line_log10", Float),
    _needed("cliffwatch", String),
    Column("judge_moved", Boolean),
    Index("ix_verdict_stream", "target", "suite", "seq"),
    numbered=True,
)
"""What a run's verdict depended on besides answers. ``seq`` is the order of decision, also within a stream."""

latest_finding: Final = _table(
    "latest_finding",
    _key("target"),
    _key("suite"),
    _key("signal"),
    _needed("finding_id", BigId, ForeignKey("finding.id", ondelete="CASCADE")),
)
"""Which finding of a signal was reached last, whatever its run's slot."""

alarm: Final = _table(
    "alarm",
    _key("id", BigId),
    _needed("target", String),
    _needed("suite", String),
    _needed("signal", String),
    _needed("severity", String),
    _needed("raised_at", UtcDateTime),
    _needed("raised_run_id", BigId),
    Column("cleared_at", UtcDateTime),
    Column("cleared_run_id", BigId),
    Column("state", String),
    Column("confirmed_at", UtcDateTime),
    Column("confirmed_run_id", BigId),
    Column("note", Text),
    Column("cleared_by", String),
    Column("cleared_why", Text),
    Column("cleared_seq", BigId),  # the stream's latest verdict then, itself included: evidence begins anew after it
    Column("acknowledged_at", UtcDateTime),
    Column("acknowledged_by", String),
    Column("acknowledged_why", Text),
    Index("ix_alarm_raised", "target", "suite", "signal", unique=True, sqlite_where=text("cleared_at IS NULL")),
    numbered=True,
)

baseline: Final = _table(
    "baseline",
    _key("id", BigId),
    _needed("target", String),
    _needed("suite", String),
    _needed("status", String),
    _needed("suite_digest", String),
    _needed("subject_model", String),
    Column("base_model", String),
    _needed("starts_at", UtcDateTime),
    _needed("ends_at", UtcDateTime),
    _needed("day_seconds", Float),
    _needed("at_once", Boolean),
    Column("approved_by", String),
    Column("approved_why", Text),
    Column("approved_at", UtcDateTime),
    Column("retired_by", String),
    Column("retired_why", Text),
    Column("retired_at", UtcDateTime),
    Index("ix_baseline_approved", "target", "suite", unique=True, sqlite_where=text("status = 'approved'")),
    Index("ix_baseline_series", "target", "suite", "id"),
    numbered=True,
)

baseline_run: Final = _table(
    "baseline_run",
    _key("baseline_id", BigId, ForeignKey("baseline.id", ondelete="CASCADE")),
    _key("run_id", BigId, ForeignKey("run.id", ondelete="RESTRICT"), index=True),
)

capability: Final = _table(
    "capability",
    _key("provider"),
    _key("base_url"),
    _key("model"),
    _key("name"),
    _needed("accepted", Boolean),
    _needed("learnt_at", UtcDateTime),
)
"""What an endpoint took or refused, so that no call is wasted on learning it again."""

suite_version: Final = _table(
    "suite_version",
    _key("digest"),
    _needed("name", String),
    _needed("body", Text),
)

production_input: Final = _table(
    "production_input",
    _key("run_id", BigId, ForeignKey("run.id", ondelete="CASCADE")),
    _key("position", Integer),
    _needed("probe", String),
    Column("stratum", String),
    _needed("count", Integer),
    _needed("body", JSON),
)

self_test: Final = _table(
    "self_test",
    _key("target"),
    _key("suite"),
    _key("fault"),
    _needed("caught", Integer),
    _needed("trials", Integer),
    _needed("tested_at", UtcDateTime),
)
"""The latest self-test of each fault: how many copies of stored answers with it were caught."""

outbox: Final = _table(
    "outbox",
    _key("id", BigId),
    _needed("kind", String),
    _needed("slot", UtcDateTime),
    _needed("message_id", String),
    _needed("subject", Text),
    _needed("recipients", JSON),
    _needed("body", LargeBinary),
    _needed("composed_at", UtcDateTime),
    _needed("status", String, index=True),
    _needed("attempts", Integer, default=0),
    _needed("next_at", UtcDateTime),
    Column("lease_until", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("failed_at", UtcDateTime),
    Column("error", Text),
    UniqueConstraint("kind", "slot"),
    numbered=True,
)
"""A mail, composed once and sent at least once. ``body`` is the whole message as it goes over the wire."""

audit: Final = _table(
    "audit",
    _key("id", BigId),
    _needed("at", UtcDateTime),
    _needed("who", String),
    _needed("action", String),
    Column("target", String),
    Column("suite", String),
    Column("subject", String),
    _needed("why", Text),
    Column("address", String),
    Index("ix_audit_target", "target", "id"),
    numbered=True,
)
"""Who did what through the pages, and why. Rows are only ever added."""

identity_check: Final = _table(
    "identity_check",
    _key("target"),
    _key("arm"),
    _key("check"),
    _needed("matches", Boolean),
    _needed("expected", Text),
    _needed("found", Text),
    _needed("checked_at", UtcDateTime),
    _needed("since", UtcDateTime),
)
"""The latest of each check of what an endpoint says it serves. ``since``: when ``matches`` became what it is."""

retirement: Final = _table(
    "retirement",
    _key("target"),
    _key("arm"),
    _needed("model", String),
    _needed("retires_at", UtcDateTime),
    _needed("source", String),
    _needed("checked_at", UtcDateTime),
)
"""When a target's model is to be shut down, and who says so."""

state: Final = _table(
    "state",
    _key("key"),
    _needed("value", Text),
)
"""Small facts of the daemon itself, by key."""


def for_postgresql() -> None:
    """Tell PostgreSQL's dialect which indexes are partial. Asked for by its engine, as naming it imports all of it."""
    for table in METADATA.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
