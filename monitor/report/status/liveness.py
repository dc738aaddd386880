"""Whether a daemon works on a store: from its heartbeat in the store, and from its reply to a request."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from monitor.core.clock import SILENT_SECONDS
from monitor.report.daemon_notices import Notices

PATIENCE_SECONDS: Final = 1.0
"""Timeout of the request. A slower daemon is busy, and the command reads the store itself."""


NONE: Final = Notices()


class Heard(StrEnum):
    """The result of a request to the daemon's address."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """Nothing listens there, as seen from this machine: the address may be local to another machine or container."""
    SILENT = "silent"
    """No answer within ``PATIENCE_SECONDS``, or unreachable: a daemon may be busy."""
    ANOTHER = "another"
    """Something answered, but not a daemon with this configuration."""
    NOT_ASKED = "not asked"
    """No address is known: ``http.port`` is 0, or the file cannot be read."""


BESIDE: Final = {
    Heard.SILENT: "; no answer from {address}",
    Heard.ANOTHER: "; the server at {address} does not use this configuration file",
}
"""What is added to a recent heartbeat."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """Whether a daemon works on this store."""

    running: bool | None
    """By its heartbeat. ``None``: the heartbeat is recent, but nothing listens at ``address``. The daemon has died or
    runs elsewhere."""
    last_sign_of_life: datetime | None
    """Time of the last heartbeat; ``None``: never."""
    silent_seconds: float | None
    """Seconds since then; ``None``: no heartbeat."""
    stopped: bool
    """It was shut down, and no other daemon was at work."""
    heard: Heard = Heard.NOT_ASKED
    """The result of the request."""
    address: str | None = None
    """Address of the request; ``None``: not asked."""
    asks_nothing_since: datetime | None = None
    """It runs, but has asked nothing since then although runs are due."""
    clock_ahead_until: datetime | None = None
    """The latest slot or success that lay in the future: a clock was ahead, or the clock is behind now."""


def by_sign(sign: str | None, now: datetime, notices: Notices = NONE) -> Daemon:
    """The daemon's state by its heartbeat. ``sign``: the store's value for ``clock.HEARTBEAT``."""
    daemon = replace(_by_sign(sign, now), clock_ahead_until=notices.clock_ahead_until)
    return replace(daemon, asks_nothing_since=notices.asks_nothing_since) if daemon.running else daemon


def _by_sign(sign: str | None, now: datetime) -> Daemon:
    if sign is None:
        return Daemon(running=False, last_sign_of_life=None, silent_seconds=None, stopped=False)
    at, _, mark = sign.partition(" ")
    last, stopped = datetime.fromisoformat(at), bool(mark)
    # Two machines' clocks may differ. A heartbeat further in the future says nothing about now.
    silent = (now - last).total_seconds()
    silent = abs(silent) if silent < -SILENT_SECONDS else max(silent, 0.0)
    return Daemon(silent < SILENT_SECONDS and not stopped, last, silent, stopped)


def asked(daemon: Daemon, heard: Heard, address: str | None) -> Daemon:
    """``daemon``, with the result of the request.

    A refused connection alone does not prove that the daemon died: a recent heartbeat may come from another machine or
    container.
    """
    gone = heard is Heard.REFUSED and daemon.running
    return replace(daemon, running=None if gone else daemon.running, heard=heard, address=address)


def render_notices(daemon: Daemon) -> list[tuple[str, str]]:
    """What is not well with a daemon that runs, in words, and their style for the terminal."""
    found = Notices(daemon.asks_nothing_since, daemon.clock_ahead_until)
    told = []
    if found.asks_nothing:
        told.append((f"{found.asks_nothing}: see its log and the runbook CliffwatchDown, and restart it", "bold red"))
    if found.clock:
        told.append((f"{found.clock}. Today is asked all the same. Check the machine's clock", "bold yellow"))
    return told


def render_liveness(daemon: Daemon) -> tuple[str, str]:
    """The state in words, and its style for the terminal."""
    last, age = daemon.last_sign_of_life, f"{daemon.silent_seconds or 0:.0f} s ago"
    if daemon.running:
        beside = BESIDE.get(daemon.heard, "").format(address=daemon.address)
        return f"the daemon runs (last heartbeat {age}{beside})", "yellow" if beside else "dim"
    at = f"{last:%Y-%m-%d %H:%M:%S} UTC" if last else ""
    if daemon.heard is Heard.ANSWERED:
        sign = f"its last heartbeat is old ({at})" if last else "it has written no heartbeat yet"
        slow = f"the daemon answers at {daemon.address}, but {sign}"
        return f"{slow}. If it did not just start, see its logs", "bold yellow"
    if daemon.running is None:
        nobody = f"nothing answers at {daemon.address} on this machine; last heartbeat {age}"
        return f"{nobody}. Unless a daemon runs elsewhere, nothing new is measured: cliffwatch run", "bold red"
    if last is None:
        return "no daemon has worked on this store yet: cliffwatch run", "bold yellow"
    how = f"was stopped at {at}" if daemon.stopped else f"does not seem to run: its last heartbeat was at {at}"
    return f"the daemon {how}. Nothing new is measured until it runs: cliffwatch run", "bold red"
