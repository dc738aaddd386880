"""Makes sure that one daemon at a time asks questions on a store.

Two daemons on one store would lose nothing, because runs are fenced, but they would ask with two configurations, and
each would believe that the other's targets are not its own. So a daemon takes the store when it starts. A second one
refuses to start while the first is alive, or waits if it is a standby.

The store's state has the holder's process, and its heartbeat shows whether it is alive. On the same machine, a process
that no longer exists is known to be dead at once; elsewhere, only after ``SILENT_SECONDS`` without a heartbeat.
"""

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog

from monitor.core.clock import HEARTBEAT, SILENT_SECONDS, STOPPED, STORE_HOLDER
from monitor.core.errors import StoreError
from monitor.report.status.liveness import by_sign
from monitor.runs.context import RunContext, declare
from monitor.runs.rejudge import judge_anew

if TYPE_CHECKING:
    from monitor.store import Store

log = structlog.get_logger()

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Process:
    """One daemon, as the store's state names it."""

    instance: str
    """Random, so that two daemons in one process differ."""
    host: str
    """Host name and, where known, the id of the machine's boot."""
    pid: int
    started: str
    """When the process was started, in the kernel's ticks; empty where that is not known."""

    @classmethod
    def own(cls) -> "Process":
        return cls(uuid4().hex, _host(), os.getpid(), _started(os.getpid()))

    @property
    def gone(self) -> bool:
        """Whether it certainly no longer exists. Only known on its own machine."""
        if self.host != _host():
            return False
        started = _started(self.pid)
        if started or self.started:
            return started != self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def take_over(context: RunContext) -> None:
    """What the daemon that holds the store does first."""
    declare(context)
    judge_anew(context)


class SoleDaemon:
    """This daemon's hold on its store. Methods are called from worker threads."""

    def __init__(self, *, standby: bool) -> None:
        self._standby = standby
        self._me = json.dumps(asdict(Process.own()))
        self.active = False
        """Whether this daemon holds the store, at the last check."""

    def refuse_beside(self, store: "Store", now: datetime) -> None:
        """Raises StoreError, before this daemon listens anywhere, if ``start`` would."""
        self._refuse(_alive(store.get_state(STORE_HOLDER), store.get_state(HEARTBEAT), now))

    def start(self, store: "Store", now: datetime) -> None:
        """Take the store. Raises StoreError if another daemon holds it and this one is not a standby."""
        holder = self._take(store, now)
        self._refuse(holder)
        if holder:
            log.info("standby", other=holder, next="waits until the other daemon stops")

    def _refuse(self, holder: str) -> None:
        if holder and not self._standby:
            raise StoreError(
                f"{holder} works on this store. Two daemons on one store are not supported: stop that one, or start "
                f"this one with --standby and its own http.port, and it takes over when the other has stopped or given "
                f"no heartbeat for {SILENT_SECONDS:.0f} s"
            )

    def release(self, store: "Store", now: datetime) -> None:
        """Mark the last heartbeat as such, so that a stopped daemon is not taken for a running one."""
        if self.active:
            with suppress(StoreError):  # an unavailable store must not keep the daemon from stopping
                store.set_state(HEARTBEAT, f"{now.isoformat()}{STOPPED}")

    def holds(self, store: "Store", now: datetime) -> bool:
        """Whether this daemon may ask, checked at each tick. A standby takes the store over if nobody holds it."""
        if store.get_state(STORE_HOLDER) == self._me:
            self.active = True
        else:
            if self.active:
                log.error("store_taken_over", next="asks nothing, and waits until the other daemon stops")
            self.active = False
            if not self._take(store, now):
                log.info("store_taken", next="asks from now on")
        return self.active

    def _take(self, store: "Store", now: datetime) -> str:
        """Take the store unless another daemon is alive. Returns who that is; empty if this one holds the store now."""
        held = store.get_state(STORE_HOLDER)
        holder = _alive(held, store.get_state(HEARTBEAT), now)
        if not holder and not store.replace_state(STORE_HOLDER, held, self._me):
            holder = "another daemon that just started"
        self.active = not holder
        if self.active:
            store.set_state(HEARTBEAT, now.isoformat())
        return holder


def _alive(held: str | None, heartbeat: str | None, now: datetime) -> str:
    """Which daemon holds the store; empty if none that is alive."""
    sign = by_sign(heartbeat, now)
    if held is None or not sign.running:
        return ""
    try:
        process = Process(**json.loads(held))
    except (ValueError, TypeError):
        return "a daemon of another version"
    if process.gone:
        return ""
    host = process.host.partition(" ")[0]
    return f"another daemon (host {host}, process {process.pid}, last heartbeat {sign.silent_seconds:.0f} s ago)"


def _host() -> str:
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()} {boot}"


def _started(pid: int) -> str:
    """The process's start in ticks since boot; empty if it does not exist or the system has no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
