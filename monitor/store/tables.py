"""Every table of the store: those of ``run_tables``, then what is concluded from answers, then everything else."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, Index, Table, Text, UniqueConstraint, text
from sqlmodel import Field

from monitor.store.column_types import BigId, UtcDateTime
from monitor.store.run_tables import (
    AnswerRow,
    EmbeddingRow,
    ProgressRow,
    ReservationRow,
    RunRow,
    ScoreRow,
    SpendRow,
    UnscoredRow,
    UsageRow,
)
from monitor.store.run_tables import Row as Row
from monitor.store.sample_tables import (
    InputSubjectRow,
    ProductionInputRow,
    ProductionSampleRow,
    PushedIdsRow,
    PushedInputRow,
    PushedWindowRow,
    SuiteVersionRow,
)


class FindingRow(Row, table=True):
    __tablename__ = "finding"
    __table_args__ = (
        UniqueConstraint("run_id", "signal"),
        Index(
            # Contains every column of a history: a finding's row is large, and read only for its answers.
            "ix_finding_series", "target", "suite", "signal", "id", "run_id", "found_at", "alarming",
            "effect", "effect_low", "effect_high", "evidence_log10", "threshold_log10",
        ),
        Index("ix_finding_alarming", "alarming", "id"),
        {"sqlite_autoincrement": True},
    )  # fmt: skip
    id: int | None = Field(default=None, sa_type=BigId, primary_key=True)
    run_id: int = Field(sa_type=BigId, foreign_key="run.id", ondelete="CASCADE")
    target: str
    suite: str
    signal: str
    severity: str
    alarming: bool
    effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    unit: str
    answers_now: int
    answers_baseline: int
    window_start: datetime = Field(sa_type=UtcDateTime)
    window_end: datetime = Field(sa_type=UtcDateTime)
    what: str = Field(sa_type=Text)
    measures: Any = Field(sa_type=JSON)
    exhibits: Any = Field(sa_type=JSON)
    found_at: datetime = Field(sa_type=UtcDateTime)
    # Nullable, like all later columns: SQLite adds other columns only by copying the table. NULL means no number.
    evidence_log10: float | None = None
    evaluation_log10: float | None = None
    threshold_log10: float | None = None
    evaluations: int | None = None
    scores: Any = Field(default=None, sa_type=JSON, nullable=True)
    ways: Any = Field(default=None, sa_type=JSON(none_as_null=True), nullable=True)
    recovered: bool | None = None
    confirming: bool | None = None
    baseline_id: int | None = Field(default=None, sa_type=BigId)
    judge_moved: bool | None = None
    state: str | None = None
    cause: str | None = None
    advice: str | None = None
    traffic_share: float | None = None
    disagrees: bool | None = None
    numbers: str | None = Field(default=None, sa_type=Text)
    caveat: str | None = Field(default=None, sa_type=Text)
    structural: bool | None = None


class VerdictRow(Row, table=True):
    """What a run's verdict depended on in addition to answers. ``seq`` is the order of verdicts, also within a
    stream."""

    __tablename__ = "verdict"
    __table_args__ = (Index("ix_verdict_stream", "target", "suite", "seq"), {"sqlite_autoincrement": True})
    seq: int | None = Field(default=None, sa_type=BigId, primary_key=True)
    run_id: int = Field(sa_type=BigId, foreign_key="run.id", ondelete="CASCADE", unique=True)
    target: str
    suite: str
    baseline_id: int = Field(sa_type=BigId)
    page_threshold_log10: float
    ticket_threshold_log10: float
    cliffwatch: str
    judge_moved: bool | None = None
    fleet: Any = Field(default=None, sa_type=JSON, nullable=True)


class LatestFindingRow(Row, table=True):
    """The newest finding of each signal by its verdict, whatever its run's slot."""

    __tablename__ = "latest_finding"
    target: str = Field(primary_key=True)
    suite: str = Field(primary_key=True)
    signal: str = Field(primary_key=True)
    finding_id: int = Field(sa_type=BigId, foreign_key="finding.id", ondelete="CASCADE")


