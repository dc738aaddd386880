"""Which weights are really served: what endpoints say of themselves, and what lies on disk, against what is declared.

Metadata only: nothing here asks a model anything, and nothing costs a call. A server that is away, or that says
something nobody can read, is no reading; only what was read can be a mismatch.
"""

from typing import Final, cast

from monitor.core.kinds import load
from monitor.core.providers import PROVIDERS
from monitor.identify.checks import Checked, Declared, Files, Get, Key, Reading, ServerSource, UnreadableError

CHECKS: Final = {
    **{kind: entry.identity_checks for kind, entry in PROVIDERS.items() if entry.identity is not None},
    "files": ("adapter_base", "adapter_revision", "adapter_tensors", "adapter_effect", "adapter_fits"),
}
"""Source -> the checks that it may make; one that does not apply is left out of a reading."""


def server_source(kind: str) -> ServerSource | None:
    """What reads the metadata of providers of ``kind``; ``None`` where there is nothing to read."""
    path = PROVIDERS[kind].identity
    return None if path is None else cast(ServerSource, load(path))


__all__ = [
    "CHECKS", "Checked", "Declared", "Files", "Get", "Key", "Reading", "ServerSource", "UnreadableError",
    "server_source",
]  # fmt: skip
