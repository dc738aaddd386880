"""What the daemon says of itself in the store: that it asks nothing although runs are due, or that a clock was ahead.

Commands, pages and metrics read it there, so that it is said also where the daemon does not answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from monitor.store import Store, StoreReader

ASKS_NOTHING: Final = "asks_nothing_since"
"""State key of the time since which nothing is asked; empty while the daemon asks."""

CLOCK_AHEAD: Final = "clock_ahead"
"""State key of the last time at which a slot or a success lay in the future."""

KEYS: Final = (ASKS_NOTHING, CLOCK_AHEAD)

NOTICE_LASTS: Final = timedelta(days=7)
"""How long a time in the future is shown after it was last seen, unless it comes first."""


@dataclass(frozen=True, slots=True)
class Notices:
    """What is not well with the daemon; all ``None`` if nothing is."""

    asks_nothing_since: datetime | None = None
    clock_ahead_until: datetime | None = None
    """The latest slot or success that lay in the future: a clock was ahead, or the present one is behind."""

    @property
    def asks_nothing(self) -> str | None:
        """In words, for people."""
        if self.asks_nothing_since is None:
            return None
        return f"nothing was asked since {self.asks_nothing_since:%Y-%m-%d %H:%M} UTC, although runs are due"

    @property
    def clock(self) -> str | None:
        """In words, for people."""
        if self.clock_ahead_until is None:
            return None
        until = f"{self.clock_ahead_until:%Y-%m-%d %H:%M} UTC"
        return f"a run has a time in the future ({until}): a clock was ahead, or the clock is behind now"


def read(store: "StoreReader", now: datetime) -> Notices:
    """The notices that hold at ``now``."""
    return notices_of(store.get_states(KEYS), now)


def notices_of(states: Mapping[str, str], now: datetime) -> Notices:
    """The same from the values of ``KEYS``."""
    since, said, until = states.get(ASKS_NOTHING), states.get(CLOCK_AHEAD), None
    if said:
        seen, ahead = (datetime.fromisoformat(at) for at in json.loads(said))
        until = ahead if now < ahead and now - seen < NOTICE_LASTS else None
    return Notices(datetime.fromisoformat(since) if since else None, until)


def say_asks_nothing(store: "Store", since: datetime | None) -> None:
    """Store the time since which nothing is asked, or that the daemon asks."""
    store.set_state(ASKS_NOTHING, "" if since is None else since.isoformat())


def say_clock_ahead(store: "Store", now: datetime, until: datetime) -> None:
    """Store that a slot or a success lies in the future at ``now``."""
    store.set_state(CLOCK_AHEAD, json.dumps([now.isoformat(), until.isoformat()]))
