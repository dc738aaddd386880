"""Deleted data by run and kind, and whose production inputs are, and answers without texts."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("answer", sa.Column("hashed", sa.String(), nullable=True))
    op.add_column("answer", sa.Column("chars", sa.Integer(), nullable=True))
    op.create_table(
        "deletion",
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_deletion_run_id_run", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "kind", "why", name="pk_deletion"),
    )
    op.create_table(
        "input_subject",
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("probe", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_input_subject_run_id_run", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "probe", "subject", name="pk_input_subject"),
    )
    op.create_index("ix_input_subject_subject", "input_subject", ["subject"])


def downgrade() -> None:
    op.drop_table("input_subject")
    op.drop_table("deletion")
    op.drop_column("answer", "chars")
    op.drop_column("answer", "hashed")
