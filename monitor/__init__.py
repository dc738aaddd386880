"""Cliffwatch: tells a team that its LLM endpoint has drifted, before its users do."""

from typing import Final

__version__: Final = "0.1.0"