class AlarmRow(Row, table=True):
    __tablename__ = "alarm"
    __table_args__ = (
        Index(
            "ix_alarm_raised", "target", "suite", "signal", unique=True,
            sqlite_where=text("cleared_at IS NULL"),
        ),
        {"sqlite_autoincrement": True},
    )  # fmt: skip
    id: int | None = Field(default=None, sa_type=BigId, primary_key=True)
    target: str
    suite: str
    signal: str
    severity: str
    raised_at: datetime = Field(sa_type=UtcDateTime)
    raised_run_id: int = Field(sa_type=BigId)
    cleared_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    cleared_run_id: int | None = Field(default=None, sa_type=BigId)
    state: str | None = None
    confirmed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    confirmed_run_id: int | None = Field(default=None, sa_type=BigId)
    note: str | None = Field(default=None, sa_type=Text)
    cleared_by: str | None = None
    cleared_why: str | None = Field(default=None, sa_type=Text)
    cleared_seq: int | None = Field(default=None, sa_type=BigId)
    """The stream's latest verdict when it was cleared, inclusive: evidence starts again after it."""
    acknowledged_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    acknowledged_by: str | None = None
    acknowledged_why: str | None = Field(default=None, sa_type=Text)
    confirmation: str | None = None
    waits_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    waits_past: datetime | None = Field(default=None, sa_type=UtcDateTime)


class BaselineRow(Row, table=True):
    __tablename__ = "baseline"
    __table_args__ = (
        Index(
            "ix_baseline_approved", "target", "suite", unique=True,
            sqlite_where=text("status = 'approved'"),
        ),
        Index("ix_baseline_series", "target", "suite", "id"),
        {"sqlite_autoincrement": True},
    )  # fmt: skip
    id: int | None = Field(default=None, sa_type=BigId, primary_key=True)
    target: str
    suite: str
    status: str
    suite_digest: str
    subject_model: str
    base_model: str | None = None
    starts_at: datetime = Field(sa_type=UtcDateTime)
    ends_at: datetime = Field(sa_type=UtcDateTime)
    day_seconds: float
    at_once: bool
    approved_by: str | None = None
    approved_why: str | None = Field(default=None, sa_type=Text)
    approved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    retired_by: str | None = None
    retired_why: str | None = Field(default=None, sa_type=Text)
    retired_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    conditions: Any = Field(default=None, sa_type=JSON, nullable=True)


class BaselineRunRow(Row, table=True):
    __tablename__ = "baseline_run"
    baseline_id: int = Field(sa_type=BigId, primary_key=True, foreign_key="baseline.id", ondelete="CASCADE")
    run_id: int = Field(sa_type=BigId, primary_key=True, foreign_key="run.id", ondelete="RESTRICT", index=True)


class CapabilityRow(Row, table=True):
    """Parameters that an endpoint accepted or refused, so that no further call is needed to learn it."""

    __tablename__ = "capability"
    provider: str = Field(primary_key=True)
    base_url: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    accepted: bool
    learnt_at: datetime = Field(sa_type=UtcDateTime)


class SelfTestRow(Row, table=True):
    """The latest self-test of each fault: how many copies of stored answers with it were detected."""

    __tablename__ = "self_test"
    target: str = Field(primary_key=True)
    suite: str = Field(primary_key=True)
    fault: str = Field(primary_key=True)
    caught: int
    trials: int
    tested_at: datetime = Field(sa_type=UtcDateTime)


class OutboxRow(Row, table=True):
    """A mail, composed once and sent at least once. ``body`` is the whole message as it goes over the wire."""

    __tablename__ = "outbox"
    __table_args__ = (UniqueConstraint("kind", "slot"), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, sa_type=BigId, primary_key=True)
    kind: str
    slot: datetime = Field(sa_type=UtcDateTime)
    message_id: str
    subject: str = Field(sa_type=Text)
    recipients: Any = Field(sa_type=JSON)
    body: bytes
    composed_at: datetime = Field(sa_type=UtcDateTime)
    status: str = Field(index=True)
    attempts: int = 0
    next_at: datetime = Field(sa_type=UtcDateTime)
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    failed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str | None = Field(default=None, sa_type=Text)


