"""Which weights are really served: what endpoints say of themselves, and what lies on disk, against what is declared.

Metadata only: nothing here asks a model anything, and nothing costs a call. A server that is away, or that says
something nobody can read, is no reading; only what was read can be a mismatch.
"""

from importlib import import_module
from typing import Final

from monitor.identify.checks import Checked, Declared, Files, Get, Key, Reading, ServerSource, UnreadableError

SERVERS: Final = {
    "openai": "monitor.identify.openai",
    "anthropic": "monitor.identify.anthropic",
}
"""Provider kind -> the module whose ``read`` asks its API what it serves; other kinds have no API."""

CHECKS: Final = {
    "openai": ("listed", "parent", "root", "ft_base"),
    "anthropic": ("listed",),
    "files": ("adapter_base", "adapter_revision", "adapter_tensors", "adapter_effect", "adapter_fits"),
}
"""Source -> the checks that it may make; one that does not apply is left out of a reading."""


def server_source(kind: str) -> ServerSource | None:
    """What reads the metadata of providers of ``kind``; ``None`` where there is nothing to read."""
    return import_module(SERVERS[kind]).read if kind in SERVERS else None


__all__ = [
    "CHECKS", "SERVERS", "Checked", "Declared", "Files", "Get", "Key", "Reading", "ServerSource",
    "UnreadableError", "server_source",
]  # fmt: skip
