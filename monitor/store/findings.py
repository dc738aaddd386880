"""Findings, and the transaction that ends a run."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, select

from monitor.core.errors import StoreError
from monitor.core.records import (
    Advice,
    Alarm,
    Cause,
    Exhibit,
    Finding,
    FindingState,
    Run,
    RunOutcome,
    Severity,
    VerdictContext,
)
from monitor.store import alarms, baselines, history, ledger
from monitor.store.base import Connected
from monitor.store.column_types import clean
from monitor.store.dialect import insert
from monitor.store.history import Position
from monitor.store.tables import finding, latest_finding, run, verdict

NUMBERS: Final = ("effect", "effect_low", "effect_high", "evidence_log10", "evaluation_log10", "threshold_log10")
"""Columns with NULL for a missing number (NaN)."""

SAME: Final = ("alarming", "unit", "signal", "evaluations", "recovered", "confirming", "baseline_id", "judge_moved",
               "disagrees", "structural")  # fmt: skip
"""Columns that hold the finding's own value."""

LATER: Final = ("judge_moved", "structural")
"""Columns with NULL for false in findings from before they existed."""

WORDS: Final = ("what", "numbers", "caveat")
"""Columns with text for people. No code reads a state from them."""

MOMENT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class More:
    """One more run to ask after this one, because the evidence grew."""

    at: datetime
    """When it is due."""
    seed: int
    most: int
    """Number of such runs that may follow one scheduled run."""


class Overtaken(StoreError):
    """Another verdict or a person changed the stream since it was read: judge again."""


def _decide(connection: Connection, done: Run, context: VerdictContext) -> int:
    """Store what the verdict depended on; returns its number."""
    made = verdict.insert().values(asdict(context) | {"run_id": done.id, "target": done.target, "suite": done.suite})
    return int(connection.execute(made.returning(verdict.c.seq)).scalar_one())


def _free_slot(connection: Connection, done: Run, at: datetime) -> datetime:
    """The first slot of the run's stream from ``at`` on that no run has."""
    same = (run.c.target == done.target, run.c.suite == done.suite)
    slot = at
    while connection.execute(select(run.c.id).where(*same, run.c.slot == slot)).first() is not None:
        slot += MOMENT
    return slot


def _ask_more(connection: Connection, done: Run, more: More) -> None:
    """Create a run that follows the scheduled one, unless that has as many as it may, or still has one to come."""
    first = done.follows or done.id
    same = (run.c.follows == first, run.c.status != "done", run.c.id != done.id)
    coming = connection.execute(select(run.c.id).where(*same)).first() is not None
    if coming or ledger.followers(connection, first) >= more.most:
        return
    slot = _free_slot(connection, done, more.at)
    ledger.ensure_run(
        connection, done.target, done.suite, slot, more.seed, done.suite_digest, more.at, False, follows=first
    )


def _ask_again(connection: Connection, done: Run, seed: int, at: datetime) -> None:
    """Create the run that confirms this one, due at ``at``, unless the stream already has one.

    The existing one then decides for all. If it is due later than ``at``, it is brought forward, and the alarms for
    which it came too early ask for another one when it ends.
    """
    slot = _free_slot(connection, done, at)
    waiting = ledger.under_way(connection, done.target, done.suite)
    if waiting is None:
        ledger.ensure_run(connection, done.target, done.suite, slot, seed, done.suite_digest, at, False, done.id)
    elif at < waiting.next_at:
        ledger.bring_forward(connection, waiting, slot, at, done.id)


def _finished_before(connection: Connection, run_id: int, fence: int) -> bool:
    """Whether this fence already finished the run, so that a repeated call gets the same result."""
    where = (run.c.id == run_id, run.c.fence == fence, run.c.status == "done")
    return connection.execute(select(run.c.id).where(*where)).first() is not None


def _save(connection: Connection, done: Run, item: Finding, now: datetime) -> int:
    values = _row(done, item) | {"found_at": now}
    new = insert(connection, finding).values(values)
    changed = {name: value for name, value in values.items() if name not in ("run_id", "signal")}
    upsert = new.on_conflict_do_update(index_elements=["run_id", "signal"], set_=changed)
    return int(connection.execute(upsert.returning(finding.c.id)).scalar_one())


def _row(done: Run, item: Finding) -> dict[str, Any]:
    row = {name: getattr(item, name) for name in (*NUMBERS, *SAME)}
    return row | {
        **{name: None if math.isnan(row[name]) else float(row[name]) for name in NUMBERS},
        "run_id": done.id, "target": done.target, "suite": done.suite, "severity": item.severity.value,
        "answers_now": item.answers_now, "answers_baseline": item.answers_baseline,
        "window_start": item.window_start, "window_end": item.window_end,
        "state": item.state.value, "cause": item.cause.value, "advice": item.advice.value,
        "traffic_share": None if item.traffic_share is None else float(item.traffic_share),
        **{name: clean(getattr(item, name)) for name in WORDS},
        "measures": {name: float(v) for name, v in item.measures.items() if math.isfinite(v)},
        "scores": {name: float(value) for name, value in item.scores.items()},
        "ways": list(item.ways) or None,
        "exhibits": [asdict(exhibit) for exhibit in item.exhibits],
    }  # fmt: skip


