"""The files that an existing Prometheus, Alertmanager and Grafana load, handed out into a folder.

They are those of this very version: of the package where it is installed, of the repository in a checkout.
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
"""What is handed out; the tests and builders beside them stay."""

_RUNBOOK: Final = re.compile(
    r"^( +runbook_url: )>-\n(?: {12}.*\n)* {12}.*/runbooks/(Cliffwatch[A-Za-z]+)(?:\s*{{ end }})?$", re.MULTILINE
)
"""The last annotation of a rule, over the lines into which it is folded."""


@dataclass(frozen=True)
class Handout:
    """What became of the files, as paths inside the folder."""

    written: tuple[Path, ...]
    same: tuple[Path, ...]
    """They were there already, with the very same bytes."""


def export(kind: Kind, folder: Path, *, runbooks: str | None = None, force: bool = False) -> Handout:
    """Write the files of ``kind`` into ``folder``, which is made where it is missing.

    ``runbooks`` is the address of a runbook in a place of yours, with ``{alert}`` for the alert's name: the rules then
    link to it, not to the daemon's own page. All or nothing: raises UsageError, before anything is written, that names
    the files which are there and differ (unless ``force``), or what cannot be written.
    """
    files = {name: _linked(name, body, runbooks) for name, body in _files(kind).items()}
    try:
        there = {name: (folder / name).read_bytes() for name in files if (folder / name).exists()}
        changed = sorted(str(folder / name) for name, body in there.items() if body != files[name])
        if changed and not force:
            raise UsageError(
                f"{', '.join(changed)}: there already, and not as this version has it; nothing was written. "
                f"Give another folder, or --force to overwrite"
            )
        written = [name for name in files if there.get(name) != files[name]]
        for name in written:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(files[name])
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder}: cannot be written: {error.strerror}; give another folder"
        ) from error
    return Handout(tuple(written), tuple(name for name in files if name not in written))


def _files(kind: Kind) -> dict[Path, bytes]:
    """Path inside the folder -> its bytes, in a settled order."""
    source = shipped(kind)
    paths = sorted(path for pattern in PATTERNS[kind] for path in source.glob(pattern))
    return {path.relative_to(source): path.read_bytes() for path in paths}


def _linked(name: Path, body: bytes, runbooks: str | None) -> bytes:
    if runbooks is None or name != Path("rules.yaml"):
        return body
    if not re.match(r"https?://", runbooks) or "{alert}" not in runbooks or "'" in runbooks:
        raise UsageError(
            f"--runbooks {runbooks}: give an http(s) address with {{alert}} in the place of the alert's name, such as "
            f"https://wiki.example.com/{{alert}}"
        )
    linked = _RUNBOOK.sub(lambda found: f"{found[1]}'{runbooks.replace('{alert}', found[2])}'", body.decode())
    return linked.encode()
