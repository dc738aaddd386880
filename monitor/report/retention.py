"""What the last pass of the retention kept beyond its days, as the daemon stores it for commands and metrics."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from monitor.core.records import DataKind, KeptFor, KeptRuns

if TYPE_CHECKING:
    from monitor.store import Store, StoreReader

KEY: Final = "retention"
"""State key of the last complete pass."""


@dataclass(frozen=True, slots=True)
class LastPass:
    """The last complete pass of the retention."""

    at: datetime
    kept: tuple[KeptRuns, ...]


def read(store: "StoreReader") -> LastPass | None:
    """``None`` before the first pass."""
    return last_pass(store.get_state(KEY))


def last_pass(said: str | None) -> LastPass | None:
    """The same from the value of ``KEY``."""
    if said is None:
        return None
    found = json.loads(said)
    kept = (KeptRuns(DataKind(kind), KeptFor(reason), runs) for kind, reason, runs in found["kept"])
    return LastPass(datetime.fromisoformat(found["at"]), tuple(kept))


def say(store: "Store", at: datetime, kept: Sequence[KeptRuns]) -> None:
    """Store the result of a pass."""
    told = [(one.kind.value, one.reason.value, one.runs) for one in kept]
    store.set_state(KEY, json.dumps({"at": at.isoformat(), "kept": told}))