class AuditRow(Row, table=True):
    """Who did what, and why. Rows are only added."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_target", "target", "id"), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, sa_type=BigId, primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    who: str
    action: str
    target: str | None = None
    suite: str | None = None
    subject: str | None = None
    why: str = Field(sa_type=Text)
    address: str | None = None


class IdentityCheckRow(Row, table=True):
    """The latest of each identity check. ``since``: when ``result`` last changed."""

    __tablename__ = "identity_check"
    target: str = Field(primary_key=True)
    arm: str = Field(primary_key=True)
    check: str = Field(primary_key=True)
    expected: str = Field(sa_type=Text)
    found: str = Field(sa_type=Text)
    checked_at: datetime = Field(sa_type=UtcDateTime)
    since: datetime = Field(sa_type=UtcDateTime)
    result: str | None = None


class ServedMetadataRow(Row, table=True):
    """What a server's list says about a model: the latest (``baseline_id`` 0), and at each baseline's approval."""

    __tablename__ = "served_metadata"
    target: str = Field(primary_key=True)
    arm: str = Field(primary_key=True)
    baseline_id: int = Field(sa_type=BigId, primary_key=True)
    model: str
    facts: Any = Field(sa_type=JSON)
    seen_at: datetime = Field(sa_type=UtcDateTime)


class AcceptedRow(Row, table=True):
    """A value of the contract that a person accepted after the baseline: ``part`` as ``detect.contract`` names it."""

    __tablename__ = "accepted"
    target: str = Field(primary_key=True)
    suite: str = Field(primary_key=True)
    part: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    who: str
    why: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=UtcDateTime, primary_key=True)


class RetirementRow(Row, table=True):
    """When a target's model will be shut down, and the source."""

    __tablename__ = "retirement"
    target: str = Field(primary_key=True)
    arm: str = Field(primary_key=True)
    model: str
    retires_at: datetime = Field(sa_type=UtcDateTime)
    source: str
    checked_at: datetime = Field(sa_type=UtcDateTime)


class DeletionRow(Row, table=True):
    """Data of a run that was deleted, by kind. It is written before the first row is deleted; ``complete`` after the
    last."""

    __tablename__ = "deletion"
    run_id: int = Field(sa_type=BigId, primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    kind: str = Field(primary_key=True)
    why: str = Field(primary_key=True)
    days: int | None = None
    at: datetime = Field(sa_type=UtcDateTime)
    complete: bool


class StateRow(Row, table=True):
    """Small facts of the daemon itself, by key."""

    __tablename__ = "state"
    key: str = Field(primary_key=True)
    value: str = Field(sa_type=Text)


def _table(row: type[Row]) -> Table:
    return Row.metadata.tables[str(row.__tablename__)]


def for_postgresql() -> None:
    """Tell PostgreSQL's dialect which indexes are partial. Called by its engine, because naming the dialect imports all
    of it."""
    for table in Row.metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]


run: Final = _table(RunRow)
answer: Final = _table(AnswerRow)
score: Final = _table(ScoreRow)
unscored: Final = _table(UnscoredRow)
embedding: Final = _table(EmbeddingRow)
reservation: Final = _table(ReservationRow)
spend: Final = _table(SpendRow)
usage: Final = _table(UsageRow)
progress: Final = _table(ProgressRow)
finding: Final = _table(FindingRow)
verdict: Final = _table(VerdictRow)
latest_finding: Final = _table(LatestFindingRow)
alarm: Final = _table(AlarmRow)
baseline: Final = _table(BaselineRow)
baseline_run: Final = _table(BaselineRunRow)
capability: Final = _table(CapabilityRow)
suite_version: Final = _table(SuiteVersionRow)
production_input: Final = _table(ProductionInputRow)
input_subject: Final = _table(InputSubjectRow)
production_sample: Final = _table(ProductionSampleRow)
pushed_window: Final = _table(PushedWindowRow)
pushed_input: Final = _table(PushedInputRow)
pushed_ids: Final = _table(PushedIdsRow)
self_test: Final = _table(SelfTestRow)
outbox: Final = _table(OutboxRow)
audit: Final = _table(AuditRow)
identity_check: Final = _table(IdentityCheckRow)
served_metadata: Final = _table(ServedMetadataRow)
accepted: Final = _table(AcceptedRow)
retirement: Final = _table(RetirementRow)
deletion: Final = _table(DeletionRow)
state: Final = _table(StateRow)
