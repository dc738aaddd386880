"""Deletes old data of finished runs, and says what is kept beyond its days and for what.

A run's data of one kind is deleted in chunks, each a transaction of its own. A row of ``deletion`` is written with the
first chunk, so a run whose texts are half deleted already counts as one without texts, and a killed process continues
where it stopped.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, case, delete, func, null, or_, select, union_all, update

from monitor.core.records import BaselineStatus, DataKind, DeletedWhy, Deletion, KeptFor, KeptRuns
from monitor.core.texts import deleted_text
from monitor.store.base import Connected
from monitor.store.change_markers import chunks
from monitor.store.dialect import insert
from monitor.store.tables import (
    alarm,
    answer,
    baseline,
    baseline_run,
    deletion,
    embedding,
    finding,
    latest_finding,
    production_input,
    run,
    score,
    unscored,
    verdict,
)

CHUNK: Final = 25
"""Probes whose answers are changed in one transaction: a few hundred rows, so a run that records waits for some
milliseconds."""

STANDING: Final = {
    BaselineStatus.CAPTURING.value: KeptFor.CAPTURING_BASELINE,
    BaselineStatus.CAPTURED.value: KeptFor.CAPTURED_BASELINE,
    BaselineStatus.APPROVED.value: KeptFor.APPROVED_BASELINE,
}
"""Status of a baseline -> why the data of its runs is kept."""

COMPARED: Final = (DataKind.TEXTS, DataKind.EMBEDDINGS, DataKind.SCORES)
"""What a verdict reads of a baseline's runs."""


def without_answers() -> Select[Any]:
    """The runs whose answers, or what a verdict reads of them, are not all there: they can be in no new baseline."""
    gone = deletion.c.why != DeletedWhy.NOT_KEPT.value  # hashes serve a verdict as texts do
    return select(deletion.c.run_id).where(gone, deletion.c.kind.in_([kind.value for kind in COMPARED]))


def _of_alarms(kind: DataKind) -> list[Select[Any]]:
    """The runs that raised or confirmed an open alarm, and that of its newest finding."""
    still = alarm.c.cleared_at.is_(None)
    same = and_(*(latest_finding.c[name] == alarm.c[name] for name in ("target", "suite", "signal")))
    newest = select(finding.c.run_id).join(latest_finding, latest_finding.c.finding_id == finding.c.id)
    return [
        select(alarm.c.raised_run_id).where(still),
        select(alarm.c.confirmed_run_id).where(still, alarm.c.confirmed_run_id.is_not(None)),
        newest.join(alarm, same).where(still),
    ]


def _of_baselines(kind: DataKind, status: str) -> list[Select[Any]]:
    if kind in COMPARED:
        members = select(baseline_run.c.run_id).join(baseline, baseline.c.id == baseline_run.c.baseline_id)
        return [members.where(baseline.c.status == status)]
    if kind is DataKind.FINDINGS:  # the evidence against a baseline is the scores of all findings since its approval
        since = select(verdict.c.run_id).join(baseline, baseline.c.id == verdict.c.baseline_id)
        return [since.where(baseline.c.status == status)]
    return []


def _of_open_runs(kind: DataKind) -> list[Select[Any]]:
    still = run.c.status != "done"
    return [select(column).where(still, column.is_not(None)) for column in (run.c.confirms, run.c.follows)]


def _newest(kind: DataKind) -> list[Select[Any]]:
    if kind is not DataKind.FINDINGS:
        return []
    return [select(finding.c.run_id).join(latest_finding, latest_finding.c.finding_id == finding.c.id)]


def _needed(kind: DataKind) -> dict[KeptFor, Select[Any]]:
    """Reason -> the runs whose data of this kind is kept for it, whatever its age. The first that holds is named."""
    queries = {
        KeptFor.OPEN_ALARM: _of_alarms(kind),
        **{reason: _of_baselines(kind, status) for status, reason in STANDING.items()},
        KeptFor.RUNNING_VERDICT: _of_open_runs(kind),
        KeptFor.NEWEST_FINDING: _newest(kind),
    }
    return {reason: select(union_all(*some).subquery()) for reason, some in queries.items() if some}


