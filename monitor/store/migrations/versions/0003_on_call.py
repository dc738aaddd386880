"""What the on-call sees: mail to be sent, who did what, what endpoints say of their models, acknowledged alarms."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SERIES = [
    "target", "suite", "signal", "id", "run_id", "found_at", "alarming", "effect", "effect_low", "effect_high",
    "evidence_log10", "line_log10",
]  # fmt: skip
JUDGE_MOVED = ("finding", "verdict")


def upgrade() -> None:
    _outbox()
    _audit()
    _identity()
    op.add_column("alarm", sa.Column("acknowledged_at", TIME, nullable=True))
    op.add_column("alarm", sa.Column("acknowledged_by", sa.String(), nullable=True))
    op.add_column("alarm", sa.Column("acknowledged_why", sa.Text(), nullable=True))
    for table in JUDGE_MOVED:
        op.add_column(table, sa.Column("judge_moved", sa.Boolean(), nullable=True))
        op.execute(f"UPDATE {table} SET judge_moved = false")
    op.drop_index("ix_finding_series", "finding")
    op.create_index("ix_finding_series", "finding", SERIES, unique=False)
    op.create_index("ix_finding_alarming", "finding", ["alarming", "id"], unique=False)
    op.create_index("ix_run_finished", "run", ["target", "suite", "finished_at", "slot"], unique=False)
    lost = sa.text("reason IS NOT NULL")  # few: what a fleet lost is counted without reading what it answered
    op.create_index(
        "ix_answer_lost", "answer", ["run_id", "arm"], unique=False, sqlite_where=lost, postgresql_where=lost
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("slot", TIME, nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("recipients", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("composed_at", TIME, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("sent_at", TIME, nullable=True),
        sa.Column("failed_at", TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("kind", "slot", name=op.f("uq_outbox_kind_slot")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_status", "outbox", ["status"], unique=False)


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", BIG, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("suite", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_target", "audit", ["target", "id"], unique=False)


def _identity() -> None:
    op.create_table(
        "identity_check",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("check", sa.String(), nullable=False),
        sa.Column("matches", sa.Boolean(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.Column("found", sa.Text(), nullable=False),
        sa.Column("checked_at", TIME, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.PrimaryKeyConstraint("target", "arm", "check", name=op.f("pk_identity_check")),
    )
    op.create_table(
        "retirement",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("retires_at", TIME, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("checked_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("target", "arm", name=op.f("pk_retirement")),
    )


def downgrade() -> None:
    op.drop_index("ix_answer_lost", "answer")
    op.drop_index("ix_run_finished", "run")
    op.drop_index("ix_finding_alarming", "finding")
    op.drop_index("ix_finding_series", "finding")
    op.create_index("ix_finding_series", "finding", SERIES[:4], unique=False)
    for table in JUDGE_MOVED:
        op.drop_column(table, "judge_moved")
    for name in ("acknowledged_why", "acknowledged_by", "acknowledged_at"):
        op.drop_column("alarm", name)
    op.drop_index("ix_audit_target", "audit")
    op.drop_index("ix_outbox_status", "outbox")
    for table in ("retirement", "identity_check", "audit", "outbox"):
        op.drop_table(table)
