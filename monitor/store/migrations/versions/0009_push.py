"""Inputs that clients push: what is kept of each day, and hashes of recent ids."""

import sqlalchemy as sa
from alembic import op

from monitor.store.column_types import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pushed_window",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("opened", UtcDateTime(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("strata", sa.JSON(), nullable=False),
        sa.Column("tally", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("target", "opened"),
    )
    op.create_index("ix_pushed_window_opened", "pushed_window", ["opened"])
    op.create_table(
        "pushed_input",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("opened", UtcDateTime(), nullable=False),
        sa.Column("stratum", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("target", "opened", "stratum", "key"),
    )
    op.create_index("ix_pushed_input_opened", "pushed_input", ["opened"])
    op.create_table(
        "pushed_ids",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("part", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("target", "part"),
    )


def downgrade() -> None:
    op.drop_table("pushed_ids")
    op.drop_table("pushed_input")
    op.drop_table("pushed_window")
