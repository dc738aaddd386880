"""Tables of what is asked: versions of suites, samples of production inputs, and inputs that were pushed."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Text
from sqlmodel import Field

from monitor.store.column_types import BigId, UtcDateTime
from monitor.store.run_tables import Row


class SuiteVersionRow(Row, table=True):
    __tablename__ = "suite_version"
    digest: str = Field(primary_key=True)
    name: str
    body: str = Field(sa_type=Text)


class ProductionInputRow(Row, table=True):
    __tablename__ = "production_input"
    run_id: int = Field(sa_type=BigId, primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    position: int = Field(primary_key=True)
    probe: str
    stratum: str | None = None
    count: int
    body: Any = Field(sa_type=JSON)


class InputSubjectRow(Row, table=True):
    """Who sent a production input: a keyed hash of ``production.subject_key``."""

    __tablename__ = "input_subject"
    __table_args__ = (Index("ix_input_subject_subject", "subject"),)
    run_id: int = Field(sa_type=BigId, primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    probe: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)


class ProductionSampleRow(Row, table=True):
    """The account of a run's sample: what was read, left out and kept."""

    __tablename__ = "production_sample"
    run_id: int = Field(sa_type=BigId, primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    account: Any = Field(sa_type=JSON)


class PushedWindowRow(Row, table=True):
    """What clients pushed for a target in one day of a sampling period, as counts."""

    __tablename__ = "pushed_window"
    target: str = Field(primary_key=True)
    opened: datetime = Field(sa_type=UtcDateTime, primary_key=True, index=True)
    seed: int = Field(sa_type=BigInteger)
    strata: Any = Field(sa_type=JSON)
    tally: Any = Field(sa_type=JSON)


class PushedInputRow(Row, table=True):
    """A pushed input that its window's reservoir keeps, redacted. ``key``: 16 hex digits."""

    __tablename__ = "pushed_input"
    target: str = Field(primary_key=True)
    opened: datetime = Field(sa_type=UtcDateTime, primary_key=True, index=True)
    stratum: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    count: int = Field(sa_type=BigInteger)
    messages: Any = Field(sa_type=JSON)


class PushedIdsRow(Row, table=True):
    """Hashes of the ids of a target's recent pushed inputs."""

    __tablename__ = "pushed_ids"
    target: str = Field(primary_key=True)
    part: int = Field(sa_type=BigInteger, primary_key=True)
    hashes: bytes
