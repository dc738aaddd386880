"""What a run needs, wired once per configuration, and the rows of the ledger made with it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from monitor.ask import Asker, Observer
from monitor.config.suites import load_suite, run_digest, suite_body
from monitor.core import schedule
from monitor.core.clock import utcnow
from monitor.core.providers import PROVIDERS
from monitor.core.records import AuditEntry, Run, Suite
from monitor.core.run_kinds import FROZEN, run_kind
from monitor.core.settings import Settings
from monitor.judge.similarity import Embedder
from monitor.runs import frozen
from monitor.runs.hashed import Vault
from monitor.store import Store

LEASE: Final = timedelta(seconds=10)
"""Lease of a claimed run without a heartbeat. After it, the run of a killed daemon is free again."""

LATE: Final = 0.1
"""Share of a day by which a run may be created after its slot and still count as on time."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run needs, wired once per configuration."""

    settings: Settings
    suites: dict[str, Suite]
    store: Store
    asker: Asker
    embedder: Embedder | None
    clock: Callable[[], datetime]
    since: datetime
    """When it was wired: at the daemon's start or last reload."""
    streams: frozenset[tuple[str, str]]
    """(target, suite) of every run of this configuration."""
    vault: Vault


def build_context(
    settings: Settings,
    folder: Path,
    store: Store,
    observer: Observer | None = None,
    clock: Callable[[], datetime] = utcnow,
    *,
    asks: bool = True,
    waits: Callable[[int], None] = lambda run_id: None,
) -> RunContext:
    """Load the suites of the settings (paths are relative to ``folder``) and wire the stages around the store.

    ``observer``: called with every attempt of a call.
    ``waits``: called with the id of a run whose open questions all wait, see ``Asker``.
    ``asks=False``: for callers that ask no questions; no provider key is read, and its asker has no provider.
    """
    names = {name for target in settings.targets.values() for name in target.suites}
    suites: dict[str, Suite] = {}
    for name in sorted(names):
        suite = load_suite(name, folder)
        suites[suite.name] = suite
        store.save_suite(suite.digest, suite.name, suite_body(suite))
    asked = settings if asks else settings.model_copy(update={"providers": {}})
    vault = Vault(settings)
    asker = Asker(asked, store, clock=clock, observer=observer, lease=LEASE, waits=waits, seal=vault.seal)
    embedder = Embedder(settings.embeddings) if settings.embeddings else None
    streams = frozenset((name, suite) for name, target in settings.targets.items() for suite in target.run_suites)
    return RunContext(settings, suites, store, asker, embedder, clock, clock(), streams, vault)


def same(one: RunContext, other: RunContext) -> bool:
    """Whether two contexts ask the same in the same way. Kinds with files of their own never do: the files may have
    changed."""
    kinds = [PROVIDERS[provider.kind] for provider in other.settings.providers.values()]
    return (
        one.settings == other.settings
        and one.suites == other.suites
        and one.asker.same_keys(other.asker)
        and not any(kind.yaml_files or kind.loads_weights for kind in kinds)
    )


def digest_of(context: RunContext, target: str, suite: str) -> str:
    """What a run's answers and scores depend on, as one sha256: the suite, or how production inputs are drawn.

    Empty for a frozen sample that was not taken yet."""
    if run_kind(target, suite) is FROZEN:
        return frozen.digest(context.store, target)
    return run_digest(context.settings, context.suites, target, suite)


def declare(context: RunContext) -> None:
    """Store the digest of each suite in this configuration, which is the daemon's from its start or reload."""
    context.store.declare({stream: digest_of(context, *stream) for stream in context.streams})


def ensure_run(
    context: RunContext, target: str, suite: str, slot: datetime, *, scheduled: bool = True,
    entry: Callable[[Run], AuditEntry] | None = None,
) -> Run:  # fmt: skip
    """The ledger's row for (target, suite, slot), created if it does not exist.

    If it is created late, its work is spread from now on. A tick's delay is not late; a daemon that was started, or got
    its targets, after the slot is: so a start soon after midnight gives results at once. ``entry``: see
    ``Store.ensure_run``.
    """
    now = context.clock()
    if run_kind(target, suite) is FROZEN:
        frozen.take_once(context.store, context.settings, target, slot, now)
    late = context.since > slot or now - slot > timedelta(seconds=LATE * context.settings.schedule.day_seconds)
    seed = schedule.run_seed(target, suite, slot)
    digest = digest_of(context, target, suite)
    due = now if late else slot
    repairs = now if scheduled else None
    return context.store.ensure_run(
        target, suite, slot, seed, digest, due, scheduled=scheduled, entry=entry, now=repairs
    )


def open_capture(context: RunContext, target: str, suite: str, start: datetime, end: datetime, *, at_once: bool) -> int:
    """Open a capture window over [start, end); runs whose slot lies in it belong to it. The baseline's id."""
    configured = context.settings.targets[target]
    digest = digest_of(context, target, suite)
    baseline = context.store.open_baseline(
        target, suite, digest, configured.subject.model, configured.base.model if configured.base else None,
        start, end, at_once=at_once, day_seconds=context.settings.schedule.day_seconds,
    )  # fmt: skip
    return baseline.id
