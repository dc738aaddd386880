"""What servers say about the models that they list, now and when a baseline was approved; and the last requests."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select

from monitor.core.records import Arm, Baseline, BaselineStatus, Reason, ServedBy, ServedMetadata
from monitor.store.base import Connected
from monitor.store.dialect import insert
from monitor.store.tables import answer, baseline, run, served_metadata

LATEST: Final = 0
"""``baseline_id`` of what a server said last."""
LAST_RUNS: Final = 20
"""Newest runs of a target among which one is looked for that asked a model."""
MOST_REQUESTS: Final = 2_000
MOST_FACTS: Final = 20
PIECE: Final = 200
"""Rows per transaction."""


class LastRequest(NamedTuple):
    """One request of the newest run that asked a model."""

    at: datetime
    answered: bool
    """Also if a limit cut the answer before any text: the model replied."""
    status: int | None
    """HTTP status of the reply, if known."""
    detail: str
    said: str | None
    """The model id in the reply."""


def keep(connection: Connection, approved: Baseline) -> None:
    """Keep what the target's servers say now with the baseline that is being approved."""
    rows = [
        {**row._mapping, "baseline_id": approved.id}
        for row in connection.execute(
            select(served_metadata).where(
                served_metadata.c.target == approved.target, served_metadata.c.baseline_id == LATEST
            )
        )
    ]
    if rows:
        connection.execute(insert(connection, served_metadata).on_conflict_do_nothing(), rows)


def _to_record(row: Any) -> ServedMetadata:
    return ServedMetadata(row.target, Arm(row.arm), row.model, row.facts, row.seen_at)


class ServedReads(Connected):
    """Methods that read what servers said."""

    def served_metadata(self, target: str | None = None) -> list[ServedMetadata]:
        """What a server said last about each (target, arm) that it lists."""
        query = select(served_metadata).where(served_metadata.c.baseline_id == LATEST)
        query = query if target is None else query.where(served_metadata.c.target == target)
        with self._database.read() as connection:
            return [_to_record(row) for row in connection.execute(query)]

    def approved_metadata(self, target: str | None = None) -> list[tuple[ServedMetadata, datetime]]:
        """What the server said about each (target, arm) when its newest approved baseline was approved, and when."""
        same = (baseline.c.id == served_metadata.c.baseline_id, baseline.c.status == BaselineStatus.APPROVED.value)
        query = select(served_metadata, baseline.c.approved_at).where(*same).order_by(baseline.c.approved_at)
        query = query if target is None else query.where(served_metadata.c.target == target)
        with self._database.read() as connection:
            newest = {(row.target, row.arm): row for row in connection.execute(query)}
        return [(_to_record(row), row.approved_at) for row in newest.values()]

    def last_requests(self, target: str, arm: Arm, provider: str, model: str) -> list[LastRequest]:
        """The requests of the newest run that asked this model with a reply, usable or refused; empty without one.

        Requests without a reply, such as time-outs, say nothing about the model.
        """
        runs = select(run.c.id).where(run.c.target == target).order_by(run.c.id.desc()).limit(LAST_RUNS)
        asked = (
            answer.c.arm == arm.value, answer.c.provider == provider, answer.c.asked_model == model,
            (answer.c.reason.is_(None)) | answer.c.reason.in_((Reason.REJECTED.value, Reason.TRUNCATED.value)),
        )  # fmt: skip
        with self._database.read() as connection:
            ids: Sequence[int] = connection.execute(runs).scalars().all()
            last = select(func.max(answer.c.run_id)).where(answer.c.run_id.in_(ids), *asked)
            newest = connection.execute(last).scalar()
            if newest is None:
                return []
            columns = (answer.c.asked_at, answer.c.reason, answer.c.exchange["status"].as_integer(), answer.c.detail,
                       answer.c.model)  # fmt: skip
            rows = connection.execute(select(*columns).where(answer.c.run_id == newest, *asked).limit(MOST_REQUESTS))
            return [
                LastRequest(at, reason != Reason.REJECTED.value, status, detail, said)
                for at, reason, status, detail, said in rows
            ]

    def served_by(self, run_ids: Sequence[int]) -> list[ServedBy]:
        """What replies to the subject's questions say about who served them, most frequent first; for one of the runs
        each."""
        mine = (answer.c.run_id.in_(run_ids), answer.c.arm == Arm.SUBJECT.value, answer.c.reason.is_(None))
        said: Counter[tuple[str, str]] = Counter()
        with self._database.read() as connection:
            rows = connection.execute(select(answer.c.served, answer.c.cached_tokens).where(*mine)).all()
        for served, cached in rows:
            said.update((served or {}).items())
            said.update([("cached prompt tokens", "none" if not cached else "some")] if cached is not None else [])
        return [ServedBy(name, value, count, len(rows)) for (name, value), count in said.most_common(MOST_FACTS)]


class Served(Connected):
    """Methods that store what servers say."""

    def save_served_metadata(self, items: Sequence[ServedMetadata]) -> None:
        """Store what servers say now; replaces what they said before. A fleet's in several transactions."""
        rows = [
            {"target": one.target, "arm": one.arm.value, "baseline_id": LATEST, "model": one.model,
             "facts": dict(one.facts), "seen_at": one.seen_at}
            for one in items
        ]  # fmt: skip
        keys = list(served_metadata.primary_key.columns)
        for start in range(0, len(rows), PIECE):
            with self._database.write() as c:
                new = insert(c, served_metadata)
                changed = {name: new.excluded[name] for name in ("model", "facts", "seen_at")}
                c.execute(new.on_conflict_do_update(index_elements=keys, set_=changed), rows[start : start + PIECE])
