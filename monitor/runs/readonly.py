"""What a command that only reads is given: the configuration and the store, and nobody to ask.

No key has to be set for it, nothing is created or migrated, and none of the daemon's stages is loaded.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from monitor.config.suites import run_digest
from monitor.core.clock import utcnow
from monitor.core.errors import StoreError
from monitor.core.records import Baseline, Suite
from monitor.core.settings import Settings

if TYPE_CHECKING:  # a command that a daemon answers does without a database
    from monitor.store import Store


class ReadContext(Protocol):
    """What a command that asks nobody needs of a ``RunContext`` or a ``ReadOnlyContext``."""

    @property
    def settings(self) -> Settings: ...
    @property
    def suites(self) -> Mapping[str, Suite]: ...
    @property
    def store(self) -> "Store": ...
    @property
    def clock(self) -> Callable[[], datetime]: ...


@dataclass(frozen=True, slots=True)
class ReadOnlyContext:
    """A configuration and its store."""

    settings: Settings
    suites: Mapping[str, Suite]
    store: "Store"
    clock: Callable[[], datetime] = utcnow

    def digest(self, target: str, suite: str) -> str:
        """What a run's answers and scores depend on, as the configuration is now."""
        return run_digest(self.settings, self.suites, target, suite)


def armed(context: ReadContext, approved: Baseline | None) -> bool:
    """Whether runs of the suite as it is now are compared with its approved baseline, if it has one."""
    if approved is None:
        return False
    return approved.suite_digest == run_digest(context.settings, context.suites, approved.target, approved.suite)


def temperature(suites: Mapping[str, Suite], suite: str) -> float | None:
    """What the suite samples at; ``None`` where that is the endpoint's own, as of production answers."""
    return suites[suite].sampling.temperature if suite in suites else None


@contextmanager
def reading(config_path: Path, target: str | None = None, signal: str | None = None) -> Iterator[ReadOnlyContext]:
    """The configuration and its store, for one command.

    Raises ConfigError for what is wrong in the file (whether keys are set is not asked), UsageError for a ``target`` or
    ``signal`` that is none, and StoreError where the store is not there or not at this version's schema.
    """
    from monitor import config
    from monitor.core.lookup import known_names
    from monitor.store import open_store

    settings, suites = config.load_to_read(config_path)
    known_names(settings, target, signal)
    try:
        store = open_store(settings.store, migrate=False, create=False)
    except StoreError as error:
        raise StoreError(f"{config_path}: {error}") from error
    try:
        yield ReadOnlyContext(settings, suites, store)
    finally:
        store.close()
