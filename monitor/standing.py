"""How a running daemon tells ``cliffwatch status`` how its fleet stands: as JSON, at ``/-/status``.

A command that opens the store and reads a configuration of 1,000 targets takes a second of a processor, most of it
for imports that the daemon has behind it. So the daemon that has this very configuration is asked first; where none
answers, the command reads for itself.
"""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from monitor.status import Status

HOST: Final = "127.0.0.1"
PORT: Final = 9464
"""Where a daemon listens that was told nothing else."""

PATIENCE_SECONDS: Final = 1.0
"""A daemon that takes longer has no time: the command reads the store itself."""

EVERYWHERE: Final = ("0.0.0.0", "::", "")


def told(found: "Status", config: Path) -> str:
    """The daemon's answer; ``config``: the file that it runs with."""
    said = {"config": str(config.resolve()), "status": asdict(found)}
    return json.dumps(said, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value))


def ask(config: Path, *, everything: bool) -> "Status | None":
    """What the daemon of this configuration says; ``None`` where none answers that has it."""
    from http.client import HTTPException
    from urllib.request import ProxyHandler, build_opener

    place = _listens(config)
    if place is None:
        return None
    try:
        opener = build_opener(ProxyHandler({}))  # the daemon is no farther than its own address
        with opener.open(f"http://{place}/-/status?everything={everything}", timeout=PATIENCE_SECONDS) as reply:
            said = json.loads(reply.read())
        return _status(said["status"]) if said["config"] == str(config.resolve()) else None
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None  # nobody (URLError is an OSError), no HTTP, no address at all, or no daemon of this version


def _listens(config: Path) -> str | None:
    """The address in the section ``http`` alone: to parse all of a large file would take as long as what is spared."""
    import yaml

    try:
        lines = config.read_text(encoding="utf-8").splitlines()
        first = next((at for at, line in enumerate(lines) if line.startswith("http:")), len(lines))
        inside = next((at for at in range(first + 1, len(lines)) if lines[at][:1] not in ("", " ", "#")), len(lines))
        section: Any = (yaml.safe_load("\n".join(lines[first:inside])) or {}).get("http") or {}
        host, port = str(section.get("host", HOST)), int(section.get("port", PORT))
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError):
        return None
    host = HOST if host in EVERYWHERE else host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if port else None


def _status(said: Any) -> "Status":
    """Raises ValueError where it is none, such as another version's."""
    from pydantic import TypeAdapter

    from monitor.status import Status

    return TypeAdapter(Status).validate_python(said)