def _old(kind: DataKind, before: datetime) -> list[Any]:
    """The conditions of runs whose data of this kind is beyond its days and not deleted yet."""
    same = (deletion.c.run_id == run.c.id, deletion.c.kind == kind.value, deletion.c.complete)
    gone = select(deletion.c.run_id).where(*same, deletion.c.why == DeletedWhy.RETENTION.value).correlate(run)
    return [run.c.status == "done", run.c.finished_at < before, ~gone.exists()]


def _not_needed(kind: DataKind) -> list[Any]:
    return [run.c.id.not_in(query) for query in _needed(kind).values()]


class RetentionReads(Connected):
    """Methods that read what is deleted and what is due."""

    def deletions(self, run_ids: Sequence[int]) -> list[Deletion]:
        """What was deleted of these runs, by run, kind and reason."""
        columns = (deletion.c.run_id, deletion.c.kind, deletion.c.why, deletion.c.days, deletion.c.at)
        order = (deletion.c.run_id, deletion.c.kind, deletion.c.why)
        found: list[Deletion] = []
        with self._database.read() as connection:
            for some in chunks(sorted(set(run_ids))):
                rows = connection.execute(select(*columns).where(deletion.c.run_id.in_(some)).order_by(*order))
                found += [Deletion(row[0], DataKind(row[1]), DeletedWhy(row[2]), row[3], row[4]) for row in rows]
        return found

    def asked_days(self, until: datetime, count: int) -> list[datetime]:
        """The newest slot of each of the last ``count`` days with finished runs up to ``until``, newest first."""
        slots = select(run.c.slot).where(run.c.finished_at.is_not(None), run.c.slot <= until)
        with self._database.read() as connection:
            found: list[datetime] = []
            while len(found) < count:
                before = slots.where(run.c.slot < found[-1] - timedelta(hours=22)) if found else slots
                newest = connection.execute(before.order_by(run.c.slot.desc()).limit(1)).scalar()
                if newest is None:
                    break
                found.append(newest)
            return found

    def old_runs(self, kind: DataKind, before: datetime, limit: int = 1_000) -> list[int]:
        """Runs that ended before ``before`` and whose data of this kind nothing needs, oldest first."""
        where = (*_old(kind, before), *_not_needed(kind))
        with self._database.read() as connection:
            rows = connection.execute(select(run.c.id).where(*where).order_by(run.c.finished_at, run.c.id).limit(limit))
            return list(rows.scalars())

    def kept_runs(self, kind: DataKind, before: datetime) -> list[KeptRuns]:
        """Runs that ended before ``before`` and whose data of this kind is needed, counted by the first reason."""
        needed = _needed(kind)
        reason = case(*((run.c.id.in_(query), reason.value) for reason, query in needed.items()), else_=null())
        labelled = select(reason.label("reason")).where(*_old(kind, before)).subquery()
        counts = select(labelled.c.reason, func.count()).where(labelled.c.reason.is_not(None))
        with self._database.read() as connection:
            rows: Any = connection.execute(counts.group_by(labelled.c.reason).order_by(labelled.c.reason))
            return [KeptRuns(kind, KeptFor(name), int(count)) for name, count in rows]


class Retention(Connected):
    """Methods that delete old data."""

    def delete_old(self, kind: DataKind, run_id: int, days: int, now: datetime, most: int = CHUNK) -> bool:
        """Delete a run's data of one kind, at most the part of ``most`` probes. ``True`` if nothing is left, or if the
        run needs it again. Call it until then. ``days``: after which it is deleted."""
        with self._database.write() as connection:
            free = select(run.c.id).where(run.c.id == run_id, *_not_needed(kind)).with_for_update(of=run)
            if connection.execute(free).first() is None:
                return True
            _mark(connection, kind, run_id, DeletedWhy.RETENTION, days, now)
            some = _probes(connection, kind, run_id, days, most + 1)
            _delete(connection, kind, run_id, some[:most], days)
            if complete := len(some) <= most:
                _of_the_run(connection, kind, run_id, days)
                done = (deletion.c.run_id == run_id, deletion.c.kind == kind.value)
                connection.execute(update(deletion).where(*done).values(complete=True))
            return complete


