"""``Store``: every question the daemon has for its database, as one method each.

Synchronous and safe to share between threads; async callers go through ``asyncio.to_thread``. Times go in and
come out aware and in UTC. Every method raises StoreError when the database cannot be reached. A method stands in the
module of the tables it is about.
"""

from monitor.store import schema
from monitor.store.alarms import AlarmReads, Alarms
from monitor.store.answers import AnswerReads, Grading
from monitor.store.audit import AuditLog, AuditReads
from monitor.store.baselines import BaselineReads, Baselines
from monitor.store.budget import Budget, SpendReads
from monitor.store.change_markers import MarkReads
from monitor.store.counters import State, StateReads
from monitor.store.engine import connect
from monitor.store.findings import FindingReads, Verdicts
from monitor.store.history import HistoryReads
from monitor.store.identity import Identity, IdentityReads
from monitor.store.ledger import Ledger, RunReads
from monitor.store.metrics_reads import ScrapeReads
from monitor.store.onset import OnsetReads
from monitor.store.outbox import Outbox, OutboxReads
from monitor.store.page_reads import PageReads
from monitor.store.recording import Recording
from monitor.store.series import SeriesReads
from monitor.store.status_reads import StandingReads
from monitor.store.suite_digests import Declarations
from monitor.store.suites import SuiteReads, Suites
from monitor.store.weekly import WeekReads


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


class StoreReader(
    RunReads,
    AnswerReads,
    SpendReads,
    SuiteReads,
    BaselineReads,
    FindingReads,
    AlarmReads,
    StateReads,
    AuditReads,
    OutboxReads,
    IdentityReads,
    HistoryReads,
    SeriesReads,
    OnsetReads,
    WeekReads,
    StandingReads,
    MarkReads,
    ScrapeReads,
    PageReads,
):
    """All that is read of the store. No method of it writes."""


class Store(
    StoreReader,
    Ledger,
    Recording,
    Budget,
    Grading,
    Suites,
    Baselines,
    Verdicts,
    Alarms,
    State,
    AuditLog,
    Outbox,
    Identity,
    Declarations,
):
    """Made by ``open_store``; ``close`` it at the end."""
