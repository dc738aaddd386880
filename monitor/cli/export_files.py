"""Copies the files that an existing Prometheus, Alertmanager and Grafana load into a folder.

The files belong to this version: they come from the installed package, or from the repository in a checkout.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from monitor.core.errors import UsageError
from monitor.core.package_data import shipped

Kind = Literal["alerts", "dashboards"]

PATTERNS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "alerts": ("rules.yaml", "prometheus.yml", "alertmanager.yml", "cliffwatch.tmpl", "runbooks/*.md"),
    "dashboards": ("*.json",),
}
"""Exported files. Tests and builders in the same folders are not exported."""

_RUNBOOK: Final = re.compile(
    r"^( +runbook_url: )>-\n(?: {12}.*\n)* {12}.*/runbooks/(Cliffwatch[A-Za-z]+)(?:\s*{{ end }})?$", re.MULTILINE
)
"""The last annotation of a rule, over the lines into which it is folded."""


@dataclass(frozen=True)
class Handout:
    """Result of an export, as paths inside the folder."""

    written: tuple[Path, ...]
    same: tuple[Path, ...]
    """Files that already had the same content."""


def export(kind: Kind, folder: Path, *, runbooks: str | None = None, force: bool = False) -> Handout:
    """Write the files of ``kind`` to ``folder``, which is created if it does not exist.

    ``runbooks`` is the URL of the user's own runbooks, with ``{alert}`` in place of the alert name; the rules then link
    to it instead of the daemon's pages. Raises UsageError before anything is written if existing files differ (unless
    ``force``), and if a file cannot be written.
    """
    files = {name: _linked(name, body, runbooks) for name, body in _files(kind).items()}
    try:
        there = {name: (folder / name).read_bytes() for name in files if (folder / name).exists()}
        changed = sorted(str(folder / name) for name, body in there.items() if body != files[name])
        if changed and not force:
            raise UsageError(
                f"{', '.join(changed)}: exists with different content; nothing was written. "
                f"Choose another folder, or use --force to overwrite"
            )
        written = [name for name in files if there.get(name) != files[name]]
        for name in written:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(files[name])
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder}: cannot be written: {error.strerror}; choose another folder"
        ) from error
    return Handout(tuple(written), tuple(name for name in files if name not in written))


def _files(kind: Kind) -> dict[Path, bytes]:
    """Path inside the folder -> its content, in a fixed order."""
    source = shipped(kind)
    paths = sorted(path for pattern in PATTERNS[kind] for path in source.glob(pattern))
    return {path.relative_to(source): path.read_bytes() for path in paths}


def _linked(name: Path, body: bytes, runbooks: str | None) -> bytes:
    if runbooks is None or name != Path("rules.yaml"):
        return body
    if not re.match(r"https?://", runbooks) or "{alert}" not in runbooks or "'" in runbooks:
        raise UsageError(
            f"--runbooks {runbooks}: must be an http(s) URL with {{alert}} in place of the alert name, for example "
            f"https://wiki.example.com/{{alert}}"
        )
    linked = _RUNBOOK.sub(lambda found: f"{found[1]}'{runbooks.replace('{alert}', found[2])}'", body.decode())
    return linked.encode()
