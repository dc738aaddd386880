"""``Store``: every question the daemon has for its database, as one method each.

Synchronous and safe to share between threads; async callers go through ``asyncio.to_thread``. Times go in and
come out aware and in UTC. Every method raises StoreError when the database cannot be reached.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Final, TypeVar

from sqlalchemy import Connection

from monitor.core.errors import StoreError
from monitor.core.records import (
    Alarm,
    Arm,
    Baseline,
    BaselineStatus,
    Deed,
    Finding,
    GradedAnswer,
    Outcome,
    Probe,
    Recorded,
    Reservation,
    Run,
    RunOutcome,
    Score,
    SelfTest,
    Spend,
    VerdictContext,
)
from monitor.store import (
    alarms,
    answers,
    audit,
    baselines,
    budget,
    counters,
    findings,
    ledger,
    recording,
    schema,
    suites,
)
from monitor.store.audit import AuditLog
from monitor.store.change_markers import MarkReads
from monitor.store.engine import Database, connect, deadlocked
from monitor.store.history import HistoryReads, Position
from monitor.store.identity import IdentityReads
from monitor.store.metrics_reads import ScrapeReads
from monitor.store.onset import OnsetReads
from monitor.store.outbox import Outbox
from monitor.store.page_reads import PageReads
from monitor.store.series import SeriesReads
from monitor.store.status_reads import StandingReads
from monitor.store.suite_digests import Declarations
from monitor.store.suites import ProductionInput
from monitor.store.weekly import WeekReads

T = TypeVar("T")

TRIES: Final = 5


def open_store(url: str, *, migrate: bool = True, create: bool = True) -> "Store":
    """Open ``sqlite:///FILE`` or ``postgresql+psycopg://...`` and bring its schema up to date.

    An SQLite file that is not there is created, readable by its owner only; with ``create`` off that is a StoreError,
    as a PostgreSQL database without a store in it is. Raises StoreError when the database
    cannot be reached, when its schema is newer than this program, or older and ``migrate`` is off; MissingExtra
    when PostgreSQL's driver is not installed.
    """
    database = connect(url, create=create)
    try:
        schema.bring_up(database, migrate=migrate)
    except BaseException:
        database.engine.dispose()
        raise
    return Store(database)


class Store(
    ScrapeReads,
    MarkReads,
    StandingReads,
    HistoryReads,
    SeriesReads,
    OnsetReads,
    PageReads,
    Declarations,
    AuditLog,
    Outbox,
    IdentityReads,
    WeekReads,
):
    """Made by ``open_store``; ``close`` it at the end."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        self._database.engine.dispose()

    def _statement(self, work: Callable[[Connection], T]) -> T:
        """Run one self-contained statement; again when PostgreSQL broke a deadlock with it."""
        for left in reversed(range(TRIES)):
            try:
                with self._database.statement() as connection:
                    return work(connection)
            except StoreError as error:
                if not left or not deadlocked(error):
                    raise
        raise AssertionError("unreachable")

    # The run ledger

    def ensure_run(
        self, target: str, suite: str, slot: datetime, seed: int, suite_digest: str, next_at: datetime,
        *, scheduled: bool = True, confirms: int | None = None, deed: Callable[[Run], Deed] | None = None,
    ) -> Run:  # fmt: skip
        """The run of (target, suite, slot), made if it is not there; one that is there is not changed.

        ``next_at`` of a new run becomes its ``starts_at``: the slot, or now where the run is made late.
        ``seed`` lies in 0 to 2**63 - 1. A run off the schedule (``scheduled=False``) does not move ``latest_slot``.
        ``confirms``: the run whose page it is to confirm; a run has one such at most, which is then given back.
        ``deed`` of the run goes to the audit log in the same transaction.
        """
        with self._database.write() as c:
            made = ledger.ensure_run(c, target, suite, slot, seed, suite_digest, next_at, scheduled, confirms)
            if deed is not None:
                audit.add(c, deed(made))
            return made

    def under_way(self, target: str, suite: str) -> Run | None:
        """The confirming run of one suite of one target that is not done, if there is one."""
        with self._database.read() as c:
            return ledger.under_way(c, target, suite)

    def latest_slots(self) -> dict[tuple[str, str], datetime]:
        """(target, suite) -> slot of the latest scheduled run that was ever made."""
        with self._database.read() as c:
            return ledger.latest_slots(c)

    def due_runs(self, now: datetime, limit: int = 10_000) -> list[Run]:
        """Runs with something to do and nobody at it: those that confirm a page, then the longest waiting."""
        with self._database.read() as c:
            return ledger.due_runs(c, now, limit)

    def claim(self, run_id: int, now: datetime, lease_seconds: float) -> Run | None:
        """Take a run for ``lease_seconds``, with a new fence; ``None`` if it is leased, done or not there."""
        with self._database.write() as c:
            return ledger.claim(c, run_id, now, lease_seconds)

    def extend_lease(self, run_id: int, fence: int, until: datetime) -> bool:
        """Keep a claimed run until ``until`` (never shorter than before); ``False`` when the fence is stale."""
        return self._statement(lambda c: ledger.extend_lease(c, run_id, fence, until))

    def release(self, run_id: int, fence: int, next_at: datetime) -> bool:
        """Give a claimed run back until ``next_at``; ``False`` when the fence is stale."""
        return self._statement(lambda c: ledger.release(c, run_id, fence, next_at))

    def finish(
        self, run_id: int, fence: int, outcome: RunOutcome, found: Sequence[Finding], now: datetime,
        *, context: VerdictContext | None = None, moves: Sequence[Alarm] = (), seen: Position | None = None,
        confirm_seed: int | None = None,
    ) -> bool:  # fmt: skip
        """End a run in one transaction: findings, alarms, baselines it joins, its outcome.

        ``False``, and nothing is written, when the fence is stale. Calling it again changes nothing and says the
        same. The verdict reached last counts. ``context``: what the findings depended on; without, they are no
        evidence for later ones. ``moves``: alarms to insert (without an id) and to update. ``seen``: the stream's
        position that they were decided at; raises Overtaken, and writes nothing, where it has moved. ``confirm_seed``:
        make the run that confirms this one, due now, with this seed.
        """
        with self._database.write() as c:
            return findings.finish(c, run_id, fence, outcome, found, now, context, moves, seen, confirm_seed)

    def get_run(self, run_id: int) -> Run:
        """Raises StoreError when there is no such run."""
        with self._database.read() as c:
            return ledger.get_run(c, run_id)

    def runs(self, target: str | None = None, suite: str | None = None, limit: int = 100) -> list[Run]:
        """Newest slot first."""
        with self._database.read() as c:
            return ledger.runs(c, target, suite, limit)

    # Answers, scores and money

    def answered(self, run_id: int) -> set[tuple[Arm, str, int]]:
        """Keys of the questions with a recorded outcome, usable or not."""
        with self._database.read() as c:
            return answers.answered(c, run_id)

    def record(self, items: Sequence[Recorded]) -> list[bool]:
        """Write a list of outcomes, extend their runs' leases and settle their reservations, all or nothing.

        An item is ``False`` when its fence is stale or its question was recorded before; its cost is counted
        all the same. Hand over lists: a list costs about as much as a single item.
        """
        return self._statement(lambda c: recording.record(c, items))

    def reserve(self, items: Sequence[Reservation]) -> list[int | None]:
        """Set budget aside for calls about to be made; an id for each, or ``None`` where it does not fit.

        Spent + reserved never passes a limit, however many processes ask at once.
        """
        return self._statement(lambda c: budget.reserve(c, items))

    def cancel(self, reservation_ids: Iterable[int]) -> None:
        """Give back reservations whose calls were never made."""
        ids = list(reservation_ids)
        if ids:
            self._statement(lambda c: budget.cancel(c, ids))

    def release_expired(self, now: datetime) -> int:
        """Count reservations past their ``expires_at`` as spent, since their calls may have been made; how many."""
        return self._statement(lambda c: budget.release_expired(c, now))

    def spent(self, target: str, day: date) -> Spend:
        with self._database.read() as c:
            return budget.spent(c, target, day)

    def answers(self, run_ids: Sequence[int]) -> list[GradedAnswer]:
        """Usable answers of subject and base with their scores, by run, probe, replicate and arm."""
        with self._database.read() as c:
            return answers.graded(c, run_ids)

    def outcomes(self, run_id: int) -> list[tuple[tuple[Arm, str, int], Outcome]]:
        """Everything that was recorded for a run, judge arms and unmeasured included, with the raw exchanges."""
        with self._database.read() as c:
            return answers.outcomes(c, run_id)

    def add_scores(self, run_id: int, fence: int, scores: Sequence[Score]) -> bool:
        """Write scores of recorded answers, replacing earlier ones; ``False`` when the fence is stale."""
        with self._database.write() as c:
            return answers.add_scores(c, run_id, fence, scores)

    def save_embeddings(self, run_id: int, fence: int, vectors: Mapping[tuple[Arm, str, int], Sequence[float]]) -> bool:
        """Keep unit vectors of recorded answers, as half floats; ``False`` when the fence is stale.

        An answer that has one keeps it.
        """
        with self._database.write() as c:
            return answers.save_embeddings(c, run_id, fence, vectors)

    def capability(self, provider: str, base_url: str, model: str) -> dict[str, bool]:
        """What an endpoint is known to take (``True``) or refuse (``False``), by name."""
        with self._database.read() as c:
            return suites.capabilities(c, provider, base_url, model)

    def set_capability(
        self, provider: str, base_url: str, model: str, name: str, accepted: bool, now: datetime
    ) -> None:
        self._statement(lambda c: suites.set_capability(c, provider, base_url, model, name, accepted, now))

    # Suites and production inputs

    def save_suite(self, suite_digest: str, name: str, body: str) -> None:
        """Keep a suite's content under its digest."""
        if self.suite_body(suite_digest) is None:
            with self._database.write() as c:
                suites.save_suite(c, suite_digest, name, body)

    def suite_body(self, suite_digest: str) -> str | None:
        with self._database.read() as c:
            return suites.suite_body(c, suite_digest)

    def save_production_inputs(self, run_id: int, inputs: Sequence[ProductionInput]) -> None:
        """Keep a run's sample; a run that has one keeps the first."""
        with self._database.write() as c:
            suites.save_production_inputs(c, run_id, inputs)

    def production_inputs(self, run_id: int) -> list[Probe]:
        """A run's sampled inputs in their order; empty when none were saved."""
        with self._database.read() as c:
            return suites.production_inputs(c, run_id)

    # Baselines

    def open_baseline(
        self, target: str, suite: str, suite_digest: str, subject_model: str, base_model: str | None,
        starts_at: datetime, ends_at: datetime, *, at_once: bool = False, day_seconds: float = 86_400,
    ) -> Baseline:  # fmt: skip
        """Open a capture window: measured and partial runs whose slot lies in [starts_at, ends_at) belong to it.

        Runs of this suite digest that have finished in it already are taken in. Raises CliffwatchError when a
        window of the same (target, suite) is being captured.
        """
        with self._database.write() as c:
            return baselines.open_baseline(
                c, target, suite, suite_digest, subject_model, base_model, starts_at, ends_at, at_once, day_seconds
            )

    def close_due_baselines(self, now: datetime) -> list[int]:
        """Make windows that are over ``captured``; their ids. One without a run stays ``capturing``."""
        with self._database.read() as c:
            if not baselines.over(c, now):
                return []
        with self._database.write() as c:
            return baselines.close_due(c, now)

    def approve(self, baseline_id: int, by: str, why: str, now: datetime, *, deed: Deed | None = None) -> Baseline:
        """Make a captured baseline the one in use; the one before it is retired. Raises CliffwatchError.

        ``deed``, here and below, goes to the audit log in the same transaction.
        """
        with self._database.write() as c:
            done = baselines.approve(c, baseline_id, by, why, now)
            if deed is not None:
                audit.add(c, deed)
            return done

    def retire(self, baseline_id: int, by: str, why: str, now: datetime, *, deed: Deed | None = None) -> Baseline:
        """Take a baseline out of use, or give up its capture. Raises CliffwatchError."""
        with self._database.write() as c:
            done = baselines.retire(c, baseline_id, by, why, now)
            if deed is not None:
                audit.add(c, deed)
            return done

    def baseline(self, baseline_id: int) -> Baseline:
        """Raises CliffwatchError when there is no such baseline."""
        with self._database.read() as c:
            return baselines.get(c, baseline_id)

    def baselines(
        self, target: str | None = None, suite: str | None = None, status: BaselineStatus | None = None
    ) -> list[Baseline]:
        """Newest first."""
        with self._database.read() as c:
            return baselines.baselines(c, target, suite, status)

    def approved(self, target: str, suite: str) -> Baseline | None:
        """The baseline in use, if any."""
        return next(iter(self.baselines(target, suite, BaselineStatus.APPROVED)), None)

    def judges(self, run_ids: Sequence[int]) -> set[tuple[str, str]]:
        """(provider, model) of every judge that was asked in these runs."""
        with self._database.read() as c:
            return answers.judges(c, run_ids)

    # Findings, alarms and counters

    def findings(
        self, target: str | None = None, suite: str | None = None, run_id: int | None = None,
        signal: str | None = None, alarming: bool | None = None, limit: int = 100,
    ) -> list[Finding]:  # fmt: skip
        """Newest first."""
        with self._database.read() as c:
            return findings.findings(c, target, suite, run_id, signal, alarming, limit)

    def latest_findings(
        self, target: str | None = None, suite: str | None = None, *, exhibits: bool = True
    ) -> list[Finding]:
        """The newest finding of every signal; without its exhibits it is read much faster."""
        with self._database.read() as c:
            return findings.latest(c, target, suite, exhibits=exhibits)

    def alarms(
        self, target: str | None = None, suite: str | None = None, raised: bool | None = None, limit: int = 1000
    ) -> list[Alarm]:
        """The newest ``limit``, newest first; ``raised``: only open ones (``True``), only cleared ones (``False``)."""
        with self._database.read() as c:
            return alarms.alarms(c, target, suite, raised, limit)

    def open_alarms(self, target: str | None = None, suite: str | None = None) -> list[Alarm]:
        """Every alarm that is not cleared, newest first; a suite of a target has one a signal at most."""
        with self._database.read() as c:
            return alarms.open_alarms(c, target, suite)

    def clear_alarm(self, cleared: Alarm, *, deed: Deed | None = None) -> bool:
        """Write an open alarm that a person cleared; ``False`` when it was cleared before.

        The signal's evidence begins anew with the next look.
        """
        with self._database.write() as c:
            done = alarms.clear(c, cleared)
            if done and deed is not None:
                audit.add(c, deed)
            return done

    def save_self_tests(self, tests: Sequence[SelfTest]) -> None:
        """Keep the latest self-test of each (target, suite, fault)."""
        with self._database.write() as c:
            counters.save_self_tests(c, tests)

    def set_state(self, key: str, value: str) -> None:
        self._statement(lambda c: counters.set_state(c, key, value))

    def get_state(self, key: str) -> str | None:
        with self._database.read() as c:
            return counters.get_state(c, key)
