"""What replies say besides their text: where the text is, who served it, cached tokens; and accepted values."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ANSWER: dict[str, TypeEngine[Any]] = {"text_in": sa.String(), "served": sa.JSON(), "cached_tokens": sa.Integer()}


def upgrade() -> None:
    for name, kind in ANSWER.items():
        op.add_column("answer", sa.Column(name, kind, nullable=True))
    op.create_table(
        "accepted",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("target", "suite", "part", "value", name=op.f("pk_accepted")),
    )


def downgrade() -> None:
    op.drop_table("accepted")
    for name in ANSWER:
        op.drop_column("answer", name)
