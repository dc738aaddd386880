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
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
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
        sa.PrimaryKeyConstraint("target", "suite", "part", "value", "at", name=op.f("pk_accepted")),
    )
    op.create_table(
        "unscored",
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("probe", sa.String(), nullable=False),
        sa.Column("replicate", sa.Integer(), nullable=False),
        sa.Column("grader", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "arm", "probe", "replicate"],
            ["answer.run_id", "answer.arm", "answer.probe", "answer.replicate"],
            name="fk_unscored_answer",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "arm", "probe", "replicate", "grader", name=op.f("pk_unscored")),
    )
    op.create_table(
        "served_metadata",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("baseline_id", BIG, nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("target", "arm", "baseline_id", name=op.f("pk_served_metadata")),
    )
    op.add_column("identity_check", sa.Column("result", sa.String(), nullable=True))
    op.execute("UPDATE identity_check SET result = CASE WHEN matches THEN 'matches' ELSE 'differs' END")
    op.drop_column("identity_check", "matches")


def downgrade() -> None:
    op.add_column("identity_check", sa.Column("matches", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.execute("UPDATE identity_check SET matches = (result <> 'differs')")
    op.drop_column("identity_check", "result")
    op.drop_table("served_metadata")
    op.drop_table("unscored")
    op.drop_table("accepted")
    for name in ANSWER:
        op.drop_column("answer", name)
