"""The context of commands that only read: the configuration and the store, without providers.

It needs no key, creates and migrates nothing, and loads none of the daemon's stages.
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

if TYPE_CHECKING:  # a command that a daemon answers needs no database
    from monitor.store import Store


class ReadContext(Protocol):
    """What a command without questions needs of a ``RunContext`` or a ``ReadOnlyContext``."""

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
        """The digest of what a run's answers and scores depend on, in the present configuration."""
        return run_digest(self.settings, self.suites, target, suite)


def armed(context: ReadContext, approved: Baseline | None) -> bool:
    """Whether runs of the present suite are compared with its approved baseline, if it has one."""
    if approved is None:
        return False
    return approved.suite_digest == run_digest(context.settings, context.suites, approved.target, approved.suite)


def temperature(suites: Mapping[str, Suite], suite: str) -> float | None:
    """The suite's temperature; ``None`` for the endpoint's default, as for production answers."""
    return suites[suite].sampling.temperature if suite in suites else None


@contextmanager
def reading(config_path: Path, target: str | None = None, signal: str | None = None) -> Iterator[ReadOnlyContext]:
    """The configuration and its store, for one command.

    Raises ConfigError for errors in the file (keys are not checked), UsageError for an unknown ``target`` or
    ``signal``, and StoreError if the store is missing or has another schema version.
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
