"""What each suite is by the configuration that the daemon has, so that what is armed is told alike everywhere.

A baseline is compared with nothing from the moment that its suite is another one, and the next run that would show it
may be a week away: so the daemon leaves its suites' digests here whenever it has read its configuration.
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
    """(target, suite) -> what a run of it depends on, as the daemon is configured now."""
    body = counters.get_state(connection, DIGESTS)
    return {(target, suite): digest for target, suite, digest in json.loads(body or "[]")}


def mark() -> ScalarSelect[str]:
    """Another one whenever ``declared`` is: a column of a statement that is made anyway."""
    return select(state.c.value).where(state.c.key == MARK).scalar_subquery()


class Declarations(Connected):
    """The store's methods over these queries."""

    def declare(self, digests: Mapping[Stream, str]) -> None:
        """(target, suite) -> what a run of it depends on, for all that is configured; it replaces what was declared.

        An approved baseline of another digest is outdated from then on (``streams``, ``outdated``).
        """
        with self._database.write() as connection:
            body = json.dumps([[*stream, digest] for stream, digest in sorted(digests.items())])
            counters.set_state(connection, DIGESTS, body)
            counters.set_state(connection, MARK, sha256(body.encode()).hexdigest())
