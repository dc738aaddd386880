"""The digest of each suite in the daemon's configuration, so that every surface shows the same armed state.

A baseline is no longer used once its suite changes, and the next run that shows it may be a week away. So the daemon
stores the digests of its suites here whenever it reads its configuration.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, ScalarSelect, select

from monitor.store import counters
from monitor.store.base import Connected
from monitor.store.tables import state

DIGESTS: Final = "suite_digests"
MARK: Final = "suite_digests_mark"

Stream = tuple[str, str]


def declared(connection: Connection) -> dict[Stream, str]:
    """(target, suite) -> the digest of what a run depends on, in the daemon's present configuration."""
    body = counters.get_state(connection, DIGESTS)
    return {(target, suite): digest for target, suite, digest in json.loads(body or "[]")}


def mark() -> ScalarSelect[str]:
    """A value that changes with ``declared``: a column of a statement that runs anyway."""
    return select(state.c.value).where(state.c.key == MARK).scalar_subquery()


class Declarations(Connected):
    """The store's methods over these queries."""

    def declare(self, digests: Mapping[Stream, str]) -> None:
        """(target, suite) -> the digest of what a run depends on, for all configured suites; replaces the stored ones.

        An approved baseline of another digest is then outdated (``streams``, ``outdated``).
        """
        with self._database.write() as connection:
            _write(connection, digests)

    def declare_one(self, stream: Stream, digest: str) -> None:
        """The same for one suite, if it is among the declared ones."""
        with self._database.write() as connection:
            known = declared(connection)
            if stream in known:
                _write(connection, known | {stream: digest})


def _write(connection: Connection, digests: Mapping[Stream, str]) -> None:
    body = json.dumps([[*stream, digest] for stream, digest in sorted(digests.items())])
    counters.set_state(connection, DIGESTS, body)
    counters.set_state(connection, MARK, sha256(body.encode()).hexdigest())
