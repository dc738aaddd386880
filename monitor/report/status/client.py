"""Gets the state of the fleet for ``cliffwatch status`` from a running daemon, as JSON from ``/-/status``.

To open the store and read a configuration of 1,000 targets takes a second of CPU time, mostly for imports that the
daemon has already done. So the command first asks the daemon with the same configuration. If none answers, it reads the
store itself.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from monitor.core.limits import DEFAULT_HOST, DEFAULT_PORT
from monitor.report.status.liveness import PATIENCE_SECONDS, Heard

if TYPE_CHECKING:
    from monitor.report.status.fleet import Status

EVERYWHERE: Final = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class Reply:
    """Result of a request. ``status`` is set only if a daemon with this configuration answered."""

    heard: Heard
    address: str | None
    """Such as ``http://127.0.0.1:9464``; ``None`` if not asked."""
    status: "Status | None" = None


def render_status(found: "Status", config: Path) -> str:
    """The daemon's answer as JSON. ``config``: its configuration file."""
    said = {"config": str(config.resolve()), "status": asdict(found)}
    return json.dumps(said, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value))


def ask(config: Path, *, everything: bool) -> Reply:
    """The reply of the daemon with this configuration, or the reason why there is none."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, build_opener

    place = _listens(config)
    if place is None:
        return Reply(Heard.NOT_ASKED, None)
    address = f"http://{place}"
    try:
        opener = build_opener(ProxyHandler({}))  # the daemon is reached directly, never through a proxy
        with opener.open(f"{address}/-/status?everything={everything}", timeout=PATIENCE_SECONDS) as reply:
            said = json.loads(reply.read())
        if said["config"] == str(config.resolve()):
            return Reply(Heard.ANSWERED, address, _status(said["status"]))
    except (HTTPError, HTTPException, ValueError, KeyError, TypeError):
        pass  # not HTTP, not a valid address, or not a daemon of this version
    except OSError as error:
        refused = isinstance(getattr(error, "reason", error), ConnectionRefusedError)  # which URLError wraps
        return Reply(Heard.REFUSED if refused else Heard.SILENT, address)
    return Reply(Heard.ANOTHER, address)


def _listens(config: Path) -> str | None:
    """The address from the section ``http`` alone: to parse all of a large file would take too long."""
    import yaml

    try:
        lines = config.read_text(encoding="utf-8").splitlines()
        first = next((at for at, line in enumerate(lines) if line.startswith("http:")), len(lines))
        inside = next((at for at in range(first + 1, len(lines)) if lines[at][:1] not in ("", " ", "#")), len(lines))
        section: Any = (yaml.safe_load("\n".join(lines[first:inside])) or {}).get("http") or {}
        host, port = str(section.get("host", DEFAULT_HOST)), int(section.get("port", DEFAULT_PORT))
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError):
        return None
    host = DEFAULT_HOST if host in EVERYWHERE else host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if port else None


def _status(said: Any) -> "Status":
    """The status from JSON. Raises ValueError if it is invalid, for example from another version."""
    from pydantic import TypeAdapter

    from monitor.report.status.fleet import Status

    return TypeAdapter(Status).validate_python(said)