def _mark(
    connection: Connection, kind: DataKind, run_id: int, why: DeletedWhy, days: int | None, now: datetime
) -> None:
    new = insert(connection, deletion).values(
        run_id=run_id, kind=kind.value, why=why.value, days=days, at=now, complete=False
    )
    connection.execute(new.on_conflict_do_nothing())


_NOT_EMPTY: Final = or_(answer.c.text != "", answer.c.detail != "", answer.c.logprobs.is_not(None))


def _probes(connection: Connection, kind: DataKind, run_id: int, days: int, limit: int) -> list[str]:
    """The next probes of the run with data of this kind that is not deleted."""
    gone = deleted_text(days)
    tables: Mapping[DataKind, tuple[Any, Iterable[Any]]] = {
        DataKind.TEXTS: (answer, (_NOT_EMPTY, answer.c.text != gone, answer.c.detail != gone)),
        DataKind.EXCHANGES: (answer, (answer.c.exchange.is_not(None),)),
        DataKind.EMBEDDINGS: (embedding, ()),
        DataKind.SCORES: (score, ()),
    }
    if kind not in tables:
        return []
    table, where = tables[kind]
    query = select(table.c.probe).distinct().where(table.c.run_id == run_id, *where)
    return list(connection.execute(query.order_by(table.c.probe).limit(limit)).scalars())


def _delete(connection: Connection, kind: DataKind, run_id: int, probes: Sequence[str], days: int) -> None:
    of_answer = (answer.c.run_id == run_id, answer.c.probe.in_(probes))
    of_score = (score.c.run_id == run_id, score.c.probe.in_(probes))
    if kind is DataKind.TEXTS:
        gone = deleted_text(days)
        texts = {name: _unless_empty(answer.c[name], gone) for name in ("text", "detail")}
        connection.execute(
            update(answer).where(*of_answer).values(**texts, logprobs=null(), hashed=null(), chars=null())
        )
        connection.execute(update(score).where(*of_score, score.c.detail != "").values(detail=gone))
    elif kind is DataKind.EXCHANGES:
        connection.execute(update(answer).where(*of_answer).values(exchange=null()))
    elif kind is DataKind.EMBEDDINGS:
        connection.execute(delete(embedding).where(embedding.c.run_id == run_id, embedding.c.probe.in_(probes)))
    elif kind is DataKind.SCORES:
        connection.execute(delete(score).where(*of_score))


def _unless_empty(column: Any, gone: str) -> Any:
    """An empty answer stays empty: that it was empty is a measurement."""
    return case((column == "", ""), else_=gone)


def _of_the_run(connection: Connection, kind: DataKind, run_id: int, days: int) -> None:
    """What is deleted for the run as a whole, after its answers."""
    if kind is DataKind.TEXTS:
        gone = deleted_text(days)
        body = {"messages": [{"role": "user", "content": gone}], "reference": None, "checks": [], "rubric": None}
        asked = update(production_input).where(production_input.c.run_id == run_id)
        connection.execute(asked.values(body=body, stratum=None))
        connection.execute(update(unscored).where(unscored.c.run_id == run_id).values(detail=""))
        connection.execute(update(finding).where(finding.c.run_id == run_id).values(exhibits=[]))
    elif kind is DataKind.SCORES:
        connection.execute(delete(unscored).where(unscored.c.run_id == run_id))
    elif kind is DataKind.FINDINGS:
        connection.execute(delete(finding).where(finding.c.run_id == run_id))


def cutoff(now: datetime, days: int) -> datetime:
    """Data of runs that ended before it is beyond its days."""
    return now - timedelta(days=days)
