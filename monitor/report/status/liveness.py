"""Whether a daemon works on a store: by the sign of life that it leaves there, and by what came of asking it."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from monitor.core.clock import SILENT_SECONDS

PATIENCE_SECONDS: Final = 1.0
"""A daemon that takes longer has no time: the command reads the store itself."""


class Heard(StrEnum):
    """What came of asking the daemon at its address."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """Nothing listens there. From this machine, that is: the address may be another machine's or container's own."""
    SILENT = "silent"
    """No answer in ``PATIENCE_SECONDS``, or none gets through: a daemon may be busy."""
    ANOTHER = "another"
    """Something answered, which does not say how this configuration stands."""
    NOT_ASKED = "not asked"
    """There is no address: ``http.port`` is 0, or the file cannot be read."""


BESIDE: Final = {
    Heard.SILENT: "; no answer from {address}",
    Heard.ANOTHER: "; what answers at {address} does not have this file",
}
"""What is said beside a fresh sign of life."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """Whether a daemon works on this store."""

    running: bool | None
    """By its sign of life. ``None``: that is fresh, but nothing listens at ``address``; it died, or is elsewhere."""
    last_sign_of_life: datetime | None
    """``None``: never."""
    silent_seconds: float | None
    """Since then; ``None``: there was none."""
    stopped: bool
    """It ended as it was told to, and left no other at work."""
    heard: Heard = Heard.NOT_ASKED
    """What came of asking it."""
    address: str | None = None
    """Where it was asked; ``None``: it was not."""


def by_sign(sign: str | None, now: datetime) -> Daemon:
    """``sign``: what the store has under ``clock.HEARTBEAT``."""
    if sign is None:
        return Daemon(running=False, last_sign_of_life=None, silent_seconds=None, stopped=False)
    at, _, mark = sign.partition(" ")
    last, stopped = datetime.fromisoformat(at), bool(mark)
    silent = max((now - last).total_seconds(), 0.0)  # two machines' clocks may differ
    return Daemon(silent < SILENT_SECONDS and not stopped, last, silent, stopped)


def asked(daemon: Daemon, heard: Heard, address: str | None) -> Daemon:
    """``daemon``, with what came of asking it.

    A refusal alone proves no death: a fresh sign of life may be that of another machine or container.
    """
    gone = heard is Heard.REFUSED and daemon.running
    return replace(daemon, running=None if gone else daemon.running, heard=heard, address=address)


def render_liveness(daemon: Daemon) -> tuple[str, str]:
    """In words and a style, for people."""
    last, age = daemon.last_sign_of_life, f"{daemon.silent_seconds or 0:.0f} s ago"
    if daemon.running:
        beside = BESIDE.get(daemon.heard, "").format(address=daemon.address)
        return f"the daemon runs (last sign of life {age}{beside})", "yellow" if beside else "dim"
    at = f"{last:%Y-%m-%d %H:%M:%S} UTC" if last else ""
    if daemon.heard is Heard.ANSWERED:
        sign = f"its last sign of life is old ({at})" if last else "it has left no sign of life yet"
        slow = f"the daemon answers at {daemon.address}, but {sign}"
        return f"{slow}. If it did not just start, its logs say why", "bold yellow"
    if daemon.running is None:
        nobody = f"nothing answers at {daemon.address} here; last sign of life {age}"
        return f"{nobody}. Unless a daemon runs elsewhere, nothing new is measured: cliffwatch run", "bold red"
    if last is None:
        return "no daemon has worked on this store yet: cliffwatch run", "bold yellow"
    how = f"was stopped at {at}" if daemon.stopped else f"does not seem to run: its last sign of life was at {at}"
    return f"the daemon {how}. Nothing new is measured until it runs: cliffwatch run", "bold red"
