"""When what open alarms tell of began: what each finding's page and the mail say, for all of them at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from monitor.claims import HISTORY, beginning
from monitor.records import Alarm


class Reads(Protocol):
    """What is read of the store."""

    def onsets(self, alarms: Sequence[Alarm], before: timedelta) -> Mapping[int, Any]: ...


@dataclass(frozen=True, slots=True)
class _Raising:
    """The verdict that raised an alarm."""

    run_id: int
    looks: int
    window_end: datetime


def beginnings(store: Reads, alarms: Sequence[Alarm]) -> dict[int | None, tuple[datetime, datetime | None]]:
    """Alarm id -> when evidence of the change was first seen, and the look before it, where there was one.

    Raises StoreError.
    """
    onsets = store.onsets(alarms, HISTORY)
    return {one.id: _began(one, onsets.get(one.id) if one.id is not None else None) for one in alarms}


def _began(alarm: Alarm, onset: Any | None) -> tuple[datetime, datetime | None]:
    if onset is None:
        return alarm.raised_at, None
    return beginning(_Raising(alarm.raised_run_id, onset.looks, alarm.raised_at), onset.history, alarm)
