"""``Store``: one method for each query and each change of the database.

Synchronous and safe to share between threads; async callers use ``asyncio.to_thread``. Times are aware and in UTC, in
arguments and results. Every method raises StoreError if the database cannot be reached. A method is in the module of
its tables.
"""

from monitor.store import schema
from monitor.store.accepted import Acceptance, AcceptedReads
from monitor.store.alarms import AlarmReads, Alarms
from monitor.store.answers import AnswerReads, Grading
from monitor.store.audit import AuditLog, AuditReads
from monitor.store.baselines import BaselineReads, Baselines
from monitor.store.before_run import BeforeRunReads
from monitor.store.budget import Budget, SpendReads
from monitor.store.cache_checks import CacheCheckReads
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
from monitor.store.pushed import Pushed, PushedReads
from monitor.store.recording import Recording
from monitor.store.retention import Retention, RetentionReads
from monitor.store.series import SeriesReads
from monitor.store.served import Served, ServedReads
from monitor.store.status_reads import StandingReads
from monitor.store.subjects import SubjectReads, Subjects
from monitor.store.suite_digests import Declarations
from monitor.store.suites import SuiteReads, Suites
from monitor.store.weekly import WeekReads


def open_store(url: str, *, migrate: bool = True, create: bool = True) -> "Store":
    """Open ``sqlite:///FILE`` or ``postgresql+psycopg://...`` and bring its schema up to date.

    A missing SQLite file is created, readable by its owner only. Without ``create``, a missing file or a PostgreSQL
    database without a store raises StoreError. Also raises StoreError if the database cannot be reached, or if its
    schema is newer than this program, or older without ``migrate``; MissingExtra if PostgreSQL's driver is not
    installed.
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
    CacheCheckReads,
    SpendReads,
    SuiteReads,
    PushedReads,
    BaselineReads,
    FindingReads,
    AlarmReads,
    StateReads,
    AuditReads,
    OutboxReads,
    IdentityReads,
    ServedReads,
    AcceptedReads,
    HistoryReads,
    BeforeRunReads,
    SeriesReads,
    OnsetReads,
    WeekReads,
    StandingReads,
    MarkReads,
    ScrapeReads,
    PageReads,
    RetentionReads,
    SubjectReads,
):
    """All methods that read the store. None of them writes."""


class Store(
    StoreReader,
    Ledger,
    Recording,
    Budget,
    Grading,
    Suites,
    Pushed,
    Baselines,
    Verdicts,
    Alarms,
    State,
    AuditLog,
    Outbox,
    Identity,
    Served,
    Acceptance,
    Declarations,
    Retention,
    Subjects,
):
    """Created by ``open_store``. Call ``close`` at the end."""
