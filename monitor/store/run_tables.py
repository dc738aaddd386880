"""The tables of a run and what it costs, in the order in which data reaches them; and the base of all tables.

Money columns (``*_nano``) are whole nano-dollars. ``slot`` is the start of a run's period, in UTC.
"""

from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, ForeignKeyConstraint, Index, MetaData, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel
from sqlmodel._compat import SQLModelConfig

from monitor.store.column_types import BigId, UtcDateTime

NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

OPEN: Final = text("status <> 'done'")
FOLLOWS: Final = text("follows IS NOT NULL")


class Row(SQLModel):
    """Base of all tables; its own metadata keeps SQLModel tables of a host program out of the migrations."""

    model_config = SQLModelConfig(defer_build=True)  # only the tables are used, and every start waits for them
    metadata = MetaData(naming_convention=NAMES)


class RunRow(Row, table=True):
    __tablename__ = "run"
    __table_args__ = (
        UniqueConstraint("target", "suite", "slot"),
        Index("ix_run_open", "next_at", sqlite_where=OPEN),
        Index("ix_run_confirms", "confirms", unique=True),
        Index("ix_run_follows", "follows", sqlite_where=FOLLOWS),
        Index("ix_run_finished", "target", "suite", "finished_at", "slot"),
        {"sqlite_autoincrement": True},
    )
    id: int | None = Field(default=None, sa_type=BigId, primary_key=True)
    target: str
    suite: str
    slot: datetime = Field(sa_type=UtcDateTime)
    status: str
    outcome: str | None = None
    attempt: int = 0
    fence: int = 0
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    starts_at: datetime = Field(sa_type=UtcDateTime)
    next_at: datetime = Field(sa_type=UtcDateTime)
    seed: int = Field(sa_type=BigInteger)
    suite_digest: str
    scheduled: bool = True
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    confirms: int | None = Field(default=None, sa_type=BigId)
    follows: int | None = Field(default=None, sa_type=BigId)


class AnswerRow(Row, table=True):
    """One outcome: an answer, or the ``reason`` for a missing one."""

    __tablename__ = "answer"
    __table_args__ = (Index("ix_answer_lost", "run_id", "arm", sqlite_where=text("reason IS NOT NULL")),)
    run_id: int = Field(sa_type=BigId, primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    arm: str = Field(primary_key=True)
    probe: str = Field(primary_key=True)
    replicate: int = Field(primary_key=True)
    provider: str
    asked_model: str
    reason: str | None = None
    detail: str = Field(default="", sa_type=Text)
    text: str = Field(default="", sa_type=Text)
    finish_reason: str | None = None
    refusal: bool = False
    model: str | None = None
    fingerprint: str | None = None
    request_id: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_seconds: float = 0.0
    asked_at: datetime = Field(sa_type=UtcDateTime)
    attempts: int = 1
    usd: float = 0.0
    exchange: Any = Field(default=None, sa_type=JSON, nullable=True)
    logprobs: Any = Field(default=None, sa_type=JSON, nullable=True)
    text_in: str | None = None
    served: Any = Field(default=None, sa_type=JSON, nullable=True)
    cached_tokens: int | None = None
    hashed: str | None = None
    chars: int | None = None


def _of_answer(name: str) -> ForeignKeyConstraint:
    """The key of the answer that a row belongs to, and with which it is deleted."""
    key = ("run_id", "arm", "probe", "replicate")
    return ForeignKeyConstraint(key, [f"answer.{column}" for column in key], name=name, ondelete="CASCADE")


class ScoreRow(Row, table=True):
    __tablename__ = "score"
    __table_args__ = (_of_answer("fk_score_answer"),)
    run_id: int = Field(sa_type=BigId, primary_key=True)
    arm: str = Field(primary_key=True)
    probe: str = Field(primary_key=True)
    replicate: int = Field(primary_key=True)
    grader: str = Field(primary_key=True)
    value: float
    detail: str = Field(default="", sa_type=Text)


class UnscoredRow(Row, table=True):
    """A check without a score for an answer, with the reason."""

    __tablename__ = "unscored"
    __table_args__ = (_of_answer("fk_unscored_answer"),)
    run_id: int = Field(sa_type=BigId, primary_key=True)
    arm: str = Field(primary_key=True)
    probe: str = Field(primary_key=True)
    replicate: int = Field(primary_key=True)
    grader: str = Field(primary_key=True)
    reason: str
    detail: str = Field(default="", sa_type=Text)


class EmbeddingRow(Row, table=True):
    """The meaning of an answer's text as a unit vector: little-endian half floats."""

    __tablename__ = "embedding"
    __table_args__ = (_of_answer("fk_embedding_answer"),)
    run_id: int = Field(sa_type=BigId, primary_key=True)
    arm: str = Field(primary_key=True)
    probe: str = Field(primary_key=True)
    replicate: int = Field(primary_key=True)
    vector: bytes


class ReservationRow(Row, table=True):
    """Budget set aside for a call in flight. The caller's process chooses a random id."""

    __tablename__ = "reservation"
    id: int = Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    target: str
    day: date
    run_id: int = Field(sa_type=BigInteger)
    nano: int = Field(sa_type=BigInteger)
    requests: int
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class SpendRow(Row, table=True):
    """One target's UTC day: what was spent, and the sum of its open reservations."""

    __tablename__ = "spend"
    target: str = Field(primary_key=True)
    day: date = Field(primary_key=True, index=True)
    nano: int = Field(default=0, sa_type=BigInteger)
    requests: int = 0
    reserved_nano: int = Field(default=0, sa_type=BigInteger)
    reserved_requests: int = 0


class UsageRow(Row, table=True):
    __tablename__ = "usage"
    target: str = Field(primary_key=True)
    arm: str = Field(primary_key=True)
    provider: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    outcome: str = Field(primary_key=True)
    requests: int = Field(sa_type=BigInteger)
    prompt_tokens: int = Field(sa_type=BigInteger)
    completion_tokens: int = Field(sa_type=BigInteger)
    nano: int = Field(sa_type=BigInteger)


class ProgressRow(Row, table=True):
    """Counters of one target and suite, so that a scrape reads few rows, whatever the age of the store."""

    __tablename__ = "suite_progress"
    target: str = Field(primary_key=True)
    suite: str = Field(primary_key=True)
    latest_slot: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_attempt: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_success: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_end: datetime | None = Field(default=None, sa_type=UtcDateTime)
    measured: int = 0
    partial: int = 0
    unmeasured: int = 0
