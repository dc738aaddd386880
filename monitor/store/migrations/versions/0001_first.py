"""The first schema: ledger, answers, scores, findings, alarms, baselines, budget."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _alarm()
    _baseline()
    _capability()
    _reservation()
    _run()
    _spend()
    _state()
    _suite_progress()
    _suite_version()
    _usage()
    _answer()
    _baseline_run()
    _finding()
    _production_input()
    _latest_finding()
    _score()


def downgrade() -> None:
    for table in (
        "score",
        "latest_finding",
        "production_input",
        "finding",
        "baseline_run",
        "answer",
        "usage",
        "suite_version",
        "suite_progress",
        "state",
        "spend",
        "run",
        "reservation",
        "capability",
        "baseline",
        "alarm",
    ):
        op.drop_table(table)


def _alarm() -> None:
    op.create_table(
        "alarm",
        sa.Column("id", BIG, nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("signal", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("raised_at", TIME, nullable=False),
        sa.Column("raised_run_id", BIG, nullable=False),
        sa.Column("cleared_at", TIME, nullable=True),
        sa.Column("cleared_run_id", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_alarm_raised",
        "alarm",
        ["target", "suite", "signal"],
        unique=True,
        sqlite_where=sa.text("cleared_at IS NULL"),
        postgresql_where=sa.text("cleared_at IS NULL"),
    )


def _baseline() -> None:
    op.create_table(
        "baseline",
        sa.Column("id", BIG, nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("suite_digest", sa.String(), nullable=False),
        sa.Column("subject_model", sa.String(), nullable=False),
        sa.Column("base_model", sa.String(), nullable=True),
        sa.Column("starts_at", TIME, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("day_seconds", sa.Float(), nullable=False),
        sa.Column("at_once", sa.Boolean(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("approved_why", sa.Text(), nullable=True),
        sa.Column("approved_at", TIME, nullable=True),
        sa.Column("retired_by", sa.String(), nullable=True),
        sa.Column("retired_why", sa.Text(), nullable=True),
        sa.Column("retired_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_baseline")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_baseline_approved",
        "baseline",
        ["target", "suite"],
        unique=True,
        sqlite_where=sa.text("status = 'approved'"),
        postgresql_where=sa.text("status = 'approved'"),
    )
    op.create_index("ix_baseline_series", "baseline", ["target", "suite", "id"], unique=False)


def _capability() -> None:
    op.create_table(
        "capability",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("base_url", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("learnt_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("provider", "base_url", "model", "name", name=op.f("pk_capability")),
    )


def _reservation() -> None:
    op.create_table(
        "reservation",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservation")),
    )
    op.create_index(op.f("ix_reservation_expires_at"), "reservation", ["expires_at"], unique=False)


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("id", BIG, nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("slot", TIME, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("starts_at", TIME, nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("suite_digest", sa.String(), nullable=False),
        sa.Column("scheduled", sa.Boolean(), nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("target", "suite", "slot", name=op.f("uq_run_target_suite_slot")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_run_open",
        "run",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("status <> 'done'"),
        postgresql_where=sa.text("status <> 'done'"),
    )


def _spend() -> None:
    op.create_table(
        "spend",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("reserved_nano", sa.BigInteger(), nullable=False),
        sa.Column("reserved_requests", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("target", "day", name=op.f("pk_spend")),
    )
    op.create_index(op.f("ix_spend_day"), "spend", ["day"], unique=False)


def _state() -> None:
    op.create_table(
        "state",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_state")),
    )


def _suite_progress() -> None:
    op.create_table(
        "suite_progress",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("latest_slot", TIME, nullable=True),
        sa.Column("last_attempt", TIME, nullable=True),
        sa.Column("last_success", TIME, nullable=True),
        sa.Column("measured", sa.Integer(), nullable=False),
        sa.Column("partial", sa.Integer(), nullable=False),
        sa.Column("unmeasured", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("target", "suite", name=op.f("pk_suite_progress")),
    )


def _suite_version() -> None:
    op.create_table(
        "suite_version",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_suite_version")),
    )


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", "arm", "provider", "model", "outcome", name=op.f("pk_usage")),
    )


def _answer() -> None:
    op.create_table(
        "answer",
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("probe", sa.String(), nullable=False),
        sa.Column("replicate", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("asked_model", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("finish_reason", sa.String(), nullable=True),
        sa.Column("refusal", sa.Boolean(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("latency_seconds", sa.Float(), nullable=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("usd", sa.Float(), nullable=False),
        sa.Column("exchange", sa.JSON(), nullable=True),
        sa.Column("logprobs", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_answer_run_id_run"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "arm", "probe", "replicate", name=op.f("pk_answer")),
    )


def _baseline_run() -> None:
    op.create_table(
        "baseline_run",
        sa.Column("baseline_id", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["baseline_id"], ["baseline.id"], name=op.f("fk_baseline_run_baseline_id_baseline"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_baseline_run_run_id_run"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("baseline_id", "run_id", name=op.f("pk_baseline_run")),
    )
    op.create_index(op.f("ix_baseline_run_run_id"), "baseline_run", ["run_id"], unique=False)


def _finding() -> None:
    op.create_table(
        "finding",
        sa.Column("id", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("signal", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("alarming", sa.Boolean(), nullable=False),
        sa.Column("effect", sa.Float(), nullable=True),
        sa.Column("effect_low", sa.Float(), nullable=True),
        sa.Column("effect_high", sa.Float(), nullable=True),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("p_value", sa.Float(), nullable=True),
        sa.Column("alpha", sa.Float(), nullable=False),
        sa.Column("answers_now", sa.Integer(), nullable=False),
        sa.Column("answers_baseline", sa.Integer(), nullable=False),
        sa.Column("window_start", TIME, nullable=False),
        sa.Column("window_end", TIME, nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("measures", sa.JSON(), nullable=False),
        sa.Column("exhibits", sa.JSON(), nullable=False),
        sa.Column("found_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_finding_run_id_run"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint("run_id", "signal", name=op.f("uq_finding_run_id_signal")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_finding_series", "finding", ["target", "suite", "signal", "id"], unique=False)


def _production_input() -> None:
    op.create_table(
        "production_input",
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("probe", sa.String(), nullable=False),
        sa.Column("stratum", sa.String(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_production_input_run_id_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_production_input")),
    )


def _latest_finding() -> None:
    op.create_table(
        "latest_finding",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("signal", sa.String(), nullable=False),
        sa.Column("slot", TIME, nullable=False),
        sa.Column("finding_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["finding_id"], ["finding.id"], name=op.f("fk_latest_finding_finding_id_finding"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("target", "suite", "signal", name=op.f("pk_latest_finding")),
    )


def _score() -> None:
    op.create_table(
        "score",
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("probe", sa.String(), nullable=False),
        sa.Column("replicate", sa.Integer(), nullable=False),
        sa.Column("grader", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "arm", "probe", "replicate"],
            ["answer.run_id", "answer.arm", "answer.probe", "answer.replicate"],
            name="fk_score_answer",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "arm", "probe", "replicate", "grader", name=op.f("pk_score")),
    )
