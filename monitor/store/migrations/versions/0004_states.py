"""States as data: what a finding is and advises, and what confirmed an alarm, in columns of their own.

``finding.summary`` held all of it as sentences. It is renamed to ``what``, which keeps the claim alone: a column can be
renamed in place on both databases.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from alembic import op

from monitor.store.migrations import summaries

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BATCH = 1000
"""Rows that are read and written at a time."""
COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "state": sa.String(),
    "cause": sa.String(),
    "advice": sa.String(),
    "traffic_share": sa.Float(),
    "disagrees": sa.Boolean(),
    "numbers": sa.Text(),
    "caveat": sa.Text(),
}
READ = (
    "target", "signal", "alarming", "recovered", "effect", "effect_high", "evidence_log10", "line_log10", "scores",
)  # fmt: skip
FINDING = sa.table(
    "finding",
    sa.column("id", sa.BigInteger()),
    sa.column("what", sa.Text()),
    *(sa.column(name) for name in READ if name not in ("scores", "alarming", "recovered")),
    sa.column("alarming", sa.Boolean()),
    sa.column("recovered", sa.Boolean()),
    sa.column("scores", sa.JSON()),
    *(sa.column(name, kind) for name, kind in COLUMNS.items()),
)
ALARM = sa.table("alarm", sa.column("note", sa.Text()), sa.column("confirmation", sa.String()))


def upgrade() -> None:
    op.execute("ALTER TABLE finding RENAME COLUMN summary TO what")
    for name, kind in COLUMNS.items():
        op.add_column("finding", sa.Column(name, kind, nullable=True))
    for rows in _batches([FINDING.c.what]):
        _write([asdict(summaries.read(row.what, _row(row))) | {"number": row.id} for row in rows])
    op.add_column("alarm", sa.Column("confirmation", sa.String(), nullable=True))
    connection = op.get_bind()
    for note in connection.execute(sa.select(ALARM.c.note).distinct()).scalars().all():
        known = sa.update(ALARM).where(ALARM.c.note == note).values(confirmation=summaries.confirmation(note))
        connection.execute(known)


def downgrade() -> None:
    op.drop_column("alarm", "confirmation")
    names = ("what", *COLUMNS)
    for rows in _batches([FINDING.c[name] for name in names]):
        told = [(row, summaries.Parts(**{name: getattr(row, name) for name in names})) for row in rows]
        _write([{"what": summaries.write(parts, _row(row)), "number": row.id} for row, parts in told])
    for name in reversed(COLUMNS):
        op.drop_column("finding", name)
    op.execute("ALTER TABLE finding RENAME COLUMN what TO summary")


def _batches(more: Sequence[sa.ColumnClause[Any]]) -> Iterator[Sequence[sa.Row[Any]]]:
    """All findings in the order of their ids; none of the answers that they show."""
    columns = [FINDING.c.id, *(FINDING.c[name] for name in READ), *more]
    last = -1
    while rows := op.get_bind().execute(_after(columns, last)).all():
        yield rows
        last = rows[-1].id


def _after(columns: Sequence[sa.ColumnClause[Any]], last: int) -> sa.Select[Any]:
    return sa.select(*columns).where(FINDING.c.id > last).order_by(FINDING.c.id).limit(BATCH)


def _write(rows: Sequence[dict[str, Any]]) -> None:
    """Update one finding for each of ``rows``: its id under ``number``, the rest by the columns' names."""
    values: dict[str, Any] = {name: sa.bindparam(name) for name in rows[0] if name != "number"}
    op.get_bind().execute(sa.update(FINDING).where(FINDING.c.id == sa.bindparam("number")).values(values), rows)


def _row(row: sa.Row[Any]) -> summaries.Row:
    values = {name: getattr(row, name) for name in READ}
    return summaries.Row(**values | {"recovered": bool(row.recovered), "scores": row.scores or {}})
