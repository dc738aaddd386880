"""Deleted data by run and kind."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
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


def downgrade() -> None:
    op.drop_table("deletion")
