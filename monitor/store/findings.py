"""Findings, the alarms they raise and clear, and the end of a run."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from monitor.records import Alarm, Exhibit, Finding, Run, RunOutcome, Severity
from monitor.store import baselines, ledger
from monitor.store.dialect import insert
from monitor.store.tables import alarm, finding, latest_finding, run
from monitor.store.types import clean

NUMBERS = ("effect", "effect_low", "effect_high", "p_value")
"""Columns that hold NULL for a number that could not be had (NaN)."""


def finish(
    connection: Connection, run_id: int, fence: int, outcome: RunOutcome, found: Sequence[Finding], now: datetime,
    *, clears: bool,
) -> bool:  # fmt: skip
    """Findings, alarms, baselines and the run's end together; ``False`` and nothing written when the fence is stale."""
    done = ledger.lock(connection, run_id, fence)
    if done is None:
        return _finished_before(connection, run_id, fence)
    for item in found:
        _point(connection, done, item, _save(connection, done, item, now))
        _move_alarm(connection, done, item, now, clears=clears)
    ledger.close(connection, done, outcome, now)
    if outcome is not RunOutcome.UNMEASURED:
        baselines.join(connection, done)
    return True


def _finished_before(connection: Connection, run_id: int, fence: int) -> bool:
    """Whether this very fence finished the run already, so that a repeated call is told the same."""
    where = (run.c.id == run_id, run.c.fence == fence, run.c.status == "done")
    return connection.execute(select(run.c.id).where(*where)).first() is not None


def _save(connection: Connection, done: Run, item: Finding, now: datetime) -> int:
    values = _row(done, item) | {"found_at": now}
    new = insert(connection, finding).values(values)
    changed = {name: value for name, value in values.items() if name not in ("run_id", "signal")}
    upsert = new.on_conflict_do_update(index_elements=["run_id", "signal"], set_=changed)
    return int(connection.execute(upsert.returning(finding.c.id)).scalar_one())


def _row(done: Run, item: Finding) -> dict[str, Any]:
    row = {name: getattr(item, name) for name in (*NUMBERS, "alarming", "unit", "alpha", "signal")}
    return row | {
        **{name: None if math.isnan(row[name]) else float(row[name]) for name in NUMBERS},
        "run_id": done.id, "target": done.target, "suite": done.suite, "severity": item.severity.value,
        "answers_now": item.answers_now, "answers_baseline": item.answers_baseline,
        "window_start": item.window_start, "window_end": item.window_end, "summary": clean(item.summary),
        "measures": {name: float(v) for name, v in item.measures.items() if math.isfinite(v)},
        "exhibits": [asdict(exhibit) for exhibit in item.exhibits],
    }  # fmt: skip


def _point(connection: Connection, done: Run, item: Finding, finding_id: int) -> None:
    """Point the signal's series at this finding: the verdict reached last counts, whatever its run's slot.

    A run made by hand in mid-day has a later slot than the day's own, which then ends after it.
    """
    new = insert(connection, latest_finding).values(
        target=done.target, suite=done.suite, signal=item.signal, slot=done.slot, finding_id=finding_id
    )
    moved = {"slot": new.excluded.slot, "finding_id": new.excluded.finding_id}
    connection.execute(new.on_conflict_do_update(index_elements=["target", "suite", "signal"], set_=moved))


def _move_alarm(connection: Connection, done: Run, item: Finding, now: datetime, *, clears: bool) -> None:
    """Raise the signal's alarm if it is not raised, or clear it."""
    same = (alarm.c.target == done.target, alarm.c.suite == done.suite, alarm.c.signal == item.signal)
    raised = connection.execute(select(alarm.c.id).where(*same, alarm.c.cleared_at.is_(None))).scalar()
    if item.alarming and raised is None:
        connection.execute(
            alarm.insert().values(
                target=done.target, suite=done.suite, signal=item.signal, severity=item.severity.value,
                raised_at=now, raised_run_id=done.id,
            )
        )  # fmt: skip
    elif not item.alarming and raised is not None and clears:
        connection.execute(update(alarm).where(alarm.c.id == raised).values(cleared_at=now, cleared_run_id=done.id))


def findings(
    connection: Connection, target: str | None, suite: str | None, run_id: int | None, signal: str | None,
    alarming: bool | None, limit: int,
) -> list[Finding]:  # fmt: skip
    wanted = {"target": target, "suite": suite, "run_id": run_id, "signal": signal, "alarming": alarming}
    query = select(finding).order_by(finding.c.id.desc()).limit(limit)
    for name, value in wanted.items():
        if value is not None:
            query = query.where(finding.c[name] == value)
    return [_to_finding(row) for row in connection.execute(query)]


def latest(connection: Connection, target: str | None, suite: str | None, *, exhibits: bool) -> list[Finding]:
    columns = [column for column in finding.columns if exhibits or column.name != "exhibits"]
    query = select(*columns).join(latest_finding, latest_finding.c.finding_id == finding.c.id)
    query = query if target is None else query.where(latest_finding.c.target == target)
    query = query if suite is None else query.where(latest_finding.c.suite == suite)
    query = query.order_by(latest_finding.c.target, latest_finding.c.suite, latest_finding.c.signal)
    return [_to_finding(row) for row in connection.execute(query)]


def _to_finding(row: Any) -> Finding:
    values = dict(row._mapping)
    del values["id"], values["found_at"]
    for name in NUMBERS:
        values[name] = math.nan if values[name] is None else values[name]
    values["severity"] = Severity(values["severity"])
    values["exhibits"] = tuple(_to_exhibit(exhibit) for exhibit in values.get("exhibits", ()))
    return Finding(**values)


def _to_exhibit(exhibit: dict[str, Any]) -> Exhibit:
    return Exhibit(**{**exhibit, "weight": float(exhibit["weight"])})


def alarms(
    connection: Connection, target: str | None, suite: str | None, raised: bool | None, limit: int
) -> list[Alarm]:
    query = select(alarm).order_by(alarm.c.id.desc()).limit(limit)
    query = query if target is None else query.where(alarm.c.target == target)
    query = query if suite is None else query.where(alarm.c.suite == suite)
    if raised is not None:
        query = query.where(alarm.c.cleared_at.is_(None) if raised else alarm.c.cleared_at.is_not(None))
    return [Alarm(**{**row._mapping, "severity": Severity(row.severity)}) for row in connection.execute(query)]
