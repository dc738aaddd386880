"""How days differ: what each finding shows of it, and what a verdict borrowed from other suites."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("finding", sa.Column("ways", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("verdict", sa.Column("fleet", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("verdict", "fleet")
    op.drop_column("finding", "ways")