def _point(connection: Connection, done: Run, item: Finding, finding_id: int) -> None:
    """Make this finding the signal's newest: the latest verdict counts, whatever its run's slot.

    A manual run during the day has a later slot than the day's scheduled run, which ends after it.
    """
    new = insert(connection, latest_finding).values(
        target=done.target, suite=done.suite, signal=item.signal, finding_id=finding_id
    )
    moved = {"finding_id": new.excluded.finding_id}
    connection.execute(new.on_conflict_do_update(index_elements=["target", "suite", "signal"], set_=moved))


def _to_finding(row: Any) -> Finding:
    values = dict(row._mapping)
    del values["id"], values["found_at"], values["alarming"]
    for name in NUMBERS:
        values[name] = math.nan if values[name] is None else values[name]
    values["severity"] = Severity(values["severity"])
    values["state"], values["cause"] = FindingState(values["state"]), Cause(values["cause"])
    values["advice"] = Advice(values["advice"])
    values["ways"] = tuple(values["ways"] or ())
    for name in LATER:
        values[name] = bool(values[name])
    values["exhibits"] = tuple(_to_exhibit(exhibit) for exhibit in values.get("exhibits", ()))
    return Finding(**values)


def _to_exhibit(exhibit: dict[str, Any]) -> Exhibit:
    return Exhibit(**{**exhibit, "weight": float(exhibit["weight"])})


class FindingReads(Connected):
    """Methods that read findings."""

    def findings(
        self, target: str | None = None, suite: str | None = None, run_id: int | None = None,
        signal: str | None = None, alarming: bool | None = None, limit: int = 100,
    ) -> list[Finding]:  # fmt: skip
        """Newest first."""
        with self._database.read() as connection:
            wanted = {"target": target, "suite": suite, "run_id": run_id, "signal": signal, "alarming": alarming}
            query = select(finding).order_by(finding.c.id.desc()).limit(limit)
            for name, value in wanted.items():
                if value is not None:
                    query = query.where(finding.c[name] == value)
            return [_to_finding(row) for row in connection.execute(query)]

    def latest_findings(
        self, target: str | None = None, suite: str | None = None, *, exhibits: bool = True
    ) -> list[Finding]:
        """The newest finding of every signal. Without exhibits, reading is much faster."""
        with self._database.read() as connection:
            columns = [column for column in finding.columns if exhibits or column.name != "exhibits"]
            query = select(*columns).join(latest_finding, latest_finding.c.finding_id == finding.c.id)
            query = query if target is None else query.where(latest_finding.c.target == target)
            query = query if suite is None else query.where(latest_finding.c.suite == suite)
            query = query.order_by(latest_finding.c.target, latest_finding.c.suite, latest_finding.c.signal)
            return [_to_finding(row) for row in connection.execute(query)]


class Verdicts(Connected):
    """The end of a run."""

    def finish(
        self, run_id: int, fence: int, outcome: RunOutcome, found: Sequence[Finding], now: datetime,
        *, context: VerdictContext | None = None, moves: Sequence[Alarm] = (), seen: Position | None = None,
        confirm_seed: int | None = None, confirm_at: datetime | None = None,
        more: More | None = None,
    ) -> bool:  # fmt: skip
        """End a run in one transaction: findings, alarms, baselines it joins, its outcome.

        ``False``, and nothing is written, if the fence is stale. Idempotent. The latest verdict counts. ``context``:
        what the findings depended on; without it, they are no evidence for later ones. ``moves``: alarms to insert
        (without an id) and to update. ``seen``: the stream's position at the decision; raises Overtaken, and writes
        nothing, if it changed since. ``confirm_seed``: create the run that confirms this one with this seed, due at
        ``confirm_at`` (default: now). ``more``: create one more run, if the scheduled one may have it.
        """
        with self._database.write() as connection:
            done = ledger.lock(connection, run_id, fence)
            if done is None:
                return _finished_before(connection, run_id, fence)
            ledger.lock_series(connection, done.target, done.suite)
            if seen is not None and history.position(connection, done.target, done.suite) != seen:
                raise Overtaken(f"{done.target}/{done.suite}: another verdict came before that on run {run_id}")
            seq = None if context is None else _decide(connection, done, context)
            for item in found:
                _point(connection, done, item, _save(connection, done, item, now))
            alarms.write(connection, moves, seq)
            ledger.close(connection, done, outcome, now)
            if outcome is not RunOutcome.UNMEASURED:
                baselines.join(connection, done)
            if confirm_seed is not None:
                _ask_again(connection, done, confirm_seed, confirm_at or now)
            if more is not None:
                _ask_more(connection, done, more)
            return True
