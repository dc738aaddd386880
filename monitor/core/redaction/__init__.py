"""Removes personal data and secrets from production inputs before they leave the sampling stage.

Uses patterns, not a model; ``docs/privacy.md`` lists what is found and what is not, such as names of people. Matches
that are certainly not such a number (``core.identifiers``) are kept. A match becomes a placeholder (``‹email›``), so
that the rest is still readable as a question; two inputs that differ only in it become one.

The text is hostile. Every pattern is linear in its length: runs are possessive (``++``), and a run is only entered
at its start. ``redact`` is idempotent: nothing matches a placeholder or text next to one.
"""

from typing import Final

from monitor.core.redaction.personal import PERSONAL
from monitor.core.redaction.private_keys import redact_private_keys
from monitor.core.redaction.rule import replaced
from monitor.core.redaction.secrets import SECRETS

_ALL: Final = (*SECRETS, *PERSONAL)


def redact(text: str) -> str:
    """``text`` with personal data and secrets replaced by placeholders, in time linear in its length."""
    return replaced(redact_private_keys(text), _ALL)


def redact_secrets(text: str) -> str:
    """``redact`` for secrets only: keys, tokens, passwords, credentials in URLs. For logs."""
    return replaced(redact_private_keys(text), SECRETS)
