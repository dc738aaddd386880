"""Identity checks: metadata of endpoints and files on disk against the declared model, adapter and base.

Metadata only: no model is asked, and no call costs anything. A server that is unreachable, or whose reply cannot be
parsed, gives no reading; only a reading can be a mismatch. A check has three results: it matches, it differs, which
needs a positive contradiction, or it cannot tell.
"""

from typing import Final, cast

from monitor.core.kinds import load
from monitor.core.providers import PROVIDERS
from monitor.identify.checks import Absence, Checked, Declared, Files, Get, Key, Reading, ServerSource, UnreadableError
from monitor.identify.listing import HiddenError

CHECKS: Final = {
    **{kind: entry.identity_checks for kind, entry in PROVIDERS.items() if entry.identity is not None},
    "files": ("adapter_base", "adapter_revision", "adapter_tensors", "adapter_effect", "adapter_fits"),
}
"""Source -> its possible checks. Checks that do not apply are left out of a reading."""


def server_source(kind: str) -> ServerSource | None:
    """The reader of the metadata of providers of ``kind``; ``None`` without metadata."""
    path = PROVIDERS[kind].identity
    return None if path is None else cast(ServerSource, load(path))


__all__ = [
    "CHECKS", "Absence", "Checked", "Declared", "Files", "Get", "HiddenError", "Key", "Reading", "ServerSource",
    "UnreadableError", "server_source",
]  # fmt: skip
