"""Evidence instead of p-values: verdicts and their order, alarms with a state, embeddings, self-tests.

Columns are added and dropped in place, on SQLite too (3.35 can, and the ledger's RETURNING needs it anyway): to copy
``finding`` or ``run``, as Alembic's batch mode does, would drop the old table and with it, by its foreign keys'
cascade, everything that points to it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _verdict()
    _self_test()
    _embedding()
    op.add_column("run", sa.Column("confirms", BIG, nullable=True))
    op.create_index("ix_run_confirms", "run", ["confirms"], unique=True)
    op.drop_column("latest_finding", "slot")
    _finding()
    _alarm()


def _verdict() -> None:
    op.create_table(
        "verdict",
        sa.Column("seq", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("baseline_id", BIG, nullable=False),
        sa.Column("page_line_log10", sa.Float(), nullable=False),
        sa.Column("ticket_line_log10", sa.Float(), nullable=False),
        sa.Column("cliffwatch", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_verdict_run_id_run"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_verdict")),
        sa.UniqueConstraint("run_id", name=op.f("uq_verdict_run_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_verdict_stream", "verdict", ["target", "suite", "seq"], unique=False)


def _self_test() -> None:
    op.create_table(
        "self_test",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("fault", sa.String(), nullable=False),
        sa.Column("caught", sa.Integer(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("tested_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("target", "suite", "fault", name=op.f("pk_self_test")),
    )


def _embedding() -> None:
    op.create_table(
        "embedding",
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("probe", sa.String(), nullable=False),
        sa.Column("replicate", sa.Integer(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "arm", "probe", "replicate"],
            ["answer.run_id", "answer.arm", "answer.probe", "answer.replicate"],
            name="fk_embedding_answer",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "arm", "probe", "replicate", name=op.f("pk_embedding")),
    )


def _finding() -> None:
    """Old findings keep everything but their p-value and alpha; of evidence they have none, which is no number."""
    for name, kind in (
        ("evidence_log10", sa.Float()),
        ("look_log10", sa.Float()),
        ("line_log10", sa.Float()),
        ("looks", sa.Integer()),
        ("scores", sa.JSON()),
        ("recovered", sa.Boolean()),
        ("confirming", sa.Boolean()),
        ("baseline_id", BIG),
    ):
        op.add_column("finding", sa.Column(name, kind, nullable=True))
    op.execute("UPDATE finding SET looks = 0, scores = '{}', recovered = false, confirming = false, baseline_id = 0")
    op.drop_column("finding", "p_value")
    op.drop_column("finding", "alpha")


def _alarm() -> None:
    """Old alarms were raised and told in one: those still open are confirmed, by the run that raised them."""
    for name, kind in (
        ("state", sa.String()),
        ("confirmed_at", TIME),
        ("confirmed_run_id", BIG),
        ("note", sa.Text()),
        ("cleared_by", sa.String()),
        ("cleared_why", sa.Text()),
        ("cleared_seq", BIG),
    ):
        op.add_column("alarm", sa.Column(name, kind, nullable=True))
    op.execute(
        "UPDATE alarm SET note = '', confirmed_at = raised_at, confirmed_run_id = raised_run_id, "
        "state = CASE WHEN cleared_at IS NULL THEN 'confirmed' ELSE 'cleared' END, "
        "cleared_seq = CASE WHEN cleared_at IS NULL THEN NULL ELSE 0 END"
    )


def downgrade() -> None:
    for name in ("cleared_seq", "cleared_why", "cleared_by", "note", "confirmed_run_id", "confirmed_at", "state"):
        op.drop_column("alarm", name)
    op.add_column("finding", sa.Column("p_value", sa.Float(), nullable=True))
    op.add_column("finding", sa.Column("alpha", sa.Float(), nullable=True))
    op.execute("UPDATE finding SET alpha = 0")
    for name in (
        "baseline_id", "confirming", "recovered", "scores", "looks", "line_log10", "look_log10", "evidence_log10",
    ):  # fmt: skip
        op.drop_column("finding", name)
    op.add_column("latest_finding", sa.Column("slot", TIME, nullable=True))
    op.execute(
        "UPDATE latest_finding SET slot = (SELECT run.slot FROM finding JOIN run ON run.id = finding.run_id "
        "WHERE finding.id = latest_finding.finding_id)"
    )
    op.drop_index("ix_run_confirms", "run")
    op.drop_column("run", "confirms")
    for table in ("embedding", "self_test", "verdict"):
        op.drop_table(table)
