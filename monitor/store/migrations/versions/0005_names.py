"""Thresholds and evaluations by their names; columns are renamed in place on both databases, indexes included."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

RENAMED = (
    ("finding", "line_log10", "threshold_log10"),
    ("finding", "look_log10", "evaluation_log10"),
    ("finding", "looks", "evaluations"),
    ("verdict", "page_line_log10", "page_threshold_log10"),
    ("verdict", "ticket_line_log10", "ticket_threshold_log10"),
)


def upgrade() -> None:
    for table, before, after in RENAMED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {before} TO {after}")
    _rename_measure("base_match_ratio", "base_like_ratio")


def downgrade() -> None:
    _rename_measure("base_like_ratio", "base_match_ratio")
    for table, before, after in RENAMED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {after} TO {before}")


def _rename_measure(before: str, after: str) -> None:
    """A key of the JSON object ``finding.measures``; it is no part of any value there, as values are numbers."""
    text, json = ("measures", "") if op.get_bind().dialect.name == "sqlite" else ("measures::text", "::json")
    replaced = f"""replace({text}, '"{before}"', '"{after}"'){json}"""
    op.execute(f"UPDATE finding SET measures = {replaced} WHERE {text} LIKE '%{before}%'")
