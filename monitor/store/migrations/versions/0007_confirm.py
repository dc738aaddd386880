"""Whether a finding is structural, until when an alarm waits for another day, and after which run one is asked too."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FOLLOWS = sa.text("follows IS NOT NULL")
WAITS = ("waits_until", "waits_past")
STRUCTURAL = (
    "signal IN ('adapter_loss', 'base_match') OR (signal IN ('canaries', 'negative_flips') AND effect >= 0.5) "
    "OR (signal = 'judge_score' AND effect <= -0.5)"
)
"""From the stored effect, which is the change that decides. NULL without an effect, which counts as false."""


def upgrade() -> None:
    op.add_column("finding", sa.Column("structural", sa.Boolean(), nullable=True))
    op.execute(f"UPDATE finding SET structural = ({STRUCTURAL})")
    for name in WAITS:
        op.add_column("alarm", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("run", sa.Column("follows", BIG, nullable=True))
    op.create_index("ix_run_follows", "run", ["follows"], sqlite_where=FOLLOWS, postgresql_where=FOLLOWS)


def downgrade() -> None:
    op.execute(
        "UPDATE alarm SET confirmation = CASE confirmation WHEN 'another_day' THEN 'later_look' "
        "WHEN 'another_day_disagrees' THEN 'fresh_sample_disagrees' "
        "WHEN 'awaits_another_day' THEN CASE WHEN state = 'raised' THEN NULL ELSE 'fresh_sample_disagrees' END "
        "ELSE confirmation END"
    )
    op.drop_index("ix_run_follows", "run")
    op.drop_column("run", "follows")
    for name in WAITS:
        op.drop_column("alarm", name)
    op.drop_column("finding", "structural")
